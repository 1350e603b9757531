"""
Open files: regular ones, directories, devices, pipes, eventfd and epoll.

Descriptors that share one open file description share it again.  What comes from
outside of the saved processes, a terminal or a pipe to somebody else at descriptor 0, 1
or 2, is inherited from whoever restarts.

Source: open(2), dup(2), pipe(7), eventfd(2), epoll(7).
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Container, Mapping, Sequence
from typing import NamedTuple

from blcr import remote
from blcr.context import records
from blcr.errors import RefusedError, RemoteCallError, RestartError
from blcr.host.interface import DescriptorFacts, Process, Task
from blcr.linux import constants, structures

_TERMINAL = "/dev/tty"
BY_PATH = frozenset({"file", "directory", "device"})
"""Kinds that are opened by name."""


class Tables(NamedTuple):
    """Open files and pipes of all processes, filled in while these are saved."""

    files: list[records.OpenFile]
    pipes: list[records.Pipe]
    pipe_numbers: dict[int, int]


def save(process: Process, tables: Tables) -> tuple[records.Descriptor, ...]:
    """
    Return the descriptors of a process, and add what they refer to to the tables.

    Raises:
        RefusedError: One refers to something that cannot be saved.
    """
    descriptors = []
    numbers: dict[int, int] = {}
    all_facts = process.descriptors()
    _refuse_unwatched(process, all_facts)
    for facts in all_facts:
        if facts.refused:
            raise RefusedError(
                process.pid,
                f"descriptor {facts.fd} ({facts.label}) is {facts.refused}",
                hint="have the program close it before the checkpoint",
            )
        if facts.description not in numbers:
            numbers[facts.description] = len(tables.files)
            tables.files.append(_open_file(process, facts, tables))
        descriptors.append(
            records.Descriptor(facts.fd, numbers[facts.description], facts.cloexec)
        )
    return tuple(descriptors)


def _open_file(
    process: Process, facts: DescriptorFacts, tables: Tables
) -> records.OpenFile:
    """Return the record of an open file; a pipe's bytes are taken at its first end."""
    file = facts.file
    if file.kind != "pipe":
        return file
    if file.inode not in tables.pipe_numbers:
        tables.pipe_numbers[file.inode] = len(tables.pipes)
        tables.pipes.append(process.pipe(facts.fd))
    return file._replace(pipe=tables.pipe_numbers[file.inode])


def rebuild(task: Task, record: records.Process, context: records.Context) -> list[str]:
    """
    Open the descriptors of a process.  Returns warnings.

    Raises:
        RestartError: A file is gone or may not be opened.
    """
    builder = _Builder(task, record, context)
    builder.close_others()
    for descriptor in record.descriptors:
        builder.build(descriptor)
    for descriptor in record.descriptors:
        if context.files[descriptor.file].kind == "epoll":
            builder.watch(descriptor)
    builder.close_spares()
    return builder.warnings


def cut_back(
    task: Task, record: records.Process, context: records.Context
) -> list[str]:
    """
    Cut files that have grown since back to their saved length; the last step.

    Only files open for writing, and none open for appending.  Returns messages.
    """
    known = constants.of(task.process.arch)
    messages = []
    done = set()
    for descriptor in record.descriptors:
        file = context.files[descriptor.file]
        writes = file.flags & known["O_ACCMODE"] != known["O_RDONLY"]
        if file.kind != "file" or not writes or file.flags & known["O_APPEND"]:
            continue
        if descriptor.file in done:
            continue
        done.add(descriptor.file)
        size = file_size(task, descriptor.fd)
        if size > file.size:
            _truncate(task, descriptor.fd, file.size)
            messages.append(
                f"process {record.pid}: '{file.path}' had grown from {file.size} to "
                f"{size} bytes and was cut back"
            )
    return messages


def file_size(task: Task, fd: int) -> int:
    """Return the size of an open file, leaving its offset as it was."""
    known = constants.of(task.process.arch)
    here = seek(task, fd, 0, known["SEEK_CUR"])
    end = seek(task, fd, 0, known["SEEK_END"])
    seek(task, fd, here, known["SEEK_SET"])
    return end


def seek(task: Task, fd: int, offset: int, whence: int) -> int:
    """Set an offset; where a word is too small for it, by ``_llseek``."""
    if "_llseek" not in task.process.arch.syscalls:
        return task.call("lseek", fd, offset, whence)
    out = remote.Out(8)
    high, low = offset >> 32 & 0xFFFF_FFFF, offset & 0xFFFF_FFFF
    remote.call(task, "_llseek", fd, high, low, out, whence)
    return int.from_bytes(out.data, task.process.arch.layout.byteorder)


def _truncate(task: Task, fd: int, size: int) -> None:
    """Set the length of an open file."""
    arch = task.process.arch
    if "ftruncate64" not in arch.syscalls:
        task.call("ftruncate", fd, size)
        return
    task.call("ftruncate64", fd, *remote.halves(arch, size))


class _Ends(NamedTuple):
    """A new pipe's ends by whether they read: not yet taken; taken, at which number."""

    spare: dict[bool, int]
    used: dict[bool, int]


class _Builder:
    """The descriptors of one process, being opened through one of its threads."""

    def __init__(
        self, task: Task, record: records.Process, context: records.Context
    ) -> None:
        self.warnings: list[str] = []
        self._task = task
        self._record = record
        self._context = context
        self._known = constants.of(task.process.arch)
        self._first: dict[int, int] = {}
        self._pipes: dict[int, _Ends] = {}
        self._beyond = max((one.fd for one in record.descriptors), default=2) + 1
        self._openers: Mapping[str, Callable[[int, records.OpenFile], int]] = {
            "file": self._open_path,
            "directory": self._open_path,
            "device": self._open_path,
            "pipe": self._open_pipe,
            "eventfd": self._open_eventfd,
            "epoll": self._open_epoll,
            "inherited": self._inherit,
        }

    def close_others(self) -> None:
        """Close what came from the restarter and the program had closed."""
        for fd in set(range(3)) - {one.fd for one in self._record.descriptors}:
            self._close(fd)

    def build(self, descriptor: records.Descriptor) -> None:
        """Open one descriptor, or duplicate the one it shares its file with."""
        file = self._context.files[descriptor.file]
        target = descriptor.fd
        flags = self._known["O_CLOEXEC"] if descriptor.cloexec else 0
        first = self._first.get(descriptor.file)
        if first is not None:
            self._task.call("dup3", first, target, flags)
            return
        opener = self._openers.get(file.kind)
        if opener is None:
            raise RestartError(
                f"process {self._record.pid}: descriptor {target} is of the kind "
                f"'{file.kind}', which cannot be rebuilt here"
            )
        fd = opener(target, file)
        if fd != target:
            self._task.call("dup3", fd, target, flags)
            if file.kind != "inherited":
                self._close(fd)
        else:
            self._task.call(
                self._fcntl, target, self._known["F_SETFD"], int(descriptor.cloexec)
            )
        self._first[descriptor.file] = target

    @property
    def _fcntl(self) -> str:
        """The call that serves files of any size."""
        return "fcntl64" if "fcntl64" in self._task.process.arch.syscalls else "fcntl"

    def _close(self, fd: int) -> None:
        """Close a descriptor if it is open."""
        try:
            self._task.call("close", fd)
        except RemoteCallError:
            return

    def _open_path(self, target: int, file: records.OpenFile) -> int:
        """Open by name."""
        known = self._known
        dropped = known["O_CREAT"] | known["O_EXCL"] | known["O_TRUNC"]
        flags = file.flags & ~dropped | known["O_NOCTTY"]
        fd = open_file(self._task, self._record.pid, file.path, flags, target)
        if file.kind == "file" and stat.S_ISREG(file.mode):
            size = file_size(self._task, fd)
            if size < file.size:
                self.warnings.append(
                    f"process {self._record.pid}: '{file.path}' (descriptor {target}) "
                    f"has shrunk from {file.size} to {size} bytes"
                )
        if file.offset and file.kind != "device":
            seek(self._task, fd, file.offset, known["SEEK_SET"])
        return fd

    def _open_pipe(self, target: int, file: records.OpenFile) -> int:
        """Take an end of a pipe, which is made at its first end."""
        known, task = self._known, self._task
        reads = file.flags & known["O_ACCMODE"] == known["O_RDONLY"]
        if file.pipe not in self._pipes:
            self._pipes[file.pipe] = self._make_pipe(self._context.pipes[file.pipe])
        ends = self._pipes[file.pipe]
        flags = file.flags & ~known["O_LARGEFILE"]
        if reads in ends.spare:
            fd = ends.spare.pop(reads)
            task.call(self._fcntl, fd, known["F_SETFL"], flags)
        else:
            # A second open file of the same end; only its path leads to one.
            path = f"/proc/self/fd/{ends.used[reads]}"
            fd = open_file(task, self._record.pid, path, flags, target)
        ends.used[reads] = target
        return fd

    def _make_pipe(self, pipe: records.Pipe) -> _Ends:
        """Make a pipe out of the way of all targets, with capacity and bytes."""
        task, known = self._task, self._known
        out = remote.Out(8)
        remote.call(task, "pipe2", out, known["O_NONBLOCK"])
        ends = []
        for half in (out.data[:4], out.data[4:]):
            low = int.from_bytes(half, task.process.arch.layout.byteorder)
            ends.append(task.call(self._fcntl, low, known["F_DUPFD"], self._beyond))
            self._close(low)
        try:
            task.call(self._fcntl, ends[1], known["F_SETPIPE_SZ"], pipe.capacity)
        except RemoteCallError as error:
            raise RestartError(
                f"process {self._record.pid}: a pipe of {pipe.capacity} bytes cannot "
                "be made; see /proc/sys/fs/pipe-max-size",
                status=error.errno,
            ) from error
        left = pipe.data
        while left:
            done = remote.call(
                task, "write", ends[1], left[:2048], min(len(left), 2048)
            )
            left = left[done:]
        return _Ends({True: ends[0], False: ends[1]}, {})

    def _open_eventfd(self, target: int, file: records.OpenFile) -> int:
        """Make an eventfd with its counter and mode."""
        del target
        counter, semaphore = file.state[0]
        known = self._known
        flags = file.flags & known["O_NONBLOCK"]
        flags |= known["EFD_SEMAPHORE"] if semaphore else 0
        fd = self._task.call("eventfd2", 0, flags)
        if counter:
            order = self._task.process.arch.layout.byteorder
            remote.call(self._task, "write", fd, counter.to_bytes(8, order), 8)
        return fd

    def _open_epoll(self, target: int, file: records.OpenFile) -> int:
        """Make an epoll instance; `watch` fills it once all descriptors are there."""
        del target, file
        return self._task.call("epoll_create1", 0)

    def watch(self, descriptor: records.Descriptor) -> None:
        """Add what an epoll instance watches, once for all that share it."""
        if self._first[descriptor.file] != descriptor.fd:
            return
        layout = structures.of(self._task.process.arch, "epoll_event")
        for fd, events, data, _inode in self._context.files[descriptor.file].state:
            packed = layout.pack(events=events, data=data)
            add = self._known["EPOLL_CTL_ADD"]
            remote.call(self._task, "epoll_ctl", descriptor.fd, add, fd, packed)

    def _inherit(self, target: int, file: records.OpenFile) -> int:
        """Take the restarter's descriptor of the same number, or its terminal."""
        if file.state:
            return file.state[0][0]
        return open_file(
            self._task, self._record.pid, _TERMINAL, self._known["O_RDWR"], target
        )

    def close_spares(self) -> None:
        """Close the ends of pipes that no descriptor of the program refers to."""
        for ends in self._pipes.values():
            for fd in ends.spare.values():
                self._close(fd)


def open_file(
    task: Task, pid: int, path: str, flags: int, fd: int | None = None
) -> int:
    """
    Open a file in the name of a task.

    Raises:
        RestartError: It cannot be opened; the message names process and descriptor.
    """
    known = constants.of(task.process.arch)
    try:
        return remote.call(task, "openat", known["AT_FDCWD"], path, flags, 0)
    except RemoteCallError as error:
        what = f"descriptor {fd}" if fd is not None else "a mapping"
        raise RestartError(
            f"process {pid}: the file '{path}' of {what} cannot be opened: {error}",
            status=error.errno,
        ) from error


def missing(context: records.Context) -> list[str]:
    """Return a sentence for each open file whose name leads nowhere here."""
    return [
        f"the file '{one.path}' is missing"
        for one in context.files
        if one.kind in BY_PATH and not os.path.lexists(one.path)
    ]


def unsupported(context: records.Context, kinds: Container[str]) -> list[str]:
    """Return the kinds of open files in a context that are not among `kinds`."""
    return sorted({one.kind for one in context.files if one.kind not in kinds})


def _refuse_unwatched(process: Process, files: Sequence[DescriptorFacts]) -> None:
    """
    Refuse an epoll instance that watches a file under a number that now is another's.

    Raises:
        RefusedError: Naming the descriptor.
    """
    inodes = {one.fd: one.file.inode for one in files}
    for one in files:
        for fd, _events, _data, inode in (
            one.file.state if one.file.kind == "epoll" else ()
        ):
            if inode and inodes.get(fd) != inode:
                raise RefusedError(
                    process.pid,
                    f"descriptor {one.fd} (epoll) watches a file that is no longer "
                    f"descriptor {fd}",
                )
