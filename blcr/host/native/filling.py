"""
Filling the memory of a process that is being made, fast.

`fill` chooses the way, mapping by mapping.  From the fastest on:

1. Whole huge pages of private anonymous memory: the process reads them into huge
   pages beside its mapping, which UFFDIO_MOVE puts into their place.  The mapping does
   not have to be marked for huge pages, a mark that could not be taken off again.
2. The rest of such a mapping, all of it where there are no huge pages to be had (or
   moved, before Linux 6.8) or the program did not want any: UFFDIO_COPY, which spares
   the kernel page faults and zeros that are overwritten.
3. Large parts of other private memory that is writable, or of any where there is no
   userfaultfd: the process reads them itself.
4. All else is written through ``/proc/PID/mem``, whatever its protection.

The disk is read once, by whoever checks the context: two readers at the same place of a
file are slower than one.  So nothing is read here before the checking is behind it.

A mapping is registered as a whole and not in parts: a part that gets its first pages
while it is registered would stay a mapping of its own.

Source: userfaultfd(2), UFFDIO_COPY(2const), UFFDIO_MOVE(2const), pidfd_getfd(2);
include/uapi/linux/userfaultfd.h, Linux 6.12.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import mmap
import os
import struct
from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence

from blcr import remote
from blcr.context import records
from blcr.errors import RemoteCallError, RestartError
from blcr.host.native import pagemap, procfs, userfaultfd
from blcr.host.native.process import NativeProcess
from blcr.linux import constants

Piece = tuple[int, int, int]
"""Pages in a context: offset in the file, address, size."""

_READ_WRITE = 3
_DIRECT = 64 << 10
"""Bytes of a part from which on the process reads it itself."""
_WATCHED = 1 << 20
"""Bytes of a mapping to be filled from which on registering it is worth its calls."""
_CHUNK = 256 << 10
"""Bytes to copy at once: they stay in the CPU's cache between reading and copying."""
_STAGE = 32 << 20
"""Bytes that the process reads at once, and of huge pages to be moved at once."""

_DONTWAKE = 1
_TRANSFER = struct.Struct("=4Qq")
"""struct uffdio_copy and uffdio_move: to, from, size, mode; bytes done or an error."""

_LOW = 1 << 30
"""An address that every process has, and that is rarely taken."""

_libc = ctypes.CDLL(None, use_errno=True)
_libc.mmap.restype = ctypes.c_void_p


def fill(
    process: NativeProcess,
    source: int,
    fd: int,
    mappings: Sequence[records.Mapping],
    pieces: Iterable[Piece],
    wait: Callable[[int], None],
) -> None:
    """
    Copy in parts of the context.

    Args:
        process: Stopped; calls in its name can be made.
        source: The context's descriptor in it; -1: none.
        fd: The context's descriptor here.
        mappings: Of the process, in order of address.
        pieces: None of them crosses the end of a mapping.
        wait: See `blcr.host.interface.NewProcess.fill`.

    Raises:
        RestartError: The context is too short.
        OSError: The kernel refused; a part of the memory is filled.
    """
    starts = [mapping.start for mapping in mappings]
    private = [not mapping.shared and mapping.protection & 2 for mapping in mappings]

    def home(piece: Piece) -> int:
        """Return the index of the writable private mapping that it is for, or -1."""
        at = bisect_right(starts, piece[1]) - 1
        inside = at >= 0 and piece[1] + piece[2] <= mappings[at].end
        return at if inside and private[at] else -1

    # As they lie in the file, which is read from the beginning to the end.
    groups: dict[int, list[Piece]] = {}
    for piece in sorted(pieces):
        groups.setdefault(home(piece), []).append(piece)
    with _Filler(process, source, fd, wait) as filler:
        for at, inside in groups.items():
            large = sum(size for _, _, size in inside) >= _WATCHED
            if large and at >= 0 and filler.watch(mappings[at]):
                for piece in inside:
                    filler.place(*piece)
                filler.unwatch(mappings[at])
                continue
            for piece in inside:
                if at >= 0 and source >= 0 and piece[2] >= _DIRECT:
                    filler.have_read(*piece)
                else:
                    filler.write(*piece)


class _Filler:
    """The ways to fill memory; what one needs is made when it is used first."""

    def __init__(
        self,
        process: NativeProcess,
        source: int,
        fd: int,
        wait: Callable[[int], None],
    ) -> None:
        self._process = process
        self._task = process.tasks[0]
        self._source = source
        self._fd = fd
        self._wait = wait
        self._address = _low_memory(_CHUNK)
        room = (ctypes.c_char * _CHUNK).from_address(self._address)
        self._view = memoryview(room).cast("B")
        self._watching: _Userfaultfd | None = None
        self._stage: _Stage | None = None
        self._huge = 0

    def __enter__(self) -> _Filler:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        _libc.munmap(ctypes.c_void_p(self._address), ctypes.c_size_t(_CHUNK))
        if self._watching:
            self._watching.close(in_process=kind is None)
        if self._stage and kind is None:
            self._stage.close()

    # Through /proc, and by the process itself.

    def write(self, offset: int, address: int, size: int) -> None:
        """Write a piece, whatever the protection of its pages."""
        end = address + size
        while address < end:
            part = self._read(offset, end - address)
            self._process.memory.write(address, part)
            offset, address = offset + len(part), address + len(part)

    def have_read(self, offset: int, address: int, size: int) -> None:
        """Have the process read a piece."""
        while size:
            part = min(size, _STAGE)
            self._wait(offset + part)
            at = remote.halves(self._process.arch, offset)
            done = self._task.call("pread64", self._source, address, part, *at)
            if not done:
                raise self._too_short()
            offset, address, size = offset + done, address + done, size - done

    def _read(self, offset: int, size: int) -> memoryview:
        """Return some bytes of the context, in the buffer."""
        size = min(size, _CHUNK)
        self._wait(offset + size)
        count = os.preadv(self._fd, [self._view[:size]], offset)
        if not count:
            raise self._too_short()
        return self._view[:count]

    def _too_short(self) -> RestartError:
        return RestartError(
            f"process {self._process.pid}: the context ends before its pages do",
            status=errno.EINVAL,
        )

    # Through userfaultfd.

    def watch(self, mapping: records.Mapping) -> bool:
        """Register a mapping; False: it has to be filled in another way."""
        if mapping.path or mapping.huge_page or mapping.special in records.KERNEL_S:
            return False
        if self._address + _CHUNK > self._process.arch.task_size:
            return False
        if self._watching is None:
            self._watching = _Userfaultfd(self._process)
        ours, size = self._watching.ours, mapping.end - mapping.start
        if ours < 0 or not userfaultfd.control(
            ours,
            userfaultfd.UFFDIO_REGISTER,
            mapping.start,
            size,
            userfaultfd.MODE_MISSING,
            0,
        ):
            return False
        movable = mapping.huge >= 0 and mapping.protection == _READ_WRITE
        if movable and self._source >= 0 and self._stage is None:
            self._stage = _Stage(self._process)
        self._huge = self._stage.huge if self._stage and movable else 0
        return True

    def unwatch(self, mapping: records.Mapping) -> None:
        """Leave a mapping as if it had never been registered."""
        size = mapping.end - mapping.start
        assert self._watching
        userfaultfd.control(
            self._watching.ours, userfaultfd.UFFDIO_UNREGISTER, mapping.start, size
        )

    def place(self, offset: int, address: int, size: int) -> None:
        """Fill a part of a registered mapping: huge pages moved, the rest copied."""
        end = address + size
        first = -(-address // self._huge) * self._huge if self._huge else end
        last = end // self._huge * self._huge if self._huge else end
        if first < last:
            self._copy(offset, address, first - address)
            offset, address = self._move(offset + first - address, first, last - first)
        self._copy(offset, address, end - address)

    def _copy(self, offset: int, address: int, size: int) -> None:
        """Copy pages in."""
        end, page = address + size, self._process.arch.page_size
        while address < end:
            count = len(self._read(offset, end - address)) // page * page
            if not count:
                raise self._too_short()
            done, error = self._copy_pages(address, count)
            if error == errno.EEXIST:
                # Who reads the command line in /proc brings in a page of the stack.
                self._process.memory.write(address + done, self._view[done:][:page])
                done += page
            elif error and error != errno.EAGAIN:
                raise OSError(error, f"UFFDIO_COPY: {os.strerror(error)}")
            offset, address = offset + done, address + done

    def _move(self, offset: int, address: int, size: int) -> tuple[int, int]:
        """Move whole huge pages in; return where the rest begins if that fails."""
        assert self._stage
        end = address + size
        while address < end:
            part = min(self._stage.size, end - address)
            self.have_read(offset, self._stage.start, part)
            moved = 0
            while moved < part:
                start = self._stage.start + moved
                done, error = self._move_pages(address + moved, start, part - moved)
                moved += done
                if error and error != errno.EAGAIN:
                    self._huge = self._stage.huge = 0
                    return offset + moved, address + moved
            offset, address = offset + part, address + part
        return offset, address

    def _copy_pages(self, to: int, size: int) -> tuple[int, int]:
        """Copy from the buffer; return how many bytes were, and the error or 0."""
        assert self._watching
        args = bytearray(_TRANSFER.pack(to, self._address, size, _DONTWAKE, 0))
        try:
            fcntl.ioctl(self._watching.ours, userfaultfd.UFFDIO_COPY, args)
        except OSError as error:
            done: int = _TRANSFER.unpack(args)[4]
            return max(done, 0), error.errno or errno.EIO
        return size, 0

    def _move_pages(self, to: int, start: int, size: int) -> tuple[int, int]:
        """Move pages, which only the process itself can; return as `_copy_pages`."""
        assert self._watching
        at = self._task.scratch
        self._process.write(at, _TRANSFER.pack(to, start, size, _DONTWAKE, 0))
        try:
            self._task.call("ioctl", self._watching.theirs, userfaultfd.UFFDIO_MOVE, at)
        except RemoteCallError as error:
            done = _TRANSFER.unpack(self._process.read(at, _TRANSFER.size))[4]
            return max(done, 0), error.errno
        return size, 0


class _Stage:
    """
    Huge pages of the process, from which they are moved to where they belong.

    Attributes:
        huge: Bytes of a huge page; 0: there are none, and nothing is mapped.
        start, size: Multiples of it.
    """

    def __init__(self, process: NativeProcess) -> None:
        self._task = process.tasks[0]
        self.huge = self.start = self.size = self._whole = 0
        huge = pagemap.huge_page_size()
        if not huge:
            return
        known = constants.of(process.arch)
        calls = process.arch.syscalls
        self.size = _STAGE // huge * huge or huge
        self._whole = self.size + huge
        flags = known["MAP_PRIVATE"] | known["MAP_ANONYMOUS"]
        none = (1 << 8 * process.arch.word_size) - 1
        name = "mmap2" if "mmap2" in calls else "mmap"
        try:
            at = self._task.call(name, 0, self._whole, _READ_WRITE, flags, none, 0)
        except RemoteCallError:
            self._whole = 0
            return
        self._at = at
        self.start = -(-at // huge) * huge
        try:
            self._task.call("madvise", at, self._whole, known["MADV_HUGEPAGE"])
        except RemoteCallError:
            return
        if procfs.may_be_huge(process.outer_pid, self.start):
            self.huge = huge

    def close(self) -> None:
        """Unmap it."""
        if self._whole:
            self._task.call("munmap", self._at, self._whole)


def _low_memory(size: int) -> int:
    """
    Return the address of memory of our own, low where that is free.

    Newer kernels take UFFDIO_COPY's source, too, for an address of the other process
    when they check it, and that process's addresses may be shorter than ours.

    Source: userfaultfd_copy, fs/userfaultfd.c, Linux 6.6.
    """
    flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS
    protection = mmap.PROT_READ | mmap.PROT_WRITE
    hint = ctypes.c_void_p(_LOW)
    address = _libc.mmap(hint, size, protection, flags, -1, ctypes.c_long(0))
    if address in (None, ctypes.c_void_p(-1).value):
        code = ctypes.get_errno()
        raise OSError(code, f"mmap: {os.strerror(code)}")
    found: int = address
    return found


class _Userfaultfd:
    """
    A userfaultfd of a process: it answers for the memory of the one that makes it.

    Attributes:
        ours: The descriptor here, for what anybody may ask of it; -1: not to be had.
        theirs: The descriptor in the process.
    """

    def __init__(self, process: NativeProcess) -> None:
        self.ours = self.theirs = -1
        self._task = process.tasks[0]
        flags = constants.of(process.arch)["O_CLOEXEC"] | userfaultfd.USER_MODE_ONLY
        try:
            self.theirs = self._task.call("userfaultfd", flags)
        except RemoteCallError:
            return
        ours = userfaultfd.taken(process.outer_pid, self.theirs)
        if ours >= 0 and not userfaultfd.control(
            ours, userfaultfd.UFFDIO_API, userfaultfd.API, 0, 0
        ):
            os.close(ours)
            ours = -1
        self.ours = ours

    def close(self, *, in_process: bool) -> None:
        """Give it up; what is still registered is so no longer."""
        if self.ours >= 0:
            os.close(self.ours)
        if in_process and self.theirs >= 0:
            self._task.call("close", self.theirs)
