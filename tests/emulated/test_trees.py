"""Several guests of a machine are saved together, or some without the others."""

from __future__ import annotations

import errno
import os
import re
import signal
import subprocess
from pathlib import Path

import pytest

from harness import commands, modes, outside, packages, programs, seeds
from harness.subject import Subject

SOURCES = Path(__file__).parent / "programs"

NOT_SUPPORTED = 52

SCRIPT = """
exec 3<&0 4>&1
seq 2000 | (echo ready >&4; read word <&3; sort -rn | sed "s/^/$word /") | tail -n 2
echo end
"""

GATE = """
mkfifo gate
seq 20000 | (read word < gate; sort -rn | sed "s/^/$word /") | tail -n 2 &
echo ready
read word
echo $word > gate
wait
rm gate
echo end
"""


def _variants(name: str, count: int) -> list[str]:
    return seeds.sample(name, programs.EVERY_ARCH, count)


@pytest.mark.parametrize("variant", _variants("kin", 3))
def test_tree_goes_on(variant: str, user: int | None, home: Path) -> None:
    """With a child that is stopped, and a grandchild that waits at a pipe."""
    program = programs.build("kin", variant, SOURCES)
    with Subject([program], cwd=home, user=user, emulated=True) as subject:
        subject.ready()
        for _ in range(2):
            subject.restart(subject.checkpoint_and_kill())
        subject.tell()

        assert subject.finish().endswith(b"below has 'x'\nmiddle 5\nok\n")


CHANCE = seeds.generator("guests")
DRAWN = [
    (str(CHANCE.getrandbits(64)), CHANCE.choice(programs.EVERY_ARCH))
    for _ in range(60 if seeds.FULL else 4)
]


@pytest.mark.parametrize(("number", "variant"), DRAWN)
def test_drawn_tree_finds_everything_again(
    number: str, variant: str, user: int | None, home: Path
) -> None:
    """Who is whose child, in which group, ended or stopped, and what they share."""
    drawn = programs.Scenario("tree_random", (number,), remade=True)
    modes.run(drawn, variant, "restart", user, home, emulated=True)


def _middle(subject: Subject) -> str:
    """Return how the child with a child of its own is called from outside."""
    found = re.search(rb"middle is (\d+)", subject.output)
    assert found
    return f"{subject.pid}:{found[1].decode()}"


def _save(subject: Subject, *words: str | Path) -> tuple[int, str]:
    """Take a checkpoint; return status and messages."""
    options = ("--time", "0.5", "--kmsg-warning", "-f", subject.next_context())
    done = commands.call(
        "checkpoint", *options, *words, user=subject.user, cwd=subject.cwd
    )
    return done.returncode, done.stderr


def test_what_leads_outside_is_named(user: int | None, home: Path) -> None:
    """A pipe of a part of the tree; a process that is not there."""
    program = programs.build("kin", "x86_64", SOURCES)
    with Subject([program], cwd=home, user=user, emulated=True) as subject:
        subject.ready()
        status, said = _save(subject, "--tree", _middle(subject))
        assert (status, "is a pipe whose other end is outside" in said) == (
            NOT_SUPPORTED,
            True,
        )
        status, said = _save(subject, f"{subject.pid}:99")
        assert (status, "the machine has no process 99" in said) == (errno.ESRCH, True)
        status, said = _save(subject, "--sid", f"{subject.pid}:99")
        assert (status, "the machine has no sid 99" in said) == (errno.ESRCH, True)
        subject.tell()

        assert subject.finish().endswith(b"ok\n")


@pytest.mark.parametrize("scope", ["tree", "pid", "pgid", "sid"])
def test_scope_says_which_guests_are_saved(
    scope: str, user: int | None, home: Path
) -> None:
    """A part of a tree goes on without the rest; who is missed is named."""
    words = ["/bin/sh", "-c", "(sleep 7; :) & (sleep 8; :) & echo ready; wait"]
    with Subject(words, cwd=home, user=user, emulated=True) as subject:
        subject.ready()
        status, said = _save(subject, f"--{scope}", f"{subject.pid}:1000")
    context = commands.call("info", "--json", home / "context-1", cwd=home)

    assert status == 0
    assert ("has children that are not saved" in said) == (scope == "pid")
    assert (context.stdout.count('"ppid": 1000') >= 2) == (scope != "pid")


@pytest.mark.parametrize(
    ("kind", "status", "what"),
    [
        ("files", NOT_SUPPORTED, "shares its descriptors with process"),
        ("vm", NOT_SUPPORTED, "shares its memory with process"),
        ("vfork", errno.EBUSY, "a child that it made by vfork(2) has not gone on"),
    ],
)
def test_what_only_threads_share_is_refused_by_name(
    kind: str, status: int, what: str, user: int | None, home: Path
) -> None:
    """And nothing becomes of the processes."""
    words: list[str | Path] = [programs.build("refused_sharing", "x86_64"), kind]
    with Subject(words, cwd=home, user=user, emulated=True) as subject:
        subject.ready()
        refused = _save(subject, str(subject.pid))
        subject.tell()

        assert subject.finish().endswith(b"ok\n")
    assert refused[0] == status
    assert what in refused[1]


def test_vfork_is_waited_for(user: int | None, home: Path) -> None:
    """A program that starts others all the time is saved between two of them."""
    script = "echo ready; i=0; while [ $i -lt 15 ]; do /bin/true; i=$((i + 1)); done"
    words = ["/bin/sh", "-c", f"{script}; echo ok"]
    with Subject(words, cwd=home, user=user, emulated=True) as subject:
        subject.expect(b"ready\n")
        subject.restart(subject.checkpoint_and_kill())

        assert subject.finish().endswith(b"ok\n")


def test_script_with_a_pipeline_goes_on(user: int | None, home: Path) -> None:
    """A shell of this machine, in the middle of what it does."""
    words = ["/bin/sh", "-c", SCRIPT]
    with Subject(words, cwd=home, user=user, emulated=True) as subject:
        subject.expect(b"ready\n")
        subject.restart(subject.checkpoint_and_kill())
        assert subject.command.stdin
        subject.command.stdin.write(b"line\n")
        subject.command.stdin.flush()

        assert subject.finish() == b"ready\nline 2\nline 1\nend\n"


@pytest.mark.skipif(
    not packages.available(), reason="not applicable: this machine has no apt"
)
@pytest.mark.parametrize("hosts", ["native emulated native", "emulated native"])
def test_script_crosses(hosts: str, user: int | None, home: Path) -> None:
    """Debian's own shell, with a full pipe and a named one that nobody writes to."""
    first, *others = hosts.split()
    busybox = packages.sysroot(packages.DEBIAN["x86_64"]) / "bin/busybox"
    words: list[str | Path] = [busybox, "sh", "-c", GATE]
    if first == "native":
        level = ("--cpu", "x86-64-v2")
        words = [*commands.argv("run", *level, *words, user=user)]
    emulated = first == "emulated"
    with Subject(words, cwd=home, user=user, emulated=emulated) as subject:
        subject.executable = str(busybox.resolve())
        subject.ready()
        for host in others:
            path = subject.checkpoint_and_kill()
            subject.words, subject.emulated = b"", host == "emulated"
            subject.restart(path)
        assert subject.command.stdin
        subject.command.stdin.write(b"line\n")
        subject.command.stdin.flush()

        assert subject.finish() == b"ready\nline 2\nline 1\nend\n"


def test_what_is_left_behind_is_saved(user: int | None, home: Path) -> None:
    """Once the first process has ended, nobody waits for a restart."""
    script = "mkfifo gate; (read x < gate; echo $x > mark) & echo ready; read word"
    with Subject(["/bin/sh", "-c", script], cwd=home, emulated=True) as subject:
        subject.ready()
        subject.restart(subject.checkpoint_and_kill())
        subject.tell()
        subject.command.wait(30)
        outside.wait_until(lambda: any((home / "blcr").iterdir()), "machine")
        subject.pid = int(next((home / "blcr").iterdir()).name)
        path = subject.checkpoint("--kill")
    done = subprocess.run(
        commands.argv("restart", "--emulate", path, user=user),
        cwd=home,
        env=commands.environment(user, home),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        check=False,
        timeout=60,
    )
    (home / "gate").write_text("late\n")

    assert done.returncode == 0
    outside.wait_until(lambda: (home / "mark").exists(), "mark", timeout_s=20)
    outside.wait_until(lambda: (home / "mark").read_text() == "late\n", "mark")


def test_machine_that_is_stopped_is_not_waited_for(
    user: int | None, home: Path
) -> None:
    """When all of its processes are, it is so itself, and cannot answer."""
    words = ["/bin/sh", "-c", "kill -STOP $$; echo on"]
    with Subject(words, cwd=home, user=user, emulated=True) as subject:
        outside.wait_until(
            lambda: outside.status_of(subject.pid)["State"].startswith("T"), "stopped"
        )
        status, said = _save(subject, str(subject.pid))
        os.kill(subject.pid, signal.SIGCONT)

        assert subject.finish() == b"on\n"
    assert (status, "is stopped, as all processes in it are" in said) == (
        errno.EBUSY,
        True,
    )


def test_contents_of_open_files_are_put_back(user: int | None, home: Path) -> None:
    """One that a parent and its child read, and one that is gone."""
    (home / "read").write_text("one\ntwo\nthree\n")
    script = (
        "exec 3<&0 5<>read 6>>gone; read x <&5; echo before >&6; echo ready; "
        "(read y <&3; read z <&5; echo after >&6; cat gone) & wait; read x <&5; echo $x"
    )
    words = ["/bin/sh", "-c", script]
    with Subject(words, cwd=home, user=user, emulated=True) as subject:
        subject.ready()
        path = subject.checkpoint_and_kill("--save-files")
        (home / "read").write_text("another\nfile\n")
        (home / "gone").unlink()
        subject.restart(path)
        subject.tell()

        assert subject.finish() == b"ready\nbefore\nafter\nthree\n"
