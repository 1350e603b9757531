"""
How an engine is told to be a 64-bit PowerPC CPU, in user mode.

Its CPU is a POWER10, which cannot be chosen: numbers of models lead to 32-bit ones.  It
does not have the instruction ``scv``, which therefore is not advertised, but is made a
call where a program that comes from elsewhere uses it.

Source: Power ISA 3.1; asm/cputable.h of Linux 6.12; as for 32 bits.
"""

from __future__ import annotations

from blcr.architecture import constant_table
from blcr.emulation import Entry, Recipe, Transfer

from ..ppc.emulation import FP, USER, VECTORS, XER, program_exception, special, vectors
from ..ppc.emulation import RECIPE as OF_32_BITS
from ..ppc.registers import NT_PRSTATUS, ByteOrder
from ..ppc.stubs import TRAP, listing
from ..ppc.syscalls import SCV
from .registers import NT_PPC_PPR, NT_PPC_TAR, NT_PPC_VSX

# In the machine state: 64 bits, VSX, byte order.
_WIDE, _VSX, _LITTLE_ENDIAN = 1 << 63, 1 << 23, 1
# In FSCR: that programs may use the target address register.
_FACILITIES = 1 << 8
_TAR, _PPR = 815, 896
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


def recipe(byteorder: ByteOrder) -> Recipe:
    """Return the recipe for a byte order."""
    msr = _WIDE | FP | VECTORS | _VSX | (_LITTLE_ENDIAN if byteorder == "little" else 0)
    kept = {name: 0 for name in OF_32_BITS.fixed if name != "mq"}
    return OF_32_BITS._replace(
        modes=("UC_MODE_PPC64", "UC_MODE_BIG_ENDIAN"),
        fixed={**kept, "msr": msr | USER, "softe": 1},
        setup={"MSR": msr},
        illegal_calls={listing(byteorder, ("44 00 00 01", "")).code: {"trap": SCV}},
        explained={6: program_exception(byteorder, _POWER8)},
        transfers=(
            special(byteorder, 8, NT_PRSTATUS, 8 * 37, XER),
            vectors(byteorder),
            _low_halves(byteorder),
            special(byteorder, 8, NT_PPC_TAR, 0, _TAR),
            special(byteorder, 8, NT_PPC_PPR, 0, _PPR),
        ),
        # PPC_FEATURE_32, _64, _HAS_ALTIVEC, _HAS_FPU, _HAS_MMU, _ARCH_2_05 and _06,
        # _HAS_DFP, _HAS_VSX, _TRUE_LE; PPC_FEATURE2_ARCH_2_07, _ISEL, _TAR.
        auxv=constant_table(
            "AT_HWCAP=0xdc001582 AT_HWCAP2=0x8c000000"
            " AT_DCACHEBSIZE=128 AT_ICACHEBSIZE=128 AT_UCACHEBSIZE=0"
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
            (_FACILITIES, msr | USER),
        ),
    )


RECIPE = recipe("big")
