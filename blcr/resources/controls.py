"""
What prctl(2) and files of ``/proc`` have set for a process as a whole.

Source: prctl(2); proc_pid_oom_score_adj(5), proc_pid_coredump_filter(5).
"""

from __future__ import annotations

import os

from blcr import remote
from blcr.context import records
from blcr.errors import RemoteCallError
from blcr.host.interface import Process, Task
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
    return controls._replace(
        child_subreaper=bool(_number(task, "PR_GET_CHILD_SUBREAPER")),
        parent_death_signal=_number(task, "PR_GET_PDEATHSIG"),
        dumpable=_answer(task, "PR_GET_DUMPABLE", 1),
        securebits=_answer(task, "PR_GET_SECUREBITS", 0),
    )


def _answer(task: Task, option: str, default: int) -> int:
    """Return what prctl returns; the default where the kernel does not know it."""
    try:
        code = constants.of(task.process.arch)[option]
        return task.call("prctl", code, 0, 0, 0, 0)
    except RemoteCallError:
        return default


def _number(task: Task, option: str) -> int:
    """Return an int that prctl writes behind its second argument; 0: it does not."""
    arch = task.process.arch
    out = remote.Out(_INT_SIZE)
    try:
        remote.call(task, "prctl", constants.of(arch)[option], out)
    except RemoteCallError:
        return 0
    return int.from_bytes(out.data, arch.layout.byteorder)


def rebuild(task: Task, wanted: records.Controls) -> list[str]:
    """Set what rights may be needed for; return what could not be, a clause each."""
    present = task.process.facts()
    losses = []
    for name in ("oom_score_adj", "coredump_filter"):
        value, now = getattr(wanted, name), getattr(present, name)
        if None in (value, now) or value == now:
            continue
        if code := _write(task, f"/proc/self/{name}", str(value)):
            losses.append(f"{name} {now} instead of {value} ({os.strerror(code)})")
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
