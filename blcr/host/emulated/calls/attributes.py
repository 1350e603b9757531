"""
What belongs to files besides their contents: names, owners, modes, times, attributes.

Source: the manual pages, section 2; inode(7), xattr(7).
"""

from __future__ import annotations

import errno
import os
import time

from blcr.host.emulated.calls.table import call, fail, only, timed
from blcr.host.emulated.calls.time import NS
from blcr.host.emulated.files import host_path
from blcr.host.emulated.tasks import Guest, Thread, signed

_UTIME_NOW, _UTIME_OMIT = (1 << 30) - 1, (1 << 30) - 2
_VALUE_LIMIT = 1 << 16
_NO_ID = _DEVICES = 0xFFFF_FFFF
_MODES = 0xFFFF


def _path(guest: Guest, directory: int, path: int, *, follow: bool) -> str:
    return host_path(guest, signed(directory), guest.path(path), follow=follow)


def _here(thread: Thread, path: int, *, follow: bool = True) -> str:
    guest = thread.guest
    return _path(guest, guest.constants["AT_FDCWD"], path, follow=follow)


# Names.


@call("mknodat")
def mknodat(thread: Thread, directory: int, path: int, mode: int, device: int) -> int:
    """Make a special file."""
    guest = thread.guest
    where = _path(guest, directory, path, follow=False)
    mode &= _MODES & ~guest.umask
    os.mknod(where, mode, device & _DEVICES)
    return 0


@call("mknod")
def mknod(thread: Thread, path: int, mode: int, device: int) -> int:
    """Make a special file."""
    here = thread.guest.constants["AT_FDCWD"]
    return mknodat(thread, here, path, mode, device) or 0


@call("linkat")
def linkat(
    thread: Thread, old_directory: int, old: int, directory: int, new: int, flags: int
) -> int:
    """Give a file one more name."""
    guest, names = thread.guest, thread.guest.constants
    only(thread, "linkat", "AT_", flags, "AT_SYMLINK_FOLLOW AT_EMPTY_PATH")
    follow = bool(flags & names["AT_SYMLINK_FOLLOW"])
    if not guest.path(old) and flags & names["AT_EMPTY_PATH"]:
        source = f"/proc/self/fd/{guest.descriptors.get(signed(old_directory)).fd}"
        follow = True
    else:
        source = _path(guest, old_directory, old, follow=follow)
    target = _path(guest, directory, new, follow=False)
    os.link(source, target, follow_symlinks=follow)
    return 0


@call("symlinkat")
def symlinkat(thread: Thread, target: int, directory: int, path: int) -> int:
    """Make a symbolic link."""
    where = _path(thread.guest, directory, path, follow=False)
    os.symlink(thread.guest.path(target), where)
    return 0


# Owners and modes.


def _id(value: int) -> int:
    """Return a user or group, -1 for no change; they have no sign otherwise."""
    value &= _NO_ID
    return -1 if value == _NO_ID else value


@call("fchownat")
def fchownat(
    thread: Thread, directory: int, path: int, uid: int, gid: int, flags: int
) -> int:
    """Change a file's owner."""
    guest, names = thread.guest, thread.guest.constants
    only(thread, "fchownat", "AT_", flags, "AT_SYMLINK_NOFOLLOW AT_EMPTY_PATH")
    if not guest.path(path) and flags & names["AT_EMPTY_PATH"]:
        return fchown(thread, directory, uid, gid) or 0
    follow = not flags & names["AT_SYMLINK_NOFOLLOW"]
    where = _path(guest, directory, path, follow=follow)
    os.chown(where, _id(uid), _id(gid), follow_symlinks=follow)
    return 0


@call("chown", "chown32")
def chown(thread: Thread, path: int, uid: int, gid: int) -> int:
    """Change a file's owner."""
    os.chown(_here(thread, path), _id(uid), _id(gid))
    return 0


@call("lchown", "lchown32")
def lchown(thread: Thread, path: int, uid: int, gid: int) -> int:
    """Change a symbolic link's owner."""
    where = _here(thread, path, follow=False)
    os.lchown(where, _id(uid), _id(gid))
    return 0


@call("fchown", "fchown32")
def fchown(thread: Thread, fd: int, uid: int, gid: int) -> int:
    """Change a file's owner."""
    file = thread.guest.descriptors.get(signed(fd))
    os.fchown(file.fd, _id(uid), _id(gid))
    return 0


@call("fchmodat")
def fchmodat(thread: Thread, directory: int, path: int, mode: int) -> int:
    """Change who may do what with a file."""
    where = _path(thread.guest, directory, path, follow=True)
    os.chmod(where, mode & 0o7777)
    return 0


@call("fchmodat2")
def fchmodat2(thread: Thread, directory: int, path: int, mode: int, flags: int) -> int:
    """Change who may do what with a file."""
    guest = thread.guest
    only(thread, "fchmodat2", "AT_", flags, "AT_SYMLINK_NOFOLLOW AT_EMPTY_PATH")
    if not guest.path(path) and flags & guest.constants["AT_EMPTY_PATH"]:
        os.fchmod(guest.descriptors.get(signed(directory)).fd, mode & 0o7777)
        return 0
    if flags & guest.constants["AT_SYMLINK_NOFOLLOW"] and os.path.islink(
        _path(guest, directory, path, follow=False)
    ):
        raise fail(errno.EOPNOTSUPP)
    return fchmodat(thread, directory, path, mode) or 0


# Times.


@timed(utimensat="timespec", utimensat_time64="timespec64")
def utimensat(
    thread: Thread, unit: str, directory: int, path: int, values: int, flags: int
) -> int:
    """Set the times of last access and change."""
    guest, names = thread.guest, thread.guest.constants
    only(thread, "utimensat", "AT_", flags, "AT_SYMLINK_NOFOLLOW AT_EMPTY_PATH")
    follow = not flags & names["AT_SYMLINK_NOFOLLOW"]
    name = guest.path(path) if path else ""
    if name or (path and not flags & names["AT_EMPTY_PATH"]):
        where: str | int = host_path(guest, signed(directory), name, follow=follow)
    else:
        where = guest.descriptors.get(signed(directory)).fd
        follow = True
    size = guest.structure(unit).size
    rows = [guest.fetch(unit, values + i * size) for i in (0, 1)] if values else []
    _set_times(where, [(row["sec"], row["nsec"]) for row in rows], follow=follow)
    return 0


def _set_times(
    where: str | int, times: list[tuple[int, int]], *, follow: bool = True
) -> None:
    """Set times given as seconds and ns, or what utimensat(2) has instead of ns."""
    if not times:
        os.utime(where, follow_symlinks=follow)
        return
    before = os.stat(where, follow_symlinks=follow)
    kept, found = (before.st_atime_ns, before.st_mtime_ns), []
    for (seconds, rest), old in zip(times, kept, strict=True):
        if rest == _UTIME_NOW:
            found.append(time.time_ns())
        elif rest == _UTIME_OMIT:
            found.append(old)
        elif 0 <= rest < NS:
            found.append(seconds * NS + rest)
        else:
            raise fail(errno.EINVAL)
    os.utime(where, ns=(found[0], found[1]), follow_symlinks=follow)


@call("utimes")
def utimes(thread: Thread, path: int, values: int) -> int:
    """Set the times of last access and change, in microseconds."""
    return futimesat(thread, thread.guest.constants["AT_FDCWD"], path, values) or 0


@call("futimesat")
def futimesat(thread: Thread, directory: int, path: int, values: int) -> int:
    """Set the times of last access and change, in microseconds."""
    guest = thread.guest
    size = guest.structure("timeval").size
    rows = [guest.fetch("timeval", values + i * size) for i in (0, 1)] if values else []
    where = _path(guest, directory, path, follow=True)
    _set_times(where, [(row["sec"], row["usec"] * 1000) for row in rows])
    return 0


@call("utime")
def utime(thread: Thread, path: int, values: int) -> int:
    """Set the times of last access and change, in seconds."""
    guest, times = thread.guest, []
    if values:
        word, bits = guest.arch.word_size, 8 * guest.arch.word_size
        seconds = [guest.fetch_word(values + i * word) for i in (0, 1)]
        times = [(signed(value, bits), 0) for value in seconds]
    _set_times(_here(thread, path), times)
    return 0


# Extended attributes.


def _attributes(name: str, *, follow: bool, by_fd: bool) -> None:
    """Enter the calls for one way to name a file."""

    def where(thread: Thread, file: int) -> str | int:
        if by_fd:
            return thread.guest.descriptors.get(signed(file)).fd
        return _here(thread, file, follow=follow)

    @call(f"{name}getxattr")
    def get(thread: Thread, file: int, key: int, result: int, size: int) -> int:
        path = where(thread, file)
        data = os.getxattr(path, thread.guest.path(key), follow_symlinks=follow)
        return _give(thread.guest, data, result, size)

    @call(f"{name}listxattr")
    def list_(thread: Thread, file: int, result: int, size: int) -> int:
        keys = os.listxattr(where(thread, file), follow_symlinks=follow)
        data = b"".join(os.fsencode(key) + b"\0" for key in keys)
        return _give(thread.guest, data, result, size)

    @call(f"{name}setxattr")
    def set_(
        thread: Thread, file: int, key: int, value: int, size: int, flags: int
    ) -> int:
        guest, path = thread.guest, where(thread, file)
        if size > _VALUE_LIMIT:
            raise fail(errno.E2BIG)
        data = guest.space.read(value, size)
        os.setxattr(path, guest.path(key), data, signed(flags), follow_symlinks=follow)
        return 0

    @call(f"{name}removexattr")
    def remove(thread: Thread, file: int, key: int) -> int:
        path = where(thread, file)
        os.removexattr(path, thread.guest.path(key), follow_symlinks=follow)
        return 0


def _give(guest: Guest, data: bytes, result: int, size: int) -> int:
    if size:
        if len(data) > size:
            raise fail(errno.ERANGE)
        guest.space.write(result, data)
    return len(data)


_attributes("", follow=True, by_fd=False)
_attributes("l", follow=False, by_fd=False)
_attributes("f", follow=True, by_fd=True)
