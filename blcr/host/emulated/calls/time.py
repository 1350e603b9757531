"""
Time.

The guests' monotonic clocks go on from where a context has them; the real one is ours.

Source: clock_gettime(2), clock_nanosleep(2), getitimer(2), timerfd_create(2).
"""

from __future__ import annotations

import errno
import time as host_time

from blcr.host.emulated.calls.table import call, fail, not_served, timed
from blcr.host.emulated.tasks import Blocked, Guest, Thread, Wait, signed

NS = 10**9
# Of negative ids; include/linux/posix-timers_types.h.
_TICK = 4 * 10**6
_CPU_CLOCK_SHIFT, _CPU_CLOCK_PER_THREAD, _CPU_CLOCK_KIND = 3, 4, 3


def fetch_time(guest: Guest, unit: str, address: int) -> int:
    """
    Return a time in ns.

    Args:
        guest: In whose memory it is.
        unit: ``timespec``, ``timespec64`` or ``timeval``.
        address: EINVAL where what is there is not a time.
    """
    row = guest.fetch(unit, address)
    fraction = row["usec"] * 1000 if unit == "timeval" else row["nsec"]
    if row["sec"] < 0 or not 0 <= fraction < NS:
        raise fail(errno.EINVAL)
    return int(row["sec"] * NS + fraction)


def store_time(guest: Guest, unit: str, address: int, ns: int) -> None:
    """Put a time into the guest's memory."""
    seconds, rest = divmod(ns, NS)
    if unit == "timeval":
        guest.store(unit, address, sec=seconds, usec=rest // 1000)
    else:
        guest.store(unit, address, sec=seconds, nsec=rest)


def read_clock(guest: Guest, clock: int, thread: Thread | None = None) -> int:
    """
    Return what a clock shows, in ns; EINVAL if there is none.

    Args:
        guest: Who looks at it.
        clock: Its id.
        thread: Which of its threads does.
    """
    names, machine = guest.constants, guest.machine
    clock = signed(clock)
    if clock in {names["CLOCK_REALTIME"], names["CLOCK_REALTIME_COARSE"]}:
        return host_time.time_ns()
    if clock in {
        names["CLOCK_MONOTONIC"],
        names["CLOCK_MONOTONIC_RAW"],
        names["CLOCK_MONOTONIC_COARSE"],
    }:
        return machine.monotonic()
    if clock == names["CLOCK_BOOTTIME"]:
        return machine.boottime()
    if clock == names["CLOCK_TAI"]:
        return host_time.time_ns()
    if clock == names["CLOCK_PROCESS_CPUTIME_ID"]:
        return guest.cpu_time()
    if clock == names["CLOCK_THREAD_CPUTIME_ID"]:
        return (thread or guest.leader).cpu_time()
    if clock < 0:
        return _cpu_time(guest, clock, thread or guest.leader)
    raise fail(errno.EINVAL)


def _cpu_time(guest: Guest, clock: int, thread: Thread) -> int:
    """Return the CPU time of the process or thread whose id is in a clock's."""
    number = ~(clock >> _CPU_CLOCK_SHIFT)
    found: Guest | Thread | None
    if clock & _CPU_CLOCK_PER_THREAD:
        found = guest.threads.get(number) if number else thread
    else:
        found = guest.machine.guests.get(number) if number else guest
    if clock & _CPU_CLOCK_KIND == _CPU_CLOCK_KIND or found is None:
        raise fail(errno.EINVAL)
    return found.cpu_time()


@timed(clock_gettime="timespec", clock_gettime64="timespec64")
def clock_gettime(thread: Thread, unit: str, clock: int, result: int) -> int:
    """Tell the time."""
    guest = thread.guest
    store_time(guest, unit, result, read_clock(guest, clock, thread))
    return 0


@timed(clock_getres="timespec", clock_getres_time64="timespec64")
def clock_getres(thread: Thread, unit: str, clock: int, result: int) -> int:
    """Tell how fine a clock is."""
    names = thread.guest.constants
    read_clock(thread.guest, clock)
    if result:
        coarse = {names["CLOCK_REALTIME_COARSE"], names["CLOCK_MONOTONIC_COARSE"]}
        resolution = _TICK if clock in coarse else 1
        store_time(thread.guest, unit, result, resolution)
    return 0


@call("gettimeofday")
def gettimeofday(thread: Thread, result: int, zone: int) -> int:
    """Tell the time in microseconds."""
    if result:
        store_time(thread.guest, "timeval", result, host_time.time_ns())
    if zone:
        thread.guest.space.write(zone, bytes(8))
    return 0


@call("time")
def time(thread: Thread, result: int) -> int:
    """Tell the time in seconds."""
    now = host_time.time_ns() // NS
    if result:
        thread.guest.store_int(result, now, thread.guest.arch.word_size)
    return now


@call("times")
def times(thread: Thread, result: int) -> int:
    """Tell processor time in hundredths of a second."""
    guest = thread.guest
    if result:
        used, children = guest.cpu_time() // 10**7, guest.children_ns // 10**7
        guest.store("tms", result, utime=used, cutime=children)
    return thread.guest.machine.monotonic() // 10**7 & 0x7FFF_FFFF


@call("nanosleep")
def nanosleep(thread: Thread, request: int, remainder: int) -> int:
    """Sleep for some time."""
    return _sleep_for(thread, "timespec", request, remainder)


@timed(clock_nanosleep="timespec", clock_nanosleep_time64="timespec64")
def clock_nanosleep(
    thread: Thread, unit: str, clock: int, flags: int, request: int, remainder: int
) -> int:
    """Sleep for some time, or until a clock shows it."""
    guest = thread.guest
    now = read_clock(guest, clock)
    _check_sleeps(thread, clock)
    if not flags & guest.constants["TIMER_ABSTIME"]:
        return _sleep_for(thread, unit, request, remainder)
    end = fetch_time(guest, unit, request)
    if now >= end:
        return 0
    raise Blocked(Wait(guest.machine.monotonic() + end - now))


def _check_sleeps(thread: Thread, clock: int) -> None:
    """Refuse to sleep by clocks that do not go by themselves."""
    names = thread.guest.constants
    by = "REALTIME MONOTONIC BOOTTIME TAI".split()
    if clock not in {names[f"CLOCK_{name}"] for name in by}:
        raise not_served(thread, "clock_nanosleep", "CLOCK_", clock, errno.EOPNOTSUPP)


def _sleep_for(thread: Thread, unit: str, request: int, remainder: int) -> int:
    guest = thread.guest
    end = thread.deadline(fetch_time(guest, unit, request))
    assert end is not None, "a sleep ends"

    def interrupt() -> None:
        if remainder:
            left = max(0, end - guest.machine.monotonic())
            store_time(guest, unit, remainder, left)

    if guest.machine.monotonic() >= end:
        return 0
    raise Blocked(Wait(end, restarts=False, interrupt=interrupt))
