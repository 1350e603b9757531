"""Timers where ids cannot be asked for, and timers that cannot be saved."""

from __future__ import annotations

from pathlib import Path

import pytest

from blcr.linux import constants
from harness import checkpointer, commands
from harness.programs import build
from harness.subject import Subject


def test_ids_are_counted_up_on_older_kernels(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where ids cannot be asked for, timers are made and deleted until they fit."""
    target = home / "context"
    with Subject([build("timer_posix")], cwd=home) as subject:
        subject.ready()
        subject.checkpoint_and_kill().rename(target)
    generic = {**constants.GENERIC, "PR_TIMER_CREATE_RESTORE_IDS": 1 << 20}
    monkeypatch.setattr(constants, "GENERIC", generic)

    child = checkpointer.fork_restart(target, lambda: None)

    assert checkpointer.wait(child) == checkpointer.THROUGH


def test_timer_of_some_threads_cpu_time_is_named(home: Path) -> None:
    """Of which thread it is nobody can tell: refused, naming the timer."""
    with Subject([build("timer_thread")], cwd=home) as subject:
        subject.ready()
        done = commands.call(
            "checkpoint", "-f", home / "context", str(subject.pid), user=None, cwd=home
        )
        assert done.returncode == 52
        assert "POSIX timer 0 is of the CPU clock of a thread" in done.stderr
        subject.tell()
        assert subject.finish().endswith(b"ok\n")


def test_timers_of_no_thread(home: Path) -> None:
    """One rings for a thread that has ended, one has the raw SIGEV_THREAD."""
    with Subject([build("timer_orphaned")], cwd=home) as subject:
        subject.ready()
        subject.restart(subject.checkpoint_and_kill())

        subject.tell()
        assert subject.finish().endswith(b"ok\n")
