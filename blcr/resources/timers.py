"""
Timers of a process: interval timers, and those of timer_create.

What is saved is the time that is left, so that a timer goes on where it was, in the
time of its clock.  Whether one of CLOCK_REALTIME was set to a time of day the kernel
does not tell; nor how often it has run over, of which a restarted program reads 0 until
it runs over again.

Source: getitimer(2), timer_create(2), timer_settime(2); CPU clocks in
include/linux/posix-timers.h; PR_TIMER_CREATE_RESTORE_IDS in include/uapi/linux/prctl.h,
Linux 6.15.
"""

from __future__ import annotations

import errno
from collections.abc import Mapping, Sequence

from blcr import remote
from blcr.annotations import Any
from blcr.context import records
from blcr.errors import RefusedError, RemoteCallError, RestartError
from blcr.host.interface import NewProcess, Process, Task
from blcr.linux import constants, structures
from blcr.resources import signals
from blcr.resources.threads import spokesman

_INTERVAL_TIMERS = ("ITIMER_REAL", "ITIMER_VIRTUAL", "ITIMER_PROF")
_AT_ONCE = 1000
"""The least that setitimer(2) takes, in ns."""
_NS_IN_S = 10**9
_MOST_IDS = 20_000
"""Timers that are made and deleted, where an id cannot be asked for: some seconds."""

# Bits of a CPU clock's number, whose upper part is the complement of an id.
_CPU_CLOCK_KIND = 7
_CPU_CLOCK_PER_THREAD = 4
_CPU_CLOCK_SHIFT = 3


def save(
    process: Process,
) -> tuple[
    tuple[records.IntervalTimer, ...], tuple[records.PosixTimer, ...], signals.Queues
]:
    """
    Return interval timers that run, all timers of timer_create, and pending signals.

    Clocks do not stand still: a timer that rings meanwhile must neither be lost nor
    ring twice, so both are looked at again if a signal has come.

    Raises:
        RefusedError: A timer cannot be saved.
    """
    known = process.posix_timers()
    queues = None
    while True:
        interval = _save_interval_timers(process)
        posix = _save_posix_timers(process, known)
        before, queues = queues, signals.save_pending(process)
        runs = interval or any(timer.value for timer in posix)
        if not runs or queues == before:
            return interval, posix, queues


def _save_interval_timers(process: Process) -> tuple[records.IntervalTimer, ...]:
    task = spokesman(process)
    if task is None:
        return ()
    known = constants.of(process.arch)
    layout = structures.of(process.arch, "itimerval")
    timers = []
    for name in _INTERVAL_TIMERS:
        out = remote.Out(layout.size)
        remote.call(task, "getitimer", known[name], out)
        found = layout.unpack(out.data)
        value, interval = (
            found[part]["sec"] * _NS_IN_S + found[part]["usec"] * 1000
            for part in ("value", "interval")
        )
        if value or interval:
            timers.append(records.IntervalTimer(known[name], value, interval))
    return tuple(timers)


def rebuild_interval_timers(
    task: Task, timers: Sequence[records.IntervalTimer]
) -> None:
    """
    Start the interval timers with the time that was left.

    One of real time that has ended goes on when its signal is delivered, and until then
    has no time left: so it is made to end.  It adds nothing to the signal that waits.

    Source: it_real_fn and dequeue_signal, kernel/time/itimer.c and kernel/signal.c.
    """
    known = constants.of(task.process.arch)
    layout = structures.of(task.process.arch, "itimerval")
    for timer in timers:
        if timer.which == known["ITIMER_REAL"]:
            timer = timer._replace(value=timer.value or _AT_ONCE)
        value, interval = (
            {"sec": ns // _NS_IN_S, "usec": ns % _NS_IN_S // 1000}
            for ns in (timer.value, timer.interval)
        )
        packed = layout.pack(value=value, interval=interval)
        remote.call(task, "setitimer", timer.which, packed, 0)


def _save_posix_timers(
    process: Process, timers: Sequence[records.PosixTimer]
) -> tuple[records.PosixTimer, ...]:
    """Return the timers with the time that is left of each."""
    if not timers:
        return ()
    task = spokesman(process)
    if task is None:
        raise RefusedError(
            process.pid, "its POSIX timers (timer_create) cannot be asked for"
        )
    name, layout = _call(task, "timer_gettime")
    saved = []
    for timer in timers:
        if len(process.tasks) > 1 and _is_of_creator(timer.clock):
            raise RefusedError(
                process.pid,
                f"its POSIX timer {timer.id} is of the CPU clock of a thread, which "
                "the kernel does not name",
            )
        out = remote.Out(layout.size)
        remote.call(task, name, timer.id, out)
        found = layout.unpack(out.data)
        value, interval = (
            found[part]["sec"] * _NS_IN_S + found[part]["nsec"]
            for part in ("value", "interval")
        )
        saved.append(timer._replace(value=value, interval=interval))
    return tuple(saved)


def _call(task: Task, name: str) -> tuple[str, structures.Structure]:
    """Return the name of a call with 64-bit times, and the structure that it takes."""
    arch = task.process.arch
    if f"{name}64" in arch.syscalls:
        return f"{name}64", structures.of(arch, "itimerspec64")
    return name, structures.of(arch, "itimerspec")


def _is_of_creator(clock: int) -> bool:
    """Tell whether a clock is CPU time of the thread that made the timer."""
    return (
        clock < 0
        and bool(clock & _CPU_CLOCK_PER_THREAD)
        and not ~(clock >> _CPU_CLOCK_SHIFT)
    )


def rebuild_posix_timers(
    process: NewProcess, record: records.Process, timers: Sequence[records.PosixTimer]
) -> None:
    """
    Make the timers again, with their ids, and start them with the time that was left.

    Raises:
        RestartError: An id cannot be had.
    """
    if not timers:
        return
    leader = process.tasks[0]
    tids = {
        thread.tid: task.tid
        for task, thread in zip(process.tasks, record.threads, strict=True)
    }
    _create_all(leader, timers, tids)
    name, layout = _call(leader, "timer_settime")
    for timer in timers:
        value, interval = (
            {"sec": ns // _NS_IN_S, "nsec": ns % _NS_IN_S}
            for ns in (timer.value, timer.interval)
        )
        packed = layout.pack(value=value, interval=interval)
        remote.call(leader, name, timer.id, 0, packed, 0)


def _create_all(
    leader: Task, timers: Sequence[records.PosixTimer], tids: Mapping[int, int]
) -> None:
    """Make timers that do not run yet."""
    known = constants.of(leader.process.arch)
    option = known["PR_TIMER_CREATE_RESTORE_IDS"]
    try:
        leader.call("prctl", option, known["PR_TIMER_CREATE_RESTORE_IDS_ON"], 0, 0, 0)
    except RemoteCallError:
        # Before Linux 6.15 ids are counted up.
        _count_up(leader, timers, tids)
        return
    for timer in timers:
        _create(leader, timer, tids)
    leader.call("prctl", option, known["PR_TIMER_CREATE_RESTORE_IDS_OFF"], 0, 0, 0)


def _count_up(
    leader: Task, timers: Sequence[records.PosixTimer], tids: Mapping[int, int]
) -> None:
    """Make timers and delete them again until each wanted one has its id."""
    for timer in sorted(timers):
        for _ in range(_MOST_IDS):
            made = _create(leader, timer, tids)
            if made == timer.id:
                break
            leader.call("timer_delete", made)
            if made > timer.id:
                break
        else:
            made = -1
        if made != timer.id:
            raise RestartError(
                f"process {leader.process.pid}: its POSIX timer {timer.id} cannot get "
                "that id on this kernel; restart under Linux 6.15 or newer",
                status=errno.EBUSY,
            )


def _create(leader: Task, timer: records.PosixTimer, tids: Mapping[int, int]) -> int:
    """Make a timer and return its id."""
    arch = leader.process.arch
    layout = structures.of(arch, "sigevent")
    values: dict[str, Any] = {
        "value": timer.signal_value,
        "signo": timer.signal,
        "notify": timer.notify,
    }
    if timer.notify & constants.of(arch)["SIGEV_THREAD_ID"]:
        values["tid"] = tids.get(timer.tid, timer.tid)
    wanted = timer.id.to_bytes(4, arch.layout.byteorder)
    out = remote.Out(4, wanted)
    clock = _clock(timer.clock, tids)
    remote.call(leader, "timer_create", clock, layout.pack(**values), out)
    return int.from_bytes(out.data, arch.layout.byteorder)


def _clock(clock: int, tids: Mapping[int, int]) -> int:
    """Return the number of a clock where threads may have got other ids."""
    if clock >= 0:
        return clock
    tid, kind = ~(clock >> _CPU_CLOCK_SHIFT), clock & _CPU_CLOCK_KIND
    return ~tids.get(tid, tid) << _CPU_CLOCK_SHIFT | kind
