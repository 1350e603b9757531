"""What cannot be saved just now is waited for, not for long."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness import commands, outside
from harness.subject import Subject

NOT_SUPPORTED = 52

UNREAD = """
import os, socket, struct
one = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0)
one.bind((0, 0))
one.send(struct.pack("=IHHIIB3x", 20, 18, 0x301, 1, 0, 0))
print("ready")
input()
one.setblocking(False)
try:
    while one.recv(1 << 16):
        pass
except BlockingIOError:
    print("read")
input()
print("ok")
"""
"""A dump of links, which nobody reads at first; rtnetlink(7)."""


@pytest.fixture(params=list(commands.users()))
def user_name(request: pytest.FixtureRequest) -> str:
    """Every user in turn."""
    return str(request.param)


def test_messages_that_are_read_soon_are_waited_for(
    user: int | None, home: Path
) -> None:
    """The checkpoint is taken once the program has read them."""
    python = commands.argv("checkpoint", user=user)[0]
    with Subject([python, "-uc", UNREAD], cwd=home, user=user) as subject:
        subject.ready()
        path, pid = subject.next_context(), str(subject.pid)
        words = commands.argv("checkpoint", "--kill", "-f", path, pid, user=user)
        with commands.popen(words, user=user, cwd=home) as command:
            outside.wait_until(lambda: outside.is_traced(subject.pid), "a first try")
            subject.tell()
            assert command.wait() == 0
        subject.bury()
        subject.restart(path)
        subject.tell()
        assert subject.finish().endswith(b"ok\n")


def test_messages_that_stay_are_refused(user: int | None, home: Path) -> None:
    """By name, and nothing becomes of the program."""
    python = commands.argv("checkpoint", user=user)[0]
    with Subject([python, "-uc", UNREAD], cwd=home, user=user) as subject:
        subject.ready()
        path, pid = subject.next_context(), str(subject.pid)
        done = commands.call("checkpoint", "-f", path, pid, user=user, cwd=home)
        assert done.returncode == NOT_SUPPORTED
        assert "messages that were not read" in done.stderr
        assert not path.exists()
        subject.tell()
        subject.tell()
        assert subject.finish().endswith(b"read\nok\n")
