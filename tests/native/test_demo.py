"""The newcomer's command."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

import pytest

import blcr
from blcr import demo
from harness import commands
from harness.staging import interpreter

STEPS = ["started", "checkpointed", "killed", "restarted", "finished", "compared"]


def _popen(user: int | None, home: Path) -> subprocess.Popen[bytes]:
    """Start the command as that user."""
    args = [str(interpreter(user).executable), "-m", "blcr.demo"]
    return commands.popen(args, user=user, cwd=home)


@pytest.mark.parametrize("user_name", list(commands.users()), indirect=True)
def test_every_step_is_shown(user: int | None, home: Path) -> None:
    """Any user sees the computation cut, restarted, and come to the same result."""
    with _popen(user, home) as running:
        out, err = running.communicate(timeout=120)

    lines = out.decode().splitlines()
    assert (running.returncode, err) == (0, b"")
    assert [line.split()[0] for line in lines if line.startswith("  ")][1:] == STEPS
    assert lines[-1] == "The uninterrupted run has the same result."
    assert list(home.iterdir()) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupt_leaves_nothing(number: signal.Signals, home: Path) -> None:
    """On Ctrl-C or when told to end, the programs end, and their files go."""
    with _popen(None, home) as running:
        assert running.stdout
        while not running.stdout.readline().startswith(b"  started"):
            pass
        os.kill(running.pid, number)
        _out, err = running.communicate(timeout=60)

    assert err == b"interrupted\n"
    # An interrupt in the midst of an import makes Python end itself by the signal.
    assert running.returncode in (130, -signal.SIGINT)
    assert list(home.iterdir()) == []


def test_emulated_where_tracing_is_not_permitted(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It says why, and goes on with the emulator."""
    permitted = blcr.checkpoint
    refusals = iter([blcr.NotPermittedError("tracing is forbidden")])

    def checkpoint(pid: int, path: Path, **options: int) -> object:
        for refusal in refusals:
            raise refusal
        return permitted(pid, path, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(blcr, "checkpoint", checkpoint)

    status = demo.main([])

    said = capsys.readouterr().out
    assert "not possible here: tracing is forbidden\n" in said
    assert "\nemulated: " in said
    assert "has the same result" in said
    assert status == 0
