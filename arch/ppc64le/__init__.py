"""PowerPC, 64-bit, little-endian: as big-endian, but for the order of bytes."""

from __future__ import annotations

from blcr.architecture import Arch

from ..ppc.stubs import gadgets, stubs
from ..ppc64 import ARCH as BIG_ENDIAN
from ..ppc64.registers import register_sets
from ..ppc64.signals import frame, return_code, start_here
from .abi import LAYOUT

ARCH: Arch = BIG_ENDIAN._replace(
    name="ppc64le",
    layout=LAYOUT,
    register_sets=register_sets("little"),
    frame=frame("little"),
    stubs=stubs(LAYOUT, return_code("little")),
    gadgets=gadgets(LAYOUT, return_code("little")),
    capstone=("CS_ARCH_PPC", ("CS_MODE_64", "CS_MODE_LITTLE_ENDIAN")),
    start_function=start_here,
    emulation=f"{__name__}.emulation",
)
