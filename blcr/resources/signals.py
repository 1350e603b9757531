"""
Signal actions, and signals that wait to be delivered.

Source: rt_sigaction(2), rt_sigqueueinfo(2).
"""

from __future__ import annotations

from collections.abc import Sequence

from blcr import remote
from blcr.context import records
from blcr.errors import RefusedError
from blcr.host.interface import NewProcess, Process, Task
from blcr.linux import constants, structures
from blcr.record import Record
from blcr.resources.threads import spokesman

SIGSET_SIZE = 8


def save_actions(process: Process) -> tuple[records.SignalAction, ...]:
    """
    Return the actions that are not the default.

    Raises:
        RefusedError: The process has handlers, and cannot be asked for them.
    """
    known = constants.of(process.arch)
    facts = process.facts()
    task = spokesman(process)
    if task is None:
        if facts.caught_signals:
            raise RefusedError(
                process.pid, "its signal handlers cannot be asked for without harm"
            )
        return tuple(
            records.SignalAction(number, known["SIG_IGN"], 0, 0, 0)
            for number in _numbers(facts.ignored_signals)
        )
    # Flags of a default action have no effect, but for what becomes of children.
    asked = facts.caught_signals | facts.ignored_signals | 1 << known["SIGCHLD"] - 1
    actions = (_action(task, number) for number in _numbers(asked))
    return tuple(action for action in actions if any(action[1:]))


def _numbers(mask: int) -> list[int]:
    """Return the signals in a mask, whose bit 0 stands for signal 1."""
    return [bit + 1 for bit in range(mask.bit_length()) if mask >> bit & 1]


def _action(task: Task, number: int) -> records.SignalAction:
    """Ask for one action."""
    layout = structures.of(task.process.arch, "sigaction")
    out = remote.Out(layout.size)
    remote.call(task, "rt_sigaction", number, 0, out, SIGSET_SIZE)
    found = layout.unpack(out.data)
    return records.SignalAction(
        number,
        found["handler"],
        found["flags"],
        found.get("restorer", 0),
        found["mask"],
    )


def rebuild_actions(task: Task, actions: Sequence[records.SignalAction]) -> None:
    """Set the saved ones, and the default where the execve has left signals ignored."""
    known = constants.of(task.process.arch)
    layout = structures.of(task.process.arch, "sigaction")
    default = records.SignalAction(0, known["SIG_DFL"], 0, 0, 0)
    wanted = dict.fromkeys(_numbers(task.process.facts().ignored_signals), default)
    wanted.update((action.signal, action) for action in actions)
    for number, action in wanted.items():
        values = action._asdict()
        packed = layout.pack(**{k: v for k, v in values.items() if k in layout.fields})
        remote.call(task, "rt_sigaction", number, packed, 0, SIGSET_SIZE)


class Queues(Record):
    """Siginfos that wait: for the process, and for each of its threads."""

    process: tuple[bytes, ...]
    threads: tuple[tuple[bytes, ...], ...]


def save_pending(process: Process) -> Queues:
    """Return the signals that wait, in order."""
    return Queues(
        tuple(process.pending()),
        tuple(tuple(task.pending()) for task in process.tasks),
    )


def rebuild_pending(
    process: NewProcess, shared: Sequence[bytes], threads: Sequence[records.Thread]
) -> None:
    """
    Queue the signals again, in order; all are blocked at this moment.

    Only to itself may a thread send what the kernel would send, and the process has the
    main thread's id.
    """
    for info in shared:
        number = _number(process, info)
        remote.call(process.leader, "rt_sigqueueinfo", process.pid, number, info)
    for task, record in zip(process.tasks, threads, strict=True):
        for info in record.pending:
            number = _number(process, info)
            remote.call(task, "rt_tgsigqueueinfo", process.pid, task.tid, number, info)


def _number(process: Process, info: bytes) -> int:
    """Return the signal that a siginfo is of."""
    number: int = structures.of(process.arch, "siginfo").unpack(info)["signo"]
    return number
