"""
Files.

Source: the manual pages, section 2.
"""

from __future__ import annotations

import array
import ctypes
import errno
import fcntl as host_fcntl
import os
import struct
import termios
from collections.abc import Callable
from functools import partial
from pathlib import Path

from blcr.host.emulated import proc, signals
from blcr.host.emulated.calls.polling import ready, wait_for
from blcr.host.emulated.calls.table import call, fail
from blcr.host.emulated.calls.time import NS
from blcr.host.emulated.files import (
    TRANSIENT,
    OpenFile,
    host_path,
    kind_of,
    own_proc,
    to_host_flags,
)
from blcr.host.emulated.memory import READ, WRITE
from blcr.host.emulated.tasks import Blocked, Guest, Thread, Wait, signed

# What a write to a pipe that is ready takes without waiting (PIPE_BUF).
_PIPE_CHUNK = 4096
_IOV_LIMIT = 1024
_LARGEST = 0x7FFF_F000
_POLLIN, _POLLOUT = 1, 4

_libc = ctypes.CDLL(None, use_errno=True)
# struct linux_dirent64 of the machine that we run on; all have it alike.
_DIRENT = struct.Struct("=QqHB")
_DIRECTORY_CHUNK = 32 << 10


# Opening and closing.


@call("openat")
def openat(thread: Thread, directory: int, path: int, flags: int, mode: int) -> int:
    """Open a file."""
    return _open(thread.guest, signed(directory), thread.guest.path(path), flags, mode)


@call("open")
def open_(thread: Thread, path: int, flags: int, mode: int) -> int:
    """Open a file."""
    guest = thread.guest
    here = guest.constants["AT_FDCWD"]
    return _open(guest, here, guest.path(path), flags, mode)


@call("creat")
def creat(thread: Thread, path: int, mode: int) -> int:
    """Make a file."""
    names = thread.guest.constants
    flags = names["O_CREAT"] | names["O_WRONLY"] | names["O_TRUNC"]
    return open_(thread, path, flags, mode) or 0


def _open(guest: Guest, directory: int, path: str, flags: int, mode: int) -> int:
    names = guest.constants
    cloexec = bool(flags & names["O_CLOEXEC"])
    own = own_proc(guest, path)
    content = proc.render(guest, own) if own else None
    if content is not None:
        fd = os.memfd_create("proc")
        os.write(fd, content)
        os.lseek(fd, 0, os.SEEK_SET)
    elif own is not None and own.startswith("fd/"):
        file = guest.descriptors.get(int(own[3:]))
        fd = os.open(f"/proc/self/fd/{file.fd}", to_host_flags(names, flags), mode)
    else:
        host = to_host_flags(names, flags) | os.O_NOCTTY
        fd = os.open(host_path(guest, directory, path), host, mode & ~guest.umask)
    status = os.fstat(fd)
    kept = flags & ~names["O_CLOEXEC"]
    for name in TRANSIENT:
        kept &= ~names[name]
    real = path if content is not None else os.readlink(f"/proc/self/fd/{fd}")  # noqa: PTH115
    file = OpenFile(fd, kind_of(status.st_mode), real, kept)
    return guest.descriptors.add(file, cloexec=cloexec)


@call("close")
def close(thread: Thread, fd: int) -> int:
    """Close a descriptor."""
    thread.guest.descriptors.close(signed(fd))
    return 0


@call("close_range")
def close_range(thread: Thread, first: int, last: int, flags: int) -> int:
    """Close many descriptors, or mark them to be closed on exec."""
    guest = thread.guest
    for fd, _ in list(guest.descriptors):
        if first <= fd <= last:
            if flags & guest.constants["CLOSE_RANGE_CLOEXEC"]:
                guest.descriptors.set_cloexec(fd, cloexec=True)
            else:
                guest.descriptors.close(fd)
    return 0


@call("dup")
def dup(thread: Thread, fd: int) -> int:
    """Give an open file another descriptor."""
    table = thread.guest.descriptors
    return table.add(table.get(signed(fd)))


@call("dup2")
def dup2(thread: Thread, fd: int, target: int) -> int:
    """Give an open file another descriptor, of a chosen number."""
    if signed(fd) == signed(target):
        thread.guest.descriptors.get(signed(fd))
        return target
    return dup3(thread, fd, target, 0) or 0


@call("dup3")
def dup3(thread: Thread, fd: int, target: int, flags: int) -> int:
    """Give an open file another descriptor, of a chosen number."""
    table, fd, target = thread.guest.descriptors, signed(fd), signed(target)
    if fd == target:
        raise fail(errno.EINVAL)
    if not 0 <= target < table.limit:
        raise fail(errno.EBADF)
    cloexec = bool(flags & thread.guest.constants["O_CLOEXEC"])
    table.set(target, table.get(fd), cloexec=cloexec)
    return target


@call("pipe2")
def pipe2(thread: Thread, result: int, flags: int) -> int:
    """Make a pipe."""
    guest, names = thread.guest, thread.guest.constants
    cloexec = bool(flags & names["O_CLOEXEC"])
    host = to_host_flags(names, flags) & ~os.O_ACCMODE
    extra = flags & (names["O_NONBLOCK"] | names["O_DIRECT"])
    fds = os.pipe2(host)
    for i, (fd, access) in enumerate(zip(fds, (os.O_RDONLY, os.O_WRONLY), strict=True)):
        label = os.readlink(f"/proc/self/fd/{fd}")  # noqa: PTH115
        file = OpenFile(fd, "pipe", label, extra | access)
        guest.store_int(result + 4 * i, guest.descriptors.add(file, cloexec=cloexec))
    return 0


@call("pipe")
def pipe(thread: Thread, result: int) -> int:
    """Make a pipe."""
    return pipe2(thread, result, 0) or 0


@call("memfd_create")
def memfd_create(thread: Thread, name: int, flags: int) -> int:
    """Make a file without a path."""
    guest = thread.guest
    label = guest.path(name)
    fd = os.memfd_create(label, flags & guest.constants["MFD_ALLOW_SEALING"])
    file = OpenFile(fd, "file", f"/memfd:{label}", os.O_RDWR)
    cloexec = bool(flags & guest.constants["MFD_CLOEXEC"])
    return guest.descriptors.add(file, cloexec=cloexec)


# Reading and writing.


def _readable(thread: Thread, fd: int) -> OpenFile:
    file = thread.guest.descriptors.get(signed(fd))
    if (
        file.flags & os.O_ACCMODE == os.O_WRONLY
        or file.flags & (thread.guest.constants["O_PATH"])
    ):
        raise fail(errno.EBADF)
    return file


def _writable(thread: Thread, fd: int) -> OpenFile:
    file = thread.guest.descriptors.get(signed(fd))
    if file.flags & os.O_ACCMODE == os.O_RDONLY:
        raise fail(errno.EBADF)
    return file


def _vectors(guest: Guest, vector: int, count: int) -> list[tuple[int, int]]:
    """Return address and size of each part of an iovec."""
    if not 0 <= signed(count) <= _IOV_LIMIT:
        raise fail(errno.EINVAL)
    row = guest.structure("iovec")
    data = guest.space.read(vector, row.size * count)
    rows = [
        row.unpack(data[at : at + row.size]) for at in range(0, len(data), row.size)
    ]
    return [(entry["base"], entry["len"]) for entry in rows]


def _slices(
    guest: Guest, parts: list[tuple[int, int]], access: int
) -> list[memoryview]:
    """Return the guest's memory as buffers; what comes before a fault is enough."""
    found: list[memoryview] = []
    left = _LARGEST
    for address, size in parts:
        try:
            for piece in guest.space.slices(address, min(size, left), access):
                found.append(piece)
                if len(found) == _IOV_LIMIT:
                    return found
        except OSError:
            if not found:
                raise
            break
        left -= min(size, left)
    return found


def _read(thread: Thread, fd: int, parts: list[tuple[int, int]]) -> int:
    guest = thread.guest
    file = _readable(thread, fd)
    if file.kind == "directory":
        raise fail(errno.EISDIR)
    wait_for(file, _POLLIN, guest)
    buffers = _slices(guest, parts, WRITE)
    return os.readv(file.fd, buffers) if buffers else 0


def _write(thread: Thread, fd: int, parts: list[tuple[int, int]]) -> int:
    guest = thread.guest
    file = _writable(thread, fd)
    if not file.can_wait:
        buffers = _slices(guest, parts, READ)
        return os.writev(file.fd, buffers) if buffers else 0
    done = thread.resumed.progress if thread.resumed else 0
    data = b"".join(guest.space.read(*part) for part in parts)
    if not data:
        return 0
    if file.flags & guest.constants["O_NONBLOCK"] and not file.kept:
        return _sending(thread, partial(os.write, file.fd, data))
    while done < len(data):
        if not ready(file.fd, _POLLOUT):
            if file.flags & guest.constants["O_NONBLOCK"]:
                if not done:
                    raise fail(errno.EAGAIN)
                break
            raise Blocked(Wait(events=((file.fd, _POLLOUT),), progress=done))
        chunk = data[done : done + _PIPE_CHUNK]
        done += _sending(thread, partial(os.write, file.fd, chunk))
    return done


def _sending(thread: Thread, write: Callable[[], int]) -> int:
    """Write; a pipe without a reader is a signal, too."""
    try:
        return write()
    except BrokenPipeError:
        number = thread.guest.constants["SIGPIPE"]
        signals.send(thread, signals.sent_by(thread.guest, number, "SI_USER"))
        raise


@call("read")
def read(thread: Thread, fd: int, address: int, size: int) -> int:
    """Read."""
    return _read(thread, fd, [(address, size)])


@call("readv")
def readv(thread: Thread, fd: int, vector: int, count: int) -> int:
    """Read into several places."""
    return _read(thread, fd, _vectors(thread.guest, vector, count))


@call("write")
def write(thread: Thread, fd: int, address: int, size: int) -> int:
    """Write."""
    return _write(thread, fd, [(address, size)])


@call("writev")
def writev(thread: Thread, fd: int, vector: int, count: int) -> int:
    """Write from several places."""
    return _write(thread, fd, _vectors(thread.guest, vector, count))


@call("pread64", wide=(3,))
def pread64(thread: Thread, fd: int, address: int, size: int, offset: int) -> int:
    """Read from a place in the file."""
    file = _readable(thread, fd)
    buffers = _slices(thread.guest, [(address, size)], WRITE)
    return os.preadv(file.fd, buffers, signed(offset, 64)) if buffers else 0


@call("pwrite64", wide=(3,))
def pwrite64(thread: Thread, fd: int, address: int, size: int, offset: int) -> int:
    """Write at a place in the file."""
    file = _writable(thread, fd)
    buffers = _slices(thread.guest, [(address, size)], READ)
    return os.pwritev(file.fd, buffers, signed(offset, 64)) if buffers else 0


def _position(guest: Guest, low: int, high: int) -> int:
    if guest.arch.word_size == 8:
        return signed(low, 64)
    return signed(low | high << 32, 64)


@call("preadv")
def preadv(
    thread: Thread, fd: int, vector: int, count: int, low: int, high: int
) -> int:
    """Read from a place in the file into several places."""
    guest = thread.guest
    file = _readable(thread, fd)
    buffers = _slices(guest, _vectors(guest, vector, count), WRITE)
    return os.preadv(file.fd, buffers, _position(guest, low, high))


@call("pwritev")
def pwritev(
    thread: Thread, fd: int, vector: int, count: int, low: int, high: int
) -> int:
    """Write at a place in the file from several places."""
    guest = thread.guest
    file = _writable(thread, fd)
    buffers = _slices(guest, _vectors(guest, vector, count), READ)
    return os.pwritev(file.fd, buffers, _position(guest, low, high))


@call("lseek")
def lseek(thread: Thread, fd: int, offset: int, whence: int) -> int:
    """Move the offset."""
    file = thread.guest.descriptors.get(signed(fd))
    bits = 8 * thread.guest.arch.word_size
    return os.lseek(file.fd, signed(offset, bits), signed(whence))


@call("_llseek")
def llseek(
    thread: Thread, fd: int, high: int, low: int, result: int, whence: int
) -> int:
    """Move the offset, which has 64 bits in two arguments."""
    file = thread.guest.descriptors.get(signed(fd))
    at = os.lseek(file.fd, signed(low | high << 32, 64), signed(whence))
    thread.guest.store_int(result, at, 8)
    return 0


@call("ftruncate64", wide=(1,))
@call("ftruncate")
def ftruncate(thread: Thread, fd: int, size: int) -> int:
    """Change the size of a file."""
    os.ftruncate(_writable(thread, fd).fd, size)
    return 0


@call("truncate64", wide=(1,))
@call("truncate")
def truncate(thread: Thread, path: int, size: int) -> int:
    """Change the size of a file."""
    os.truncate(_here(thread, path), size)
    return 0


@call("fallocate", wide=(2, 3))
def fallocate(thread: Thread, fd: int, mode: int, offset: int, size: int) -> int:
    """Reserve room for a file."""
    if mode:
        raise fail(errno.EOPNOTSUPP)
    os.posix_fallocate(_writable(thread, fd).fd, offset, size)
    return 0


@call("fsync", "fdatasync", "syncfs")
def fsync(thread: Thread, fd: int) -> int:
    """Wait until a file is on its disk."""
    os.fsync(thread.guest.descriptors.get(signed(fd)).fd)
    return 0


@call("sync")
def sync(_thread: Thread) -> int:
    """Wait until all files are on their disks."""
    os.sync()
    return 0


@call("fadvise64", "fadvise64_64", "readahead")
def fadvise64(_thread: Thread) -> int:
    """Take advice on how a file will be read, and do nothing."""
    return 0


@call("getdents64")
def getdents64(thread: Thread, fd: int, result: int, size: int) -> int:
    """Read a directory."""
    guest = thread.guest
    file = guest.descriptors.get(signed(fd))
    if file.kind != "directory":
        raise fail(errno.ENOTDIR)
    buffer = ctypes.create_string_buffer(min(size, _DIRECTORY_CHUNK))
    count = _libc.getdents64(file.fd, buffer, len(buffer))
    if count < 0:
        raise fail(ctypes.get_errno())
    row = guest.structure("dirent64")
    data, at = b"", 0
    while at < count:
        inode, offset, length, kind = _DIRENT.unpack_from(buffer, at)
        packed = row.pack(ino=inode, off=offset, reclen=length, type=kind)
        data += packed[: _DIRENT.size] + buffer.raw[at + _DIRENT.size : at + length]
        at += length
    guest.space.write(result, data)
    return len(data)


# What files are.


def _here(thread: Thread, path: int) -> str:
    guest = thread.guest
    return host_path(guest, guest.constants["AT_FDCWD"], guest.path(path))


def _stat_at(guest: Guest, directory: int, path: str, flags: int) -> os.stat_result:
    names = guest.constants
    if not path and flags & names["AT_EMPTY_PATH"]:
        if directory == names["AT_FDCWD"]:
            return os.stat(guest.cwd)  # noqa: PTH116
        return os.fstat(guest.descriptors.get(directory).fd)
    own = own_proc(guest, path)
    if own == "exe":
        path = guest.exe
    elif own is not None and own.startswith("fd/"):
        return os.fstat(guest.descriptors.get(int(own[3:])).fd)
    follow = not flags & names["AT_SYMLINK_NOFOLLOW"]
    where = Path(host_path(guest, directory, path))
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
    status = _stat_at(guest, signed(directory), guest.path(path), flags)
    return _store_stat(guest, "stat", result, status)


@call("fstatat64")
def fstatat64(
    thread: Thread, directory: int, path: int, result: int, flags: int
) -> int:
    """Tell about a file."""
    guest = thread.guest
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
    thread: Thread, directory: int, path: int, flags: int, _mask: int, result: int
) -> int:
    """Tell about a file."""
    guest = thread.guest
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


def _store_statfs(
    thread: Thread, name: str, result: int, host: os.statvfs_result
) -> int:
    thread.guest.store(
        name,
        result,
        bsize=host.f_bsize,
        blocks=host.f_blocks,
        bfree=host.f_bfree,
        bavail=host.f_bavail,
        files=host.f_files,
        ffree=host.f_ffree,
        namelen=host.f_namemax,
        frsize=host.f_frsize,
    )
    return 0


@call("fstatfs")
def fstatfs(thread: Thread, fd: int, result: int) -> int:
    """Tell about the file system of a file."""
    host = os.fstatvfs(thread.guest.descriptors.get(signed(fd)).fd)
    return _store_statfs(thread, "statfs", result, host)


@call("fstatfs64")
def fstatfs64(thread: Thread, fd: int, _size: int, result: int) -> int:
    """Tell about the file system of a file."""
    host = os.fstatvfs(thread.guest.descriptors.get(signed(fd)).fd)
    return _store_statfs(thread, "statfs64", result, host)


@call("statfs")
def statfs(thread: Thread, path: int, result: int) -> int:
    """Tell about a file system."""
    return _store_statfs(thread, "statfs", result, os.statvfs(_here(thread, path)))


@call("statfs64")
def statfs64(thread: Thread, path: int, _size: int, result: int) -> int:
    """Tell about a file system."""
    return _store_statfs(thread, "statfs64", result, os.statvfs(_here(thread, path)))


@call("access")
def access(thread: Thread, path: int, mode: int) -> int:
    """Check what may be done with a file."""
    where = thread.guest.constants["AT_FDCWD"]
    return faccessat(thread, where, path, mode) or 0


@call("faccessat", "faccessat2")
def faccessat(thread: Thread, directory: int, path: int, mode: int) -> int:
    """Check what may be done with a file."""
    guest = thread.guest
    name = guest.path(path)
    if own_proc(guest, name) is not None and proc.render(
        guest, own_proc(guest, name) or ""
    ):
        return 0
    where = host_path(guest, signed(directory), name)
    os.stat(where)  # noqa: PTH116
    if not os.access(where, mode & 7):
        raise fail(errno.EACCES)
    return 0


@call("readlinkat")
def readlinkat(
    thread: Thread, directory: int, path: int, result: int, size: int
) -> int:
    """Tell where a symbolic link leads."""
    guest = thread.guest
    name = guest.path(path)
    own = own_proc(guest, name)
    if own == "exe":
        target = guest.exe
    elif own == "cwd":
        target = guest.cwd
    elif own is not None and own.startswith("fd/"):
        target = guest.descriptors.get(int(own[3:])).path
    elif name == "/proc/self":
        target = str(guest.pid)
    else:
        target = os.readlink(host_path(guest, signed(directory), name))  # noqa: PTH115
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


@call("mkdirat")
def mkdirat(thread: Thread, directory: int, path: int, mode: int) -> int:
    """Make a directory."""
    guest = thread.guest
    where = host_path(guest, signed(directory), guest.path(path))
    os.mkdir(where, mode & ~guest.umask)  # noqa: PTH102
    return 0


@call("mkdir")
def mkdir(thread: Thread, path: int, mode: int) -> int:
    """Make a directory."""
    return mkdirat(thread, thread.guest.constants["AT_FDCWD"], path, mode) or 0


@call("unlinkat")
def unlinkat(thread: Thread, directory: int, path: int, flags: int) -> int:
    """Remove a name."""
    guest = thread.guest
    where = host_path(guest, signed(directory), guest.path(path))
    if flags & guest.constants["AT_REMOVEDIR"]:
        os.rmdir(where)  # noqa: PTH106
    else:
        os.unlink(where)  # noqa: PTH108
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


@call("renameat", "renameat2")
def renameat(
    thread: Thread, old_directory: int, old: int, new_directory: int, new: int
) -> int:
    """Give a file another name."""
    guest = thread.guest
    os.rename(  # noqa: PTH104
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
    os.symlink(thread.guest.path(target), _here(thread, path))  # noqa: PTH211
    return 0


@call("chmod")
def chmod(thread: Thread, path: int, mode: int) -> int:
    """Change who may do what with a file."""
    os.chmod(_here(thread, path), mode & 0o7777)  # noqa: PTH101
    return 0


@call("fchmod")
def fchmod(thread: Thread, fd: int, mode: int) -> int:
    """Change who may do what with a file."""
    os.fchmod(thread.guest.descriptors.get(signed(fd)).fd, mode & 0o7777)
    return 0


# Control.


@call("fcntl", "fcntl64")
def fcntl(thread: Thread, fd: int, command: int, value: int) -> int:
    """Control a descriptor or an open file."""
    guest, names = thread.guest, thread.guest.constants
    table, fd = guest.descriptors, signed(fd)
    entry = table.entry(fd)
    file = entry.file
    if command in {names["F_DUPFD"], names["F_DUPFD_CLOEXEC"]}:
        cloexec = command == names["F_DUPFD_CLOEXEC"]
        return table.add(file, cloexec=cloexec, lowest=value)
    if command == names["F_GETFD"]:
        return names["FD_CLOEXEC"] if entry.cloexec else 0
    if command == names["F_SETFD"]:
        table.set_cloexec(fd, cloexec=bool(value & names["FD_CLOEXEC"]))
        return 0
    if command == names["F_GETFL"]:
        return file.flags
    if command == names["F_SETFL"]:
        changeable = names["O_APPEND"] | names["O_NONBLOCK"]
        file.flags = file.flags & ~changeable | value & changeable
        if not file.kept:
            host = to_host_flags(names, file.flags) & ~os.O_CLOEXEC
            host_fcntl.fcntl(file.fd, host_fcntl.F_SETFL, host)
        return 0
    if command in {names["F_GETPIPE_SZ"], names["F_SETPIPE_SZ"]}:
        return host_fcntl.fcntl(file.fd, command, value)
    locks = ("F_SETLK", "F_SETLKW", "F_SETLK64", "F_SETLKW64")
    if command in {names[name] for name in locks}:
        return 0  # There is only one process to lock others out.
    raise fail(errno.EINVAL)


@call("flock")
def flock(thread: Thread, fd: int, operation: int) -> int:
    """Lock a file."""
    file = thread.guest.descriptors.get(signed(fd))
    host_fcntl.flock(file.fd, operation)
    return 0


@call("ioctl")
def ioctl(thread: Thread, fd: int, request: int, argument: int) -> int:
    """Control a device: terminals, and what all files have."""
    guest, names = thread.guest, thread.guest.constants
    file = guest.descriptors.get(signed(fd))
    request &= 0xFFFF_FFFF
    if request == names["FIONREAD"]:
        count = array.array("i", [0])
        host_fcntl.ioctl(file.fd, termios.FIONREAD, count)
        guest.store_int(argument, count[0])
    elif request == names["FIONBIO"]:
        flags = file.flags & ~names["O_NONBLOCK"]
        if guest.fetch_int(argument):
            flags |= names["O_NONBLOCK"]
        file.flags = flags
    elif request in {names["FIOCLEX"], names["FIONCLEX"]}:
        cloexec = request == names["FIOCLEX"]
        guest.descriptors.set_cloexec(signed(fd), cloexec=cloexec)
    elif request == names["TIOCGWINSZ"]:
        size = os.get_terminal_size(file.fd)
        guest.store("winsize", argument, row=size.lines, col=size.columns)
    elif request == names["TIOCGPGRP"]:
        os.tcgetpgrp(file.fd)
        guest.store_int(argument, guest.pgid)
    elif request == names["TIOCSPGRP"]:
        os.tcgetpgrp(file.fd)
    elif request == names["TCGETS"]:
        _get_terminal(guest, file, argument)
    elif request in {names["TCSETS"], names["TCSETSW"], names["TCSETSF"]}:
        when = request - names["TCSETS"]
        _set_terminal(guest, file, argument, when)
    else:
        raise fail(errno.ENOTTY)
    return 0


_TERMIOS = ("iflag", "oflag", "cflag", "lflag")


def _get_terminal(guest: Guest, file: OpenFile, address: int) -> None:
    """Store the settings of a terminal; the bits are ours, not translated."""
    try:
        *flags, _, _, control = termios.tcgetattr(file.fd)
    except termios.error as error:
        raise fail(error.args[0]) from None
    characters = b"".join(c if isinstance(c, bytes) else bytes([c]) for c in control)
    structure = guest.structure("termios")
    size = structure.fields["cc"].type.size
    values = dict(zip(_TERMIOS, flags, strict=True))
    guest.space.write(address, structure.pack(cc=characters[:size], **values))


def _set_terminal(guest: Guest, file: OpenFile, address: int, when: int) -> None:
    try:
        settings = termios.tcgetattr(file.fd)
        row = guest.fetch("termios", address)
        settings[:4] = [row[name] for name in _TERMIOS]
        settings[6] = [bytes([c]) for c in row["cc"]] + settings[6][len(row["cc"]) :]
        termios.tcsetattr(file.fd, when, settings)
    except termios.error as error:
        raise fail(error.args[0]) from None
