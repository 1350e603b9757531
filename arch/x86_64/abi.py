"""
What differs here from asm-generic.

Source: arch/x86/include/uapi/asm/{stat,mman,prctl,sembuf}.h, EPOLL_PACKED in
include/uapi/linux/eventpoll.h; Linux 6.12.
"""

from __future__ import annotations

from blcr.architecture import Layout

from ..x86.abi import WITHOUT_AVX

CPU_LEVELS = {"x86-64-v2": WITHOUT_AVX}

LAYOUT = Layout(word_size=8, byteorder="little")

CONSTANTS = {
    "MAP_32BIT": 0x40,
    "ARCH_SET_GS": 0x1001,
    "ARCH_SET_FS": 0x1002,
    "ARCH_GET_FS": 0x1003,
    "ARCH_GET_GS": 0x1004,
    "ARCH_GET_CPUID": 0x1011,
    "ARCH_SET_CPUID": 0x1012,
}

STRUCTURES = {
    "semid64_ds": """
        perm   ipc_perm
        otime  long
        _      ulong
        ctime  long
        _      ulong
        nsems  ulong
        _      ulong[2]
    """,
    "stat": """
        dev         ulong
        ino         ulong
        nlink       ulong
        mode        uint
        uid         uint
        gid         uint
        _           uint
        rdev        ulong
        size        long
        blksize     long
        blocks      long
        atime       ulong
        atime_nsec  ulong
        mtime       ulong
        mtime_nsec  ulong
        ctime       ulong
        ctime_nsec  ulong
        _           long[3]
    """,
    "epoll_event": """
        packed
        events  u32
        data    u64
    """,
}
