"""
Threads: registers, signal masks, and what the C library told the kernel of each.

Source: set_tid_address(2), set_robust_list(2), sigaltstack(2); rseq in
include/uapi/linux/rseq.h; PR_GET_TID_ADDRESS in prctl(2).
"""

from __future__ import annotations

from collections.abc import Mapping

from blcr import remote
from blcr.architecture import Arch
from blcr.context import records
from blcr.errors import RefusedError, RemoteCallError
from blcr.host.interface import NewProcess, Process, Task
from blcr.linux import constants, structures

ALL_SIGNALS = (1 << 64) - 1


def spokesman(process: Process) -> Task | None:
    """Return the thread to make calls for the whole process, best one that runs."""
    able = [task for task in process.tasks if task.can_call]
    free = [task for task in able if task.blocked_call() is None]
    best = free or able
    return best[0] if best else None


def save(
    task: Task, pending: tuple[bytes, ...]
) -> tuple[records.Thread, dict[int, bytes]]:
    """
    Return what a thread is, with those signals, and its register sets by note type.

    Raises:
        RefusedError: It offers no way to ask it, and has something to be asked for.
    """
    process = task.process
    facts = task.facts()
    if task.can_call:
        altstack, clear_child_tid, robust_list = _ask(task, facts.robust_list)
        timer_slack = _timer_slack(task)
    elif len(process.tasks) == 1 and not process.facts().caught_signals:
        # No code for a return from signals, so no handler and no stack for one; and
        # one thread, for whose end nobody waits inside.
        altstack, clear_child_tid, robust_list = None, 0, facts.robust_list
        timer_slack = 0
    else:
        raise RefusedError(
            process.pid,
            f"thread {task.tid} cannot be asked about its signal stack without harm "
            "(it runs under seccomp or has no code for a call in its name)",
        )
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
            altstack=altstack,
            clear_child_tid=clear_child_tid,
            robust_list=robust_list,
            rseq=facts.rseq,
            pending=pending,
            call=task.blocked_call(),
            scheduling=facts.scheduling,
            credentials=facts.credentials,
            timer_slack=timer_slack,
            speculation=facts.speculation,
            memory_policy=facts.memory_policy,
        ),
        sets,
    )


def _ask(
    task: Task, robust_list: tuple[int, int]
) -> tuple[records.AlternateStack | None, int, tuple[int, int]]:
    """Return alternate stack, tid address and robust list, asked of the thread."""
    arch = task.process.arch
    known = constants.of(arch)
    stack = structures.of(arch, "sigaltstack")
    out = remote.Out(stack.size)
    remote.call(task, "sigaltstack", 0, out)
    found = stack.unpack(out.data)
    altstack = None
    if not found["flags"] & known["SS_DISABLE"]:
        altstack = records.AlternateStack(found["sp"], found["flags"], found["size"])
    address = _word(task, "prctl", known["PR_GET_TID_ADDRESS"])
    if robust_list == (0, 0):
        head, length = remote.Out(8), remote.Out(8)
        remote.call(task, "get_robust_list", 0, head, length)
        robust_list = (_number(arch, head.data), _number(arch, length.data))
    return altstack, address, robust_list


def _timer_slack(task: Task) -> int:
    """Return the timer slack, in ns; 0 where the host has none."""
    option = constants.of(task.process.arch)["PR_GET_TIMERSLACK"]
    try:
        return task.call("prctl", option)
    except RemoteCallError:
        return 0


def _word(task: Task, name: str, option: int) -> int:
    """Return a word that a call writes behind its second argument; 0 if it cannot."""
    out = remote.Out(8)
    try:
        remote.call(task, name, option, out)
    except RemoteCallError:
        # Kernels without CONFIG_CHECKPOINT_RESTORE do not tell.
        return 0
    return _number(task.process.arch, out.data)


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


def finish(task: Task, record: records.Thread, sets: Mapping[int, bytes]) -> None:
    """Set registers and mask, after the last call in the thread's name."""
    for known in task.process.arch.register_sets:
        if known.note_type in sets:
            task.set_register_set(known.note_type, sets[known.note_type])
    if record.call:
        task.resume_call(record.call)
    task.set_signal_mask(record.blocked_signals)
