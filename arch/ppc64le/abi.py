"""What differs here from big-endian."""

from __future__ import annotations

from blcr.architecture import Layout

LAYOUT = Layout(word_size=8, byteorder="little")
