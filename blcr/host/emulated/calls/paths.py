"""
What files are, and changing what there is: the calls that take names.

Source: the manual pages, section 2.
"""

from __future__ import annotations

import ctypes
import errno
import os
from pathlib import Path

from blcr.host.emulated import proc
from blcr.host.emulated.calls.files import too_large
from blcr.host.emulated.calls.table import call, fail, only
from blcr.host.emulated.calls.time import NS
from blcr.host.emulated.files import (
    OpenFile,
    host_path,
    in_proc,
    own_link,
    own_proc,
)
from blcr.host.emulated.tasks import Guest, Thread, signed

# AT_FDCWD of this machine.
_HERE = -100
_libc = ctypes.CDLL(None, use_errno=True)


def _here(thread: Thread, path: int) -> str:
    guest = thread.guest
    return host_path(guest, guest.constants["AT_FDCWD"], guest.path(path))


# What keeps file systems from being asked or mounted is nothing to ours.
_STAT_FLAGS = """
    AT_SYMLINK_NOFOLLOW AT_EMPTY_PATH AT_NO_AUTOMOUNT AT_STATX_FORCE_SYNC
    AT_STATX_DONT_SYNC
"""


def _stat_at(guest: Guest, directory: int, path: str, flags: int) -> os.stat_result:
    names = guest.constants
    if not path and flags & names["AT_EMPTY_PATH"]:
        if directory == names["AT_FDCWD"]:
            return os.stat(guest.cwd)
        return os.fstat(guest.descriptors.get(directory).fd)
    follow = not flags & names["AT_SYMLINK_NOFOLLOW"]
    path = in_proc(path) if follow or path.startswith("/dev/fd/") else path
    if follow and path.startswith("/proc/"):
        owner, rest = own_proc(guest, path) or (guest, "")
        if rest.startswith("fd/") and rest[3:].isdecimal():
            return os.fstat(owner.descriptors.get(int(rest[3:])).fd)
        path = own_link(guest, path) or path
    path = proc.stand_in(guest, path)
    where = Path(host_path(guest, directory, path, follow=follow))
    return where.stat(follow_symlinks=follow)


def _store_stat(guest: Guest, name: str, address: int, status: os.stat_result) -> int:
    times = {}
    for field in ("atime", "mtime", "ctime"):
        ns = getattr(status, f"st_{field}_ns")
        times[field], times[f"{field}_nsec"] = divmod(ns, NS)
    guest.store(
        name,
        address,
        dev=status.st_dev,
        ino=status.st_ino,
        mode=status.st_mode,
        nlink=status.st_nlink,
        uid=status.st_uid,
        gid=status.st_gid,
        rdev=status.st_rdev,
        size=status.st_size,
        blksize=status.st_blksize,
        blocks=status.st_blocks,
        **times,
    )
    return 0


@call("newfstatat")
def newfstatat(
    thread: Thread, directory: int, path: int, result: int, flags: int
) -> int:
    """Tell about a file."""
    guest = thread.guest
    only(thread, "newfstatat", "AT_", flags, _STAT_FLAGS)
    status = _stat_at(guest, signed(directory), guest.path(path), flags)
    return _store_stat(guest, "stat", result, status)


@call("fstatat64")
def fstatat64(
    thread: Thread, directory: int, path: int, result: int, flags: int
) -> int:
    """Tell about a file."""
    guest = thread.guest
    only(thread, "fstatat64", "AT_", flags, _STAT_FLAGS)
    status = _stat_at(guest, signed(directory), guest.path(path), flags)
    return _store_stat(guest, "stat64", result, status)


def _enter_stat(name: str, structure: str, *, follow: bool) -> None:
    @call(name)
    def stat(thread: Thread, path: int, result: int) -> int:
        guest = thread.guest
        flags = 0 if follow else guest.constants["AT_SYMLINK_NOFOLLOW"]
        here = guest.constants["AT_FDCWD"]
        status = _stat_at(guest, here, guest.path(path), flags)
        return _store_stat(guest, structure, result, status)


def _enter_fstat(name: str, structure: str) -> None:
    @call(name)
    def fstat(thread: Thread, fd: int, result: int) -> int:
        status = os.fstat(thread.guest.descriptors.get(signed(fd)).fd)
        return _store_stat(thread.guest, structure, result, status)


_enter_stat("stat", "stat", follow=True)
_enter_stat("lstat", "stat", follow=False)
_enter_stat("stat64", "stat64", follow=True)
_enter_stat("lstat64", "stat64", follow=False)
_enter_fstat("fstat", "stat")
_enter_fstat("fstat64", "stat64")


@call("statx")
def statx(
    thread: Thread, directory: int, path: int, flags: int, mask: int, result: int
) -> int:
    """Tell about a file."""
    guest = thread.guest
    only(thread, "statx", "AT_", flags, _STAT_FLAGS)
    if mask >> 31 & 1:
        raise fail(errno.EINVAL)
    status = _stat_at(guest, signed(directory), guest.path(path), flags)
    times = {}
    for field in ("atime", "mtime", "ctime"):
        sec, nsec = divmod(getattr(status, f"st_{field}_ns"), NS)
        times[field] = {"sec": sec, "nsec": nsec}
    guest.store(
        "statx",
        result,
        mask=guest.constants["STATX_BASIC_STATS"],
        blksize=status.st_blksize,
        nlink=status.st_nlink,
        uid=status.st_uid,
        gid=status.st_gid,
        mode=status.st_mode,
        ino=status.st_ino,
        size=status.st_size,
        blocks=status.st_blocks,
        rdev_major=os.major(status.st_rdev),
        rdev_minor=os.minor(status.st_rdev),
        dev_major=os.major(status.st_dev),
        dev_minor=os.minor(status.st_dev),
        **times,
    )
    return 0


class _StatFs(ctypes.Structure):
    """``struct statfs64`` of this machine."""

    _fields_ = (
        *((name, ctypes.c_ulong) for name in ("type", "bsize")),
        *((n, ctypes.c_uint64) for n in "blocks bfree bavail files ffree".split()),
        ("fsid", ctypes.c_int * 2),
        *((name, ctypes.c_ulong) for name in ("namelen", "frsize", "flags")),
        ("spare", ctypes.c_long * 4),
    )


def _store_statfs(thread: Thread, name: str, result: int, file: OpenFile | str) -> int:
    guest, found = thread.guest, _StatFs()
    place = ctypes.byref(found)
    if isinstance(file, str):
        failed = _libc.statfs64(os.fsencode(file), place)
    else:
        failed = _libc.fstatfs64(file.fd, place)
    if failed:
        raise fail(ctypes.get_errno())
    fields = {*guest.structure(name).fields} - {"fsid"}
    values = {field: getattr(found, field) for field in fields}
    guest.store(name, result, fsid=tuple(found.fsid), **values)
    return 0


@call("fstatfs")
def fstatfs(thread: Thread, fd: int, result: int) -> int:
    """Tell about the file system of a file."""
    file = thread.guest.descriptors.get(signed(fd))
    return _store_statfs(thread, "statfs", result, file)


@call("fstatfs64")
def fstatfs64(thread: Thread, fd: int, size: int, result: int) -> int:
    """Tell about the file system of a file."""
    file = thread.guest.descriptors.get(signed(fd))
    if size < thread.guest.structure("statfs64").size:
        raise fail(errno.EINVAL)
    return _store_statfs(thread, "statfs64", result, file)


@call("statfs")
def statfs(thread: Thread, path: int, result: int) -> int:
    """Tell about a file system."""
    return _store_statfs(thread, "statfs", result, _here(thread, path))


@call("statfs64")
def statfs64(thread: Thread, path: int, size: int, result: int) -> int:
    """Tell about a file system."""
    if size < thread.guest.structure("statfs64").size:
        raise fail(errno.EINVAL)
    return _store_statfs(thread, "statfs64", result, _here(thread, path))


@call("access")
def access(thread: Thread, path: int, mode: int) -> int:
    """Check what may be done with a file."""
    where = thread.guest.constants["AT_FDCWD"]
    return faccessat(thread, where, path, mode) or 0


@call("faccessat")
def faccessat(thread: Thread, directory: int, path: int, mode: int) -> int:
    """Check what may be done with a file."""
    return faccessat2(thread, directory, path, mode, 0) or 0


@call("faccessat2")
def faccessat2(thread: Thread, directory: int, path: int, mode: int, flags: int) -> int:
    """Check what may be done with a file, or with a link itself."""
    guest, names = thread.guest, thread.guest.constants
    served = "AT_EACCESS AT_SYMLINK_NOFOLLOW AT_EMPTY_PATH"
    only(thread, "faccessat2", "AT_", flags, served)
    if mode & ~(os.R_OK | os.W_OK | os.X_OK):
        raise fail(errno.EINVAL)
    follow = not flags & names["AT_SYMLINK_NOFOLLOW"]
    name = guest.path(path)
    if not name and flags & names["AT_EMPTY_PATH"]:
        where = _opened(guest, directory)
    else:
        if follow:
            name = own_link(guest, name) or name
        name = proc.stand_in(guest, name)
        where = host_path(guest, signed(directory), name, follow=follow)
    os.stat(where, follow_symlinks=follow)
    effective = bool(flags & names["AT_EACCESS"])
    if not os.access(where, mode, effective_ids=effective, follow_symlinks=follow):
        raise fail(errno.EACCES)
    return 0


def _opened(guest: Guest, fd: int) -> str:
    """Return a path of ours that leads to what a descriptor, or AT_FDCWD, is."""
    if signed(fd) == guest.constants["AT_FDCWD"]:
        return guest.cwd
    return f"/proc/self/fd/{guest.descriptors.get(signed(fd)).fd}"


@call("readlinkat")
def readlinkat(
    thread: Thread, directory: int, path: int, result: int, size: int
) -> int:
    """Tell where a symbolic link leads."""
    guest = thread.guest
    name = guest.path(path)
    target = own_link(guest, name)
    if target is None:
        target = os.readlink(host_path(guest, signed(directory), name))
    data = os.fsencode(target)[:size]
    guest.space.write(result, data)
    return len(data)


@call("readlink")
def readlink(thread: Thread, path: int, result: int, size: int) -> int:
    """Tell where a symbolic link leads."""
    here = thread.guest.constants["AT_FDCWD"]
    return readlinkat(thread, here, path, result, size) or 0


@call("getcwd")
def getcwd(thread: Thread, result: int, size: int) -> int:
    """Tell the current directory."""
    data = os.fsencode(thread.guest.cwd) + b"\0"
    if len(data) > size:
        raise fail(errno.ERANGE)
    thread.guest.space.write(result, data)
    return len(data)


@call("chdir")
def chdir(thread: Thread, path: int) -> int:
    """Change the current directory."""
    guest = thread.guest
    where = os.path.realpath(_here(thread, path))
    os.close(os.open(where, os.O_PATH | os.O_DIRECTORY))
    sysroot = guest.machine.sysroot
    guest.cwd = where.removeprefix(sysroot) or "/" if sysroot else where
    return 0


@call("fchdir")
def fchdir(thread: Thread, fd: int) -> int:
    """Change the current directory."""
    file = thread.guest.descriptors.get(signed(fd))
    if file.kind != "directory":
        raise fail(errno.ENOTDIR)
    thread.guest.cwd = file.path
    return 0


# Changing what there is.


@call("truncate64", wide=(1,))
@call("truncate")
def truncate(thread: Thread, path: int, size: int) -> int:
    """Change the size of a file."""
    guest = thread.guest
    if size > guest.limits[guest.constants["RLIMIT_FSIZE"]][0]:
        raise too_large(thread)
    os.truncate(_here(thread, path), signed(size, 64))
    return 0


@call("mkdirat")
def mkdirat(thread: Thread, directory: int, path: int, mode: int) -> int:
    """Make a directory."""
    guest = thread.guest
    where = host_path(guest, signed(directory), guest.path(path))
    os.mkdir(where, mode & 0o7777 & ~guest.umask)
    return 0


@call("mkdir")
def mkdir(thread: Thread, path: int, mode: int) -> int:
    """Make a directory."""
    return mkdirat(thread, thread.guest.constants["AT_FDCWD"], path, mode) or 0


@call("unlinkat")
def unlinkat(thread: Thread, directory: int, path: int, flags: int) -> int:
    """Remove a name."""
    guest = thread.guest
    only(thread, "unlinkat", "AT_", flags, "AT_REMOVEDIR")
    where = host_path(guest, signed(directory), guest.path(path))
    if flags & guest.constants["AT_REMOVEDIR"]:
        os.rmdir(where)
    else:
        os.unlink(where)
    return 0


@call("unlink")
def unlink(thread: Thread, path: int) -> int:
    """Remove a name."""
    return unlinkat(thread, thread.guest.constants["AT_FDCWD"], path, 0) or 0


@call("rmdir")
def rmdir(thread: Thread, path: int) -> int:
    """Remove a directory."""
    names = thread.guest.constants
    return unlinkat(thread, names["AT_FDCWD"], path, names["AT_REMOVEDIR"]) or 0


@call("renameat2")
def renameat2(
    thread: Thread, old_directory: int, old: int, new_directory: int, new: int, how: int
) -> int:
    """Give a file another name, perhaps only a new one, or the other's."""
    guest = thread.guest
    only(thread, "renameat2", "RENAME_", how, "RENAME_NOREPLACE RENAME_EXCHANGE")
    source, target = (
        os.fsencode(host_path(guest, signed(directory), guest.path(path)))
        for directory, path in ((old_directory, old), (new_directory, new))
    )
    # Paths that do not begin at the root are below our own /proc/self/fd.
    if _libc.renameat2(_HERE, source, _HERE, target, how):
        raise fail(ctypes.get_errno())
    return 0


@call("renameat")
def renameat(
    thread: Thread, old_directory: int, old: int, new_directory: int, new: int
) -> int:
    """Give a file another name."""
    guest = thread.guest
    os.rename(
        host_path(guest, signed(old_directory), guest.path(old)),
        host_path(guest, signed(new_directory), guest.path(new)),
    )
    return 0


@call("rename")
def rename(thread: Thread, old: int, new: int) -> int:
    """Give a file another name."""
    here = thread.guest.constants["AT_FDCWD"]
    return renameat(thread, here, old, here, new) or 0


@call("link")
def link(thread: Thread, old: int, new: int) -> int:
    """Give a file one more name."""
    os.link(_here(thread, old), _here(thread, new))
    return 0


@call("symlink")
def symlink(thread: Thread, target: int, path: int) -> int:
    """Make a symbolic link."""
    os.symlink(thread.guest.path(target), _here(thread, path))
    return 0


@call("chmod")
def chmod(thread: Thread, path: int, mode: int) -> int:
    """Change who may do what with a file."""
    os.chmod(_here(thread, path), mode & 0o7777)
    return 0


@call("fchmod")
def fchmod(thread: Thread, fd: int, mode: int) -> int:
    """Change who may do what with a file."""
    os.fchmod(thread.guest.descriptors.get(signed(fd)).fd, mode & 0o7777)
    return 0
