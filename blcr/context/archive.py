"""
A context: written member by member, and read with everything checked first.

Reading order: `ContextWriter`, `ContextReader`.  What the members hold is the matter
of `blcr.context.records` and `blcr.context.core`, how they lie in a file that of
`blcr.context.container`; `docs/context-format.md` describes the whole.
"""

from __future__ import annotations

import os
from collections.abc import Callable

from blcr.annotations import TYPE_CHECKING, Any, Self
from blcr.context import codec, records
from blcr.context.container import (
    BLOCK,
    LAST,
    ContainerReader,
    ContainerWriter,
    Member,
    MemberWriter,
    unreadable,
)
from blcr.context.core import CoreReader, CoreWriter
from blcr.errors import ContextError, ContextVersionError

if TYPE_CHECKING:
    from blcr.architecture import Arch

_RECORDS_LIMIT = 1 << 28
"""Bytes of ``context.json`` at most: a reader holds all of it in memory."""


class ContextWriter:
    """
    Writes a context to a descriptor, from its current offset on.

    One member at a time: beginning the next one ends shared memory, and a core is to
    be finished before.  A context is complete when `finish` returns; leaving the block
    without leaves something that no reader accepts or, in a pipe, nothing at all.

    Args:
        fd: The caller's, open for writing; its offset is behind the context in the end.

    Raises:
        TargetError: From every method: it cannot be written, with the errno.
    """

    def __init__(self, fd: int) -> None:
        self._container = ContainerWriter(fd)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._container.abandon()

    def core(self, name: str, arch: Arch) -> CoreWriter:
        """Begin the core of a process; the name is ``PID.core``."""
        return CoreWriter(self._container.member(name, head=BLOCK), arch)

    def shared(self, index: int) -> MemberWriter:
        """Begin the bytes of `Context.shared_memory[index]`, its runs one by one."""
        return self._container.member(f"shared/{index}")

    def file(self, index: int) -> MemberWriter:
        """Begin the bytes of `Context.contents[index]`, its runs one by one."""
        return self._container.member(f"files/{index}")

    def finish(self, context: records.Context) -> None:
        """Write the records, which make the context complete."""
        data = codec.encode(context)
        assert len(data) <= _RECORDS_LIMIT, "too many records for any reader"
        member = self._container.member(LAST)
        member.write(data)
        self._container.close()


class ContextReader:
    """
    Reads the context that begins at a descriptor's current offset.

    When it is made, all but the contents of the members has been checked: the headers
    and the zeros between members, the records, and that these and the cores agree.
    `verify` checks the rest.  The descriptor's offset is behind the context then, and
    only `os.pread` is used from there on, so threads may share a reader.

    Args:
        fd: The caller's, open for reading; a pipe is copied to an unlinked file first.
        name: What messages call it.

    Attributes:
        context: The records.
        fd: The descriptor whose offsets `core` and `shared` speak of.
        end: Its offset just behind the context.

    Raises:
        ContextError: It is not a context, is damaged, or cannot be read; with the
            errno as exit status in the last case.
        ContextVersionError: It is of a newer format, or needs features unknown here.
    """

    def __init__(self, fd: int, name: str) -> None:
        self._name = name
        self._owned = -1
        with _Named(name):
            self._container = ContainerReader(fd)
        self.fd = self._container.fd
        self.end = self._container.end
        self._members = self._container.members
        # Who writes does without.
        from blcr.context.consistency import check

        try:
            with _Named(name):
                self.context = self._read_records()
                check(self.context)
                self._cores = {
                    process.pid: self._open_core(process)
                    for process in self.context.processes
                }
                self._check_runs()
        except ContextError:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close what the reader has opened itself."""
        self._container.close()
        if self._owned >= 0:
            os.close(self._owned)
            self._owned = -1

    @property
    def size(self) -> int:
        """Bytes of all members."""
        return sum(member.size for member in self._members.values())

    def core(self, pid: int) -> CoreReader:
        """Return the core of a process of the context."""
        return self._cores[pid]

    def shared(self, index: int) -> tuple[int, int]:
        """Return offset and size of the bytes of `Context.shared_memory[index]`."""
        member = self._members[f"shared/{index}"]
        return member.offset, member.size

    def file(self, index: int) -> tuple[int, int]:
        """Return offset and size of the bytes of `Context.contents[index]`."""
        member = self._members[f"files/{index}"]
        return member.offset, member.size

    def verify(
        self,
        progress: Callable[[int, int], None] | None = None,
        reached: Callable[[int], None] | None = None,
    ) -> None:
        """
        Compare the checksums of all members.

        May run in a thread beside others that read.

        Args:
            progress: Is called with the bytes done and to do.
            reached: Is called with the offset in the file up to which they are done.

        Raises:
            ContextError: A member is damaged; the message names it.
        """
        done, total = 0, self.size

        def advance(offset: int, count: int) -> None:
            nonlocal done
            done += count
            if progress:
                progress(done, total)
            if reached:
                reached(offset)

        with _Named(self._name):
            self._container.verify(self._members.values(), advance)

    def _read_records(self) -> records.Context:
        """Return the records, after a look at checksum and version."""
        member = self._members[LAST]
        if member.size > _RECORDS_LIMIT:
            raise ContextError(
                f"member '{LAST}' has {member.size} bytes, more than {_RECORDS_LIMIT}"
            )
        self._container.verify([member])
        try:
            plain = codec.parse(self._container.read(member.offset, member.size))
            _check_version(plain)
            return codec.decode(records.Context, plain)
        except ContextError as error:
            raise _placed(LAST, error) from error

    def _open_core(self, process: records.Process) -> CoreReader:
        member = self._member(f"{process.pid}.core")

        def read(offset: int, size: int) -> bytes:
            return self._container.read(member.offset + offset, size)

        try:
            return CoreReader(read, member.offset, member.size, process)
        except ContextError as error:
            raise _placed(f"member '{member.name}'", error) from error

    def _check_runs(self) -> None:
        """Check that members are as long as the runs that the records say they have."""
        context = self.context
        expected = {
            f"shared/{index}": item.runs
            for index, item in enumerate(context.shared_memory)
        } | {f"files/{index}": item.runs for index, item in enumerate(context.contents)}
        for name, runs in expected.items():
            member = self._member(name)
            size = sum(length for _, length in runs)
            if member.size != size:
                raise ContextError(
                    f"member '{member.name}' has {member.size} bytes, "
                    f"the records say {size}"
                )

    def _member(self, name: str) -> Member:
        if name not in self._members:
            raise ContextError(f"member '{name}' is missing")
        return self._members[name]


def open_context(path: str | os.PathLike[str]) -> ContextReader:
    """
    Open the context in a file, to be closed by the caller.

    Raises:
        ContextError: It is not one, is damaged, or cannot be opened.
    """
    name = os.fspath(path)
    with _Named(name):
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        reader = ContextReader(fd, name)
    except ContextError:
        os.close(fd)
        raise
    reader._owned = fd
    return reader


class _Named:
    """Puts a file's name in front of the messages of errors, and makes them ours."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __enter__(self) -> None:
        pass

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        found = unreadable(error) if isinstance(error, OSError) else error
        if isinstance(found, ContextError):
            raise _placed(self._name, found) from error


def _placed(where: str, error: ContextError) -> ContextError:
    """Return the error with the place in front of its message."""
    placed = type(error)(f"{where}: {error}")
    placed.exit_status = error.exit_status
    return placed


def _check_version(plain: dict[str, Any]) -> None:
    """Refuse what a later version has written, before its fields are looked at."""
    version, requires = plain.get("format"), plain.get("requires")
    match version:
        case [int(major), int(minor)] if major != records.FORMAT_MAJOR:
            raise ContextVersionError(
                f"format {major}.{minor}, this version reads {records.FORMAT_MAJOR}.x"
            )
    if isinstance(requires, list):
        unknown = [each for each in map(str, requires) if each not in records.FEATURES]
        if unknown:
            raise ContextVersionError(
                f"needs what this version does not have: {', '.join(unknown)[:200]}"
            )
