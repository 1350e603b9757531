"""
What differs here from asm-generic.

Source: arch/arm/include/uapi/asm/{fcntl,stat,statfs}.h; struct elf_prpsinfo in
include/linux/elfcore.h with asm/posix_types.h; Linux 6.12.
"""

from __future__ import annotations

from blcr.architecture import Layout

LAYOUT = Layout(word_size=4, byteorder="little")

CONSTANTS = {
    "O_DIRECTORY": 0o40000,
    "O_NOFOLLOW": 0o100000,
    "O_DIRECT": 0o200000,
    "O_LARGEFILE": 0o400000,
    "O_TMPFILE": 0o20040000,
}

STRUCTURES = {
    "stat": """
        dev         ulong
        ino         ulong
        mode        ushort
        nlink       ushort
        uid         ushort
        gid         ushort
        rdev        ulong
        size        ulong
        blksize     ulong
        blocks      ulong
        atime       ulong
        atime_nsec  ulong
        mtime       ulong
        mtime_nsec  ulong
        ctime       ulong
        ctime_nsec  ulong
        _           ulong[2]
    """,
    "stat64": """
        dev         u64
        _           u8[4]
        _           ulong
        mode        uint
        nlink       uint
        uid         ulong
        gid         ulong
        rdev        u64
        _           u8[4]
        size        s64
        blksize     ulong
        blocks      u64
        atime       ulong
        atime_nsec  ulong
        mtime       ulong
        mtime_nsec  ulong
        ctime       ulong
        ctime_nsec  ulong
        ino         u64
    """,
    "statfs64": """
        packed
        type     ulong
        bsize    ulong
        blocks   u64
        bfree    u64
        bavail   u64
        files    u64
        ffree    u64
        fsid     int[2]
        namelen  ulong
        frsize   ulong
        flags    ulong
        _        ulong[4]
    """,
    "elf_prpsinfo": """
        state   char
        sname   char
        zomb    char
        nice    char
        flag    ulong
        uid     ushort
        gid     ushort
        pid     int
        ppid    int
        pgrp    int
        sid     int
        fname   char[16]
        psargs  char[80]
    """,
}
