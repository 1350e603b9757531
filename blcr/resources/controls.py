"""
What prctl(2) sets for a process and only the process itself can tell.

Source: PR_GET_CHILD_SUBREAPER, PR_GET_PDEATHSIG in prctl(2).
"""

from __future__ import annotations

from blcr import remote
from blcr.context import records
from blcr.errors import RemoteCallError
from blcr.host.interface import Process, Task
from blcr.linux import constants
from blcr.resources.threads import spokesman

_INT_SIZE = 4


def save(process: Process) -> tuple[bool, int]:
    """Return whether it is a subreaper, and its parent-death signal or 0."""
    task = spokesman(process)
    if task is None:
        return False, 0
    return (
        bool(_number(task, "PR_GET_CHILD_SUBREAPER")),
        _number(task, "PR_GET_PDEATHSIG"),
    )


def _number(task: Task, option: str) -> int:
    """Return an int that prctl writes behind its second argument; 0: it does not."""
    arch = task.process.arch
    out = remote.Out(_INT_SIZE)
    try:
        remote.call(task, "prctl", constants.of(arch)[option], out)
    except RemoteCallError:
        return 0
    return int.from_bytes(out.data, arch.layout.byteorder)


def rebuild(task: Task, record: records.Process) -> None:
    """Set them again; the parent is from now on whoever restarts."""
    known = constants.of(task.process.arch)
    if record.child_subreaper:
        task.call("prctl", known["PR_SET_CHILD_SUBREAPER"], 1)
    if record.parent_death_signal:
        task.call("prctl", known["PR_SET_PDEATHSIG"], record.parent_death_signal)
