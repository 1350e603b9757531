"""
Threads: registers, signal masks, and what the C library told the kernel of each.

Source: set_tid_address(2), set_robust_list(2), sigaltstack(2); rseq in
include/uapi/linux/rseq.h; PR_GET_TID_ADDRESS in prctl(2).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from blcr import remote
from blcr.architecture import Arch
from blcr.context import records
from blcr.errors import RefusedError, RemoteCallError
from blcr.host.interface import (
    Call,
    FrozenProcess,
    NewProcess,
    Process,
    Task,
    TaskFacts,
)
from blcr.linux import constants, structures
from blcr.record import Record
from blcr.resources import seccomp

ALL_SIGNALS = (1 << 64) - 1


def spokesman(process: Process) -> Task | None:
    """Return the thread to make calls for the whole process, best one that runs."""
    able = [task for task in process.tasks if task.can_call]
    free = [task for task in able if task.blocked_call() is None]
    best = free or able
    return best[0] if best else None


class _Answers(Record):
    """What only a thread itself is told by the kernel."""

    altstack: records.AlternateStack | None
    clear_child_tid: int
    robust_list: tuple[int, int]
    timer_slack: int


def save(
    process: FrozenProcess,
    pending: Sequence[tuple[bytes, ...]],
    filters: seccomp.Table,
) -> list[tuple[records.Thread, dict[int, bytes]]]:
    """
    Return what each thread is, with its pending signals, and its register sets.

    Args:
        filters: To which its filters of system calls are added.

    Raises:
        RefusedError: One offers no way to ask it, and has something to be asked for.
    """
    facts = [task.facts() for task in process.tasks]
    answers = _ask(
        process,
        robust=any(one.robust_list is None for one in facts),
        slack=any(one.timer_slack is None for one in facts),
    )
    each = zip(process.tasks, facts, answers, pending, strict=True)
    return [_save(*thread, filters) for thread in each]


def _save(
    task: Task,
    facts: TaskFacts,
    told: _Answers | None,
    pending: tuple[bytes, ...],
    filters: seccomp.Table,
) -> tuple[records.Thread, dict[int, bytes]]:
    """Return what a thread is, and its register sets by note type."""
    process = task.process
    if told is None:
        if len(process.tasks) > 1 or process.facts().caught_signals:
            raise RefusedError(
                process.pid,
                f"thread {task.tid} cannot be asked about its signal stack without "
                "harm (it has no code for a call in its name)",
            )
        # No code for a return from signals, so no handler and no stack for one; and
        # one thread, for whose end nobody waits inside.
        told = _Answers(None, 0, (0, 0), 0)
    sets = {}
    for known in process.arch.register_sets:
        data = task.register_set(known.note_type)
        if data is not None:
            sets[known.note_type] = data
    return (
        records.Thread(
            tid=task.tid,
            comm=facts.comm,
            blocked_signals=task.signal_mask(),
            altstack=told.altstack,
            clear_child_tid=told.clear_child_tid,
            robust_list=facts.robust_list or told.robust_list,
            rseq=facts.rseq,
            pending=pending,
            call=task.blocked_call(),
            scheduling=facts.scheduling,
            credentials=facts.credentials,
            timer_slack=told.timer_slack
            if facts.timer_slack is None
            else facts.timer_slack,
            speculation=facts.speculation,
            memory_policy=facts.memory_policy,
            seccomp=facts.seccomp,
            filters=filters.add(task, facts),
            dispatch=facts.dispatch,
            folders=facts.folders,
        ),
        sets,
    )


def _ask(process: FrozenProcess, *, robust: bool, slack: bool) -> list[_Answers | None]:
    """
    Ask threads for what nobody else is told; None: one cannot be asked.

    Args:
        robust: Also for their lists of robust futexes.
        slack: Also for their timer slack.

    Kernels without CONFIG_CHECKPOINT_RESTORE do not tell the tid address, and some
    hosts no timer slack.
    """
    arch = process.arch
    known = constants.of(arch)
    stack = structures.of(arch, "sigaltstack")
    head_at = -(-stack.size // 8) * 8
    size_at, address_at, end = head_at + 8, head_at + 16, head_at + 24

    def calls(room: int) -> list[Call]:
        wanted: list[Call] = [
            ("sigaltstack", (0, room)),
            ("prctl", (known["PR_GET_TID_ADDRESS"], room + address_at)),
        ]
        if slack:
            wanted.append(("prctl", (known["PR_GET_TIMERSLACK"],)))
        if robust:
            wanted.append(("get_robust_list", (0, room + head_at, room + size_at)))
        return wanted

    answers: list[_Answers | None] = []
    for answer in process.call_each(end, calls):
        if answer is None:
            answers.append(None)
            continue
        (failed, _, *others), data = answer
        if failed:
            raise RemoteCallError(process.pid, "sigaltstack", -failed)
        found = stack.unpack(data[: stack.size])
        altstack = None
        if not found["flags"] & known["SS_DISABLE"]:
            altstack = records.AlternateStack(
                found["sp"], found["flags"], found["size"]
            )
        head, size, address = (
            _number(arch, data[at : at + 8]) for at in (head_at, size_at, address_at)
        )
        answers.append(
            _Answers(altstack, address, (head, size), max(others[0], 0) if slack else 0)
        )
    return answers


def _number(arch: Arch, data: bytes) -> int:
    """Return an address of which the kernel wrote 4 or 8 bytes into eight zeros."""
    order = arch.layout.byteorder
    return int.from_bytes(data[: arch.word_size], order) or int.from_bytes(data, order)


def create(process: NewProcess, saved: records.Process, *, same_ids: bool) -> None:
    """Make all threads of a process but its main thread, which it has."""
    for task in process.tasks:
        task.set_signal_mask(ALL_SIGNALS)
    for index, record in enumerate(saved.threads):
        if index or saved.ended_leader:
            process.create_task(record.tid if same_ids else 0)
            process.tasks[-1].set_signal_mask(ALL_SIGNALS)
    if saved.ended_leader:
        name = saved.ended_leader.comm.encode(errors="surrogateescape") + b"\0"
        known = constants.of(process.arch)
        remote.call(process.leader, "prctl", known["PR_SET_NAME"], name)
        process.dismiss_leader(saved.ended_leader)


def part(task: Task) -> None:
    """Give a thread a working folder, root folder and umask of its own."""
    task.call("unshare", constants.of(task.process.arch)["CLONE_FS"])


def rebuild(task: Task, record: records.Thread, process: records.Process) -> None:
    """Tell the kernel about a thread what its C library had told it."""
    arch = task.process.arch
    known = constants.of(arch)
    name = record.comm.encode(errors="surrogateescape") + b"\0"
    remote.call(task, "prctl", known["PR_SET_NAME"], name)
    if process.no_new_privs:
        task.call("prctl", known["PR_SET_NO_NEW_PRIVS"], 1, 0, 0, 0)
    task.call("set_tid_address", record.clear_child_tid)
    if record.clear_child_tid and task.tid != record.tid:
        _renumber(task, record)
    if record.robust_list[0]:
        task.call("set_robust_list", *record.robust_list)
    if record.dispatch:
        task.catch_calls(record.dispatch)
    if record.altstack:
        _rebuild_altstack(task, record.altstack)
    if record.rseq and "rseq" in arch.syscalls:
        address, size, signature = record.rseq
        task.call("rseq", address, size, 0, signature)


def _renumber(task: Task, record: records.Thread) -> None:
    """
    Write a new thread id where glibc keeps the id: what the kernel clears at the end.

    musl names its lock of the list of threads there, which holds no id but briefly.
    """
    order = task.process.arch.layout.byteorder
    old, new = (one.to_bytes(4, order) for one in (record.tid, task.tid))
    if task.process.read(record.clear_child_tid, 4) == old:
        task.process.write(record.clear_child_tid, new)


def _rebuild_altstack(task: Task, record: records.AlternateStack) -> None:
    """
    Set the alternate stack.

    SS_ONSTACK says where the thread is, not what it asked for.
    """
    arch = task.process.arch
    flags = record.flags & ~constants.of(arch)["SS_ONSTACK"]
    stack = structures.of(arch, "sigaltstack")
    packed = stack.pack(sp=record.address, flags=flags, size=record.size)
    remote.call(task, "sigaltstack", packed, 0)


def try_registers(task: Task, sets: Mapping[int, bytes]) -> None:
    """
    Find out whether this CPU and kernel take the registers of a thread.

    Raises:
        HostError: They do not.
    """
    for known in task.process.arch.register_sets:
        data, present = sets.get(known.note_type), task.register_set(known.note_type)
        if data is None:
            continue
        task.set_register_set(known.note_type, data)
        if present is not None:
            task.set_register_set(known.note_type, present)


def finish(task: Task, record: records.Thread, sets: Mapping[int, bytes]) -> None:
    """Set registers and mask, after the last call in the thread's name."""
    for known in task.process.arch.register_sets:
        if known.note_type in sets:
            task.set_register_set(known.note_type, sets[known.note_type])
    if record.call:
        task.resume_call(record.call)
    task.set_signal_mask(record.blocked_signals)
