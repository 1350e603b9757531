"""Real programs that keep a terminal for others, in a machine: job control, floods."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from harness import commands, outside, seeds
from harness.programs import EVERY_ARCH, build
from harness.subject import GoneError, Subject
from harness.typist import SHELL, Typist

NOT_SUPPORTED = 52
SCRIPTED = pytest.mark.skipif(
    not shutil.which("script"), reason="not applicable: no script(1)"
)


@SCRIPTED
def test_job_control_goes_on(user: int | None, home: Path) -> None:
    """Jobs that run, that are stopped, and one to be brought forward, of a bash."""
    args = ["script", "-qfc", SHELL, "/dev/null"]
    with Typist(args, cwd=home, user=user, emulated=True) as subject:
        subject.executable = shutil.which("script") or ""
        subject.type("PS1='P'=; sleep 1000 & cat; echo front $?\n")
        subject.hear(r"\[1\] \d+")
        subject.type("once\n")
        subject.hear("once\r\nonce\r\n")
        subject.type("\x1a")
        subject.hear("Stopped.*front 148")
        subject.type("echo on $(tty)\n")
        terminal = subject.hear(r"on /dev/pts/\d+")
        for _ in range(2):
            subject.restart(subject.checkpoint_and_kill())
        subject.type("echo on $(tty)\n")
        assert subject.hear(r"on /dev/pts/\d+") == terminal
        subject.type("jobs; kill %1; fg %2\n")
        subject.hear("Running.*sleep 1000 &")
        subject.type("twice\n")
        subject.hear("twice\r\ntwice\r\n")
        subject.type("\x03")
        subject.type("echo ended $?; wait; jobs; echo no''ne\n")
        subject.hear("ended 130")
        subject.hear("none")
        subject.type("exit 0\n")
        subject.finish()


@SCRIPTED
def test_nothing_is_lost_on_the_way(user: int | None, home: Path) -> None:
    """Who reads from a master has done so before it stands still, too."""
    count, cuts, out = 2000, 0, home / "out"
    loop = f"stty -opost; for ((i = 1; i <= {count}; i++)); do echo $i; done"
    script = home / "script"
    script.write_text(loop)
    command = f"exec script -qfc 'bash {script}' /dev/null >{out}"
    with Typist(["sh", "-c", command], cwd=home, user=user, emulated=True) as subject:
        subject.executable = shutil.which("script") or ""
        outside.wait_until(lambda: out.exists() and out.stat().st_size, "the first")
        for _ in range(2):
            try:
                context = subject.checkpoint_and_kill()
            except GoneError:
                break
            subject.restart(context)
            cuts += 1
        subject.finish()

    assert cuts
    expected = "".join(f"{number}\n" for number in range(1, count + 1))
    assert out.read_text() == expected


def test_terminal_of_others_is_refused(user: int | None, home: Path) -> None:
    """Its master alone is not saved while others have the other end, by name."""
    variant = seeds.sample("terminals of others", EVERY_ARCH, 1)[0]
    words = [build("tree_terminal", variant)]
    with Subject(words, cwd=home, user=user, emulated=True) as subject:
        subject.ready()
        alone = ("--pid", f"{subject.pid}:1000", "-f", str(home / "context"))
        done = commands.call("checkpoint", *alone, user=user, cwd=home)

        assert done.returncode == NOT_SUPPORTED
        assert "a pseudo terminal that process 1001 has open, too" in done.stderr
        subject.tell()
        assert subject.finish().endswith(b"ok\n")
