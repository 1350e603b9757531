"""
How an engine is told to be an ARMv8-A CPU with 64 bits.

It stays at the exception level of a kernel, which may read what describes the CPU and
care for its caches; programs are used to that.

Source: Arm Architecture Reference Manual for A-profile; exceptions as QEMU numbers them
(target/arm/cpu.h, EXCP_*); uapi/asm/hwcap.h; Linux 6.12.
"""

from __future__ import annotations

from blcr.emulation import Fault, Recipe

from .registers import NO_CALL

# Floating point for everybody.
CPACR = 3 << 20
# FP ASIMD AES PMULL SHA1 SHA2 CRC32.
HWCAP = 0xFB

RECIPE = Recipe(
    engine="UC_ARCH_ARM64",
    modes=("UC_MODE_ARM",),
    constants=("unicorn.arm64_const", "UC_ARM64_REG_"),
    registers={
        **{f"x{i}": f"X{i}" for i in range(31)},
        "sp": "SP",
        "pc": "PC",
        # The only bits that this CPU lets a program set.
        "pstate": "NZCV",
        **{
            name: register
            for i in range(32)
            for name, register in ((f"v{i}_low", f"V{i}"), (f"v{i}_high", ""))
        },
        "fpsr": "FPSR",
        "fpcr": "FPCR",
        "tp": "TPIDR_EL0",
    },
    start={},
    fixed={"call": NO_CALL},
    setup={"CPACR_EL1": CPACR},
    call_exception=2,
    faults={
        3: Fault("SIGBUS", "BUS_ADRALN"),
        4: Fault("SIGBUS", "BUS_ADRALN"),
        7: Fault("SIGTRAP", "TRAP_BRKPT"),
    },
    illegal=Fault("SIGILL", "ILL_ILLOPC"),
    page_size=4096,
    auxv={"AT_HWCAP": HWCAP, "AT_HWCAP2": 0, "AT_MINSIGSTKSZ": 4720},
    platform="aarch64",
    clone_tls_first=True,
)
