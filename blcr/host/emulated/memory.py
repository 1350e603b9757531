"""
The memory of the machine: RAM, and address spaces that map it.

RAM is one range of our own memory, so that a page of the guest is a slice of a
memoryview.  Its lower part is a memory file; in its upper part, the window, files that
guests map shared are mapped themselves, so that guests and everybody else see the same
bytes.  Frame 0 is never written: all pages that were only read are it.

An `AddressSpace` has *areas*, what the program asked for, and a *page table*, what it
has touched, filled on demand.  An entry of the table is the address of the frame and,
in the low bits, what the CPU may do and what became of the page.

Addresses and sizes are in bytes.  Errors that a guest is to see are OSErrors.
"""

from __future__ import annotations

import ctypes
import errno
import mmap
import os
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator
from contextlib import suppress
from weakref import WeakValueDictionary

from blcr.record import Record

PAGE = 4096
ZERO_PAGE = bytes(PAGE)

# Bits of an entry.  The first three are PROT_*, and the kinds of access.
READ, WRITE, EXECUTE = 1, 2, 4
# The page is not what its file, or zero, gives back; only such pages are writable.
DIRTY = 8
# The frame is this page's alone.
OWNED = 16
# The CPU may have translated its contents.
CODE = 32
# The frame may be another space's, too: it is copied before it is written.
COPIED = 256
# Set in every entry: that of a page without any access must not look like none.
_ENTRY = 128
_FRAME = ~(PAGE - 1)
# An access by us, which no protection hinders.
FORCE = 64

STACK_GAP = 256 * PAGE
"""What the kernel keeps free below a growing stack."""

_libc = ctypes.CDLL(None, use_errno=True)
_libc.mmap.restype = ctypes.c_void_p
_libc.mmap.argtypes = [
    *(ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int),
    *(ctypes.c_int, ctypes.c_int, ctypes.c_int64),
]
_MAP_FIXED, _MAP_NORESERVE, _MAP_FAILED = 0x10, 0x4000, ctypes.c_void_p(-1).value


def _host_mmap(
    address: int | None, size: int, prot: int, flags: int, *file: int
) -> int:
    fd, offset = file or (-1, 0)
    at = _libc.mmap(address, size, prot, flags | _MAP_NORESERVE, fd, offset)
    if at in {None, _MAP_FAILED}:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return int(at)


def pages_of(size: int) -> int:
    """Return `size` rounded up to whole pages, in bytes."""
    return -(-size // PAGE) * PAGE


_Whole = tuple[int, int, str, bool]
"""Of a file: its device, inode, path, and whether it is written to."""
_Part = tuple[tuple[int, int], int, int, int, bool]
"""Of a file: its device and inode, offset, size, and whether it is written to."""


class Ram:
    """Frames of memory, and the window behind them."""

    def __init__(self, size: int, window: int) -> None:
        self.size = size
        self.total = size + window
        self._fd = os.memfd_create("guest memory")
        os.ftruncate(self._fd, size)
        self.base = _host_mmap(
            None, self.total, 0, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS
        )
        rw = mmap.PROT_READ | mmap.PROT_WRITE
        _host_mmap(self.base, size, rw, mmap.MAP_SHARED | _MAP_FIXED, self._fd, 0)
        array = (ctypes.c_ubyte * self.total).from_address(self.base)
        self.view = memoryview(array).cast("B")
        self.committed = 0
        """Bytes that mappings may still come to need."""
        self.code_changed = False
        """A frame with code that the CPU may have translated was changed by us."""
        self.code: set[int] = set()
        """Frames with code that the CPU may have translated."""
        self._next = PAGE
        self._free: list[int] = []
        self._sharers: dict[int, int] = {}
        self._windows: list[tuple[int, int]] = []
        self.mapped_files: WeakValueDictionary[_Whole, MappedFile] = (
            WeakValueDictionary()
        )
        self.file_windows: WeakValueDictionary[_Part, FileWindow] = (
            WeakValueDictionary()
        )

    def take(self) -> int:
        """
        Return a frame of zeros.

        Raises:
            OSError: ENOMEM, there is none.
        """
        if self._free:
            frame = self._free.pop()
            self.view[frame : frame + PAGE] = ZERO_PAGE
            return frame
        if self._next >= self.size:
            raise OSError(errno.ENOMEM, "the machine's memory is full")
        frame = self._next
        self._next += PAGE
        return frame

    def take_many(self, count: int) -> range:
        """Return frames of zeros that lie side by side, or none."""
        # What was given back is to be used again before memory grows.
        if len(self._free) >= count or self._next + count * PAGE > self.size:
            return range(0)
        frames = range(self._next, self._next + count * PAGE, PAGE)
        self._next = frames.stop
        return frames

    def give(self, frame: int) -> None:
        """Take a frame back from one who has it."""
        sharers = self._sharers.get(frame, 0)
        if sharers:
            self._count(frame, sharers - 1)
            return
        if frame in self.code:
            self.code.remove(frame)
            self.code_changed = True
        self._free.append(frame)

    def share(self, frame: int) -> None:
        """Let one more have a frame."""
        self._count(frame, self._sharers.get(frame, 0) + 1)

    def is_shared(self, frame: int) -> bool:
        """Tell whether more than one has a frame."""
        return frame in self._sharers

    def _count(self, frame: int, sharers: int) -> None:
        if sharers:
            self._sharers[frame] = sharers
        else:
            del self._sharers[frame]

    def open_window(self, fd: int, offset: int, size: int, *, writable: bool) -> int:
        """Map a part of a file and return where it is in RAM."""
        at = self.size
        for start, end in self._windows:
            if start - at >= size:
                break
            at = end
        if at + size > self.total:
            raise OSError(errno.ENOMEM, "no room for shared file mappings")
        prot = mmap.PROT_READ | (mmap.PROT_WRITE if writable else 0)
        _host_mmap(self.base + at, size, prot, mmap.MAP_SHARED | _MAP_FIXED, fd, offset)
        self._windows.append((at, at + size))
        self._windows.sort()
        return at

    def close_window(self, at: int, size: int) -> None:
        """Unmap that part again."""
        flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | _MAP_FIXED
        _host_mmap(self.base + at, size, 0, flags)
        self._windows.remove((at, at + size))


class MappedFile:
    """A file as mappings know it: open for as long as one of them needs it."""

    def __init__(self, fd: int, path: str, *, writable: bool) -> None:
        self.fd = os.dup(fd)
        self.path = path
        self.writable = writable
        status = os.fstat(fd)
        self.device = (os.major(status.st_dev), os.minor(status.st_dev))
        self.inode = status.st_ino

    def __del__(self) -> None:
        with suppress(OSError, AttributeError):
            os.close(self.fd)

    @property
    def size(self) -> int:
        """Bytes, now."""
        return os.fstat(self.fd).st_size


def mapped_of(ram: Ram, fd: int, path: str, *, writable: bool) -> MappedFile:
    """Return an open file of ours as mappings know it, the same one for all."""
    status = os.fstat(fd)
    key = (status.st_dev, status.st_ino, path, writable)
    file = ram.mapped_files.get(key)
    if file is None:
        file = ram.mapped_files[key] = MappedFile(fd, path, writable=writable)
    return file


class FileWindow:
    """A part of a file that RAM shares with it; see `window_of`."""

    def __init__(self, ram: Ram, file: MappedFile, offset: int, size: int) -> None:
        self._ram, self._size = ram, size
        self.offset = offset
        self.at = ram.open_window(file.fd, offset, size, writable=file.writable)

    def __del__(self) -> None:
        if hasattr(self, "at"):
            self._ram.close_window(self.at, self._size)


def window_of(ram: Ram, file: MappedFile, offset: int, size: int) -> FileWindow:
    """Return a window of a part of a file, the same one for all who map that part."""
    key = (file.device, file.inode, offset, size, file.writable)
    window = ram.file_windows.get(key)
    if window is None:
        window = ram.file_windows[key] = FileWindow(ram, file, offset, size)
    return window


class SharedObject:
    """Anonymous memory that several mappings can share: frames by page number."""

    def __init__(self, ram: Ram, size: int) -> None:
        self._ram = ram
        self.size = size
        self.frames: dict[int, int] = {}

    def frame(self, page: int) -> int:
        """Return the frame of a page, made where it is not there yet."""
        if page not in self.frames:
            self.frames[page] = self._ram.take()
        return self.frames[page]

    def __del__(self) -> None:
        for frame in self.frames.values():
            self._ram.give(frame)


class Backing(Record):
    """What the pages of an area come from; all None: private zeros."""

    file: MappedFile | None = None
    window: FileWindow | None = None
    shared: SharedObject | None = None


class Area(Record):
    """
    A range with one protection and one backing.

    Attributes:
        protection: ``PROT_*``.
        offset: Bytes into the file or object.
        huge, advice, locked: As in `records.Mapping`.
    """

    start: int
    end: int
    protection: int
    backing: Backing = Backing()
    offset: int = 0
    grows_down: bool = False
    noreserve: bool = False
    huge: int = 0
    advice: tuple[str, ...] = ()
    locked: int = 0

    @property
    def is_private(self) -> bool:
        """Whether writing changes this address space only."""
        return self.backing.window is None and self.backing.shared is None

    @property
    def commits(self) -> int:
        """Bytes of RAM that it may come to need."""
        return 0 if self.noreserve or self.backing.window else self.end - self.start

    def cut(self, start: int, end: int) -> Area:
        """Return the part between two addresses."""
        offset = self.offset
        if self.backing != Backing():
            offset += start - self.start
        return self._replace(start=start, end=end, offset=offset)

    def continues(self, other: Area) -> bool:
        """Whether `other`, which begins at the end of this, could be one with it."""
        return self.end == other.start and self.cut(self.start, self.start) == (
            other._replace(
                start=self.start,
                end=self.start,
                offset=self.offset
                if self.backing == Backing()
                else other.offset - (self.end - self.start),
            )
        )


class AddressSpace:
    """The memory of one process, or of several that share it (CLONE_VM)."""

    def __init__(self, ram: Ram, limit: int) -> None:
        self.users = 1
        self.ram = ram
        self.limit = limit
        self.areas: list[Area] = []
        self.pages: dict[int, int] = {}
        self.stack_limit = 8 << 20
        self.size_limit = 1 << 64
        """Of all areas together."""
        self.stale = True
        """The CPU may remember translations that are no longer true."""
        self.refusal = ("SIGSEGV", "SEGV_MAPERR")
        """Signal and code for what `translate` refused last."""

    # Access.

    def translate(self, address: int, access: int) -> int:
        """
        Return the entry for an access, which is allowed then, or 0; see `refusal`.

        Args:
            access: READ, WRITE or EXECUTE; with FORCE, whatever the protection.
        """
        page = address // PAGE
        entry = self.pages.get(page)
        try:
            if entry is None:
                entry = self._populate(page)
                if not entry:
                    return 0
            if not entry & access and not access & FORCE:
                self.refusal = ("SIGSEGV", "SEGV_ACCERR")
                return 0
            if access & WRITE and entry & (DIRTY | COPIED) != DIRTY:
                entry = self._make_dirty(page, entry)
        except OSError:
            # Out of memory: Linux kills somebody then.
            self.refusal = ("SIGKILL", "SI_KERNEL")
            return 0
        if access & EXECUTE and not entry & CODE:
            entry |= CODE
            self.pages[page] = entry
            self.ram.code.add(entry & _FRAME)
        return entry

    def slices(self, address: int, size: int, access: int) -> Iterator[memoryview]:
        """
        Yield the memory at `address`, piece by piece, for reading or writing in place.

        Raises:
            OSError: EFAULT, it is not accessible so.
        """
        view, ram = self.ram.view, self.ram
        end = address + size
        while address < end:
            before = self.pages.get(address // PAGE, 0)
            if not before and access & WRITE and end - address > PAGE:
                self._touch(address, end, access)
            entry = self.translate(address, access)
            if not entry:
                raise OSError(errno.EFAULT, os.strerror(errno.EFAULT))
            if before and (before ^ entry) & _FRAME:
                # The CPU may still see the zeros, or the copy, that were there.
                self.stale = True
            if entry & CODE and access & WRITE:
                ram.code_changed = True
            skip = address & (PAGE - 1)
            at = (entry & _FRAME) + skip
            length = min(PAGE - skip, end - address)
            # Frames taken one after the other are often neighbours.
            address += length
            following = at + length
            while address < end:
                entry = self.pages.get(address // PAGE, 0)
                allowed = entry & access and (
                    entry & (DIRTY | COPIED) == DIRTY or not access & WRITE
                )
                if not allowed or entry & _FRAME != following or entry & CODE:
                    break
                piece = min(PAGE, end - address)
                address += piece
                following += piece
            yield view[at:following]

    def read(self, address: int, size: int, access: int = READ) -> bytes:
        """Return memory that the guest may read."""
        return b"".join(self.slices(address, size, access))

    def write(self, address: int, data: bytes, access: int = WRITE) -> None:
        """Change memory that the guest may write."""
        at = 0
        for piece in self.slices(address, len(data), access):
            piece[:] = data[at : at + len(piece)]
            at += len(piece)

    def read_string(self, address: int, limit: int = 4096) -> bytes:
        """Return the bytes up to the next zero; ENAMETOOLONG beyond `limit`."""
        found = b""
        while len(found) < limit:
            piece = self.read(address, PAGE - address % PAGE)
            head, zero, _ = piece.partition(b"\0")
            found += head
            if zero:
                return found
            address += len(piece)
        raise OSError(errno.ENAMETOOLONG, os.strerror(errno.ENAMETOOLONG))

    def _touch(self, start: int, end: int, access: int) -> None:
        """Make the entries of anonymous pages that all are about to be written."""
        area = self.find(start)
        if area is None or area.backing != Backing():
            return
        allowed = _allowed(area.protection)
        pages = range(start // PAGE, -(-min(end, area.end) // PAGE))
        if (allowed | FORCE) & access and self.pages.keys().isdisjoint(pages):
            frames = self.ram.take_many(len(pages))
            bits = allowed | _ENTRY | DIRTY | OWNED
            entries = range(frames.start | bits, frames.stop | bits, PAGE)
            self.pages.update(zip(pages, entries, strict=False))

    def _populate(self, page: int) -> int:
        """Make the entry of a page that was not touched before, or return 0."""
        address = page * PAGE
        area = self.find(address) or self._grow_stack(address)
        if area is None:
            self.refusal = ("SIGSEGV", "SEGV_MAPERR")
            return 0
        entry = _allowed(area.protection) | _ENTRY
        file, window, shared = area.backing
        offset = area.offset + address - area.start
        if (file and offset >= file.size) or (
            shared and offset >= pages_of(shared.size)
        ):
            self.refusal = ("SIGBUS", "BUS_ADRERR")
            return 0
        if window:
            entry |= DIRTY | window.at + offset - window.offset
        elif shared:
            entry |= DIRTY | shared.frame(offset // PAGE)
        elif file:
            frame = self.ram.take()
            os.preadv(file.fd, [self.ram.view[frame : frame + PAGE]], offset)
            entry |= OWNED | frame
        self.pages[page] = entry
        return entry

    def _make_dirty(self, page: int, entry: int) -> int:
        if not entry & OWNED:
            entry |= self.ram.take() | OWNED
        elif entry & COPIED:
            ram, frame = self.ram, entry & _FRAME
            if ram.is_shared(frame):
                own = ram.take()
                ram.view[own : own + PAGE] = ram.view[frame : frame + PAGE]
                ram.give(frame)
                entry = own | entry & ~(_FRAME | CODE)
            entry &= ~COPIED
        entry |= DIRTY
        self.pages[page] = entry
        return entry

    def _grow_stack(self, address: int) -> Area | None:
        index = bisect_right(self.areas, address, key=lambda area: area.start)
        if index == len(self.areas):
            return None
        area = self.areas[index]
        below = self.areas[index - 1].end + STACK_GAP if index else 0
        if not area.grows_down or address < max(below, area.end - self.stack_limit):
            return None
        self.ram.committed += area.start - address
        self.areas[index] = area._replace(start=address)
        return self.areas[index]

    # Areas.

    def find(self, address: int) -> Area | None:
        """Return the area at an address, or None."""
        index = bisect_right(self.areas, address, key=lambda area: area.start) - 1
        if index < 0 or self.areas[index].end <= address:
            return None
        return self.areas[index]

    def overlapping(self, start: int, end: int) -> list[Area]:
        """Return the areas that have a part in a range."""
        low = bisect_right(self.areas, start, key=lambda area: area.end)
        high = bisect_left(self.areas, end, key=lambda area: area.start)
        return self.areas[low:high]

    def gap(self, size: int, top: int, bottom: int = 16 * PAGE) -> int:
        """Return the highest free range of `size` bytes below `top`; ENOMEM if none."""
        for area in reversed(self.areas):
            if area.start >= top:
                continue
            if top - min(area.end, top) >= size:
                break
            # A stack may still grow.
            top = area.start - (STACK_GAP if area.grows_down else 0)
        if top - size < bottom:
            raise OSError(errno.ENOMEM, os.strerror(errno.ENOMEM))
        return top - size

    def add(self, area: Area) -> None:
        """
        Map an area, in place of what is there.

        Raises:
            OSError: ENOMEM, it is beyond the address space or more than RAM can hold.
        """
        self._require_room(area)
        self.remove(area.start, area.end)
        self.ram.committed += area.commits
        self._insert([area])

    def _require_room(self, area: Area, *going: Area) -> None:
        """Refuse an area for which there is no room, when others have gone."""
        if area.end > self.limit or area.start < 0:
            raise OSError(errno.ENOMEM, os.strerror(errno.ENOMEM))
        there = [
            *(
                old.cut(max(old.start, area.start), min(old.end, area.end))
                for old in self.overlapping(area.start, area.end)
            ),
            *going,
        ]
        freed = sum(old.commits for old in there)
        if self.ram.committed - freed + area.commits > self.ram.size:
            raise OSError(errno.ENOMEM, os.strerror(errno.ENOMEM))
        grown = area.end - area.start - sum(old.end - old.start for old in there)
        if self.size_limit < self.limit and self.size + grown > self.size_limit:
            raise OSError(errno.ENOMEM, os.strerror(errno.ENOMEM))

    @property
    def size(self) -> int:
        """Bytes of all areas together."""
        return sum(area.end - area.start for area in self.areas)

    def resized(self, area: Area, size: int) -> Area:
        """Return an area with another size, and more of its file in RAM if need be."""
        file, window, _ = area.backing
        if file and window and size > area.end - area.start:
            more = window_of(self.ram, file, area.offset, size)
            area = area._replace(backing=Backing(file, more))
        return area._replace(end=area.start + size)

    def remove(self, start: int, end: int) -> None:
        """Unmap a range."""
        for area in self._take_out(start, end):
            self.ram.committed -= area.commits
        self.discard(start, end)

    def protect(self, start: int, end: int, protection: int) -> None:
        """
        Change the protection of a range.

        Raises:
            OSError: ENOMEM, it has holes; EACCES, a shared file is not open for that.
        """
        areas = self.overlapping(start, end)
        self._check_whole(areas, start, end)
        for area in areas:
            file, window, _ = area.backing
            if window and file and not file.writable and protection & WRITE:
                raise OSError(errno.EACCES, os.strerror(errno.EACCES))
        areas = self._take_out(start, end)
        self._insert([area._replace(protection=protection) for area in areas])
        allowed = _allowed(protection)
        for page in self._touched(start, end):
            self.pages[page] = self.pages[page] & ~7 | allowed
        self.stale = True

    def change(self, start: int, end: int, **attributes: object) -> None:
        """Set attributes of all areas in a range; ENOMEM where it has holes."""
        areas = self.overlapping(start, end)
        self._check_whole(areas, start, end)
        areas = self._take_out(start, end)
        self._insert([area._replace(**attributes) for area in areas])  # type: ignore[arg-type]

    def move(self, start: int, end: int, target: int, new_size: int) -> None:
        """
        Move one area, or a part of one, and change its size (mremap).

        Raises:
            OSError: ENOMEM, as in `add`; nothing is changed.
        """
        area = next(iter(self.overlapping(start, end))).cut(start, end)
        moved = self.resized(area, new_size)._replace(
            start=target, end=target + new_size
        )
        self._require_room(moved, area)
        kept = min(area.end - area.start, new_size)
        touched = self._touched(start, start + kept)
        if moved.backing.window is not area.backing.window:
            # They are of a window that may go.
            touched = []
        entries = {page: self.pages.pop(page) for page in touched}
        self.remove(start, end)
        self.add(moved)
        distance = (target - start) // PAGE
        for page, entry in entries.items():
            self.pages[page + distance] = entry
        self.stale = True

    def discard(self, start: int, end: int) -> None:
        """Forget what pages of a range hold."""
        for page in self._touched(start, end):
            entry = self.pages.pop(page)
            if entry & OWNED:
                self.ram.give(entry & _FRAME)
            elif entry & CODE:
                self.ram.code_changed = True
        self.stale = True

    def clear(self) -> None:
        """Unmap everything."""
        self.remove(0, self.limit)

    def copy(self) -> AddressSpace:
        """
        Return a second space with the same contents; pages are copied when written.

        Raises:
            OSError: ENOMEM, it might come to need more than RAM can hold.
        """
        commits = sum(area.commits for area in self.areas)
        if self.ram.committed + commits > self.ram.size:
            raise OSError(errno.ENOMEM, os.strerror(errno.ENOMEM))
        copy = AddressSpace(self.ram, self.limit)
        copy.areas, copy.stack_limit = list(self.areas), self.stack_limit
        copy.size_limit = self.size_limit
        self.ram.committed += commits
        for page, entry in self.pages.items():
            if entry & OWNED:
                self.ram.share(entry & _FRAME)
                self.pages[page] = entry | COPIED
        copy.pages = dict(self.pages)
        for area in self.areas:
            if "dontfork" in area.advice:
                copy.remove(area.start, area.end)
            elif "wipeonfork" in area.advice:
                copy.discard(area.start, area.end)
        copy.areas = [area._replace(locked=0) for area in copy.areas]
        self.stale = True
        return copy

    def leave(self) -> None:
        """Unmap everything once its last user has left."""
        self.users -= 1
        if not self.users:
            self.clear()

    def resident(self, area: Area) -> int:
        """Return how many pages of an area there are."""
        return sum(1 for _ in self._touched(area.start, area.end))

    def dirty_runs(self, area: Area) -> Iterator[tuple[int, int]]:
        """Yield start and end of the pages of a private area that a file lacks."""
        view, anonymous = self.ram.view, area.backing.file is None
        run: tuple[int, int] | None = None
        for page in sorted(self._touched(area.start, area.end)):
            entry = self.pages[page]
            frame = entry & _FRAME
            if not entry & DIRTY or (
                anonymous and view[frame : frame + PAGE].tobytes() == ZERO_PAGE
            ):
                continue
            start = page * PAGE
            if run and run[1] == start:
                run = (run[0], start + PAGE)
                continue
            if run:
                yield run
            run = (start, start + PAGE)
        if run:
            yield run

    def _check_whole(self, areas: Iterable[Area], start: int, end: int) -> None:
        for area in areas:
            if area.start > start:
                break
            start = area.end
        if start < end:
            raise OSError(errno.ENOMEM, os.strerror(errno.ENOMEM))

    def _touched(self, start: int, end: int) -> list[int]:
        first, last = start // PAGE, -(-end // PAGE)
        if last - first > len(self.pages):
            return [page for page in self.pages if first <= page < last]
        return [page for page in range(first, last) if page in self.pages]

    def _take_out(self, start: int, end: int) -> list[Area]:
        """Cut a range out of the list of areas and return its parts."""
        inside = self.overlapping(start, end)
        if not inside:
            return []
        at = self.areas.index(inside[0])
        first, last = inside[0], inside[-1]
        around = []
        if first.start < start:
            around.append(first.cut(first.start, start))
        if last.end > end:
            around.append(last.cut(end, last.end))
        self.areas[at : at + len(inside)] = around
        return [area.cut(max(area.start, start), min(area.end, end)) for area in inside]

    def _insert(self, areas: list[Area]) -> None:
        """Add areas where nothing is, made one with neighbours that they continue."""
        if not areas:
            return
        at = bisect_left(self.areas, areas[0].start, key=lambda area: area.start)
        low, high = max(0, at - 1), at + 1
        merged: list[Area] = []
        for area in [*self.areas[low:at], *areas, *self.areas[at:high]]:
            if merged and merged[-1].continues(area):
                merged[-1] = merged[-1]._replace(end=area.end)
            else:
                merged.append(area)
        self.areas[low:high] = merged


def _allowed(protection: int) -> int:
    """Return what the CPU may do: none can write or execute what it cannot read."""
    return protection & 7 | (READ if protection & (WRITE | EXECUTE) else 0)
