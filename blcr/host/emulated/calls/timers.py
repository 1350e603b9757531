"""
Timers: those of a process, which send signals, and timerfds.

Source: getitimer(2), alarm(2), timer_create(2), timer_settime(2), timerfd_create(2).
"""

from __future__ import annotations

import ctypes
import errno
import os

from blcr.host.emulated.calls.table import call, fail, not_served, only, timed
from blcr.host.emulated.calls.time import NS, read_clock
from blcr.host.emulated.files import OpenFile
from blcr.host.emulated.tasks import Guest, PosixTimer, Thread, Timer, signed
from blcr.linux.constants import GENERIC

_TIMER_LIMIT = 1000
_NOTIFICATIONS = ("SIGEV_SIGNAL", "SIGEV_NONE", "SIGEV_THREAD_ID")
_LAST_SIGNAL = 64
_CPU_TIMERS = {GENERIC["ITIMER_VIRTUAL"], GENERIC["ITIMER_PROF"]}

_libc = ctypes.CDLL(None, use_errno=True)


class _Itimerspec(ctypes.Structure):
    """``struct itimerspec`` of this machine."""

    _fields_ = (
        *(("interval_sec", ctypes.c_long), ("interval_nsec", ctypes.c_long)),
        *(("sec", ctypes.c_long), ("nsec", ctypes.c_long)),
    )


# Interval timers.


def _itimer_now(guest: Guest, which: int) -> int:
    if which == GENERIC["ITIMER_REAL"]:
        return guest.machine.monotonic()
    if which in _CPU_TIMERS:
        return guest.cpu_time()
    raise fail(errno.EINVAL)


@call("alarm")
def alarm(thread: Thread, seconds: int) -> int:
    """Set the real-time timer, in seconds; return what was left of it."""
    guest, which = thread.guest, thread.guest.constants["ITIMER_REAL"]
    now = guest.machine.monotonic()
    before = guest.timers.pop(which, None)
    if seconds:
        guest.timers[which] = Timer(now + seconds * NS, 0)
    return -(-(before.end - now) // NS) if before else 0


@call("setitimer")
def setitimer(thread: Thread, which: int, new: int, old: int) -> int:
    """Set an interval timer."""
    guest = thread.guest
    now = _itimer_now(guest, which)
    value, interval = _fetch_itimer(guest, new) if new else (0, 0)
    if old:
        getitimer(thread, which, old)
    guest.timers.pop(which, None)
    if value:
        guest.timers[which] = Timer(now + value, interval)
    return 0


def _fetch_itimer(guest: Guest, address: int) -> tuple[int, int]:
    """Return value and interval of an itimerval, in ns."""
    row = guest.fetch("itimerval", address)
    for part in (row["value"], row["interval"]):
        if part["sec"] < 0 or not 0 <= part["usec"] < NS // 1000:
            raise fail(errno.EINVAL)
    value, interval = (
        row[name]["sec"] * NS + row[name]["usec"] * 1000
        for name in ("value", "interval")
    )
    return value, interval


@call("getitimer")
def getitimer(thread: Thread, which: int, result: int) -> int:
    """Tell what is left of an interval timer."""
    guest = thread.guest
    now = _itimer_now(guest, which)
    timer = guest.timers.get(which)
    # One that runs never shows 0, though it may have ended just now.
    value = max(1000, timer.end - now) if timer else 0
    interval = timer.interval if timer else 0
    guest.store(
        "itimerval",
        result,
        value={"sec": value // NS, "usec": value % NS // 1000},
        interval={"sec": interval // NS, "usec": interval % NS // 1000},
    )
    return 0


# Timers of timer_create.


@call("timer_create")
def timer_create(thread: Thread, clock: int, event: int, result: int) -> int:
    """Make a timer."""
    guest, names = thread.guest, thread.guest.constants
    clock = signed(clock)
    _check_clock(thread, clock)
    if len(guest.posix_timers) >= _TIMER_LIMIT:
        raise fail(errno.EAGAIN)
    number = guest.next_timer
    timer = PosixTimer(clock, names["SIGEV_SIGNAL"], names["SIGALRM"], number, 0)
    if event:
        row = guest.fetch("sigevent", event)
        notify, signal, tid = row["notify"], row["signo"], row["tid"]
        if notify & 0xFFFF_FFFF not in {names[name] for name in _NOTIFICATIONS}:
            raise not_served(thread, "timer_create", "SIGEV_", notify)
        if notify & names["SIGEV_THREAD_ID"] and tid not in guest.threads:
            raise fail(errno.EINVAL)
        if notify != names["SIGEV_NONE"] and not 1 <= signal <= _LAST_SIGNAL:
            raise fail(errno.EINVAL)
        timer = PosixTimer(clock, notify, signal, row["value"], tid)
    guest.store_int(result, number)
    guest.posix_timers[number] = timer
    guest.next_timer += 1
    return 0


def _check_clock(thread: Thread, clock: int) -> None:
    """Refuse timers by clocks that have none, or of one thread of several."""
    guest, names = thread.guest, thread.guest.constants
    read_clock(guest, clock)
    by = "REALTIME MONOTONIC BOOTTIME TAI PROCESS_CPUTIME_ID".split()
    served = {names[f"CLOCK_{name}"] for name in by}
    # The same of a process by its id, or none.
    served |= {~pid << 3 | kind for pid in (0, guest.pid) for kind in range(3)}
    of_thread = clock < 0 or clock == names["CLOCK_THREAD_CPUTIME_ID"]
    if clock in served or (of_thread and len(guest.threads) == 1):
        return
    raise not_served(thread, "timer_create", "CLOCK_", clock, errno.EOPNOTSUPP)


def _timer(guest: Guest, number: int) -> PosixTimer:
    timer = guest.posix_timers.get(signed(number))
    if timer is None:
        raise fail(errno.EINVAL)
    return timer


def _left(guest: Guest, timer: PosixTimer) -> tuple[int, int]:
    """Return the time that is left of a timer, and its interval."""
    if timer.end is None:
        return 0, timer.interval
    return max(1, timer.end - read_clock(guest, timer.clock)), timer.interval


def _fetch(guest: Guest, unit: str, address: int) -> tuple[int, int]:
    """Return value and interval of an itimerspec, in ns."""
    row = guest.fetch(unit, address)
    for part in (row["value"], row["interval"]):
        if part["sec"] < 0 or not 0 <= part["nsec"] < NS:
            raise fail(errno.EINVAL)
    value, interval = (
        row[name]["sec"] * NS + row[name]["nsec"] for name in ("value", "interval")
    )
    return value, interval


def _store(guest: Guest, unit: str, address: int, value: int, interval: int) -> None:
    guest.store(
        unit,
        address,
        value={"sec": value // NS, "nsec": value % NS},
        interval={"sec": interval // NS, "nsec": interval % NS},
    )


@timed(timer_settime="itimerspec", timer_settime64="itimerspec64")
def timer_settime(
    thread: Thread, unit: str, number: int, flags: int, new: int, old: int
) -> int:
    """Start or stop a timer."""
    guest, names = thread.guest, thread.guest.constants
    timer = _timer(guest, number)
    value, interval = _fetch(guest, unit, new)
    before = _left(guest, timer)
    timer.end, timer.interval = None, interval
    if value:
        absolute = flags & names["TIMER_ABSTIME"]
        timer.end = value + (0 if absolute else read_clock(guest, timer.clock))
    if old:
        _store(guest, unit, old, *before)
    return 0


@timed(timer_gettime="itimerspec", timer_gettime64="itimerspec64")
def timer_gettime(thread: Thread, unit: str, number: int, result: int) -> int:
    """Tell what is left of a timer."""
    guest = thread.guest
    _store(guest, unit, result, *_left(guest, _timer(guest, number)))
    return 0


@call("timer_getoverrun")
def timer_getoverrun(thread: Thread, number: int) -> int:
    """Tell how often a timer ended again before its signal was delivered."""
    return _timer(thread.guest, number).overrun


@call("timer_delete")
def timer_delete(thread: Thread, number: int) -> int:
    """Remove a timer."""
    _timer(thread.guest, number)
    del thread.guest.posix_timers[signed(number)]
    return 0


# Timers with a descriptor: one of ours each.


@call("timerfd_create")
def timerfd_create(thread: Thread, clock: int, flags: int) -> int:
    """Make a timer to wait for."""
    guest, names = thread.guest, thread.guest.constants
    only(thread, "timerfd_create", "TFD_", flags, "TFD_CLOEXEC TFD_NONBLOCK")
    fd = _libc.timerfd_create(signed(clock), os.O_CLOEXEC)
    if fd < 0:
        raise fail(ctypes.get_errno())
    kept = names["O_RDWR"] | flags & names["O_NONBLOCK"]
    file = OpenFile(fd, "timerfd", "anon_inode:[timerfd]", kept)
    file.clock = signed(clock)
    return guest.descriptors.add(file, cloexec=bool(flags & names["TFD_CLOEXEC"]))


@timed(timerfd_settime="itimerspec", timerfd_settime64="itimerspec64")
def timerfd_settime(
    thread: Thread, unit: str, fd: int, flags: int, new: int, old: int
) -> int:
    """Start or stop a timer to wait for."""
    guest, names = thread.guest, thread.guest.constants
    file = thread.guest.descriptors.of_kind("timerfd", signed(fd))
    value, interval = _fetch(guest, unit, new)
    if value and flags & names["TFD_TIMER_ABSTIME"]:
        # Their clock and ours differ; a time that is past is one that is over at once.
        value = max(1, value - _offset(guest, file.clock))
    spec, before = _Itimerspec(), _Itimerspec()
    spec.sec, spec.nsec = divmod(value, NS)
    spec.interval_sec, spec.interval_nsec = divmod(interval, NS)
    if _libc.timerfd_settime(file.fd, flags, ctypes.byref(spec), ctypes.byref(before)):
        raise fail(ctypes.get_errno())
    file.timer_flags = flags
    if old:
        _store(guest, unit, old, *_value_of(before))
    return 0


def _offset(guest: Guest, clock: int) -> int:
    """Return how far a guest's clock is ahead of ours, in ns."""
    names, machine = guest.constants, guest.machine
    if clock == names["CLOCK_MONOTONIC"]:
        return machine.monotonic_offset
    if clock in {names["CLOCK_BOOTTIME"], names["CLOCK_BOOTTIME_ALARM"]}:
        return machine.boottime_offset
    return 0


@timed(timerfd_gettime="itimerspec", timerfd_gettime64="itimerspec64")
def timerfd_gettime(thread: Thread, unit: str, fd: int, result: int) -> int:
    """Tell what is left of a timer to wait for."""
    left = timer_left(thread.guest.descriptors.of_kind("timerfd", signed(fd)).fd)
    _store(thread.guest, unit, result, *left)
    return 0


def timer_left(fd: int) -> tuple[int, int]:
    """Return what is left of a timerfd of ours, and its interval, in ns."""
    found = _Itimerspec()
    if _libc.timerfd_gettime(fd, ctypes.byref(found)):
        raise fail(ctypes.get_errno())
    return _value_of(found)


def _value_of(spec: _Itimerspec) -> tuple[int, int]:
    value: int = spec.sec * NS + spec.nsec
    interval: int = spec.interval_sec * NS + spec.interval_nsec
    return value, interval
