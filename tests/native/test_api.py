"""The Python interface with real processes."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

import blcr
from harness.outside import wait_until
from harness.programs import build

Program = subprocess.Popen[bytes]


@pytest.fixture
def program() -> Iterator[Program]:
    """A program that ends as it is told on standard input."""
    pipe = subprocess.PIPE
    with subprocess.Popen([build("ends_as_told")], stdin=pipe, stdout=pipe) as program:
        assert program.stdout
        assert program.stdout.readline() == b"ready\n"
        yield program
        program.kill()


@pytest.fixture
def told() -> Iterator[int]:
    """The end of a pipe whose other end programs restarted here have as stdin."""
    reader, writer = os.pipe()
    saved = os.dup(0)
    os.dup2(reader, 0)
    yield writer
    os.dup2(saved, 0)
    for fd in (reader, writer, saved):
        os.close(fd)


@pytest.mark.parametrize("end", [0, 42, -signal.SIGTERM])
def test_round_trip(program: Program, told: int, home: Path, end: int) -> None:
    """A program killed with its checkpoint ends, restarted, as if nothing had been."""
    path, ran = home / "context", []

    saved = blcr.checkpoint(program.pid, path, signal=signal.SIGKILL)
    killed = program.wait()
    os.write(told, b"%d\n" % end)
    ended = blcr.restart(path, running=lambda: ran.append(True))

    assert saved.pids == (program.pid,)
    assert saved.size == path.stat().st_size
    assert killed == -signal.SIGKILL
    assert ended.returncode == end
    assert ran == [True]


def test_program_runs_on(program: Program, home: Path) -> None:
    """Without a signal the program does not notice."""
    blcr.checkpoint(program.pid, str(home / "context"), sync=False)

    program.communicate(b"7\n")

    assert program.returncode == 7


def test_open_files(program: Program, told: int, home: Path) -> None:
    """A context can be written to and read from files that are open already."""
    path = home / "file"

    with path.open("wb") as file:
        file.write(b"before")
        saved = blcr.checkpoint(program.pid, file)
        file.write(b"behind")
    os.write(told, b"3\n")
    with path.open("rb") as file:
        assert file.read(6) == b"before"
        ended = blcr.restart(file, restore_pid=False)
        behind = file.read()

    assert saved.size > 0
    assert ended.returncode == 3
    assert behind == b"behind"


def test_older_file(program: Program, home: Path) -> None:
    """``noclobber`` refuses, ``backup`` keeps it."""
    path = home / "context"
    path.write_bytes(b"older")

    with pytest.raises(blcr.TargetError):
        blcr.checkpoint(program.pid, path, policy="noclobber")
    blcr.checkpoint(program.pid, path, policy="backup", backup=home / "kept")

    assert (home / "kept").read_bytes() == b"older"


@pytest.mark.skipif(
    os.geteuid() != 0,
    reason="not applicable: an ordinary user restores pids in namespaces",
)
def test_pid_in_use(program: Program, home: Path) -> None:
    """An error of the other process arrives as what it is."""
    blcr.checkpoint(program.pid, home / "context")

    with pytest.raises(blcr.BlcrError, match=str(program.pid)) as caught:
        blcr.restart(home / "context")

    assert type(caught.value) is blcr.BusyError


def test_interrupted(program: Program, home: Path) -> None:
    """When the caller fails, the program gets SIGTERM and ends."""
    blcr.checkpoint(program.pid, home / "context", signal=signal.SIGKILL)
    program.wait()

    def fail() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        blcr.restart(home / "context", running=fail)

    with pytest.raises(ProcessLookupError):
        os.kill(program.pid, 0)


def test_thread_that_does_not_stop_is_let_go(tmp_path: Path) -> None:
    """A vfork in flight outlasts the time limit and goes on untraced."""
    source = tmp_path / "waits_for_vfork.c"
    source.write_text(
        "#include <unistd.h>\n"
        "int main(void) {\n"
        "    if (vfork() == 0) { char c; (void)!read(0, &c, 1); _exit(0); }\n"
        "    return 7;\n"
        "}\n"
    )
    program = tmp_path / "waits_for_vfork"
    subprocess.run(["cc", "-w", source, "-o", program], check=True)
    with subprocess.Popen([program], stdin=subprocess.PIPE) as process:
        assert process.stdin
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
        wait_until(lambda: children.read_text() != "", "the child is there")
        with pytest.raises(blcr.FreezeTimeoutError):
            blcr.checkpoint(
                process.pid, tmp_path / "context", scope="pid", timeout_s=0.2
            )
        process.stdin.close()

        assert process.wait(timeout=30) == 7
