"""
What ``/proc/PID/fdinfo`` says of kinds of open files, and of locks.

Source: proc_pid_fdinfo(5); show_fdinfo of the kinds in fs/, show_fd_locks in
fs/locks.c; Linux 6.12.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

from blcr.context import records
from blcr.record import Record

Info = Mapping[str, list[str]]
State = tuple[tuple[int, ...], ...]

_ABSOLUTE = 1
_REAL_TIME = {0, 8}
"""CLOCK_REALTIME, CLOCK_REALTIME_ALARM."""
_NS = 1_000_000_000
_END = (1 << 63) - 1

_LOCK_KINDS = {"FLOCK": "flock", "POSIX": "posix", "OFDLCK": "ofd", "LEASE": "lease"}


def locks(info: Info, fd: int) -> tuple[list[records.FileLock], str]:
    """Return the locks held through a descriptor, and why they are refused."""
    found = []
    for line in info.get("lock", ()):
        _number, kind, how, access, _pid, _inode, start, end = line.split()
        if kind not in _LOCK_KINDS:
            return [], f"a file with a lock of kind {kind}"
        if how == "BREAKING":
            return [], "a file with a lease that somebody is breaking"
        last = _END if end == "EOF" else int(end)
        found.append(
            records.FileLock(_LOCK_KINDS[kind], fd, access == "WRITE", int(start), last)
        )
    return found, ""


def _eventfd(info: Info) -> State:
    """Return counter and semaphore mode."""
    semaphore = int(info.get("eventfd-semaphore", ["0"])[0])
    return ((int(info["eventfd-count"][0], 16), semaphore),)


def _epoll(info: Info) -> State:
    """Return (descriptor, events, data, inode) of each that is watched."""
    watched = []
    for row in info.get("tfd", []):
        words = row.replace(":", ": ").split()
        values = dict(zip(words[1::2], words[2::2], strict=False))
        watched.append(
            (
                int(words[0]),
                int(values["events:"], 16),
                int(values["data:"], 16),
                int(values.get("ino:", "0"), 16),
            )
        )
    return tuple(watched)


def is_timer(info: Info) -> bool:
    """Tell whether it is about a timerfd."""
    return "clockid" in info


def stamped(info: Info) -> dict[str, list[str]]:
    """Return what has just been read about a timerfd, with the time."""
    return {**info, _NOW: [str(time.time_ns())]}


def _timerfd(info: Info) -> State:
    """
    Return clock, flags, time to its end, interval and ticks; times in ns.

    An absolute timer of the real-time clock has the time of its end instead.
    """
    clock, flags = int(info["clockid"][0]), int(info["settime flags"][0], 8)
    value, interval = (_nanoseconds(info[name][0]) for name in _TIMES)
    if value and flags & _ABSOLUTE and clock in _REAL_TIME:
        value += int(info[_NOW][0])
    return ((clock, flags, value, interval, int(info["ticks"][0])),)


_TIMES = ("it_value", "it_interval")
_NOW = "CLOCK_REALTIME"
"""Of the time at which the rest was read, ns."""


def _nanoseconds(text: str) -> int:
    """Return ``(seconds, nanoseconds)`` as a number."""
    seconds, rest = text.strip("()").split(",")
    return int(seconds) * _NS + int(rest)


def _signalfd(info: Info) -> State:
    """Return the signals."""
    return ((int(info["sigmask"][0], 16),),)


class Watch(Record):
    """
    What an inotify watches.

    Attributes:
        wd: Watch descriptor.
        inode, device: What; the device as the kernel has it, major number from bit 20.
        mask: ``IN_*``.
        handle_type, handle: For open_by_handle_at(2).
    """

    wd: int
    inode: int
    device: int
    mask: int
    handle_type: int
    handle: bytes


def watches(info: Info) -> list[Watch]:
    """Return what an inotify watches, by watch descriptor."""
    found = []
    for row in info.get("inotify wd", ()):
        words = dict(word.split(":") for word in f"wd:{row}".split())
        wd, inode, device, mask = (
            int(words[name], 16) for name in ("wd", "ino", "sdev", "mask")
        )
        kind = int(words.get("fhandle-type", "0"), 16)
        handle = bytes.fromhex(words.get("f_handle", ""))
        found.append(Watch(wd, inode, device, mask, kind, handle))
    return sorted(found)


def process(info: Info) -> int:
    """Return the id of a pidfd's process or thread; -1 if that has ended."""
    return int(info["Pid"][0])


STATES: dict[str, Callable[[Info], State]] = {
    "eventfd": _eventfd,
    "epoll": _epoll,
    "timerfd": _timerfd,
    "signalfd": _signalfd,
}
