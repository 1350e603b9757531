"""
Processes that share with another one what threads share, made so by clone(2).

No process can be given another one's descriptors, working directory or memory: it is
born with them.  So one that shares something is made by the one that has it, whose
child or sibling it is, and becomes what it was without an execve.

Source: clone(2), kcmp(2); copy_process in kernel/fork.c, Linux 6.12.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from blcr.context import records
from blcr.errors import RefusedError
from blcr.host.interface import Frozen, FrozenProcess, ProcessFacts

_NAMES = {
    "memory": "memory",
    "files": "descriptors",
    "fs": "working directory, root and umask",
    "handlers": "signal actions",
}


def save(frozen: Frozen) -> Mapping[int, records.Clone]:
    """
    Return by id how the processes are made that share something with an earlier one.

    Raises:
        RefusedError: One of them could not be made again.
    """
    processes = frozen.processes
    if not any(one.shares for one in processes):
        return {}
    facts = {one.pid: one.facts() for one in processes}
    found = {
        one.pid: _origin(one, processes[:index], facts)
        for index, one in enumerate(processes)
        if one.shares
    }
    for pid in found:
        _require_no_dependants(pid, found, frozen, facts)
    return found


def _origin(
    process: FrozenProcess,
    earlier: Sequence[FrozenProcess],
    facts: Mapping[int, ProcessFacts],
) -> records.Clone:
    """Return by which process another one is to be made, and with what."""
    own = facts[process.pid]
    alike = [one for one in earlier if _has_all(one, process)]
    related = [one for one in alike if own.ppid == one.pid]
    related += [one for one in alike if own.ppid == facts[one.pid].ppid]
    if not related:
        raise _refused(process, "but is neither its child nor its sibling")
    other = facts[related[0].pid]
    if (own.exe, process.arch) != (other.exe, related[0].arch):
        raise _refused(process, "but is another program")
    if own.sid != other.sid:
        raise _refused(process, "but is in another session")
    kinds = tuple(kind for kind in _NAMES if kind in process.shares)
    return records.Clone(other.pid, kinds, own.exit_signal)


def _has_all(other: FrozenProcess, process: FrozenProcess) -> bool:
    """Tell whether a process has all that another one shares with any."""
    return all(
        first in (other.pid, other.shares.get(kind))
        for kind, first in process.shares.items()
    )


def _require_no_dependants(
    pid: int,
    clones: Mapping[int, records.Clone],
    frozen: Frozen,
    facts: Mapping[int, ProcessFacts],
) -> None:
    """Refuse one whose children, or process group, would have to be there before it."""
    process = next(one for one in frozen.processes if one.pid == pid)
    children = [one for one in facts.values() if one.ppid == pid]
    if any(one.ppid == pid for one in frozen.ended) or any(
        one.pid not in clones for one in children
    ):
        raise _refused(process, "and has children that do not")
    if any(one.pgid == pid and one.pid not in clones for one in facts.values()):
        raise _refused(process, "and leads a process group of others")


def _refused(process: FrozenProcess, why: str) -> RefusedError:
    kind, other = next(iter(process.shares.items()))
    return RefusedError(
        process.pid,
        f"shares its {_NAMES[kind]} with process {other} (clone with CLONE_FILES, "
        f"CLONE_FS or CLONE_VM), {why}",
    )


def shares(record: records.Process, kind: str) -> bool:
    """Tell whether a process shares something with one before it."""
    return record.clone is not None and kind in record.clone.shares


def owner(
    context: records.Context, record: records.Process, kind: str
) -> records.Process:
    """Return the first process that has what another one shares; else that itself."""
    while record.clone and kind in record.clone.shares:
        origin = record.clone.origin
        record = next(one for one in context.processes if one.pid == origin)
    return record


def is_last(context: records.Context, record: records.Process, kind: str) -> bool:
    """Tell whether no process after it shares something with a process."""
    first = owner(context, record, kind)
    having = [one for one in context.processes if owner(context, one, kind) is first]
    return having[-1] is record
