"""
How an engine is told to be a 32-bit PowerPC CPU with AltiVec.

Source: Power ISA 2.03; PowerPC Processor Abstract of exceptions as QEMU numbers them
(target/ppc/cpu.h, POWERPC_EXCP_*).
"""

from __future__ import annotations

from blcr.architecture import Listing
from blcr.emulation import Fault, Recipe, Transfer

from .registers import NT_PPC_VMX, NT_PRSTATUS, PT_REGS

# Floating point and vectors on.  Problem state is left off: the C library reads the
# processor version register, which Linux emulates.
MSR = 1 << 13 | 1 << 25
# What a user process sees: 32 bits, interrupts, problem state, machine check, address
# translation, FP on.
USER_MSR = 0xF032

_XER_AT = next(row.offset for row in PT_REGS.registers if row.name == "xer")
_TRAP = ("7f e0 00 08", "trap")


def _vectors(number: int, name: str) -> tuple[tuple[str, str], ...]:
    """Return ``stvx`` or ``lvx`` of all vector registers at r3, which moves on."""
    rows = []
    for i in range(32):
        word = 0x7C00_0000 | i << 21 | 3 << 11 | number << 1
        rows.append((word.to_bytes(4, "big").hex(" "), f"{name} v{i}, 0, r3"))
        rows.append(("38 63 00 10", "addi r3, r3, 0x10"))
    return tuple(rows)


RECIPE = Recipe(
    engine="UC_ARCH_PPC",
    modes=("UC_MODE_PPC32", "UC_MODE_BIG_ENDIAN"),
    constants=("unicorn.ppc_const", "UC_PPC_REG_"),
    registers={
        **{f"gpr{i}": str(i) for i in range(32)},
        "nip": "PC",
        "ctr": "CTR",
        "link": "LR",
        "ccr": "CR",
        **{f"fpr{i}": f"FPR{i}" for i in range(32)},
        "fpscr": "FPSCR",
    },
    start={},
    fixed={
        "msr": USER_MSR,
        **dict.fromkeys(("orig_gpr3", "mq", "trap", "dar", "dsisr", "result"), 0),
    },
    setup={"MSR": MSR},
    call_exception=8,
    call_state=("ccr",),
    # The engine adds 4 to the pc on every exception.
    faults={
        5: Fault("SIGBUS", "BUS_ADRALN", 4),
        6: Fault("SIGTRAP", "TRAP_BRKPT", 4),
    },
    illegal=Fault("SIGILL", "ILL_ILLOPC", 4),
    transfers=(
        Transfer(
            NT_PRSTATUS,
            _XER_AT,
            bytes(4),
            save=Listing(
                (
                    ("7c 81 02 a6", "mfxer r4"),
                    ("90 83 00 00", "stw r4, 0(r3)"),
                    _TRAP,
                )
            ),
            load=Listing(
                (
                    ("80 83 00 00", "lwz r4, 0(r3)"),
                    ("7c 81 03 a6", "mtxer r4"),
                    _TRAP,
                )
            ),
            base="3",
            clobbers=("4",),
        ),
        Transfer(
            NT_PPC_VMX,
            0,
            bytes(544),
            save=Listing(
                (
                    *_vectors(231, "stvx"),
                    ("10 00 06 04", "mfvscr v0"),
                    ("7c 00 19 ce", "stvx v0, 0, r3"),
                    ("7c 80 42 a6", "mfspr r4, 0x100"),
                    ("90 83 00 10", "stw r4, 0x10(r3)"),
                    # What mfvscr needed is put back.
                    ("38 63 fe 00", "addi r3, r3, -0x200"),
                    ("7c 00 18 ce", "lvx v0, 0, r3"),
                    _TRAP,
                )
            ),
            load=Listing(
                (
                    ("38 83 02 00", "addi r4, r3, 0x200"),
                    ("7c 00 20 ce", "lvx v0, 0, r4"),
                    ("10 00 06 44", "mtvscr v0"),
                    ("80 84 00 10", "lwz r4, 0x10(r4)"),
                    ("7c 80 43 a6", "mtspr 0x100, r4"),
                    *_vectors(103, "lvx"),
                    _TRAP,
                )
            ),
            base="3",
            clobbers=("4",),
        ),
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
