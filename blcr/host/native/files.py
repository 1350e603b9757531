"""
What the descriptors of a process refer to.

Source: proc_pid_fd(5), proc_pid_fdinfo(5), kcmp(2).
"""

from __future__ import annotations

import ctypes
import fcntl
import functools
import os
import stat
import struct
import termios
from collections.abc import Mapping

from blcr.context import records
from blcr.errors import TaskGoneError
from blcr.host.interface import DescriptorFacts
from blcr.host.native import fdinfo, lent, procfs, whereabouts
from blcr.record import Record

_MEMORY_DEVICES = {(1, 3), (1, 5), (1, 7), (1, 8), (1, 9)}
"""null, zero, full, random, urandom: nothing of them is anybody's own."""

_TERMINAL_MAJORS = {4, 136, 137, 138, 139, 140, 141, 142, 143, 204}
_CONTROLLING_TERMINAL = (5, 0)

_SLAVE_MAJOR = 136
"""Of pseudo terminals; the minor number is theirs."""
_NAMED_TERMINALS = {4, 204}
"""Consoles and serial lines, which are the same for everybody."""
_TERMIOS_SIZE = 36
"""Of the kernel's struct termios, on all architectures of this host."""

_KCMP_FILE, _KCMP_FILES, _KCMP_FS, _KCMP_EPOLL = 0, 2, 3, 7
_DELETED = " (deleted)"
_OWNER_GROUP = 2
"""F_OWNER_PGRP."""

_kcmp = ctypes.CDLL(None, use_errno=True).syscall
_kcmp.argtypes = (ctypes.c_long,) * 6

_ANONYMOUS = {
    "eventpoll": "epoll",
    "eventfd": "eventfd",
    "timerfd": "timerfd",
    "signalfd": "signalfd",
    "inotify": "inotify",
    "pidfd": "pidfd",
}
"""Kinds by what the kernel calls them."""


def own_table(kcmp: int, tid: int, other: int) -> str:
    """Return what a thread does not share with another one, or empty."""
    tables = {
        _KCMP_FILES: "descriptors",
        _KCMP_FS: "a working directory, root and umask",
    }
    for kind, name in tables.items():
        if _kcmp(kcmp, tid, other, kind, 0, 0) > 0:
            return name
    return ""


class Numbers(Record):
    """Values of the process's architecture, and kcmp(2)'s number for this Python."""

    cloexec: int
    direct: int
    path: int
    kcmp: int


class _Seen(Record):
    """A descriptor as /proc shows it."""

    fd: int
    label: str
    info: Mapping[str, list[str]]
    stat: os.stat_result

    @property
    def flags(self) -> int:
        """``O_*`` of the process's architecture, O_CLOEXEC included."""
        return int(self.info["flags"][0], 8)

    @property
    def offset(self) -> int:
        """Bytes."""
        return int(self.info["pos"][0])

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
    """

    kind: str
    refused: str = ""
    path: str = ""
    deleted: bool = False
    state: fdinfo.State = ()
    watches: tuple[records.Watch, ...] = ()


def descriptors(pid: int, numbers: Numbers) -> list[DescriptorFacts]:
    """
    Return the descriptors of a stopped process.

    Args:
        pid: The process as the checkpointer sees it.
        numbers: What depends on the architectures.
    """
    with lent.Lender(pid) as lender:
        return _Looking(pid, numbers, lender).facts()


class _Looking:
    """One look at all descriptors of a process."""

    def __init__(self, pid: int, numbers: Numbers, lender: lent.Lender) -> None:
        self._pid = pid
        self._lender = lender
        self._numbers = numbers
        self._seen = [self._see(fd) for fd in procfs.descriptor_numbers(pid)]
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
                files[description] = self._facts(one)
            found.append(
                files[description]._replace(
                    fd=one.fd, cloexec=bool(one.flags & self._numbers.cloexec)
                )
            )
        return found

    def _see(self, fd: int) -> _Seen:
        path = f"/proc/{self._pid}/fd/{fd}"
        try:
            label = os.readlink(path)
            status = os.stat(path)
        except FileNotFoundError as error:
            raise TaskGoneError(f"process {self._pid} has ended") from error
        if label == "anon_inode:[timerfd]":
            with self._lender.lent(fd) as ours:
                lent.count_timer(ours)
        return _Seen(fd, label, procfs.descriptor_info(self._pid, fd), status)

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
        shared = {fds[0]: fds[0] for fds in alike.values() if len(fds) == 1}
        for fds in alike.values():
            if len(fds) == 1:
                continue
            fds.sort(key=functools.cmp_to_key(self._compare))
            first = fds[0]
            for fd in fds:
                if first != fd and self._order(first, fd):
                    first = fd
                shared[fd] = first
        return shared

    def _compare(self, one: int, other: int) -> int:
        """Order two descriptors by their open files, those that share one by number."""
        return self._order(one, other) or one - other

    def _order(self, one: int, other: int) -> int:
        """Return 0 if two descriptors share their open file, else which comes first."""
        result = _kcmp(self._numbers.kcmp, self._pid, self._pid, _KCMP_FILE, one, other)
        if result < 0:
            code = ctypes.get_errno()
            raise OSError(code, f"kcmp: {os.strerror(code)}")
        return (0, -1, 1, 1)[result]

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
        )

    def _owned(self, one: _Seen, file: records.OpenFile) -> records.OpenFile:
        """Return the record with whom the open file signals, and how."""
        with self._lender.lent(one.fd) as ours:
            kind, number = lent.owner(ours)
            signal = lent.own_signal(ours)
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
            if whereabouts.leads_to(self._pid, one.label, one.stat):
                return _Kind("path")
            return _Kind("", "a file opened with O_PATH that was deleted")
        if stat.S_ISREG(mode) or stat.S_ISDIR(mode):
            return self._on_disk(one)
        if stat.S_ISCHR(mode):
            return self._character_device(one)
        if stat.S_ISFIFO(mode):
            return self._pipe(one)
        if stat.S_ISSOCK(mode):
            return _Kind("", "a socket")
        return _Kind("", "a file of unknown kind")

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
                "", f"an inotify with {unread} bytes of events that were not read yet"
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
        """Return the kind of a pidfd: only those of the process itself are saved."""
        number = fdinfo.process(one.info)
        if number < 0:
            return _Kind("", "a pidfd of a process that has ended")
        if number not in procfs.tids(self._pid):
            return _Kind("", f"a pidfd of process {number}, which is outside")
        return _Kind("pidfd", state=((procfs.status(number).tids[-1],),))

    def _on_disk(self, one: _Seen) -> _Kind:
        """Return the kind of a regular file or a directory."""
        kind = "file" if stat.S_ISREG(one.stat.st_mode) else "directory"
        if one.label.startswith("/memfd:"):
            return _Kind("memfd")
        if whereabouts.leads_to(self._pid, one.label, one.stat):
            return _Kind(kind)
        if kind == "directory":
            return _Kind("", "a directory that was deleted", deleted=True)
        with self._lender.lent(one.fd) as ours:
            if lent.is_message_queue(ours):
                return _Kind("", "a POSIX message queue")
        old = one.label.removesuffix(_DELETED)
        if one.stat.st_nlink:
            other = whereabouts.other_name(self._pid, old, one.stat)
            if other:
                return _Kind(kind, path=other)
        return _Kind(kind, path=old, deleted=True)

    def _pipe(self, one: _Seen) -> _Kind:
        """Return the kind of a pipe's end."""
        inside = self._ends[one.stat.st_ino]
        whole = os.O_RDWR in inside or {os.O_RDONLY, os.O_WRONLY} <= inside
        if not whole and self._shared[one.fd] in self._standard:
            return _Kind("", "a pipe whose other end is outside")
        if not one.label.startswith("pipe:"):
            if whereabouts.leads_to(self._pid, one.label, one.stat):
                return _Kind("fifo")
            return _Kind("", "a named pipe that was deleted")
        if not whole:
            return _Kind("", "a pipe whose other end is outside")
        return _Kind("pipe")

    def _character_device(self, one: _Seen) -> _Kind:
        """Return the kind of a character device."""
        if one.device in _MEMORY_DEVICES:
            return _Kind("device")
        if "tty-index" in one.info:
            return self._master(one, int(one.info["tty-index"][0]))
        major, minor = one.device
        if major == _SLAVE_MAJOR and minor in self._masters:
            with self._lender.lent(one.fd) as ours:
                return _Kind("pty", _unread(ours), state=((minor, 0),))
        if one.device == _CONTROLLING_TERMINAL or major in _TERMINAL_MAJORS:
            return self._terminal(one)
        return _Kind("", f"the character device {one.label}")

    def _master(self, one: _Seen, index: int) -> _Kind:
        """Return the kind of the master of a pseudo terminal."""
        slave = os.makedev(_SLAVE_MAJOR, index)
        if other := whereabouts.device_opened_by(slave, self._pid):
            return _Kind("", f"a pseudo terminal that process {other} has open, too")
        with self._lender.lent(one.fd) as ours:
            size = struct.unpack("=4H", fcntl.ioctl(ours, termios.TIOCGWINSZ, bytes(8)))
            settings = fcntl.ioctl(ours, termios.TCGETS, bytes(_TERMIOS_SIZE))
            state = ((index, 1), tuple(settings), size)
            return _Kind("pty", _unread(ours), state=state)

    def _terminal(self, one: _Seen) -> _Kind:
        """Return the kind of a terminal that is nobody's own."""
        own = procfs.stat(self._pid).field(7)
        # As new_encode_dev of linux/kdev_t.h has it.
        major, minor = own >> 8 & 0xFFF, own & 0xFF | own >> 12 & 0xFFF00
        named = one.device[0] in _NAMED_TERMINALS and one.device != (major, minor)
        if not named or self._shared[one.fd] in self._standard:
            return _Kind("terminal")
        with self._lender.lent(one.fd) as ours:
            settings = fcntl.ioctl(ours, termios.TCGETS, bytes(_TERMIOS_SIZE))
        return _Kind("device", state=(tuple(settings),))


def is_plain_device(rdev: int) -> bool:
    """Tell whether a character device is of memory or a terminal: no hardware."""
    device = os.major(rdev), os.minor(rdev)
    return (
        device in _MEMORY_DEVICES
        or device == _CONTROLLING_TERMINAL
        or device[0] in _TERMINAL_MAJORS
    )


def _unread(ours: int) -> str:
    """Return why a terminal is refused: bytes in it cannot be copied."""
    count = lent.unread(ours)
    return f"a pseudo terminal with {count} bytes that were not read" if count else ""
