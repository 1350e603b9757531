"""
Which pages of a process hold data of their own.

Source: ioctl PAGEMAP_SCAN and /proc/PID/pagemap,
Documentation/admin-guide/mm/pagemap.rst, include/uapi/linux/fs.h, Linux 6.7.
"""

from __future__ import annotations

import array
import errno
import fcntl
import os
import struct
from collections.abc import Iterator
from functools import cache

from blcr.host.interface import Run

PAGEMAP_SCAN = 0xC0606610
"""_IOWR('f', 16, struct pm_scan_arg), 96 bytes."""

PAGE_IS_FILE = 1 << 2
PAGE_IS_PRESENT = 1 << 3
PAGE_IS_SWAPPED = 1 << 4
PAGE_IS_PFNZERO = 1 << 5
PAGE_IS_GUARD = 1 << 8
"""Since Linux 6.15."""

_PRESENT = 1 << 63
_SWAPPED = 1 << 62
_FILE_OR_SHARED = 1 << 61
_GUARD = 1 << 58

_REGIONS = 1024
_REGION_SIZE = 24


def own_pages(pid: int, start: int, end: int) -> Iterator[Run]:
    """
    Yield the private pages in a range that were written: neither a file's nor zero.

    In order; neighbours are joined, also across the borders of mappings.
    """
    fd = os.open(f"/proc/{pid}/pagemap", os.O_RDONLY | os.O_CLOEXEC)
    try:
        yield from _join(_scan(fd, start, end))
    except OSError as error:
        # ENOTTY before Linux 6.7.
        if error.errno not in (errno.ENOTTY, errno.EINVAL):
            raise
        yield from _join(_read(fd, start, end))
    finally:
        os.close(fd)


def guards(pid: int, start: int, end: int) -> Iterator[Run]:
    """
    Yield the pages that MADV_GUARD_INSTALL has made.

    Linux 6.13 and 6.14 have such pages and do not show them.
    """
    if not _knows_guards():
        return
    fd = os.open(f"/proc/{pid}/pagemap", os.O_RDONLY | os.O_CLOEXEC)
    try:
        yield from _join(_regions(fd, start, end, 0, PAGE_IS_GUARD, 0))
    finally:
        os.close(fd)


@cache
def _knows_guards() -> bool:
    """Whether this kernel tells which pages are guards."""
    fd = os.open("/proc/self/pagemap", os.O_RDONLY | os.O_CLOEXEC)
    try:
        list(_regions(fd, 0, os.sysconf("SC_PAGE_SIZE"), 0, PAGE_IS_GUARD, 0))
    except OSError as error:
        if error.errno not in (errno.ENOTTY, errno.EINVAL):
            raise
        return False
    finally:
        os.close(fd)
    return True


def _join(runs: Iterator[Run]) -> Iterator[Run]:
    """Join runs that touch."""
    last: Run | None = None
    for run in runs:
        if last and last.end == run.start:
            last = Run(last.start, run.end)
            continue
        if last:
            yield last
        last = run
    if last:
        yield last


def _scan(fd: int, start: int, end: int) -> Iterator[Run]:
    """Ask the kernel to walk the page tables."""
    excluded = PAGE_IS_FILE | PAGE_IS_PFNZERO
    if _knows_guards():
        excluded |= PAGE_IS_GUARD
    wanted = PAGE_IS_PRESENT | PAGE_IS_SWAPPED
    return _regions(fd, start, end, excluded, 0, wanted)


def _regions(
    fd: int, start: int, end: int, excluded: int, needed: int, wanted: int
) -> Iterator[Run]:
    """Yield pages of none of the excluded, all needed, and any wanted categories."""
    regions = array.array("Q", bytes(_REGIONS * _REGION_SIZE))
    while start < end:
        arg = bytearray(
            struct.pack(
                "12Q",
                96,
                0,
                start,
                end,
                0,
                regions.buffer_info()[0],
                _REGIONS,
                0,
                excluded,
                excluded | needed,
                wanted,
                0,
            )
        )
        count = fcntl.ioctl(fd, PAGEMAP_SCAN, arg)
        for i in range(count):
            yield Run(regions[3 * i], regions[3 * i + 1])
        start = struct.unpack_from("Q", arg, 32)[0]


def _read(fd: int, start: int, end: int) -> Iterator[Run]:
    """Read the page table entry by entry, as older kernels show it."""
    page = os.sysconf("SC_PAGE_SIZE")
    at = start
    while at < end:
        count = min((end - at) // page, 1 << 16)
        entries = array.array("Q")
        entries.frombytes(os.pread(fd, count * 8, at // page * 8))
        if not entries:
            return
        first: int | None = None
        for i, entry in enumerate(entries):
            own = (
                entry & (_PRESENT | _SWAPPED)
                and not entry & _FILE_OR_SHARED
                and not entry & _GUARD
            )
            if own and first is None:
                first = i
            elif not own and first is not None:
                yield Run(at + first * page, at + i * page)
                first = None
        if first is not None:
            yield Run(at + first * page, at + len(entries) * page)
        at += len(entries) * page
