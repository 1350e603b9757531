"""
A checkpoint of the process that asks for it.

Nobody can trace itself, so a child does it, and the process waits for that.  What the
child has to say it leaves in memory that both have.  In the context that is empty, and
a restarted process began later than the one that asked: so it knows.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import pickle
import warnings
from collections.abc import Callable

from blcr.annotations import NoReturn
from blcr.engine.checkpoint import CheckpointResult, Warn, claim
from blcr.errors import BlcrError, HostError

_ROOM = 1 << 20
_LENGTH = 8
_START_TIME = 19
"""Of the fields behind the name; see proc_pid_stat(5)."""


def checkpoint(
    take: Callable[[str, Warn], CheckpointResult], scope: str, warn: Warn
) -> CheckpointResult:
    """
    Have a child take a checkpoint of this process, and return its result.

    In the restarted program it returns a result that says so.

    Args:
        take: Called in the child with a scope and where warnings go.
        scope: What was asked for.
        warn: Told what the user should know.

    Raises:
        BlcrError: As `take` does.
    """
    host = claim(os.getpid())
    host.admit()
    with mmap.mmap(-1, _ROOM) as memory:
        began = _begun(os.getpid())
        child = _fork()
        if child == 0:
            _report(take, scope, memory)
        # Others may wait for the child before us: what it has left says how it ended.
        status = 0
        with contextlib.suppress(ChildProcessError):
            status = os.waitpid(child, 0)[1]
        size = int.from_bytes(memory[:_LENGTH], "little")
        if not size and _begun(os.getpid()) != began:
            return CheckpointResult((os.getpid(),), 0, 0, 0, host.name, restarted=True)
        if not size:
            raise HostError(
                f"process {child}, which was to take the checkpoint, ended too early "
                f"({os.waitstatus_to_exitcode(status)})"
            )
        said, messages = pickle.loads(memory[_LENGTH : _LENGTH + size])
    for message in messages:
        warn(message)
    if isinstance(said, BlcrError):
        raise said
    assert isinstance(said, CheckpointResult)
    return said


def _begun(pid: int) -> int:
    """Return when a process was started, which a restarted one was later."""
    with open(f"/proc/{pid}/stat", "rb") as file:
        return int(file.read().rpartition(b")")[2].split()[_START_TIME])


def _fork() -> int:
    """Fork; that other threads are not in the child is what is wanted here."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        return os.fork()


def _report(
    take: Callable[[str, Warn], CheckpointResult], scope: str, memory: mmap.mmap
) -> NoReturn:
    """Take the checkpoint, say what came of it, and end."""
    messages: list[str] = []
    said: CheckpointResult | BlcrError
    try:
        said = take(scope, messages.append)
    except BlcrError as error:
        said = error
    except BaseException as error:
        said = HostError(f"{type(error).__name__}: {error}")
    try:
        data = pickle.dumps((said, messages))
        if len(data) > _ROOM - _LENGTH:
            data = pickle.dumps((said, [f"{len(messages)} warnings, too many to tell"]))
        memory[_LENGTH : _LENGTH + len(data)] = data
        memory[:_LENGTH] = len(data).to_bytes(_LENGTH, "little")
    finally:
        os._exit(0)
