"""
Descriptors and open files of guests, and where their paths lead.

Each open file of a guest is one descriptor of ours.  A guest's absolute paths are
looked up below the sysroot first, if there is one.
"""

from __future__ import annotations

import errno
import fcntl
import os
import select
import stat
from collections.abc import Iterable, Iterator, Mapping
from itertools import chain, count

from blcr.annotations import TYPE_CHECKING
from blcr.host import queues
from blcr.host.emulated import locks
from blcr.linux import addresses
from blcr.record import Record

if TYPE_CHECKING:
    from blcr.host.emulated.machine import Machine
    from blcr.host.emulated.tasks import Guest
    from blcr.host.emulated.terminals import Terminal

_OPEN_FLAGS = """
    O_CREAT O_EXCL O_NOCTTY O_TRUNC O_APPEND O_NONBLOCK O_DSYNC O_DIRECT O_LARGEFILE
    O_DIRECTORY O_NOFOLLOW O_NOATIME O_SYNC O_PATH O_TMPFILE
""".split()
_HOST_FLAGS = {name: getattr(os, name, 0) for name in _OPEN_FLAGS}
# What open(2) does once and F_GETFL does not show.
TRANSIENT = ("O_CREAT", "O_EXCL", "O_NOCTTY", "O_TRUNC")

_LINK_LIMIT = 40
# Documentation/admin-guide/devices.txt.
_RANDOM_DEVICES = {os.makedev(1, 8), os.makedev(1, 9)}

_serial = count(1)


class OpenFile:
    """
    An open file description.

    Attributes:
        kind: As in `records.OpenFile`.
        flags: ``O_*`` of the guest, as F_GETFL shows them.
        path: As the guest sees it; a label for what has none.
        interest: Of an epoll: events and data by host descriptor.
    """

    def __init__(self, fd: int, kind: str, path: str, flags: int) -> None:
        self.fd = fd
        self.kind = kind
        self.path = path
        self.flags = flags
        self.references = 0
        self.description = next(_serial)
        self.interest: dict[int, tuple[int, int, int]] = {}
        self.clock = 0
        """Of a timerfd, as are the flags with which it was set."""
        self.timer_flags = 0
        self.signals = 0
        """Of a signalfd: the mask."""
        self.watched: dict[int, str] = {}
        """Of an inotify: paths by watch descriptor."""
        self.process: Guest | None = None
        """Of a pidfd."""
        self.is_ours = False
        """It is a file or directory that only guests see."""
        self.listing: list[str] | None = None
        """Names in it that are still to be read; None: all."""
        self.is_random = kind == "device" and _is_random(fd)
        """It is a device of random numbers, which come from the machine's."""
        self.shift: int | None = None
        """Of a directory: bits less in offsets; None: not looked at yet."""
        self.kept = False
        """It is one of ours, too, and stays open when the guest closes it."""
        self.terminal: Terminal | None = None
        """The pseudo terminal of guests of which it is an end."""
        self.is_master = False
        """It is the end of who keeps that for others."""

    @property
    def is_regular(self) -> bool:
        """Whether it holds bytes by their offsets."""
        return self.kind in {"file", "memfd"}

    @property
    def can_wait(self) -> bool:
        """Whether reading or writing it may have to wait."""
        return not self.is_regular and self.kind not in {"directory", "mqueue"}

    def release(self) -> None:
        """Close it when nobody refers to it any more."""
        self.references -= 1
        if not self.references and not self.kept:
            os.close(self.fd)
            if self.terminal is not None:
                self.terminal.closed(self)


class Notification(Record):
    """Who is told of a message in a queue: ``SIGEV_*``, signal and value; mq_notify."""

    pid: int
    notify: int
    signal: int
    value: int


class Descriptor(Record):
    """An entry of a guest's table."""

    file: OpenFile
    cloexec: bool


class Descriptors:
    """A guest's table of descriptors."""

    def __init__(self, limit: int = 1024) -> None:
        self.limit = limit
        self.users = 1
        """How many processes share it (CLONE_FILES)."""
        self.lockers: dict[tuple[int, int], int] = {}
        """What has the process's locks, by device and inode: descriptors of ours."""
        self.notifications: dict[locks.Key, Notification] = {}
        """Queues of whose messages the process is told."""
        self._table: dict[int, Descriptor] = {}

    def __iter__(self) -> Iterator[tuple[int, Descriptor]]:
        return iter(sorted(self._table.items()))

    def get(self, fd: int) -> OpenFile:
        """Return the open file of a descriptor; EBADF if there is none."""
        return self.entry(fd).file

    def of_kind(self, kind: str, fd: int) -> OpenFile:
        """Return the open file of a descriptor; EINVAL if it is of another kind."""
        file = self.get(fd)
        if file.kind != kind:
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        return file

    def entry(self, fd: int) -> Descriptor:
        """Return an entry; EBADF if there is none."""
        found = self._table.get(fd)
        if found is None:
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))
        return found

    def add(self, file: OpenFile, *, cloexec: bool = False, lowest: int = 0) -> int:
        """Put an open file at the lowest free number; EMFILE if there is none."""
        for fd in range(lowest, self.limit):
            if fd not in self._table:
                self.set(fd, file, cloexec=cloexec)
                return fd
        if not file.references:
            file.references = 1
            file.release()
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    def set(self, fd: int, file: OpenFile, *, cloexec: bool) -> None:
        """Put an open file at a number, in place of what is there."""
        file.references += 1
        if fd in self._table:
            self._let_go(self._table[fd].file)
        self._table[fd] = Descriptor(file, cloexec)

    def set_cloexec(self, fd: int, *, cloexec: bool) -> None:
        """Change the flag of an entry."""
        self._table[fd] = self.entry(fd)._replace(cloexec=cloexec)

    def close(self, fd: int) -> None:
        """Remove an entry; EBADF if there is none."""
        self._let_go(self.entry(fd).file)
        del self._table[fd]

    def _let_go(self, file: OpenFile) -> None:
        """Give up an open file, and what the process has of it by whatever number."""
        if self.notifications and file.kind == "mqueue":
            self.notifications.pop(locks.key_of(file), None)
        if self.lockers:
            locker = self.lockers.pop(locks.key_of(file), None)
            if locker is not None:
                os.close(locker)
        file.release()

    def copy(self) -> Descriptors:
        """Return a second table with the same open files."""
        copy = Descriptors(self.limit)
        copy._table = dict(self._table)
        for entry in self._table.values():
            entry.file.references += 1
        return copy

    def close_on_exec(self) -> None:
        """Remove the entries that a new program is not to have."""
        for fd, entry in list(self._table.items()):
            if entry.cloexec:
                self.close(fd)

    def leave(self) -> None:
        """Remove all entries once the last user has left."""
        self.users -= 1
        if not self.users:
            for fd in list(self._table):
                self.close(fd)


class Gate:
    """A named pipe held open to be read, for somebody who waits in open(2) for that."""

    def __init__(self, path: str, flags: int) -> None:
        self._fd = os.open(path, flags | os.O_NONBLOCK)

    def __del__(self) -> None:
        if getattr(self, "_fd", -1) >= 0:
            os.close(self._fd)

    def is_open(self, machine: Machine) -> bool:
        """Tell whether there is, or was, somebody to write to it."""
        # One from outside the machine shows with its first byte, or as it leaves.
        poll = select.poll()
        poll.register(self._fd, select.POLLIN)
        if poll.poll(0):
            return True
        own = os.fstat(self._fd)
        return any(
            entry.file.kind == "fifo"
            and entry.file.flags & os.O_ACCMODE != os.O_RDONLY
            and os.path.samestat(os.fstat(entry.file.fd), own)
            for guest in machine.guests.values()
            for _, entry in guest.descriptors
        )

    def take(self) -> int:
        """Return the descriptor, which is the caller's from now on."""
        fd, self._fd = self._fd, -1
        return fd


class EndMark:
    """A descriptor of ours that can be read once a process has ended."""

    def __init__(self) -> None:
        self.fd = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)

    def __del__(self) -> None:
        os.close(self.fd)

    def set(self) -> None:
        """Note that it has ended."""
        os.eventfd_write(self.fd, 1)


class Lending:
    """
    Open files of guests for which descriptors of ours stand.

    They stay open until the end, also when no guest refers to them meanwhile.
    """

    def __init__(self) -> None:
        self._files: dict[int, OpenFile] = {}

    def lend(self, file: OpenFile) -> int:
        """Return a descriptor for an open file, which the caller closes."""
        ours = os.dup(file.fd)
        if file.kind == "socket":
            # Others notice when it is closed, and its inode alone says which it is.
            return ours
        file.references += 1
        if ours in self._files:
            self._files[ours].release()
        self._files[ours] = file
        return ours

    def file(self, guest: Guest, ours: int) -> OpenFile:
        """Return the open file that a descriptor of ours stands for."""
        if not stat.S_ISSOCK(os.fstat(ours).st_mode):
            return self._files[ours]
        return opened_as(guest.machine, ours) or received(guest, os.dup(ours))

    def end(self) -> None:
        """Keep nothing open any more."""
        while self._files:
            self._files.popitem()[1].release()


def to_host_flags(constants: Mapping[str, int], flags: int) -> int:
    """Return our ``O_*`` for a guest's."""
    result = flags & os.O_ACCMODE | os.O_CLOEXEC
    for name, value in _HOST_FLAGS.items():
        wanted = constants[name]
        if flags & wanted == wanted:
            result |= value
    return result


def to_guest_flags(constants: Mapping[str, int], flags: int) -> int:
    """Return a guest's ``O_*`` for ours."""
    result = flags & os.O_ACCMODE
    for name, value in _HOST_FLAGS.items():
        if value and flags & value == value:
            result |= constants[name]
    return result


def _is_random(fd: int) -> bool:
    """Tell whether a device is ``/dev/random`` or ``/dev/urandom``."""
    status = os.fstat(fd)
    return stat.S_ISCHR(status.st_mode) and status.st_rdev in _RANDOM_DEVICES


def kind_of(mode: int) -> str:
    """Return what sort of open file a file's mode makes."""
    if stat.S_ISREG(mode):
        return "file"
    if stat.S_ISDIR(mode):
        return "directory"
    if stat.S_ISCHR(mode) or stat.S_ISBLK(mode):
        return "device"
    return "pipe" if stat.S_ISFIFO(mode) else "socket"


def opened_as(
    machine: Machine, ours: int, more: Iterable[OpenFile] = ()
) -> OpenFile | None:
    """Return the open file, one that guests have or a further one, of a descriptor."""
    status = os.fstat(ours)
    guests = machine.guests.values()
    tables = {id(guest.descriptors): guest.descriptors for guest in guests}
    known = (entry.file for table in tables.values() for _fd, entry in table)
    for file in chain(known, more):
        if os.path.samestat(os.fstat(file.fd), status) and (
            stat.S_ISSOCK(status.st_mode) or _is_same(file.fd, ours)
        ):
            return file
    return None


def _is_same(one: int, other: int) -> bool:
    """Tell whether two descriptors of ours are of one open file, by changing it."""
    try:
        before = fcntl.fcntl(one, fcntl.F_GETSIG)
        if fcntl.fcntl(other, fcntl.F_GETSIG) != before:
            return False
        try:
            fcntl.fcntl(one, fcntl.F_SETSIG, before + 1)
            return fcntl.fcntl(other, fcntl.F_GETSIG) != before
        finally:
            fcntl.fcntl(one, fcntl.F_SETSIG, before)
    except OSError:
        # O_PATH.
        return False


def received(guest: Guest, fd: int) -> OpenFile:
    """Return what a descriptor of ours is that no guest has."""
    os.set_inheritable(fd, False)
    path, mode = os.readlink(f"/proc/self/fd/{fd}"), os.fstat(fd).st_mode
    kind = kind_of(mode)
    if path.startswith("anon_inode:["):
        name = path.removeprefix("anon_inode:[").removesuffix("]")
        kind = "epoll" if name == "eventpoll" else name
    elif path.startswith("/memfd:"):
        kind = "memfd"
    elif kind == "file" and queues.is_queue(fd):
        kind = "mqueue"
    elif kind == "pipe" and not path.startswith("pipe:"):
        kind = "fifo"
    flags = to_guest_flags(guest.constants, fcntl.fcntl(fd, fcntl.F_GETFL))
    if kind in {"socket", "mqueue"}:
        # Ours never wait.
        os.set_blocking(fd, False)
        flags &= ~guest.constants["O_NONBLOCK"]
    return OpenFile(fd, kind, path, flags)


def own_name(machine: Machine, name: bytes) -> bytes:
    """Return the name of a socket as guests see it: without the sysroot."""
    root = os.fsencode(machine.sysroot or "")
    path = os.fsencode(addresses.path(name))
    if root and path.startswith(root + b"/"):
        return name[:2] + path[len(root) :] + b"\0"
    return name


def inherit(guest: Guest, fds: tuple[int, ...] = (0, 1, 2)) -> None:
    """Give a guest descriptors of ours, under the same numbers."""
    shared: dict[tuple[int, int, int], OpenFile] = {}
    for fd in fds:
        try:
            status = os.fstat(fd)
            path = os.readlink(f"/proc/self/fd/{fd}")
        except OSError:
            continue
        flags = to_guest_flags(guest.constants, fcntl.fcntl(fd, fcntl.F_GETFL))
        # Descriptors of one terminal are copies of one, as a shell makes them.
        key = (status.st_dev, status.st_ino, flags)
        if key not in shared or not os.isatty(fd):
            kind = "inherited"
            if stat.S_ISREG(status.st_mode):
                kind = "file"
            elif stat.S_ISCHR(status.st_mode) and not os.isatty(fd):
                kind = "device"
            file = OpenFile(fd, kind, path, flags)
            file.kept = True
            shared[key] = file
        guest.descriptors.set(fd, shared[key], cloexec=False)


def host_path(guest: Guest, directory: int, path: str, *, follow: bool = False) -> str:
    """
    Return where a guest's path leads, as a path of ours.

    Args:
        guest: Whose path it is.
        directory: The descriptor that relative paths start from, or AT_FDCWD.
        path: Not empty.
        follow: Whether a link at its end is to be followed.
    """
    if not path:
        raise OSError(errno.ENOENT, os.strerror(errno.ENOENT))
    if not path.startswith("/"):
        if directory != guest.constants["AT_FDCWD"]:
            file = guest.descriptors.get(directory)
            if file.kind not in {"directory", "path"}:
                raise OSError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
            return f"/proc/self/fd/{file.fd}/{path}"
        path = os.path.join(guest.cwd, path)
    return below(guest.machine.sysroot, through_own(guest, path), follow=follow)


_STREAMS = ("/dev/stdin", "/dev/stdout", "/dev/stderr")


def in_proc(path: str) -> str:
    """Return where names of one's own descriptors in ``/dev`` lead; else the path."""
    if path in _STREAMS:
        return f"/proc/self/fd/{_STREAMS.index(path)}"
    if path == "/dev/fd" or path.startswith("/dev/fd/"):
        return f"/proc/self/{path.removeprefix('/dev/')}"
    return path


def through_own(guest: Guest, path: str) -> str:
    """Return where a path leads that goes on behind a link of a folder in ``/proc``."""
    path = in_proc(path)
    owner, rest = own_proc(guest, path) or (guest, "")
    name, slash, rest = rest.partition("/")
    if slash and name in {"cwd", "root"}:
        path = f"{owner.cwd if name == 'cwd' else ''}/{rest}"
        return through_own(guest, path)
    return path


def below(sysroot: str | None, path: str, *, follow: bool) -> str:
    """Return where an absolute path leads: into the sysroot if it is there."""
    if sysroot is None:
        return path
    for _ in range(_LINK_LIMIT):
        inside = f"{sysroot}{path}"
        if not os.path.lexists(inside):
            return path
        # Links in the sysroot mean paths in there.
        is_link = follow and os.path.islink(inside)
        target = os.readlink(inside) if is_link else ""
        if not target.startswith("/") or not os.path.lexists(f"{sysroot}{target}"):
            return inside
        path = target
    raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))


def own_proc(guest: Guest, path: str) -> tuple[Guest, str] | None:
    """Return whose folder in ``/proc`` a path is below, and its rest, or None."""
    if not path.startswith("/proc/"):
        return None
    head, _, rest = path[len("/proc/") :].partition("/")
    if head in {"self", "thread-self"}:
        return guest, rest
    other = guest.machine.guests.get(int(head)) if head.isdecimal() else None
    return (other, rest) if other else None


def own_link(guest: Guest, path: str) -> str | None:
    """Return where one of the links in a guest's folder in ``/proc`` leads."""
    if not path.startswith("/proc/"):
        return None
    if path in {"/proc/self", "/proc/thread-self"}:
        return f"{guest.pid}"
    owner, rest = own_proc(guest, path) or (guest, "")
    if rest == "exe":
        return owner.exe
    if rest == "cwd":
        return owner.cwd
    if rest == "root":
        return "/"
    if rest.startswith("fd/") and rest[3:].isdecimal():
        try:
            return owner.descriptors.get(int(rest[3:])).path
        except OSError:
            raise OSError(errno.ENOENT, os.strerror(errno.ENOENT)) from None
    return None
