"""
Settings of terminals: of an architecture, and as most have them.

The kernel that we run on has ``struct termios`` of asm-generic; only PowerPC has other
bits and places.  Three sorts of fields: flags, which are moved to the bits that a mask
of that name has; speeds; and control characters.

Source: asm-generic/termbits.h, arch/powerpc/include/uapi/asm/termbits.h, Linux 6.12.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping

from blcr.annotations import Any
from blcr.linux.constants import GENERIC
from blcr.record import Record

_PACKED = struct.Struct("=4IB19s")
SIZE = _PACKED.size
"""Bytes of the structure of asm-generic."""

_WORDS = {
    "iflag": """
        IGNBRK BRKINT IGNPAR PARMRK INPCK ISTRIP INLCR IGNCR ICRNL IUCLC IXON IXANY
        IXOFF IMAXBEL IUTF8
    """,
    "oflag": """
        OPOST OLCUC ONLCR OCRNL ONOCR ONLRET OFILL OFDEL NLDLY CRDLY TABDLY BSDLY VTDLY
        FFDLY
    """,
    "cflag": """
        CSIZE CSTOPB CREAD PARENB PARODD HUPCL CLOCAL ADDRB CMSPAR CRTSCTS
    """,
    "lflag": """
        ISIG ICANON XCASE ECHO ECHOE ECHOK ECHONL NOFLSH TOSTOP ECHOCTL ECHOPRT ECHOKE
        FLUSHO PENDIN IEXTEN EXTPROC
    """,
}
_CHARACTERS = """
    VINTR VQUIT VERASE VKILL VEOF VTIME VMIN VSWTC VSTART VSTOP VSUSP VEOL VREPRINT
    VDISCARD VWERASE VLNEXT VEOL2
""".split()
_INPUT_SHIFT = 16
"""Where the speed of input begins (IBSHIFT)."""
_SPEEDS = (
    *(0, 50, 75, 110, 134, 150, 200, 300, 600, 1200, 1800, 2400, 4800, 9600, 19200),
    *(38400, 57600, 115200, 230400, 460800, 500000, 576000, 921600, 1000000, 1152000),
    *(1500000, 2000000, 2500000, 3000000, 3500000, 4000000),
)
_EXTENDED = _SPEEDS.index(57600)


class Settings(Record):
    """What ``struct termios`` of asm-generic holds."""

    iflag: int
    oflag: int
    cflag: int
    lflag: int
    line: int
    cc: bytes

    @classmethod
    def unpack(cls, data: bytes) -> Settings:
        """Return what the kernel that we run on has told."""
        return cls(*_PACKED.unpack(data[:SIZE]))

    def pack(self) -> bytes:
        """Return what is to be told to it."""
        return _PACKED.pack(*self)

    def has(self, word: str, name: str) -> bool:
        """Tell whether a flag of a word is set."""
        return bool(getattr(self, word) & GENERIC[name])

    def character(self, name: str) -> int:
        """Return a control character."""
        return self.cc[GENERIC[name]]


def given(row: Mapping[str, Any], names: Mapping[str, int]) -> Settings:
    """Return what an architecture with such constants has in the fields of a row."""
    return Settings(**_words(row, names, GENERIC), line=row["line"])


def shown(settings: Settings, names: Mapping[str, int]) -> dict[str, Any]:
    """Return the fields of an architecture's structure, speeds included."""
    row = _words(settings._asdict(), GENERIC, names)
    index = _speed(settings.cflag, GENERIC)
    speed = _SPEEDS[index] if index < len(_SPEEDS) else 0
    return {**row, "line": settings.line, "ispeed": speed, "ospeed": speed}


def _words(
    row: Mapping[str, Any], old: Mapping[str, int], new: Mapping[str, int]
) -> dict[str, Any]:
    """Return flags and control characters for other constants."""
    moved: dict[str, Any] = {}
    for word, masks in _WORDS.items():
        moved[word] = sum(_moved(row[word], old[n], new[n]) for n in masks.split())
    for shift in (0, _INPUT_SHIFT):
        code = _code(_speed(row["cflag"] >> shift, old), new)
        moved["cflag"] |= code << shift
    room = bytearray(len(row["cc"]))
    for name in _CHARACTERS:
        room[new[name]] = row["cc"][old[name]]
    return {**moved, "cc": bytes(room)}


def _moved(value: int, old: int, new: int) -> int:
    """Return the number under one mask as it is under another one."""
    return (value & old) // (old & -old) * (new & -new) & new


def _speed(flags: int, names: Mapping[str, int]) -> int:
    """Return the place of a speed in the list of all; behind its end: another one."""
    code = flags & names["CBAUD"]
    if code == names["BOTHER"]:
        return len(_SPEEDS)
    return code if code < _EXTENDED else code - names["B57600"] + _EXTENDED


def _code(index: int, names: Mapping[str, int]) -> int:
    """Return how a speed is told, by its place in the list."""
    if index == len(_SPEEDS):
        return names["BOTHER"]
    return index if index < _EXTENDED else index - _EXTENDED + names["B57600"]
