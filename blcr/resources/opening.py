"""
Descriptors being opened in a process: what all kinds of open files share.

Numbers that the program uses are taken one after the other, from the lowest on; what is
needed only meanwhile is kept out of their way.

Source: open(2), dup(2), fcntl(2).
"""

from __future__ import annotations

import contextlib
import errno
import functools
import itertools
import os
from collections.abc import Callable, Iterator, Mapping

from blcr import remote
from blcr.annotations import Protocol
from blcr.context import records
from blcr.errors import BlcrError, RemoteCallError, RestartError
from blcr.host.interface import NewProcess, Task
from blcr.linux import constants
from blcr.record import Record
from blcr.resources import clones


class Source(Protocol):
    """A context, for the contents of files."""

    fd: int
    """From which it is read."""

    def file(self, index: int) -> tuple[int, int]:
        """Return offset and size of the bytes of `Context.contents[index]`."""


class Sharing:
    """
    What several processes have in common, while they are made one after the other.

    The first that has it makes it; we hold a descriptor for the others.

    Attributes:
        pids: The ids of all processes by the saved ones.
        files: Descriptors of ours for open files, by index.
        pipes: For the ends of pipes, by index and whether they read.
        taken: Ends that are the program's already; others open them anew.
        filled: Named pipes, by index, that have their bytes.
        filled_segments: Likewise System V segments.
        objects: For files without a name, by index.
        opened_queues: Old inodes of POSIX message queues that have their messages.
        message_queues: For POSIX message queues without a name, by their old inodes.
        connections: For sockets with connections to others, by their index.
        contents: For nameless files with contents, by the index of those.
        places: As in `Opening`.
    """

    def __init__(self, context: records.Context, pids: Mapping[int, int]) -> None:
        self.pids = pids
        self.files: dict[int, int] = {}
        self.pipes: dict[tuple[int, bool], int] = {}
        self.taken: set[tuple[int, bool]] = set()
        self.filled: set[int] = set()
        self.filled_segments: set[int] = set()
        self.objects: dict[int, int] = {}
        self.contents: dict[int, int] = {}
        self.message_queues: dict[int, int] = {}
        self.opened_queues: set[int] = set()
        self.connections: dict[int, int] = {}
        self.places: dict[int, str] = {}
        every = context.processes
        used = [{one.file for one in process.descriptors} for process in every]
        messages = (message for one in context.sockets for message in one.messages)
        # What sockets have to give is theirs as if they were a process.
        used.append({file for message in messages for file in message.files})
        self.common_files = _common(used)
        self.common_pipes = _common([_of(context, one, "pipe") for one in used])
        self.common_contents = _common([_of(context, one, "contents") for one in used])
        mapped = [
            {one.object for one in process.mappings if one.object >= 0}
            for process in every
        ]
        mapped.append(set())
        opened = [_of(context, one, "object") for one in used]
        both = [a | b for a, b in zip(mapped, opened, strict=True)]
        self.common_objects = _common(both)

    def close(self) -> None:
        """Let go of all."""
        every = (self.files, self.pipes, self.objects, self.contents)
        for held in (*every, self.message_queues, self.connections):
            for ours in held.values():
                os.close(ours)
            held.clear()


def _of(context: records.Context, files: set[int], what: str) -> set[int]:
    """Return the indices that open files have of something, ``"pipe"``."""
    found = {getattr(context.files[index], what) for index in files}
    return {index for index in found if index >= 0}


def _common(each: list[set[int]]) -> set[int]:
    """Return what is in more than one of the sets."""
    seen: set[int] = set()
    twice: set[int] = set()
    for one in each:
        twice |= seen & one
        seen |= one
    return twice


class Ends(Record):
    """
    A pipe's ends by whether they read: not yet taken; taken, at which number.

    `flags` are the status flags that new ends have.
    """

    spare: dict[bool, int]
    used: dict[bool, int]
    flags: int


class Opening:
    """
    The descriptors of one process, being opened through its leader.

    Attributes:
        warnings: What the user should know.
        notices: What was found, and done, to files.
        first: For each open file that is opened here the descriptor that it was first
            opened at.
        received: Likewise for those that another process has opened.
        pipes: Pipes that were made, by their index in the context.
        packet_pipes: Pipes that are written to in packets, by their index.
        files: Nameless files that were made, by their index in the contents: where
            they are open for writing meanwhile.
        places: Where files whose contents are put back are opened meanwhile, by their
            index in the contents; empty: they have no name.
        absent: Files that are not there.
        renames: New files, and whose place they are to take.
        written_over: Descriptors of ours for files to be written over, by their index.
        undo: What is to be done if the restart fails.
        cloexec: O_CLOEXEC, or 0, for the descriptor that is being opened.
        beyond: The lowest number above all that the program uses.
        keep_grown: Leave files as long as they are now.
    """

    def __init__(
        self,
        process: NewProcess,
        record: records.Process,
        context: records.Context,
        source: Source,
        sharing: Sharing,
        *,
        keep_grown: bool = False,
    ) -> None:
        self.process = process
        self.task = process.tasks[0]
        self.record = record
        self.context = context
        self.source = source
        self.sharing = sharing
        self.keep_grown = keep_grown
        self.known = constants.of(process.arch)
        self.warnings: list[str] = []
        self.notices: list[str] = []
        self.first: dict[int, int] = {}
        self.received: dict[int, int] = {}
        self.pipes: dict[int, Ends] = {}
        self.files: dict[int, int] = {}
        self.places = sharing.places
        self.absent: set[str] = set()
        self.renames: dict[str, str] = {}
        self.written_over: dict[int, int] = {}
        self.undo: list[Callable[[], object]] = []
        self.cloexec = 0
        direct = self.known["O_DIRECT"]
        self.packet_pipes = {f.pipe for f in context.files if f.flags & direct}
        descriptors = clones.owner(context, record, "files").descriptors
        self._targets = {one.fd: one.file for one in descriptors}
        self.beyond = max(self._targets, default=2) + 1
        self._firsts: dict[int, int] = {}
        for one in descriptors:
            self._firsts.setdefault(one.file, one.fd)
        self._aside: set[int] = set()

    def file_at(self, fd: int) -> records.OpenFile | None:
        """Return the open file that the program has at a number."""
        index = self._targets.get(fd, -1)
        return self.context.files[index] if index >= 0 else None

    def first_at(self, fd: int) -> bool:
        """Tell whether a descriptor is the lowest one of its open file."""
        return self._firsts.get(self._targets[fd]) == fd

    def error(self, what: str, error: RemoteCallError | None = None) -> RestartError:
        """Return an error that names the process."""
        status = error.errno if error else errno.EPERM
        return RestartError(f"process {self.record.pid}: {what}", status=status)

    def warn(self, what: str) -> None:
        """Tell the user something of the process."""
        self.warnings.append(f"process {self.record.pid}: {what}")

    def notice(self, what: str) -> None:
        """Tell the user of a file that is not what it was."""
        self.notices.append(f"process {self.record.pid}: {what}")

    def fcntl(self, fd: int, command: str, argument: int) -> int:
        """Make the fcntl that serves files of any size."""
        call = "fcntl64" if "fcntl64" in self.process.arch.syscalls else "fcntl"
        return self.task.call(call, fd, self.known[command], argument)

    def fcntl_with(self, fd: int, command: str, argument: bytes) -> int:
        """Likewise, with a structure."""
        call = "fcntl64" if "fcntl64" in self.process.arch.syscalls else "fcntl"
        return remote.call(self.task, call, fd, self.known[command], argument)

    def open(self, path: str, flags: int, fd: int, mode: int = 0) -> int:
        """Open a file for descriptor `fd`."""
        return open_file(self.task, self.record.pid, path, flags, fd, mode)

    def path_and_flags(self, file: records.OpenFile) -> tuple[str, int]:
        """Return by which name to open a file, and how, but for O_CLOEXEC."""
        known = self.known
        dropped = known["O_CREAT"] | known["O_EXCL"] | known["O_TRUNC"]
        flags = file.flags & ~(dropped | known["FASYNC"])
        if file.kind == "device":
            flags |= known["O_NOCTTY"]
        path, own = file.path, f"/proc/{self.record.pid}/"
        if path.startswith(own):
            path = "/proc/self/" + path[len(own) :]
        return path, flags

    def reopen(self, opened: int, flags: int, fd: int) -> int:
        """Open once more the file at `opened`, for descriptor `fd`."""
        flags &= ~self.known["O_NOFOLLOW"]
        return self.open(f"/proc/self/fd/{opened}", flags, fd)

    def receive(self, ours: int, target: int, *, cloexec: bool) -> None:
        """Have an open file of ours at a number."""
        fd = self.process.receive(ours)
        if fd != target:
            flags = self.known["O_CLOEXEC"] if cloexec else 0
            self.task.call("dup3", fd, target, flags)
            self.close(fd)
        elif cloexec:
            self.fcntl(target, "F_SETFD", 1)

    def close(self, fd: int) -> None:
        """Close a descriptor if it is open."""
        self._aside.discard(fd)
        with contextlib.suppress(RemoteCallError):
            self.task.call("close", fd)

    def aside(self, fd: int) -> int:
        """Move a descriptor to a number that the program does not use."""
        number = self.kept(fd)
        self._aside.add(number)
        return number

    def kept(self, fd: int) -> int:
        """Likewise; `close_aside` leaves it open."""
        number = fd
        if fd in self._targets:
            number = self._spare(fd)
            self.close(fd)
        return number

    def _spare(self, fd: int) -> int:
        """Duplicate a descriptor to a number that is not to be used."""
        beyond = self.beyond
        below = (one for one in range(beyond - 1, 2, -1) if one not in self._targets)
        for start in itertools.chain((beyond,), below):
            with contextlib.suppress(RemoteCallError):
                number = self.fcntl(fd, "F_DUPFD_CLOEXEC", start)
                if number not in self._targets:
                    return number
                self.close(number)
        raise RestartError(
            f"process {self.record.pid}: it uses all descriptors up to its limit; "
            "restart with a higher one (ulimit -n)",
            status=errno.EMFILE,
        )

    def close_aside(self) -> None:
        """Close all that was needed only meanwhile."""
        for fd in sorted(self._aside):
            self.close(fd)

    @contextlib.contextmanager
    def lent(self, fd: int) -> Iterator[int]:
        """Give a descriptor of ours for an open file, for as long as the block."""
        ours = self.process.lend(fd)
        try:
            yield ours
        finally:
            os.close(ours)

    def release(self) -> None:
        """Close descriptors of ours."""
        for ours in self.written_over.values():
            os.close(ours)
        self.written_over.clear()

    @contextlib.contextmanager
    def making(self, path: str) -> Iterator[None]:
        """Make a file, which goes if the restart fails or is killed, in the block."""
        self.process.entrust(path)
        try:
            yield
        except (RemoteCallError, RestartError):
            self.process.forget(path)
            raise
        self.undo.append(functools.partial(self.process.remove, path))

    def abandon(self) -> None:
        """Undo, after a failure, what would be left behind."""
        for action in reversed(self.undo):
            with contextlib.suppress(OSError, BlcrError):
                action()


def open_file(
    task: Task,
    pid: int,
    path: str,
    flags: int,
    fd: int | None = None,
    mode: int = 0,
) -> int:
    """
    Open a file in the name of a task.

    Raises:
        RestartError: It cannot be opened; the message names process and descriptor.
    """
    known = constants.of(task.process.arch)
    try:
        return remote.call(task, "openat", known["AT_FDCWD"], path, flags, mode)
    except RemoteCallError as error:
        raise not_opened(pid, path, fd, error) from error


def not_opened(
    pid: int, path: str, fd: int | None, error: RemoteCallError
) -> RestartError:
    """Return the error for a file of a descriptor, or (None) of a mapping."""
    what = f"descriptor {fd}" if fd is not None else "a mapping"
    return RestartError(
        f"process {pid}: the file '{path}' of {what} cannot be opened: "
        f"{os.strerror(error.errno)}{_HELP.get(error.errno, '')}",
        status=error.errno,
    )


_HELP = {
    errno.ENOENT: "; put it back, or name its new place with --relocate",
    errno.EACCES: "; let the user who restarts open it, or restart as its owner",
    errno.EPERM: "; let the user who restarts open it, or restart as its owner",
    errno.EMFILE: "; restart with a higher limit of open files (ulimit -n)",
    errno.EROFS: "; restart where its file system can be written to",
}


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
