"""Processes with children in one machine behave as on any Linux."""

from __future__ import annotations

import errno
import fcntl
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from harness import commands, programs
from harness.subject import Subject

SOURCES = Path(__file__).parent / "programs"


def emulated(*args: str | Path) -> subprocess.CompletedProcess[str]:
    """Run ``cr_run --emulate`` with these arguments."""
    return native(sys.executable, "-m", "blcr.cli.run", "--emulate", *args)


def native(*args: str | Path) -> subprocess.CompletedProcess[str]:
    """Run a program on this machine."""
    return subprocess.run(
        args, capture_output=True, text=True, check=False, timeout=120
    )


@pytest.mark.parametrize("variant", programs.EVERY_ARCH)
@pytest.mark.parametrize(
    "name",
    ["family", "copies", "limited", "locks", "own_proc", "pidfds", "sockets"],
)
def test_program_does_what_it_does_on_this_kernel(
    name: str, variant: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is printed, and the status, are those of a native run."""
    monkeypatch.chdir(tmp_path)
    expected = native(programs.build(name, "x86_64", SOURCES))

    done = emulated(programs.build(name, variant, SOURCES))

    assert (done.stdout, done.stderr) == (expected.stdout, "")
    assert done.returncode == expected.returncode


@pytest.mark.parametrize("variant", programs.EVERY_ARCH)
def test_what_is_unknown_is_refused_as_everywhere(
    variant: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Flags, options and commands that no kernel has; the machine lists them."""
    monkeypatch.chdir(tmp_path)
    expected = native(programs.build("refusals", "x86_64", SOURCES))

    done = emulated(programs.build("refusals", variant, SOURCES))

    assert done.stdout == expected.stdout
    assert ": accept4(0x10000000), clone(0x10000000000), close_range(" in done.stderr


def test_bounds_are_kept() -> None:
    """Memory and threads are as many as was said; who takes more is told."""
    program = programs.build("bounds", "x86_64", SOURCES)
    bounds = ("--memory", "40M", "--tasks", "12")

    counted = emulated(*bounds, program)
    killed = emulated(*bounds, program, "touch")

    threads, memory = counted.stdout.splitlines()
    assert threads == "threads 12 1"
    assert 30 <= int(memory.split()[1]) <= 40
    assert killed.returncode == -signal.SIGKILL
    assert "the 40 MiB of memory of the machine are full; '--memory'" in killed.stderr


def test_context_that_needs_more_memory_is_refused(home: Path) -> None:
    """The message says how much there is, and how much would do."""
    program = programs.build("bounds", "x86_64", SOURCES)
    command: list[str | Path] = ["--memory", "300M", "--tasks", "5", program, "wait"]
    with Subject(command, cwd=home, emulated=True) as subject:
        subject.expect(b"memory ")
        context = subject.checkpoint_and_kill()

    words = ("--emulate", "--memory", "100M", context)
    refused = commands.call("restart", *words, cwd=home)

    assert re.search("has 2.. MiB of memory, and the machine 100;", refused.stderr)
    assert "--memory=3" in refused.stderr


def test_locks_of_others_are_in_the_way(tmp_path: Path) -> None:
    """What a process of this machine has locked, guests cannot lock."""
    path = tmp_path / "locked"
    path.write_bytes(b"something")

    with path.open("r+b") as file, path.open("r+b") as whole:
        fcntl.lockf(file, fcntl.LOCK_EX, 6)
        fcntl.flock(whole, fcntl.LOCK_SH)
        done = emulated(programs.build("locks", "x86_64", SOURCES), path)

    assert done.stdout == f"range {errno.EAGAIN}\nbeyond 0\nwhole {errno.EAGAIN}\n"


def test_the_machine_s_own_memory_is_out_of_reach(tmp_path: Path) -> None:
    """What is told below /proc is of guests, by whatever path; the rest is listed."""
    link = tmp_path / "link"

    done = emulated(programs.build("own_proc", "x86_64", SOURCES), link)

    found = done.stdout.splitlines()[-3:]
    assert found == [f"{link}: 2", "/proc/self/mem: 2", "/proc/thread-self/io: 2"]
    assert "open(/proc/self/mem), open(/proc/thread-self/io)" in done.stderr


SCRIPTS = {
    "pipeline": "seq 1 300 | sort -rn | tr 0-9 a-j | head -n 7 | tail -n 2",
    "statuses": "false; echo $?; (exit 9); echo $?; sh -c 'kill -9 $$'; echo $?",
    "background": "sleep 0.05 & wait $!; echo $?; { sleep 0.05; echo late; } & wait",
    "substitution": "x=$(echo one | tr a-z A-Z); echo $x$(echo 2)",
    "files": "cat /etc/passwd | gzip -c | gzip -dc | cmp - /etc/passwd && echo same",
    "closed pipe": "yes | head -n 3; echo $?",
    "descriptors": "exec 7</etc/passwd; sh -c 'read a <&7; echo $a'; ls /proc/self/fd",
    "trap": "trap 'echo term' TERM; (kill -TERM $$); sleep 0.05; echo end",
    "missing": "does-not-exist; echo $?; ./nor-this; echo $?",
    "fifo": "mkfifo f; cat f & echo through > f; wait; rm f",
}


@pytest.mark.parametrize("script", SCRIPTS)
def test_shell_does_what_it_does_on_this_machine(
    script: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A shell of this machine with the programs of this machine."""
    monkeypatch.chdir(tmp_path)

    expected = native("/bin/sh", "-c", SCRIPTS[script])
    done = emulated("/bin/sh", "-c", SCRIPTS[script])

    assert (done.stdout, done.stderr) == (expected.stdout, expected.stderr)
    assert done.returncode == expected.returncode


def test_static_shell_runs_its_own_tools() -> None:
    """A busybox finds itself again below /proc, for each tool."""
    busybox = shutil.which("busybox")
    if busybox is None:
        pytest.skip("not applicable: busybox is not installed")
    script = "seq 9 | awk '{ s += $1 } END { print s }'; ps | grep -c busybox"

    assert emulated(busybox, "sh", "-c", script).stdout.split()[0] == "45"


def test_killed_program_kills_as_natively() -> None:
    """A death by a signal is told to whoever ran the machine."""
    assert emulated("/bin/sh", "-c", "kill -TERM $$").returncode == -signal.SIGTERM


def test_processes_left_behind_go_on(tmp_path: Path) -> None:
    """What a program leaves running runs on without it."""
    mark = tmp_path / "mark"
    script = f"(sleep 0.3; echo done > {mark}) & echo started"

    # The output ends when all have closed it, as it does natively.
    done = emulated("/bin/sh", "-c", script)

    assert done.stdout == "started\n"
    assert mark.read_text() == "done\n"


def test_seed_fixes_the_order_of_processes(tmp_path: Path) -> None:
    """Processes that race do so in the same way with the same seed."""
    script = tmp_path / "race"
    script.write_text("for i in 1 2 3 4; do (echo $i; echo $i$i) & done; wait\n")

    def order(seed: int) -> str:
        return emulated("--seed", str(seed), "/bin/sh", script).stdout

    assert order(1) == order(1)
    assert len({order(seed) for seed in range(1, 6)}) > 1


def test_processes_without_end_are_stopped_by_a_limit(tmp_path: Path) -> None:
    """Who forks on and on is refused at some time, and nobody else is harmed."""
    script = tmp_path / "bomb.py"
    script.write_text(
        "import os, signal\n"
        "children = []\n"
        "try:\n"
        "    while True:\n"
        "        child = os.fork()\n"
        "        if not child: signal.pause()\n"
        "        children.append(child)\n"
        "except OSError as error:\n"
        "    print(os.strerror(error.errno), len(children) > 50)\n"
        "for child in children: os.kill(child, 9)\n"
        "for child in children: os.waitpid(child, 0)\n"
    )

    done = emulated(sys.executable, "-S", script)

    assert done.stdout.endswith("True\n"), done.stderr
    assert done.returncode == 0
