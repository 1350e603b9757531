"""Programs whose main thread has ended before the others."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from harness import commands, outside
from harness.programs import available, build

EVERY_USER = pytest.mark.parametrize("user_name", list(commands.users()), indirect=True)


@EVERY_USER
@pytest.mark.parametrize(
    "variant", [one for one in ("dynamic", "m32") if available(one)]
)
def test_main_thread_may_have_ended(variant: str, user: int | None, home: Path) -> None:
    """Saved and restarted twice, the others go on and end as always."""
    program = build("threads_leaderless", variant)
    # Which thread's it is depends on the kernel.
    status = subprocess.run([program], input=b"0\n0\n", check=False).returncode
    with _started([program], user, home) as process:
        assert _line(process) == b"ready\n"
        _checkpoint(process.pid, user, home)
    with _restarted(user, home) as process:
        _tell(process)
        assert _line(process) == b"ready\n"
        _checkpoint(process.pid, user, home)
    with _restarted(user, home) as process:
        _tell(process)
        assert _line(process) == b"ok\n"
        assert process.wait(20) == status


def _started(
    args: Sequence[str | Path], user: int | None, home: Path
) -> subprocess.Popen[bytes]:
    pipe = subprocess.PIPE
    return commands.popen(args, user=user, cwd=home, stdin=pipe, stdout=pipe)


def _line(process: subprocess.Popen[bytes]) -> bytes:
    assert process.stdout is not None
    return process.stdout.readline()


def _tell(process: subprocess.Popen[bytes]) -> None:
    assert process.stdin is not None
    process.stdin.write(b"0\n")
    process.stdin.flush()


def _checkpoint(pid: int, user: int | None, home: Path) -> None:
    args = ("--kill", "--nosync", "--clobber", "-f", "context", str(pid))
    done = commands.call("checkpoint", *args, user=user, cwd=home)
    assert done.returncode == 0, done.stderr


def _restarted(user: int | None, home: Path) -> subprocess.Popen[bytes]:
    process = _started(commands.argv("restart", "context", user=user), user, home)
    outside.wait_until(lambda: _is_back(process), "restart")
    return process


def _is_back(process: subprocess.Popen[bytes]) -> bool:
    """Tell whether a process below the command has a dead main thread, untraced."""
    assert process.poll() is None
    for pid in outside.descendants(process.pid):
        tasks = outside.PROC / str(pid) / "task"
        with contextlib.suppress(OSError, KeyError):
            state = outside.status_of(pid)["State"][0]
            if state == "Z" and len(list(tasks.iterdir())) > 1:
                return not outside.is_traced(pid)
    return False
