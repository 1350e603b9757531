"""
Loads a static executable, as execve(2) does: segments, a stack, first registers.

Source: elf(5); fs/binfmt_elf.c and fs/exec.c of Linux 6.12.
"""

from __future__ import annotations

import errno
import os
import struct
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from blcr import registry
from blcr.architecture import Arch
from blcr.context import records
from blcr.errors import BlcrError, RefusedError
from blcr.host.emulated.memory import (
    EXECUTE,
    PAGE,
    READ,
    WRITE,
    Area,
    Backing,
    MappedFile,
    pages_of,
)
from blcr.linux.constants import GENERIC

if TYPE_CHECKING:
    from blcr.host.emulated.tasks import Guest, Thread

STACK_SIZE = 132 << 10
"""Bytes of the stack that are there from the start; more comes when it is touched."""

_IDENT = 16
_LIMIT = 1 << 16


class Segment(NamedTuple):
    """A program header."""

    kind: int
    flags: int
    offset: int
    address: int
    file_size: int
    size: int


class Executable(NamedTuple):
    """What the headers of an executable say; `table` is where they lie in the file."""

    arch: Arch
    kind: int
    entry: int
    table: int
    row_size: int
    segments: tuple[Segment, ...]


class NotExecutableError(BlcrError):
    """The file is not a program that the machine can run."""

    exit_status = errno.ENOEXEC


def read_headers(path: str) -> Executable:
    """
    Read and check the headers of an ELF file.

    Raises:
        NotExecutableError: It cannot be read, is not ELF, or is damaged.
        ArchitectureError: No architecture of that kind is installed.
    """
    try:
        with Path(path).open("rb") as file:
            head = file.read(_LIMIT)
    except OSError as error:
        raise NotExecutableError(
            f"'{path}' cannot be read: {error.strerror}"
        ) from error
    if head[:4] != b"\x7fELF" or head[4:5] not in {b"\1", b"\2"}:
        raise NotExecutableError(f"'{path}' is not an ELF executable")
    wide = head[4] == GENERIC["ELFCLASS64"]
    big = head[5] == GENERIC["ELFDATA2MSB"]
    order = ">" if big else "<"
    try:
        kind, machine, _, entry, table = struct.unpack_from(
            order + ("HHIQQ" if wide else "HHIII"), head, _IDENT
        )
        row_size, count = struct.unpack_from(order + "HH", head, 54 if wide else 42)
        rows = [
            struct.unpack_from(order + ("IIQQQQQ" if wide else "IIIIIII"), head, at)
            for at in range(table, table + row_size * count, row_size)
        ]
    except (struct.error, ValueError) as error:
        raise NotExecutableError(f"'{path}' is cut off or damaged") from error
    arch = registry.find(machine, 8 if wide else 4, "big" if big else "little")
    segments = tuple(_segment(row, wide=wide) for row in rows)
    if kind not in {GENERIC["ET_EXEC"], GENERIC["ET_DYN"]}:
        raise NotExecutableError(f"'{path}' is an ELF file, but not an executable")
    return Executable(arch, kind, entry, table, row_size, segments)


def _segment(row: tuple[int, ...], *, wide: bool) -> Segment:
    if wide:
        kind, flags, offset, address, _, file_size, size = row
    else:
        kind, offset, address, _, file_size, size, flags = row
    return Segment(kind, flags, offset, address, file_size, size)


def load(
    guest: Guest,
    path: str,
    executable: Executable,
    argv: Sequence[str],
    env: Mapping[str, str],
) -> Thread:
    """
    Fill an empty guest with a program and return its first thread, ready to run.

    Raises:
        NotExecutableError: The segments make no sense, or need another program.
        OSError: ENOMEM, it does not fit.
    """
    if any(s.kind == GENERIC["PT_INTERP"] for s in executable.segments):
        raise RefusedError(
            guest.pid,
            f"'{path}' is dynamically linked",
            hint="only static programs can be emulated",
        )
    space = guest.space
    base = 0 if executable.kind == GENERIC["ET_EXEC"] else guest.arch.task_size // 3
    base &= -PAGE << 4
    guest.exe = path
    with Path(path).open("rb") as stream:
        file = MappedFile(stream.fileno(), path, writable=False)
    loaded = [s for s in executable.segments if s.kind == GENERIC["PT_LOAD"]]
    if not loaded:
        raise NotExecutableError(f"'{path}' has nothing to load")
    for segment in loaded:
        _map_segment(guest, file, segment, base)
    code = [s for s in loaded if s.flags & GENERIC["PF_X"]] or loaded
    data = [s for s in loaded if s.flags & GENERIC["PF_W"]] or loaded
    top = pages_of(max(base + s.address + s.size for s in loaded))
    stack_top = guest.arch.task_size & -PAGE
    if stack_top > 1 << 32:
        stack_top -= 16 * PAGE
    space.add(
        Area(
            stack_top - STACK_SIZE,
            stack_top,
            READ | WRITE,
            grows_down=True,
        )
    )
    brk = top + 16 * PAGE
    guest.layout = records.MemoryLayout(
        start_code=base + min(s.address for s in code),
        end_code=base + max(s.address + s.file_size for s in code),
        start_data=base + min(s.address for s in data),
        end_data=base + max(s.address + s.file_size for s in data),
        start_brk=brk,
        brk=brk,
        **dict.fromkeys(
            ("start_stack", "arg_start", "arg_end", "env_start", "env_end"), 0
        ),
        auxv=b"",
    )
    sp = _Stack(guest, stack_top).fill(path, argv, env, _auxv(guest, executable, base))
    state = guest.cpu.new_state()
    guest.cpu.load(state, space)
    guest.cpu.set_general({guest.arch.pc: base + executable.entry, guest.arch.sp: sp})
    thread = guest.machine.add_thread(guest, guest.pid, state)
    thread.comm = os.path.basename(path)[:15]  # noqa: PTH119
    return thread


def _map_segment(guest: Guest, file: MappedFile, segment: Segment, base: int) -> None:
    start = (base + segment.address) & -PAGE
    file_end = base + segment.address + segment.file_size
    end = pages_of(base + segment.address + segment.size)
    protection = sum(
        bit
        for flag, bit in (("PF_R", READ), ("PF_W", WRITE), ("PF_X", EXECUTE))
        if segment.flags & GENERIC[flag]
    )
    offset = segment.offset - segment.address % PAGE
    if offset < 0 or offset % PAGE or segment.file_size > segment.size:
        raise NotExecutableError(f"'{file.path}' has a damaged segment")
    split = pages_of(file_end) if segment.file_size else start
    if split > start:
        guest.space.add(Area(start, split, protection, Backing(file), offset))
        if protection & WRITE and segment.size > segment.file_size:
            guest.space.write(file_end, bytes(split - file_end))
    if end > split:
        guest.space.add(Area(split, end, protection))


def _auxv(guest: Guest, executable: Executable, base: int) -> dict[str, int]:
    """Return the entries of the auxiliary vector that are numbers."""
    loaded = [s for s in executable.segments if s.kind == GENERIC["PT_LOAD"]]
    table = next(
        (
            s.address + executable.table - s.offset
            for s in loaded
            if s.offset <= executable.table < s.offset + s.file_size
        ),
        0,
    )
    return {
        "AT_PHDR": base + table,
        "AT_PHENT": executable.row_size,
        "AT_PHNUM": len(executable.segments),
        "AT_PAGESZ": guest.arch.page_size,
        "AT_BASE": 0,
        "AT_FLAGS": 0,
        "AT_ENTRY": base + executable.entry,
        "AT_UID": os.getuid(),
        "AT_EUID": os.geteuid(),
        "AT_GID": os.getgid(),
        "AT_EGID": os.getegid(),
        "AT_CLKTCK": 100,
        "AT_SECURE": 0,
        **guest.cpu.recipe.auxv,
    }


class _Stack:
    """The first stack of a program, filled from its top."""

    def __init__(self, guest: Guest, top: int) -> None:
        self._guest = guest
        self._at = top - guest.arch.word_size

    def _push(self, data: bytes) -> int:
        self._at -= len(data)
        self._guest.space.write(self._at, data)
        return self._at

    def fill(
        self,
        path: str,
        argv: Sequence[str],
        env: Mapping[str, str],
        auxv: dict[str, int],
    ) -> int:
        """Write strings, vectors and counts; return the stack pointer."""
        guest, names = self._guest, self._guest.constants
        name = self._push(os.fsencode(path) + b"\0")
        env_end = self._at
        variables = [f"{key}={value}" for key, value in env.items()]
        env_at = [self._push(os.fsencode(v) + b"\0") for v in reversed(variables)]
        arg_end = env_start = self._at
        arg_at = [self._push(os.fsencode(arg) + b"\0") for arg in reversed(argv)]
        arg_start = self._at
        platform = self._push(os.fsencode(guest.cpu.recipe.platform or "") + b"\0")
        random = self._push(guest.machine.random.randbytes(16))
        entries = {
            **auxv,
            "AT_PLATFORM": platform,
            "AT_RANDOM": random,
            "AT_EXECFN": name,
        }
        size, order = guest.arch.word_size, guest.arch.layout.byteorder
        rows = [(names[key], value) for key, value in entries.items()]
        vector = b"".join(
            word.to_bytes(size, order) for row in [*rows, (0, 0)] for word in row
        )
        words = [len(argv), *reversed(arg_at), 0, *reversed(env_at), 0]
        head = b"".join(word.to_bytes(size, order) for word in words)
        self._at = (self._at - len(head) - len(vector)) & -16
        guest.space.write(self._at, head + vector)
        guest.layout = guest.layout._replace(
            start_stack=self._at,
            arg_start=arg_start,
            arg_end=arg_end,
            env_start=env_start,
            env_end=env_end,
            auxv=vector,
        )
        return self._at
