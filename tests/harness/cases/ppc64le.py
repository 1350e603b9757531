"""ppc64le: sources as for ppc64; the psABI says what the byte order changes."""

from __future__ import annotations

import capstone

from harness.cases import ppc64
from harness.planting import power_pc

CASE = ppc64.CASE._replace(
    name="ppc64le",
    target="powerpc64le-linux-musl",
    machines=frozenset({"ppc64le"}),
    emulator="qemu-ppc64le",
    forever=bytes.fromhex("00 00 00 48"),
    capstone=(
        capstone.CS_ARCH_PPC,
        capstone.CS_MODE_64 | capstone.CS_MODE_LITTLE_ENDIAN,
    ),
    swapped=r"vr\d+",
    planting=power_pc(8, vectors=("low", "high"), vsx=True),
)
