"""
How an engine is told to be an ARMv8-A CPU with 64 bits.

Source: Arm Architecture Reference Manual for A-profile; exceptions as QEMU numbers them
(target/arm/cpu.h, EXCP_*); uapi/asm/hwcap.h; Linux 6.12.
"""

from __future__ import annotations

from blcr.emulation import Fault, Recipe

from .registers import NO_CALL

# Floating point for everybody.
CPACR = 3 << 20
# SCTLR_EL1 without address translation, but with UCI, UCT, DZE, nTWE and nTWI: programs
# may care for caches, ask about them, clear by DC ZVA and wait for events.
SCTLR = 1 << 26 | 1 << 15 | 1 << 14 | 1 << 18 | 1 << 16
# TCR_EL1 with TBI0: the highest byte of an address is the program's.
TCR = 1 << 37
TAG = 0xFF << 56
# CNTKCTL_EL1 with EL0VCTEN and EL0PCTEN: programs may read the counters.
CNTKCTL = 3
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
    # The exception level of programs.
    setup={"CPACR_EL1": CPACR, "PSTATE": 0},
    # The last one has the engine look at the exception level, too.
    system=(
        (2, 0, 3, 0, 2, TCR),
        (14, 1, 3, 0, 0, CNTKCTL),
        (1, 0, 3, 0, 0, SCTLR),
    ),
    ignored_bits=TAG,
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
