"""
Terminals: pseudo terminals of which the processes have both ends, and other ones.

A pseudo terminal is made anew by the host, and may get another number.  Other terminals
are the restarter's, or opened by name.

Source: pty(7), ioctl_tty(2).
"""

from __future__ import annotations

from blcr import remote
from blcr.context import records
from blcr.errors import RemoteCallError
from blcr.resources.opening import Opening

_TERMINAL = "/dev/tty"


def inherit(opening: Opening, target: int, file: records.OpenFile) -> int:
    """Take the restarter's descriptor of the same number, or its terminal."""
    if file.state:
        return file.state[0][0]
    return opening.open(_TERMINAL, opening.known["O_RDWR"], target)


def open_end(opening: Opening, target: int, file: records.OpenFile) -> int:
    """Take an end of a pseudo terminal, which the host has made."""
    del target
    (index, is_master), *_settings = file.state
    flags = file.flags & ~opening.known["FASYNC"]
    return opening.process.receive_terminal(index, flags, master=bool(is_master))


def settle(opening: Opening, fd: int, file: records.OpenFile) -> None:
    """Give a terminal that was opened by name its settings."""
    packed = bytes(file.state[0])
    try:
        remote.call(opening.task, "ioctl", fd, opening.known["TCSETS"], packed)
    except RemoteCallError as error:
        opening.warn(f"'{file.path}' (descriptor {fd}) keeps its settings: {error}")
