"""POSIX message queues that others use, too, or have used since."""

from __future__ import annotations

import ctypes
import os
from pathlib import Path

import pytest

from harness import outside
from harness.programs import build
from harness.subject import Subject, SubjectError


def opened(pid: int, name: str) -> int:
    """Open a message queue that a process has."""
    for one in (outside.PROC / str(pid) / "fd").iterdir():
        if name in str(one.readlink()):
            return os.open(one, os.O_RDONLY)
    raise AssertionError(name)


def test_messages_in_a_queue_that_somebody_else_has_open_are_refused(
    home: Path, user: int | None
) -> None:
    """They could be missed while they are looked at."""
    with Subject([build("tree_mqueue_full")], cwd=home, user=user) as subject:
        subject.ready()
        ours = opened(subject.pid, "/blcr-full")

        with pytest.raises(SubjectError, match=f"process {os.getpid()} has open, too"):
            subject.checkpoint()

        os.close(ours)
        subject.checkpoint()
        subject.tell()
        assert subject.finish().endswith(b"ok\n")


@pytest.mark.parametrize("count", [5, 1])
def test_queue_that_is_there_gets_its_messages_only_if_it_is_empty(
    home: Path, user: int | None, count: int
) -> None:
    """Others may have put messages into it since, which stay."""
    libc = ctypes.CDLL(None)
    with Subject([build("tree_mqueue_full")], cwd=home, user=user) as subject:
        subject.ready()
        name = f"/blcr-full-{home.stat().st_ino}".encode()
        path = subject.checkpoint_and_kill()
        queue = libc.mq_open(name, os.O_RDWR | os.O_NONBLOCK)
        for _ in range(count):
            assert libc.mq_receive(queue, bytes(3000), 3000, None) >= 0

        subject.restart(path)

        os.close(queue)
        if count == 1:
            assert "has 4 messages instead of 5" in subject.errors()
            libc.mq_unlink(name)
            libc.mq_unlink(name.replace(b"full", b"wait"))
            return
        subject.tell()
        assert subject.finish().endswith(b"ok\n")
