"""Memory of a restarted program, whichever way it is filled."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from blcr.host.native import filling, pagemap, userfaultfd
from harness import checkpointer, commands, outside
from harness.checkpointer import FAILED_WELL, THROUGH
from harness.programs import available, build
from harness.subject import Subject

PROGRAM = "memory_large"

EVERY_USER = pytest.mark.parametrize("user_name", list(commands.users()), indirect=True)
VARIANTS = [
    pytest.param(
        name,
        marks=pytest.mark.skipif(
            not available(name), reason=f"not applicable: no compiler for {name}"
        ),
    )
    for name in ("dynamic", "m32")
]

Patch = Callable[[], None]


def _flags(pid: int) -> list[tuple[str, str, str]]:
    """
    Return start, end and ``VmFlags`` of mappings; equal neighbours are one.

    Without ``ac``: what is mapped read-only is accounted for when it is made writable.
    """
    found: list[tuple[str, str, str]] = []
    start = end = ""
    for line in (outside.PROC / str(pid) / "smaps").read_text().splitlines():
        word, _, rest = line.partition(" ")
        if not word.endswith(":"):
            start, end = word.split("-")
        elif word == "VmFlags:":
            rest = rest.replace(" ac ", " ")
            if found and found[-1][1:] == (start, rest):
                start = found.pop()[0]
            found.append((start, end, rest))
    return found


@EVERY_USER
@pytest.mark.parametrize("variant", VARIANTS)
def test_nothing_but_the_pages_is_left(
    variant: str, user: int | None, home: Path
) -> None:
    """Every byte is back; mappings, their flags and descriptors are as before."""
    with Subject([build(PROGRAM, variant)], cwd=home, user=user) as subject:
        subject.ready()
        before, flags = outside.view(subject.pid), _flags(subject.pid)
        subject.restart(subject.checkpoint_and_kill())

        assert not outside.differences(before, outside.view(subject.pid))
        assert _flags(subject.pid) == flags
        subject.tell()
        assert subject.finish().endswith(b"ok\n")


@pytest.fixture(params=VARIANTS)
def context(request: pytest.FixtureRequest, home: Path) -> Path:
    """The context of a program that waits to be told."""
    with Subject([build(PROGRAM, request.param)], cwd=home) as subject:
        subject.ready()
        return subject.checkpoint_and_kill()


def _restart(context: Path, patch: Patch) -> int:
    """Restart with a patch; how it ended."""
    return checkpointer.wait(checkpointer.fork_restart(context, patch))


def _none_is_copied() -> None:
    """Let it be an error to copy pages or to move them."""

    def fail(*_: object) -> tuple[int, int]:
        raise AssertionError("not this way")

    filling._Filler._copy_pages = fail  # type: ignore[method-assign, assignment]
    filling._Filler._move_pages = fail  # type: ignore[method-assign, assignment]


def _no_userfaultfd() -> None:
    """A kernel that does not hand out descriptors."""
    userfaultfd.taken = lambda pid, fd, flags=0: -1  # noqa: ARG005
    _none_is_copied()


def _no_registering() -> None:
    """A kernel that refuses every request of userfaultfd."""
    userfaultfd.control = lambda fd, code, *words: False  # noqa: ARG005
    _none_is_copied()


def _no_huge_pages() -> None:
    """A kernel without huge pages."""
    pagemap.huge_page_size = lambda: 0


def _no_moving() -> None:
    """A kernel before UFFDIO_MOVE."""
    userfaultfd.UFFDIO_MOVE = 0xC028AA3E


def _little_by_little() -> None:
    """A kernel that moves and copies one page at a time and then asks again."""
    copy = filling._Filler._copy_pages

    def one(self: filling._Filler, to: int, size: int) -> tuple[int, int]:
        return copy(self, to, min(size, 4096))[0], errno.EAGAIN

    filling._Filler._copy_pages = one  # type: ignore[method-assign]


def _moving_breaks_off() -> None:
    """A kernel that moves once and then no more."""
    move, times = filling._Filler._move_pages, []

    def once(self: filling._Filler, to: int, at: int, size: int) -> tuple[int, int]:
        times.append(to)
        if len(times) > 1:
            return 0, errno.EBUSY
        return move(self, to, at, min(size, 2 << 20))[0], errno.EAGAIN

    filling._Filler._move_pages = once  # type: ignore[method-assign, assignment]


@pytest.mark.parametrize(
    "patch",
    [
        _no_userfaultfd,
        _no_registering,
        _no_huge_pages,
        _no_moving,
        _little_by_little,
        _moving_breaks_off,
    ],
)
def test_every_way(context: Path, patch: Patch) -> None:
    """Where a way is not to be had, or ends midway, another gives the same bytes."""
    assert _restart(context, patch) == THROUGH


def test_failure_leaves_nothing(context: Path) -> None:
    """When filling fails midway the message says why, and no process is left."""
    before = set(outside.descendants(os.getpid()))

    def no_memory() -> None:
        copy, times = filling._Filler._copy_pages, []

        def twice(self: filling._Filler, to: int, size: int) -> tuple[int, int]:
            times.append(to)
            return copy(self, to, size) if len(times) < 3 else (0, errno.ENOMEM)

        filling._Filler._copy_pages = twice  # type: ignore[method-assign]

    assert _restart(context, no_memory) == FAILED_WELL

    def gone() -> bool:
        return (
            not {pid for pid in outside.descendants(os.getpid()) if outside.exists(pid)}
            - before
        )

    outside.wait_until(gone, "nobody left", timeout_s=5)
