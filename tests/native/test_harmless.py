"""
A checkpointer that dies or fails at any instant leaves the program as it was.

One window is the kernel's: some calls fail with EINTR after any stop, so they do when
the checkpointer dies between the stop and its first register write (docs/design.md).
"""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from blcr.errors import TaskGoneError
from blcr.host.native.ptrace import RequestError
from harness import checkpointer, commands, outside, seeds
from harness.programs import BLOCKED, Scenario, build
from harness.subject import Subject, SubjectError

EINTR_CALLS = {"epoll_wait", "epoll_pwait", "sigwaitinfo", "semop", "msgrcv"}

WINDOW = 2
"""Requests between stop and first register write: reading the registers is one."""

COMPUTING = (
    Scenario("compute"),
    Scenario("rseq_section"),
    Scenario("registers_vector"),
)

ROUNDS = 100 if seeds.FULL else 20

STEPS = (
    Scenario("compute"),
    *((Scenario("seccomp_shared"),) if os.geteuid() == 0 else ()),
    Scenario("rseq_section"),
    Scenario("sock_gifts"),
    Scenario("sock_internet"),
    Scenario("tree_clones", ("all",)),
    Scenario("tree_pipe"),
    Scenario("tree_groups"),
    Scenario("tree_shared_memory"),
    *(s for s in BLOCKED if not s.duration_s and s.args[0] not in EINTR_CALLS),
)


ERRORS = (
    RequestError(errno.EIO, "made up"),
    RequestError(errno.EPERM, "made up"),
    TaskGoneError("made up"),
)
"""What `ptrace.request` raises."""


def _ids(scenario: Scenario) -> str:
    return scenario.name


@pytest.fixture
def subject(scenario: Scenario, home: Path) -> Iterator[Subject]:
    """The program in its state; what waits by itself waits long enough."""
    scenario = scenario.lasting(6)
    with Subject([build(scenario.program), *scenario.args], cwd=home) as subject:
        subject.ready()
        yield subject


def _verdict(scenario: Scenario, subject: Subject) -> str:
    """Return what the program says when it goes on: ``ok`` or what is bad."""
    if not scenario.duration_s:
        with contextlib.suppress(BrokenPipeError):
            subject.tell()
    try:
        return subject.finish().split(b"\n")[-2].decode()
    except SubjectError:
        said = subject.output.split(b"\n")[-2].decode()
        call = scenario.args[0] if scenario.args else ""
        if call in EINTR_CALLS and said.startswith(
            f"bad: {call} returned -1 with errno 4"
        ):
            return "ok"
        raise


def _is_unharmed(subject: Subject) -> bool:
    """Tell whether the program lives, not stopped, and nobody traces it."""
    return all(
        outside.status_of(pid)["State"][0] in {"R", "S", "Z"}
        and not outside.is_traced(pid)
        for pid in (subject.pid, *outside.descendants(subject.pid))
    )


def _is_unchanged(subject: Subject, before: outside.View) -> bool:
    """Tell whether it looks from outside as before, nothing left in it or missing."""
    return outside.differences(before, outside.view(subject.pid)) == []


@pytest.mark.parametrize(
    "scenario", [*COMPUTING, *seeds.sample("kill", BLOCKED, 8)], ids=_ids
)
def test_killed_at_random_instants(
    scenario: Scenario, subject: Subject, home: Path
) -> None:
    """SIGKILL at random instants of a checkpoint changes no result."""
    chance = seeds.generator("kill", scenario.name)
    before = outside.view(subject.pid)
    target = home / "context"
    longest_s = _duration(subject, target)
    rounds = ROUNDS if scenario in COMPUTING else max(10, ROUNDS // 4)

    for _ in range(rounds):
        checkpointer.kill_at_random(subject.pid, target, chance, longest_s)
        if not outside.exists(subject.pid):
            break
        outside.wait_until(lambda: _is_unharmed(subject), "let go", timeout_s=5)
    else:
        outside.wait_until(lambda: _is_unchanged(subject, before), "unchanged")

    assert _verdict(scenario, subject) == "ok"


def _duration(subject: Subject, target: Path) -> float:
    """Return how long an undisturbed checkpoint takes, after one that imports all."""
    for _ in range(2):
        began = time.monotonic()
        child = checkpointer.fork_checkpoint(subject.pid, target)
        assert checkpointer.wait(child) == checkpointer.THROUGH
    return time.monotonic() - began


@pytest.mark.parametrize(
    "scenario", [Scenario("rseq_section"), Scenario("compute")], ids=_ids
)
def test_killed_twice_before_a_thread_has_returned(
    scenario: Scenario, subject: Subject, home: Path
) -> None:
    """A thread has yet to return from what a dead checkpointer made it do."""
    before = outside.view(subject.pid)
    chance = seeds.generator("twice", scenario.name)
    status, n = checkpointer.KILLED, 0

    while status == checkpointer.KILLED:
        n = checkpointer.next_step(n, chance)
        for step in (n, n + chance.randint(0, 9)):
            # Stopped, it does not even begin to return.
            hook = checkpointer.die_at(step, stop=subject.pid)
            child = checkpointer.fork_checkpoint(subject.pid, home / "context", hook)
            status = checkpointer.wait(child)
        os.kill(subject.pid, signal.SIGCONT)
        outside.wait_until(lambda: _is_unchanged(subject, before), f"step {n}")

    assert status == checkpointer.THROUGH
    assert _verdict(scenario, subject) == "ok"


@pytest.mark.parametrize("scenario", seeds.sample("steps", STEPS, 6), ids=_ids)
def test_killed_at_every_step(scenario: Scenario, subject: Subject, home: Path) -> None:
    """SIGKILL before the n-th ptrace request, for every n, changes no result."""
    before = outside.view(subject.pid)
    chance = seeds.generator("steps", scenario.name)
    status, n = checkpointer.KILLED, 0

    while status == checkpointer.KILLED:
        n = checkpointer.next_step(n, chance)
        hook = checkpointer.die_at(n)
        child = checkpointer.fork_checkpoint(
            subject.pid, home / "context", hook, scope=scenario.scope
        )
        status = checkpointer.wait(child)
        outside.wait_until(lambda: _is_unharmed(subject), f"step {n}", timeout_s=5)

    assert status == checkpointer.THROUGH
    assert n > 3
    # A busy machine may let a thread wait before it makes its last return by itself.
    outside.wait_until(lambda: _is_unchanged(subject, before), "unchanged")
    assert _verdict(scenario, subject) == "ok"


@pytest.mark.parametrize(
    "scenario",
    [s for s in BLOCKED if s.args[0] in EINTR_CALLS and not s.duration_s],
    ids=_ids,
)
def test_window_is_one_request(scenario: Scenario, home: Path) -> None:
    """Where any stop means EINTR, only a kill at the first requests brings it."""
    chance = seeds.generator("window", scenario.name)
    interrupted = []
    status, n = checkpointer.KILLED, 0

    while status == checkpointer.KILLED:
        n = checkpointer.next_step(n, chance)
        with Subject([build(scenario.program), *scenario.args], cwd=home) as subject:
            subject.ready()
            hook = checkpointer.die_at(n)
            child = checkpointer.fork_checkpoint(subject.pid, home / "context", hook)
            status = checkpointer.wait(child)
            _verdict(scenario, subject)
            if not subject.output.endswith(b"ok\n"):
                interrupted.append(n)

    assert status == checkpointer.THROUGH
    assert len(interrupted) <= WINDOW, f"interrupted at {interrupted} of {n}"


@pytest.mark.parametrize("error", ERRORS, ids=repr)
@pytest.mark.parametrize("scenario", seeds.sample("fail", STEPS, 3), ids=_ids)
def test_every_step_failing(
    scenario: Scenario, error: Exception, subject: Subject, home: Path
) -> None:
    """A failing n-th ptrace request ends in one of our errors, and nothing else."""
    before = outside.view(subject.pid)
    target = home / "context"
    status, n, through = checkpointer.FAILED_WELL, 0, 0

    # A request that may fail without harm is passed over, so one success is no end.
    chance = seeds.generator("fail", scenario.name)
    while through < 5:
        n = checkpointer.next_step(n, chance)
        target.unlink(missing_ok=True)
        hook = checkpointer.fail_at(n, error)
        status = checkpointer.wait(
            checkpointer.fork_checkpoint(
                subject.pid, target, hook, scope=scenario.scope
            )
        )
        assert status in {checkpointer.THROUGH, checkpointer.FAILED_WELL}, f"step {n}"
        assert _is_unharmed(subject), f"step {n}"
        if status == checkpointer.FAILED_WELL:
            assert list(home.glob("*context*")) == [], f"step {n}"
        through = through + 1 if status == checkpointer.THROUGH else 0

    subject.settle()
    assert outside.differences(before, outside.view(subject.pid)) == []
    assert _verdict(scenario, subject) == "ok"


@pytest.mark.parametrize("scenario", seeds.sample("interrupt", STEPS, 2), ids=_ids)
def test_interrupted_at_every_step(
    scenario: Scenario, subject: Subject, home: Path
) -> None:
    """Ctrl-C before the n-th ptrace request, for every n, changes no result."""
    chance = seeds.generator("interrupt", scenario.name)
    status, n = checkpointer.FAILED_BADLY, 0

    while status == checkpointer.FAILED_BADLY:
        n = checkpointer.next_step(n, chance)
        hook = checkpointer.fail_at(n, KeyboardInterrupt())
        status = checkpointer.wait(
            checkpointer.fork_checkpoint(
                subject.pid, home / "context", hook, scope=scenario.scope
            )
        )
        outside.wait_until(lambda: _is_unharmed(subject), f"step {n}", timeout_s=5)

    assert status == checkpointer.THROUGH
    assert _verdict(scenario, subject) == "ok"


@pytest.mark.parametrize("scenario", [Scenario("compute")], ids=_ids)
def test_stop_signal_is_not_lost(
    scenario: Scenario, subject: Subject, home: Path
) -> None:
    """A program told to stop while it is held stops, and continues as it was."""
    chance = seeds.generator("stop", scenario.name)
    for n in sorted(chance.sample(range(1, 100), 12)):
        hook = checkpointer.stop_at(n, subject.pid)
        child = checkpointer.fork_checkpoint(subject.pid, home / "context", hook)

        assert checkpointer.wait(child) == checkpointer.THROUGH
        outside.wait_until(lambda: _state(subject) == "T", f"stop {n}", timeout_s=5)
        os.kill(subject.pid, signal.SIGCONT)
        outside.wait_until(lambda: _is_unharmed(subject), f"step {n}", timeout_s=5)

    assert _verdict(scenario, subject) == "ok"


def test_threads_may_come_and_go(home: Path) -> None:
    """Checkpoints succeed, and harm nobody, while threads begin and end."""
    with Subject([build("threads_signalled")], cwd=home) as subject:
        subject.ready()
        for _ in range(ROUNDS):
            child = checkpointer.fork_checkpoint(subject.pid, home / "context")
            assert checkpointer.wait(child) == checkpointer.THROUGH
        subject.tell()

        assert subject.finish().endswith(b"ok\n")


def _state(subject: Subject) -> str:
    """Return the letter of its state."""
    return outside.status_of(subject.pid)["State"][0]


@pytest.mark.parametrize("user_name", list(commands.users()), indirect=True)
def test_killed_command_of_any_user(user: int | None, home: Path) -> None:
    """SIGKILL of the command itself changes no result either."""
    chance = seeds.generator("kill command", user)
    with Subject([build("compute")], cwd=home, user=user) as subject:
        subject.ready()
        args = commands.argv("checkpoint", "-f", "context", str(subject.pid), user=user)
        began = time.monotonic()
        _start(args, user, home).wait()
        longest_s = time.monotonic() - began
        for _ in range(ROUNDS):
            command = _start(args, user, home)
            time.sleep(chance.uniform(0, longest_s))
            command.send_signal(signal.SIGKILL)
            command.wait()
            outside.wait_until(lambda: _is_unharmed(subject), "let go", timeout_s=5)
        subject.tell()

        assert subject.finish().endswith(b"ok\n")


def _start(args: list[str], user: int | None, home: Path) -> subprocess.Popen[bytes]:
    null = subprocess.DEVNULL
    return commands.popen(args, user=user, cwd=home, stdout=null, stderr=null)


def test_target_appears_whole_or_not_at_all(home: Path) -> None:
    """A checkpointer killed while it writes leaves the older context untouched."""
    chance = seeds.generator("target")
    target = home / "context"
    target.write_bytes(b"older")
    with Subject([build("memory_private")], cwd=home) as subject:
        subject.ready()
        for _ in range(ROUNDS):
            killed = checkpointer.kill_at_random(subject.pid, target, chance, 0.02)
            if killed != checkpointer.THROUGH:
                assert target.read_bytes() == b"older" or target.stat().st_size > 4096
            target.write_bytes(b"older")
        subject.tell()

        assert subject.finish().endswith(b"ok\n")
