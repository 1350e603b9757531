"""
Open files: opening, reading, writing, duplicating.

Source: the manual pages, section 2.
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct
from collections.abc import Callable
from functools import partial

from blcr.host.emulated import proc, signals
from blcr.host.emulated.calls.polling import ready, wait_for
from blcr.host.emulated.calls.table import call, fail
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
        where = host_path(
            guest, directory, path, follow=not flags & names["O_NOFOLLOW"]
        )
        fd = os.open(where, host, mode & ~guest.umask)
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
