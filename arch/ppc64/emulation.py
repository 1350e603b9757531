"""
How an engine is told to be a 64-bit PowerPC CPU, in user mode.

Its CPU is a POWER10, which cannot be chosen: numbers of models lead to 32-bit ones.  It
does not have the instruction ``scv``, which therefore is not advertised, but is made a
call where a program that comes from elsewhere uses it.

Source: Power ISA 3.1; asm/cputable.h of Linux 6.12; as for 32 bits.
"""

from __future__ import annotations

from blcr.emulation import Entry, Recipe, Transfer

from ..ppc.emulation import (
    FAULTS,
    ILLEGAL,
    KERNELS,
    REGISTERS,
    USER,
    program_exception,
    vmx_transfer,
)
from ..ppc.registers import NT_PRSTATUS, ByteOrder
from ..ppc.stubs import TRAP, listing
from ..ppc.syscalls import SC, SCV
from .registers import NT_PPC_PPR, NT_PPC_TAR, NT_PPC_VSX

# 64 bits; floating point, vectors and VSX on; byte order.
_MSR, _LITTLE_ENDIAN = 1 << 63 | 1 << 13 | 1 << 25 | 1 << 23, 1
# In FSCR: that programs may use the target address register.
_FACILITIES = 1 << 8

_POWER8 = 0x004D_0200
_XER_AT = 8 * 37
_XER, _TAR, _PPR = 1, 815, 896
# mfspr and mtspr of register 0.
_MOVES = 0x7C00_02A6, 0x7C00_03A6


def _register(byteorder: str, note_type: int, offset: int, spr: int) -> Transfer:
    """Return how a special-purpose register is saved and loaded."""
    field = (spr & 31) << 16 | spr >> 5 << 11 | 4 << 21
    get, put = ((word | field).to_bytes(4, "big").hex(" ") for word in _MOVES)
    texts = f"mfspr r4, {spr:#x}", f"mtspr {spr:#x}, r4"
    if spr == _XER:
        texts = "mfxer r4", "mtxer r4"
    return Transfer(
        note_type,
        offset,
        bytes(8),
        listing(byteorder, (get, texts[0]), ("f8 83 00 00", "std r4, 0(r3)"), TRAP),
        listing(byteorder, ("e8 83 00 00", "ld r4, 0(r3)"), (put, texts[1]), TRAP),
        base="3",
        clobbers=("4",),
    )


def _low_halves(byteorder: str) -> Transfer:
    """Return how the halves of VSX registers beside the FP ones are moved."""
    save, load = [], []
    for i in range(32):
        place = hex(8 * i) if i > 1 else str(8 * i)
        at = f"{8 * i:04x}"
        at = f"{at[:2]} {at[2:]}"
        low = (0x7C04_0266 | i << 21).to_bytes(4, "big").hex(" ")
        high = (0x7C04_0066 | i << 21).to_bytes(4, "big").hex(" ")
        both = (0x7C04_2B66 | i << 21).to_bytes(4, "big").hex(" ")
        save += [
            (low, f"mfvsrld r4, vs{i}"),
            (f"f8 83 {at}", f"std r4, {place}(r3)"),
        ]
        load += [
            (high, f"mffprd r4, f{i}"),
            (f"e8 a3 {at}", f"ld r5, {place}(r3)"),
            (both, f"mtvsrdd vs{i}, r4, r5"),
        ]
    return Transfer(
        NT_PPC_VSX,
        0,
        bytes(256),
        listing(byteorder, *save, TRAP),
        listing(byteorder, *load, TRAP),
        base="3",
        clobbers=("4", "5"),
    )


def recipe(byteorder: ByteOrder) -> Recipe:
    """Return the recipe for a byte order."""
    msr = _MSR | (_LITTLE_ENDIAN if byteorder == "little" else 0)
    return Recipe(
        engine="UC_ARCH_PPC",
        modes=("UC_MODE_PPC64", "UC_MODE_BIG_ENDIAN"),
        constants=("unicorn.ppc_const", "UC_PPC_REG_"),
        registers=REGISTERS,
        start={},
        fixed={"msr": msr | USER, "softe": 1, **KERNELS},
        setup={"MSR": msr},
        call_exception=8,
        call_state=("ccr",),
        noted={"trap": SC},
        illegal_calls={listing(byteorder, ("44 00 00 01", "")).code: {"trap": SCV}},
        faults=FAULTS,
        explained={6: program_exception(byteorder, _POWER8)},
        illegal=ILLEGAL,
        transfers=(
            _register(byteorder, NT_PRSTATUS, _XER_AT, _XER),
            vmx_transfer(byteorder),
            _low_halves(byteorder),
            _register(byteorder, NT_PPC_TAR, 0, _TAR),
            _register(byteorder, NT_PPC_PPR, 0, _PPR),
        ),
        # PPC_FEATURE_32, _64, _HAS_ALTIVEC, _HAS_FPU, _HAS_MMU, _ARCH_2_05 and _06,
        # _HAS_DFP, _HAS_VSX, _TRUE_LE; PPC_FEATURE2_ARCH_2_07, _ISEL, _TAR.
        auxv={
            "AT_HWCAP": 0xDC00_1582,
            "AT_HWCAP2": 0x8C00_0000,
            "AT_DCACHEBSIZE": 128,
            "AT_ICACHEBSIZE": 128,
            "AT_UCACHEBSIZE": 0,
        },
        platform="power8",
        entry=Entry(
            listing(
                byteorder,
                ("e8 61 00 00", "ld r3, 0(r1)"),
                ("7c 79 23 a6", "mtspr 0x99, r3"),
                ("e8 61 00 08", "ld r3, 8(r1)"),
                ("7c 60 01 64", "mtmsrd r3"),
                TRAP,
            ),
            16,
            (_FACILITIES, msr | USER),
        ),
        clone_tls_first=True,
    )


RECIPE = recipe("big")
