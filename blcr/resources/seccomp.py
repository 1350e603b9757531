"""
Filters of system calls, seccomp(2).

They are installed while the host keeps them from taking effect, and while there is the
right to; what all threads have in common by one of them for all, so that they can have
further ones in common.

Source: seccomp(2); seccomp_can_sync_threads in kernel/seccomp.c, Linux 6.12.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence

from blcr import remote
from blcr.context import records
from blcr.errors import RefusedError
from blcr.host.interface import SCRATCH_SIZE, NewProcess, Task, TaskFacts
from blcr.linux import constants, structures
from blcr.record import Record
from blcr.resources import objects

_INSTRUCTION_SIZE = 8
_RETURN = 0x06
"""BPF_RET | BPF_K of linux/bpf_common.h."""
_ACTION = 0xFFFF_0000
_USER_NOTIFICATION = 0x7FC0_0000
"""SECCOMP_RET_ACTION and SECCOMP_RET_USER_NOTIF of linux/seccomp.h."""


class Table(Record):
    """The filters of a process, filled in while its threads are saved."""

    filters: list[records.SeccompFilter]

    def add(self, task: Task, facts: TaskFacts) -> tuple[int, ...]:
        """
        Return the indices of a thread's filters, in the order of installation.

        Raises:
            RefusedError: One asks another process, which nobody knows.
        """
        for one in facts.filters:
            if one in self.filters:
                continue
            if _asks(task, one.program):
                raise RefusedError(
                    task.process.pid,
                    "runs under a seccomp filter that asks another process "
                    "(SECCOMP_RET_USER_NOTIF)",
                )
            self.filters.append(one)
        return tuple(map(self.filters.index, facts.filters))


def _asks(task: Task, program: bytes) -> bool:
    """Tell whether a filter can say that another process decides."""
    order = "<" if task.process.arch.layout.byteorder == "little" else ">"
    return any(
        code == _RETURN and value & _ACTION == _USER_NOTIFICATION
        for code, _true, _false, value in struct.iter_unpack(f"{order}HBBI", program)
    )


def rebuild(process: NewProcess, record: records.Process) -> None:
    """Install the filters of all threads, or have them make no other calls."""
    chains = [thread.filters for thread in record.threads]
    common = () if record.ended_leader else _beginning(chains)
    known = constants.of(process.arch)
    for index in common:
        _install(
            process.tasks[0], record.filters[index], known["SECCOMP_FILTER_FLAG_TSYNC"]
        )
    for task, thread in zip(process.tasks, record.threads, strict=True):
        for index in thread.filters[len(common) :]:
            _install(task, record.filters[index], 0)
        if thread.seccomp == known["SECCOMP_MODE_STRICT"]:
            task.call("prctl", known["PR_SET_SECCOMP"], thread.seccomp)


def _beginning(chains: Sequence[tuple[int, ...]]) -> tuple[int, ...]:
    """Return what all begin with."""
    common = []
    for column in zip(*chains, strict=False):
        if len({*column}) > 1:
            break
        common.append(column[0])
    return tuple(common)


def _install(task: Task, one: records.SeccompFilter, flags: int) -> None:
    """Install a filter."""
    process, known = task.process, constants.of(task.process.arch)
    # How much speculation there may be has been saved apart from it.
    flags |= one.flags | known["SECCOMP_FILTER_FLAG_SPEC_ALLOW"]
    head = structures.of(process.arch, "sock_fprog")
    size = len(one.program)
    at = task.scratch + head.size
    fits = head.size + size <= SCRATCH_SIZE
    if not fits:
        protection = known["PROT_READ"] | known["PROT_WRITE"]
        private = known["MAP_PRIVATE"] | known["MAP_ANONYMOUS"]
        at = objects.mmap(task, 0, size, protection, private, -1, 0)
    process.write(at, one.program)
    packed = head.pack(len=size // _INSTRUCTION_SIZE, filter=at)
    remote.call(task, "seccomp", known["SECCOMP_SET_MODE_FILTER"], flags, packed)
    if not fits:
        task.call("munmap", at, size)
