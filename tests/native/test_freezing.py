"""Programs that change while they are being made to stand still."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import capstone
import pytest

import blcr
from blcr.host.native import held, ptrace
from blcr.host.native.freeze import Freezer
from blcr.host.native.procfs import Range
from harness import checkpointer, outside
from harness.programs import build
from harness.subject import Subject

REQUESTS = range(1, 9)
"""To seize and to interrupt each of four threads."""


@pytest.mark.parametrize("n", REQUESTS)
def test_thread_may_become_another_program(n: int, home: Path) -> None:
    """An execve by a thread, before any request, is no end: what it is now is saved."""
    with Subject([build("threads_execve")], cwd=home) as subject:
        subject.ready()
        target = home / "context"

        def execve() -> None:
            subject.tell()
            _wait_a_little(lambda: _has_changed(subject.pid))

        child = checkpointer.fork_checkpoint(
            subject.pid, target, checkpointer.at(n, execve)
        )
        assert checkpointer.wait(child) == checkpointer.THROUGH
        subject.output = b""
        subject.ready()
        subject.tell()
        assert subject.finish().endswith(b"ok\n")


def _has_changed(pid: int) -> bool:
    """Tell whether it has executed, or tries to and waits for a thread to go."""
    tasks = (outside.PROC / str(pid) / "task").iterdir()
    try:
        states = [outside.status_of(pid, int(task.name))["State"] for task in tasks]
    except (OSError, KeyError):
        return False
    return len(states) == 1 or any(state[0] in "ZX" for state in states)


def _wait_a_little(condition: Callable[[], bool]) -> None:
    """Wait until a condition holds; it may come true only once we go on."""
    end = time.monotonic() + 1
    while not condition() and time.monotonic() < end:
        time.sleep(0.001)


def test_child_forked_while_freezing_is_saved_too(home: Path) -> None:
    """A tree that has grown between the look and the freeze is saved as a whole."""
    with Subject([build("children_told")], cwd=home) as subject:
        subject.ready()
        subject.output = b""

        def fork() -> None:
            subject.tell()
            _wait_a_little(lambda: bool(outside.descendants(subject.pid)))

        child = checkpointer.fork_checkpoint(
            subject.pid, home / "context", checkpointer.at(1, fork), scope="tree"
        )
        assert checkpointer.wait(child) == checkpointer.THROUGH
        (born,) = outside.descendants(subject.pid)
        with blcr.open_context(home / "context") as reader:
            saved = [process.pid for process in reader.context.processes]
        assert saved == [subject.pid, born]
        subject.ready()
        subject.tell()
        assert subject.finish().endswith(b"ok\n")


def test_a_signal_may_use_up_the_request_to_stop(home: Path) -> None:
    """A thread on its way into another stop forgets that it was asked for one."""

    def hook(request: checkpointer.Request) -> checkpointer.Request:
        asked: list[int] = []

        def forgetful(code: int, tid: int, *args: int) -> int:
            asked.append(code)
            if asked.count(code) == 1 and code == ptrace.PTRACE_INTERRUPT:
                os.kill(tid, signal.SIGWINCH)
                return 0
            return request(code, tid, *args)

        return forgetful

    with Subject([build("compute"), "100000000000"], cwd=home) as subject:
        subject.ready()
        child = checkpointer.fork_checkpoint(subject.pid, home / "context", hook)
        assert checkpointer.wait(child) == checkpointer.THROUGH


def test_only_the_end_of_a_thread_is_taken_note_of(home: Path) -> None:
    """A stop that nobody has asked for yet is left to who traces the thread."""
    with Subject([build("compute"), "100000000000"], cwd=home) as subject:
        subject.ready()
        ptrace.seize(subject.pid, 0)
        ptrace.interrupt(subject.pid)
        options = os.WEXITED | os.WNOWAIT | ptrace.WALL
        os.waitid(os.P_PID, subject.pid, options)

        held.bury(subject.pid)

        stop = ptrace.wait(subject.pid, os.WNOHANG)
        assert stop
        assert stop.event == ptrace.PTRACE_EVENT_STOP
        ptrace.detach(subject.pid)


def test_no_thread_is_left_with_the_time_of_a_clock(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a time namespace: at the instruction that reads the CPU's clock, or behind."""
    reads, seen = held.HeldProcess._reads_clock, []

    def spy(process: held.HeldProcess, task: held.HeldTask, vdso: Range) -> bool:
        seen.append(reads(process, task, vdso))
        return seen[-1]

    monkeypatch.setattr(held.HeldProcess, "_reads_clock", spy)
    reader = capstone.Cs(capstone.CS_ARCH_X86, capstone.CS_MODE_64)
    with Subject([build("clock_vdso")], cwd=home) as subject:
        subject.ready()
        subject.restart(subject.checkpoint_and_kill())
        for _ in range(200):
            with Freezer([subject.pid], timeout_s=10) as frozen:
                (process,) = frozen.processes
                gp, pc = process.arch.gp, process.arch.pc
                vdso = next(one for one in process.outline if one.path == "[vdso]")
                code = process.memory.read(vdso.start, vdso.end - vdso.start)
                places = [
                    gp.decode(task.sets[gp.note_type])[pc] - vdso.start
                    for task in process.tasks
                ]
            for at in places:
                if 0 <= at < len(code):
                    near = (code[at - 2 : at], code[at - 3 : at], code[at : at + 3])
                    found = [one for data in near for one in reader.disasm(data, 0, 1)]
                    names = {one.mnemonic for one in found}
                    assert {"rdtsc", "rdtscp"} & names, hex(at)
        subject.tell()
        assert subject.finish() == b"ready\nok\n"
    assert any(seen)
