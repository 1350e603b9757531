"""
System calls: those of 32 bits, without the calls that only a 32-bit machine needs.

Source: arch/powerpc/kernel/syscalls/syscall.tbl, Linux 6.12.
"""

from __future__ import annotations

from blcr.linux.unistd import TIME64_CALLS

from ..ppc.syscalls import SYSCALLS as OF_32_BITS
from ..ppc.syscalls import Convention

CONVENTION = Convention(0xFFFF_FFFF_FFFF_FFFF)

_ONLY_32_BITS = {
    *"mmap2 truncate64 ftruncate64 stat64 lstat64 fstat64 fcntl64 sendfile64".split(),
    *("fadvise64_64", "fstatat64", *TIME64_CALLS),
}

SYSCALLS = {
    name: number for name, number in OF_32_BITS.items() if name not in _ONLY_32_BITS
} | {"newfstatat": 291, "semtimedop": 392}
