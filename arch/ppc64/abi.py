"""
What differs here from asm-generic.

Source: arch/powerpc/include/uapi/asm/{stat,shmbuf}.h; DEFAULT_MAP_WINDOW_USER64 in
asm/task_size_64.h; Linux 6.12.
"""

from __future__ import annotations

from blcr.architecture import Layout

from ..ppc.abi import STAT_FROM_UID, STRUCTURES_OF_FAMILY

LAYOUT = Layout(word_size=8, byteorder="big")
TASK_SIZE = 1 << 47
"""Beyond it only what programs map there by address."""

STRUCTURES = {
    **STRUCTURES_OF_FAMILY,
    "shmid64_ds": """
        perm    ipc_perm
        atime   long
        dtime   long
        ctime   long
        segsz   size_t
        cpid    int
        lpid    int
        nattch  ulong
        _       ulong[2]
    """,
    "stat": f"""
        dev         ulong
        ino         ulong
        nlink       ulong
        mode        uint
        {STAT_FROM_UID}
        _           ulong[3]
    """,
}
