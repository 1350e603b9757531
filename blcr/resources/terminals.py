"""
Terminals: pseudo terminals of which the processes have both ends, and other ones.

A pseudo terminal is made anew and may get another number.  Other terminals are the
restarter's, or opened by name.

Source: pty(7), ioctl_tty(2).
"""

from __future__ import annotations

from blcr import remote
from blcr.context import records
from blcr.errors import RemoteCallError
from blcr.resources.opening import Opening

_TERMINAL = "/dev/tty"
_MULTIPLEXER = "/dev/ptmx"


def inherit(opening: Opening, target: int, file: records.OpenFile) -> int:
    """Take the restarter's descriptor of the same number, or its terminal."""
    if file.state:
        return file.state[0][0]
    return opening.open(_TERMINAL, opening.known["O_RDWR"], target)


def open_end(opening: Opening, target: int, file: records.OpenFile) -> int:
    """Open an end of a pseudo terminal, which is made at its first end."""
    known = opening.known
    (index, is_master), *_settings = file.state
    if index not in opening.terminals:
        opening.terminals[index] = _make(opening, target, index)
    master = opening.terminals[index]
    if not is_master:
        flags = (file.flags & ~known["FASYNC"]) | known["O_NOCTTY"]
        return opening.task.call("ioctl", master, known["TIOCGPTPEER"], flags)
    # It is moved to the place of the target, from where others open their ends.
    opening.terminals[index] = target
    return master


def _make(opening: Opening, target: int, index: int) -> int:
    """Make a pseudo terminal with its settings; return its master."""
    known = opening.known
    file = next(
        one
        for one in opening.context.files
        if one.kind == "pty" and one.state[0] == (index, 1)
    )
    flags = (file.flags & ~known["FASYNC"]) | known["O_NOCTTY"] | known["O_CLOEXEC"]
    master = opening.aside(opening.open(_MULTIPLEXER, flags, target))
    _head, settings, size = file.state
    order = opening.process.arch.layout.byteorder
    for name, data in (
        ("TIOCSPTLCK", bytes(4)),
        ("TCSETS", bytes(settings)),
        ("TIOCSWINSZ", b"".join(one.to_bytes(2, order) for one in size)),
    ):
        remote.call(opening.task, "ioctl", master, known[name], data)
    out = remote.Out(4)
    remote.call(opening.task, "ioctl", master, known["TIOCGPTN"], out)
    number = int.from_bytes(out.data, order)
    if number != index:
        opening.notice(f"the terminal /dev/pts/{index} is /dev/pts/{number} now")
    return master


def settle(opening: Opening, fd: int, file: records.OpenFile) -> None:
    """Give a terminal that was opened by name its settings."""
    packed = bytes(file.state[0])
    try:
        remote.call(opening.task, "ioctl", fd, opening.known["TCSETS"], packed)
    except RemoteCallError as error:
        opening.warn(f"'{file.path}' (descriptor {fd}) keeps its settings: {error}")
