"""
Resource limits.

They are a fact that outsiders see.  Those of the restarter may be too low for the
rebuilding, and those of the program as well, which may have opened and mapped more
before it lowered them.  So they are raised first and set last.

Source: getrlimit(2); an ordinary user may lower a hard limit but never raise it.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Mapping

from blcr import remote
from blcr.context import records
from blcr.errors import RemoteCallError, RestartError
from blcr.host.interface import Task
from blcr.linux import constants, structures

INFINITY = (1 << 64) - 1

_NAMES = tuple(
    f"RLIMIT_{name}"
    for name in """
        CPU FSIZE DATA STACK CORE RSS NPROC NOFILE MEMLOCK AS LOCKS SIGPENDING MSGQUEUE
        NICE RTPRIO RTTIME
    """.split()
)


def widen(task: Task, record: records.Process) -> None:
    """
    Raise limits as far as that is permitted, for the time of the rebuilding.

    Raises:
        RestartError: The program has more files open than the restarter may.
    """
    present = task.process.facts().limits
    for number, (now, saved) in enumerate(zip(present, record.limits, strict=False)):
        hard = max(now[1], saved[1])
        if now != (hard, hard) and _set(task, number, (hard, hard)):
            _set(task, number, (now[1], now[1]))
    which = constants.of(task.process.arch)["RLIMIT_NOFILE"]
    highest = max((one.fd for one in record.descriptors), default=-1)
    if present and highest >= (most := task.process.facts().limits[which][1]):
        raise RestartError(
            f"process {record.pid}: it has descriptor {highest}, and no more than "
            f"{most} open files are allowed here (ulimit -Hn); raise that limit",
            status=errno.EMFILE,
        )


def rebuild(task: Task, record: records.Process) -> list[str]:
    """Set the limits; return what could not be set, a clause for each."""
    known = constants.of(task.process.arch)
    present = task.process.facts().limits
    losses = []
    for number, (now, saved) in enumerate(zip(present, record.limits, strict=False)):
        code = _set(task, number, saved) if now != saved else 0
        if not code:
            continue
        hard = min(now[1], saved[1])
        got = (min(saved[0], hard), hard)
        _set(task, number, got)
        losses.append(
            f"{name_of(number, known)} {text(got)} instead of {text(saved)} "
            f"({os.strerror(code)})"
        )
    return losses


def text(limit: tuple[int, int]) -> str:
    """Return soft and hard limit as a person reads them."""
    words = ["unlimited" if part == INFINITY else str(part) for part in limit]
    return "/".join(words)


def name_of(number: int, known: Mapping[str, int]) -> str:
    """Return what a limit is called."""
    return next((name for name in _NAMES if known[name] == number), f"limit {number}")


def _set(task: Task, number: int, limit: tuple[int, int]) -> int:
    """Set a limit; return 0, or the error's number."""
    packed = structures.of(task.process.arch, "rlimit64").pack(
        cur=limit[0], max=limit[1]
    )
    try:
        remote.call(task, "prlimit64", 0, number, packed, 0)
    except RemoteCallError as error:
        return error.errno
    return 0
