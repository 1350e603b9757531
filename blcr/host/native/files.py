"""
What the descriptors of a process refer to.

Source: proc_pid_fd(5), proc_pid_fdinfo(5), kcmp(2).
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import functools
import itertools
import os
import stat
import struct
from collections.abc import Callable, Mapping, Sequence

from blcr.annotations import TYPE_CHECKING
from blcr.context import records
from blcr.errors import HostError, TaskGoneError
from blcr.host import queues, terminals
from blcr.host.interface import DescriptorFacts
from blcr.host.native import (
    fdinfo,
    lent,
    procfs,
    whereabouts,
)
from blcr.record import Record

if TYPE_CHECKING:
    from blcr.host.native.sockets import NativeSockets
    from blcr.host.sockets import Credentials

_MEMORY_DEVICES = {(1, 3), (1, 5), (1, 7), (1, 8), (1, 9)}
"""null, zero, full, random, urandom: nothing of them is anybody's own."""

_TERMINAL_MAJORS = {4, 136, 137, 138, 139, 140, 141, 142, 143, 204}

_KCMP_FILE, _KCMP_VM, _KCMP_FILES, _KCMP_FS = 0, 1, 2, 3
_KCMP_SIGHAND, _KCMP_EPOLL = 4, 7
_ALL_SHOWN = frozenset({"file", "directory", "path"})
"""Kinds of which label, status and fdinfo tell all."""
_ORDER = (0, -1, 1, 1)
"""Of two open files, by what kcmp(2) returns."""
_MANY = 100
"""Descriptors from which on to sort them before the stop."""
_DELETED = " (deleted)"
_OWNER_GROUP = 2
"""F_OWNER_PGRP."""

_kcmp = ctypes.CDLL(None, use_errno=True).syscall
_kcmp.argtypes = (ctypes.c_long,) * 6

_COMMON = {
    _KCMP_VM: "memory",
    _KCMP_FILES: "files",
    _KCMP_FS: "fs",
    _KCMP_SIGHAND: "handlers",
}
"""What processes may share, by how kcmp(2) calls it."""
_ANONYMOUS = {
    "eventpoll": "epoll",
    "eventfd": "eventfd",
    "timerfd": "timerfd",
    "signalfd": "signalfd",
    "inotify": "inotify",
    "pidfd": "pidfd",
}
"""Kinds by what the kernel calls them."""


def common(kcmp: int, pids: Sequence[int]) -> dict[int, dict[str, int]]:
    """
    Return what processes share that mostly but threads do.

    Returns:
        By process and kind, as in `records.Clone`, the first one that has it; nothing
        for that itself.
    """
    found: dict[int, dict[str, int]] = {}
    for kind, name in _COMMON.items():
        if kind == _KCMP_SIGHAND and not any("memory" in one for one in found.values()):
            # Without the memory they cannot be.
            continue

        def order(one: int, other: int, kind: int = kind) -> int:
            # Negative where one is not to be looked at.
            return _ORDER[_kcmp(kcmp, one, other, kind, 0, 0)]

        ranked = sorted(pids, key=functools.cmp_to_key(order))
        first = ranked[0]
        for one, other in itertools.pairwise(ranked):
            if _kcmp(kcmp, one, other, kind, 0, 0):
                first = other
            else:
                # Sorting has left those that are alike in their order.
                found.setdefault(other, {})[name] = first
    return found


def is_common(kcmp: int, tid: int, other: int, name: str) -> bool:
    """Tell whether a thread shares something, as in `records.Clone`, with another."""
    kind = next(kind for kind, known in _COMMON.items() if known == name)
    return bool(_kcmp(kcmp, tid, other, kind, 0, 0) <= 0)


class Numbers(Record):
    """Values of the process's architecture, and kcmp(2)'s number for this Python."""

    cloexec: int
    direct: int
    path: int
    kcmp: int


class _Seen(Record):
    """
    A descriptor as /proc and the open file show it.

    Attributes:
        flags: ``O_*`` of the process's architecture, O_CLOEXEC included.
        offset: Bytes.
        owner: Type and id of whom it signals, and the signal; None: unknown.
    """

    fd: int
    label: str
    info: Mapping[str, list[str]]
    stat: os.stat_result
    flags: int
    offset: int
    owner: tuple[int, int, int] | None

    @property
    def device(self) -> tuple[int, int]:
        """Major and minor number of a device."""
        return os.major(self.stat.st_rdev), os.minor(self.stat.st_rdev)


class _Kind(Record):
    """
    What an open file is.

    Attributes:
        kind: As in the record, ``"terminal"``, or empty.
        refused: Why it cannot be saved.
        path: Where it is found, if not where the kernel says.
        deleted: It has no name any more.
        state: What it consists of.
        watches: Of an inotify.
        outside: A socket that is connected to somebody else.
        keepable: It can be saved all the same.
        passing: It is refused for what may be over soon.
    """

    kind: str
    refused: str = ""
    path: str = ""
    deleted: bool = False
    state: fdinfo.State = ()
    watches: tuple[records.Watch, ...] = ()
    outside: bool = False
    keepable: bool = False
    passing: bool = False


def ranks(pid: int, kcmp: int) -> dict[int, int]:
    """
    Return the descriptors of a running process in an order of their open files.

    Once it stands still that shows by few comparisons which of them share one.
    """
    alike: dict[str, list[int]] = {}
    with procfs.Descriptors(pid) as shown:
        numbers = shown.numbers()
        for fd in numbers:
            with contextlib.suppress(FileNotFoundError):
                alike.setdefault(shown.label(fd), []).append(fd)
    if any(label.startswith("socket:") for label in alike):
        # To be imported later would take frozen time.
        import blcr.host.native.sockets  # noqa: F401
    if len(numbers) < _MANY:
        return {}

    def compare(one: int, other: int) -> int:
        # Negative where one has been closed meanwhile.
        return _ORDER[_kcmp(kcmp, pid, pid, _KCMP_FILE, one, other)]

    ranked: list[int] = []
    for fds in alike.values():
        ranked += sorted(fds, key=functools.cmp_to_key(compare))
    return {fd: rank for rank, fd in enumerate(ranked)}


class _Held(Record):
    """
    What processes hold that may lead from one to another.

    Attributes:
        ends: O_ACCMODE of the ends of each pipe, by inode.
        masters: The numbers of pseudo terminals.
        sockets: A process that has it, and its descriptor, by inode.
    """

    ends: dict[int, set[int]]
    masters: set[int]
    sockets: dict[int, tuple[int, int]]


class Family:
    """Processes that are saved together: one may hold the other end of another's."""

    def __init__(self, pids: Sequence[int]) -> None:
        self._pids = pids

    @functools.cached_property
    def _held(self) -> _Held:
        """Look once at all that they have."""
        held = _Held({}, set(), {})
        for pid in self._pids:
            with procfs.Descriptors(pid) as shown:
                for fd in shown.numbers():
                    status = shown.stat(fd)
                    if stat.S_ISFIFO(status.st_mode):
                        mode = int(shown.info(fd)["flags"][0], 8) & os.O_ACCMODE
                        held.ends.setdefault(status.st_ino, set()).add(mode)
                    elif stat.S_ISSOCK(status.st_mode):
                        held.sockets.setdefault(status.st_ino, (pid, fd))
                    elif stat.S_ISCHR(status.st_mode):
                        numbers = shown.info(fd).get("tty-index", ())
                        held.masters.update(map(int, numbers))
        return held

    @functools.cached_property
    def ends(self) -> Mapping[int, set[int]]:
        """The ends of each pipe that any of them holds: O_ACCMODE by inode."""
        found = self._held.ends
        for ours in self.sockets.in_flight if self._held.sockets else ():
            mode = fcntl.fcntl(ours, fcntl.F_GETFL) & os.O_ACCMODE
            found.setdefault(os.fstat(ours).st_ino, set()).add(mode)
        return found

    @property
    def masters(self) -> set[int]:
        """The numbers of the pseudo terminals whose masters any of them holds."""
        return self._held.masters

    def sever(self) -> Callable[[], None]:
        """Return what, the processes being gone, leaves nothing of connections."""
        return self.sockets.sever() if "sockets" in self.__dict__ else lambda: None

    def keeps(self) -> bool:
        """Tell whether connections to others stay."""
        return "sockets" in self.__dict__ and bool(self.sockets.kept)

    def close(self) -> None:
        """Give up descriptors of ours."""
        if "sockets" in self.__dict__:
            self.sockets.close()

    @functools.cached_property
    def sockets(self) -> NativeSockets:
        """The sockets that they have."""
        from blcr.host.native.sockets import NativeSockets

        held = {
            inode: functools.partial(lent.lend, pid, fd)
            for inode, (pid, fd) in self._held.sockets.items()
        }
        return NativeSockets(held, _shown_credentials, _placed, self._pids)

    @functools.cached_property
    def _statuses(self) -> list[procfs.Status]:
        return [procfs.status(pid) for pid in self._pids]

    def inner_session(self, number: int) -> int:
        """Return a session as its processes see it; 0: none of them is in it."""
        ids = (one.sids for one in self._statuses)
        return next((sids[-1] for sids in ids if sids[0] == number), 0)

    def inner_group(self, number: int) -> int:
        """Return a process group likewise."""
        ids = (one.pgids for one in self._statuses)
        return next((pgids[-1] for pgids in ids if pgids[0] == number), 0)

    def has(self, pid: int) -> bool:
        """Tell whether a process is one of them, or an ended child of theirs."""
        status = procfs.status(pid)
        ended = status.state in "ZX" and status.ppid in self._pids
        return pid == status.tgid and (pid in self._pids or ended)

    def other_user(self, status: os.stat_result) -> int:
        """Return a process that is not among them and has a file open; 0: none."""
        return whereabouts.opened_by(status, self._pids)

    def stranger(self, device: int) -> int:
        """Return a process that is not among them and has a device open; 0: none."""
        return whereabouts.device_opened_by(device, self._pids)


def _shown_credentials(found: Credentials, inode: int) -> Credentials:
    """Return credentials with the process's id as it sees it itself."""
    del inode
    pid, uid, gid = found
    if pid > 0:
        try:
            pid = procfs.status(pid).tgids[-1]
        except TaskGoneError:
            pid = 0
    return pid, uid, gid


def _placed(pid: int, path: str) -> str:
    """Return where a path leads as a process sees it."""
    base = "root" if path.startswith("/") else "cwd"
    return f"/proc/{pid}/{base}/{path}"


def descriptors(
    pid: int, numbers: Numbers, ranks: Mapping[int, int], family: Family
) -> list[DescriptorFacts]:
    """
    Return the descriptors of a stopped process.

    Args:
        pid: The process as the checkpointer sees it.
        numbers: What depends on the architectures.
        ranks: As the function of that name has returned.
        family: The processes that are saved with it, itself among them.
    """
    with lent.Lender(pid) as lender:
        return _Looking(pid, numbers, lender, ranks, family).facts()


def compare(kcmp: int, pid: int, fd: int, other: int, other_fd: int) -> int:
    """
    Return 0 if two descriptors share their open file, else which of them comes first.

    Source: kcmp(2), which gives open files an order.
    """
    result = _kcmp(kcmp, pid, other, _KCMP_FILE, fd, other_fd)
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, f"kcmp: {os.strerror(code)}")
    return _ORDER[result]


class _Looking:
    """One look at all descriptors of a process."""

    def __init__(
        self,
        pid: int,
        numbers: Numbers,
        lender: lent.Lender,
        ranks: Mapping[int, int],
        family: Family,
    ) -> None:
        self._pid = pid
        self._family = family
        self._lender = lender
        self._numbers = numbers
        self._ranks = ranks
        self._places: dict[tuple[str, int, int], bool] = {}
        self._known: dict[tuple[object, ...], DescriptorFacts] = {}
        with procfs.Descriptors(pid) as shown:
            # Of our own only those count that sockets have to give.
            is_own = pid == os.getpid()
            fds = sorted(family.sockets.in_flight) if is_own else shown.numbers()
            self._seen = [self._see(shown, fd) for fd in fds]
        self._shared = self._descriptions()
        self._ends: dict[int, set[int]] = {}
        for one in self._seen:
            if stat.S_ISFIFO(one.stat.st_mode):
                ends = self._ends.setdefault(one.stat.st_ino, set())
                ends.add(one.flags & os.O_ACCMODE)
        self._masters = {
            int(index) for one in self._seen for index in one.info.get("tty-index", ())
        }
        self._standard = {
            self._shared[one.fd]: one.fd for one in reversed(self._seen) if one.fd <= 2
        }

    def facts(self) -> list[DescriptorFacts]:
        """Return what all of them are."""
        files: dict[int, DescriptorFacts] = {}
        found = []
        for one in self._seen:
            description = self._shared[one.fd]
            if description not in files:
                files[description] = self._alike(one)
                found.append(files[description])
                continue
            found.append(
                files[description]._replace(
                    fd=one.fd, cloexec=bool(one.flags & self._numbers.cloexec)
                )
            )
        return found

    def _alike(self, one: _Seen) -> DescriptorFacts:
        """Return what one descriptor is, as another one like it if there was any."""
        description, now = self._shared[one.fd], one.stat
        if "lock" in one.info or description in self._standard:
            return self._facts(one)
        key = (
            one.label, id(one.info), one.owner, now.st_dev, now.st_ino, now.st_mode,
            now.st_size, now.st_nlink,
        )  # fmt: skip
        if key in self._known:
            return self._known[key]._replace(fd=one.fd, description=description)
        found = self._facts(one)
        if found.file.kind in _ALL_SHOWN and not found.deleted:
            self._known[key] = found
        return found

    def _see(self, shown: procfs.Descriptors, fd: int) -> _Seen:
        label = shown.label(fd)
        status, owner = self._look_through(shown, fd, label)
        info = shown.info(fd)
        if fdinfo.is_timer(info):
            info = fdinfo.stamped(info)
        flags, offset = int(info["flags"][0], 8), int(info["pos"][0])
        return _Seen(fd, label, info, status, flags, offset, owner)

    def _look_through(
        self, shown: procfs.Descriptors, fd: int, label: str
    ) -> tuple[os.stat_result, tuple[int, int, int] | None]:
        """Return the status of an open file and its owner, None where unknown."""
        try:
            ours = self._lender.lend(fd)
        except HostError:
            return shown.stat(fd), None
        try:
            if label == "anon_inode:[timerfd]":
                lent.count_timer(ours)
            return os.fstat(ours), lent.owner(ours)
        finally:
            os.close(ours)

    def _leads_to(self, label: str, status: os.stat_result) -> bool:
        """Tell whether a path leads to a file."""
        key = label, status.st_dev, status.st_ino
        if key not in self._places:
            self._places[key] = whereabouts.leads_to(self._pid, label, status)
        return self._places[key]

    def _descriptions(self) -> dict[int, int]:
        """
        Return for each descriptor the lowest one that shares its open file.

        kcmp(2) gives open files an order, so that many alike need not be compared
        each with each.
        """
        alike: dict[tuple[object, ...], list[int]] = {}
        for one in self._seen:
            key = (
                one.stat.st_dev, one.stat.st_ino, one.label, one.offset,
                one.flags & ~self._numbers.cloexec,
            )  # fmt: skip
            alike.setdefault(key, []).append(one.fd)
        shared: dict[int, int] = {}
        for fds in alike.values():
            fds.sort(key=lambda fd: self._ranks.get(fd, -1))
            orders = [self._order(*pair) for pair in itertools.pairwise(fds)]
            if any(order > 0 for order in orders):
                fds.sort(key=functools.cmp_to_key(self._order))
                orders = [self._order(*pair) for pair in itertools.pairwise(fds)]
            groups: list[list[int]] = []
            for fd, order in zip(fds, [-1, *orders], strict=True):
                if order:
                    groups.append([])
                groups[-1].append(fd)
            shared.update((fd, min(group)) for group in groups for fd in group)
        return shared

    def _order(self, one: int, other: int) -> int:
        """Return 0 if two descriptors share their open file, else which comes first."""
        return compare(self._numbers.kcmp, self._pid, one, self._pid, other)

    def _facts(self, one: _Seen) -> DescriptorFacts:
        """Return what one descriptor is."""
        status = one.stat
        found = self._kind(one)
        kind, refused, state = found.kind, found.refused, found.state
        description = self._shared[one.fd]
        if kind in ("", "terminal") and (
            description in self._standard or kind == "terminal"
        ):
            terminal = kind == "terminal"
            kind, refused = "inherited", ""
            if description in self._standard:
                state = ((self._standard[description],),)
        else:
            terminal = False
        locks, why = fdinfo.locks(one.info, one.fd)
        file = records.OpenFile(
            kind=kind,
            path=found.path or one.label,
            flags=one.flags & ~self._numbers.cloexec,
            offset=one.offset,
            device=status.st_dev,
            inode=status.st_ino,
            mode=status.st_mode,
            size=status.st_size if stat.S_ISREG(status.st_mode) else 0,
            rdev=status.st_rdev,
            terminal=terminal or (kind == "device" and bool(state)),
            state=state,
            watches=found.watches,
        )
        if kind not in ("", "inherited", "path"):
            file = self._owned(one, file)
        return DescriptorFacts(
            one.fd,
            description,
            file,
            bool(one.flags & self._numbers.cloexec),
            one.label,
            found.deleted,
            refused or why,
            tuple(locks),
            status.st_nlink if found.deleted else 0,
            leads_outside=found.outside and bool(refused),
            keepable=found.keepable and bool(refused),
            passing=found.passing and bool(refused),
        )

    def _owned(self, one: _Seen, file: records.OpenFile) -> records.OpenFile:
        """Return the record with whom the open file signals, and how."""
        if one.owner is None:
            # That nothing is lent is an error now.
            self._lender.lend(one.fd)
        kind, number, signal = one.owner or (0, 0, 0)
        if not number and not signal:
            return file
        return file._replace(owner=(kind, self._inner(kind, number)), signal=signal)

    def _inner(self, kind: int, number: int) -> int:
        """Return an owner's id as the process sees it."""
        if not number:
            return 0
        if kind == _OWNER_GROUP:
            mine = procfs.status(self._pid).pgids
            return mine[-1] if number == mine[0] else number
        try:
            return procfs.status(number).tids[-1]
        except TaskGoneError:
            return number

    def _kind(self, one: _Seen) -> _Kind:
        """Return the kind of an open file."""
        mode = one.stat.st_mode
        if one.label.startswith("anon_inode:"):
            return self._anonymous(one)
        if one.flags & self._numbers.path:
            if self._leads_to(one.label, one.stat):
                return _Kind("path")
            return _Kind("", "a file opened with O_PATH that was deleted")
        if stat.S_ISREG(mode) or stat.S_ISDIR(mode):
            return self._on_disk(one)
        if stat.S_ISCHR(mode):
            return self._character_device(one)
        if stat.S_ISFIFO(mode):
            return self._pipe(one)
        if stat.S_ISSOCK(mode):
            return self._socket(one)
        return _Kind("", "a file of unknown kind")

    def _socket(self, one: _Seen) -> _Kind:
        """Return the kind of a socket, or how it is refused."""
        from blcr.host.sockets import OutsideError, RefusedSocketError

        try:
            self._family.sockets.check(one.stat.st_ino)
        except RefusedSocketError as error:
            outside = isinstance(error, OutsideError)
            keepable = isinstance(error, OutsideError) and error.keepable
            return _Kind(
                *("", str(error)),
                outside=outside,
                keepable=keepable,
                passing=error.passing,
            )
        return _Kind("socket")

    def _anonymous(self, one: _Seen) -> _Kind:
        """Return the kind of what has no file behind it."""
        name = one.label.removeprefix("anon_inode:").strip("[]")
        kind = _ANONYMOUS.get(name, "")
        if kind == "inotify":
            return self._inotify(one)
        if kind == "pidfd":
            return self._pidfd(one)
        if kind:
            state = fdinfo.STATES[kind](one.info)
            refused = self._strays(one.fd, state) if kind == "epoll" else ""
            return _Kind(kind, refused, state=state)
        return _Kind("", f"an object of kind {name}")

    def _strays(self, epoll: int, watched: fdinfo.State) -> str:
        """Return why an epoll instance is refused: a number is another file's now."""
        seen: dict[int, int] = {}
        for fd, *_rest in watched:
            slot = struct.pack("=III", epoll, fd, seen.get(fd, 0))
            seen[fd] = seen.get(fd, 0) + 1
            room = ctypes.create_string_buffer(slot)
            at = ctypes.addressof(room)
            if _kcmp(self._numbers.kcmp, self._pid, self._pid, _KCMP_EPOLL, fd, at):
                return f"an epoll that watches a file which was descriptor {fd}"
        return ""

    def _inotify(self, one: _Seen) -> _Kind:
        """Return what an inotify watches."""
        with self._lender.lent(one.fd) as ours:
            unread = lent.unread(ours)
        if unread:
            return _Kind(
                "",
                f"an inotify with {unread} bytes of events that were not read yet",
                passing=True,
            )
        found = []
        for watch in fdinfo.watches(one.info):
            path = whereabouts.path_of(self._pid, watch)
            if not path:
                return _Kind(
                    "",
                    f"an inotify that watches the inode {watch.inode}, of which no "
                    "path was found",
                )
            found.append(records.Watch(watch.wd, watch.mask, path))
        return _Kind("inotify", watches=tuple(found))

    def _pidfd(self, one: _Seen) -> _Kind:
        """Return the kind of a pidfd, of the process itself or one saved with it."""
        number = fdinfo.process(one.info)
        if number < 0:
            return _Kind("", "a pidfd of a process that has ended")
        if number not in procfs.tids(self._pid) and not self._family.has(number):
            return _Kind("", f"a pidfd of process {number}, which is outside")
        return _Kind("pidfd", state=((procfs.status(number).tids[-1],),))

    def _on_disk(self, one: _Seen) -> _Kind:
        """Return the kind of a regular file or a directory."""
        kind = "file" if stat.S_ISREG(one.stat.st_mode) else "directory"
        if one.label.startswith("/memfd:"):
            return _Kind("memfd")
        if self._leads_to(one.label, one.stat):
            return _Kind(kind)
        if kind == "directory":
            return _Kind("", "a directory that was deleted", deleted=True)
        with self._lender.lent(one.fd) as ours:
            if queues.is_queue(ours):
                return self._message_queue(one, ours)
        old = one.label.removesuffix(_DELETED)
        if one.stat.st_nlink:
            other = whereabouts.other_name(self._pid, old, one.stat)
            if other:
                return _Kind(kind, path=other)
        return _Kind(kind, path=old, deleted=True)

    def _message_queue(self, one: _Seen, ours: int) -> _Kind:
        """Return the kind of a POSIX message queue."""
        most, size, count = queues.attributes(ours)
        try:
            with open(f"/proc/{self._pid}/fd/{one.fd}", "rb") as file:
                notifies = b"NOTIFY_PID:0" not in file.read()
            if count:
                os.close(queues.reopened(f"/proc/{self._pid}/fd/{one.fd}"))
        except OSError as error:
            return _Kind("", f"a POSIX message queue: {error.strerror}")
        if notifies:
            return _Kind("", "a POSIX message queue that notifies a process")
        if count and (other := self._family.other_user(one.stat)):
            return _Kind(
                "",
                f"a POSIX message queue with {count} messages in it that process "
                f"{other} has open, too",
            )
        unlinked = int(not one.stat.st_nlink)
        name = one.label.removesuffix(_DELETED)
        return _Kind("mqueue", path=name, state=((most, size, unlinked),))

    def _pipe(self, one: _Seen) -> _Kind:
        """Return the kind of a pipe's end."""
        inode = one.stat.st_ino
        named = not one.label.startswith("pipe:")
        standard = self._shared[one.fd] in self._standard
        kept = _is_whole(self._ends[inode]) or _is_whole(self._family.ends[inode])
        # What is left in standard input is the program's; for its output there may be
        # somebody again.
        if not (kept or named) and (_reads(one) or not standard):
            kept = self._is_widowed(one)
        if not kept and (standard or not named):
            return _Kind("", "a pipe whose other end is outside")
        if not named:
            return _Kind("pipe")
        if self._leads_to(one.label, one.stat):
            return _Kind("fifo")
        return _Kind("", "a named pipe that was deleted")

    def _is_widowed(self, one: _Seen) -> bool:
        """Tell whether nobody has the other end of a pipe."""
        with self._lender.lent(one.fd) as ours:
            return lent.nobody_opposite(ours)

    def _character_device(self, one: _Seen) -> _Kind:
        """Return the kind of a character device."""
        if one.device in _MEMORY_DEVICES:
            return _Kind("device")
        if "tty-index" in one.info:
            return self._master(one, int(one.info["tty-index"][0]))
        major, minor = one.device
        if major == terminals.SLAVE_MAJOR and self._is_inside(minor):
            with self._lender.lent(one.fd) as ours:
                return _Kind(
                    "pty", terminals.unread(ours), state=((minor, 0),), passing=True
                )
        if one.device == terminals.CONTROLLING_TERMINAL or major in _TERMINAL_MAJORS:
            return self._terminal(one)
        return _Kind("", f"the character device {one.label}")

    def _master(self, one: _Seen, index: int) -> _Kind:
        """Return the kind of the master of a pseudo terminal."""
        slave = os.makedev(terminals.SLAVE_MAJOR, index)
        if other := self._family.stranger(slave):
            return _Kind("", f"a pseudo terminal that process {other} has open, too")
        with self._lender.lent(one.fd) as ours:
            outer = terminals.session_of(ours)
            session = self._family.inner_session(outer) if outer else 0
            if outer and not session:
                return _Kind("", f"the terminal of session {outer}, which is outside")
            group = terminals.foreground_of(ours) if session else 0
            group = self._family.inner_group(group) if group else 0
            state = terminals.master_state(ours, index, session, group)
            return _Kind("pty", terminals.unread(ours), state=state, passing=True)

    def _is_inside(self, number: int) -> bool:
        """Tell whether the master of a pseudo terminal is among those that are held."""
        return number in self._masters or number in self._family.masters

    def _terminal(self, one: _Seen) -> _Kind:
        """Return the kind of a terminal that is nobody's own."""
        own = procfs.stat(self._pid).field(7)
        # As new_encode_dev of linux/kdev_t.h has it.
        major, minor = own >> 8 & 0xFFF, own & 0xFF | own >> 12 & 0xFFF00
        is_own = one.device == terminals.CONTROLLING_TERMINAL
        if is_own and major == terminals.SLAVE_MAJOR and self._is_inside(minor):
            return _Kind("device")
        is_named = one.device[0] in terminals.NAMED_MAJORS
        named = is_named and one.device != (major, minor)
        if not named or self._shared[one.fd] in self._standard:
            return _Kind("terminal")
        with self._lender.lent(one.fd) as ours:
            return _Kind("device", state=(terminals.settings(ours),))


def _reads(one: _Seen) -> bool:
    """Tell whether a descriptor can but be read from."""
    return one.flags & os.O_ACCMODE == os.O_RDONLY


def _is_whole(ends: set[int]) -> bool:
    """Tell whether both ends of a pipe are among those that are held."""
    return os.O_RDWR in ends or {os.O_RDONLY, os.O_WRONLY} <= ends


def is_plain_device(rdev: int) -> bool:
    """Tell whether a character device is of memory or a terminal: no hardware."""
    device = os.major(rdev), os.minor(rdev)
    return (
        device in _MEMORY_DEVICES
        or device == terminals.CONTROLLING_TERMINAL
        or device[0] in _TERMINAL_MAJORS
    )
