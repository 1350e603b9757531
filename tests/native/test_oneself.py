"""Programs that save themselves."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import sys
from pathlib import Path

import pytest

import blcr
from harness import commands, outside
from harness.staging import interpreter
from harness.subject import Subject

PROGRAM = """
import os, sys, threading, blcr
stop = threading.Event()
threads = [threading.Thread(target=stop.wait) for _ in range(int(sys.argv[1]))]
for thread in threads: thread.start()
total = 0
for i in range(10):
    total += i * i
    if i == 5:
        result = blcr.checkpoint(os.getpid(), "context")
        print("restarted" if result.restarted else "saved", flush=True)
        assert result.pids == (os.getpid(),)
        assert (result.size == 0) == result.restarted
        sys.stdin.readline()
stop.set()
for thread in threads: thread.join()
print(total, flush=True)
"""


@pytest.mark.parametrize("user_name", list(commands.users()), indirect=True)
@pytest.mark.parametrize("threads", [0, 3])
def test_program_saves_itself(threads: int, user: int | None, home: Path) -> None:
    """It runs on, and restarted it knows that it was."""
    args = [str(interpreter(user).executable), "-c", PROGRAM, str(threads)]
    with Subject(args, cwd=home, user=user) as subject:
        subject.expect(b"saved\n")
        os.kill(subject.pid, signal.SIGKILL)
        subject.bury()
        subject.restart(home / "context")
        subject.expect(b"restarted\n")
        subject.tell()

        assert subject.finish() == b"saved\nrestarted\n285\n"


def test_errors_arrive_as_what_they_are(home: Path) -> None:
    """Also those of the child that takes the checkpoint."""
    (home / "context").write_bytes(b"older")

    with pytest.raises(blcr.TargetError, match="exists"):
        blcr.checkpoint(os.getpid(), home / "context", scope="pid", policy="noclobber")

    assert (home / "context").read_bytes() == b"older"


def test_other_children_are_not_forgotten(home: Path) -> None:
    """A process is saved with its children, but without the one that does it."""
    script = (
        "import os, sys, blcr\n"
        "reader, writer = os.pipe()\n"
        "child = os.fork()\n"
        "if not child:\n"
        "    os.close(writer)\n"
        "    os.read(reader, 1)\n"
        "    os._exit(7)\n"
        "done = blcr.checkpoint(os.getpid(), 'context')\n"
        "how = 'restarted' if done.restarted else 'saved'\n"
        "print(len(done.pids), how, flush=True)\n"
        "input()\n"
        "os.close(writer)\n"
        "print(os.waitpid(child, 0)[1] >> 8)\n"
    )
    with Subject([sys.executable, "-c", script], cwd=home) as subject:
        subject.expect(b"2 saved\n")
        (child,) = outside.descendants(subject.pid)
        os.kill(subject.pid, signal.SIGKILL)
        subject.bury()
        # An orphan of ours now, it ends with its pipe; soon enough to be buried, too.
        with contextlib.suppress(ChildProcessError):
            os.waitpid(child, 0)
        subject.restart(home / "context")
        subject.expect(b"2 saved\n1 restarted\n")
        subject.tell()

        assert subject.finish() == b"2 saved\n1 restarted\n7\n"


def test_shell_saves_itself(home: Path) -> None:
    """A script runs the command on itself, and goes on twice."""
    command = commands.argv("checkpoint", "--pid", "-f", "context")
    script = f"{' '.join(command)} $$; echo went on; read line; echo $line"
    bash = shutil.which("bash")
    assert bash
    with Subject([bash, "-c", script], cwd=home) as subject:
        subject.expect(b"went on\n")
        os.kill(subject.pid, signal.SIGKILL)
        subject.bury()
        subject.restart(home / "context")
        subject.expect(b"went on\nwent on\n")
        subject.tell()

        assert subject.finish() == b"went on\nwent on\n0\n"
