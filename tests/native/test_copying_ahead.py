"""
Pages copied while the program runs: nothing stale is saved, and no harm is done.

The programs write all the time, and know of each page what has to be in it.
"""

from __future__ import annotations

import json
import os
import resource
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import blcr
from blcr.errors import NotTrackableError
from blcr.host import runs
from blcr.host.native import tracking
from blcr.host.native.host import HOST
from harness import checkpointer, commands, outside, seeds
from harness.programs import build
from harness.subject import Subject

FOLDER = Path(__file__).parent
MIB = 64
ROUNDS = 10 if seeds.FULL else 2
EVERY_USER = pytest.mark.parametrize("user_name", list(commands.users()), indirect=True)


@pytest.fixture
def variant() -> str:
    """How the program is built, unless a test says otherwise."""
    return "dynamic"


@pytest.fixture
def busy(way: str, variant: str, user: int | None, home: Path) -> Iterator[Subject]:
    """A program that writes in some way, and goes on."""
    program = build("memory_busy", variant, FOLDER)
    with Subject([program, way, str(MIB)], cwd=home, user=user) as subject:
        subject.expect(b"ready\n")
        yield subject


@pytest.fixture
def user_name() -> str:
    """Whoever runs the tests, unless a test says otherwise."""
    return next(iter(commands.users()))


def _checkpoint(subject: Subject) -> tuple[Path, dict[str, Any]]:
    """Save a program that runs on; return the context and the figures."""
    path = subject.next_context()
    options = ("--json", "--nosync", "--pid", "-f", path, str(subject.pid))
    done = commands.call("checkpoint", *options, user=subject.user, cwd=subject.cwd)
    assert done.returncode == 0, done.stderr
    return path, json.loads(done.stdout)


def _restarted(path: Path, subject: Subject) -> str:
    """Restart a program that has ended; return what it says."""
    args = commands.argv("restart", path, user=subject.user)
    with Subject(args, cwd=subject.cwd, user=subject.user) as copy:
        return _verdict(copy)


def _verdict(subject: Subject) -> str:
    """Tell the program to look at everything; return what it says."""
    subject.tell()
    return subject.finish().split(b"\n")[-2].decode()


@EVERY_USER
@pytest.mark.parametrize("way", ["write", "map", "fork", "huge"])
def test_nothing_stale_is_saved(way: str, busy: Subject) -> None:
    """Contexts of a program that writes all the time show it as it was at one time."""
    del way
    contexts = []
    for _ in range(ROUNDS):
        path, result = _checkpoint(busy)
        contexts.append(path)
        assert (result["copied"], result["reason"]) == ("ahead", "")

    assert _verdict(busy) == "ok"
    assert [_restarted(path, busy) for path in contexts] == ["ok"] * ROUNDS


@pytest.mark.parametrize(("way", "variant"), [("write", "m32"), ("map", "static")])
def test_nothing_stale_of_other_programs(way: str, variant: str, busy: Subject) -> None:
    """The same of 32-bit programs, and of static ones."""
    del way, variant
    path, result = _checkpoint(busy)

    assert result["copied"] == "ahead"
    assert _verdict(busy) == "ok"
    assert _restarted(path, busy) == "ok"


@pytest.mark.parametrize("way", ["direct"])
def test_what_devices_write_is_not_stale(
    way: str, busy: Subject, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Reads past the page cache, into pages being copied, are not lost either."""
    del way
    monkeypatch.setattr(tracking, "_pins", lambda _pid, _fd: "")
    contexts = [busy.next_context() for _ in range(3 * ROUNDS)]
    ways = {blcr.checkpoint(busy.pid, path, sync=False).copied for path in contexts}

    assert ways == {"ahead"}
    assert _verdict(busy) == "ok"
    assert {_restarted(path, busy) for path in contexts} == {"ok"}


@pytest.mark.parametrize(
    ("way", "reason"),
    [
        ("aio", "it uses Linux AIO"),
        ("userfaultfd", "it uses userfaultfd itself"),
    ],
)
def test_what_writes_unnoticed_is_not_tracked(
    way: str, reason: str, busy: Subject
) -> None:
    """Where something else may write to its memory, a program is not tracked."""
    del way
    before = outside.view(busy.pid)

    with (
        pytest.raises(NotTrackableError, match=reason),
        HOST.track(busy.pid, timeout_s=10),
    ):
        pass

    assert outside.differences(before, outside.view(busy.pid)) == []
    assert _verdict(busy) == "ok"


@pytest.mark.skipif(
    0 <= resource.getrlimit(resource.RLIMIT_MEMLOCK)[1] < MIB << 20,
    reason="not applicable: so much memory may not be locked here",
)
@pytest.mark.parametrize("way", ["locked"])
def test_locked_memory_is_left_alone(way: str, busy: Subject) -> None:
    """Locked memory is not among what is copied ahead: its owner wants no faults."""
    del way

    with HOST.track(busy.pid, timeout_s=10) as noted:
        written = noted.written()

    assert runs.size(written) < MIB << 19
    assert _verdict(busy) == "ok"


def test_direct_descriptors_are_seen(home: Path) -> None:
    """A descriptor with O_DIRECT rules copying ahead out, an ordinary one does not."""
    found = []
    for flags in (os.O_DIRECT, 0):
        fd = os.open(home / "file", os.O_RDWR | os.O_CREAT | flags)
        found.append(tracking._pins(os.getpid(), fd))
        os.close(fd)

    assert found == [f"it has '{home / 'file'}' open with O_DIRECT", ""]


@EVERY_USER
@pytest.mark.parametrize("way", ["write"])
def test_program_is_as_before(way: str, busy: Subject) -> None:
    """Afterwards nothing is left: no flag of a mapping, no descriptor, no thread."""
    del way
    before, flags = outside.view(busy.pid), _flags(busy.pid)

    _checkpoint(busy)

    assert outside.differences(before, outside.view(busy.pid)) == []
    assert _flags(busy.pid) == flags
    assert _verdict(busy) == "ok"


@pytest.mark.parametrize("way", ["huge"])
def test_huge_pages_are_put_together_again(way: str, busy: Subject) -> None:
    """Pages that were split by being noted are huge again."""
    del way
    before = _in_huge_pages(busy.pid)
    assert before > 0

    _checkpoint(busy)

    assert _in_huge_pages(busy.pid) == before
    assert _verdict(busy) == "ok"


@pytest.mark.parametrize("way", ["write"])
def test_killed_at_every_step(way: str, busy: Subject, home: Path) -> None:
    """SIGKILL before the n-th ptrace request, for every n, leaves the program as is."""
    chance = seeds.generator("ahead steps", way)
    before, flags = outside.view(busy.pid), _flags(busy.pid)
    status, n = checkpointer.KILLED, 0

    while status == checkpointer.KILLED:
        n = checkpointer.next_step(n, chance)
        hook = checkpointer.die_at(n)
        child = checkpointer.fork_checkpoint(busy.pid, home / "context", hook)
        status = checkpointer.wait(child)
        outside.wait_until(lambda: _is_unchanged(busy, before), f"step {n}")

    assert status == checkpointer.THROUGH
    assert n > checkpointer.EVERY_STEP_UP_TO
    assert _flags(busy.pid) == flags
    assert _verdict(busy) == "ok"


@EVERY_USER
@pytest.mark.parametrize("way", ["write", "map"])
def test_killed_at_random_instants(way: str, busy: Subject, home: Path) -> None:
    """SIGKILL at random instants changes no result."""
    chance = seeds.generator("ahead kill", way)
    before = outside.view(busy.pid)

    for _ in range(5 * ROUNDS):
        checkpointer.kill_at_random(busy.pid, home / "context", chance, 0.3)

    if way == "write":
        outside.wait_until(lambda: _is_unchanged(busy, before), "unchanged")
    assert _verdict(busy) == "ok"


@pytest.mark.parametrize("way", ["write"])
def test_stopped_program_is_copied_at_once(way: str, busy: Subject) -> None:
    """A stopped program writes nothing, and is copied in one go."""
    del way
    busy.command.send_signal(signal.SIGSTOP)
    outside.wait_until(
        lambda: outside.status_of(busy.pid)["State"][0] == "T", "stopped"
    )

    _, result = _checkpoint(busy)
    busy.command.send_signal(signal.SIGCONT)

    assert (result["copied"], len(result["stops_ms"])) == ("frozen", 1)
    assert _verdict(busy) == "ok"


def _is_unchanged(subject: Subject, before: outside.View) -> bool:
    """Tell whether the program looks as before, and nobody traces it."""
    if outside.is_traced(subject.pid):
        return False
    return outside.differences(before, outside.view(subject.pid)) == []


def _flags(pid: int) -> list[str]:
    """Return the mappings with their flags."""
    lines = (outside.PROC / str(pid) / "smaps").read_text().splitlines()
    heads = [line for line in lines if not line.split()[0].endswith(":")]
    flags = [line for line in lines if line.startswith("VmFlags")]
    return [f"{head} {flag}" for head, flag in zip(heads, flags, strict=True)]


def _in_huge_pages(pid: int) -> int:
    """Return the KiB of a process that are in huge pages."""
    text = (outside.PROC / str(pid) / "smaps_rollup").read_text()
    row = next(line for line in text.splitlines() if line.startswith("AnonHugePages"))
    return int(row.split()[1])
