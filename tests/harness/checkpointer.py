"""
A checkpoint, or a restart, in a forked process that dies, or fails, where a test says.

Everything is imported before the fork, so that hundreds of them take seconds.
"""

from __future__ import annotations

import contextlib
import errno
import os
import random
import signal
import time
from collections.abc import Callable
from pathlib import Path

from blcr.context.target import Target
from blcr.engine.checkpoint import checkpoint
from blcr.engine.restart import restart
from blcr.errors import BlcrError, RemoteCallError
from blcr.host.native import ptrace
from blcr.host.native.freeze import Freezer
from blcr.host.native.process import NativeTask
from harness.seeds import FULL

THROUGH = 0
FAILED_WELL = 10
FAILED_BADLY = 11
ENDED = 12
"""Restarted, but the program ended by SIGKILL."""
LESS = 13
"""Restarted, with a warning, and the program misses something."""
KILLED = -signal.SIGKILL

Request = Callable[..., int]


def fork_checkpoint(
    pid: int,
    target: Path,
    hook: Callable[[Request], Request] | None = None,
    *,
    frozen: Callable[[], None] | None = None,
    signal: int = 0,
    scope: str = "pid",
) -> int:
    """
    Fork a process that takes a checkpoint; return its pid.

    Args:
        pid: Of the program.
        target: The context file.
        hook: Given ptrace's `request`, returns what takes its place in the child.
        frozen: Called in the child once the program stands still.
        signal: Sent to the program when it is saved.
        scope: Of the request.
    """

    def act() -> int:
        if hook:
            hooked(hook)()
        if frozen:
            setattr(Freezer, "__enter__", _before(Freezer.__enter__, frozen))  # noqa: B010
        with Target(target, sync=False) as opened:
            checkpoint(pid, opened, scope=scope, signal=signal)
        return THROUGH

    return _forked(act)


def fork_restart(context: Path, prepare: Callable[[], None]) -> int:
    """
    Restart in a forked process, where the program is told at once; return its pid.

    Args:
        context: Of a program that says ``ok``.
        prepare: Called in the child before.
    """
    reading, writing = os.pipe()
    os.write(writing, b"0\n")
    output = context.with_suffix(".output")

    def act() -> int:
        os.dup2(reading, 0)
        os.dup2(os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), 1)
        prepare()
        warnings: list[str] = []
        with context.open("rb") as source:
            ended = restart(source.fileno(), context.name, warn=warnings.append)
        if os.waitstatus_to_exitcode(ended) == -signal.SIGKILL:
            return ENDED
        if output.read_bytes() == b"ok\n":
            return THROUGH
        return LESS if warnings else FAILED_BADLY

    child = _forked(act)
    os.close(reading)
    os.close(writing)
    return child


def _forked(act: Callable[[], int]) -> int:
    """Fork a process that ends with the status of an act, or of how that failed."""
    child = os.fork()
    if child:
        return child
    status = FAILED_BADLY
    try:
        status = act()
    except BlcrError as error:
        os.write(2, f"{error}\n".encode())
        status = FAILED_WELL
    except BaseException as error:
        os.write(2, f"{type(error).__name__}: {error}\n".encode())
    os._exit(status)


def hooked(hook: Callable[[Request], Request]) -> Callable[[], None]:
    """Return what puts a hook into the place of ptrace's `request`."""

    def prepare() -> None:
        ptrace.request = hook(ptrace.request)

    return prepare


def _before(
    first: Callable[[Freezer], Freezer], then: Callable[[], None]
) -> Callable[[Freezer], Freezer]:
    def both(freezer: Freezer) -> Freezer:
        entered = first(freezer)
        then()
        return entered

    return both


def wait(child: int) -> int:
    """Return how the child ended: a status above, or ``KILLED``."""
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


EVERY_STEP_UP_TO = 40


def next_step(n: int, chance: random.Random) -> int:
    """Return the next step to die at: every one at first, then fewer by chance."""
    if FULL or n < EVERY_STEP_UP_TO:
        return n + 1
    return n + chance.randint(1, max(30, n // 5))


def failing_calls(n: int) -> Callable[[], None]:
    """
    Return what lets the n-th call in the name of a process fail.

    With an error that no restart takes for an answer, as it does ENOMEM of mlock2(2)
    for memory that cannot be read.  Whatever close(2) says, the descriptor is closed.
    """

    def prepare() -> None:
        call, count = NativeTask.call, 0

        def counting(task: NativeTask, name: str, *args: int) -> int:
            nonlocal count
            count += 1
            if count == n:
                if name == "close":
                    call(task, name, *args)
                raise RemoteCallError(task.process.pid, name, errno.EIO)
            return call(task, name, *args)

        setattr(NativeTask, "call", counting)  # noqa: B010

    return prepare


def die_at(n: int, *, stop: int = 0) -> Callable[[Request], Request]:
    """
    Return a hook that ends the process with SIGKILL before the n-th request.

    Args:
        n: Counts from 1.
        stop: A process that is sent SIGSTOP before that.
    """

    def at_n() -> None:
        if stop:
            os.kill(stop, signal.SIGSTOP)
        os.kill(os.getpid(), signal.SIGKILL)

    return at(n, at_n)


def stop_at(n: int, pid: int) -> Callable[[Request], Request]:
    """Return a hook that sends SIGSTOP to a program before the n-th request."""
    return at(n, lambda: os.kill(pid, signal.SIGSTOP))


def fail_at(n: int, error: BaseException) -> Callable[[Request], Request]:
    """Return a hook that lets the n-th request fail."""

    def at_n() -> None:
        raise error

    return at(n, at_n)


def end_at(n: int) -> Callable[[Request], Request]:
    """Return a hook that ends the thread's process before the n-th request for it."""

    def hook(request: Request) -> Request:
        count = 0

        def counting(code: int, tid: int, *args: int) -> int:
            nonlocal count
            count += 1
            if count == n:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(tid, signal.SIGKILL)
            return request(code, tid, *args)

        return counting

    return hook


def at(n: int, act: Callable[[], None]) -> Callable[[Request], Request]:
    """Return a hook that does something before the n-th request."""

    def hook(request: Request) -> Request:
        count = 0

        def counting(*args: int) -> int:
            nonlocal count
            count += 1
            if count == n:
                act()
            return request(*args)

        return counting

    return hook


def kill_at_random(
    pid: int, target: Path, chance: random.Random, longest_s: float
) -> int:
    """End a checkpoint with SIGKILL after a random time; return how it ended."""
    delay_s = chance.uniform(0, longest_s)
    child = fork_checkpoint(pid, target)
    time.sleep(delay_s)
    os.kill(child, signal.SIGKILL)
    return wait(child)
