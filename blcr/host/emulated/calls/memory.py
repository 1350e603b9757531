"""
Memory.

Source: mmap(2), mremap(2), brk(2), madvise(2).
"""

from __future__ import annotations

import errno
import os
from collections.abc import Mapping

from blcr.host.emulated.calls.table import call, fail, not_served, only
from blcr.host.emulated.memory import (
    PAGE,
    READ,
    WRITE,
    Area,
    Backing,
    SharedObject,
    mapped_of,
    pages_of,
    window_of,
)
from blcr.host.emulated.tasks import Guest, Thread, signed

_MMAP2_UNIT = 4096
_PROTECTION = 7
_PROTECTIONS = """
    PROT_READ PROT_WRITE PROT_EXEC PROT_SEM PROT_GROWSDOWN
"""
_BIT_31 = 1 << 31
_MAP_FLAGS = """
    MAP_SHARED_VALIDATE MAP_FIXED MAP_FIXED_NOREPLACE MAP_ANONYMOUS MAP_POPULATE
    MAP_STACK MAP_GROWSDOWN MAP_DENYWRITE MAP_EXECUTABLE MAP_LOCKED MAP_NORESERVE
    MAP_NONBLOCK
"""
_LOCKED, _ON_FAULT = 1, 2
"""How memory is locked, as in `records.Mapping`."""

_ADVICE = {
    "MADV_DONTDUMP": "dontdump",
    "MADV_DONTFORK": "dontfork",
    "MADV_WIPEONFORK": "wipeonfork",
    "MADV_MERGEABLE": "mergeable",
    "MADV_SEQUENTIAL": "sequential",
    "MADV_RANDOM": "random",
}
_TAKEN_BACK: Mapping[str, tuple[str, ...]] = {
    "MADV_SEQUENTIAL": ("random",),
    "MADV_RANDOM": ("sequential",),
    "MADV_DODUMP": ("dontdump",),
    "MADV_DOFORK": ("dontfork",),
    "MADV_KEEPONFORK": ("wipeonfork",),
    "MADV_UNMERGEABLE": ("mergeable",),
    "MADV_NORMAL": ("random", "sequential"),
}
"""Advice that is kept, by constant, and what takes which of it back."""
_WITHOUT_EFFECT = ("MADV_WILLNEED", "MADV_COLD", "MADV_PAGEOUT")


def _top(guest: Guest) -> int:
    """Return below which address mappings go that may be anywhere."""
    room = 128 << 20
    stack = guest.space.find(guest.layout.start_stack)
    return (stack.end if stack else guest.space.limit) - room & -PAGE


def gap(guest: Guest, size: int) -> int:
    """Return where a mapping goes that may be anywhere; ENOMEM: nowhere."""
    return guest.space.gap(size, _top(guest))


@call("mmap")
def mmap(
    thread: Thread,
    address: int,
    size: int,
    protection: int,
    flags: int,
    fd: int,
    offset: int,
) -> int:
    """Map memory or a file."""
    guest, names, space = thread.guest, thread.guest.constants, thread.guest.space
    size = pages_of(size)
    kind = flags & names["MAP_SHARED_VALIDATE"]
    anonymous, checked = flags & names["MAP_ANONYMOUS"], names["MAP_SHARED_VALIDATE"]
    if not size or offset % PAGE or not kind or (anonymous and kind == checked):
        raise fail(errno.EINVAL)
    _check_map_flags(thread, flags, kind)
    if size > space.limit:
        raise fail(errno.ENOMEM)
    replace = flags & names["MAP_FIXED"]
    if flags & (names["MAP_FIXED"] | names["MAP_FIXED_NOREPLACE"]):
        if address % PAGE:
            raise fail(errno.EINVAL)
        if address + size > space.limit:
            raise fail(errno.ENOMEM)
        if not replace and space.overlapping(address, address + size):
            raise fail(errno.EEXIST)
    else:
        address &= -PAGE
        taken = space.overlapping(address, address + size)
        if not address or taken or address + size > space.limit:
            low = flags & names.get("MAP_32BIT", 0)
            address = space.gap(size, _BIT_31 if low else _top(guest))
    shared = kind != names["MAP_PRIVATE"]
    if anonymous:
        offset = 0
        backing = Backing(shared=SharedObject(space.ram, size) if shared else None)
    else:
        backing = _file_backing(
            guest, signed(fd), offset, size, shared=shared, write=protection & WRITE
        )
    area = Area(
        address,
        address + size,
        protection & _PROTECTION,
        backing,
        offset if backing != Backing() else 0,
        grows_down=bool(flags & names["MAP_GROWSDOWN"]),
        noreserve=bool(flags & names["MAP_NORESERVE"]),
        locked=_LOCKED if flags & names["MAP_LOCKED"] else guest.lock_future,
    )
    space.add(area)
    if area.locked == _LOCKED and area.protection:
        for page in range(area.start, area.end, PAGE):
            space.translate(page, READ)
    return address


def _check_map_flags(thread: Thread, flags: int, kind: int) -> None:
    """Refuse what would make other memory; what is not known counts for some only."""
    guest, names = thread.guest, thread.guest.constants
    if flags & names["MAP_HUGETLB"]:
        raise not_served(thread, "mmap", "MAP_", names["MAP_HUGETLB"], errno.ENOMEM)
    # The size of huge pages is nothing to other ones.
    known = guest.bits(_MAP_FLAGS) | names.get("MAP_32BIT", 0)
    known |= 0x1F << names["MAP_HUGE_SHIFT"]
    if kind == names["MAP_SHARED_VALIDATE"] and (rest := flags & 0xFFFF_FFFF & ~known):
        raise not_served(thread, "mmap", "MAP_", rest & -rest, errno.EOPNOTSUPP)


def _file_backing(
    guest: Guest, fd: int, offset: int, size: int, *, shared: bool, write: int
) -> Backing:
    opened = guest.descriptors.get(fd)
    access = opened.flags & guest.constants["O_ACCMODE"]
    if access == os.O_WRONLY or (shared and write and access != os.O_RDWR):
        raise fail(errno.EACCES)
    if opened.kind == "device" and opened.path == "/dev/zero":
        ram = guest.space.ram
        return Backing(shared=SharedObject(ram, offset + size) if shared else None)
    if not opened.is_regular:
        raise fail(errno.ENODEV)
    ram, path = guest.space.ram, opened.path
    file = mapped_of(ram, opened.fd, path, writable=access == os.O_RDWR)
    if not shared:
        return Backing(file)
    try:
        window = window_of(ram, file, offset, size)
    except PermissionError:
        if write:
            raise
        # A seal keeps it from being written; this mapping never will be.
        file = mapped_of(ram, opened.fd, path, writable=False)
        window = window_of(ram, file, offset, size)
    return Backing(file, window)


@call("mmap2")
def mmap2(
    thread: Thread,
    address: int,
    size: int,
    protection: int,
    flags: int,
    fd: int,
    pages: int,
) -> int:
    """Map, with the offset counted in units of 4096 bytes."""
    return mmap(thread, address, size, protection, flags, fd, pages * _MMAP2_UNIT) or 0


@call("munmap")
def munmap(thread: Thread, address: int, size: int) -> int:
    """Unmap."""
    if address % PAGE or not size or address + size > thread.guest.space.limit:
        raise fail(errno.EINVAL)
    thread.guest.space.remove(address, address + pages_of(size))
    return 0


@call("pkey_mprotect")
def pkey_mprotect(
    thread: Thread, address: int, size: int, protection: int, key: int
) -> int:
    """Change what may be done with memory, without a key: there are none."""
    if signed(key) != -1:
        raise fail(errno.EINVAL)
    return mprotect(thread, address, size, protection) or 0


@call("mprotect")
def mprotect(thread: Thread, address: int, size: int, protection: int) -> int:
    """Change what may be done with memory."""
    names, space = thread.guest.constants, thread.guest.space
    only(thread, "mprotect", "PROT_", protection, _PROTECTIONS)
    if address % PAGE:
        raise fail(errno.EINVAL)
    start = address
    if protection & names["PROT_GROWSDOWN"] and (area := space.find(address)):
        start = area.start
    if size:
        end = address + pages_of(size)
        space.protect(start, end, protection & _PROTECTION)
    return 0


@call("mremap")
def mremap(
    thread: Thread, address: int, old_size: int, new_size: int, flags: int, target: int
) -> int:
    """Grow, shrink or move a mapping."""
    guest, names, space = thread.guest, thread.guest.constants, thread.guest.space
    old_size, new_size = pages_of(old_size), pages_of(new_size)
    fixed = flags & names["MREMAP_FIXED"]
    only(thread, "mremap", "MREMAP_", flags, "MREMAP_MAYMOVE MREMAP_FIXED")
    if fixed and not flags & names["MREMAP_MAYMOVE"]:
        raise fail(errno.EINVAL)
    if address % PAGE or not new_size or (fixed and target % PAGE):
        raise fail(errno.EINVAL)
    area = space.find(address)
    if area is not None and not old_size and not area.is_private:
        # A second view of the same shared memory.
        start = target if fixed else space.gap(new_size, _top(guest))
        view = area.cut(address, area.end)
        view = space.resized(view, new_size)
        space.add(view._replace(start=start, end=start + new_size))
        return start
    if area is None or not old_size or address + old_size > area.end:
        raise fail(errno.EFAULT)
    if fixed:
        if target < address + old_size and address < target + new_size:
            raise fail(errno.EINVAL)
        space.move(address, address + old_size, target, new_size)
        return target
    end = address + old_size
    if new_size <= old_size:
        if new_size < old_size:
            space.remove(address + new_size, end)
        return address
    room = end == area.end and not space.overlapping(end, address + new_size)
    if room and address + new_size <= space.limit and area.backing.window is None:
        grown = area.cut(end, end)._replace(end=address + new_size)
        space.add(grown)
        return address
    if not flags & names["MREMAP_MAYMOVE"]:
        raise fail(errno.ENOMEM)
    target = space.gap(new_size, _top(guest))
    space.move(address, end, target, new_size)
    return target


@call("brk")
def brk(thread: Thread, address: int) -> int:
    """Move the end of the heap; it stays where it is when that is not possible."""
    guest, space = thread.guest, thread.guest.space
    layout = guest.layout
    if address < layout.start_brk:
        return layout.brk
    old, new = pages_of(layout.brk), pages_of(address)
    if new > old:
        taken = space.overlapping(old, new + PAGE)
        if taken or new > space.limit:
            return layout.brk
        try:
            space.add(Area(old, new, READ | WRITE))
        except OSError:
            return layout.brk
    elif new < old:
        space.remove(new, old)
    guest.layout = layout._replace(brk=address)
    return address


@call("madvise")
def madvise(thread: Thread, address: int, size: int, advice: int) -> int:
    """Say how memory will be used; some advice has effects that can be seen."""
    names, space = thread.guest.constants, thread.guest.space
    end = address + pages_of(size)
    if address % PAGE:
        raise fail(errno.EINVAL)
    areas = [
        area.cut(max(address, area.start), min(end, area.end))
        for area in space.overlapping(address, end)
    ]
    mapped = sum(area.end - area.start for area in areas) == max(0, end - address)
    word = next(
        (name for name in (*_ADVICE, *_TAKEN_BACK) if names[name] == advice), ""
    )
    if advice in {names["MADV_HUGEPAGE"], names["MADV_NOHUGEPAGE"]}:
        huge = 1 if advice == names["MADV_HUGEPAGE"] else -1
        space.change(address, end, huge=huge)
    elif advice in {names["MADV_DONTNEED"], names["MADV_FREE"]}:
        if any(area.locked for area in areas):
            raise fail(errno.EINVAL)
        for area in areas:
            space.discard(area.start, area.end)
    elif word:
        for area in areas:
            kept = {*area.advice, _ADVICE.get(word, "")} - {
                *_TAKEN_BACK.get(word, ()),
                "",
            }
            space.change(area.start, area.end, advice=tuple(sorted(kept)))
    elif advice in {names["MADV_POPULATE_READ"], names["MADV_POPULATE_WRITE"]}:
        write = advice == names["MADV_POPULATE_WRITE"]
        _populate(thread, areas, WRITE if write else READ)
    elif advice not in {names[name] for name in _WITHOUT_EFFECT}:
        raise not_served(thread, "madvise", "MADV_", signed(advice))
    if not mapped:
        raise fail(errno.ENOMEM)
    return 0


def _populate(thread: Thread, areas: list[Area], access: int) -> None:
    """Touch memory as a program that reads or writes it does."""
    space = thread.guest.space
    for area in areas:
        for page in range(area.start, area.end, PAGE):
            if not space.translate(page, access):
                raise fail(errno.EFAULT)


@call("msync")
def msync(thread: Thread, address: int, size: int, flags: int) -> int:
    """Have what was written be on its disk; files are shared anyway."""
    names = thread.guest.constants
    only(thread, "msync", "MS_", flags, "MS_ASYNC MS_INVALIDATE MS_SYNC")
    both = names["MS_ASYNC"] | names["MS_SYNC"]
    if address % PAGE or flags & both == both:
        raise fail(errno.EINVAL)
    for area in _mapped(thread, address, size):
        if flags & names["MS_SYNC"] and area.backing.window and area.backing.file:
            os.fsync(area.backing.file.fd)
    return 0


def _mapped(thread: Thread, address: int, size: int) -> list[Area]:
    """Return the areas of a range; ENOMEM where a part of it is none."""
    end = address + pages_of(size)
    areas, at = list(thread.guest.space.overlapping(address, end)), address
    for area in areas:
        if area.start > at:
            break
        at = area.end
    if at < end:
        raise fail(errno.ENOMEM)
    return areas


@call("cacheflush", "riscv_flush_icache")
def cacheflush(thread: Thread) -> int:
    """Have code that was written be run as it is now."""
    thread.guest.machine.ram.code_changed = True
    return 0


@call("mlock")
def mlock(thread: Thread, address: int, size: int) -> int:
    """Keep memory from being swapped, which it never is; it is told, though."""
    return _lock(thread, address, size, _LOCKED)


@call("mlock2")
def mlock2(thread: Thread, address: int, size: int, flags: int) -> int:
    """Lock memory, perhaps only what is touched."""
    on_fault = flags == thread.guest.constants["MLOCK_ONFAULT"]
    if flags and not on_fault:
        raise fail(errno.EINVAL)
    return _lock(thread, address, size, _ON_FAULT if on_fault else _LOCKED)


@call("munlock")
def munlock(thread: Thread, address: int, size: int) -> int:
    """Take a lock back."""
    return _lock(thread, address, size, 0)


def _lock(thread: Thread, address: int, size: int, locked: int) -> int:
    start, end = address & -PAGE, pages_of(address + size)
    thread.guest.space.change(start, end, locked=locked)
    _mapped(thread, start, end - start)
    return 0


@call("mlockall")
def mlockall(thread: Thread, flags: int) -> int:
    """Lock all memory that there is, or will be."""
    guest, names = thread.guest, thread.guest.constants
    only(thread, "mlockall", "MCL_", flags, "MCL_CURRENT MCL_FUTURE MCL_ONFAULT")
    locked = _ON_FAULT if flags & names["MCL_ONFAULT"] else _LOCKED
    if not flags & (names["MCL_CURRENT"] | names["MCL_FUTURE"]):
        raise fail(errno.EINVAL)
    guest.lock_future = locked if flags & names["MCL_FUTURE"] else 0
    if flags & names["MCL_CURRENT"]:
        for area in list(guest.space.areas):
            guest.space.change(area.start, area.end, locked=locked)
    return 0


@call("munlockall")
def munlockall(thread: Thread) -> int:
    """Take all locks back."""
    guest = thread.guest
    guest.lock_future = 0
    for area in list(guest.space.areas):
        guest.space.change(area.start, area.end, locked=0)
    return 0


@call("mincore")
def mincore(thread: Thread, address: int, size: int, result: int) -> int:
    """Tell which pages are in memory."""
    space = thread.guest.space
    if address % PAGE:
        raise fail(errno.EINVAL)
    _mapped(thread, address, size)
    first, last = address // PAGE, (address + size + PAGE - 1) // PAGE
    space.write(result, bytes(int(page in space.pages) for page in range(first, last)))
    return 0
