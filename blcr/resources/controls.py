"""
What prctl(2) and files of ``/proc`` have set for a process as a whole.

Source: prctl(2); proc_pid_oom_score_adj(5), proc_pid_coredump_filter(5).
"""

from __future__ import annotations

import os
from collections.abc import Mapping

from blcr import remote
from blcr.context import records
from blcr.errors import RemoteCallError
from blcr.host.interface import NewProcess, Process, Task
from blcr.linux import constants
from blcr.resources.threads import spokesman

_INT_SIZE = 4


def save(process: Process) -> records.Controls:
    """Return what is set; where nobody may ask the process, what outsiders see."""
    facts = process.facts()
    controls = records.Controls(
        oom_score_adj=facts.oom_score_adj, coredump_filter=facts.coredump_filter
    )
    task = spokesman(process)
    if task is None:
        return controls
    return _modes(task, controls)._replace(
        child_subreaper=bool(_number(task, "PR_GET_CHILD_SUBREAPER")),
        parent_death_signal=_number(task, "PR_GET_PDEATHSIG"),
        dumpable=_answer(task, "PR_GET_DUMPABLE", 1),
        securebits=_answer(task, "PR_GET_SECUREBITS", 0),
    )


def _modes(task: Task, controls: records.Controls) -> records.Controls:
    """Fill in what one call asks and another one sets."""
    known = constants.of(task.process.arch)
    cpuid = known.get("ARCH_GET_CPUID")
    registered = known["MEMBARRIER_CMD_GET_REGISTRATIONS"]
    return controls._replace(
        thp_disable=_answer(task, "PR_GET_THP_DISABLE", 0),
        mdwe=_answer(task, "PR_GET_MDWE", 0),
        memory_merge=_answer(task, "PR_GET_MEMORY_MERGE", 0),
        mce_kill=_answer(task, "PR_MCE_KILL_GET", 2),
        io_flusher=_answer(task, "PR_GET_IO_FLUSHER", 0),
        tsc=_number(task, "PR_GET_TSC") or 1,
        cpuid=cpuid is None or _try(task, "arch_prctl", cpuid, 0) != 0,
        membarrier=max(0, _try(task, "membarrier", registered, 0, 0)),
    )


def _try(task: Task, name: str, *args: int) -> int:
    """Make a call; return its result or, negative, the error's number."""
    try:
        return task.call(name, *args)
    except RemoteCallError as error:
        return -error.errno


def _answer(task: Task, option: str, default: int) -> int:
    """Return what prctl returns; the default where the kernel does not know it."""
    code = constants.of(task.process.arch)[option]
    result = _try(task, "prctl", code, 0, 0, 0, 0)
    return default if result < 0 else result


def _number(task: Task, option: str) -> int:
    """Return an int that prctl writes behind its second argument; 0: it does not."""
    arch = task.process.arch
    out = remote.Out(_INT_SIZE)
    try:
        remote.call(task, "prctl", constants.of(arch)[option], out)
    except RemoteCallError:
        return 0
    return int.from_bytes(out.data, arch.layout.byteorder)


def rebuild(process: NewProcess, record: records.Process) -> list[str]:
    """Set what rights may be needed for; return what could not be, a clause each."""
    task, wanted = process.tasks[0], record.controls
    known = constants.of(process.arch)
    present = process.facts()
    losses = []
    for name in ("oom_score_adj", "coredump_filter"):
        value, now = getattr(wanted, name), getattr(present, name)
        if None in (value, now) or value == now:
            continue
        if code := _write(task, f"/proc/self/{name}", str(value)):
            losses.append(f"{name} {now} instead of {value} ({os.strerror(code)})")
    # All threads have what the first one has, which made them.
    modes = _modes(task, wanted)
    for one, thread in zip(process.tasks, record.threads, strict=True):
        losses += _set(one, wanted, modes, _calls_for_thread(known, wanted))
        losses += _set_own(one, thread)
        if present.personality != record.personality:
            one.call("personality", record.personality)
    losses += _set(task, wanted, modes, _calls_for_process(known, wanted))
    for bit in range(wanted.membarrier.bit_length()):
        command = wanted.membarrier & ~modes.membarrier & 1 << bit
        if command and (code := -_try(task, "membarrier", command, 0, 0)):
            losses.append(f"no membarrier {command:#x} ({os.strerror(code)})")
    return losses


def _calls_for_process(
    known: Mapping[str, int], wanted: records.Controls
) -> dict[str, tuple[str, int, int, int]]:
    """Return the calls, by the field that each sets; the last cannot be unset."""
    disable = wanted.thp_disable
    return {
        "thp_disable": (
            "prctl",
            known["PR_SET_THP_DISABLE"],
            disable & 1,
            disable & ~1,
        ),
        "memory_merge": ("prctl", known["PR_SET_MEMORY_MERGE"], wanted.memory_merge, 0),
        "mdwe": ("prctl", known["PR_SET_MDWE"], wanted.mdwe, 0),
    }


def _calls_for_thread(
    known: Mapping[str, int], wanted: records.Controls
) -> dict[str, tuple[str, int, int, int]]:
    """Return the calls that every thread makes, by the field that each sets."""
    kill = (known["PR_MCE_KILL_SET"], wanted.mce_kill)
    if wanted.mce_kill == known["PR_MCE_KILL_DEFAULT"]:
        kill = (known["PR_MCE_KILL_CLEAR"], 0)
    calls = {
        "mce_kill": ("prctl", known["PR_MCE_KILL"], *kill),
        "io_flusher": ("prctl", known["PR_SET_IO_FLUSHER"], wanted.io_flusher, 0),
        "tsc": ("prctl", known["PR_SET_TSC"], wanted.tsc, 0),
    }
    if "ARCH_SET_CPUID" in known:
        calls["cpuid"] = ("arch_prctl", known["ARCH_SET_CPUID"], int(wanted.cpuid), 0)
    return calls


def _set(
    task: Task,
    wanted: records.Controls,
    present: records.Controls,
    calls: Mapping[str, tuple[str, int, int, int]],
) -> list[str]:
    """Make the calls for what differs; return what failed, a clause for each."""
    losses = []
    for field, (name, *args) in calls.items():
        value, now = getattr(wanted, field), getattr(present, field)
        if value != now and (code := -_try(task, name, *args, 0, 0)):
            losses.append(f"{field} {now} instead of {value} ({os.strerror(code)})")
    return losses


def _set_own(task: Task, record: records.Thread) -> list[str]:
    """Set what each thread has of its own; return what failed, a clause for each."""
    known = constants.of(task.process.arch)
    if record.timer_slack:
        _try(task, "prctl", known["PR_SET_TIMERSLACK"], record.timer_slack)
    losses = []
    for which, value in sorted({*record.speculation} - {*task.facts().speculation}):
        control = known["PR_SET_SPECULATION_CTRL"]
        if code := -_try(task, "prctl", control, which, value, 0, 0):
            losses.append(
                f"no speculation control {which}/{value} ({os.strerror(code)})"
            )
    return losses


def finish(task: Task, wanted: records.Controls) -> list[str]:
    """
    Set what a change of rights would reset; the parent is from now on who restarts.

    Returns what could not be set, a clause for each.
    """
    known = constants.of(task.process.arch)
    if wanted.child_subreaper:
        task.call("prctl", known["PR_SET_CHILD_SUBREAPER"], 1)
    if wanted.parent_death_signal:
        task.call("prctl", known["PR_SET_PDEATHSIG"], wanted.parent_death_signal)
    if _answer(task, "PR_GET_DUMPABLE", wanted.dumpable) == wanted.dumpable:
        return []
    # By this call no process becomes dumpable for root alone (2); 0 is stricter.
    able = wanted.dumpable & 1
    task.call("prctl", known["PR_SET_DUMPABLE"], able)
    return [f"dumpable {able} instead of 2"] if wanted.dumpable != able else []


def _write(task: Task, path: str, text: str) -> int:
    """Write a file in the name of a task; return 0, or the error's number."""
    known = constants.of(task.process.arch)
    flags = known["O_WRONLY"] | known["O_CLOEXEC"]
    try:
        fd = remote.call(task, "openat", known["AT_FDCWD"], path, flags, 0)
        try:
            remote.call(task, "write", fd, text.encode(), len(text))
        finally:
            task.call("close", fd)
    except RemoteCallError as error:
        return error.errno
    return 0
