"""
How an engine is told to be a 32-bit PowerPC CPU with AltiVec, in user mode.

Source: Power ISA 2.03; exceptions as QEMU numbers them (target/ppc/cpu.h,
POWERPC_EXCP_*); emulate_instruction in arch/powerpc/kernel/traps.c, Linux 6.12.
"""

from __future__ import annotations

from collections.abc import Callable

from blcr.architecture import Layout, Registers, constant_table
from blcr.emulation import Explain, Fault, Recipe, Transfer, any_of

from .abi import LAYOUT
from .registers import FPRS, GPRS, NT_PPC_VMX, NT_PRSTATUS, ByteOrder
from .stubs import TRAP, listing
from .syscalls import SC

# In the machine state: floating point and vectors on; interrupts, problem state,
# machine check, address translation.
FP, VECTORS, USER = 1 << 13, 1 << 25, 0xD032
XER = ("7c 81 02 a6", "mfxer r4"), ("7c 81 03 a6", "mtxer r4")

_READ_VERSION = 0x7C1F_42A6  # mfpvr r0
_TRAPS = {(2, None), (3, None), (31, 4), (31, 68)}  # tdi, twi; tw, td
CACHES = "AT_DCACHEBSIZE={0} AT_ICACHEBSIZE={0} AT_UCACHEBSIZE=0"
# The engine adds 4 to the pc on every exception.
_BREAKPOINT = Fault("SIGTRAP", "TRAP_BRKPT", 4)


def program_exception(byteorder: ByteOrder, version: int) -> Explain:
    """Return what becomes of traps, of reading the version, and of the privileged."""

    def explain(code: bytes, regs: Registers) -> Fault | Registers:
        word = int.from_bytes(code, byteorder)
        kind = word >> 26
        if word & ~(31 << 21) == _READ_VERSION:
            return {f"gpr{word >> 21 & 31}": version, "nip": regs["nip"] + 4}
        if (kind, word >> 1 & 0x3FF if kind == 31 else None) in _TRAPS:
            return _BREAKPOINT
        return Fault("SIGILL", "ILL_PRVOPC")

    return explain


def special(
    layout: Layout, note_type: int, at: int, get: tuple[str, str], put: tuple[str, str]
) -> Transfer:
    """Return how a register that `get` and `put` move to and from r4 is transferred."""
    order, wide = layout.byteorder, layout.word_size == 8
    save = ("90 83 00 00", "stw r4, 0(r3)"), ("f8 83 00 00", "std r4, 0(r3)")
    load = ("80 83 00 00", "lwz r4, 0(r3)"), ("e8 83 00 00", "ld r4, 0(r3)")
    return Transfer(
        *(note_type, at, bytes(layout.word_size)),
        listing(order, get, save[wide], TRAP),
        listing(order, load[wide], put, TRAP),
        base="3",
        clobbers=("4",),
    )


def vectors(byteorder: str) -> Transfer:
    """Return how the vector registers are saved and loaded."""

    def all_of(number: int, name: str) -> list[tuple[str, str]]:
        """Return that instruction for all of them at r3, which moves on."""
        words = (0x7C00_1800 | i << 21 | number << 1 for i in range(32))
        rows = ((w.to_bytes(4, "big").hex(" "), w >> 21 & 31) for w in words)
        step = ("38 63 00 10", "addi r3, r3, 0x10")
        return [
            row for code, i in rows for row in ((code, f"{name} v{i}, 0, r3"), step)
        ]

    return Transfer(
        *(NT_PPC_VMX, 0, bytes(544)),
        save=listing(
            byteorder,
            *all_of(231, "stvx"),
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
            *all_of(103, "lvx"),
            TRAP,
        ),
        base="3",
        clobbers=("4",),
    )


# Vector floating point, where the engine does not take denormal operands for zero as
# VSCR[NJ] wants, with which programs start: vmaddfp, vnmsubfp; vaddfp, vsubfp, vrefp,
# vrsqrtefp, vexptefp, vlogefp, vmaxfp, vminfp; the comparisons.
_FOUR_OPERANDS = (46, 47)
_ARITHMETIC = (10, 74, 266, 330, 394, 458, 1034, 1098)
_COMPARISONS = (198, 454, 710, 966)


def unsupported(
    byteorder: ByteOrder, *others: tuple[int, int]
) -> Callable[[bytes], bool]:
    """Return what tells whether the engine gets an instruction wrong."""
    opcode = 4 << 26
    return any_of(
        byteorder,
        *((0xFC00_003F, opcode | number) for number in _FOUR_OPERANDS),
        *((0xFC00_07FF, opcode | number) for number in _ARITHMETIC),
        *((0xFC00_03FF, opcode | number) for number in _COMPARISONS),
        *others,
    )


RECIPE = Recipe(
    engine="UC_ARCH_PPC",
    modes=("UC_MODE_PPC32", "UC_MODE_BIG_ENDIAN"),
    constants=("unicorn.ppc_const", "UC_PPC_REG_"),
    registers={
        **{name: name.removeprefix("gpr") for name in GPRS.split()},
        **{name: name.upper() for name in (*FPRS.split(), "fpscr", "ctr")},
        "nip": "PC",
        "link": "LR",
        "ccr": "CR",
    },
    start={},
    fixed={
        "msr": FP | USER,
        **dict.fromkeys("mq orig_gpr3 trap dar dsisr result".split(), 0),
    },
    setup={"MSR": FP | VECTORS | USER},
    call_exception=8,
    call_state=("ccr",),
    noted={"trap": SC},
    faults={5: Fault("SIGBUS", "BUS_ADRALN", 4), 6: _BREAKPOINT},
    explained={6: program_exception("big", 0x8003_0102)},
    illegal=Fault("SIGILL", "ILL_ILLOPC", 4),
    transfers=(special(LAYOUT, NT_PRSTATUS, 4 * 37, *XER), vectors("big")),
    # PPC_FEATURE_32 and _HAS_FPU, _HAS_MMU: vectors are not advertised, so that the C
    # library's string functions stay with what every CPU has.
    auxv=constant_table(f"AT_HWCAP=0x8c000000 AT_HWCAP2=0 {CACHES.format(32)}"),
    platform="ppc7450",
    clone_tls_first=True,
    unsupported=unsupported("big"),
    code_unit=4,
    addressed=1 << 32,
)
