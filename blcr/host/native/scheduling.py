"""
How a thread shares CPUs and disks, which any process may ask the kernel.

Source: sched_setattr(2), sched_setaffinity(2), getpriority(2), ioprio_set(2).
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterable
from functools import cache, lru_cache

from blcr import registry
from blcr.architecture import Arch
from blcr.context import records
from blcr.errors import TaskGoneError
from blcr.linux import structures

_IOPRIO_WHO_PROCESS = 1

_libc = ctypes.CDLL(None, use_errno=True)


def facts(tid: int, own: Arch) -> records.Scheduling:
    """
    Return what the kernel tells of a thread.

    Args:
        tid: Its id, as this process sees it.
        own: The architecture of this Python.
    """
    try:
        attributes = _attributes(tid, own)
        cpus = frozenset(os.sched_getaffinity(tid))
        nice = os.getpriority(os.PRIO_PROCESS, tid)
        io_priority = _call(own, "ioprio_get", _IOPRIO_WHO_PROCESS, tid)
    except ProcessLookupError as error:
        raise TaskGoneError(f"thread {tid} has ended") from error
    return _record(own.name, attributes, cpus, nice, io_priority)


@lru_cache
def _record(
    own: str, attributes: bytes, cpus: frozenset[int], nice: int, io_priority: int
) -> records.Scheduling:
    """Return the record of what the kernel told, which most threads have in common."""
    found = structures.of(registry.get(own), "sched_attr").unpack(attributes)
    runtime = found["sched_runtime"]
    if not found["sched_deadline"] and runtime == _default_slice(own):
        runtime = 0
    return records.Scheduling(
        policy=found["sched_policy"],
        flags=found["sched_flags"],
        nice=nice,
        priority=found["sched_priority"],
        runtime=runtime,
        deadline=found["sched_deadline"],
        period=found["sched_period"],
        util_min=found["sched_util_min"],
        util_max=found["sched_util_max"],
        cpus=() if len(cpus) >= (os.cpu_count() or 1) else _runs(cpus),
        io_priority=io_priority,
    )


def _attributes(tid: int, own: Arch) -> bytes:
    """Return struct sched_attr."""
    layout = structures.of(own, "sched_attr")
    out = ctypes.create_string_buffer(layout.size)
    _call(own, "sched_getattr", tid, out, layout.size, 0)
    return out.raw


@cache
def _default_slice(own: str) -> int:
    """Return the time slice, in ns, of who has not asked for one: this process."""
    arch = registry.get(own)
    found = structures.of(arch, "sched_attr").unpack(_attributes(0, arch))
    return int(found["sched_runtime"])


def _call(own: Arch, name: str, *args: object) -> int:
    """Make a system call of our own."""
    result: int = _libc.syscall(ctypes.c_long(own.syscalls[name]), *args)
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, f"{name}: {os.strerror(code)}")
    return result


def _runs(numbers: Iterable[int]) -> tuple[tuple[int, int], ...]:
    """Return the first and the last of each run of numbers."""
    runs: list[tuple[int, int]] = []
    for number in sorted(numbers):
        if runs and runs[-1][1] == number - 1:
            runs[-1] = (runs[-1][0], number)
        else:
            runs.append((number, number))
    return tuple(runs)
