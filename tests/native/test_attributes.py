"""What an ordinary user may not set again: a warning names wanted and got value."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from harness import commands
from harness.programs import build
from harness.subject import Subject, SubjectError

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0, reason="not applicable: only root has more than an ordinary user"
)


@contextmanager
def _handed_over(
    program: str, home: Path, wrapper: str, *options: str
) -> Iterator[Subject]:
    """Lend a program that root has started and an ordinary user has restarted."""
    path = build(program)
    with Subject([*wrapper.split(), path], cwd=home) as subject:
        subject.executable = str(path)
        subject.ready()
        context = subject.checkpoint_and_kill()
        user = commands.ORDINARY_USER
        for one in (home, *home.iterdir()):
            os.chown(one, user, user)
        subject.user = user
        subject.restart(context, "--kmsg-warning", *options)
        yield subject


@pytest.mark.parametrize(
    ("wrapper", "warning"),
    [
        ("env", "user ids 12345/12345/12345/12345 instead of 0/0/0/0"),
        ("env", "effective capabilities 0x0 instead of 0x"),
        ("nice -n -5", "nice 0 instead of nice -5"),
        ("chrt -f 7", "policy OTHER instead of scheduling policy FIFO with priority 7"),
        ("ionice -c 1 -n 3", "I/O priority none 0 instead of I/O priority realtime 3"),
    ],
)
def test_loss_of_a_right_is_told(wrapper: str, warning: str, home: Path) -> None:
    """The program runs on with what it may have, and the user is told of the rest."""
    with _handed_over("memory_private", home, wrapper) as subject:
        said = subject.errors()
        subject.tell()

        assert warning in said
        assert subject.finish().endswith(b"ok\n")


def _restart_under(limit: str, patch: pytest.MonkeyPatch) -> None:
    """Have cr_restart started with less of something, by an option of prlimit(1)."""
    plain = commands.argv

    def limited(command: str, *args: str | Path, user: int | None = None) -> list[str]:
        wrapper = ["prlimit", limit] if command == "restart" else []
        return [*wrapper, *plain(command, *args, user=user)]

    patch.setattr(commands, "argv", limited)


def test_hard_limit_is_not_raised(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A limit that is lower where the program is restarted stays; a warning has it."""
    _restart_under("--msgqueue=6000:6000", monkeypatch)
    wrapper = "prlimit --msgqueue=7000:70000"
    with _handed_over("memory_private", home, wrapper) as subject:
        said = subject.errors()
        subject.tell()

        assert "RLIMIT_MSGQUEUE 6000/6000 instead of 7000/70000" in said
        assert subject.finish().endswith(b"ok\n")


def test_too_few_descriptors(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A descriptor over the limit is an error that names both and what helps."""
    _restart_under("--nofile=100:100", monkeypatch)
    with (
        pytest.raises(SubjectError) as caught,
        _handed_over("limits", home, "env"),
    ):
        pass

    assert "it has descriptor 200, and no more than 100 open files" in str(caught.value)
    assert "ulimit -Hn" in str(caught.value)


def test_root_directory_needs_a_right(home: Path) -> None:
    """Without one it is an error that names the folder and what helps."""
    with (
        pytest.raises(SubjectError) as caught,
        _handed_over("root_directory", home, "env", "--no-restore-pid"),
    ):
        pass

    assert f"root directory '{home}/root' cannot be set again" in str(caught.value)
    assert "restart as root" in str(caught.value)


def test_root_directory_is_had_in_a_namespace(home: Path) -> None:
    """There an ordinary user may set it, too."""
    with _handed_over("root_directory", home, "env") as subject:
        subject.tell()

        assert subject.finish().endswith(b"ok\n")
