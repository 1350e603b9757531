"""Which pages of a process hold something, where there are many runs of them."""

from __future__ import annotations

import ctypes
import mmap
import os

from blcr.host.interface import Run
from blcr.host.native import pagemap

PAGE = mmap.PAGESIZE
COUNT = 10_000
"""More runs than the kernel's own buffer and one request take."""


def test_each_run_is_found_once() -> None:
    """Every second page of a mapping is a run of its own, and found in order."""
    with mmap.mmap(-1, 2 * COUNT * PAGE, flags=mmap.MAP_PRIVATE) as memory:
        memory.madvise(mmap.MADV_NOHUGEPAGE)
        for at in range(0, 2 * COUNT * PAGE, 2 * PAGE):
            memory[at] = 1
        view = (ctypes.c_char * len(memory)).from_buffer(memory)
        start = ctypes.addressof(view)
        del view

        for anonymous in (True, False):
            span = pagemap.Span(start, start + len(memory), anonymous=anonymous)
            borders = [(span.start, span.end)]
            found = list(pagemap.own_pages(os.getpid(), [span], borders))

            assert found == [
                Run(at, at + PAGE) for at in range(start, start + len(memory), 2 * PAGE)
            ]
