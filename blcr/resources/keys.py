"""
Protection keys: which are allocated, and which memory has them.

What each thread may do to the memory of a key is in its registers.  Memory gets its key
when it has been filled.  One more key is the kernel's, for memory that is executable
only: it takes the lowest that is free when such memory is made first.

Source: pkeys(7), pkey_alloc(2); do_mprotect_pkey in mm/mprotect.c, __execute_only_pkey
in arch/x86/mm/pkeys.c, Linux 6.12.
"""

from __future__ import annotations

from collections.abc import Sequence

from blcr.annotations import Self
from blcr.context import records
from blcr.errors import RefusedError, RemoteCallError
from blcr.host.interface import MappingFacts, Process
from blcr.linux import constants
from blcr.record import Record
from blcr.resources.opening import Opening
from blcr.resources.threads import spokesman

_EXECUTE = 4
_NONE = 1 << 16
"""More than any key."""


def save(process: Process, facts: Sequence[MappingFacts]) -> int:
    """
    Return the keys that are allocated, a bit each.

    Asked by a change of memory that is not there: that a key is not allocated is found
    before.

    Raises:
        RefusedError: Memory has a key, and nobody can be asked.
    """
    count = process.facts().key_count
    task = spokesman(process) if count else None
    if task is None:
        if any(one.record.key for one in facts):
            raise RefusedError(
                process.pid,
                "has memory with a protection key, and cannot be asked about its keys "
                "without harm",
            )
        return 0
    allocated = 0
    invalid = constants.of(process.arch)["EINVAL"]
    for key in range(1, count):
        try:
            task.call("pkey_mprotect", 0, process.arch.page_size, 0, key)
        except RemoteCallError as error:
            allocated |= (error.errno != invalid) << key
    return allocated


def allocate(opening: Opening) -> None:
    """
    Allocate keys before there is memory that is executable only.

    Raises:
        RestartError: There are not so many.
    """
    task, plan = opening.task, _Plan.of(opening.record)
    for key in range(1, plan.end):
        try:
            got = task.call("pkey_alloc", 0, 0)
        except RemoteCallError as error:
            raise opening.error(
                "it uses memory protection keys (pkey_alloc), of which this CPU or "
                "kernel has too few",
                error,
            ) from error
        assert got == key, "keys are allocated in order"
    if plan.kernels < plan.end:
        task.call("pkey_free", plan.kernels)


def finish(opening: Opening) -> None:
    """Give memory its keys, and free those that were not allocated."""
    record, task, plan = opening.record, opening.task, _Plan.of(opening.record)
    for mapping in record.mappings:
        if mapping.key in plan.used:
            where = mapping.start, mapping.end - mapping.start
            task.call("pkey_mprotect", *where, mapping.protection, mapping.key)
    for key in range(1, plan.end):
        if key != plan.kernels and not record.keys >> key & 1:
            task.call("pkey_free", key)


class _Plan(Record):
    """
    What is to be done about keys.

    Attributes:
        used: Keys that the program has given to memory, and may have freed since.
        kernels: The kernel's own, or _NONE.
        end: Those below are allocated meanwhile; 1 where the program has none.
    """

    used: frozenset[int]
    kernels: int
    end: int

    @classmethod
    def of(cls, record: records.Process) -> Self:
        """Return the plan for a process."""
        kernels = {
            one.key
            for one in record.mappings
            if one.protection == _EXECUTE and not record.keys >> one.key & 1
        }
        used = frozenset(one.key for one in record.mappings) - kernels - {0}
        last = max(used, default=0)
        end = max(record.keys.bit_length(), last + 1, 1)
        if end > 1:
            end = max(end, *(key + 1 for key in kernels), end)
        return cls(used, max(kernels, default=0) or _NONE, end)
