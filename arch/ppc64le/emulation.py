"""How an engine is told to be a 64-bit PowerPC CPU, little-endian."""

from __future__ import annotations

from ..ppc64.emulation import recipe
from .abi import LAYOUT

RECIPE = recipe(LAYOUT)
