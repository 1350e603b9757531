"""
The contents of files without a name: memory files, deleted ones, shared memory.

Page tables are not the truth about them: what another process has written, or write(2),
shows in no table.  So they are read through a descriptor: the process's own, or that
of ``/proc/PID/map_files``, which takes a privilege.  Where there is neither, what the
process has mapped is all that anybody can reach, and is read there.

Source: proc_pid_map_files(5), lseek(2) for SEEK_DATA, F_GET_SEALS(2const).
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
from collections.abc import Iterator, Sequence
from functools import cached_property

from blcr.context import records
from blcr.errors import HostError, TaskGoneError
from blcr.host.interface import Identity, Run
from blcr.host.native import procfs
from blcr.host.native.memory import AccessError, Memory
from blcr.host.runs import data_of

_F_GET_SEALS = 1034


class Objects:
    """
    Those of one process; what is opened stays so until `close`.

    Args:
        pid: The process, stopped.
        memory: Its address space.
        ranges: What is mapped there.
    """

    def __init__(
        self, pid: int, memory: Memory, ranges: Sequence[procfs.Range]
    ) -> None:
        self._pid = pid
        self._memory = memory
        self._views: dict[Identity, list[procfs.Range]] = {}
        for part in ranges:
            self._views.setdefault((part.device, part.inode), []).append(part)
        self._opened: dict[Identity, int] = {}

    def close(self) -> None:
        """Give up the descriptors."""
        for fd in self._opened.values():
            if fd >= 0:
                os.close(fd)
        self._opened = {}

    def facts(self, identity: Identity) -> tuple[records.SharedMemory, list[Run]]:
        """Return size, permissions and seals of a file, and where it holds data."""
        fd = self._open(identity)
        if fd < 0:
            runs = list(self._mapped(identity))
            size = max((run.end for run in runs), default=0)
            return records.SharedMemory(size, ()), runs
        found = os.fstat(fd)
        record = records.SharedMemory(
            found.st_size,
            (),
            mode=found.st_mode,
            seals=_seals(fd),
            huge_page=_huge_page(fd),
        )
        return record, data_of(fd, found.st_size)

    def read(self, identity: Identity, offset: int, buffer: memoryview) -> None:
        """Read bytes of a file."""
        fd = self._open(identity)
        if fd < 0:
            part = next(
                one
                for one in self._views[identity]
                if one.offset <= offset < one.offset + one.end - one.start
            )
            self._memory.read_into(part.start + offset - part.offset, buffer)
            return
        while buffer:
            count = os.preadv(fd, [buffer], offset)
            if not count:
                raise TaskGoneError(f"process {self._pid}: a file of it has shrunk")
            offset, buffer = offset + count, buffer[count:]

    def _open(self, identity: Identity) -> int:
        """Return a descriptor that reads the file; -1: there is none to be had."""
        if identity not in self._opened:
            self._opened[identity] = next(self._candidates(identity), -1)
        return self._opened[identity]

    @cached_property
    def _held(self) -> dict[Identity, list[str]]:
        """Where the process's own descriptors of each regular file are found."""
        held: dict[Identity, list[str]] = {}
        for fd in procfs.descriptor_numbers(self._pid):
            path = f"/proc/{self._pid}/fd/{fd}"
            if identity := _identity(path):
                held.setdefault(identity, []).append(path)
        return held

    def _candidates(self, identity: Identity) -> Iterator[int]:
        """Yield descriptors of the file."""
        for path in self._held.get(identity, ()):
            if (ours := _opened(path)) >= 0:
                yield ours
        for part in self._views.get(identity, ()):
            path = f"/proc/{self._pid}/root{part.path}"
            if _identity(path) == identity and (ours := _opened(path)) >= 0:
                yield ours
            name = f"{part.start:x}-{part.end:x}"
            if (ours := _opened(f"/proc/{self._pid}/map_files/{name}")) >= 0:
                yield ours

    def _mapped(self, identity: Identity) -> Iterator[Run]:
        """Yield the parts of a file that the process has mapped, each once."""
        at = 0
        for part in sorted(self._views[identity], key=lambda one: one.offset):
            end = readable_end(self._memory, part.start, part.end)
            start, stop = part.offset, part.offset + end - part.start
            if stop > max(at, start):
                yield Run(max(at, start), stop)
            at = max(at, stop)


def readable_end(memory: Memory, start: int, end: int) -> int:
    """Return where, from `start` to `end`, a mapping has no file behind it any more."""
    page = os.sysconf("SC_PAGE_SIZE")
    low, high = 0, (end - start) // page
    while low < high:
        middle = (low + high + 1) // 2
        try:
            memory.read(start + (middle - 1) * page, 1)
            low = middle
        except AccessError as error:
            if error.errno not in (errno.EIO, errno.EFAULT):
                raise
            high = middle - 1
    return start + low * page


def _identity(path: str) -> Identity | None:
    """Return which file a descriptor refers to."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    if not stat.S_ISREG(found.st_mode):
        return None
    return (os.major(found.st_dev), os.minor(found.st_dev)), found.st_ino


def _opened(path: str) -> int:
    """
    Return a descriptor of our own of a file; -1: it may not be opened.

    Raises:
        HostError: We have too many.
    """
    try:
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        if error.errno in (errno.EMFILE, errno.ENFILE):
            raise HostError(
                "more files have to be open at once than are allowed here; raise the "
                "limit (ulimit -n)"
            ) from error
        return -1


def _seals(fd: int) -> int:
    """Return ``F_SEAL_*``; files of most kinds have none."""
    try:
        return fcntl.fcntl(fd, _F_GET_SEALS)
    except OSError:
        return 0


def _huge_page(fd: int) -> int:
    """Return the bytes of a huge page where a memory file consists of such, or 0."""
    if not os.readlink(f"/proc/self/fd/{fd}").startswith("/memfd:"):
        return 0
    size = os.fstatvfs(fd).f_bsize
    return size if size > os.sysconf("SC_PAGE_SIZE") else 0
