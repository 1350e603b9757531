"""
Timers that send signals when they end.

Source: getitimer(2), timer_create(2); kernel/time of Linux 6.12.
"""

from __future__ import annotations

from collections.abc import Iterator

from blcr.annotations import TYPE_CHECKING
from blcr.host.emulated import signals
from blcr.host.emulated.calls.time import read_clock
from blcr.host.emulated.tasks import Timer
from blcr.linux.constants import GENERIC

if TYPE_CHECKING:
    from blcr.host.emulated.tasks import Guest, PosixTimer, Thread

_SIGNALS = {
    GENERIC["ITIMER_REAL"]: GENERIC["SIGALRM"],
    GENERIC["ITIMER_VIRTUAL"]: GENERIC["SIGVTALRM"],
    GENERIC["ITIMER_PROF"]: GENERIC["SIGPROF"],
}
_NS = 10**9
_CPU_CLOCKS = {
    GENERIC["CLOCK_PROCESS_CPUTIME_ID"],
    GENERIC["CLOCK_THREAD_CPUTIME_ID"],
}


def ends(guest: Guest) -> Iterator[int]:
    """Yield when timers of clocks that go by themselves end, on the monotonic one."""
    real = guest.timers.get(GENERIC["ITIMER_REAL"])
    if real is not None:
        yield real.end
    for timer in guest.posix_timers.values():
        if (
            timer.end is not None
            and timer.clock >= 0
            and timer.clock not in _CPU_CLOCKS
        ):
            ahead = guest.machine.monotonic() - read_clock(guest, timer.clock)
            yield timer.end + ahead


def expire(guest: Guest) -> None:
    """Send the signals of timers that have ended."""
    for which, timer in list(guest.timers.items()):
        is_real = which == GENERIC["ITIMER_REAL"]
        now = guest.machine.monotonic() if is_real else guest.cpu_time()
        if timer.end > now:
            continue
        del guest.timers[which]
        if timer.interval:
            end, _ = _next(timer.end, timer.interval, now)
            guest.timers[which] = Timer(end, timer.interval)
        info = guest.structure("siginfo").pack(
            signo=_SIGNALS[which], code=GENERIC["SI_KERNEL"]
        )
        signals.send(guest, info)
    for number, posix in list(guest.posix_timers.items()):
        _expire_posix(guest, number, posix)


def limit(guest: Guest) -> None:
    """Remind a process of its RLIMIT_CPU each second, and end it at the hard one."""
    soft, hard = guest.limits[GENERIC["RLIMIT_CPU"]]
    used = guest.cpu_time() // _NS
    if guest.status is not None or used < soft or used <= guest.reminded:
        return
    guest.reminded = used
    number = GENERIC["SIGKILL" if used >= hard else "SIGXCPU"]
    info = guest.structure("siginfo").pack(signo=number, code=GENERIC["SI_KERNEL"])
    signals.send(guest, info)


def _next(end: int, interval: int, now: int) -> tuple[int, int]:
    """Return the next end after now, and how many have passed."""
    passed = (now - end) // interval + 1
    return end + passed * interval, passed


def _expire_posix(guest: Guest, number: int, timer: PosixTimer) -> None:
    if timer.end is None:
        return
    now = read_clock(guest, timer.clock)
    if timer.end > now:
        return
    end, passed = None, 1
    if timer.interval:
        end, passed = _next(timer.end, timer.interval, now)
    timer.end = end
    if timer.notify == GENERIC["SIGEV_NONE"]:
        return
    target: Guest | Thread | None = guest
    if timer.notify & GENERIC["SIGEV_THREAD_ID"]:
        target = guest.threads.get(timer.tid)
    if target is None:
        return
    structure = guest.structure("siginfo_timer")
    for other in target.pending:
        row = structure.unpack(other)
        if row["code"] == GENERIC["SI_TIMER"] and row["tid"] == number:
            # Only one signal of a timer is ever queued.
            timer.overrun += passed
            return
    timer.overrun = passed - 1
    info = structure.pack(
        signo=timer.signal,
        code=GENERIC["SI_TIMER"],
        tid=number,
        overrun=timer.overrun,
        value=timer.value,
    )
    signals.send(target, info)
