"""
Address spaces: mappings, and which of their pages go into a context.

Saved are pages that differ from what the mapped file, or zero, gives back, and the
bytes of anonymous memory that is shared.  The kernel's vdso is saved, too: another host
shows it to the program where it has none of its own.

Source: mmap(2), madvise(2), proc_pid_maps(5), prctl(2) for PR_SET_MM_MAP.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple, Protocol

from blcr.context import records
from blcr.errors import RefusedError, RemoteCallError, RestartError
from blcr.host.interface import MappingFacts, NewProcess, Process, Run, Task
from blcr.linux import constants
from blcr.resources.opening import file_size, open_file

_MMAP2_UNIT = 4096
_WRITE = 2
_GAP = 4 << 20
"""Bytes left free around a mapping of our own: a stack above it may grow."""


class SharedObject(NamedTuple):
    """Anonymous shared memory being saved, and a mapping through which it shows."""

    process: Process
    mapping: MappingFacts
    size: int
    runs: Sequence[Run]


def save(
    process: Process, objects: dict[int, SharedObject]
) -> tuple[tuple[records.Mapping, ...], list[MappingFacts]]:
    """
    Return the mappings of a process, and what the host knows about each.

    Args:
        objects: Anonymous shared memory by identity; the process's own is added.

    Raises:
        RefusedError: One cannot be saved.
    """
    saved = []
    facts = process.mappings()
    for one in facts:
        record = one.record
        if one.refused:
            raise RefusedError(
                process.pid,
                f"its memory at {record.start:#x} to {record.end:#x} is {one.refused}",
            )
        if record.shared and not record.path and not record.special:
            identity, size, runs = process.shared_object(one)
            known = objects.get(identity)
            if known is None or known.size < size:
                objects[identity] = SharedObject(process, one, size, runs)
            record = record._replace(object=list(objects).index(identity))
        saved.append(record)
    return tuple(saved), facts


def own_pages(process: Process, facts: Sequence[MappingFacts]) -> Iterator[Run]:
    """Yield the pages to be saved, in order of address; the vdso's are among them."""
    vdso = [
        Run(one.record.start, one.record.end)
        for one in facts
        if one.record.special == "vdso"
    ]
    runs = process.present(facts)
    pending = next(runs, None)
    for extra in vdso:
        while pending and pending.start < extra.start:
            yield pending
            pending = next(runs, None)
        if pending is None or pending.start >= extra.end:
            yield extra
    while pending:
        yield pending
        pending = next(runs, None)


FillObject = Callable[[int, int], None]
"""Fill shared memory object `index` where it is mapped: ``fill(index, address)``."""


def rebuild(
    process: NewProcess,
    record: records.Process,
    context: records.Context,
    fill_object: FillObject,
) -> list[records.Mapping]:
    """
    Lay out the address space of an emptied process; private pages are filled in later.

    Returns:
        The mappings that the host has of its own, and that are not to be filled.

    Raises:
        RestartError: A mapped file is gone or has changed, or there is no room.
    """
    task = process.tasks[0]
    opened: dict[tuple[str, bool], int] = {}
    shared: dict[int, list[records.Mapping]] = {}
    specials = [one for one in record.mappings if one.special in ("vdso", "vvar")]
    # First these: where they lie in a new process is the kernel's choice.
    own = [one for one in specials if process.place_special(one)]
    for mapping in record.mappings:
        if mapping in own:
            continue
        if mapping.object >= 0:
            shared.setdefault(mapping.object, []).append(mapping)
        else:
            fd = _file(task, record, mapping, opened) if mapping.path else -1
            _map(task, record, mapping, fd)
    for fd in opened.values():
        task.call("close", fd)
    for index, views in shared.items():
        size = context.shared_memory[index].size
        if len(views) == 1 and (views[0].offset, views[0].end - views[0].start) == (
            0,
            size,
        ):
            _map(task, record, views[0], -1)
            fill_object(index, views[0].start)
        else:
            whole = _map_in_gap(task, record, size)
            fill_object(index, whole)
            _copy_views(task, views, whole)
            task.call("munmap", whole, size)
    return own


Piece = tuple[int, int, int]
"""Pages in a context: offset in the file, address, size."""


def split(
    runs: Iterable[Piece],
    mappings: Sequence[records.Mapping],
    own: Sequence[records.Mapping],
) -> Iterator[Piece]:
    """Yield runs cut at the ends of mappings, but for those that the host has."""
    at = 0
    for offset, address, size in runs:
        while size and at < len(mappings):
            mapping = mappings[at]
            if mapping.end <= address:
                at += 1
                continue
            part = min(size, mapping.end - address)
            if mapping not in own:
                yield offset, address, part
            offset, address, size = offset + part, address + part, size - part


class Core(Protocol):
    """The saved pages of a process."""

    def read(self, address: int, size: int) -> bytes | None:
        """Return saved bytes; None: they were not saved."""


def compare(process: Process, own: Sequence[records.Mapping], core: Core) -> None:
    """
    Check that the host's vdso is the one that the program has linked itself to.

    Raises:
        RestartError: It is another kernel's.
    """
    for mapping in own:
        size = mapping.end - mapping.start
        if mapping.special != "vdso":
            continue
        if process.read(mapping.start, size) != core.read(mapping.start, size):
            raise RestartError(
                f"process {process.pid}: the vdso of this kernel is not the one that "
                "the program was saved with; restart under the same kernel version",
                status=8,
            )


def missing(context: records.Context) -> list[str]:
    """Return a sentence for each mapped file that is gone or has changed."""
    found = []
    for path, size in sorted(
        {
            (one.path, one.size)
            for record in context.processes
            for one in record.mappings
            if one.path
        }
    ):
        try:
            now = os.stat(path).st_size  # noqa: PTH116
        except OSError as error:
            found.append(f"the mapped file '{path}': {error.strerror}")
            continue
        if size not in (-1, now):
            found.append(f"the mapped file '{path}' has {now} bytes and had {size}")
    return found


def _copy_views(task: Task, views: Sequence[records.Mapping], whole: int) -> None:
    """
    Show parts of an object, mapped as a whole, where the program had them.

    mremap with an old size of 0 makes a further mapping of shared pages (mremap(2)).
    """
    known = constants.of(task.process.arch)
    for view in views:
        length = view.end - view.start
        flags = known["MREMAP_MAYMOVE"] | known["MREMAP_FIXED"]
        task.call("mremap", whole + view.offset, 0, length, flags, view.start)
        task.call("mprotect", view.start, length, view.protection)


def _map_in_gap(task: Task, record: records.Process, size: int) -> int:
    """Map shared memory where the program has nothing, and return the address."""
    known = constants.of(task.process.arch)
    flags = known["MAP_SHARED"] | known["MAP_ANONYMOUS"] | known["MAP_FIXED_NOREPLACE"]
    protection = known["PROT_READ"] | known["PROT_WRITE"]
    for before, after in pairwise(record.mappings):
        if after.start - before.end < size + _GAP:
            continue
        try:
            return mmap(task, before.end + _GAP // 2, size, protection, flags, -1, 0)
        except RemoteCallError:
            continue
    raise RestartError(
        f"process {record.pid}: no room in its address space for {size} bytes of "
        "shared memory",
        status=12,
    )


def _file(
    task: Task,
    record: records.Process,
    mapping: records.Mapping,
    opened: dict[tuple[str, bool], int],
) -> int:
    """Return a descriptor inside the process for a mapped file."""
    known = constants.of(task.process.arch)
    writes = mapping.shared and bool(mapping.max_protection & _WRITE)
    key = (mapping.path, writes)
    if key not in opened:
        flags = known["O_RDWR"] if writes else known["O_RDONLY"]
        opened[key] = open_file(
            task, record.pid, mapping.path, flags | known["O_CLOEXEC"]
        )
        _check_unchanged(task, record, mapping, opened[key])
    return opened[key]


def _check_unchanged(
    task: Task, record: records.Process, mapping: records.Mapping, fd: int
) -> None:
    """
    Check that a mapped file still has the size that it had.

    Raises:
        RestartError: It has not; its pages would not be those the program had.
    """
    if mapping.size < 0 or mapping.shared:
        return
    size = file_size(task, fd)
    if size != mapping.size:
        raise RestartError(
            f"process {record.pid}: the mapped file '{mapping.path}' has {size} bytes "
            f"now and had {mapping.size}; restart where the same file is installed",
            status=2,
        )


def _map(
    task: Task,
    record: records.Process,
    mapping: records.Mapping,
    fd: int,
) -> None:
    """Make one mapping in its place."""
    known = constants.of(task.process.arch)
    flags = known["MAP_FIXED_NOREPLACE"]
    flags |= known["MAP_SHARED"] if mapping.shared else known["MAP_PRIVATE"]
    if fd < 0:
        flags |= known["MAP_ANONYMOUS"]
    if mapping.noreserve:
        flags |= known["MAP_NORESERVE"]
    if mapping.grows_down:
        flags |= known["MAP_GROWSDOWN"]
    size = mapping.end - mapping.start
    try:
        mmap(task, mapping.start, size, mapping.protection, flags, fd, mapping.offset)
        if mapping.huge:
            advice = "MADV_HUGEPAGE" if mapping.huge > 0 else "MADV_NOHUGEPAGE"
            task.call("madvise", mapping.start, size, known[advice])
    except RemoteCallError as error:
        what = f"'{mapping.path}'" if mapping.path else "memory"
        raise RestartError(
            f"process {record.pid}: {what} cannot be mapped at {mapping.start:#x} to "
            f"{mapping.end:#x}: {error}",
            status=error.errno,
        ) from error


def mmap(
    task: Task,
    address: int,
    size: int,
    protection: int,
    flags: int,
    fd: int,
    offset: int,
) -> int:
    """Map memory, by the call that this architecture has for it; offset in bytes."""
    if "mmap2" in task.process.arch.syscalls:
        return task.call(
            "mmap2", address, size, protection, flags, fd, offset // _MMAP2_UNIT
        )
    return task.call("mmap", address, size, protection, flags, fd, offset)
