"""
Locks of guests on files and ranges of them, which are real ones.

Each open file of a guest is one of ours, and so are its locks (flock, F_OFD_SETLK).  A
process's own locks (F_SETLK), which its table of descriptors owns, are those of an open
file that only that table has for the file.  So the kernel keeps who has locked what,
among guests and towards everybody else; telling which guest is in the way is done here.

Source: fcntl_locking(2), proc_pid_fdinfo(5).
"""

from __future__ import annotations

import errno
import fcntl
import os
import struct
from collections.abc import Iterator

from blcr.annotations import TYPE_CHECKING
from blcr.context import records
from blcr.record import Record

if TYPE_CHECKING:
    from blcr.host.emulated.files import Descriptors, OpenFile
    from blcr.host.emulated.machine import Machine
    from blcr.host.emulated.tasks import Guest

# struct flock64 of the machine that we run on: type, whence, start, length, pid.
_FLOCK = struct.Struct("@hhqqi0q")
END = (1 << 63) - 1
"""The last byte that a file can have."""
_LOCKABLE = {"file", "directory", "device", "memfd"}
_CHAIN = 10
"""How many who wait for one another are looked at, as the kernel does."""

Key = tuple[int, int]


class Range(Record):
    """A part of a file: ``F_*LCK`` of ours, the first byte and the last one."""

    type: int
    start: int
    end: int = END

    def hinders(self, other: Range) -> bool:
        """Tell whether nobody else can have another at the same time."""
        return (
            fcntl.F_WRLCK in {self.type, other.type}
            and self.start <= other.end
            and other.start <= self.end
        )

    def packed(self) -> bytes:
        """Return it for fcntl(2)."""
        size = 0 if self.end == END else self.end - self.start + 1
        return _FLOCK.pack(self.type, os.SEEK_SET, self.start, size, 0)


def _ask(fd: int, command: int, wanted: Range) -> Range:
    """Make a call of fcntl(2) with a lock."""
    kind, _, start, size, _ = _FLOCK.unpack(fcntl.fcntl(fd, command, wanted.packed()))
    return Range(kind, start, start + size - 1 if size else END)


# Locks of open files.


def of_file(file: OpenFile, fd: int) -> list[records.FileLock]:
    """Return the locks that an open file has, held through a descriptor."""
    kinds = {"FLOCK": "flock", "OFDLCK": "ofd"}
    return [
        records.FileLock(kinds[kind], fd, one.type == fcntl.F_WRLCK, one.start, one.end)
        for kind, one in _rows(file.fd)
        if kind in kinds
    ]


def _rows(fd: int) -> Iterator[tuple[str, Range]]:
    """Yield kind and range of the locks of an open file of ours."""
    with open(f"/proc/self/fdinfo/{fd}") as file:
        for line in file:
            name, _, rest = line.partition(":")
            if name == "lock":
                _, kind, _, access, _, _, start, end = rest.split()
                yield (
                    kind,
                    Range(
                        fcntl.F_WRLCK if access == "WRITE" else fcntl.F_RDLCK,
                        int(start),
                        END if end == "EOF" else int(end),
                    ),
                )


def take(file: OpenFile, wanted: Range) -> None:
    """Lock, or unlock, a range for an open file; EAGAIN where somebody hinders it."""
    _ask(file.fd, fcntl.F_OFD_SETLK, wanted)


def hindrance(file: OpenFile, wanted: Range) -> Range:
    """Return a lock that is in the way of an open file's; F_UNLCK if there is none."""
    return _ask(file.fd, fcntl.F_OFD_GETLK, wanted)


# Locks of processes.


def key_of(file: OpenFile) -> Key:
    """Return what file it is."""
    status = os.fstat(file.fd)
    return status.st_dev, status.st_ino


def of_table(table: Descriptors) -> Iterator[records.FileLock]:
    """Yield what a process has locked itself, with descriptors to lock it with."""
    for key, locker in table.lockers.items():
        fds = [(fd, e.file) for fd, e in table if e.file.kind in _LOCKABLE]
        fds = [(fd, file) for fd, file in fds if key_of(file) == key]
        for _, one in _rows(locker):
            write = one.type == fcntl.F_WRLCK
            useless = os.O_RDONLY if write else os.O_WRONLY
            fd = next(fd for fd, file in fds if file.flags & os.O_ACCMODE != useless)
            yield records.FileLock("posix", fd, write, one.start, one.end)


def take_own(table: Descriptors, file: OpenFile, wanted: Range) -> None:
    """Lock, or unlock, a range for a process; EAGAIN where somebody hinders it."""
    fd = table.lockers.get(key_of(file))
    if fd is None and wanted.type == fcntl.F_UNLCK:
        return
    _ask(_locker(table, file), fcntl.F_OFD_SETLK, wanted)


def own_hindrance(table: Descriptors, file: OpenFile, wanted: Range) -> Range:
    """Return a lock that is in the way of a process's; F_UNLCK if there is none."""
    return _ask(_locker(table, file), fcntl.F_OFD_GETLK, wanted)


def _locker(table: Descriptors, file: OpenFile) -> int:
    """Return the open file of ours that has a process's locks on a file."""
    if file.kind not in _LOCKABLE:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))
    key = key_of(file)
    if key not in table.lockers:
        table.lockers[key] = _open_again(file)
    return table.lockers[key]


def _open_again(file: OpenFile) -> int:
    """Open a file once more, for any lock that this one could be used for."""
    path = f"/proc/self/fd/{file.fd}"
    options = os.O_NONBLOCK | os.O_NOCTTY
    try:
        return os.open(path, os.O_RDWR | options)
    except OSError:
        return os.open(path, file.flags & os.O_ACCMODE | options)


def holder(machine: Machine, file: OpenFile, found: Range) -> Guest | None:
    """Return the guest that has a lock, if it is a process's own."""
    key = key_of(file)
    for guest in machine.guests.values():
        fd = guest.descriptors.lockers.get(key)
        if fd is not None and any(one == found for _, one in _rows(fd)):
            return guest
    return None


def would_wait_for_itself(guest: Guest, other: Guest | None) -> bool:
    """Tell whether, of those who wait for one another, one waits for a process."""
    for _ in range(_CHAIN):
        if other is None:
            return False
        if other.descriptors is guest.descriptors:
            return True
        waits = [one.wait for one in other.threads.values() if one.wait is not None]
        other = next((wait.lock_of for wait in waits if wait.lock_of), None)
    return False
