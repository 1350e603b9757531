"""
What 32-bit processes have otherwise than asm-generic.

Source: arch/x86/include/uapi/asm/{stat,mman,auxvec,posix_types_32}.h; struct
elf_prpsinfo in include/linux/elfcore.h; Linux 6.12.
"""

from __future__ import annotations

from blcr.architecture import Layout

LAYOUT = Layout(word_size=4, byteorder="little", align_8=4)

# For libraries that choose code by the CPU's features: none newer than SSE4.2.  glibc's
# names are those of cpu_tunables.c, unknown ones do no harm; OpenSSL's bits are AVX and
# FMA of CPUID leaf 1, BMI, AVX2, AVX-512, RDSEED, ADX and SHA of leaf 7.
_TUNABLES = """
    AVX AVX2 AVX512F AVX512VL AVX512BW AVX512CD AVX512DQ FMA FMA4 BMI1 BMI2 LZCNT MOVBE
    XSAVE XSAVEC ERMS AVX_Fast_Unaligned_Load
""".split()
WITHOUT_AVX = {
    "GLIBC_TUNABLES": "glibc.cpu.hwcaps=" + ",".join(f"-{name}" for name in _TUNABLES),
    "OPENSSL_ia32cap": "~0x1000100000000000:~0xe02f0128",
}
READ_CLOCK = (bytes.fromhex("0f 31"), bytes.fromhex("0f 01 f9"))
"""rdtsc and rdtscp."""

CPU_LEVELS = {"i686": WITHOUT_AVX}

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
