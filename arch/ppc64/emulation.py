"""
How an engine is told to be a 64-bit PowerPC CPU, in user mode.

Its CPU is a POWER10, which cannot be chosen: numbers of models lead to 32-bit ones.  It
does not have the instruction ``scv``, which therefore is not advertised, but is made a
call where a program that comes from elsewhere uses it.

Source: Power ISA 3.1; asm/cputable.h of Linux 6.12; as for 32 bits.
"""

from __future__ import annotations

from blcr.architecture import Layout, constant_table
from blcr.emulation import Entry, Recipe, Transfer

from ..ppc import emulation as base
from ..ppc.registers import NT_PRSTATUS
from ..ppc.stubs import TRAP, listing
from ..ppc.syscalls import SCV
from .abi import LAYOUT
from .registers import NT_PPC_PPR, NT_PPC_TAR, NT_PPC_VSX

# In the machine state: 64 bits, VSX, byte order.
_WIDE, _VSX, _LITTLE_ENDIAN = 1 << 63, 1 << 23, 1
# In FSCR: that programs may use the target address register.
_FACILITIES = 1 << 8
_TAR = ("7c 8f ca a6", "mfspr r4, 0x32f"), ("7c 8f cb a6", "mtspr 0x32f, r4")
_PPR = ("7c 80 e2 a6", "mfspr r4, 0x380"), ("7c 80 e3 a6", "mtspr 0x380, r4")
# vrlwmi, vrldmi, vrlwnm and vrldnm, which rotate wrongly, bcdcfsq and xvcvspuxds.
_WRONG = (
    (0xFC00_07FF, 0x1000_0085),
    (0xFC00_07FF, 0x1000_00C5),
    (0xFC00_07FF, 0x1000_0185),
    (0xFC00_07FF, 0x1000_01C5),
    (0xFC1F_05FF, 0x1002_0581),
    (0xFC00_07FC, 0xF000_0620),
    # darn, whose random numbers no seed fixes.
    (0xFC00_07FE, 0x7C00_05E6),
)
_POWER8 = 0x004D_0200


def _low_halves(byteorder: str) -> Transfer:
    """Return how the halves of VSX registers beside the FP ones are moved."""
    save, load = [], []
    for i in range(32):
        place = f"{8 * i:#x}" if i > 1 else str(8 * i)
        low, high, both = (
            (word | i << 21).to_bytes(4, "big").hex(" ")
            for word in (0x7C04_0266, 0x7C04_0066, 0x7C04_2B66)
        )
        at = (8 * i).to_bytes(2, "big").hex(" ")
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
        *(NT_PPC_VSX, 0, bytes(256)),
        listing(byteorder, *save, TRAP),
        listing(byteorder, *load, TRAP),
        base="3",
        clobbers=("4", "5"),
    )


def recipe(layout: Layout) -> Recipe:
    """Return the recipe for a byte order."""
    byteorder = layout.byteorder
    msr = (
        _WIDE
        | base.FP
        | base.VECTORS
        | _VSX
        | (_LITTLE_ENDIAN if byteorder == "little" else 0)
    )
    kept = {name: 0 for name in base.RECIPE.fixed if name != "mq"}
    return base.RECIPE._replace(
        modes=("UC_MODE_PPC64", "UC_MODE_BIG_ENDIAN"),
        fixed={**kept, "msr": msr | base.USER, "softe": 1},
        setup={"MSR": msr},
        illegal_calls={listing(byteorder, ("44 00 00 01", "")).code: {"trap": SCV}},
        explained={6: base.program_exception(byteorder, _POWER8)},
        transfers=(
            base.special(layout, NT_PRSTATUS, 8 * 37, *base.XER),
            base.vectors(byteorder),
            _low_halves(byteorder),
            base.special(layout, NT_PPC_TAR, 0, *_TAR),
            base.special(layout, NT_PPC_PPR, 0, *_PPR),
        ),
        # PPC_FEATURE_32, _64, _HAS_ALTIVEC, _HAS_FPU, _HAS_MMU, _ARCH_2_05 and _06,
        # _HAS_DFP, _HAS_VSX, _TRUE_LE; PPC_FEATURE2_ARCH_2_07, _ISEL, _TAR.
        auxv=constant_table(
            f"AT_HWCAP=0xdc001582 AT_HWCAP2=0x8c000000 {base.CACHES.format(128)}"
        ),
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
            (_FACILITIES, msr | base.USER),
        ),
        unsupported=base.unsupported(byteorder, *_WRONG),
    )


RECIPE = recipe(LAYOUT)
