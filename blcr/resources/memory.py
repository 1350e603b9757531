"""
Address spaces: mappings, and which of their pages go into a context.

Saved are pages that differ from what the mapped file, or zero, gives back, and the
contents of files that have no name; those of mapped files with a name where that leads
to them no longer, where the user wants it, and small ones that are mapped shared, in
case they are gone.  The kernel's vdso is saved, too: another host shows it to the
program where it has none of its own.

What was mapped privately of a file that was saved comes back as anonymous memory.

Source: mmap(2), madvise(2), mlock(2), proc_pid_maps(5), prctl(2) for PR_SET_MM_MAP.
"""

from __future__ import annotations

import os
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from functools import partial

from blcr import remote
from blcr.annotations import Protocol
from blcr.context import records
from blcr.errors import RefusedError, RemoteCallError, RestartError
from blcr.host.interface import MappingFacts, NewProcess, Process, Run, Task
from blcr.linux import constants, vdso
from blcr.resources import files, keys, mapped, objects, scheduling
from blcr.resources.opening import Opening, open_file

_WRITE = 2
_READ = 1
_SPARE = 1 << 20
"""Bytes up to which a file that is mapped shared is saved in case that it is gone."""


def save(
    process: Process, tables: files.Tables, exe: str, wanted: Container[str]
) -> tuple[tuple[records.Mapping, ...], list[MappingFacts]]:
    """
    Return the mappings of a process, and what the host knows about each.

    Args:
        tables: The open files; files without a name are added.
        exe: Path of its executable.
        wanted: Of which mapped files the contents are to be saved: ``"exe"``,
            ``"private"``, ``"shared"``.

    Raises:
        RefusedError: One cannot be saved.
    """
    facts = process.mappings()
    for index, one in enumerate(facts):
        record = one.record
        if one.refused:
            raise RefusedError(
                process.pid,
                f"its memory at {record.start:#x} to {record.end:#x} is {one.refused}",
            )
        if record.path or one.object:
            record = _of_file(process, one, tables, exe, wanted)
            facts[index] = one._replace(record=record)
    return tuple(one.record for one in facts), facts


def _of_file(
    process: Process,
    one: MappingFacts,
    tables: files.Tables,
    exe: str,
    wanted: Container[str],
) -> records.Mapping:
    """Return the record of a mapping with a file, of any kind, behind it."""
    record = one.record
    if other := _other_name(one, tables):
        return record._replace(path=other)
    if file := _object(one, tables, wanted):
        return record._replace(object=tables.objects.add(process, one.identity, file))
    if record.path and not record.shared:
        kind = "exe" if record.path == exe else "private"
        return record._replace(
            saved=one.deleted or kind in wanted,
            build_id=mapped.build_id(process, record),
        )
    return record


def _other_name(one: MappingFacts, tables: files.Tables) -> str:
    """Return the name by which a deleted file that is open was found, or empty."""
    if not (one.deleted and one.record.shared):
        return ""
    identity = (os.makedev(*one.device), one.inode)
    names = (
        file.path
        for file in tables.files
        if file.kind == "file" and (file.device, file.inode) == identity
        if not file.unlinked
    )
    return next(names, "")


def _object(
    one: MappingFacts, tables: files.Tables, wanted: Container[str]
) -> records.SharedMemory | None:
    """Return as what the file behind a mapping is saved; None: it is not."""
    path = one.record.path
    if one.object or not path or not one.record.shared:
        return one.object
    contents = tables.contents.get((os.makedev(*one.device), one.inode))
    if contents:
        number, size = contents.number, contents.contents.size
        unlinked = any(f.unlinked for f in tables.files if f.contents == number)
        kind = "unlinked" if unlinked else "file"
        return records.SharedMemory(size, (), kind, path, contents=number)
    if one.deleted:
        kind = "unlinked"
    elif "shared" in wanted:
        kind = "file"
    elif one.record.size <= _SPARE:
        kind = "spare"
    else:
        return None
    return records.SharedMemory(0, (), kind, path)


def save_guards(
    process: Process, facts: Sequence[MappingFacts]
) -> tuple[tuple[int, int], ...]:
    """Return the guard pages of a process."""
    return tuple((one.start, one.end) for one in process.guards(facts))


def save_lock_future(process: Process, facts: Sequence[MappingFacts]) -> int:
    """
    Return what mlockall(2) has said of memory to come, ``MCL_*``.

    No interface shows it, so a page is mapped to see what becomes of it: of locked
    memory MADV_DONTNEED takes nothing away, and not locked on fault it is there at
    once.  Asked only where there is locked memory.
    """
    if not any(one.record.locked for one in facts):
        return 0
    task = next((one for one in process.tasks if one.can_call), None)
    if task is None:
        return 0
    known, size = constants.of(process.arch), process.arch.page_size
    flags = known["MAP_PRIVATE"] | known["MAP_ANONYMOUS"]
    try:
        at = objects.mmap(task, 0, size, known["PROT_READ"], flags, -1, 0)
    except RemoteCallError:
        # EAGAIN: it would be locked, and the limit is reached.
        return known["MCL_FUTURE"]
    try:
        present = remote.Out(1)
        remote.call(task, "mincore", at, size, present)
        task.call("madvise", at, size, known["MADV_DONTNEED"])
    except RemoteCallError:
        on_fault = not present.data[0] & 1
        return known["MCL_FUTURE"] | (known["MCL_ONFAULT"] if on_fault else 0)
    finally:
        task.call("munmap", at, size)
    return 0


def own_pages(process: Process, facts: Sequence[MappingFacts]) -> Iterator[Run]:
    """
    Yield the pages to be saved, in order of address.

    Whole go the vdso and the like, and what is mapped of files that may be gone.
    """
    whole = []
    for one in facts:
        record = one.record
        if record.special in ("vdso", "sigpage"):
            whole.append(Run(record.start, record.end))
        elif record.saved:
            end = process.readable_end(record.start, record.end)
            if end > record.start:
                whole.append(Run(record.start, end))
    runs = process.present(facts)
    pending = next(runs, None)
    for extra in whole:
        while pending and pending.start < extra.start:
            yield pending
            pending = next(runs, None)
        yield extra
        while pending and pending.start < extra.end:
            pending = next(runs, None)
    while pending:
        yield pending
        pending = next(runs, None)


def rebuild(made: objects.Making, core: Core) -> list[records.Mapping]:
    """
    Lay out the address space of an emptied process; private pages are filled in later.

    Returns:
        The mappings that the host has of its own, and that are not to be filled.

    Raises:
        RestartError: A mapped file is gone or has changed, or there is no room.
    """
    opening = made.opening
    process, record = opening.process, opening.record
    keys.allocate(opening)
    layout = _Layout(made)
    specials = [one for one in record.mappings if one.special in records.KERNEL_S]
    # First these: where they lie in a new process is the kernel's choice.
    foreign = _is_foreign(process, specials, core)
    own = [] if foreign else [one for one in specials if process.place_special(one)]
    for mapping in record.mappings:
        if mapping not in own:
            layout.add(mapping)
    layout.finish()
    if layout.unnamed:
        opening.warn(
            "this kernel gives memory no names (PR_SET_VMA_ANON_NAME); its own are lost"
        )
    if layout.unmerged:
        opening.warn("this kernel merges no pages (MADV_MERGEABLE)")
    return own


def finish(opening: Opening) -> None:
    """
    Install guard pages and lock memory, all of which is filled now.

    Raises:
        RestartError: This kernel has no guard pages.
    """
    task, record, known = opening.task, opening.record, opening.known
    for start, end in record.guards:
        try:
            task.call("madvise", start, end - start, known["MADV_GUARD_INSTALL"])
        except RemoteCallError as error:
            raise opening.error(
                f"the guard pages at {start:#x} to {end:#x} need a newer kernel "
                f"(MADV_GUARD_INSTALL, Linux 6.13): {error}",
                error,
            ) from error
    keys.finish(opening)
    lost = sum(
        mapping.end - mapping.start
        for mapping in record.mappings
        if mapping.locked and not _lock(task, mapping)
    )
    if lost:
        opening.warn(
            f"{lost} bytes of its memory cannot be locked again; raise the limit "
            "(ulimit -l)"
        )
    if record.lock_future:
        try:
            task.call("mlockall", record.lock_future)
        except RemoteCallError as error:
            opening.warn(
                f"its future memory cannot be locked: {error}; raise the limit "
                "(ulimit -l)"
            )


def _lock(task: Task, mapping: records.Mapping) -> bool:
    """Lock a mapping; False: the limit is too low."""
    known = constants.of(task.process.arch)
    size = mapping.end - mapping.start
    try:
        on_fault = known["MLOCK_ONFAULT"] if mapping.locked > 1 else 0
        task.call("mlock2", mapping.start, size, on_fault)
    except RemoteCallError as error:
        # Pages that nobody may read are locked, though not brought in.
        return error.errno == known["ENOMEM"] and not mapping.protection & _READ
    return True


class _Layout:
    """The mappings of one process, being made through one of its threads."""

    def __init__(self, made: objects.Making) -> None:
        self.unnamed = False
        self.unmerged = False
        self._made = made
        self._task = made.opening.task
        self._record = made.opening.record
        self._files = made.opening.context.shared_memory
        self._known = made.opening.known
        self._batch = remote.Batch(made.opening.process)
        self._opened: dict[tuple[int | str, bool], int] = {}
        self._views: dict[int, list[records.Mapping]] = {}

    def add(self, mapping: records.Mapping) -> None:
        """Make a mapping, unless it shows a part of shared memory."""
        if mapping.special == "aio":
            # Its place is kept for the ring.
            self._map(mapping._replace(shared=False, protection=0), -1)
        elif self._is_ours_alone(mapping.object):
            self._views.setdefault(mapping.object, []).append(mapping)
        else:
            self._map(mapping, self._descriptor(mapping))

    def _is_ours_alone(self, index: int) -> bool:
        """Tell whether it is shared memory that no other process has, or a segment."""
        if index >= 0 and self._files[index].kind == "sysv":
            return True
        common = self._made.opening.sharing.common_objects
        return (
            index >= 0
            and self._files[index].kind == "anonymous"
            and index not in common
        )

    def finish(self) -> None:
        """Make what has been added, and shared memory; close files."""
        self._batch.make()
        for index, views in self._views.items():
            file, first = self._files[index], views[0]
            whole = (first.offset, first.end - first.start) == (0, file.size)
            # What is shared is filled through its mapping, which has to be writable.
            if file.kind == "sysv":
                self._attach(index, views)
            elif len(views) == 1 and whole and first.protection & _WRITE:
                self._map(first, -1)
                self._batch.make()
                self._made.fill(index, first.start)
            elif file.huge_page:
                # Of these no view can be made of a view.
                for view in views:
                    self._map(view, self._descriptor(view))
            else:
                self._map_views(index, views)
        for fd in self._opened.values():
            self._batch.add("close", fd)
        self._batch.make()

    def _attach(self, index: int, views: Sequence[records.Mapping]) -> None:
        """Attach a System V segment; the first process fills it."""
        opening, task = self._made.opening, self._task
        file, segment = self._files[index], opening.process.segments[index]
        self._batch.make()
        whole = objects.attach_in_gap(task, self._record, file, segment)
        if index not in opening.sharing.filled_segments:
            opening.sharing.filled_segments.add(index)
            self._made.fill(index, whole)
        self._show(file, whole, views)

    def _map_views(self, index: int, views: Sequence[records.Mapping]) -> None:
        """Make shared memory as a whole, and show parts where the program had them."""
        task, known = self._task, self._known
        file = self._files[index]
        self._batch.make()
        flags = known["MAP_SHARED"] | known["MAP_ANONYMOUS"]
        whole = objects.map_in_gap(task, self._record, file, flags, -1)
        self._made.fill(index, whole)
        self._show(file, whole, views)

    def _show(
        self, file: records.SharedMemory, whole: int, views: Sequence[records.Mapping]
    ) -> None:
        """
        Show parts of shared memory where the program had them, and no more the whole.

        mremap(2) with an old size of 0 makes a further mapping of shared pages.
        """
        known = self._known
        for view in views:
            length = view.end - view.start
            flags = known["MREMAP_MAYMOVE"] | known["MREMAP_FIXED"]
            at = whole + view.offset
            self._batch.add("mremap", at, 0, length, flags, view.start)
            self._batch.add("mprotect", view.start, length, view.protection)
            self._advise(view)
        self._batch.add("munmap", whole, file.size)

    def _descriptor(self, mapping: records.Mapping) -> int:
        """Return a descriptor of the file to be mapped; -1: none."""
        writes = mapping.shared and bool(mapping.max_protection & _WRITE)
        if mapping.object >= 0:
            if writes:
                return self._made.descriptor(mapping.object)
            key: tuple[int | str, bool] = (mapping.object, False)
        elif mapping.path and not mapping.saved:
            key = (mapping.path, writes)
        else:
            return -1
        if key not in self._opened:
            known = self._known
            flags = known["O_RDWR" if writes else "O_RDONLY"] | known["O_CLOEXEC"]
            if mapping.object >= 0:
                fd = self._made.open(mapping.object, flags)
            else:
                fd = open_file(self._task, self._record.pid, mapping.path, flags)
            self._opened[key] = fd
        return self._opened[key]

    def _map(self, mapping: records.Mapping, fd: int) -> None:
        """Make one mapping in its place."""
        known = self._known
        flags = known["MAP_FIXED_NOREPLACE"]
        if mapping.droppable:
            flags |= known["MAP_DROPPABLE"]
        else:
            flags |= known["MAP_SHARED" if mapping.shared else "MAP_PRIVATE"]
        if fd < 0:
            flags |= known["MAP_ANONYMOUS"]
        if fd < 0 and mapping.huge_page and not mapping.saved:
            flags |= known["MAP_HUGETLB"]
            flags |= (mapping.huge_page.bit_length() - 1) << known["MAP_HUGE_SHIFT"]
        if mapping.noreserve:
            flags |= known["MAP_NORESERVE"]
        if mapping.grows_down:
            flags |= known["MAP_GROWSDOWN"]
        start, size = mapping.start, mapping.end - mapping.start
        offset = mapping.offset if fd >= 0 else 0
        name, args = objects.mmap_call(
            self._task.process.arch, start, size, mapping.protection, flags, fd, offset
        )
        self._batch.add(name, *args, failed=partial(self._not_mapped, mapping))
        self._advise(mapping)

    def _not_mapped(self, mapping: records.Mapping, error: RemoteCallError) -> None:
        """Say that a mapping cannot be made."""
        what = f"'{mapping.path}'" if mapping.path else "memory"
        hint = ""
        if mapping.huge_page:
            what = f"memory in huge pages of {mapping.huge_page >> 10} kB"
            count = (mapping.end - mapping.start) // mapping.huge_page
            hint = f"; {count} are needed, see vm.nr_hugepages"
        raise RestartError(
            f"process {self._record.pid}: {what} cannot be mapped at "
            f"{mapping.start:#x} to {mapping.end:#x}: {error}{hint}",
            status=error.errno,
        ) from error

    def _advise(self, mapping: records.Mapping) -> None:
        """Tell the kernel about a mapping what it has been told."""
        known, batch = self._known, self._batch
        where = mapping.start, mapping.end - mapping.start
        not_mapped = partial(self._not_mapped, mapping)
        if mapping.huge:
            advice = "MADV_HUGEPAGE" if mapping.huge > 0 else "MADV_NOHUGEPAGE"
            batch.add("madvise", *where, known[advice], failed=not_mapped)
        if mapping.policy:
            batch.make()
            if loss := scheduling.rebuild_mapping_policy(self._task, mapping):
                self._made.opening.warn(loss)
        for word in mapping.advice:
            failed = self._not_merged if word == "mergeable" else not_mapped
            advice = f"MADV_{word.upper()}"
            batch.add("madvise", *where, known[advice], failed=failed)
        _, _, name = mapping.name.partition(":")
        if name:
            kind = known["PR_SET_VMA"], known["PR_SET_VMA_ANON_NAME"]
            name = name.removesuffix("]")
            batch.add("prctl", *kind, *where, name, failed=self._not_named)

    def _not_merged(self, _error: RemoteCallError) -> None:
        self.unmerged = True

    def _not_named(self, _error: RemoteCallError) -> None:
        self.unnamed = True


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

    def register_sets(self, tid: int) -> Mapping[int, bytes]:
        """Return the register sets of a thread by note type."""


def _is_foreign(
    process: NewProcess, specials: Sequence[records.Mapping], core: Core
) -> bool:
    """Tell whether the host's vdso is another one than the program has linked to."""
    own = process.own_vdso()
    if own is None or not specials:
        return False
    if not all(process.has_special(one) for one in specials):
        return True
    saved = next((one for one in specials if one.special == "vdso"), None)
    return saved is not None and own != core.read(saved.start, saved.end - saved.start)


def rebind(opening: Opening, core: Core) -> dict[int, bytes]:
    """
    Have the functions of a vdso that is memory like any other lead to the host's own.

    A thread inside of one finds zeros where the kernel kept its clocks, which the
    functions take for "ask the kernel"; only those of the coarse clocks do not look.
    One that is inside of what is replaced is run up to what is not.

    Returns:
        By thread id the general registers that are others than the saved ones now.

    Raises:
        RestartError: Such a thread does not come out.
    """
    process, arch = opening.process, opening.process.arch
    image = process.own_vdso()
    old = [one for one in opening.record.mappings if one.special == "vdso"]
    if image is None or not old:
        return {}
    place = process.keep_specials()
    present = {name: place + at for name, at, _end in vdso.functions(arch, image)}
    start, end = old[0].start, old[0].end
    moved = {}
    replaced = list(vdso.replacements(arch, process.read(start, end - start), present))
    for thread, task in zip(opening.record.threads, process.tasks, strict=True):
        general = core.register_sets(thread.tid).get(arch.gp.note_type)
        if general is None:
            continue
        at = arch.gp.decode(general)[arch.pc] - start
        for offset, code in replaced:
            if offset < at < offset + len(code):
                first = start + offset
                moved[thread.tid] = task.step_out(general, first, first + len(code))
    for offset, code in replaced:
        process.write(start + offset, code)
    return moved
