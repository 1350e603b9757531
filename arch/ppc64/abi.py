"""
What differs here from asm-generic.

Source: arch/powerpc/include/uapi/asm/stat.h; DEFAULT_MAP_WINDOW_USER64 in
asm/task_size_64.h; Linux 6.12.
"""

from __future__ import annotations

from blcr.architecture import Layout

from ..ppc.abi import CONSTANTS, STRUCTURES_OF_FAMILY

__all__ = ["CONSTANTS", "LAYOUT", "STRUCTURES", "TASK_SIZE"]

LAYOUT = Layout(word_size=8, byteorder="big")
TASK_SIZE = 1 << 47
"""Beyond it only what programs map there by address."""

STRUCTURES = {
    **STRUCTURES_OF_FAMILY,
    "stat": """
        dev         ulong
        ino         ulong
        nlink       ulong
        mode        uint
        uid         uint
        gid         uint
        rdev        ulong
        size        long
        blksize     ulong
        blocks      ulong
        atime       ulong
        atime_nsec  ulong
        mtime       ulong
        mtime_nsec  ulong
        ctime       ulong
        ctime_nsec  ulong
        _           ulong[3]
    """,
}
