"""
What differs here from asm-generic: only that actions have no restorer.

Source: struct sigaction in include/linux/signal_types.h, without
__ARCH_HAS_SA_RESTORER; Linux 6.12.
"""

from __future__ import annotations

from blcr.architecture import Layout

LAYOUT = Layout(word_size=8, byteorder="little")

STRUCTURES = {
    "sigaction": """
        handler   pointer
        flags     ulong
        mask      sigset
    """,
}
