"""
Locks and leases on files.

They are taken again when all descriptors are there: closing any of a file's would give
up its POSIX locks.

Source: flock(2), fcntl(2), proc_locks(5).
"""

from __future__ import annotations

import errno

from blcr.context import records
from blcr.errors import RemoteCallError
from blcr.linux import structures
from blcr.resources.opening import Opening

_END = (1 << 63) - 1
_TAKEN = (errno.EAGAIN, errno.EACCES)


def rebuild(opening: Opening) -> None:
    """
    Take the locks of a process.

    Raises:
        RestartError: Somebody else has one.
    """
    for lock in opening.record.locks:
        try:
            _TAKE[lock.kind](opening, lock)
        except RemoteCallError as error:
            files = {one.fd: one.file for one in opening.record.descriptors}
            path = opening.context.files[files[lock.fd]].path
            what = f"the {lock.kind} lock on '{path}' (descriptor {lock.fd})"
            if error.errno in _TAKEN:
                what += " is held by somebody else, or the file is open elsewhere; end"
                what += " who has it"
            raise opening.error(f"{what} cannot be taken again: {error}", error) from (
                error
            )


def _flock(opening: Opening, lock: records.FileLock) -> None:
    """Take a lock of flock(2)."""
    known = opening.known
    how = known["LOCK_EX"] if lock.write else known["LOCK_SH"]
    opening.task.call("flock", lock.fd, how | known["LOCK_NB"])


def _range(opening: Opening, lock: records.FileLock) -> None:
    """Take a lock on a range of bytes, of the process or of the open file."""
    known, arch = opening.known, opening.process.arch
    wide = "fcntl64" in arch.syscalls
    layout = structures.of(arch, "flock64" if wide else "flock")
    packed = layout.pack(
        type=known["F_WRLCK"] if lock.write else known["F_RDLCK"],
        whence=known["SEEK_SET"],
        start=lock.start,
        len=0 if lock.end == _END else lock.end - lock.start + 1,
    )
    command = "F_SETLK64" if wide else "F_SETLK"
    command = "F_OFD_SETLK" if lock.kind == "ofd" else command
    opening.fcntl_with(lock.fd, command, packed)


def _lease(opening: Opening, lock: records.FileLock) -> None:
    """Take a lease."""
    kind = opening.known["F_WRLCK" if lock.write else "F_RDLCK"]
    opening.fcntl(lock.fd, "F_SETLEASE", kind)


_TAKE = {"flock": _flock, "posix": _range, "ofd": _range, "lease": _lease}
