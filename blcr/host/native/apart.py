"""
Whether a process lives among other files, names and objects than we do.

What is saved of a process are names: of files, of hosts, of System V objects.  They
mean something else in namespaces of its own, as a container or a service with
``PrivateTmp=`` has them, where nothing restarted from here comes to.  Those that a
restart of ours makes are the exception: of the mount namespace only ``/proc`` differs,
and what is in the IPC namespace is saved.

Source: namespaces(7), proc_pid_ns(5).
"""

from __future__ import annotations

import os
from contextlib import suppress

from blcr.errors import NotPermittedError, TaskGoneError
from blcr.host.native import procfs

REAPER_NAME = "cr_reaper"
"""Of the first process in the namespaces of a restart of ours."""

_KINDS = {
    "mnt": "mount",
    "uts": "UTS (host name)",
    "ipc": "IPC",
    "net": "network",
    "cgroup": "cgroup",
}

_OURS = {"mnt", "ipc"}
"""What a restart may make."""


def namespace(pid: int) -> str:
    """Return of what kind a namespace is that a process does not share with us."""
    for name, kind in _KINDS.items():
        if _is_shared(pid, name) or (name in _OURS and _is_of_a_restart(pid, name)):
            continue
        return kind
    return ""


def _is_shared(pid: int, name: str) -> bool:
    """Tell whether a process is in our namespace, as it is where there are none."""
    try:
        ours = procfs.link(os.getpid(), f"ns/{name}")
    except TaskGoneError:
        return True
    return procfs.link(pid, f"ns/{name}") == ours


def _is_of_a_restart(pid: int, name: str) -> bool:
    """Tell whether a namespace of a process was made by a restart of ours."""
    theirs = procfs.link(pid, f"ns/{name}")
    for other in procfs.pids():
        with suppress(TaskGoneError, NotPermittedError):
            if procfs.link(other, f"ns/{name}") != theirs:
                continue
            if procfs.status(other).tids[-1] == 1:
                return procfs.comm(other, other) == REAPER_NAME
    return False
