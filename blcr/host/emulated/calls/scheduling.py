"""
How threads would share CPUs and disks: kept and told, without effect.

The machine has one CPU, and lets threads take turns; it shows those of the host.

Source: sched(7), sched_setattr(2), setpriority(2), ioprio_set(2).
"""

from __future__ import annotations

import errno
import os
from collections.abc import Mapping

from blcr.context.records import Scheduling
from blcr.host.emulated import family
from blcr.host.emulated.calls.table import call, fail, only
from blcr.host.emulated.tasks import Thread, signed

_HIGHEST_PRIORITY = 99
_PROCESS, _GROUP, _USER = range(3)
"""Whose a priority is: PRIO_*."""
_MOST_IO_CLASS, _IO_CLASS_SHIFT = 3, 13
_TOLD = "policy flags priority runtime deadline period util_min util_max"
_POLICIES = "NORMAL BATCH IDLE FIFO RR DEADLINE".split()
_SERVED = """
    SCHED_FLAG_RESET_ON_FORK SCHED_FLAG_RECLAIM SCHED_FLAG_DL_OVERRUN
    SCHED_FLAG_KEEP_POLICY SCHED_FLAG_KEEP_PARAMS SCHED_FLAG_UTIL_CLAMP_MIN
    SCHED_FLAG_UTIL_CLAMP_MAX
"""
_KEEP_POLICY, _KEEP_PARAMS = "SCHED_FLAG_KEEP_POLICY", "SCHED_FLAG_KEEP_PARAMS"


def _target(thread: Thread, tid: int) -> Thread:
    """Return the thread of an id, 0 for the one that asks; ESRCH if there is none."""
    if not tid:
        return thread
    for guest in thread.guest.machine.guests.values():
        if tid in guest.threads:
            return guest.threads[tid]
    raise fail(errno.ESRCH)


def _set(target: Thread, **values: object) -> int:
    target.scheduling = target.scheduling._replace(**values)  # type: ignore[arg-type]
    return 0


@call("sched_yield")
def sched_yield(_thread: Thread) -> int:
    """Let others run; the turn is soon over anyway."""
    return 0


@call("sched_getaffinity")
def sched_getaffinity(thread: Thread, tid: int, size: int, mask: int) -> int:
    """Tell which CPUs the thread may use."""
    guest = thread.guest
    runs = _target(thread, tid).scheduling.cpus
    cpus = {cpu for first, last in runs for cpu in range(first, last + 1)}
    cpus = cpus or os.sched_getaffinity(0)
    word = guest.arch.word_size
    room = -(-(max(cpus) + 1) // (8 * word)) * word
    if size < room or size % word:
        raise fail(errno.EINVAL)
    bits = sum(1 << cpu for cpu in cpus)
    for at in range(0, room, word):
        guest.store_int(mask + at, bits >> 8 * at, word)
    return room


@call("sched_setaffinity")
def sched_setaffinity(thread: Thread, tid: int, size: int, mask: int) -> int:
    """Choose CPUs, among those of the host."""
    guest, word = thread.guest, thread.guest.arch.word_size
    bits = 0
    for at in range(0, min(size, 1 << 10) // word * word, word):
        bits |= guest.fetch_int(mask + at, word) << 8 * at
    there = os.sched_getaffinity(0)
    chosen = sorted(cpu for cpu in there if bits >> cpu & 1)
    if not chosen:
        raise fail(errno.EINVAL)
    cpus = () if set(chosen) == there else tuple((cpu, cpu) for cpu in chosen)
    return _set(_target(thread, tid), cpus=cpus)


@call("sched_setscheduler")
def sched_setscheduler(thread: Thread, tid: int, policy: int, param: int) -> int:
    """Set policy and priority."""
    names, reset = thread.guest.constants, thread.guest.constants["SCHED_RESET_ON_FORK"]
    flags = names["SCHED_FLAG_RESET_ON_FORK"] if policy & reset else 0
    priority = thread.guest.fetch("sched_param", param)["priority"]
    wanted = _target(thread, tid).scheduling._replace(
        policy=policy & ~reset, priority=priority, flags=flags
    )
    return _apply(thread, tid, wanted)


@call("sched_setparam")
def sched_setparam(thread: Thread, tid: int, param: int) -> int:
    """Set the priority within the policy."""
    priority = thread.guest.fetch("sched_param", param)["priority"]
    now = _target(thread, tid).scheduling
    return _apply(thread, tid, now._replace(priority=priority))


def _apply(thread: Thread, tid: int, wanted: Scheduling) -> int:
    """Set a policy and its parameters, if they make sense and are permitted."""
    names, target = thread.guest.constants, _target(thread, tid)
    timed = wanted.policy in {names["SCHED_FIFO"], names["SCHED_RR"]}
    deadline = wanted.policy == names["SCHED_DEADLINE"]
    plain = {names[f"SCHED_{name}"] for name in ("NORMAL", "BATCH", "IDLE")}
    if not (timed or deadline or wanted.policy in plain):
        raise fail(errno.EINVAL)
    if (1 <= wanted.priority <= _HIGHEST_PRIORITY) != timed:
        raise fail(errno.EINVAL)
    if (timed or deadline) and os.geteuid():
        raise fail(errno.EPERM)
    if not deadline:
        wanted = wanted._replace(runtime=0, deadline=0, period=0)
    target.scheduling = wanted
    return 0


@call("sched_setattr")
def sched_setattr(thread: Thread, tid: int, address: int, flags: int) -> int:
    """Set all of it."""
    guest, names = thread.guest, thread.guest.constants
    if flags:
        raise fail(errno.EINVAL)
    row = guest.fetch("sched_attr", address)
    told = row["sched_flags"]
    only(thread, "sched_setattr", "SCHED_FLAG_", told, _SERVED)
    if told >> 32:
        raise fail(errno.EINVAL)
    now = _target(thread, tid).scheduling
    wanted = now
    if not told & names[_KEEP_POLICY]:
        wanted = wanted._replace(policy=row["sched_policy"])
    if not told & names[_KEEP_PARAMS]:
        wanted = wanted._replace(
            flags=told,
            nice=row["sched_nice"] if wanted.policy in _nice(names) else now.nice,
            priority=row["sched_priority"],
            runtime=row["sched_runtime"],
            deadline=row["sched_deadline"],
            period=row["sched_period"] or row["sched_deadline"],
        )
    if told & names["SCHED_FLAG_UTIL_CLAMP_MIN"]:
        wanted = wanted._replace(util_min=row["sched_util_min"])
    if told & names["SCHED_FLAG_UTIL_CLAMP_MAX"]:
        wanted = wanted._replace(util_max=row["sched_util_max"])
    if wanted.nice < now.nice and os.geteuid():
        raise fail(errno.EPERM)
    return _apply(thread, tid, wanted)


def _nice(names: Mapping[str, int]) -> set[int]:
    """Return the policies under which a nice value counts."""
    return {names["SCHED_NORMAL"], names["SCHED_BATCH"]}


@call("sched_getattr")
def sched_getattr(thread: Thread, tid: int, result: int, size: int, flags: int) -> int:
    """Tell all of it."""
    guest = thread.guest
    if flags & 0xFFFF_FFFF:
        raise fail(errno.EINVAL)
    now = _target(thread, tid).scheduling
    structure = guest.structure("sched_attr")
    values = {f"sched_{name}": getattr(now, name) for name in _TOLD.split()}
    nice = now.nice if now.policy in _nice(guest.constants) else 0
    data = structure.pack(size=structure.size, sched_nice=nice, **values)
    guest.space.write(result, data[:size])
    return 0


@call("sched_getscheduler")
def sched_getscheduler(thread: Thread, tid: int) -> int:
    """Tell the policy."""
    names, now = thread.guest.constants, _target(thread, tid).scheduling
    reset = now.flags & names["SCHED_FLAG_RESET_ON_FORK"]
    return now.policy | (names["SCHED_RESET_ON_FORK"] if reset else 0)


@call("sched_getparam")
def sched_getparam(thread: Thread, tid: int, result: int) -> int:
    """Tell the priority within the policy."""
    priority = _target(thread, tid).scheduling.priority
    thread.guest.store("sched_param", result, priority=priority)
    return 0


@call("sched_get_priority_max")
def sched_get_priority_max(thread: Thread, policy: int) -> int:
    """Tell the highest priority of a policy."""
    names = thread.guest.constants
    if policy not in {names[f"SCHED_{name}"] for name in _POLICIES}:
        raise fail(errno.EINVAL)
    return (
        _HIGHEST_PRIORITY if policy in {names["SCHED_FIFO"], names["SCHED_RR"]} else 0
    )


@call("sched_get_priority_min")
def sched_get_priority_min(thread: Thread, policy: int) -> int:
    """Tell the lowest priority of a policy."""
    return min(1, sched_get_priority_max(thread, policy) or 0)


@call("getpriority")
def getpriority(thread: Thread, which: int, who: int) -> int:
    """Tell the nice value, counted down from 20; of several the best one."""
    targets = _targets(thread, which, who)
    return 20 - min(target.scheduling.nice for target in targets)


def _targets(thread: Thread, which: int, who: int) -> list[Thread]:
    """Return the threads of PRIO_PROCESS, which is one, a group or a user."""
    guest, machine = thread.guest, thread.guest.machine
    if which == _PROCESS:
        return [_target(thread, who)]
    if which == _GROUP:
        guests = family.group(machine, who or guest.pgid)
    elif which == _USER:
        ours = signed(who) in {0, os.getuid()}
        guests = list(machine.guests.values()) if ours else []
    else:
        raise fail(errno.EINVAL)
    found = [one for each in guests for one in each.threads.values()]
    if not found:
        raise fail(errno.ESRCH)
    return found


@call("setpriority")
def setpriority(thread: Thread, which: int, who: int, nice: int) -> int:
    """Set the nice value of a thread, or of all of a group or user."""
    targets = _targets(thread, which, who)
    wanted = max(-20, min(19, signed(nice)))
    if os.getuid() and any(wanted < one.scheduling.nice for one in targets):
        raise fail(errno.EACCES)
    for target in targets:
        _set(target, nice=wanted)
    return 0


@call("nice")
def nice(thread: Thread, increment: int) -> int:
    """Change the nice value."""
    wanted = thread.scheduling.nice + signed(increment)
    return setpriority(thread, 0, 0, wanted) or 0


@call("ioprio_get")
def ioprio_get(thread: Thread, which: int, who: int) -> int:
    """Tell the I/O priority."""
    # The numbers begin at 1, those of setpriority(2) at 0.
    targets = _targets(thread, which - 1, who)
    return min(target.scheduling.io_priority for target in targets)


@call("ioprio_set")
def ioprio_set(thread: Thread, which: int, who: int, priority: int) -> int:
    """Set the I/O priority."""
    if priority >> _IO_CLASS_SHIFT > _MOST_IO_CLASS:
        raise fail(errno.EINVAL)
    if priority >> _IO_CLASS_SHIFT == 1 and os.geteuid():
        raise fail(errno.EPERM)
    for target in _targets(thread, which - 1, who):
        _set(target, io_priority=priority)
    return 0
