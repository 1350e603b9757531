"""
Pipes and named pipes (FIFOs) inside the saved processes, with the bytes in them.

Source: pipe(7), fifo(7).
"""

from __future__ import annotations

import fcntl
import os

from blcr import remote
from blcr.context import records
from blcr.errors import RemoteCallError
from blcr.resources.opening import Ends, Opening

_UNKNOWN = -1
"""Flags that are to be set in any case."""


def open_pipe(opening: Opening, target: int, file: records.OpenFile) -> int:
    """Take an end of a pipe, which is made at its first end."""
    known = opening.known
    if file.pipe not in opening.pipes:
        flags = file.flags & known["O_NONBLOCK"]
        opening.pipes[file.pipe] = _receive(opening, file.pipe) or _make(
            opening, file.pipe, flags
        )
    ends = opening.pipes[file.pipe]
    reads = file.flags & known["O_ACCMODE"] == known["O_RDONLY"]
    # O_ASYNC remembers the descriptor through which it was set.
    flags = file.flags & ~(known["O_LARGEFILE"] | known["FASYNC"])
    if reads in ends.spare and file.flags & known["O_ACCMODE"] != known["O_RDWR"]:
        fd = ends.spare.pop(reads)
        opening.sharing.taken.add((file.pipe, reads))
        made = ends.flags if reads else ends.flags | _packet_mode(opening, file.pipe)
        if flags & ~known["O_ACCMODE"] != made:
            opening.fcntl(fd, "F_SETFL", flags)
    else:
        # A second open file of the same end; only its path leads to one.
        fd = opening.reopen({**ends.spare, **ends.used}[reads], flags, target)
    ends.used[reads] = target
    return fd


def _make(opening: Opening, index: int, flags: int) -> Ends:
    """Make a pipe, out of the way of other targets, with capacity and bytes."""
    out = remote.Out(8)
    mode = _packet_mode(opening, index)
    remote.call(opening.task, "pipe2", out, flags | mode)
    order = opening.process.arch.layout.byteorder
    spare = {}
    for reads, half in ((True, out.data[:4]), (False, out.data[4:])):
        fd = int.from_bytes(half, order)
        in_place = _is_place(opening, fd, index, reads=reads)
        spare[reads] = fd if in_place else opening.aside(fd)
    _fill(opening, spare[False], opening.context.pipes[index])
    if index in opening.sharing.common_pipes:
        for reads, fd in spare.items():
            opening.sharing.pipes[index, reads] = opening.process.lend(fd)
    return Ends(spare, {}, flags)


def _receive(opening: Opening, index: int) -> Ends | None:
    """Return the ends of a pipe that another process has made; None: nobody has."""
    sharing = opening.sharing
    if (index, True) not in sharing.pipes:
        return None
    spare: dict[bool, int] = {}
    used: dict[bool, int] = {}
    for reads in (True, False):
        fd = opening.aside(opening.process.receive(sharing.pipes[index, reads]))
        (used if (index, reads) in sharing.taken else spare)[reads] = fd
    return Ends(spare, used, _UNKNOWN)


def _packet_mode(opening: Opening, index: int) -> int:
    """Return O_DIRECT if a pipe is written to in packets, else 0."""
    return opening.known["O_DIRECT"] if index in opening.packet_pipes else 0


def _is_place(opening: Opening, fd: int, index: int, *, reads: bool) -> bool:
    """Tell whether a number is where the program has that end of that pipe."""
    file = opening.file_at(fd)
    if file is None or file.pipe != index or file.kind != "pipe":
        return False
    known = opening.known
    wanted = known["O_RDONLY"] if reads else known["O_WRONLY"]
    first = opening.first_at(fd)
    return first and file.flags & known["O_ACCMODE"] == wanted


def _fill(opening: Opening, writer: int, pipe: records.Pipe) -> None:
    """Give a pipe its capacity and bytes."""
    with opening.lent(writer) as ours:
        if fcntl.fcntl(ours, fcntl.F_GETPIPE_SZ) != pipe.capacity:
            _resize(opening, writer, pipe.capacity)
        at = 0
        for size in pipe.packets or (len(pipe.data),):
            # There is room for all of it.
            at += os.write(ours, pipe.data[at : at + size]) if size else 0


def _resize(opening: Opening, writer: int, capacity: int) -> None:
    """Give a pipe its capacity."""
    try:
        opening.fcntl(writer, "F_SETPIPE_SZ", capacity)
    except RemoteCallError as error:
        raise opening.error(
            f"a pipe of {capacity} bytes cannot be made; see "
            "/proc/sys/fs/pipe-max-size",
            error,
        ) from error


def open_fifo(opening: Opening, target: int, file: records.OpenFile) -> int:
    """
    Open an end of a named pipe.

    Both ends are held open meanwhile, so that opening one does not wait for the other.
    """
    known = opening.known
    if file.pipe not in opening.pipes:
        flags = known["O_RDWR"] | known["O_NONBLOCK"] | known["O_CLOEXEC"]
        both = opening.aside(opening.open(file.path, flags, target))
        opening.pipes[file.pipe] = Ends({}, {True: both, False: both}, 0)
        if file.pipe not in opening.sharing.filled:
            _check_empty(opening, both, file)
            _fill(opening, both, opening.context.pipes[file.pipe])
            opening.sharing.filled.add(file.pipe)
    flags = file.flags & ~known["FASYNC"]
    fd = opening.open(file.path, flags | known["O_NONBLOCK"], target)
    if not flags & known["O_NONBLOCK"]:
        opening.fcntl(fd, "F_SETFL", flags)
    return fd


def _check_empty(opening: Opening, fd: int, file: records.OpenFile) -> None:
    """
    Check that nobody else has left bytes in a named pipe.

    Raises:
        RestartError: The program would read them instead of its own.
    """
    out = remote.Out(4)
    remote.call(opening.task, "ioctl", fd, opening.known["FIONREAD"], out)
    if any(out.data):
        raise opening.error(
            f"the named pipe '{file.path}' is in use and has bytes of others in it; "
            "end who has it open"
        )
