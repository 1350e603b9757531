"""
Locks on files: fcntl, flock.

Source: fcntl_locking(2), flock(2).
"""

from __future__ import annotations

import errno
import fcntl
import os

from blcr.annotations import Any
from blcr.host.emulated import locks
from blcr.host.emulated.calls.table import call, fail
from blcr.host.emulated.files import OpenFile
from blcr.host.emulated.locks import END, Range
from blcr.host.emulated.tasks import Blocked, Guest, Thread, Wait, signed

RETRY_NS = 2 * 10**6
"""How often to try again for what no descriptor tells of."""

_OWN = ("F_GETLK", "F_SETLK", "F_SETLKW")
_OWN_WIDE = ("F_GETLK64", "F_SETLK64", "F_SETLKW64")
_OF_FILE = ("F_OFD_GETLK", "F_OFD_SETLK", "F_OFD_SETLKW")
_TYPES = {
    "F_RDLCK": fcntl.F_RDLCK,
    "F_WRLCK": fcntl.F_WRLCK,
    "F_UNLCK": fcntl.F_UNLCK,
}
# What a lock needs of how the file was opened, by its type.
_NEEDS = {fcntl.F_RDLCK: os.O_WRONLY, fcntl.F_WRLCK: os.O_RDONLY}


def kind_of(guest: Guest, command: int) -> tuple[str, str] | None:
    """Return the command, and its structure, if it is one of locks on ranges."""
    narrow = guest.arch.word_size == 4
    kinds = [(_OWN, "flock"), (_OF_FILE, "flock64" if narrow else "flock")]
    if narrow:
        kinds.append((_OWN_WIDE, "flock64"))
    for names, structure in kinds:
        for name in names:
            if guest.constants[name] == command:
                return name, structure
    return None


def lock(thread: Thread, file: OpenFile, name: str, structure: str, at: int) -> int:
    """Lock or unlock a range of a file, or tell who is in the way."""
    guest = thread.guest
    row = guest.fetch(structure, at)
    of_file = name.startswith("F_OFD")
    if of_file and row["pid"]:
        raise fail(errno.EINVAL)
    wanted = _range(guest, file, row)
    if "GETLK" in name:
        _tell(guest, file, structure, (wanted, of_file), at)
        return 0
    if file.flags & os.O_ACCMODE == _NEEDS.get(wanted.type):
        raise fail(errno.EBADF)
    try:
        if of_file:
            locks.take(file, wanted)
        else:
            locks.take_own(guest.descriptors, file, wanted)
    except OSError as error:
        if "SETLKW" not in name or error.errno not in {errno.EAGAIN, errno.EACCES}:
            raise
    else:
        return 0
    wait = Wait(guest.machine.monotonic() + RETRY_NS)
    if not of_file:
        found = locks.own_hindrance(guest.descriptors, file, wanted)
        wait.lock_of = locks.holder(guest.machine, file, found)
        if locks.would_wait_for_itself(guest, wait.lock_of):
            raise fail(errno.EDEADLK)
    raise Blocked(wait)


def _range(guest: Guest, file: OpenFile, row: dict[str, Any]) -> Range:
    """Return which part of a file is meant."""
    kinds = {guest.constants[name]: ours for name, ours in _TYPES.items()}
    if row["type"] not in kinds:
        raise fail(errno.EINVAL)
    if row["whence"] == os.SEEK_SET:
        start = row["start"]
    elif row["whence"] == os.SEEK_CUR:
        start = row["start"] + os.lseek(file.fd, 0, os.SEEK_CUR)
    elif row["whence"] == os.SEEK_END:
        start = row["start"] + os.fstat(file.fd).st_size
    else:
        raise fail(errno.EINVAL)
    size = row["len"]
    start, end = (start + size, start - 1) if size < 0 else (start, start + size - 1)
    if start < 0:
        raise fail(errno.EINVAL)
    if max(start, end) > END:
        raise fail(errno.EOVERFLOW)
    return Range(kinds[row["type"]], start, end if size else END)


def _tell(
    guest: Guest, file: OpenFile, structure: str, wanted: tuple[Range, bool], at: int
) -> None:
    """Store which lock is in the way, if one is."""
    one, of_file = wanted
    if one.type == fcntl.F_UNLCK:
        raise fail(errno.EINVAL)
    if of_file:
        found = locks.hindrance(file, one)
    else:
        found = locks.own_hindrance(guest.descriptors, file, one)
    layout, names = guest.structure(structure), guest.constants
    if found.type == fcntl.F_UNLCK:
        field = layout.fields["type"]
        guest.store_int(at + field.offset, names["F_UNLCK"], field.type.size)
        return
    owner = locks.holder(guest.machine, file, found)
    ours = {ours: names[name] for name, ours in _TYPES.items()}
    guest.store(
        structure,
        at,
        type=ours[found.type],
        whence=os.SEEK_SET,
        start=found.start,
        len=0 if found.end == END else found.end - found.start + 1,
        # Others are open files, or out of sight.
        pid=owner.pid if owner else -1,
    )


@call("flock")
def flock(thread: Thread, fd: int, operation: int) -> int:
    """Lock a file."""
    file = thread.guest.descriptors.get(signed(fd))
    operation = signed(operation)
    try:
        fcntl.flock(file.fd, operation | fcntl.LOCK_NB)
    except BlockingIOError:
        if operation & fcntl.LOCK_NB:
            raise
        raise Blocked(Wait(thread.guest.machine.monotonic() + RETRY_NS)) from None
    return 0
