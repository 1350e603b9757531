"""
How an engine is told to be a 32-bit PowerPC CPU with AltiVec.

Source: Power ISA 2.03; exceptions as QEMU numbers them (target/ppc/cpu.h,
POWERPC_EXCP_*).
"""

from __future__ import annotations

from blcr.architecture import Registers
from blcr.emulation import Explain, Fault, Recipe, Transfer

from .registers import NT_PPC_VMX, NT_PRSTATUS, PT_REGS, ByteOrder
from .stubs import TRAP, listing
from .syscalls import SC

# Floating point and vectors on.
MSR = 1 << 13 | 1 << 25
# What a user process sees besides: interrupts, problem state, machine check, address
# translation.
USER = 0xD032
PVR = 0x8003_0102

# The engine adds 4 to the pc on every exception.
BREAKPOINT = Fault("SIGTRAP", "TRAP_BRKPT", 4)
FAULTS = {5: Fault("SIGBUS", "BUS_ADRALN", 4), 6: BREAKPOINT}
# mfpvr r0, which Linux carries out for programs; tw and td.
_READ_VERSION = 0x7C1F_42A6
_TRAPS = {(31, 4), (31, 68)}
ILLEGAL = Fault("SIGILL", "ILL_ILLOPC", 4)
REGISTERS = {
    **{f"gpr{i}": str(i) for i in range(32)},
    "nip": "PC",
    "ctr": "CTR",
    "link": "LR",
    "ccr": "CR",
    **{f"fpr{i}": f"FPR{i}" for i in range(32)},
    "fpscr": "FPSCR",
}
# Registers that the kernel has and the CPU has not.
KERNELS = dict.fromkeys(("orig_gpr3", "trap", "dar", "dsisr", "result"), 0)


def program_exception(byteorder: ByteOrder, pvr: int) -> Explain:
    """Return what becomes of traps, of reading the version, and of the privileged."""

    def explain(code: bytes, regs: Registers) -> Fault | Registers:
        word = int.from_bytes(code, byteorder)
        if word & ~(31 << 21) == _READ_VERSION:
            return {f"gpr{word >> 21 & 31}": pvr, "nip": regs["nip"] + 4}
        if word >> 26 in {2, 3} or (word >> 26, word >> 1 & 0x3FF) in _TRAPS:
            return BREAKPOINT
        return Fault("SIGILL", "ILL_PRVOPC")

    return explain


def _vectors(number: int, name: str) -> list[tuple[str, str]]:
    """Return ``stvx`` or ``lvx`` of all vector registers at r3, which moves on."""
    rows = []
    for i in range(32):
        word = 0x7C00_0000 | i << 21 | 3 << 11 | number << 1
        rows.append((word.to_bytes(4, "big").hex(" "), f"{name} v{i}, 0, r3"))
        rows.append(("38 63 00 10", "addi r3, r3, 0x10"))
    return rows


def vmx_transfer(byteorder: str) -> Transfer:
    """Return how the vector registers are saved and loaded."""
    return Transfer(
        NT_PPC_VMX,
        0,
        bytes(544),
        save=listing(
            byteorder,
            *_vectors(231, "stvx"),
            ("10 00 06 04", "mfvscr v0"),
            ("7c 00 19 ce", "stvx v0, 0, r3"),
            ("7c 80 42 a6", "mfspr r4, 0x100"),
            ("90 83 00 10", "stw r4, 0x10(r3)"),
            # What mfvscr needed is put back.
            ("38 63 fe 00", "addi r3, r3, -0x200"),
            ("7c 00 18 ce", "lvx v0, 0, r3"),
            TRAP,
        ),
        load=listing(
            byteorder,
            ("38 83 02 00", "addi r4, r3, 0x200"),
            ("7c 00 20 ce", "lvx v0, 0, r4"),
            ("10 00 06 44", "mtvscr v0"),
            ("80 84 00 10", "lwz r4, 0x10(r4)"),
            ("7c 80 43 a6", "mtspr 0x100, r4"),
            *_vectors(103, "lvx"),
            TRAP,
        ),
        base="3",
        clobbers=("4",),
    )


RECIPE = Recipe(
    engine="UC_ARCH_PPC",
    modes=("UC_MODE_PPC32", "UC_MODE_BIG_ENDIAN"),
    constants=("unicorn.ppc_const", "UC_PPC_REG_"),
    registers=REGISTERS,
    start={},
    fixed={"msr": MSR & ~(1 << 25) | USER, "mq": 0, **KERNELS},
    setup={"MSR": MSR | USER & ~0x8000},
    call_exception=8,
    call_state=("ccr",),
    noted={"trap": SC},
    faults=FAULTS,
    explained={6: program_exception("big", PVR)},
    illegal=ILLEGAL,
    transfers=(
        Transfer(
            NT_PRSTATUS,
            next(row.offset for row in PT_REGS.registers if row.name == "xer"),
            bytes(4),
            save=listing(
                "big",
                ("7c 81 02 a6", "mfxer r4"),
                ("90 83 00 00", "stw r4, 0(r3)"),
                TRAP,
            ),
            load=listing(
                "big",
                ("80 83 00 00", "lwz r4, 0(r3)"),
                ("7c 81 03 a6", "mtxer r4"),
                TRAP,
            ),
            base="3",
            clobbers=("4",),
        ),
        vmx_transfer("big"),
    ),
    # PPC_FEATURE_32 and _HAS_FPU, _HAS_MMU: vectors are not advertised, so that the C
    # library's string functions stay with what every CPU has.
    auxv={
        "AT_HWCAP": 0x8C00_0000,
        "AT_HWCAP2": 0,
        "AT_DCACHEBSIZE": 32,
        "AT_ICACHEBSIZE": 32,
        "AT_UCACHEBSIZE": 0,
    },
    platform="ppc7450",
    clone_tls_first=True,
)
