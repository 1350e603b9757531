"""
What the descriptors of a process refer to.

Source: proc_pid_fd(5), proc_pid_fdinfo(5), kcmp(2), tee(2).
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import stat
from collections.abc import Callable, Mapping
from typing import NamedTuple

from blcr.context import records
from blcr.errors import RefusedError, TaskGoneError
from blcr.host.interface import DescriptorFacts
from blcr.host.native import procfs

_MEMORY_DEVICES = {(1, 3), (1, 5), (1, 7), (1, 8), (1, 9)}
"""null, zero, full, random, urandom: nothing of them is anybody's own."""

_TERMINAL_MAJORS = {4, 136, 137, 138, 139, 140, 141, 142, 143, 204}
_CONTROLLING_TERMINAL = (5, 0)

_KCMP_FILE = 0
_SPLICE_F_NONBLOCK = 2

_libc = ctypes.CDLL(None, use_errno=True)


class _Seen(NamedTuple):
    """A descriptor as /proc shows it."""

    fd: int
    label: str
    info: Mapping[str, list[str]]
    stat: os.stat_result

    @property
    def flags(self) -> int:
        """``O_*`` of the process's architecture, O_CLOEXEC included."""
        return int(self.info["flags"][0], 8)

    @property
    def offset(self) -> int:
        """Bytes."""
        return int(self.info["pos"][0])


def descriptors(
    pid: int, kcmp_number: int, cloexec: int, direct: int
) -> list[DescriptorFacts]:
    """
    Return the descriptors of a stopped process.

    Args:
        pid: The process as the checkpointer sees it.
        kcmp_number: Number of kcmp(2) for this Python.
        cloexec, direct: O_CLOEXEC and O_DIRECT of the process's architecture.
    """
    seen = []
    for fd in procfs.descriptor_numbers(pid):
        path = f"/proc/{pid}/fd/{fd}"
        try:
            label = os.readlink(path)  # noqa: PTH115
            status = os.stat(path)  # noqa: PTH116  pathlib costs 8 ms
        except FileNotFoundError as error:
            raise TaskGoneError(f"process {pid} has ended") from error
        seen.append(_Seen(fd, label, procfs.descriptor_info(pid, fd), status))
    shared = _descriptions(pid, seen, kcmp_number, cloexec)
    ends: dict[int, set[int]] = {}
    for one in seen:
        if stat.S_ISFIFO(one.stat.st_mode):
            ends.setdefault(one.stat.st_ino, set()).add(one.flags & os.O_ACCMODE)
    standard = {shared[one.fd]: one.fd for one in reversed(seen) if one.fd <= 2}
    return [
        _facts(pid, one, shared[one.fd], ends, standard, cloexec, direct)
        for one in seen
    ]


def _descriptions(
    pid: int, seen: list[_Seen], kcmp_number: int, cloexec: int
) -> dict[int, int]:
    """Return for each descriptor the lowest one that shares its open file."""

    def same(one: int, other: int) -> bool:
        result = _libc.syscall(
            ctypes.c_long(kcmp_number), pid, pid, _KCMP_FILE,
            ctypes.c_ulong(one), ctypes.c_ulong(other),
        )  # fmt: skip
        return bool(result == 0)

    alike: dict[tuple[object, ...], list[int]] = {}
    shared = {}
    for one in seen:
        key = (
            one.stat.st_dev, one.stat.st_ino, one.label, one.offset,
            one.flags & ~cloexec,
        )  # fmt: skip
        firsts = alike.setdefault(key, [])
        for first in firsts:
            if same(first, one.fd):
                shared[one.fd] = first
                break
        else:
            firsts.append(one.fd)
            shared[one.fd] = one.fd
    return shared


def _facts(
    pid: int,
    one: _Seen,
    description: int,
    ends: Mapping[int, set[int]],
    standard: Mapping[int, int],
    cloexec: int,
    direct: int,
) -> DescriptorFacts:
    """Return what one descriptor is."""
    status = one.stat
    file = records.OpenFile(
        kind="",
        path=one.label,
        flags=one.flags & ~cloexec,
        offset=one.offset,
        device=status.st_dev,
        inode=status.st_ino,
        mode=status.st_mode,
        size=status.st_size if stat.S_ISREG(status.st_mode) else 0,
        rdev=status.st_rdev,
    )
    kind, refused, deleted = _kind(pid, one, ends, direct)
    if kind in ("", "terminal"):
        terminal = kind == "terminal"
        if description in standard:
            kind, refused = "inherited", ""
            file = file._replace(terminal=terminal, state=((standard[description],),))
        elif terminal:
            kind, refused = "inherited", ""
            file = file._replace(terminal=True)
    elif kind in _STATES:
        file = file._replace(state=_STATES[kind](one.info))
    return DescriptorFacts(
        one.fd,
        description,
        file._replace(kind=kind),
        bool(one.flags & cloexec),
        one.label,
        deleted,
        refused,
    )


def _kind(
    pid: int, one: _Seen, ends: Mapping[int, set[int]], direct: int
) -> tuple[str, str, bool]:
    """Return the kind of an open file, why it is refused, whether it is deleted."""
    mode = one.stat.st_mode
    device = os.major(one.stat.st_rdev), os.minor(one.stat.st_rdev)
    if one.label.startswith("anon_inode:"):
        kind = one.label.removeprefix("anon_inode:").strip("[]")
        if kind == "eventpoll":
            return "epoll", "", False
        if kind == "eventfd":
            return "eventfd", "", False
        return "", f"an object of kind {kind}", False
    if one.flags & os.O_PATH and not stat.S_ISDIR(mode):
        return "", "a file opened with O_PATH", False
    if stat.S_ISREG(mode) or stat.S_ISDIR(mode):
        kind = "file" if stat.S_ISREG(mode) else "directory"
        if one.label.startswith("/memfd:"):
            return "", "a memory file (memfd)", True
        if not _is_there(pid, one):
            return "", f"a {kind} that was deleted or replaced", True
        return kind, "", False
    if stat.S_ISCHR(mode):
        if device in _MEMORY_DEVICES:
            return "device", "", False
        if device == _CONTROLLING_TERMINAL or device[0] in _TERMINAL_MAJORS:
            return "terminal", "", False
        return "", f"the character device {one.label}", False
    if stat.S_ISFIFO(mode):
        if not one.label.startswith("pipe:"):
            return "", "a named pipe", False
        inside = ends[one.stat.st_ino]
        both = os.O_RDWR in inside or {os.O_RDONLY, os.O_WRONLY} <= inside
        if not both:
            return "", "a pipe whose other end is outside", False
        return (
            ("", "a pipe in packet mode", False)
            if one.flags & direct
            else ("pipe", "", False)
        )
    if stat.S_ISSOCK(mode):
        return "", "a socket", False
    return "", "a file of unknown kind", False


def _is_there(pid: int, one: _Seen) -> bool:
    """Tell whether the path of a descriptor still leads to the same file."""
    try:
        found = os.stat(f"/proc/{pid}/root{one.label}")  # noqa: PTH116
    except OSError as error:
        return error.errno == errno.EACCES
    return (found.st_dev, found.st_ino) == (one.stat.st_dev, one.stat.st_ino)


def _eventfd(info: Mapping[str, list[str]]) -> tuple[tuple[int, ...], ...]:
    """Return counter and semaphore mode."""
    semaphore = int(info.get("eventfd-semaphore", ["0"])[0])
    return ((int(info["eventfd-count"][0], 16), semaphore),)


def _epoll(info: Mapping[str, list[str]]) -> tuple[tuple[int, ...], ...]:
    """Return (descriptor, events, data, inode) of each that is watched."""
    watched = []
    for row in info.get("tfd", []):
        words = row.replace(":", ": ").split()
        values = dict(zip(words[1::2], words[2::2], strict=False))
        watched.append(
            (
                int(words[0]),
                int(values["events:"], 16),
                int(values["data:"], 16),
                int(values.get("ino:", "0"), 16),
            )
        )
    return tuple(watched)


_STATES: dict[str, Callable[[Mapping[str, list[str]]], tuple[tuple[int, ...], ...]]] = {
    "eventfd": _eventfd,
    "epoll": _epoll,
}


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
            data = b""
            while size > 0 and (part := os.read(reader, 1 << 20)):
                data += part
            return records.Pipe(capacity, data)
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
