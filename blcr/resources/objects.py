"""
Files without a name: shared memory, memory files, deleted ones; and copies of others.

Mappings and descriptors of one file refer to one `records.SharedMemory`, known by
device and inode while it is saved.  At restart it is made anew:

- shared memory by mmap(2), a memory file by memfd_create(2), sealed as the last step;
- an unlinked file under its old name, if that is free, and unlinked at once; else
  without a name in the same folder, and as a memory file where neither can be had;
- a file whose contents go along is made if it is gone, and else filled as the last step
  before the program runs.  A spare copy serves where the file is gone.

Source: memfd_create(2), open(2) for O_TMPFILE, F_ADD_SEALS(2const).
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from itertools import pairwise

from blcr import remote
from blcr.architecture import Arch
from blcr.context import records
from blcr.errors import RemoteCallError, RestartError
from blcr.host.interface import Call, Identity, Process, Run, Task
from blcr.linux import constants
from blcr.record import Record
from blcr.resources import contents, rollback
from blcr.resources.opening import Opening

_MMAP2_UNIT = 4096
_OWN_MODE = 0o600
_GAP = 4 << 20
"""Bytes left free around a mapping of our own: a stack above it may grow."""

Fill = Callable[[int, int], None]
"""Fill file `index` of a context where it is mapped: ``fill(index, address)``."""


class Saved(Record):
    """A file being saved: a process that has it, and where it holds data."""

    process: Process
    identity: Identity
    record: records.SharedMemory
    runs: list[Run]


class Table:
    """The files of all processes, filled in while these are saved."""

    def __init__(self) -> None:
        self.items: list[Saved] = []
        self._numbers: dict[Identity, int] = {}

    def add(
        self, process: Process, identity: Identity, like: records.SharedMemory
    ) -> int:
        """Return the index of a file; `like` tells its kind, name and pages."""
        if identity not in self._numbers:
            record, runs = like, list[Run]()
            if like.contents < 0:
                record, runs = process.file_object(identity)
            record = record._replace(
                kind=like.kind,
                name=like.name,
                huge_page=like.huge_page or record.huge_page,
                contents=like.contents,
                size=like.size or record.size,
                mode=like.mode or record.mode,
                ipc=like.ipc,
            )
            if like.size:
                # What is mapped are whole pages.
                runs = [Run(one.start, min(one.end, like.size)) for one in runs]
            self._numbers[identity] = len(self.items)
            self.items.append(Saved(process, identity, record, runs))
        return self._numbers[identity]

    def add_descriptor(self, process: Process, file: records.OpenFile) -> int:
        """Return the index of the memory file at a descriptor."""
        identity = (os.major(file.device), os.minor(file.device)), file.inode
        name = file.path.removeprefix("/memfd:").removesuffix(" (deleted)")
        return self.add(process, identity, records.SharedMemory(0, (), "memfd", name))


class Making:
    """
    The files of a context, made anew inside a process.

    Args:
        opening: Of the descriptors of the process.
        fill: Fills a mapped file.
    """

    def __init__(self, opening: Opening, fill: Fill) -> None:
        self.opening = opening
        self.fill = fill
        self._task = opening.task
        self._files = opening.context.shared_memory
        self._known = opening.known
        self._made: dict[int, int] = {}
        self._received: set[int] = set()
        """Those that another process has made."""
        self._late: set[int] = set()
        """Others' files, too: they are filled when nothing else can go wrong."""
        self._as_found: set[int] = set()

    def descriptor(self, index: int) -> int:
        """
        Return a descriptor in the process, open for reading and writing.

        Raises:
            RestartError: The file cannot be made.
        """
        opening, sharing = self.opening, self.opening.sharing
        if index not in self._made and index in sharing.objects:
            fd = opening.process.receive(sharing.objects[index])
            self._made[index] = opening.kept(fd)
            self._received.add(index)
        elif index not in self._made:
            self._made[index] = opening.kept(self._make(index))
            if index not in self._late and index not in self._as_found:
                self._contents(index)
            if index in sharing.common_objects:
                sharing.objects[index] = opening.process.lend(self._made[index])
        return self._made[index]

    def open(self, index: int, flags: int) -> int:
        """Return a further open file of it, which the caller closes."""
        known = self._known
        dropped = known["O_CREAT"] | known["O_EXCL"] | known["O_TRUNC"]
        # O_TMPFILE has the bit of O_DIRECTORY in it.
        dropped |= known["O_TMPFILE"]
        return self.opening.reopen(self.descriptor(index), flags & ~dropped, -1)

    def finish(self) -> None:
        """Do what must come last: contents of files that were there, seals."""
        for index in sorted(self._late):
            self._contents(index)
        for index, fd in self._made.items():
            file = self._files[index]
            # All others have those that the kernel gave them, and cannot have more.
            can_have_seals = file.kind == "memfd" and index not in self._received
            if can_have_seals and file.seals:
                self.opening.fcntl(fd, "F_ADD_SEALS", file.seals)
            self.opening.close(fd)
        self._made = {}

    def _call(self, name: str, *args: int | str) -> int:
        return remote.call(self._task, name, *args)

    # Making.

    def _make(self, index: int) -> int:
        """Return a descriptor of the file, which is still empty or not ours."""
        file = self._files[index]
        if file.contents >= 0:
            self._as_found.add(index)
            return self._open_too(file.contents)
        try:
            if file.kind == "unlinked":
                return self._unlinked(file)
            if file.kind == "file":
                return self._named(index, file)
            if file.kind == "spare":
                return self._spare(index, file)
            return self._memory_file(file)
        except RemoteCallError as error:
            raise self.opening.error(
                f"'{file.name}' cannot be made anew: {error}", error
            ) from error

    def _open_too(self, index: int) -> int:
        """Return a descriptor of a file that is open, too, and made for that."""
        opening, known = self.opening, self._known
        file = next(one for one in opening.context.files if one.contents == index)
        opener = contents.open_unlinked if file.unlinked else rollback.open_saved
        opening.close(opener(opening, -1, file))
        path = opening.places.get(index) or f"/proc/self/fd/{opening.files[index]}"
        with contextlib.suppress(RestartError):
            return opening.open(path, known["O_RDWR"] | known["O_CLOEXEC"], -1)
        return opening.open(path, known["O_RDONLY"] | known["O_CLOEXEC"], -1)

    def _memory_file(self, file: records.SharedMemory) -> int:
        """Make a file in memory."""
        known = self._known
        name = file.name
        if file.kind != "memfd":
            name = os.path.basename(name)
        flags = known["MFD_CLOEXEC"] | known["MFD_ALLOW_SEALING"]
        if file.huge_page:
            flags |= known["MFD_HUGETLB"]
            flags |= (file.huge_page.bit_length() - 1) << known["MFD_HUGE_SHIFT"]
        sealed = file.seals & known["F_SEAL_EXEC"] and not file.mode & 0o111
        executable = known["MFD_NOEXEC_SEAL" if sealed else "MFD_EXEC"]
        try:
            fd = self._call("memfd_create", name, flags | executable)
        except RemoteCallError:
            # Before Linux 6.3 there is no such flag.
            fd = self._call("memfd_create", name, flags)
        if file.kind == "memfd" and file.mode:
            self._task.call("fchmod", fd, file.mode & 0o7777)
        return fd

    def _unlinked(self, file: records.SharedMemory) -> int:
        """Make a file without a name, on its own file system if possible."""
        known = self._known
        here = known["AT_FDCWD"]
        create = known["O_RDWR"] | known["O_CREAT"] | known["O_EXCL"]
        mode = file.mode & 0o7777 or _OWN_MODE
        try:
            fd = self._call(
                "openat", here, file.name, create | known["O_CLOEXEC"], mode
            )
        except RemoteCallError:
            try:
                return self._nameless(file)
            except RemoteCallError:
                return self._memory_file(file)
        self._call("unlinkat", here, file.name, 0)
        return fd

    def _nameless(self, file: records.SharedMemory) -> int:
        """Make a file that has no name yet in the folder of an old one."""
        known = self._known
        folder = os.path.dirname(file.name)
        flags = known["O_RDWR"] | known["O_TMPFILE"] | known["O_CLOEXEC"]
        mode = file.mode & 0o7777 or _OWN_MODE
        return self._call("openat", known["AT_FDCWD"], folder, flags, mode)

    def _named(self, index: int, file: records.SharedMemory) -> int:
        """Open a file whose contents are put back at the end, or make it."""
        known = self._known
        here, flags = known["AT_FDCWD"], known["O_RDWR"] | known["O_CLOEXEC"]
        with contextlib.suppress(RemoteCallError):
            fd = self._call("openat", here, file.name, flags, 0)
            self._late.add(index)
            return fd
        flags |= known["O_CREAT"] | known["O_EXCL"]
        mode = file.mode & 0o7777 or _OWN_MODE
        try:
            with self.opening.making(file.name):
                return self._call("openat", here, file.name, flags, mode)
        except RemoteCallError:
            self.opening.warn(
                f"'{file.name}' can neither be opened for writing nor made; a copy "
                "without a name takes its place"
            )
            return self._memory_file(file)

    def _spare(self, index: int, file: records.SharedMemory) -> int:
        """Open a file, or take the copy of it."""
        known = self._known
        for access in ("O_RDWR", "O_RDONLY"):
            flags = known[access] | known["O_CLOEXEC"]
            with contextlib.suppress(RemoteCallError):
                fd = self._call("openat", known["AT_FDCWD"], file.name, flags, 0)
                self._as_found.add(index)
                return fd
        self.opening.warn(
            f"'{file.name}', which it has mapped, is gone; a copy without a name takes "
            "its place"
        )
        return self._memory_file(file)

    def _contents(self, index: int) -> None:
        """Give a file its size and contents."""
        file, fd, task = self._files[index], self._made[index], self._task
        truncate(task, fd, 0)
        truncate(task, fd, file.size)
        if not file.runs:
            return
        shared = self._known["MAP_SHARED"]
        at = map_in_gap(task, self.opening.record, file, shared, fd)
        self.fill(index, at)
        page = file.huge_page or task.process.arch.page_size
        task.call("munmap", at, -(-file.size // page) * page)


def map_in_gap(
    task: Task, record: records.Process, file: records.SharedMemory, flags: int, fd: int
) -> int:
    """
    Map a file, as a whole, where the program has nothing; return the address.

    Raises:
        RestartError: There is no room.
    """
    known = constants.of(task.process.arch)
    flags |= known["MAP_FIXED_NOREPLACE"]
    protection = known["PROT_READ"] | known["PROT_WRITE"]
    for address in _gaps(task, record, file):
        with contextlib.suppress(RemoteCallError):
            return mmap(task, address, file.size, protection, flags, fd, 0)
    raise _no_room(record, file)


def attach_in_gap(
    task: Task, record: records.Process, file: records.SharedMemory, segment: int
) -> int:
    """
    Attach a System V segment where the program has nothing; return the address.

    Raises:
        RestartError: There is no room, or it may not be attached.
    """
    failure = None
    for address in _gaps(task, record, file):
        try:
            return task.call("shmat", segment, address, 0)
        except RemoteCallError as error:
            failure = error
    raise _no_room(record, file) from failure


def _gaps(
    task: Task, record: records.Process, file: records.SharedMemory
) -> Iterator[int]:
    """Yield addresses where the program has nothing and the file has room."""
    align = max(file.huge_page, task.process.arch.page_size)
    for before, after in pairwise(record.mappings):
        if after.start - before.end >= file.size + _GAP + align:
            yield -(-(before.end + _GAP // 2) // align) * align


def _no_room(record: records.Process, file: records.SharedMemory) -> RestartError:
    return RestartError(
        f"process {record.pid}: no room in its address space for {file.size} bytes of "
        "shared memory",
        status=12,
    )


def mmap(
    task: Task,
    address: int,
    size: int,
    protection: int,
    flags: int,
    fd: int,
    offset: int,
) -> int:
    """Map memory; offset in bytes."""
    name, args = mmap_call(
        task.process.arch, address, size, protection, flags, fd, offset
    )
    return task.call(name, *args)


def mmap_call(arch: Arch, *args: int) -> Call:
    """Return the call that an architecture has for mmap(2), with those arguments."""
    if "mmap2" not in arch.syscalls:
        return "mmap", args
    *others, offset = args
    return "mmap2", (*others, offset // _MMAP2_UNIT)


def truncate(task: Task, fd: int, size: int) -> None:
    """Set the length of an open file."""
    arch = task.process.arch
    if "ftruncate64" not in arch.syscalls:
        task.call("ftruncate", fd, size)
        return
    task.call("ftruncate64", fd, *remote.halves(arch, size))
