"""
What the descriptors of guests refer to, as a context has it.

Source: proc_pid_fdinfo(5), pipe(7).
"""

from __future__ import annotations

import fcntl
import os
import stat
import termios
import time
from array import array
from collections.abc import Sequence
from contextlib import suppress
from functools import cached_property, partial

from blcr.annotations import TYPE_CHECKING
from blcr.context import records
from blcr.errors import RefusedError
from blcr.host import queues, terminals
from blcr.host.emulated import locks, proc
from blcr.host.emulated.calls.timers import timer_left
from blcr.host.interface import Contents, DescriptorFacts, Run
from blcr.host.runs import data_of

if TYPE_CHECKING:
    from blcr.host.emulated.files import OpenFile
    from blcr.host.emulated.tasks import Guest
    from blcr.host.emulated.terminals import Terminal
    from blcr.host.sockets import Credentials, Sockets

_BY_PATH = {"file", "directory", "device", "path", "fifo"}
_REAL_TIME = {time.CLOCK_REALTIME, 8}
"""CLOCK_REALTIME and CLOCK_REALTIME_ALARM; linux/time.h."""
_CALLED = {"path": "file opened with O_PATH", "fifo": "named pipe"}
DELETED = " (deleted)"
"""What the kernel shows behind the path of a file that has no name any more."""
_STANDARD = 2
"""The last descriptor that may come from whoever restarts."""


class Family:
    """Guests that are saved together: one may hold the other end of another's pipe."""

    def __init__(self, guests: Sequence[Guest]) -> None:
        self._guests = guests

    def has(self, process: Guest) -> bool:
        """Tell whether a guest is one of them, or an ended child of theirs."""
        ended = process.status is not None
        parents = {guest.pid for guest in self._guests}
        return process in self._guests or (ended and process.ppid in parents)

    @cached_property
    def sockets(self) -> Sockets:
        """The sockets that they have."""
        from blcr.host.sockets import Sockets

        held = {
            os.fstat(entry.file.fd).st_ino: partial(os.dup, entry.file.fd)
            for guest in self._guests
            for _fd, entry in guest.descriptors
            if entry.file.kind == "socket"
        }
        return Sockets(held, self._shown, self._placed)

    def _shown(self, found: Credentials, inode: int) -> Credentials:
        """Return credentials with the guest that is meant: to the kernel all are us."""
        pid, uid, gid = found
        if not inode:
            return self._guests[0].machine.senders.guest(pid), uid, gid
        if pid != os.getpid():
            return 0, uid, gid
        ours = self.sockets.holders[inode]()
        try:
            return self._guests[0].machine.peers.of(ours), uid, gid
        finally:
            os.close(ours)

    def _placed(self, pid: int, path: str) -> str:
        """Return where the path of a socket leads."""
        machine = self._guests[0].machine
        guest = machine.guests.get(pid, self._guests[0])
        return os.path.join(machine.host_path(guest.cwd), path)

    def stranger(self, terminal: Terminal) -> int:
        """Return a guest that is not among them and has a terminal open; 0: none."""
        return next(
            (
                guest.pid
                for guest in self._guests[0].machine.guests.values()
                if guest not in self._guests
                for _fd, entry in guest.descriptors
                if entry.file.terminal is terminal
            ),
            0,
        )

    def holds(self, terminal: Terminal) -> bool:
        """Tell whether one of them has the master of a terminal."""
        return any(
            entry.file.terminal is terminal and entry.file.is_master
            for guest in self._guests
            for _fd, entry in guest.descriptors
        )

    def inner_session(self, number: int) -> int:
        """Return a session that one of them is in; 0: none is."""
        return number if any(guest.sid == number for guest in self._guests) else 0

    def inner_group(self, number: int) -> int:
        """Return a process group likewise."""
        return number if any(guest.pgid == number for guest in self._guests) else 0

    def close(self) -> None:
        """Give up descriptors of ours."""
        if "sockets" in self.__dict__:
            self.sockets.close()

    def sever(self) -> None:
        """Have connections leave nothing when the guests end."""
        if "sockets" in self.__dict__:
            self.sockets.sever()()

    @cached_property
    def pipes_outside(self) -> set[int]:
        """The pipes, by inode, that other guests have, too."""
        if not self._guests:
            return set()
        tables = [guest.descriptors for guest in self._guests]
        return {
            os.fstat(entry.file.fd).st_ino
            for guest in self._guests[0].machine.guests.values()
            if guest.threads and guest.descriptors not in tables
            for _fd, entry in guest.descriptors
            if entry.file.kind == "pipe"
        }


def facts(guest: Guest, family: Family) -> list[DescriptorFacts]:
    """Return the descriptors of a guest that is saved with others."""
    own = list(locks.of_table(guest.descriptors))
    standard: dict[int, int] = {}
    found = []
    for fd, entry in guest.descriptors:
        file = entry.file
        if fd <= _STANDARD:
            standard.setdefault(file.description, fd)
        one = _facts(guest, fd, file, family, standard.get(file.description, -1))
        held = (*locks.of_file(file, fd), *(lock for lock in own if lock.fd == fd))
        found.append(one._replace(cloexec=entry.cloexec, locks=held))
    return found


def _facts(
    guest: Guest, fd: int, file: OpenFile, family: Family, standard: int
) -> DescriptorFacts:
    """
    Return what one descriptor is, but for close-on-exec and locks.

    Args:
        standard: The lowest of the descriptors 0 to 2 that share its open file; -1:
            none of them does.
    """
    status = os.fstat(file.fd)
    kind, state, refused = file.kind, _state(file), ""
    path, deleted, outside, passing = file.path, False, False, False
    rdev = status.st_rdev
    notifies: tuple[int, ...] = ()
    watches: tuple[records.Watch, ...] = ()
    if kind in _BY_PATH and not file.is_ours:
        path, deleted = place(file.fd, status)
    if deleted and kind != "file":
        refused = f"a {_CALLED.get(kind, kind)} that was deleted"
    elif file.is_ours and file.listing is not None:
        refused = "a folder in /proc that is being read"
    elif kind == "inherited" and not file.kept and not os.isatty(file.fd):
        refused = "a second open file of what came from outside"
    elif file.terminal is not None:
        kind, state, refused = _terminal(file, file.terminal, family, standard)
        passing = kind == "pty"
        rdev = os.makedev(*terminals.CONTROLLING_TERMINAL) if kind == "device" else rdev
    elif kind == "device" and os.isatty(file.fd):
        # Another one of ours, which it has opened by name.
        if os.major(rdev) in terminals.NAMED_MAJORS:
            state = (terminals.settings(file.fd),)
        else:
            kind = "inherited"
    elif kind == "mqueue":
        state, notifies, refused = _message_queue(guest, file, status, family)
    elif file.process is not None:
        state, refused = _pidfd(file.process, family)
    elif kind == "socket":
        refused, outside = _socket(status.st_ino, family)
    elif kind == "inotify":
        watches, refused = _watches(file)
    elif kind == "pipe" and status.st_ino in family.pipes_outside:
        if standard >= 0:
            kind, state = "inherited", ((standard,),)
        else:
            refused = "a pipe whose other end is outside"
    is_inherited_terminal = kind == "inherited" and os.isatty(file.fd)
    record = records.OpenFile(
        kind=kind,
        path=path,
        flags=file.flags,
        offset=_offset(guest, file),
        # What is made as it is opened is another one each time.
        device=0 if file.is_ours else status.st_dev,
        inode=0 if file.is_ours else status.st_ino,
        mode=status.st_mode,
        size=status.st_size if stat.S_ISREG(status.st_mode) and not file.is_ours else 0,
        rdev=rdev,
        terminal=bool(state) if kind == "device" else is_inherited_terminal,
        state=state,
        watches=watches,
        notifies=notifies,
    )
    return DescriptorFacts(
        fd,
        file.description,
        record,
        False,
        path,
        deleted,
        refused,
        passing=passing,
        names=status.st_nlink if deleted else 0,
        leads_outside=outside,
    )


_State = tuple[tuple[int, ...], ...]


def _terminal(
    file: OpenFile, terminal: Terminal, family: Family, standard: int
) -> tuple[str, _State, str]:
    """Return kind and state of an end of a pseudo terminal, and why it is refused."""
    if not family.holds(terminal):
        return "inherited", ((standard,),) if standard >= 0 else (), ""
    if file.kind == "device":
        return "device", (), ""
    if not file.is_master:
        return "pty", ((terminal.number, 0),), terminals.unread(file.fd)
    if other := family.stranger(terminal):
        return "", (), f"a pseudo terminal that process {other} has open, too"
    session = family.inner_session(terminal.session)
    if terminal.session and not session:
        return "", (), f"the terminal of session {terminal.session}, which is outside"
    group = family.inner_group(terminal.foreground)
    state = terminals.master_state(file.fd, terminal.number, session, group)
    return "pty", state, terminals.unread(file.fd)


def _message_queue(
    guest: Guest, file: OpenFile, status: os.stat_result, family: Family
) -> tuple[_State, tuple[int, ...], str]:
    """Return state of a queue, who is told of its messages, and why it is refused."""
    from blcr.host.emulated.calls.messages import notified

    most, size, count = queues.attributes(file.fd)
    state = ((most, size, int(not status.st_nlink)),)
    if count:
        try:
            os.close(queues.reopened(f"/proc/self/fd/{file.fd}"))
        except OSError as error:
            return state, (), f"a POSIX message queue: {error.strerror}"
    found = notified(guest, locks.key_of(file))
    if found is None:
        return state, (), ""
    told, how = found
    if not family.has(told):
        why = (
            f"a POSIX message queue that notifies process {told.pid}, which is outside"
        )
        return state, (), why
    return state, tuple(how), ""


def _socket(inode: int, family: Family) -> tuple[str, bool]:
    """Return why a socket is refused, and whether that is as it leads outside."""
    from blcr.host.sockets import OutsideError, RefusedSocketError

    try:
        family.sockets.check(inode)
    except RefusedSocketError as error:
        return str(error), isinstance(error, OutsideError)
    return "", False


def _pidfd(process: Guest, family: Family) -> tuple[tuple[tuple[int, ...], ...], str]:
    """Return the state of a pidfd, and why it is refused."""
    if process.machine.guests.get(process.pid) is not process:
        return (), "a pidfd of a process that has ended"
    if not family.has(process):
        return (), f"a pidfd of process {process.pid}, which is outside"
    return ((process.pid,),), ""


def _watches(file: OpenFile) -> tuple[tuple[records.Watch, ...], str]:
    """Return what an inotify watches, and why it is refused."""
    unread = array("i", [0])
    fcntl.ioctl(file.fd, termios.FIONREAD, unread)
    if unread[0]:
        why = f"an inotify with {unread[0]} bytes of events that were not read yet"
        return (), why
    found = []
    with open(f"/proc/self/fdinfo/{file.fd}") as lines:
        rows = [line.split()[1:] for line in lines if line.startswith("inotify ")]
    for row in rows:
        words = dict(word.split(":") for word in row)
        wd, inode, mask = (int(words[name], 16) for name in ("wd", "ino", "mask"))
        path = file.watched.get(wd, "")
        if not path or not os.path.lexists(path) or os.lstat(path).st_ino != inode:
            why = (
                f"an inotify that watches the inode {inode}, of which no path was found"
            )
            return (), why
        found.append(records.Watch(wd, mask, path))
    return tuple(sorted(found)), ""


def _offset(guest: Guest, file: OpenFile) -> int:
    """Return where a file is read next, or where a directory is."""
    if not (file.is_regular or file.kind == "directory"):
        return 0
    offset = os.lseek(file.fd, 0, os.SEEK_CUR)
    if file.kind == "directory" and offset >> 32 and guest.arch.word_size == 4:
        # File systems that hash names tell 32-bit programs half of it.
        return offset >> 32
    return offset


def _state(file: OpenFile) -> tuple[tuple[int, ...], ...]:
    """Return what a kind without path consists of; see `records.OpenFile`."""
    if file.kind == "inherited":
        return ((file.fd,),) if file.kept else ()
    if file.kind == "epoll":
        # One that tells but once may have told already.
        armed = _watched(file.fd)
        return tuple(
            (fd, armed.get(host, events), data, os.fstat(host).st_ino)
            for host, (fd, events, data) in sorted(file.interest.items())
            if _is_open(host)
        )
    if file.kind == "signalfd":
        return ((file.signals,),)
    if file.kind == "timerfd":
        rows = _fdinfo(file.fd)
        value, interval = timer_left(file.fd)
        if value and file.timer_flags & 1 and file.clock in _REAL_TIME:
            # By a clock that goes on meanwhile: the record has the time of its end.
            value += time.time_ns()
        ticks = int(rows.get("ticks", "0"))
        return ((file.clock, file.timer_flags, value, interval, ticks),)
    if file.kind == "eventfd":
        rows = _fdinfo(file.fd)
        count = int(rows.get("eventfd-count", "0"), 16)
        return ((count, int(rows.get("eventfd-semaphore", "0"))),)
    return ()


def pipe(fd: int) -> records.Pipe:
    """Return the bytes of a pipe of ours, which are taken out of it and put back."""
    capacity = fcntl.fcntl(fd, fcntl.F_GETPIPE_SZ)
    path = f"/proc/self/fd/{fd}"
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    writer = os.open(path, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    parts = []
    try:
        # In packet mode each reading returns one.
        while part := os.read(reader, capacity):
            parts.append(part)
    except BlockingIOError:
        pass
    finally:
        if len(parts) > 1:
            fcntl.fcntl(writer, fcntl.F_SETFL, os.O_NONBLOCK | os.O_DIRECT)
        for part in parts:
            os.write(writer, part)
        os.close(reader)
        os.close(writer)
    packets = tuple(map(len, parts)) if len(parts) > 1 else ()
    return records.Pipe(capacity, b"".join(parts), packets)


def contents(guest: Guest, fd: int) -> Contents:
    """
    Return a descriptor to read a guest's regular file from, and what is data.

    Raises:
        RefusedError: It may not be read.
    """
    own = guest.descriptors.get(fd).fd
    try:
        try:
            flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK
            ours = os.open(f"/proc/self/fd/{own}", flags)
        except PermissionError:
            os.pread(own, 1, 0)
            ours = os.dup(own)
    except OSError as error:
        raise RefusedError(
            guest.pid,
            f"descriptor {fd} is a file whose contents would have to be saved and may "
            f"not be read ({error.strerror})",
        ) from error
    return Contents(ours, os.fstat(ours).st_size, data(ours))


def data(fd: int) -> list[Run]:
    """Return where a file of ours is not a hole; its offset stays as it was."""
    here = os.lseek(fd, 0, os.SEEK_CUR)
    try:
        return data_of(fd, os.fstat(fd).st_size)
    finally:
        os.lseek(fd, here, os.SEEK_SET)


def place(fd: int, status: os.stat_result) -> tuple[str, bool]:
    """Return the path of a file of ours, and whether that leads to it no longer."""
    path = proc.shown(os.readlink(f"/proc/self/fd/{fd}"))
    if _leads_to(path, status):
        return path, False
    path = path.removesuffix(DELETED)
    other = _other_name(path, status) if status.st_nlink else ""
    return other or path, not other


def _leads_to(path: str, status: os.stat_result) -> bool:
    """Tell whether a path leads to a file."""
    try:
        there = os.stat(path, follow_symlinks=not stat.S_ISLNK(status.st_mode))
    except OSError:
        return False
    return (there.st_dev, there.st_ino) == (status.st_dev, status.st_ino)


def _other_name(old: str, status: os.stat_result) -> str:
    """Return another name of a file in the folder of its old one, or empty."""
    with suppress(OSError), os.scandir(os.path.dirname(old)) as found:
        for entry in found:
            if entry.inode() == status.st_ino and _leads_to(entry.path, status):
                return entry.path
    return ""


def _is_open(fd: int) -> bool:
    try:
        os.fstat(fd)
    except OSError:
        return False
    return True


def _watched(epoll: int) -> dict[int, int]:
    """Return the events that an epoll instance of ours waits for, by descriptor."""
    with open(f"/proc/self/fdinfo/{epoll}") as file:
        rows = [line.split() for line in file if line.startswith("tfd:")]
    return {int(row[1]): int(row[3], 16) for row in rows}


def _fdinfo(fd: int) -> dict[str, str]:
    """Return what the kernel says of a descriptor of ours."""
    with open(f"/proc/self/fdinfo/{fd}") as file:
        rows = [line.partition(":") for line in file]
    return {name: value.strip() for name, _, value in rows}
