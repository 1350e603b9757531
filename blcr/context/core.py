"""
One process as an ELF core file: its pages and the registers of its threads.

The file begins with a block that holds the ELF header; then come pages in the order
in which they were saved, then the notes and the program headers, so that pages can be
written while it is not yet known which others will follow.  A page that is saved again
is appended, and its older copy stays without reference.

There is a ``PT_LOAD`` for each run of saved pages.  It reaches, in memory, to the next
run of the same mapping or to the mapping's end; what is not in the file there is as
the mapped file has it, or zero.  So the headers show the whole address space.

Source: elf(5); fs/binfmt_elf.c of Linux 6.12, fill_note_info, for the order of notes.
"""

from __future__ import annotations

import errno
import os
import struct
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from blcr.annotations import TYPE_CHECKING
from blcr.context.consistency import SIGINFO_SIZE
from blcr.context.container import BLOCK, Buffer, MemberWriter
from blcr.errors import ContextError, TargetError
from blcr.linux import structures
from blcr.record import Record

if TYPE_CHECKING:
    from blcr.architecture import Arch
    from blcr.context import records

NT_PRSTATUS = 1
NT_FPREGSET = 2
NT_PRPSINFO = 3
NT_AUXV = 6
NT_FILE = 0x46494C45
NT_SIGINFO = 0x53494749

_ET_CORE = 4
_PT_LOAD, _PT_NOTE = 1, 4
_PN_XNUM = 0xFFFF
"""The value of e_phnum that says that section header 0 has the number."""
_NOWHERE = BLOCK // 2
"""
The offset of segments without bytes in the file: zeros.

Debuggers look there for the ELF header of a mapped file even so, and at offset 0 would
find the core's own, with all its threads once more.
"""
_READ, _WRITE, _EXECUTE = 4, 2, 1
"""``PF_*``: the bits of ``PROT_*`` in the opposite order."""

SEGMENT_LIMIT = 1 << 22
"""Program headers of a core at most; a reader holds them all in memory."""
_NOTES_LIMIT = 1 << 28
"""Bytes of notes at most, for the same reason: 10 KB each for 26,000 threads."""


class _Format(Record):
    """The structures of ELF for one word size and byte order."""

    word_size: int
    order: str
    header: struct.Struct
    segment: struct.Struct
    section: struct.Struct
    note: struct.Struct


def _format(word_size: int, byteorder: str) -> _Format:
    order = "<" if byteorder == "little" else ">"
    word = "Q" if word_size == 8 else "I"
    segment = "2I6Q" if word_size == 8 else "8I"
    return _Format(
        word_size,
        order,
        struct.Struct(f"{order}16s2HI3{word}I6H"),
        struct.Struct(order + segment),
        struct.Struct(f"{order}2I4{word}2I2{word}"),
        struct.Struct(order + "3I"),
    )


class _Segment(Record):
    """A program header; see elf(5) for its fields."""

    type: int
    offset: int
    address: int
    file_size: int
    memory_size: int
    flags: int = 0
    align: int = 0

    def pack(self, form: _Format) -> bytes:
        """Return it as its class of ELF files has it."""
        address, sizes = (self.address,) * 2, (self.file_size, self.memory_size)
        if form.word_size == 8:
            return form.segment.pack(
                self.type, self.flags, self.offset, *address, *sizes, self.align
            )
        return form.segment.pack(
            self.type, self.offset, *address, *sizes, self.flags, self.align
        )


def _unpack_segments(form: _Format, table: bytes) -> Iterator[_Segment]:
    """Yield the program headers of a table."""
    for row in form.segment.iter_unpack(table):
        if form.word_size == 8:
            kind, flags, offset, address, _, file_size, memory_size, align = row
        else:
            kind, offset, address, _, file_size, memory_size, flags, align = row
        yield _Segment(kind, offset, address, file_size, memory_size, flags, align)


class _Run(Record):
    """Saved pages: their address, size in bytes and offset in the core."""

    address: int
    size: int
    offset: int

    @property
    def end(self) -> int:
        """The address behind."""
        return self.address + self.size

    def part(self, start: int, end: int) -> _Run:
        """Return what lies between two addresses."""
        start, end = max(start, self.address), min(end, self.address + self.size)
        return _Run(start, end - start, self.offset + start - self.address)


def _head(
    form: _Format, machine: int, segments_at: int, count: int, sections_at: int
) -> bytes:
    """Return the block at the front of a core."""
    ident = bytes(
        (
            *b"\x7fELF",
            form.word_size // 4,
            1 if form.order == "<" else 2,
            1,
        )
    )
    header = form.header.pack(
        ident,
        _ET_CORE,
        machine,
        1,
        0,
        segments_at,
        sections_at,
        0,
        form.header.size,
        form.segment.size,
        min(count, _PN_XNUM),
        form.section.size if sections_at else 0,
        1 if sections_at else 0,
        0,
    )
    return header.ljust(BLOCK, b"\0")


# Writing.


class CoreWriter:
    """
    Writes the core of one process.

    Args:
        member: The member that becomes the core, with a head of `BLOCK` bytes.
        arch: The process's.
    """

    def __init__(self, member: MemberWriter, arch: Arch) -> None:
        self._member = member
        self._arch = arch
        self._form = _format(arch.layout.word_size, arch.layout.byteorder)
        self._runs: list[_Run] = []
        self._next = -1

    def pages(self, address: int, data: Buffer) -> None:
        """
        Append whole pages as they are at an address; a later copy is the valid one.

        Raises:
            TargetError: They cannot be written.
        """
        self.gathered([(address, address + len(data))], data)

    def gathered(self, runs: Iterable[tuple[int, int]], data: Buffer) -> None:
        """
        Append whole pages of several runs, one behind the other.

        Args:
            runs: Start and end of each.
            data: The bytes of all.

        Raises:
            TargetError: They cannot be written.
        """
        if not len(data):
            return
        offset = self._member.position
        self._member.write(data)
        for start, end in runs:
            size = end - start
            if start == self._next:
                last = self._runs[-1]
                self._runs[-1] = last._replace(size=last.size + size)
            else:
                self._runs.append(_Run(start, size, offset))
            offset += size
            self._next = end

    def finish(
        self,
        process: records.Process,
        threads: Sequence[tuple[records.Thread, Mapping[int, bytes]]],
        *,
        command: bytes = b"",
        present: Sequence[tuple[int, int]] | None = None,
    ) -> None:
        """
        Append notes and headers; the core is complete.

        Saved pages that are in none of the process's mappings are left out.

        Args:
            process: The record, with the mappings as they are in the end.
            threads: Each with its register sets by note type.
            command: The command line, its words separated by blanks, for debuggers.
            present: Start and end of all pages that there are in the end, in order;
                saved ones that are not among them are left out, too.

        Raises:
            TargetError: They cannot be written, or the core is too large for its kind.
        """
        form, member = self._form, self._member
        member.write(bytes(-member.position % 8))
        notes = b"".join(_notes(self._arch, form, process, threads, command))
        notes_at = member.position
        runs = _latest(self._runs)
        if present is not None:
            runs = list(_among(runs, present))
        loads = list(_loads(process.mappings, runs, self._arch))
        count = 1 + len(loads)
        limit = 1 << 32 if form.word_size == 4 else 1 << 64
        size = notes_at + len(notes) + 8 + count * form.segment.size + form.section.size
        if size >= limit or count > SEGMENT_LIMIT or len(notes) > _NOTES_LIMIT:
            raise TargetError(
                f"the core of process {process.pid} would have {size} bytes in "
                f"{count} segments; it can have fewer than {limit} in {SEGMENT_LIMIT}",
                status=errno.EFBIG,
            )

        member.write(notes + bytes(-len(notes) % 8))
        segments_at = member.position
        note = _Segment(_PT_NOTE, notes_at, 0, len(notes), 0, align=4)
        member.write(b"".join(segment.pack(form) for segment in (note, *loads)))
        sections_at = 0
        if count >= _PN_XNUM:
            sections_at = member.position
            member.write(form.section.pack(0, 0, 0, 0, 0, 0, 0, count, 0, 0))
        machine = self._arch.elf_machine
        member.finish(_head(form, machine, segments_at, count, sections_at))


def _latest(runs: Sequence[_Run]) -> list[_Run]:
    """Return runs in order of address, without the parts that a later one replaces."""
    out: list[_Run] = []
    for run in runs:
        end = run.address + run.size
        first = bisect_right(out, run.address, key=lambda old: old.address)
        if first and out[first - 1].address + out[first - 1].size > run.address:
            first -= 1
        last = first
        kept = [run]
        while last < len(out) and out[last].address < end:
            old = out[last]
            if old.address < run.address:
                kept.insert(0, old.part(old.address, run.address))
            if old.address + old.size > end:
                kept.append(old.part(end, old.address + old.size))
            last += 1
        out[first:last] = kept
    return out


def _among(runs: Sequence[_Run], present: Sequence[tuple[int, int]]) -> Iterator[_Run]:
    """Yield the parts of runs that are in ranges of addresses."""
    first = 0
    for run in runs:
        while first < len(present) and present[first][1] <= run.address:
            first += 1
        at = first
        while at < len(present) and present[at][0] < run.end:
            yield run.part(*present[at])
            at += 1


def _loads(
    mappings: Sequence[records.Mapping], runs: Sequence[_Run], arch: Arch
) -> Iterator[_Segment]:
    """Yield the segments that show the mappings, with the runs where there are any."""
    index = 0
    for mapping in mappings:
        while index < len(runs) and (
            runs[index].address + runs[index].size <= mapping.start
        ):
            index += 1
        parts = []
        at = index
        while at < len(runs) and runs[at].address < mapping.end:
            parts.append(runs[at].part(mapping.start, mapping.end))
            at += 1
        if not parts or parts[0].address > mapping.start:
            parts.insert(0, _Run(mapping.start, 0, _NOWHERE))
        ends = [part.address for part in parts[1:]] + [mapping.end]
        flags = _flags(mapping.protection)
        for (address, size, offset), end in zip(parts, ends, strict=True):
            memory = end - address
            yield _Segment(
                _PT_LOAD, offset, address, size, memory, flags, arch.page_size
            )


def _flags(protection: int) -> int:
    """Return the ``PF_*`` bits of ``PROT_*`` bits."""
    return (
        (_READ if protection & 1 else 0)
        | (_WRITE if protection & 2 else 0)
        | (_EXECUTE if protection & 4 else 0)
    )


def _notes(
    arch: Arch,
    form: _Format,
    process: records.Process,
    threads: Sequence[tuple[records.Thread, Mapping[int, bytes]]],
    command: bytes,
) -> Iterator[bytes]:
    """Yield the notes in the kernel's order: those of the process after the first."""
    status = structures.of(arch, "elf_prstatus")
    owners = {known.note_type: known.note_owner for known in arch.register_sets}
    word = arch.word_size
    ids = {"ppid": process.ppid, "pgrp": process.pgid, "sid": process.sid}
    for index, (thread, sets) in enumerate(threads):
        data = status.pack(pid=thread.tid, sighold=thread.blocked_signals, **ids)
        data += sets[NT_PRSTATUS]
        data += (NT_FPREGSET in sets).to_bytes(4, arch.layout.byteorder)
        yield _note(form, "CORE", NT_PRSTATUS, data + bytes(-len(data) % word))
        if index == 0:
            yield from _process_notes(arch, form, process, command)
        for kind, registers in sets.items():
            if kind != NT_PRSTATUS:
                yield _note(form, owners.get(kind, "LINUX"), kind, registers)


def _process_notes(
    arch: Arch, form: _Format, process: records.Process, command: bytes
) -> Iterator[bytes]:
    """Yield the notes that are there once."""
    name = process.threads[0].comm if process.threads else ""
    info = structures.of(arch, "elf_prpsinfo").pack(
        sname=ord("T" if process.stopped else "R"),
        uid=process.uids[0],
        gid=process.gids[0],
        pid=process.pid,
        ppid=process.ppid,
        pgrp=process.pgid,
        sid=process.sid,
        fname=os.fsencode(name)[:15],
        psargs=(command or os.fsencode(process.exe))[:79],
    )
    yield _note(form, "CORE", NT_PRPSINFO, info)
    yield _note(form, "CORE", NT_SIGINFO, bytes(SIGINFO_SIZE))
    yield _note(form, "CORE", NT_AUXV, process.memory.auxv)
    yield _note(form, "CORE", NT_FILE, _files(form, process, arch.page_size))


def _files(form: _Format, process: records.Process, page_size: int) -> bytes:
    """Return the description of the mapped files: ranges, then paths."""
    files = [each for each in process.mappings if each.path and not each.special]
    words = [len(files), page_size]
    for each in files:
        words += [each.start, each.end, each.offset // page_size]
    code = "Q" if form.word_size == 8 else "I"
    paths = b"".join(os.fsencode(each.path) + b"\0" for each in files)
    return struct.pack(f"{form.order}{len(words)}{code}", *words) + paths


def _note(form: _Format, owner: str, kind: int, data: bytes) -> bytes:
    name = owner.encode("ascii") + b"\0"
    return (
        form.note.pack(len(name), len(data), kind)
        + name.ljust(-(-len(name) // 4) * 4, b"\0")
        + data.ljust(-(-len(data) // 4) * 4, b"\0")
    )


# Reading.


class CoreReader:
    """
    The core of one process in a context.

    Args:
        read: Read bytes of the member: ``read(offset, size)``.
        offset: Of the member in the file.
        size: Of the member, bytes.
        process: The record that the core must agree with.

    Raises:
        ContextError: It does not, or contradicts itself.
    """

    def __init__(
        self,
        read: Callable[[int, int], bytes],
        offset: int,
        size: int,
        process: records.Process,
    ) -> None:
        self._read = read
        self._offset = offset
        self._size = size
        self._form = _format(process.arch.word_size, process.arch.byteorder)
        notes: list[_Segment] = []
        self._runs: list[_Run] = []
        for segment in self._segments(process.arch.machine):
            if segment.type == _PT_NOTE:
                notes.append(segment)
            else:
                self._add_run(segment)
        _check_runs(self._runs, process.mappings)
        if len(notes) != 1:
            raise ContextError(f"{len(notes)} segments of notes, not one")
        self._registers = self._parse_notes(notes[0])
        expected = sorted(thread.tid for thread in process.threads)
        if sorted(self._registers) != expected:
            raise ContextError(
                f"registers of threads {sorted(self._registers)}, "
                f"the records are of {expected}"
            )

    def runs(self) -> list[tuple[int, int, int]]:
        """Return (offset in the file, address, size) of saved pages by address."""
        return [
            (self._offset + run.offset, run.address, run.size) for run in self._runs
        ]

    def register_sets(self, tid: int) -> dict[int, bytes]:
        """Return the register sets of a thread by note type."""
        return self._registers[tid]

    def read(self, address: int, size: int) -> bytes | None:
        """
        Return memory of the process, or None if not all of it was saved.

        Raises:
            ContextError: The file cannot be read, or has become shorter.
        """
        parts = []
        while size > 0:
            index = bisect_right(self._runs, address, key=lambda run: run.address)
            run = self._runs[index - 1].part(address, address + size) if index else None
            if run is None or run.size <= 0:
                return None
            parts.append(self._read(run.offset, run.size))
            address, size = address + run.size, size - run.size
        return b"".join(parts)

    def _segments(self, machine: int) -> Iterator[_Segment]:
        """Yield the program headers, after a look at the ELF header."""
        form = self._form
        head = self._bytes(0, BLOCK, "the ELF header")
        fields = form.header.unpack_from(head)
        segments_at, sections_at, count = fields[5], fields[6], fields[10]
        if count == _PN_XNUM:
            section = self._bytes(sections_at, form.section.size, "the section header")
            count = form.section.unpack(section)[7]
            if section != form.section.pack(0, 0, 0, 0, 0, 0, 0, count, 0, 0):
                raise ContextError("the section header is damaged")
        if count > SEGMENT_LIMIT:
            raise ContextError(f"{count} segments, more than {SEGMENT_LIMIT}")
        if head != _head(form, machine, segments_at, count, sections_at):
            raise ContextError(
                "the ELF header is damaged, or of another machine than the records"
            )
        size = count * form.segment.size
        table = self._bytes(segments_at, size, "the table of segments")
        yield from _unpack_segments(form, table)

    def _add_run(self, segment: _Segment) -> None:
        if segment.type != _PT_LOAD:
            raise ContextError(f"a segment of type {segment.type:#x}")
        if not segment.file_size:
            return
        what = f"the segment at {segment.address:#x}"
        self._check(segment.offset, segment.file_size, what)
        if segment.file_size > segment.memory_size:
            raise ContextError(f"{what} has more bytes than room")
        self._runs.append(_Run(segment.address, segment.file_size, segment.offset))

    def _parse_notes(self, segment: _Segment) -> dict[int, dict[int, bytes]]:
        """Return register sets by thread and note type."""
        if segment.file_size > _NOTES_LIMIT:
            raise ContextError(f"more than {_NOTES_LIMIT} bytes of notes")
        data = self._bytes(segment.offset, segment.file_size, "the notes")
        threads: dict[int, dict[int, bytes]] = {}
        sets: dict[int, bytes] | None = None
        for kind, content in _split_notes(self._form, data):
            if kind == NT_PRSTATUS:
                tid, general = _parse_status(self._form, content)
                if tid in threads:
                    raise ContextError(f"thread {tid} is there twice")
                sets = threads[tid] = {NT_PRSTATUS: general}
            elif kind in (NT_PRPSINFO, NT_SIGINFO, NT_AUXV, NT_FILE):
                continue
            elif sets is None or kind in sets:
                raise ContextError(f"a note of type {kind:#x} out of place")
            else:
                sets[kind] = content
        return threads

    def _bytes(self, offset: int, size: int, what: str) -> bytes:
        self._check(offset, size, what)
        return self._read(offset, size)

    def _check(self, offset: int, size: int, what: str) -> None:
        if offset + size > self._size:
            raise ContextError(
                f"{what} ends at byte {offset + size}, the member at {self._size}"
            )


def _check_runs(runs: Sequence[_Run], mappings: Sequence[records.Mapping]) -> None:
    """Check that runs lie in mappings, in order and apart."""
    index = end = 0
    for run in runs:
        if run.address < end:
            raise ContextError(f"the segment at {run.address:#x} is out of order")
        end = run.address + run.size
        while index < len(mappings) and mappings[index].end <= run.address:
            index += 1
        if index == len(mappings) or not (
            mappings[index].start <= run.address and end <= mappings[index].end
        ):
            raise ContextError(f"the segment at {run.address:#x} is in no mapping")


def _split_notes(form: _Format, data: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield type and content of notes."""
    at = 0
    while at < len(data):
        if at + form.note.size > len(data):
            raise ContextError("the notes end within one")
        name_size, size, kind = form.note.unpack_from(data, at)
        start = at + form.note.size + -(-name_size // 4) * 4
        at = start + -(-size // 4) * 4
        if at > len(data):
            raise ContextError(f"the note of type {kind:#x} is longer than all notes")
        yield kind, data[start : start + size]


def _parse_status(form: _Format, content: bytes) -> tuple[int, bytes]:
    """
    Return the thread's id and its general registers.

    What is around the registers depends on the word size alone: the head of `struct
    elf_prstatus`, and an int behind, aligned.
    """
    word = form.word_size
    pid_at, registers_at = 16 + 2 * word, 32 + 10 * word
    if len(content) < registers_at + word:
        raise ContextError("the status of a thread is too short")
    (tid,) = struct.unpack_from(form.order + "I", content, pid_at)
    return tid, content[registers_at:-word]
