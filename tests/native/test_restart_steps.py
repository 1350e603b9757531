"""A restart that dies or fails at any step leaves no process behind."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from blcr.errors import HostError
from blcr.host.native import namespaces, ptrace
from harness import checkpointer, outside, seeds
from harness.checkpointer import ENDED, FAILED_WELL, KILLED, THROUGH
from harness.programs import build
from harness.subject import Subject

_THREADS_AT_MOST = 8
"""Of the programs here."""

Hook = Callable[[checkpointer.Request], checkpointer.Request]


@pytest.fixture(params=["memory_private", "threads_ids", "pipe_half_full"])
def context(request: pytest.FixtureRequest, home: Path) -> Path:
    """The context of a program that waits to be told."""
    with Subject([build(request.param)], cwd=home) as subject:
        subject.ready()
        return subject.checkpoint_and_kill()


def _restart(context: Path, hook: Hook) -> int:
    """Restart under a hook; how it ended."""
    return checkpointer.wait(
        checkpointer.fork_restart(context, checkpointer.hooked(hook))
    )


@pytest.fixture
def nobody_left() -> Callable[[], bool]:
    """A predicate: all processes that were started since are gone."""
    before = set(outside.descendants(os.getpid()))

    def is_true() -> bool:
        for pid in set(outside.descendants(os.getpid())) - before:
            if outside.exists(pid):
                return False
            if outside.is_own_child(pid):
                os.waitpid(pid, os.WNOHANG)
        return True

    return is_true


def test_killed_at_every_step(context: Path, nobody_left: Callable[[], bool]) -> None:
    """SIGKILL before the n-th request takes what was made so far along."""
    status, n, chance = KILLED, 0, seeds.generator("restart dies")
    while status == KILLED:
        n = checkpointer.next_step(n, chance)
        status = _restart(context, checkpointer.die_at(n))
        outside.wait_until(nobody_left, f"nobody left after step {n}", timeout_s=30)

    assert status == THROUGH
    assert n > 3


@pytest.mark.parametrize(
    ("hook", "expected"),
    [
        (
            partial(
                checkpointer.fail_at, error=ptrace.RequestError(errno.EIO, "made up")
            ),
            {THROUGH, FAILED_WELL},
        ),
        (checkpointer.end_at, {THROUGH, FAILED_WELL, ENDED}),
    ],
    ids=["refused", "gone"],
)
def test_every_step_failing(
    context: Path,
    hook: Callable[[int], Hook],
    expected: set[int],
    nobody_left: Callable[[], bool],
) -> None:
    """
    A failing n-th request is one of our errors, and nothing is left.

    Only while the program is let go may its own end be the end of a restart.
    """
    chance, n, through, ended = seeds.generator("restart fails"), 0, 0, 0
    while through < 3:
        n = checkpointer.next_step(n, chance)
        status = _restart(context, hook(n))
        assert status in expected, f"step {n}"
        outside.wait_until(nobody_left, f"nobody left after step {n}", timeout_s=30)
        through = through + 1 if status == THROUGH else 0
        ended += status == ENDED
    assert ended <= _THREADS_AT_MOST


def test_rights_that_a_namespace_lacks(
    monkeypatch: pytest.MonkeyPatch, nobody_left: Callable[[], bool]
) -> None:
    """A user namespace without the rights it needs is an error at once, no hanging."""

    def denied(path: str, _text: str) -> None:
        raise PermissionError(errno.EPERM, "made up", path)

    monkeypatch.setattr(namespaces, "_write", denied)

    with pytest.raises(HostError, match="--no-restore-pid"):
        namespaces.enter_new(0, 0)

    assert nobody_left()
