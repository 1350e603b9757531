"""Kernels that lack newer facilities, as far as this one can play them."""

from __future__ import annotations

import errno
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
