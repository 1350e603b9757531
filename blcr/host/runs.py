"""
Sets of pages and parts of files, as runs: in order of address, apart from each other.

What takes runs takes any sequence of them; what gives them gives lists.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable, Iterator, Sequence

from blcr.host.interface import Run


def data_of(fd: int, size: int) -> list[Run]:
    """
    Return where a file of so many bytes is not a hole; that moves the offset.

    Source: lseek(2) for SEEK_DATA.
    """
    found = []
    at = 0
    while at < size:
        try:
            start = os.lseek(fd, at, os.SEEK_DATA)
            at = os.lseek(fd, start, os.SEEK_HOLE)
        except OSError as error:
            if error.errno == errno.ENXIO:
                break
            raise
        found.append(Run(start, min(at, size)))
    return found


def size(runs: Iterable[Run]) -> int:
    """Return the bytes in all."""
    return sum(end - start for start, end in runs)


def join(runs: Iterable[Run], gap: int = 0) -> Iterator[Run]:
    """Yield runs in order with those joined that are no more than `gap` bytes apart."""
    first = last = -1
    for start, end in runs:
        if first < 0:
            first = start
        elif start - last > gap:
            yield Run(first, last)
            first = start
        last = end
    if first >= 0:
        yield Run(first, last)


def common(some: Sequence[Run], others: Sequence[Run]) -> list[Run]:
    """Return what is in both."""
    found = []
    i = k = 0
    while i < len(some) and k < len(others):
        start = max(some[i].start, others[k].start)
        end = min(some[i].end, others[k].end)
        if start < end:
            found.append(Run(start, end))
        if some[i].end < others[k].end:
            i += 1
        else:
            k += 1
    return found


def without(some: Sequence[Run], others: Sequence[Run]) -> list[Run]:
    """Return what is in the first, but not in the second."""
    found = []
    k = 0
    for start, end in some:
        while k < len(others) and others[k].end <= start:
            k += 1
        at = k
        while at < len(others) and others[at].start < end:
            if start < others[at].start:
                found.append(Run(start, others[at].start))
            start = others[at].end
            at += 1
        if start < end:
            found.append(Run(start, end))
    return found


def union(some: Sequence[Run], others: Sequence[Run]) -> list[Run]:
    """Return what is in one of them, or in both."""
    merged: list[Run] = []
    for run in sorted([*some, *others]):
        if merged and run.start <= merged[-1].end:
            merged[-1] = Run(merged[-1].start, max(merged[-1].end, run.end))
        else:
            merged.append(run)
    return merged
