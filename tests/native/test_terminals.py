"""Real programs that keep a terminal for others: job control, panes."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

import pytest

from harness import commands, outside, seeds
from harness.subject import GoneError, Subject
from harness.typist import SHELL, Typist

EVERY_USER = pytest.mark.parametrize("user_name", list(commands.users()), indirect=True)


@pytest.mark.skipif(not shutil.which("script"), reason="not applicable: no script(1)")
@EVERY_USER
def test_job_control_goes_on(user: int | None, home: Path) -> None:
    """Jobs that run, that are stopped, and one to be brought forward, of a bash."""
    args = ["script", "-qfc", SHELL, "/dev/null"]
    with Typist(args, cwd=home, user=user) as subject:
        subject.executable = shutil.which("script") or ""
        subject.type("PS1='P'=; sleep 1000 & sleep 2000; echo front $?\n")
        subject.hear(r"\[1\] \d+")
        _await_front(subject, "2000")
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
        subject.hear(r"sleep 2000\r\n.*sleep 2000\r\n")
        _await_front(subject, "2000")
        subject.type("\x03")
        subject.type("echo ended $?; wait; jobs; echo no''ne\n")
        subject.hear("ended 130")
        subject.hear("none")
        subject.type("exit 0\n")
        subject.finish()


def _await_front(subject: Subject, word: str) -> None:
    """Wait until a process below, with that argument, has the terminal."""

    def has_it() -> bool:
        return any(
            word.encode() in outside.words(pid).split(b"\0") and _is_in_front(pid)
            for pid in outside.descendants(subject.pid)
        )

    outside.wait_until(has_it, f"a process with {word}")


def _is_in_front(pid: int) -> bool:
    """Tell whether the process group of a process has its terminal."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return fields[2] == fields[5]


@pytest.mark.skipif(not shutil.which("script"), reason="not applicable: no script(1)")
@EVERY_USER
def test_nothing_is_lost_on_the_way(user: int | None, home: Path) -> None:
    """Who reads from a master has done so before it stands still, too."""
    count, cuts, out = 150_000, 0, home / "out"
    script, loop = (
        home / "script",
        f"for ((i = 1; i <= {count}; i++)); do echo $i; done",
    )
    script.write_text(f"stty -opost; {loop}")
    command = f"exec script -qfc 'bash {script}' /dev/null >{out}"
    chance = seeds.generator("terminals")
    with Typist(["sh", "-c", command], cwd=home, user=user) as subject:
        subject.executable = shutil.which("script") or ""
        outside.wait_until(lambda: out.exists() and out.stat().st_size, "the first")
        for _ in range(4):
            time.sleep(chance.random() / 50)
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
