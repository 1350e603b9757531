"""Kernels that lack newer facilities, as far as this one can play them."""

from __future__ import annotations

import ctypes
import errno
import mmap
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from blcr.host.interface import Run
from blcr.host.native import pagemap
from harness import checkpointer, seeds
from harness.programs import SOURCES, build
from harness.subject import Subject

MAP_NORESERVE = 0x4000
"""Source: asm-generic/mman.h."""

MEMORY = sorted(
    path.stem
    for pattern in ("heap_*", "mapping*", "memory_*", "stack_*")
    for path in SOURCES.glob(f"{pattern}.c")
)

GUARDS = {"memory_guarded"}
"""Kernels that do not tell of guard pages have none."""


@pytest.mark.parametrize(
    "program", seeds.sample("pagemap", [n for n in MEMORY if n not in GUARDS], 8)
)
def test_without_pagemap_scan(program: str, home: Path) -> None:
    """Before Linux 6.7 the page table is read, and every page found."""

    def refused(*_: object, **__: int) -> Iterator[Run]:
        raise OSError(errno.ENOTTY, os.strerror(errno.ENOTTY))

    def hook(request: checkpointer.Request) -> checkpointer.Request:
        pagemap._knows_guards.cache_clear()
        pagemap.Pagemap._scan = refused  # type: ignore[method-assign, assignment]
        return request

    with Subject([build(program)], cwd=home) as subject:
        subject.ready()
        context = home / "context"
        child = checkpointer.fork_checkpoint(
            subject.pid, context, hook, signal=signal.SIGKILL
        )
        assert checkpointer.wait(child) == checkpointer.THROUGH
        subject.bury()
        subject.restart(context)
        subject.tell()
        assert subject.finish().endswith(b"ok\n")


def test_what_is_only_reserved_is_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the scan terabytes that hold nothing are passed over."""

    def refused(*_: object, **__: int) -> Iterator[Run]:
        raise OSError(errno.ENOTTY, os.strerror(errno.ENOTTY))

    monkeypatch.setattr(pagemap.Pagemap, "_scan", refused)
    size = 1 << 40
    flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | MAP_NORESERVE
    with mmap.mmap(-1, size, flags) as reserved, mmap.mmap(-1, 1 << 20) as used:
        used[0] = 1
        # The kernel joins it with no neighbour that has not been told so.
        reserved.madvise(mmap.MADV_DONTDUMP)
        borders = [_border(reserved), _border(used)]
        asked = []
        read = pagemap.Pagemap.read

        def noted(self: pagemap.Pagemap, start: int, end: int) -> Iterator[Run]:
            asked.append((start, end))
            return read(self, start, end)

        monkeypatch.setattr(pagemap.Pagemap, "read", noted)
        span = pagemap.Span(borders[0][0], borders[0][1])
        list(pagemap.own_pages(os.getpid(), [span], borders))

    assert asked == [borders[1]]


def _border(memory: mmap.mmap) -> tuple[int, int]:
    """Return start and end of a mapping of our own."""
    start = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    return start, start + len(memory)
