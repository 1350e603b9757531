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
from collections.abc import Iterable, Iterator
from functools import cache

from blcr.annotations import Self
from blcr.host import runs
from blcr.host.interface import Run
from blcr.host.native import procfs
from blcr.record import Record

PAGEMAP_SCAN = 0xC0606610
"""_IOWR('f', 16, struct pm_scan_arg), 96 bytes."""

PAGE_IS_WRITTEN = 1 << 1
PAGE_IS_FILE = 1 << 2
PAGE_IS_PRESENT = 1 << 3
PAGE_IS_SWAPPED = 1 << 4
PAGE_IS_PFNZERO = 1 << 5
PAGE_IS_HUGE = 1 << 6
PAGE_IS_GUARD = 1 << 8
"""Since Linux 6.15."""

PM_SCAN_WP_MATCHING = 1 << 0
"""Write-protect, and so mark as not written, every page that is found."""
PM_SCAN_CHECK_WPASYNC = 1 << 1
"""EPERM where the kernel does not note what is written."""

_PRESENT = 1 << 63
_SWAPPED = 1 << 62
_FILE_OR_SHARED = 1 << 61
_GUARD = 1 << 58

_HUGE_PAGE_SIZE = "/sys/kernel/mm/transparent_hugepage/hpage_pmd_size"

_ENTRY_SIZE = 8
_ENTRIES = 1 << 16
_ABSENT = bytes(_ENTRIES * _ENTRY_SIZE)

_REGIONS = 4096
_REGION_SIZE = 24
"""struct page_region: start, end, categories."""
_SCAN = struct.Struct("=12Q")
"""
struct pm_scan_arg: its size, flags, start, end, where the walk ended, the vector and
its length, a limit, the masks: inverted, all of these, any of these, to be told.
"""


class Span(Record):
    """
    A part of an address space.

    Attributes:
        anonymous: It has no pages of a file, so that none have to be told from its own;
            that is the most of the work.
    """

    start: int
    end: int
    anonymous: bool = False


class Pagemap:
    """
    The page tables of a process, as it is now: no longer after an execve.

    Raises:
        OSError: From every method: the memory is gone, or cannot be looked at so.
    """

    def __init__(self, pid: int) -> None:
        self._fd = os.open(f"/proc/{pid}/pagemap", os.O_RDONLY | os.O_CLOEXEC)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Give up the descriptor."""
        os.close(self._fd)

    def own(self, span: Span) -> Iterator[Run]:
        """Yield private pages that hold something: neither a file's nor zero."""
        without = _hold_nothing() | (0 if span.anonymous else PAGE_IS_FILE)
        return self._scan(span.start, span.end, without=without)

    def read(self, start: int, end: int) -> Iterator[Run]:
        """
        Yield private pages that hold something, entry by entry of the page table.

        For kernels without PAGEMAP_SCAN; zero pages are among them.
        """
        page = os.sysconf("SC_PAGE_SIZE")
        while start < end:
            count = min((end - start) // page, _ENTRIES)
            data = os.pread(self._fd, count * _ENTRY_SIZE, start // page * _ENTRY_SIZE)
            if not data:
                return
            # Most of what is reserved is not there, and quickly passed over.
            if data != _ABSENT[: len(data)]:
                yield from _present(data, start, page)
            start += len(data) // _ENTRY_SIZE * page

    def written(
        self, start: int, end: int, *, arm: bool = False, small: bool = False
    ) -> list[Run]:
        """
        Return anonymous pages that hold something and were written since armed.

        Args:
            start, end: Of memory in which the kernel notes what is written.
            arm: Mark them as not written, each in the same instant as it is found.
            small: Leave out huge pages, which count as written always so.

        Raises:
            PermissionError: The kernel does not note it somewhere there; what was
                marked in this call is not known.
        """
        without = _hold_nothing() | (PAGE_IS_HUGE if small else 0)
        flags = PM_SCAN_CHECK_WPASYNC | (PM_SCAN_WP_MATCHING if arm else 0)
        return list(runs.join(self._scan(start, end, flags, PAGE_IS_WRITTEN, without)))

    def huge(self, start: int, end: int) -> list[Run]:
        """Return what is in huge pages."""
        return list(runs.join(self._scan(start, end, wanted=PAGE_IS_HUGE)))

    def guards(self, start: int, end: int) -> Iterator[Run]:
        """Yield the pages that MADV_GUARD_INSTALL has made."""
        return self._scan(start, end, wanted=PAGE_IS_GUARD, there=0)

    def _scan(
        self,
        start: int,
        end: int,
        flags: int = 0,
        wanted: int = 0,
        without: int = 0,
        there: int = PAGE_IS_PRESENT | PAGE_IS_SWAPPED,
    ) -> Iterator[Run]:
        """Yield pages of any category in `there`, all wanted, and none of others."""
        regions = array.array("Q", bytes(_REGIONS * _REGION_SIZE))
        while start < end:
            arg = bytearray(
                _SCAN.pack(
                    _SCAN.size,
                    flags,
                    start,
                    end,
                    0,
                    regions.buffer_info()[0],
                    _REGIONS,
                    0,
                    without,
                    wanted | without,
                    there,
                    PAGE_IS_PRESENT,
                )
            )
            count = fcntl.ioctl(self._fd, PAGEMAP_SCAN, arg)
            yield from map(Run, regions[0 : 3 * count : 3], regions[1 : 3 * count : 3])
            if count < _REGIONS:
                return
            # Where the walk ended is not always told: a walk that has filled the
            # kernel's own buffer, and then came to its end, says where that was full.
            start = max(_SCAN.unpack(arg)[4], regions[3 * count - 2])


def huge_page_size() -> int:
    """Return the bytes of a huge page, or 0 where the kernel has none."""
    try:
        with open(_HUGE_PAGE_SIZE) as file:
            return int(file.read())
    except OSError:
        return 0


def guards(pid: int, start: int, end: int) -> Iterator[Run]:
    """
    Yield the pages that MADV_GUARD_INSTALL has made.

    Linux 6.13 and 6.14 have such pages and do not show them.
    """
    if _knows_guards():
        with Pagemap(pid) as pagemap:
            yield from runs.join(pagemap.guards(start, end))


@cache
def _knows_guards() -> bool:
    """Whether this kernel tells which pages are guards."""
    try:
        with Pagemap(os.getpid()) as pagemap:
            list(pagemap.guards(0, os.sysconf("SC_PAGE_SIZE")))
    except OSError as error:
        if error.errno not in (errno.ENOTTY, errno.EINVAL):
            raise
        return False
    return True


def _hold_nothing() -> int:
    """Return the categories of pages that are there without holding anything."""
    return PAGE_IS_PFNZERO | (PAGE_IS_GUARD if _knows_guards() else 0)


def own_pages(
    pid: int, spans: Iterable[Span], mappings: Iterable[tuple[int, int]]
) -> Iterator[Run]:
    """
    Yield the private pages that hold something.

    In order; neighbours are joined, also across the borders of mappings and spans.

    Args:
        pid: Of the process.
        spans: What to look at: the mappings, and what may lie between them.
        mappings: Start and end of each, for kernels that have to be asked page by page.
    """
    with Pagemap(pid) as pagemap:
        try:
            yield from runs.join(run for span in spans for run in pagemap.own(span))
        except OSError as error:
            # ENOTTY before Linux 6.7.
            if error.errno not in (errno.ENOTTY, errno.EINVAL):
                raise
            # Of what is reserved, terabytes perhaps, every page would be read.
            held = procfs.holding(pid)
            yield from runs.join(
                run
                for start, end in mappings
                if start in held
                for run in pagemap.read(start, end)
            )


def _present(data: bytes, start: int, page: int) -> Iterator[Run]:
    """Yield pages that hold something among entries of the page table."""
    first: int | None = None
    entries = array.array("Q", data)
    for i, entry in enumerate(entries):
        own = entry & (_PRESENT | _SWAPPED) and not entry & (_FILE_OR_SHARED | _GUARD)
        if own and first is None:
            first = i
        elif not own and first is not None:
            yield Run(start + first * page, start + i * page)
            first = None
    if first is not None:
        yield Run(start + first * page, start + len(entries) * page)
