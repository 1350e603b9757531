"""A program that was saved under a kernel with another vdso."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

import pytest

from blcr.engine.restart import restart
from blcr.host.native.making import MadeProcess
from harness import checkpointer, outside
from harness.checkpointer import FAILED_BADLY, THROUGH
from harness.programs import build
from harness.subject import Subject

PROGRAMS = ["clock_vdso", "clock_monotonic", "signal_pending", "threads_condition"]


def _elsewhere(context: Path, go: Path, output: Path) -> int:
    """Restart in a child to which the vdso is another kernel's; return its pid."""
    os.mkfifo(go)
    child = os.fork()
    if child:
        return child
    status = FAILED_BADLY
    try:
        os.dup2(os.open(go, os.O_RDWR), 0)
        os.dup2(os.open(output, os.O_WRONLY | os.O_CREAT, 0o600), 1)
        MadeProcess.has_special = lambda *_: False  # type: ignore[method-assign]
        with context.open("rb") as source:
            ended = restart(source.fileno(), context.name)
        status = THROUGH if ended == 0 else FAILED_BADLY
    except BaseException as error:
        os.write(2, f"{type(error).__name__}: {error}\n".encode())
    os._exit(status)


@pytest.mark.parametrize("variant", ["dynamic", "static", "m32", "musl"])
@pytest.mark.parametrize("program", PROGRAMS)
def test_program_goes_on_under_another_kernel(
    program: str, variant: str, home: Path
) -> None:
    """The functions that it has linked to lead to those of the vdso that is there."""
    with Subject([build(program, variant)], cwd=home) as subject:
        subject.ready()
        path = subject.checkpoint_and_kill()

        child = _elsewhere(path, home / "go", home / "output")
        (home / "go").write_bytes(b"0\n")

        assert checkpointer.wait(child) == THROUGH
        assert (home / "output").read_bytes() == b"ok\n"


@pytest.mark.parametrize("variant", ["dynamic", "m32"])
def test_it_is_saved_there_and_restarted(variant: str, home: Path) -> None:
    """Both vdsos are the program's from then on, and it calls through both of them."""
    with Subject([build("clock_vdso", variant)], cwd=home) as subject:
        subject.ready()
        child = _elsewhere(subject.checkpoint_and_kill(), home / "go", home / "output")
        outside.wait_until(lambda: _program(child), "restart")
        subject.pid = _program(child)
        subject.strays.add(subject.pid)
        path = subject.checkpoint("--kill")
        assert checkpointer.wait(child) == FAILED_BADLY
        subject.restart(path)
        (home / "go").write_bytes(b"0\n")
        subject.finish()

        assert (home / "output").read_bytes() == b"ok\n"


def _program(restarter: int) -> int:
    """Return the pid of what a process has restarted and let go; 0: not yet."""
    for pid in outside.descendants(restarter):
        with contextlib.suppress(OSError):
            if b"clock_vdso" in outside.words(pid) and not outside.is_traced(pid):
                return int(pid)
    return 0
