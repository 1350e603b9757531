"""
A process's descriptors, lent: what only shows through the open file itself.

pidfd_getfd(2) gives us a descriptor of the same open file.  Nothing is done with it
that the process could notice; in particular its offset is left alone.

Source: pidfd_getfd(2), fcntl(2), tee(2), timerfd_create(2), lseek(2), fstatfs(2).
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import os
import struct
import termios
from collections.abc import Iterator

from blcr.annotations import Self
from blcr.context import records
from blcr.errors import HostError, RefusedError, TaskGoneError
from blcr.host.interface import Contents, Run
from blcr.host.runs import data_of

_PIDFD_GETFD = 438
"""The same number on all architectures, as of every call since Linux 5.1."""
_PIDFD_THREAD = os.O_EXCL
"""Source: linux/pidfd.h, Linux 6.9."""
_SPLICE_F_NONBLOCK = 2
_F_GETOWN_EX = 16

_libc = ctypes.CDLL(None, use_errno=True)
_syscall = _libc.syscall
_syscall.argtypes = (ctypes.c_long,) * 4


class Lender:
    """A process whose descriptors are lent; a context manager."""

    def __init__(self, pid: int) -> None:
        try:
            self._holder = _open(pid)
        except ProcessLookupError as error:
            raise TaskGoneError(f"process {pid} has ended") from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._holder)

    def lend(self, fd: int) -> int:
        """Return a descriptor of ours for the open file at `fd`; the caller closes."""
        ours = int(_syscall(_PIDFD_GETFD, self._holder, fd, 0))
        if ours < 0:
            code = ctypes.get_errno()
            raise HostError(
                f"descriptor {fd} of a process cannot be looked at (pidfd_getfd: "
                f"{os.strerror(code)}); a container may forbid that"
            )
        return ours

    @contextlib.contextmanager
    def lent(self, fd: int) -> Iterator[int]:
        """Give a descriptor of ours for as long as the block."""
        ours = self.lend(fd)
        try:
            yield ours
        finally:
            os.close(ours)


def lend(pid: int, fd: int) -> int:
    """Return a descriptor of ours for the open file at `fd`; the caller closes it."""
    with Lender(pid) as lender:
        return lender.lend(fd)


def _open(pid: int) -> int:
    """
    Return a pidfd of a process, or of a thread whose leader has ended.

    Raises:
        RefusedError: It is a thread's, and the kernel older than Linux 6.9.
    """
    try:
        return os.pidfd_open(pid)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOENT):
            raise
    try:
        return os.pidfd_open(pid, _PIDFD_THREAD)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        raise RefusedError(
            pid,
            "its main thread has ended before the others, and this kernel does not "
            "lend descriptors of such a process",
        ) from error


@contextlib.contextmanager
def lent(pid: int, fd: int) -> Iterator[int]:
    """Give a descriptor of ours for the open file at `fd` for as long as the block."""
    with Lender(pid) as lender, lender.lent(fd) as ours:
        yield ours


def owner(ours: int) -> tuple[int, int, int]:
    """Return type and id of whom an open file signals (0: nobody), and the signal."""
    try:
        data = fcntl.fcntl(ours, _F_GETOWN_EX, bytes(8))
        signal = fcntl.fcntl(ours, fcntl.F_GETSIG)
    except OSError:
        # O_PATH.
        return (0, 0, 0)
    kind, number = struct.unpack("=ii", data)
    return (kind, number, signal) if number else (0, 0, signal)


def unread(ours: int) -> int:
    """Return how many bytes wait to be read."""
    data = fcntl.ioctl(ours, termios.FIONREAD, bytes(4))
    return int(struct.unpack("=i", data)[0])


def nobody_opposite(ours: int) -> bool:
    """Tell whether the other end of a pipe is closed everywhere."""
    import select

    poll = select.poll()
    poll.register(ours, 0)
    return bool(poll.poll(0))


def count_timer(ours: int) -> None:
    """Have a timer that has ended count how often since, as asking it does."""
    _libc.timerfd_gettime(ours, ctypes.create_string_buffer(32))


def set_timer_ticks(ours: int, command: int, ticks: int) -> None:
    """Set how often a timer has ended since it was read; the command is our ABI's."""
    fcntl.ioctl(ours, command, struct.pack("=Q", ticks))


def contents(pid: int, fd: int) -> Contents:
    """
    Return a descriptor of ours to read a regular file, and where it has data.

    Opened anew it has an offset of its own, which looking for data moves.  Where that
    is not permitted, or would break a lease, the program's own serves, and the whole
    of the file is data.

    Raises:
        RefusedError: It can be read in neither way.
    """
    ours = lend(pid, fd)
    size = os.fstat(ours).st_size
    try:
        if fcntl.fcntl(ours, fcntl.F_GETLEASE) == fcntl.F_UNLCK:
            with contextlib.suppress(PermissionError):
                path = f"/proc/{pid}/fd/{fd}"
                anew = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
                os.close(ours)
                return Contents(anew, size, data_of(anew, size))
        os.pread(ours, 1, 0)
    except OSError as error:
        os.close(ours)
        raise RefusedError(
            pid,
            f"descriptor {fd} is a file whose contents would have to be saved and may "
            f"not be read ({error.strerror})",
        ) from error
    return Contents(ours, size, [Run(0, size)] if size else [])


def pipe(pid: int, fd: int) -> records.Pipe:
    """
    Return capacity and bytes of a pipe; the bytes stay in it.

    Raises:
        RefusedError: The pipe is larger than this user may make one to copy it into.
    """
    theirs = os.open(f"/proc/{pid}/fd/{fd}", os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        capacity = fcntl.fcntl(theirs, fcntl.F_GETPIPE_SZ)
        reader, writer = os.pipe()
        try:
            fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, capacity)
            size = _libc.tee(
                theirs, writer, ctypes.c_size_t(capacity), _SPLICE_F_NONBLOCK
            )
            if size < 0 and ctypes.get_errno() != errno.EAGAIN:
                raise OSError(ctypes.get_errno(), "tee")
            os.close(writer)
            writer = -1
            parts = []
            while size > 0 and (part := os.read(reader, 1 << 20)):
                parts.append(part)
            # The last byte of a pipe in packet mode is read with its packet only.
            packets = tuple(map(len, parts)) if len(parts) > 1 else ()
            return records.Pipe(capacity, b"".join(parts), packets)
        except PermissionError as error:
            raise RefusedError(
                pid,
                f"descriptor {fd} is a pipe of {capacity} bytes, more than this user "
                "may have",
                hint="see /proc/sys/fs/pipe-max-size",
            ) from error
        finally:
            os.close(reader)
            if writer >= 0:
                os.close(writer)
    finally:
        os.close(theirs)
