"""
Contents of regular files in a context, and those that have no name any more.

Source: open(2) for O_TMPFILE, unlink(2), lseek(2) for SEEK_DATA.
"""

from __future__ import annotations

import os

from blcr import remote
from blcr.context import records
from blcr.errors import RemoteCallError
from blcr.host.interface import Contents, DescriptorFacts, Process
from blcr.record import Record
from blcr.resources.opening import Opening

_CHUNK = 1 << 20
_ELSEWHERE = "/tmp"
"""Where nameless files are made whose folder is gone or may not be written to."""
_OWN_MODE = 0o600
_NAME_BYTES = 200
"""Kept of a file's name in one of ours; NAME_MAX is 255."""


class Saving(Record):
    """Contents being saved, and the rest of their record."""

    number: int
    contents: Contents
    status: os.stat_result

    def record(self, runs: tuple[tuple[int, int], ...]) -> records.Contents:
        """Return the record, with the runs that were saved."""
        status = self.status
        return records.Contents(
            self.contents.size,
            runs,
            status.st_mode & 0o7777,
            status.st_uid,
            status.st_gid,
            status.st_mtime_ns,
        )


def save(
    process: Process, facts: DescriptorFacts, table: dict[tuple[int, int], Saving]
) -> int:
    """Return the index of a file's contents in the table, where they are entered."""
    identity = (facts.file.device, facts.file.inode)
    if identity not in table:
        contents = process.contents(facts.fd)
        status = os.fstat(contents.fd)
        table[identity] = Saving(len(table), contents, status)
    return table[identity].number


def open_unlinked(opening: Opening, target: int, file: records.OpenFile) -> int:
    """Open a file without a name; at the first time it is made."""
    known = opening.known
    nameless = known["O_TMPFILE"] & ~known["O_DIRECTORY"]
    flags = file.flags & ~(known["FASYNC"] | known["O_NOFOLLOW"])
    made = opening.files.get(file.contents)
    if made is None and file.contents in opening.sharing.contents:
        ours = opening.sharing.contents[file.contents]
        made = opening.files[file.contents] = opening.aside(
            opening.process.receive(ours)
        )
    if made is not None:
        if flags & nameless:
            flags &= ~known["O_TMPFILE"]
        return opening.reopen(made, flags, target)
    if flags & nameless:
        return _make_nameless(opening, target, file, flags)
    return _make_and_unlink(opening, target, file, flags)


def _make_nameless(
    opening: Opening, target: int, file: records.OpenFile, flags: int
) -> int:
    """Make a file by O_TMPFILE in the folder that it had."""
    folder = os.path.dirname(file.path)
    fd = opening.open(folder, flags, target, _OWN_MODE)
    writer = opening.reopen(fd, opening.known["O_RDWR"], target)
    fill(opening, opening.aside(writer), file.contents)
    return fd


def _make_and_unlink(
    opening: Opening, target: int, file: records.OpenFile, flags: int
) -> int:
    """Make a file, under its old name if that is free, and remove the name."""
    known = opening.known
    create = known["O_RDWR"] | known["O_CREAT"] | known["O_EXCL"] | known["O_CLOEXEC"]
    beside = hidden(opening, file.path)
    elsewhere = hidden(opening, f"{_ELSEWHERE}/{os.path.basename(file.path)}")
    for path in (file.path, beside, elsewhere):
        try:
            writer = remote.call(
                opening.task, "openat", known["AT_FDCWD"], path, create, _OWN_MODE
            )
            break
        except RemoteCallError as error:
            last = error
    else:
        raise opening.error(
            f"the deleted file '{file.path}' of descriptor {target} can be made anew "
            f"neither there nor in {_ELSEWHERE}: {os.strerror(last.errno)}",
            last,
        ) from last
    try:
        writer = opening.aside(writer)
        fd = opening.open(path, flags, target)
    finally:
        remote.call(opening.task, "unlinkat", known["AT_FDCWD"], path, 0)
    fill(opening, writer, file.contents)
    return fd


def hidden(opening: Opening, path: str) -> str:
    """Return a path of our own in the folder of a file; a suffix still fits."""
    folder, name = os.path.split(path)
    # NAME_MAX counts bytes.
    begin = os.fsdecode(os.fsencode(name)[:_NAME_BYTES])
    return f"{folder.rstrip('/')}/.{begin}.{opening.record.pid}"


def fill(opening: Opening, writer: int, index: int) -> None:
    """Give a new file its length and contents."""
    opening.files[index] = writer
    with opening.lent(writer) as ours:
        write(opening, index, ours)
    if index in opening.sharing.common_contents:
        opening.sharing.contents[index] = opening.process.lend(writer)


def write(opening: Opening, index: int, ours: int) -> None:
    """Write contents to an empty file that is open for writing."""
    contents = opening.context.contents[index]
    at, _size = opening.source.file(index)
    os.ftruncate(ours, contents.size)
    for offset, length in contents.runs:
        for done in range(0, length, _CHUNK):
            part = os.pread(opening.source.fd, min(_CHUNK, length - done), at + done)
            os.pwrite(ours, part, offset + done)
        at += length


def dress(opening: Opening) -> None:
    """Give new files mode and times, when all that open them have done so."""
    for index, writer in opening.files.items():
        contents = opening.context.contents[index]
        with opening.lent(writer) as ours:
            now = os.fstat(ours)
            if (now.st_uid, now.st_gid) != (contents.uid, contents.gid):
                _give(opening, ours, contents)
            os.fchmod(ours, contents.mode)
            os.utime(ours, ns=(now.st_atime_ns, contents.mtime))


def _give(opening: Opening, ours: int, contents: records.Contents) -> None:
    """Give a file to its owner, if that is permitted."""
    try:
        os.fchown(ours, contents.uid, contents.gid)
    except PermissionError:
        opening.warn(
            f"a file of user {contents.uid} belongs to whoever restarts now; only root "
            "may give files away"
        )
