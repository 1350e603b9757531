"""
Where a context is written: a new file, an old one's place, a pipe, a descriptor.

A `Target` is a context manager.  Entering opens `Target.fd`, from whose offset on a
context is written, and changes nothing that is there; `commit` makes the file durable
and gives it its name; leaving without `commit` removes what was written.  An older file
of that name is untouched until the first byte is written, and with the policies
``atomic`` and ``backup`` until `commit`.
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
from contextlib import suppress

from blcr.annotations import Literal, Self
from blcr.errors import BusyError, TargetError

Policy = Literal["atomic", "backup", "clobber", "noclobber"]

MODE = 0o600
"""Of a context: it holds the memory of the program."""

BACKUP_LIMIT = 65536
"""Numbers tried for a backup named ``FILE.~N~``, as BLCR 0.8.5 does."""

_TEXTS = {
    errno.EBADF: "it is not open for writing",
    errno.EINVAL: "it is of a kind that a context cannot be written to",
    errno.EMLINK: "the file has other names, under which it would change, too",
    errno.ENXIO: "nobody has it open for reading",
}
"""What errors mean here, where the system's words do not say it."""

_EARLY = 32 << 20
"""Bytes after which the writing to the disk begins."""

_OPEN = os.O_WRONLY | os.O_NOCTTY | os.O_NONBLOCK | os.O_CLOEXEC


class Target:
    """
    The place of one context.

    Attributes:
        name: What messages call it.
        fd: The open descriptor, from entering to leaving.
    """

    def __init__(
        self,
        path: str | os.PathLike[str] | None = None,
        *,
        fd: int = -1,
        policy: Policy = "atomic",
        backup: str | os.PathLike[str] | None = None,
        sync: bool = True,
    ) -> None:
        """
        Describe a target: a file, or an open descriptor of the caller's.

        Args:
            path: The file; one that is there and is no regular file is written to as
                it is, whatever the policy.
            fd: A descriptor, written from its current offset; it stays open, and what
                was written stays there on failure.
            policy: ``"atomic"`` writes ``DIR/.NAME.tmp`` and renames it, ``"backup"``
                keeps the older file beside it, ``"clobber"`` writes over it,
                ``"noclobber"`` refuses if there is one.
            backup: The older file's new name; None: the first free ``FILE.~N~``.
            sync: Wait until file and folder are on the disk.
        """
        self.fd = fd
        self.name = f"descriptor {fd}" if path is None else os.fspath(path)
        self._path = None if path is None else os.fspath(path)
        self._policy = policy
        self._backup = None if backup is None else os.fspath(backup)
        self._sync = sync
        self._begun = 0
        """Up to where the writing to the disk has been begun."""
        self._written: str | None = None
        """What to remove on failure."""
        self._over: os.stat_result | None = None
        """An older file that is written over, as it was."""

    def __enter__(self) -> Self:
        """
        Open the target and change nothing that is there.

        Raises:
            TargetError: It cannot be written to; the exit status is the errno.
            BusyError: Another checkpoint is writing to it.
        """
        try:
            if self._path is None:
                self._check_descriptor()
            else:
                self._open(self._path)
        except OSError as error:
            self._leave()
            raise self.failure(error) from error
        except BaseException:
            self._leave()
            raise
        return self

    def advance(self) -> None:
        """
        Begin to bring to the disk what has been written, if that is a good deal.

        The kernel would start late, and `commit` wait for all of it.
        """
        if not self._sync:
            return
        try:
            end = os.lseek(self.fd, 0, os.SEEK_CUR)
            if end - self._begun >= _EARLY:
                # Starts the writing and waits for nothing: posix_fadvise(2), "Notes".
                size = end - self._begun
                os.posix_fadvise(self.fd, self._begun, size, os.POSIX_FADV_DONTNEED)
                self._begun = end
        except OSError:
            # A pipe, a socket, a device.
            return

    def commit(self) -> None:
        """
        Make the file durable and give it its name.

        The descriptor's offset is behind the last byte of the context.

        Raises:
            TargetError: The disk is full, for instance; leaving removes what there is.
        """
        try:
            if self._over is not None:
                os.ftruncate(self.fd, os.lseek(self.fd, 0, os.SEEK_CUR))
                self._over = None
            if self._sync:
                _sync(self.fd)
            if self._path is not None and self._written is not None:
                self._rename(self._written, self._path)
                self._written = None
                if self._sync:
                    _sync_folder(os.path.dirname(self._path) or ".")
        except OSError as error:
            raise self.failure(error) from error

    def __exit__(self, *_: object) -> None:
        """Remove what was written and not committed, and close."""
        self._leave()

    def failure(self, error: OSError) -> TargetError:
        """Return what to raise for an error in writing."""
        code = error.errno or errno.EIO
        text = _TEXTS.get(code, os.strerror(code).lower())
        return TargetError(f"{self.name}: {text}", status=code)

    def _leave(self) -> None:
        if self._over is not None and _changed(self._over, os.fstat(self.fd)):
            self._written = self._path
        if self._written is not None:
            with suppress(OSError):
                os.unlink(self._written)
            self._written = None
        if self._path is not None and self.fd >= 0:
            os.close(self.fd)
            self.fd = -1

    def _check_descriptor(self) -> None:
        if fcntl.fcntl(self.fd, fcntl.F_GETFL) & os.O_ACCMODE == os.O_RDONLY:
            raise OSError(errno.EBADF, "")
        _check(os.fstat(self.fd))

    def _open(self, path: str) -> None:
        """Open what to write to: the file itself, or one to be renamed to it."""
        if self._policy == "noclobber":
            self.fd = os.open(path, _OPEN | os.O_CREAT | os.O_EXCL, MODE)
            self._written = path
            return
        found = _stat(path)
        if found is None or stat.S_ISREG(found.st_mode):
            # Renaming replaces what a link points to, not the link.
            path = self._path = os.path.realpath(path)
        else:
            _check(found)
            self.fd = os.open(path, _OPEN)
            os.set_blocking(self.fd, True)
            return
        if self._policy == "clobber":
            self._open_over(path, found)
        else:
            self._open_beside(path)

    def _open_over(self, path: str, found: os.stat_result | None) -> None:
        if found is None:
            self.fd = os.open(path, _OPEN | os.O_CREAT | os.O_EXCL, MODE)
            self._written = path
            return
        _check(found)
        if not os.access(path, os.W_OK):
            os.unlink(path)
            self._open_over(path, None)
            return
        self.fd = os.open(path, _OPEN)
        self._over = found

    def _open_beside(self, path: str) -> None:
        """
        Open ``DIR/.NAME.tmp``, new or left by a checkpoint that was killed.

        A lock tells the two apart: the kernel lets it go when its holder dies.
        """
        folder, name = os.path.split(path)
        beside = os.path.join(folder, f".{name}.tmp")
        self.fd = os.open(beside, _OPEN | os.O_CREAT | os.O_NOFOLLOW, MODE)
        found = os.fstat(self.fd)
        _check(found)
        if found.st_uid != os.geteuid():
            raise TargetError(f"{beside}: somebody else's file", status=errno.EEXIST)
        try:
            fcntl.flock(self.fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            still_there = os.path.samestat(found, os.lstat(beside))
        except (BlockingIOError, FileNotFoundError):
            still_there = False
        # Between opening and locking its writer may have renamed it.
        if not still_there:
            raise BusyError(f"{path}: another checkpoint is writing to it")
        self._written = beside
        os.fchmod(self.fd, MODE)
        if os.fstat(self.fd).st_size:
            # Of a file that was truncated ext4 writes all to the disk on closing.
            os.ftruncate(self.fd, 0)

    def _rename(self, written: str, path: str) -> None:
        if written == path:
            return
        if self._policy != "backup" or not os.path.exists(path):
            os.replace(written, path)
            return
        backup = self._backup or _unused(path)
        os.replace(path, backup)
        try:
            os.replace(written, path)
        except OSError:
            os.replace(backup, path)
            raise


def _stat(path: str) -> os.stat_result | None:
    """Return what is there, or None."""
    try:
        return os.stat(path)
    except FileNotFoundError:
        return None


def _check(found: os.stat_result) -> None:
    """Refuse what is no place for a context, as BLCR 0.8.5 does."""
    mode = found.st_mode
    if stat.S_ISDIR(mode):
        raise OSError(errno.EISDIR, "")
    if stat.S_ISREG(mode) and found.st_nlink > 1:
        raise OSError(errno.EMLINK, "")
    if stat.S_ISBLK(mode):
        raise OSError(errno.EINVAL, "")


def _changed(before: os.stat_result, now: os.stat_result) -> bool:
    return (before.st_mtime_ns, before.st_size) != (now.st_mtime_ns, now.st_size)


def _unused(path: str) -> str:
    for number in range(1, BACKUP_LIMIT + 1):
        candidate = f"{path}.~{number}~"
        if not os.path.lexists(candidate):
            return candidate
    raise OSError(errno.EEXIST, "")


def _sync(fd: int) -> None:
    try:
        os.fsync(fd)
    except OSError as error:
        # A pipe, a socket, a device: there is nothing to wait for.
        if error.errno not in {errno.EINVAL, errno.EROFS}:
            raise


def _sync_folder(path: str) -> None:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except PermissionError:
        # One may write to a folder that one may not read; the file itself is safe.
        return
    try:
        _sync(fd)
    finally:
        os.close(fd)
