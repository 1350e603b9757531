"""
Open files: opening, reading, writing, duplicating.

Source: the manual pages, section 2.
"""

from __future__ import annotations

import ctypes
import errno
import os
import stat
import struct
import sys
from collections.abc import Callable, Iterator
from functools import partial
from socket import MSG_DONTWAIT, MSG_NOSIGNAL

from blcr.host.emulated import proc, signals, terminals
from blcr.host.emulated.calls.inotify import read_events
from blcr.host.emulated.calls.locks import RETRY_NS
from blcr.host.emulated.calls.polling import ready, wait_for
from blcr.host.emulated.calls.signalfds import read_signals
from blcr.host.emulated.calls.table import call, fail, only
from blcr.host.emulated.calls.terminals import may_write, opened_by, wait_to_read
from blcr.host.emulated.files import (
    TRANSIENT,
    Gate,
    OpenFile,
    host_path,
    kind_of,
    own_link,
    own_proc,
    through_own,
    to_host_flags,
)
from blcr.host.emulated.memory import READ, WRITE
from blcr.host.emulated.tasks import Blocked, Guest, Thread, Wait, signed
from blcr.record import Record

# What a write to a pipe that is ready takes without waiting (PIPE_BUF).
_PIPE_CHUNK = 4096
_IOV_LIMIT = 1024
_LARGEST = 0x7FFF_F000
_UNLIMITED = (1 << 64) - 1
_POLLIN, _POLLOUT = 1, 4
_COPY_CHUNK = 1 << 20
# Files that tell numbers, of 8 bytes or in structures.
_COUNTERS = {"eventfd", "timerfd", "signalfd", "inotify"}
_COUNTER_SIZE = 8
_MAYBE_TERMINALS = {"pty", "inherited", "device"}
_NOT_TO_READ = {"epoll", "pidfd"}
"""Nor to write to."""

_libc = ctypes.CDLL(None, use_errno=True)
# struct linux_dirent64 of the machine that we run on; all have it alike.
_DIRENT = struct.Struct("=QqHB")
_DIRECTORY_CHUNK = 32 << 10


# Opening and closing.


@call("openat")
def openat(thread: Thread, directory: int, path: int, flags: int, mode: int) -> int:
    """Open a file."""
    return _open(thread, signed(directory), thread.guest.path(path), flags, mode)


@call("open")
def open_(thread: Thread, path: int, flags: int, mode: int) -> int:
    """Open a file."""
    guest = thread.guest
    here = guest.constants["AT_FDCWD"]
    return _open(thread, here, guest.path(path), flags, mode)


@call("creat")
def creat(thread: Thread, path: int, mode: int) -> int:
    """Make a file."""
    names = thread.guest.constants
    flags = names["O_CREAT"] | names["O_WRONLY"] | names["O_TRUNC"]
    return open_(thread, path, flags, mode) or 0


def _open(thread: Thread, directory: int, path: str, flags: int, mode: int) -> int:
    guest, names = thread.guest, thread.guest.constants
    cloexec = bool(flags & names["O_CLOEXEC"])
    path = through_own(guest, path)
    if path.startswith("/proc"):
        made = _open_proc(guest, path, flags)
        if made is not None:
            return guest.descriptors.add(made, cloexec=cloexec)
        path = own_link(guest, path) or path
    if proc.is_hidden(guest, path):
        raise _not_there(guest, path)
    kept = _kept_flags(guest, flags)
    if path == "/dev/tty" and not flags & names["O_PATH"]:
        made = terminals.own(guest, kept)
        if made is not None:
            return guest.descriptors.add(made, cloexec=cloexec)
    fd = _open_path(thread, directory, path, flags, mode)
    real = os.readlink(f"/proc/self/fd/{fd}")
    shown = proc.shown(real)
    if shown != real and proc.is_hidden(guest, shown):
        # By another path: what is told of us is not of the guest.
        os.close(fd)
        made = _open_proc(guest, shown, flags)
        if made is None:
            raise _not_there(guest, shown)
        return guest.descriptors.add(made, cloexec=cloexec)
    status = os.fstat(fd)
    kind = kind_of(status.st_mode)
    if flags & names["O_PATH"]:
        kind = "path"
    if kind == "device":
        made = opened_by(guest, fd, kept, flags)
        if made is not None:
            return guest.descriptors.add(made, cloexec=cloexec)
    file = OpenFile(fd, "fifo" if kind == "pipe" else kind, shown, kept)
    return guest.descriptors.add(file, cloexec=cloexec)


def _kept_flags(guest: Guest, flags: int) -> int:
    """Return the flags of an open file that F_GETFL shows."""
    names = guest.constants
    if flags & names["O_PATH"]:
        return flags & guest.bits("O_PATH O_DIRECTORY O_NOFOLLOW")
    kept = flags & ~names["O_CLOEXEC"]
    for name in TRANSIENT:
        kept &= ~names[name]
    return kept | (names["O_LARGEFILE"] if guest.arch.word_size == 8 else 0)


def _not_there(guest: Guest, path: str) -> OSError:
    guest.machine.unserved.add(f"open({path})")
    return fail(errno.ENOENT)


def _open_path(thread: Thread, directory: int, path: str, flags: int, mode: int) -> int:
    """
    Open a file without waiting ourselves; return a descriptor of ours.

    Raises:
        Blocked: The other end of a named pipe is not open yet.
    """
    guest, names = thread.guest, thread.guest.constants
    host = to_host_flags(names, flags) | os.O_NOCTTY
    where = host_path(guest, directory, path, follow=not flags & names["O_NOFOLLOW"])
    try:
        is_fifo = stat.S_ISFIFO(os.stat(where).st_mode)
    except OSError:
        is_fifo = False
    if not is_fifo or host & (os.O_NONBLOCK | os.O_PATH):
        return os.open(where, host, mode & 0o7777 & ~guest.umask)
    if host & os.O_ACCMODE == os.O_RDONLY:
        return _open_to_read(thread, where, host)
    try:
        fd = os.open(where, host | os.O_NONBLOCK)
    except OSError as error:
        if error.errno != errno.ENXIO:
            raise
        # Nobody reads it yet, and nothing tells when somebody does.
        raise Blocked(Wait(guest.machine.monotonic() + RETRY_NS)) from None
    os.set_blocking(fd, True)
    return fd


def _open_to_read(thread: Thread, path: str, host: int) -> int:
    """Open a named pipe for reading as soon as somebody writes to it."""
    machine, before = thread.guest.machine, thread.resumed
    gate = before.gate if before is not None and before.gate else Gate(path, host)
    if not gate.is_open(machine):
        wait = Wait(machine.monotonic() + RETRY_NS)
        wait.gate = gate
        raise Blocked(wait)
    fd = gate.take()
    os.set_blocking(fd, True)
    return fd


def _open_proc(guest: Guest, path: str, flags: int) -> OpenFile | None:
    """Open what we have in ``/proc``; None where that is a link, or not ours."""
    itself = guest.bits("O_PATH O_NOFOLLOW")
    if flags & itself == itself and own_link(guest, path) is not None:
        link = os.open(proc.stand_in(guest, path), os.O_PATH | os.O_NOFOLLOW)
        made = OpenFile(link, "path", path, _kept_flags(guest, flags))
        made.is_ours = True
        return made
    owner, rest = own_proc(guest, path) or (guest, "")
    if rest.startswith("fd/") and rest[3:].isdecimal():
        file = owner.descriptors.get(int(rest[3:]))
        host = to_host_flags(guest.constants, flags)
        if file.kind == "socket":
            raise fail(errno.ENXIO)
        fd = os.open(f"/proc/self/fd/{file.fd}", host | os.O_NOCTTY)
        kept = _kept_flags(guest, flags)
        if file.terminal is not None:
            return opened_by(guest, fd, kept, flags)
        return OpenFile(fd, file.kind, file.path, kept)
    content = proc.render(guest, path)
    if content is not None:
        fd = os.memfd_create("proc")
        os.write(fd, content)
        os.lseek(fd, 0, os.SEEK_SET)
        made = OpenFile(fd, "file", path, flags)
        made.is_ours = True
        return made
    if proc.entries(guest, path) is None:
        return None
    made = OpenFile(os.open("/proc/self", os.O_RDONLY), "directory", path, flags)
    made.is_ours = True
    return made


@call("close")
def close(thread: Thread, fd: int) -> int:
    """Close a descriptor."""
    thread.guest.descriptors.close(signed(fd))
    return 0


@call("close_range")
def close_range(thread: Thread, first: int, last: int, flags: int) -> int:
    """Close many descriptors, or mark them to be closed on exec."""
    guest = thread.guest
    only(thread, "close_range", "CLOSE_RANGE_", flags, "CLOSE_RANGE_CLOEXEC")
    if first > last:
        raise fail(errno.EINVAL)
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
    only(thread, "dup3", "O_", flags, "O_CLOEXEC")
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
    only(thread, "pipe2", "O_", flags, "O_CLOEXEC O_NONBLOCK O_DIRECT")
    cloexec = bool(flags & names["O_CLOEXEC"])
    host = to_host_flags(names, flags) & ~os.O_ACCMODE
    extra = flags & (names["O_NONBLOCK"] | names["O_DIRECT"])
    fds = os.pipe2(host)
    for i, (fd, access) in enumerate(zip(fds, (os.O_RDONLY, os.O_WRONLY), strict=True)):
        label = os.readlink(f"/proc/self/fd/{fd}")
        file = OpenFile(fd, "pipe", label, extra | access)
        guest.store_int(result + 4 * i, guest.descriptors.add(file, cloexec=cloexec))
    return 0


@call("pipe")
def pipe(thread: Thread, result: int) -> int:
    """Make a pipe."""
    return pipe2(thread, result, 0) or 0


_OF_MEMORY_FILES = "MFD_ALLOW_SEALING MFD_EXEC MFD_NOEXEC_SEAL"


@call("memfd_create")
def memfd_create(thread: Thread, name: int, flags: int) -> int:
    """Make a file without a path."""
    guest = thread.guest
    only(thread, "memfd_create", "MFD_", flags, f"MFD_CLOEXEC {_OF_MEMORY_FILES}")
    label = guest.path(name)
    fd = os.memfd_create(label, flags & guest.bits(_OF_MEMORY_FILES))
    file = OpenFile(fd, "memfd", f"/memfd:{label} (deleted)", os.O_RDWR)
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


def vectors(guest: Guest, vector: int, count: int) -> list[tuple[int, int]]:
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
    if file.kind in _NOT_TO_READ:
        raise fail(errno.EINVAL)
    if file.kind in _MAYBE_TERMINALS and os.isatty(file.fd):
        if not wait_to_read(thread, file):
            return 0
    else:
        wait_for(file, _POLLIN, guest)
    if file.kind in _COUNTERS:
        return scatter(guest, parts, _read_counter(thread, file, parts))
    buffers = _slices(guest, parts, WRITE)
    if file.is_random:
        return _read_random(guest, buffers)
    return os.readv(file.fd, buffers) if buffers else 0


def _read_random(guest: Guest, buffers: list[memoryview]) -> int:
    """Read what the seed fixes."""
    for buffer in buffers:
        buffer[:] = guest.machine.random.randbytes(len(buffer))
    return sum(map(len, buffers))


def _read_counter(
    thread: Thread, file: OpenFile, parts: list[tuple[int, int]]
) -> bytes:
    """Read what tells numbers, which are in the guest's byte order."""
    room = sum(size for _, size in parts)
    if file.kind == "signalfd":
        return read_signals(thread, file, room)
    if file.kind == "inotify":
        return read_events(thread.guest, file, room)
    if room < _COUNTER_SIZE:
        raise fail(errno.EINVAL)
    number = int.from_bytes(os.read(file.fd, _COUNTER_SIZE), sys.byteorder)
    return number.to_bytes(_COUNTER_SIZE, thread.guest.arch.layout.byteorder)


def gather(guest: Guest, parts: list[tuple[int, int]]) -> bytes:
    """Return what the parts of an iovec hold."""
    return b"".join(guest.space.read(*part) for part in parts)


def scatter(guest: Guest, parts: list[tuple[int, int]], data: bytes) -> int:
    """Put data into the parts of an iovec; return its size."""
    at = 0
    for address, size in parts:
        guest.space.write(address, data[at : at + size])
        at += size
    return len(data)


def _permitted(
    thread: Thread,
    file: OpenFile,
    parts: list[tuple[int, int]],
    place: int | None = None,
) -> list[tuple[int, int]]:
    """
    Return what of the parts of an iovec RLIMIT_FSIZE lets a process write.

    Args:
        thread: Who writes.
        file: Where to.
        parts: Addresses and sizes.
        place: The offset; None: that of the file.
    """
    guest = thread.guest
    limit, _ = guest.limits[guest.constants["RLIMIT_FSIZE"]]
    if limit == _UNLIMITED or not file.is_regular:
        return parts
    if file.flags & guest.constants["O_APPEND"]:
        place = os.fstat(file.fd).st_size
    elif place is None:
        place = os.lseek(file.fd, 0, os.SEEK_CUR)
    left = limit - place
    if left <= 0 and any(size for _, size in parts):
        raise too_large(thread)
    found = []
    for address, size in parts:
        found.append((address, min(size, left)))
        left -= found[-1][1]
    return found


def too_large(thread: Thread) -> OSError:
    """Return the error for a file beyond RLIMIT_FSIZE, which is a signal, too."""
    number = thread.guest.constants["SIGXFSZ"]
    signals.send(thread, signals.sent_by(thread.guest, number, "SI_USER"))
    return fail(errno.EFBIG)


def _write(thread: Thread, fd: int, parts: list[tuple[int, int]]) -> int:
    guest = thread.guest
    file = _writable(thread, fd)
    if file.kind in _NOT_TO_READ:
        raise fail(errno.EINVAL)
    if not file.can_wait:
        parts = _permitted(thread, file, parts)
        buffers = _slices(guest, parts, READ)
        return os.writev(file.fd, buffers) if buffers else 0
    done = thread.resumed.progress if thread.resumed else 0
    data = gather(guest, parts)
    if not data:
        return 0
    if file.kind == "eventfd" and len(data) >= _COUNTER_SIZE:
        number = int.from_bytes(data[:_COUNTER_SIZE], guest.arch.layout.byteorder)
        data = number.to_bytes(_COUNTER_SIZE, sys.byteorder)
    if file.terminal is not None and not done:
        may_write(thread, file)
    if file.flags & guest.constants["O_NONBLOCK"] and not file.kept:
        return _put(thread, file, data)
    while done < len(data):
        if not ready(file.fd, _POLLOUT):
            if file.flags & guest.constants["O_NONBLOCK"]:
                if not done:
                    raise fail(errno.EAGAIN)
                break
            raise Blocked(Wait(events=((file.fd, _POLLOUT),), progress=done))
        try:
            done += _put(thread, file, data[done : done + _PIPE_CHUNK])
        except BlockingIOError:
            # A terminal that has room for less than what one byte becomes.
            retry = Wait(guest.machine.monotonic() + RETRY_NS, progress=done)
            raise Blocked(retry) from None
    return done


def _put(thread: Thread, file: OpenFile, data: bytes) -> int:
    """Write to what may have to wait; return how many bytes it has taken."""
    if file.terminal is not None:
        return file.terminal.write(file, data)
    if file.kind == "socket" and thread.guest.machine.senders.wanted:
        return _sending(thread, partial(_send, thread, file.fd, data))
    return _sending(thread, partial(os.write, file.fd, data))


def _send(thread: Thread, fd: int, data: bytes) -> int:
    """Send to a socket."""
    senders, flags = thread.guest.machine.senders, MSG_DONTWAIT | MSG_NOSIGNAL
    return senders.send(thread.guest.pid, fd, flags, b"", data, ())


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
    return _read(thread, fd, vectors(thread.guest, vector, count))


@call("write")
def write(thread: Thread, fd: int, address: int, size: int) -> int:
    """Write."""
    return _write(thread, fd, [(address, size)])


@call("writev")
def writev(thread: Thread, fd: int, vector: int, count: int) -> int:
    """Write from several places."""
    return _write(thread, fd, vectors(thread.guest, vector, count))


@call("pread64", wide=(3,))
def pread64(thread: Thread, fd: int, address: int, size: int, offset: int) -> int:
    """Read from a place in the file."""
    file = _readable(thread, fd)
    place = _place(signed(offset, 64))
    buffers = _slices(thread.guest, [(address, size)], WRITE)
    if file.is_random:
        return _read_random(thread.guest, buffers)
    return os.preadv(file.fd, buffers, place) if buffers else 0


@call("pwrite64", wide=(3,))
def pwrite64(thread: Thread, fd: int, address: int, size: int, offset: int) -> int:
    """Write at a place in the file."""
    file = _writable(thread, fd)
    place = _place(signed(offset, 64))
    parts = _permitted(thread, file, [(address, size)], place)
    buffers = _slices(thread.guest, parts, READ)
    return os.pwritev(file.fd, buffers, place) if buffers else 0


def _position(guest: Guest, low: int, high: int) -> int:
    """Return an offset given in two words, of which a wide first one is enough."""
    if guest.arch.word_size == 4:
        low |= high << 32
    return _place(signed(low, 64))


def _place(offset: int) -> int:
    """Return an offset; EINVAL for -1, which to our own calls is the current one."""
    if offset < 0:
        raise fail(errno.EINVAL)
    return offset


@call("preadv")
def preadv(
    thread: Thread, fd: int, vector: int, count: int, low: int, high: int
) -> int:
    """Read from a place in the file into several places."""
    guest = thread.guest
    file = _readable(thread, fd)
    buffers = _slices(guest, vectors(guest, vector, count), WRITE)
    if file.is_random:
        return _read_random(guest, buffers)
    return os.preadv(file.fd, buffers, _position(guest, low, high))


@call("pwritev")
def pwritev(
    thread: Thread, fd: int, vector: int, count: int, low: int, high: int
) -> int:
    """Write at a place in the file from several places."""
    guest = thread.guest
    file = _writable(thread, fd)
    place = _position(guest, low, high)
    parts = _permitted(thread, file, vectors(guest, vector, count), place)
    return os.pwritev(file.fd, _slices(guest, parts, READ), place)


@call("lseek")
def lseek(thread: Thread, fd: int, offset: int, whence: int) -> int:
    """Move the offset."""
    file = thread.guest.descriptors.get(signed(fd))
    file.listing = None
    bits = 8 * thread.guest.arch.word_size
    return _seek(thread.guest, file, signed(offset, bits), signed(whence))


def _seek(guest: Guest, file: OpenFile, offset: int, whence: int) -> int:
    shift = _shift(guest, file)
    return os.lseek(file.fd, offset << shift, whence) >> shift


@call("_llseek")
def llseek(
    thread: Thread, fd: int, high: int, low: int, result: int, whence: int
) -> int:
    """Move the offset, which has 64 bits in two arguments."""
    file = thread.guest.descriptors.get(signed(fd))
    at = _seek(thread.guest, file, signed(low | high << 32, 64), signed(whence))
    thread.guest.store_int(result, at, 8)
    return 0


@call("ftruncate64", wide=(1,))
@call("ftruncate")
def ftruncate(thread: Thread, fd: int, size: int) -> int:
    """Change the size of a file."""
    file = _writable(thread, fd)
    _check_room(thread, file, signed(size, 64))
    os.ftruncate(file.fd, signed(size, 64))
    return 0


def _check_room(thread: Thread, file: OpenFile, size: int) -> None:
    """Refuse files beyond a limit, or without a path and beyond all guests' memory."""
    guest = thread.guest
    if size > guest.limits[guest.constants["RLIMIT_FSIZE"]][0]:
        raise too_large(thread)
    if file.path.startswith("/memfd:") and size > guest.space.ram.size:
        raise fail(errno.ENOSPC)


@call("fallocate", wide=(2, 3))
def fallocate(thread: Thread, fd: int, mode: int, offset: int, size: int) -> int:
    """Reserve room for a file, or take some back."""
    file, place = _writable(thread, fd), (signed(offset, 64), signed(size, 64))
    _check_room(thread, file, sum(place))
    if _libc.fallocate(file.fd, signed(mode), *map(ctypes.c_int64, place)):
        raise fail(ctypes.get_errno())
    return 0


@call("fsync", "fdatasync")
def fsync(thread: Thread, fd: int) -> int:
    """Wait until a file is on its disk."""
    os.fsync(thread.guest.descriptors.get(signed(fd)).fd)
    return 0


@call("syncfs")
def syncfs(thread: Thread, fd: int) -> int:
    """Wait until all files of a file system are on its disk."""
    if _libc.syncfs(thread.guest.descriptors.get(signed(fd)).fd):
        raise fail(ctypes.get_errno())
    return 0


@call("sync")
def sync(_thread: Thread) -> int:
    """Wait until all files are on their disks."""
    os.sync()
    return 0


@call("fadvise64", "fadvise64_64", "arm_fadvise64_64", "readahead")
def fadvise64(thread: Thread, fd: int) -> int:
    """Take advice on how a file will be read, and do nothing."""
    if thread.guest.descriptors.get(signed(fd)).kind == "pipe":
        raise fail(errno.ESPIPE)
    return 0


@call("getdents64")
def getdents64(thread: Thread, fd: int, result: int, size: int) -> int:
    """Read a directory."""
    return _read_directory(thread.guest, signed(fd), result, size, _wide_entry)


@call("getdents")
def getdents(thread: Thread, fd: int, result: int, size: int) -> int:
    """Read a directory in the old form."""
    return _read_directory(thread.guest, signed(fd), result, size, _old_entry)


class _Entry(Record):
    """An entry of a directory; `offset` is that of the next."""

    inode: int
    offset: int
    kind: int
    name: bytes


def _wide_entry(guest: Guest, entry: _Entry) -> bytes:
    row = guest.structure("dirent64")
    head = row.fields["name"].offset
    size = -(-(head + len(entry.name) + 1) // 8) * 8
    packed = row.pack(ino=entry.inode, off=entry.offset, reclen=size, type=entry.kind)
    return (packed[:head] + entry.name).ljust(size, b"\0")


def _old_entry(guest: Guest, entry: _Entry) -> bytes:
    row, word = guest.structure("dirent"), guest.arch.word_size
    head = row.fields["name"].offset
    size = -(-(head + len(entry.name) + 2) // word) * word
    packed = row.pack(ino=entry.inode, off=entry.offset, reclen=size)
    # The kind is in the last byte.
    text = (packed[:head] + entry.name).ljust(size - 1, b"\0")
    return text + bytes([entry.kind])


def _read_directory(
    guest: Guest,
    fd: int,
    result: int,
    size: int,
    form: Callable[[Guest, _Entry], bytes],
) -> int:
    file = guest.descriptors.get(fd)
    if file.kind != "directory":
        raise fail(errno.ENOTDIR)
    data, last, shift = b"", None, _shift(guest, file)
    for entry in _entries(guest, file, size):
        packed = form(guest, entry._replace(offset=entry.offset >> shift))
        if len(data) + len(packed) > size:
            if not data:
                raise fail(errno.EINVAL)
            # What does not fit is read again next time.
            if last is not None and not file.is_ours:
                os.lseek(file.fd, last, os.SEEK_SET)
            break
        if file.listing:
            del file.listing[0]
        data += packed
        last = entry.offset
    guest.space.write(result, data)
    return len(data)


def _shift(guest: Guest, file: OpenFile) -> int:
    """
    Return by how many bits 32-bit programs see less of the offsets in a directory.

    File systems that hash names give them one half of the hash.
    """
    if guest.arch.word_size == 8 or file.kind != "directory" or file.is_ours:
        return 0
    if file.shift is None:
        fd = os.open(f"/proc/self/fd/{file.fd}", os.O_RDONLY | os.O_DIRECTORY)
        other = OpenFile(fd, file.kind, file.path, file.flags)
        try:
            wide = any(e.offset >> 32 for e in _entries(guest, other, _DIRECTORY_CHUNK))
        finally:
            os.close(fd)
        file.shift = 32 if wide else 0
    return file.shift


def _entries(guest: Guest, file: OpenFile, size: int) -> Iterator[_Entry]:
    """Yield what comes next in a directory, up to about `size` bytes."""
    if file.is_ours:
        # What is in it when it is read first.
        if file.listing is None:
            file.listing = proc.entries(guest, file.path) or []
        for i, own in enumerate(list(file.listing)):
            yield _Entry(1, i + 1, 0, os.fsencode(own))
        return
    buffer = ctypes.create_string_buffer(min(size, _DIRECTORY_CHUNK))
    count = _libc.getdents64(file.fd, buffer, len(buffer))
    if count < 0:
        raise fail(ctypes.get_errno())
    at = 0
    while at < count:
        inode, offset, length, kind = _DIRENT.unpack_from(buffer, at)
        name = buffer.raw[at + _DIRENT.size : at + length].partition(b"\0")[0]
        yield _Entry(inode, offset, kind, name)
        at += length


# Copying between files.


@call("sendfile64")
def sendfile64(thread: Thread, target: int, fd: int, offset: int, size: int) -> int:
    """Copy from a file to another, with an offset of 64 bits."""
    return _send_file(thread, target, fd, (offset, 8), size)


@call("sendfile")
def sendfile(thread: Thread, target: int, fd: int, offset: int, size: int) -> int:
    """Copy from a file to another."""
    width = thread.guest.arch.word_size
    return _send_file(thread, target, fd, (offset, width), size)


def _send_file(
    thread: Thread, target: int, fd: int, offset: tuple[int, int], size: int
) -> int:
    guest, (address, width) = thread.guest, offset
    source, sink = _readable(thread, fd), _writable(thread, target)
    if not source.is_regular:
        raise fail(errno.EINVAL)
    if sink.can_wait:
        wait_for(sink, _POLLOUT, guest)
        size = min(size, _PIPE_CHUNK)
    size = min(size, _COPY_CHUNK)
    at = None
    if address:
        at = _place(signed(guest.fetch_int(address, width), 8 * width))
    start = os.lseek(source.fd, 0, os.SEEK_CUR) if at is None else at
    data = os.pread(source.fd, size, start)
    count = _put(thread, sink, data) if data else 0
    if address:
        guest.store_int(address, start + count, width)
    else:
        os.lseek(source.fd, start + count, os.SEEK_SET)
    return count


@call("copy_file_range")
def copy_file_range(
    thread: Thread,
    fd: int,
    offset: int,
    target: int,
    target_offset: int,
    size: int,
    flags: int,
) -> int:
    """Copy from a file to another within the system."""
    guest = thread.guest
    only(thread, "copy_file_range", "COPY_", flags)
    source, sink = _readable(thread, fd), _writable(thread, target)
    if not (source.is_regular and sink.is_regular):
        raise fail(errno.EINVAL)
    places = [
        _place(signed(guest.fetch_int(address, 8), 64)) if address else None
        for address in (offset, target_offset)
    ]
    size = min(size, _LARGEST)
    count = os.copy_file_range(source.fd, sink.fd, size, *places)
    for address, at in zip((offset, target_offset), places, strict=True):
        if at is not None:
            guest.store_int(address, at + count, 8)
    return count
