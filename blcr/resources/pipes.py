"""
Pipes and named pipes (FIFOs) inside the saved processes, with the bytes in them.

Source: pipe(7), fifo(7).
"""

from __future__ import annotations

from blcr import remote
from blcr.context import records
from blcr.errors import RemoteCallError
from blcr.resources.opening import Ends, Opening

_CHUNK = 2048


def open_pipe(opening: Opening, target: int, file: records.OpenFile) -> int:
    """Take an end of a pipe, which is made at its first end."""
    known = opening.known
    if file.pipe not in opening.pipes:
        opening.pipes[file.pipe] = _make(opening, opening.context.pipes[file.pipe])
    ends = opening.pipes[file.pipe]
    reads = file.flags & known["O_ACCMODE"] == known["O_RDONLY"]
    # O_ASYNC remembers the descriptor through which it was set.
    flags = file.flags & ~(known["O_LARGEFILE"] | known["FASYNC"])
    if reads in ends.spare and file.flags & known["O_ACCMODE"] != known["O_RDWR"]:
        fd = ends.spare.pop(reads)
        opening.fcntl(fd, "F_SETFL", flags)
    else:
        # A second open file of the same end; only its path leads to one.
        fd = opening.reopen({**ends.spare, **ends.used}[reads], flags, target)
    ends.used[reads] = target
    return fd


def _make(opening: Opening, pipe: records.Pipe) -> Ends:
    """Make a pipe out of the way of all targets, with capacity and bytes."""
    out = remote.Out(8)
    remote.call(opening.task, "pipe2", out, opening.known["O_NONBLOCK"])
    order = opening.process.arch.layout.byteorder
    reader, writer = (
        opening.aside(int.from_bytes(half, order))
        for half in (out.data[:4], out.data[4:])
    )
    _fill(opening, writer, pipe)
    return Ends({True: reader, False: writer}, {})


def _fill(opening: Opening, writer: int, pipe: records.Pipe) -> None:
    """Give a pipe its capacity and bytes."""
    try:
        opening.fcntl(writer, "F_SETPIPE_SZ", pipe.capacity)
    except RemoteCallError as error:
        raise opening.error(
            f"a pipe of {pipe.capacity} bytes cannot be made; see "
            "/proc/sys/fs/pipe-max-size",
            error,
        ) from error
    left = pipe.data
    while left:
        size = min(len(left), _CHUNK)
        done = remote.call(opening.task, "write", writer, left[:size], size)
        left = left[done:]


def open_fifo(opening: Opening, target: int, file: records.OpenFile) -> int:
    """
    Open an end of a named pipe.

    Both ends are held open meanwhile, so that opening one does not wait for the other.
    """
    known = opening.known
    if file.pipe not in opening.pipes:
        flags = known["O_RDWR"] | known["O_NONBLOCK"] | known["O_CLOEXEC"]
        both = opening.aside(opening.open(file.path, flags, target))
        opening.pipes[file.pipe] = Ends({}, {True: both, False: both})
        _check_empty(opening, both, file)
        _fill(opening, both, opening.context.pipes[file.pipe])
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
