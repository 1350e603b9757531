"""
What 32-bit processes have otherwise than asm-generic.

Source: arch/x86/include/uapi/asm/{stat,mman,auxvec,posix_types_32}.h; struct
elf_prpsinfo in include/linux/elfcore.h; Linux 6.12.
"""

from __future__ import annotations

from blcr.architecture import Layout

LAYOUT = Layout(word_size=4, byteorder="little", align_8=4)

CONSTANTS = {"MAP_32BIT": 0x40, "AT_SYSINFO": 32}

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
        mtime_nsec  uint
        ctime       ulong
        ctime_nsec  ulong
        ino         u64
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
