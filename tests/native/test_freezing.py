"""Programs that change while they are being made to stand still."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest

import blcr
from harness import checkpointer, outside
from harness.programs import build
from harness.subject import Subject

REQUESTS = range(1, 9)
"""To seize and to interrupt each of four threads."""


@pytest.mark.parametrize("n", REQUESTS)
def test_thread_may_become_another_program(n: int, home: Path) -> None:
    """An execve by a thread, before any request, is no end: what it is now is saved."""
    with Subject([build("threads_execve")], cwd=home) as subject:
        subject.ready()
        target = home / "context"

        def execve() -> None:
            subject.tell()
            _wait_a_little(lambda: _has_changed(subject.pid))

        child = checkpointer.fork_checkpoint(
            subject.pid, target, checkpointer.at(n, execve)
        )
        assert checkpointer.wait(child) == checkpointer.THROUGH
        subject.output = b""
        subject.ready()
        subject.tell()
        assert subject.finish().endswith(b"ok\n")


def _has_changed(pid: int) -> bool:
    """Tell whether it has executed, or tries to and waits for a thread to go."""
    tasks = (outside.PROC / str(pid) / "task").iterdir()
    try:
        states = [outside.status_of(pid, int(task.name))["State"] for task in tasks]
    except (OSError, KeyError):
        return False
    return len(states) == 1 or any(state[0] in "ZX" for state in states)


def _wait_a_little(condition: Callable[[], bool]) -> None:
    """Wait until a condition holds; it may come true only once we go on."""
    end = time.monotonic() + 1
    while not condition() and time.monotonic() < end:
        time.sleep(0.001)


def test_child_forked_while_freezing_is_saved_too(home: Path) -> None:
    """A tree that has grown between the look and the freeze is saved as a whole."""
    with Subject([build("children_told")], cwd=home) as subject:
        subject.ready()
        subject.output = b""

        def fork() -> None:
            subject.tell()
            _wait_a_little(lambda: bool(outside.descendants(subject.pid)))

        child = checkpointer.fork_checkpoint(
            subject.pid, home / "context", checkpointer.at(1, fork), scope="tree"
        )
        assert checkpointer.wait(child) == checkpointer.THROUGH
        (born,) = outside.descendants(subject.pid)
        with blcr.open_context(home / "context") as reader:
            saved = [process.pid for process in reader.context.processes]
        assert saved == [subject.pid, born]
        subject.ready()
        subject.tell()
        assert subject.finish().endswith(b"ok\n")
