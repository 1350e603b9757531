"""
Open files: what descriptors refer to, and the kinds that are opened by name.

Descriptors that share one open file description share it again.  What comes from
outside of the saved processes, a terminal or a pipe to somebody else at descriptor 0, 1
or 2, is inherited from whoever restarts.  The other kinds are in the modules `pipes`,
`events` and `contents`.

Source: open(2), dup(2), fcntl(2).
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Container, Mapping

from blcr import remote
from blcr.context import records
from blcr.errors import PassingError, RefusedError, RemoteCallError
from blcr.host.interface import (
    DescriptorFacts,
    Frozen,
    FrozenProcess,
    Process,
    SocketFacts,
    Task,
)
from blcr.record import Record
from blcr.resources import (
    contents,
    events,
    locks,
    messages,
    objects,
    pipes,
    rollback,
    terminals,
)
from blcr.resources.opening import Opening, seek
from blcr.resources.plain import Plain

BY_PATH = frozenset({"file", "directory", "device", "path", "fifo"})
"""Kinds that are opened by name."""
_WITH_BYTES = frozenset({"pipe", "fifo"})
_CLOEXEC_AT_ONCE = frozenset(
    {"file", "directory", "device", "path", "eventfd", "timerfd", "inotify", "epoll"}
)
"""Kinds that are made with close-on-exec, not given it afterwards."""


class Tables(Record):
    """
    Open files, pipes and contents of all processes, filled in while these are saved.

    Attributes:
        pipe_numbers: The index of a pipe by its inode.
        contents: By device and inode.
        warnings: What the user should know.
        objects: Files that only those have who map them or hold them open.
        opened: Who has an open file, by what is alike in open files that may be the
            same one; in the host's order of open files.
        socket_numbers: The index of a socket by its inode.
        in_flight: The index of an open file that a socket has to give, by our number.
        queues: POSIX message queues whose messages are saved, by device and inode.
    """

    files: list[records.OpenFile]
    pipes: list[records.Pipe]
    pipe_numbers: dict[int, int]
    contents: dict[tuple[int, int], contents.Saving]
    warnings: list[str]
    objects: objects.Table
    opened: dict[tuple[object, ...], list[_Opened]]
    sockets: list[SocketFacts]
    socket_numbers: dict[int, int]
    in_flight: dict[int, int]
    queues: set[tuple[int, int]]

    @classmethod
    def empty(cls) -> Tables:
        """Return tables of nothing."""
        return cls([], [], {}, {}, [], objects.Table(), {}, [], {}, {}, set())

    def opened_before(self, process: FrozenProcess, facts: DescriptorFacts) -> int:
        """Return the index of an open file that another process has; or -1, noted."""
        file = facts.file
        key = (file.device, file.inode, file.path, file.offset, file.flags)
        alike = self.opened.setdefault(key, [])
        low, high = 0, len(alike)
        while low < high:
            middle = (low + high) // 2
            other = alike[middle]
            order = process.compare_file(facts.fd, other.process, other.fd)
            if order == 0:
                return other.number
            low, high = (low, middle) if order < 0 else (middle + 1, high)
        alike.insert(low, _Opened(process, facts.fd, len(self.files)))
        return -1

    def close(self) -> None:
        """Close what was opened to read contents from."""
        for one in self.contents.values():
            os.close(one.contents.fd)


class _Opened(Record):
    """An open file: a process that has it, at which number, its index as `number`."""

    process: FrozenProcess
    fd: int
    number: int


def save(
    process: FrozenProcess, tables: Tables, wanted: Container[str]
) -> tuple[tuple[records.Descriptor, ...], tuple[records.FileLock, ...]]:
    """
    Return descriptors and locks of a process; what they refer to goes to the tables.

    Args:
        wanted: With ``"files"`` contents of files that have a name are saved, too.

    Raises:
        RefusedError: One refers to something that cannot be saved.
    """
    descriptors = []
    held: list[records.FileLock] = []
    numbers: dict[int, int] = {}
    all_facts = process.descriptors()
    events.refuse_unwatched(process, all_facts)
    for facts in all_facts:
        closes = facts.leads_outside and "connections" in wanted
        if closes:
            tables.warnings.append(
                f"process {process.pid}: descriptor {facts.fd} is {facts.refused}; a "
                "restart finds it closed"
            )
        if closes or facts.keepable:
            file = facts.file._replace(kind="socket")
            facts = facts._replace(refused="", file=file)
        if facts.description not in numbers:
            index = tables.opened_before(process, facts)
            if index < 0 and facts.refused:
                raise _refusal(process, facts)
            if index < 0:
                index = len(tables.files)
                tables.files.append(_open_file(process, facts, tables, wanted))
                held += facts.locks
            else:
                # The others are the open file's, and its first process takes them.
                held += [lock for lock in facts.locks if lock.kind == "posix"]
            numbers[facts.description] = index
        descriptors.append(
            records.Descriptor(facts.fd, numbers[facts.description], facts.cloexec)
        )
    return tuple(descriptors), tuple(held)


_GIVEN = frozenset({*BY_PATH, *_WITH_BYTES, "eventfd", "memfd", "socket"})
"""Kinds that nobody but a socket may have."""


def save_in_flight(frozen: Frozen, tables: Tables, wanted: Container[str]) -> None:
    """
    Save the open files that sockets have to give.

    Raises:
        RefusedError: One cannot be saved.
    """
    given = {
        fd for one in tables.sockets for each in one.in_flight for fd in each
    }  # further sockets may be among them
    if not given:
        return
    ourselves = frozen.ourselves()
    pid = frozen.processes[0].pid
    facts = {one.fd: one for one in ourselves.descriptors()}
    queue = sorted(given)
    seen: dict[int, int] = {}
    for fd in queue:
        one = facts[fd]
        index = seen.get(one.description, -1)
        if index < 0:
            index = tables.opened_before(ourselves, one)
        if index < 0:
            kind = one.file.kind
            if one.refused or one.deleted or kind not in _GIVEN or one.locks:
                raise RefusedError(
                    pid,
                    f"a socket has to give a descriptor ({one.label}) which is "
                    f"{one.refused or 'a file that nobody has open'}",
                    hint="have the program receive it before the checkpoint",
                )
            index = len(tables.files)
            before = len(tables.sockets)
            tables.files.append(_open_file(ourselves, one, tables, wanted))
            more = tables.sockets[before:]
            queue += [fd for new in more for each in new.in_flight for fd in each]
        tables.in_flight[fd] = seen[one.description] = index


def _refusal(process: Process, facts: DescriptorFacts) -> RefusedError:
    """Return why a descriptor cannot be saved."""
    hint = "have the program close it before the checkpoint"
    if facts.leads_outside:
        hint += ", or save it to be closed by --close-connections"
    what = f"descriptor {facts.fd} ({facts.label}) is {facts.refused}"
    kind = PassingError if facts.passing else RefusedError
    return kind(process.pid, what, hint=hint)


def _open_file(
    process: Process,
    facts: DescriptorFacts,
    tables: Tables,
    wanted: Container[str],
) -> records.OpenFile:
    """Return the record of an open file; a pipe's bytes are taken at its first end."""
    file = facts.file
    if facts.deleted:
        if facts.names:
            tables.warnings.append(
                f"process {process.pid}: '{file.path}' (descriptor {facts.fd}) was "
                "deleted and has another name that was not found; a restart makes it "
                "a file of its own"
            )
        index = contents.save(process, facts, tables.contents)
        return file._replace(contents=index, unlinked=True)
    if file.kind == "file" and "files" in wanted and not _is_of_kernel(file):
        return file._replace(contents=contents.save(process, facts, tables.contents))
    if file.kind == "memfd":
        index = tables.objects.add_descriptor(process, file)
        return file._replace(object=index)
    if file.kind == "socket":
        tables.socket_numbers[file.inode] = len(tables.sockets)
        keep = facts.keepable and "connections" not in wanted
        tables.sockets.append(process.socket(facts.fd, keep=keep))
        return file._replace(socket=tables.socket_numbers[file.inode])
    if file.kind == "mqueue" and (file.device, file.inode) not in tables.queues:
        tables.queues.add((file.device, file.inode))
        return file._replace(messages=process.messages(facts.fd))
    if file.kind not in _WITH_BYTES:
        return file
    if file.inode not in tables.pipe_numbers:
        tables.pipe_numbers[file.inode] = len(tables.pipes)
        tables.pipes.append(process.pipe(facts.fd))
    return file._replace(pipe=tables.pipe_numbers[file.inode])


def _is_of_kernel(file: records.OpenFile) -> bool:
    """Tell whether the contents of a file are what the kernel says at the moment."""
    return file.path.startswith(("/proc/", "/sys/", "/dev/"))


def rebuild(opening: Opening, made: objects.Making) -> None:
    """
    Open the descriptors of a process.

    Raises:
        RestartError: A file is gone or may not be opened.
    """
    record, context = opening.record, opening.context
    for fd in set(range(3)) - {one.fd for one in record.descriptors}:
        # What came from the restarter and the program had closed.
        opening.close(fd)
    plain = Plain(opening)
    for descriptor in record.descriptors:
        if context.files[descriptor.file].kind == "socket":
            # They are made when all processes are there.
            continue
        if not plain.add(descriptor):
            _settle(opening, plain)
            _build(opening, descriptor, made)
    _settle(opening, plain)
    contents.dress(opening)
    opening.close_aside()
    for index, fd in opening.first.items():
        own(opening, fd, context.files[index])


def finish(opening: Opening) -> None:
    """
    Do what needs all descriptors, and is late enough for timers to run.

    Raises:
        RestartError: A lock cannot be taken again.
    """
    locks.rebuild(opening)
    messages.notify(opening)
    events.set_timers(opening)
    events.watch_descriptors(opening)
    events.try_watches(opening)


def commit(opening: Opening) -> None:
    """
    Do what others see, and what cannot all be undone: the last calls of all.

    Raises:
        RestartError: A file cannot be watched.
    """
    if not opening.keep_grown:
        cut_back(opening)
    rollback.finish(opening)
    events.watch_files(opening)


def _settle(opening: Opening, plain: Plain) -> None:
    """Open plain descriptors, and compare their files with what these were."""
    for descriptor in plain.make():
        _look_at(opening, descriptor.fd, opening.context.files[descriptor.file])


def _build(
    opening: Opening, descriptor: records.Descriptor, made: objects.Making
) -> None:
    """Open one descriptor, or duplicate the one it shares its file with."""
    file = opening.context.files[descriptor.file]
    target = descriptor.fd
    flags = opening.known["O_CLOEXEC"] if descriptor.cloexec else 0
    opening.cloexec = flags
    index = descriptor.file
    first = opening.first.get(index, opening.received.get(index))
    if first is not None:
        opening.task.call("dup3", first, target, flags)
        return
    shared = opening.sharing.files.get(index)
    if shared is not None:
        opening.receive(shared, target, cloexec=descriptor.cloexec)
        opening.received[index] = target
        return
    opener = _OPENERS.get(file.kind)
    if file.contents >= 0:
        opener = contents.open_unlinked if file.unlinked else rollback.open_saved
    if file.object >= 0:
        fd = made.open(file.object, file.flags)
    elif opener:
        fd = opener(opening, target, file)
    else:
        raise opening.error(
            f"descriptor {target} is of the kind '{file.kind}', which cannot be "
            "rebuilt here"
        )
    if fd != target:
        opening.task.call("dup3", fd, target, flags)
        if file.kind != "inherited":
            opening.close(fd)
    elif _lacks_cloexec(descriptor, file):
        opening.fcntl(target, "F_SETFD", int(descriptor.cloexec))
    if file.kind == "file" and file.contents < 0:
        _look_at(opening, target, file)
    elif file.offset and file.kind in ("file", "memfd"):
        with opening.lent(target) as ours:
            os.lseek(ours, file.offset, os.SEEK_SET)
    elif file.offset and file.kind == "directory":
        seek(opening.task, target, file.offset, opening.known["SEEK_SET"])
    opening.first[index] = target
    if index in opening.sharing.common_files:
        opening.sharing.files[index] = opening.process.lend(target)


def open_apart(opening: Opening, index: int, made: objects.Making) -> int:
    """Open a file that the program has nowhere; return a descriptor of ours."""
    file = opening.context.files[index]
    opening.pipes.pop(file.pipe, None)
    if file.object >= 0:
        fd = made.open(file.object, file.flags)
    else:
        fd = _OPENERS[file.kind](opening, opening.beyond, file)
    opening.pipes.pop(file.pipe, None)
    if file.kind in ("file", "memfd"):
        _look_at(opening, fd, file)
    elif file.offset and file.kind == "directory":
        seek(opening.task, fd, file.offset, opening.known["SEEK_SET"])
    try:
        return opening.process.lend(fd)
    finally:
        opening.close(fd)
        opening.close_aside()


def _lacks_cloexec(descriptor: records.Descriptor, file: records.OpenFile) -> bool:
    """Tell whether a descriptor has yet to get, or lose, close-on-exec."""
    if file.kind in _CLOEXEC_AT_ONCE and file.contents < 0:
        return False
    return descriptor.cloexec or file.kind in ("inherited", "pidfd", "mqueue")


def _open_path(opening: Opening, target: int, file: records.OpenFile) -> int:
    """Open by name."""
    path, flags = opening.path_and_flags(file)
    fd = opening.open(path, flags | opening.cloexec, target)
    if file.terminal:
        terminals.settle(opening, fd, file)
    return fd


def _look_at(opening: Opening, target: int, file: records.OpenFile) -> None:
    """Set the offset of a regular file, and warn if that is not what it was."""
    with opening.lent(target) as ours:
        if file.offset:
            os.lseek(ours, file.offset, os.SEEK_SET)
        now = os.fstat(ours)
    what = f"'{file.path}' (descriptor {target})"
    if now.st_dev == file.device and now.st_ino != file.inode:
        opening.notice(f"{what} was replaced by another file since")
    if now.st_size < file.size:
        opening.notice(
            f"{what} has shrunk from {file.size} to {now.st_size} bytes",
        )


_OPENERS: Mapping[str, Callable[[Opening, int, records.OpenFile], int]] = {
    "file": _open_path,
    "directory": _open_path,
    "device": _open_path,
    "path": _open_path,
    "inherited": terminals.inherit,
    "pty": terminals.open_end,
    "pipe": pipes.open_pipe,
    "fifo": pipes.open_fifo,
    "eventfd": events.open_eventfd,
    "timerfd": events.open_timerfd,
    "signalfd": events.open_signalfd,
    "inotify": events.open_inotify,
    "pidfd": events.open_pidfd,
    "mqueue": messages.open_queue,
    "epoll": events.open_epoll,
}


def own(opening: Opening, fd: int, file: records.OpenFile) -> None:
    """Say whom an open file sends signals to, and which."""
    known = opening.known
    kind, number = file.owner
    if number:
        order = opening.process.arch.layout.byteorder
        words = (kind, _owner(opening, kind, number))
        packed = b"".join(word.to_bytes(4, order) for word in words)
        try:
            opening.fcntl_with(fd, "F_SETOWN_EX", packed)
        except RemoteCallError:
            opening.warn(
                f"descriptor {fd} ('{file.path}') sent its signals to {number}, which "
                "is not there any more"
            )
    if file.signal:
        opening.fcntl(fd, "F_SETSIG", file.signal)
    if file.flags & known["FASYNC"] and file.kind != "inherited":
        opening.fcntl(fd, "F_SETFL", file.flags)


def _owner(opening: Opening, kind: int, number: int) -> int:
    """Return an owner's id, which may be another one now."""
    record = opening.record
    if kind == opening.known["F_OWNER_PGRP"]:
        own = opening.task.call("getpgid", 0)
        return own if own and number == record.pgid else number
    for thread, task in zip(record.threads, opening.process.tasks, strict=True):
        if thread.tid == number:
            return task.tid
    return opening.sharing.pids.get(number, number)


def cut_back(opening: Opening) -> None:
    """
    Cut files that have grown since back to their saved length.

    Only files open for writing, and none open for appending.
    """
    known = opening.known
    for index, fd in opening.first.items():
        file = opening.context.files[index]
        writes = file.flags & known["O_ACCMODE"] != known["O_RDONLY"]
        if file.kind != "file" or not writes or file.flags & known["O_APPEND"]:
            continue
        if file.contents < 0 and stat.S_ISREG(file.mode):
            _cut_back(opening, fd, file)


def _cut_back(opening: Opening, fd: int, file: records.OpenFile) -> None:
    """Cut one file back, unless somebody else may need what is behind."""
    with opening.lent(fd) as ours:
        now = os.fstat(ours)
        size = now.st_size
        if size <= file.size:
            return
        what = f"'{file.path}' has grown from {file.size} to {size} bytes"
        if (now.st_dev, now.st_ino) != (file.device, file.inode):
            opening.notice(
                f"{what} and was not cut back: it is not the file that was saved"
            )
            return
        if other := opening.process.opened_elsewhere(fd):
            opening.notice(
                f"{what} and was not cut back: process {other} has it open, too; "
                "--keep-grown leaves all such files as they are"
            )
            return
        os.ftruncate(ours, file.size)
        opening.notice(f"{what} and was cut back; --keep-grown leaves it as it is")


def enter(opening: Opening, task: Task, cwd: str, umask: int) -> None:
    """
    Set the working directory, which is made where it is gone, and the umask.

    Args:
        task: Of the process, or a thread that has its own.

    Raises:
        RestartError: The directory cannot be entered.
    """
    if opening.context.contents:
        rollback.make_folder(opening, cwd)
    try:
        remote.call(task, "chdir", cwd)
        task.call("umask", umask)
    except RemoteCallError as error:
        raise opening.error(
            f"its working directory '{cwd}' cannot be entered: "
            f"{os.strerror(error.errno)}; name another one with --relocate",
            error,
        ) from error


def missing(context: records.Context) -> list[str]:
    """Return a sentence for each open file whose name leads nowhere here."""
    return [
        f"the file '{one.path}' is missing"
        for one in context.files
        if one.kind in BY_PATH and one.contents < 0 and not os.path.lexists(one.path)
    ]
