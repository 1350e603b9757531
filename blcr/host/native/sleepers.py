"""
What is known of sleeps whose end only the kernel knows.

A thread that goes on by ``restart_syscall`` shows the arguments of its call, but not
which call it is, nor that part of the time has passed already.  So whoever lets a
thread go on like that, a checkpoint or a restart, leaves a note in the user's runtime
folder, and the next checkpoint reads it.  Without a note that holds, the call is
guessed by what it waits in, and the sleep counts from the last stop.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Sequence

from blcr.errors import BlcrError
from blcr.host import runtime
from blcr.host.native import procfs
from blcr.record import Record

_START_TIME_FIELD = 22
_SWITCHES = 2
"""Times that a thread sleeps from a note to the next stop; more: another call."""


class Note(Record):
    """
    The end of a thread's call.

    Attributes:
        tid: The thread.
        name: The call.
        args: Its arguments, by which it is known again.
        end: CLOCK_MONOTONIC of this machine, ns.
    """

    tid: int
    name: str
    args: tuple[int, ...]
    end: int


def rows(pid: int, notes: Iterable[Note]) -> list[str]:
    """Return what is to be left about threads that stand still."""
    found = []
    with contextlib.suppress(BlcrError, OSError):
        for note in notes:
            life = _life(pid, note.tid)
            row = (note.tid, *life, note.end, note.name, *note.args)
            found.append(" ".join(map(str, row)))
    return found


def leave(pid: int, noted: Sequence[str]) -> None:
    """Leave notes about threads that go on."""
    with contextlib.suppress(OSError):
        folder = runtime.make() if noted else None
        if folder:
            flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC
            fd = os.open(f"{folder}/sleepers.{pid}", flags, 0o600)
            with os.fdopen(fd, "w") as file:
                file.write("\n".join(noted))


def find(
    pid: int, tid: int, args: tuple[int, ...], now: int, stops: int
) -> Note | None:
    """
    Return the note of a thread's call, if there is one and it still holds.

    Args:
        stops: How many stops of ours have gone before this one.
    """
    most = _SWITCHES * (1 + stops)
    for folder in filter(runtime.is_private, runtime.folders()):
        with contextlib.suppress(BlcrError, OSError, ValueError, KeyError):
            with open(f"{folder}/sleepers.{pid}", encoding="ascii") as file:
                rows = {row[0]: row for row in map(str.split, file)}
            _, started, switches, end, name, *noted = rows[str(tid)]
            life = _life(pid, tid)
            same = life[0] == int(started) and 0 <= life[1] - int(switches) <= most
            if same and tuple(map(int, noted)) == args and int(end) >= now:
                return Note(tid, name, args, int(end))
    return None


def _life(pid: int, tid: int) -> tuple[int, int]:
    """Return when a thread began, in clock ticks, and how often it has slept."""
    started = procfs.stat(pid, tid).field(_START_TIME_FIELD)
    return started, procfs.voluntary_switches(pid, tid)
