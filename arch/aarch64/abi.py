"""
What differs here from asm-generic.

Source: arch/arm64/include/uapi/asm/fcntl.h; Linux 6.12.
"""

from __future__ import annotations

from blcr.architecture import Layout

LAYOUT = Layout(word_size=8, byteorder="little")

CONSTANTS = {
    "O_DIRECTORY": 0o40000,
    "O_NOFOLLOW": 0o100000,
    "O_DIRECT": 0o200000,
    "O_LARGEFILE": 0o400000,
    "O_TMPFILE": 0o20040000,
}
