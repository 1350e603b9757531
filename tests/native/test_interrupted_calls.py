"""
A signal that comes while a program stands still does to its call what it always does.

The oracle is the kernel: the same program meets the same signal without a checkpoint.
"""

from __future__ import annotations

import contextlib
import os
import signal
from pathlib import Path

import pytest

from blcr.errors import RefusedError
from blcr.host.native import blocked
from blcr.host.native.freeze import Freezer
from harness import checkpointer, commands, outside, seeds
from harness.programs import available, build
from harness.subject import Subject

CALLS = """
    read futex futex-timed nanosleep sleep-until poll poll-timed epoll_wait
    epoll_wait-timed sigtimedwait semop msgrcv
""".split()

VARIANTS = [variant for variant in ("dynamic", "m32", "musl") if available(variant)]

ALWAYS = [
    (call, "plain", "dynamic", mode)
    for call in ("read", "epoll_wait")
    for mode in ("continue", "restart")
]
"""The two that matter most are tried every time."""

COMBINATIONS = [
    (call, flags, variant, mode)
    for call in CALLS
    for flags in ("plain", "restart")
    for variant in VARIANTS
    for mode in ("continue", "restart")
]


@pytest.mark.parametrize(
    ("call", "flags", "variant", "mode"),
    [*ALWAYS, *seeds.sample("interrupted", COMBINATIONS, 12)],
    ids=repr,
)
def test_signal_while_frozen_ends_the_call_as_always(
    call: str, flags: str, variant: str, mode: str, home: Path
) -> None:
    """With a handler it fails with EINTR just if it does so without a checkpoint."""
    program: list[str | Path] = [build("blocked_interrupted", variant), call, flags]
    with Subject(program, cwd=home) as subject:
        subject.ready()
        os.kill(subject.pid, signal.SIGUSR1)
        expected = _how_it_ends(subject)

    with Subject(program, cwd=home) as subject:
        subject.ready()
        _signal_while_frozen(subject, mode, home / "context")
        assert _how_it_ends(subject) == expected


@pytest.mark.parametrize("call", ["read", "recv"])
def test_time_limit_of_a_socket_is_no_reason_to_fail(call: str, home: Path) -> None:
    """Where the kernel says EINTR after any stop the call is made again."""
    with Subject([build("blocked_socket"), call], cwd=home) as subject:
        subject.ready()
        child = checkpointer.fork_checkpoint(subject.pid, home / "context")
        assert checkpointer.wait(child) in {
            checkpointer.THROUGH,
            checkpointer.FAILED_WELL,
        }
        subject.tell()
        assert subject.finish().endswith(b"ok\n")


EMULATED = [call for call in CALLS if call not in ("semop", "msgrcv")]
"""The emulated host does not serve the others."""


@pytest.mark.parametrize("call", seeds.sample("interrupted", EMULATED, 3))
@pytest.mark.parametrize("flags", ["plain", "restart"])
def test_signal_pending_in_a_context_ends_the_call_under_emulation(
    call: str, flags: str, home: Path
) -> None:
    """The emulated host does with the call what the kernel would have done."""
    program = build("blocked_interrupted", "musl")
    with Subject([program, call, flags], cwd=home) as subject:
        subject.ready()
        os.kill(subject.pid, signal.SIGUSR1)
        expected = _how_it_ends(subject)

    args = commands.argv("run", "--cpu", "x86-64-v2", program, call, flags)
    with Subject(args, cwd=home) as subject:
        subject.ready()
        subject.emulated = True
        _signal_while_frozen(subject, "restart", home / "context")
        assert _how_it_ends(subject) == expected


RESTARTED = [("poll-timed", "poll"), ("nanosleep", "clock_nanosleep")]


@pytest.mark.parametrize(("call", "name"), RESTARTED)
def test_call_that_was_not_seen_asleep_is_not_guessed(
    call: str, name: str, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A thread on its way back into a call after one stop is known at the next one."""
    with Subject([build("blocked_interrupted"), call, "plain"], cwd=home) as subject:
        subject.ready()
        with Freezer([subject.pid], 5):
            pass
        outside.wait_until(lambda: outside.is_waiting(subject.pid), call, timeout_s=5)
        looks = [None] * len(outside.view(subject.pid).threads)
        real = blocked.look
        monkeypatch.setattr(
            blocked, "look", lambda *args: looks.pop() if looks else real(*args)
        )
        with Freezer([subject.pid], 5) as freezer:
            waited = freezer.processes[0].tasks[0].waited
        assert waited is not None
        assert waited.name == name
        assert waited.end is not None
        os.kill(subject.pid, signal.SIGUSR1)
        assert _how_it_ends(subject) == b"EINTR"


def test_call_that_nothing_shows_is_refused(home: Path) -> None:
    """Of a program stopped twice in a call, only letting it run shows which it is."""
    program: list[str | Path] = [build("blocked_interrupted"), "poll-timed", "plain"]
    with Subject(program, cwd=home) as subject:
        subject.ready()
        for number, state in [
            (signal.SIGSTOP, "T"),
            (signal.SIGCONT, "S"),
            (signal.SIGSTOP, "T"),
        ]:
            os.kill(subject.pid, number)
            _wait_for_state(subject.pid, state)
        with pytest.raises(RefusedError, match="CONT"), Freezer([subject.pid], 5):
            pass
        os.kill(subject.pid, signal.SIGCONT)
        os.kill(subject.pid, signal.SIGUSR1)
        assert _how_it_ends(subject) == b"EINTR"


def _wait_for_state(pid: int, state: str) -> None:
    """Wait until the first thread of a process is in a state."""
    outside.wait_until(
        lambda: outside.status_of(pid)["State"][0] == state, state, timeout_s=5
    )


def _signal_while_frozen(subject: Subject, mode: str, target: Path) -> None:
    """Take a checkpoint in which the signal is pending, and let the program go on."""
    number = signal.SIGKILL if mode == "restart" else 0
    child = checkpointer.fork_checkpoint(
        subject.pid,
        target,
        frozen=lambda: os.kill(subject.pid, signal.SIGUSR1),
        signal=number,
    )
    assert checkpointer.wait(child) == checkpointer.THROUGH
    if number:
        subject.bury()
        subject.restart(target)


def _how_it_ends(subject: Subject) -> bytes:
    """Return what the program says of its call once the handler has run."""
    subject.expect(b"handled\n")
    with contextlib.suppress(BrokenPipeError):
        subject.tell()
    return subject.finish().split(b"\n")[-2]
