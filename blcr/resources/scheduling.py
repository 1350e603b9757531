"""
How threads share CPUs and disks: policy, nice value, affinity, I/O priority.

It is a fact that outsiders see (`TaskFacts.scheduling`).  Only what a new thread has
otherwise is set, late, as what slows a thread down would slow the rebuilding.

Source: sched_setattr(2), sched(7), sched_setaffinity(2), ioprio_set(2).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable

from blcr import remote
from blcr.context import records
from blcr.errors import RemoteCallError
from blcr.host.interface import Task
from blcr.linux import constants, structures

_POLICIES = ("OTHER", "FIFO", "RR", "BATCH", "ISO", "IDLE", "DEADLINE", "EXT")
_IO_CLASSES = ("none", "realtime", "best-effort", "idle")
_IO_CLASS_SHIFT = 13
_MASK_BITS = 64


def rebuild(task: Task, wanted: records.Scheduling | None) -> list[str]:
    """Set what differs; return what could not be set, a clause for each attribute."""
    present = task.facts().scheduling
    if wanted is None or present is None:
        return []
    # Who might use all CPUs stays on those that the restarter was given.
    wanted = wanted._replace(cpus=wanted.cpus or present.cpus)
    if not wanted.util_max:
        # Where it was saved there is no such clamp.
        wanted = wanted._replace(util_min=present.util_min, util_max=present.util_max)
    losses = []
    for shown, set_it in _ATTRIBUTES:
        if shown(wanted) == shown(present):
            continue
        reason = ""
        try:
            set_it(task, wanted)
        except RemoteCallError as error:
            reason = f" ({os.strerror(error.errno)})"
        present = task.facts().scheduling or present
        if shown(wanted) != shown(present):
            losses.append(f"{shown(present)} instead of {shown(wanted)}{reason}")
    return losses


def unusual(it: records.Scheduling) -> list[str]:
    """Return what differs from a thread that nobody has set anything for."""
    plain = records.Scheduling(util_min=it.util_min, util_max=it.util_max)
    return [shown(it) for shown, _ in _ATTRIBUTES if shown(it) != shown(plain)]


def _policy_text(it: records.Scheduling) -> str:
    """Return the policy with its parameters, as a person calls them."""
    name = _POLICIES[it.policy] if it.policy < len(_POLICIES) else it.policy
    text = f"scheduling policy {name}"
    if it.priority:
        text += f" with priority {it.priority}"
    if it.runtime:
        text += f" with {it.runtime} of {it.period} ns until {it.deadline} ns"
    return text + (f" and flags {it.flags:#x}" if it.flags else "")


def _nice_text(it: records.Scheduling) -> str:
    """Return the nice value, named."""
    return f"nice {it.nice}"


def _clamp_text(it: records.Scheduling) -> str:
    """Return the bounds of the utilization clamp, named."""
    return f"utilization clamp {it.util_min} to {it.util_max}"


def _cpus_text(it: records.Scheduling) -> str:
    """Return the CPUs it may use, as the kernel lists them."""
    return f"affinity to CPUs {_list(it.cpus) or 'all'}"


def _list(runs: Iterable[tuple[int, int]]) -> str:
    """Return runs of numbers as the kernel lists them."""
    return ",".join(f"{a}" if a == b else f"{a}-{b}" for a, b in runs)


def _io_text(it: records.Scheduling) -> str:
    """Return the I/O priority, named."""
    kind, level = it.io_priority >> _IO_CLASS_SHIFT, it.io_priority & 7
    name = _IO_CLASSES[kind] if kind < len(_IO_CLASSES) else kind
    return f"I/O priority {name} {level}"


def _set_policy(task: Task, it: records.Scheduling) -> None:
    """Set policy and parameters; the clamp apart, as not every kernel has it."""
    known = constants.of(task.process.arch)
    clamps = known["SCHED_FLAG_UTIL_CLAMP_MIN"] | known["SCHED_FLAG_UTIL_CLAMP_MAX"]
    _set_attributes(
        task,
        sched_policy=it.policy,
        sched_flags=it.flags & ~clamps,
        sched_nice=it.nice,
        sched_priority=it.priority,
        sched_runtime=it.runtime,
        sched_deadline=it.deadline,
        sched_period=it.period,
    )


def _set_clamp(task: Task, it: records.Scheduling) -> None:
    """Set the utilization clamp alone."""
    known = constants.of(task.process.arch)
    flags = ("KEEP_POLICY", "KEEP_PARAMS", "UTIL_CLAMP_MIN", "UTIL_CLAMP_MAX")
    _set_attributes(
        task,
        sched_flags=sum(known[f"SCHED_FLAG_{name}"] for name in flags),
        sched_util_min=it.util_min,
        sched_util_max=it.util_max,
    )


def _set_attributes(task: Task, **values: int) -> None:
    layout = structures.of(task.process.arch, "sched_attr")
    remote.call(task, "sched_setattr", 0, layout.pack(size=layout.size, **values), 0)


def _set_nice(task: Task, it: records.Scheduling) -> None:
    """Set the nice value, which real-time policies keep for later."""
    which = constants.of(task.process.arch)["PRIO_PROCESS"]
    task.call("setpriority", which, 0, it.nice)


def _set_cpus(task: Task, it: records.Scheduling) -> None:
    """Set the affinity."""
    data = _mask(task, it.cpus)
    remote.call(task, "sched_setaffinity", 0, len(data), data)


def _mask(task: Task, runs: Iterable[tuple[int, int]]) -> bytes:
    """Return the words in which a kernel interface has a set of numbers."""
    layout = task.process.arch.layout
    mask = sum((1 << last + 1) - (1 << first) for first, last in runs)
    words = -(-mask.bit_length() // _MASK_BITS) * (8 // layout.word_size)
    size = layout.word_size
    return b"".join(
        (mask >> 8 * size * at & (1 << 8 * size) - 1).to_bytes(size, layout.byteorder)
        for at in range(words)
    )


def rebuild_memory_policy(task: Task, wanted: records.MemoryPolicy | None) -> list[str]:
    """Set the NUMA policy for memory to come; return what failed, as `rebuild`."""
    if wanted is None or wanted == task.facts().memory_policy:
        return []
    try:
        remote.call(task, "set_mempolicy", wanted.mode, *_nodes(task, wanted))
    except RemoteCallError as error:
        return [f"no memory policy {_shown(wanted)} ({os.strerror(error.errno)})"]
    return []


def rebuild_mapping_policy(task: Task, mapping: records.Mapping) -> str:
    """Set the NUMA policy of a mapping; return what failed, or empty."""
    if mapping.policy is None:
        return ""
    where, mode = (mapping.start, mapping.end - mapping.start), mapping.policy.mode
    try:
        remote.call(task, "mbind", *where, mode, *_nodes(task, mapping.policy), 0)
    except RemoteCallError as error:
        return (
            f"its memory at {mapping.start:#x} has no memory policy "
            f"{_shown(mapping.policy)} ({os.strerror(error.errno)})"
        )
    return ""


def _nodes(task: Task, policy: records.MemoryPolicy) -> tuple[bytes | int, int]:
    """Return the nodes of a policy as two arguments: a mask, the number of its bits."""
    mask = _mask(task, policy.nodes)
    # The kernel takes the number of bits to be one too many.
    return (mask, 8 * len(mask) + 1) if mask else (0, 0)


def _shown(policy: records.MemoryPolicy) -> str:
    """Return what a message calls a policy."""
    return f"{policy.mode:#x} of nodes {_list(policy.nodes)}"


def _set_io_priority(task: Task, it: records.Scheduling) -> None:
    which = constants.of(task.process.arch)["IOPRIO_WHO_PROCESS"]
    task.call("ioprio_set", which, 0, it.io_priority)


_Text = Callable[[records.Scheduling], str]
_Setter = Callable[[Task, records.Scheduling], None]

_ATTRIBUTES: tuple[tuple[_Text, _Setter], ...] = (
    # The nice value first: leaving a real-time policy sets it, too.
    (_nice_text, _set_nice),
    (_policy_text, _set_policy),
    (_clamp_text, _set_clamp),
    (_cpus_text, _set_cpus),
    (_io_text, _set_io_priority),
)
