"""
Loads a program, as execve(2) does: segments, a stack, first registers.

A program is one ELF file, or two: the interpreter that it names (``PT_INTERP``) is
loaded beside it and runs first.  A script is run by the program in its first line.

Source: elf(5), execve(2); fs/binfmt_elf.c, binfmt_script.c and exec.c of Linux 6.12.
"""

from __future__ import annotations

import errno
import os
import struct
from collections.abc import Callable, Sequence
from pathlib import Path

from blcr import registry
from blcr.annotations import TYPE_CHECKING
from blcr.architecture import Arch
from blcr.context import records
from blcr.errors import ArchitectureError, BlcrError
from blcr.host.emulated.memory import (
    EXECUTE,
    FORCE,
    PAGE,
    READ,
    WRITE,
    Area,
    Backing,
    MappedFile,
    pages_of,
)
from blcr.linux.constants import GENERIC
from blcr.record import Record

if TYPE_CHECKING:
    from blcr.host.emulated.tasks import Guest, Thread

STACK_SIZE = 132 << 10
"""Bytes of the stack that are there from the start; more comes when it is touched."""
STACK_ROOM = 128 << 20
"""What is kept free for the stack of a program below its top."""

_IDENT = 16
_LIMIT = 1 << 16
_SCRIPT_LINE = 256
_SCRIPT_DEPTH = 4

Lookup = Callable[[str], str]
"""Where a path of the guest's leads, as a path of ours."""


class Segment(Record):
    """A program header."""

    kind: int
    flags: int
    offset: int
    address: int
    file_size: int
    size: int


class Executable(Record):
    """What the headers of an ELF file say; `table` is where they lie in the file."""

    file: MappedFile
    arch: Arch
    kind: int
    entry: int
    table: int
    elf_flags: int
    row_size: int
    segments: tuple[Segment, ...]

    @property
    def loaded(self) -> list[Segment]:
        """The segments that memory is filled with."""
        return [s for s in self.segments if s.kind == GENERIC["PT_LOAD"]]


class Program(Record):
    """
    What is to be run.

    Attributes:
        name: The path as it was given, for AT_EXECFN.
        path: Where the executable is, as a path of ours.
        argv: Its arguments; those of a script's interpreter are put before.
        interpreter: Loaded beside it, and run first.
    """

    name: str
    path: str
    argv: tuple[str, ...]
    executable: Executable
    interpreter: Executable | None


class NotExecutableError(BlcrError):
    """The file is not a program that the machine can run; `code` is the errno."""

    exit_status = errno.ENOEXEC

    def __init__(self, message: str, code: int = errno.ENOEXEC) -> None:
        self.code = code
        super().__init__(message)


def find(path: str, argv: Sequence[str], lookup: Lookup) -> Program:
    """
    Open a program and its interpreter, and check both.

    Raises:
        NotExecutableError: One is not there, or cannot be run.
    """
    name = path
    for _ in range(_SCRIPT_DEPTH):
        where = lookup(path)
        file, head = _open(where, path)
        if not head.startswith(b"#!"):
            executable = _headers(file, head)
            return Program(
                name, where, tuple(argv), executable, _interpreter(executable, lookup)
            )
        line = head[2:_SCRIPT_LINE].partition(b"\n")[0].split(None, 1)
        if not line:
            break
        words = [os.fsdecode(word.strip()) for word in line]
        argv = (*words, path, *argv[1:])
        path = words[0]
    raise NotExecutableError(f"'{name}' is a script without an interpreter")


def _open(where: str, path: str) -> tuple[MappedFile, bytes]:
    """Open an executable file and read its first bytes."""
    try:
        with Path(where).open("rb") as stream:
            if not os.access(where, os.X_OK):
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
            head = stream.read(_LIMIT)
            real = os.path.realpath(where)
            return MappedFile(stream.fileno(), real, writable=False), head
    except OSError as error:
        raise NotExecutableError(
            f"'{path}' cannot be read: {error.strerror}",
            # A directory cannot be executed either.
            errno.EACCES if isinstance(error, IsADirectoryError) else error.errno or 0,
        ) from error


def _interpreter(executable: Executable, lookup: Lookup) -> Executable | None:
    """Return the interpreter that an executable names, or None."""
    for segment in executable.segments:
        if segment.kind == GENERIC["PT_INTERP"]:
            data = os.pread(executable.file.fd, segment.file_size, segment.offset)
            path = os.fsdecode(data.partition(b"\0")[0])
            try:
                found = _headers(*_open(lookup(path), path))
            except NotExecutableError as error:
                raise NotExecutableError(
                    f"'{executable.file.path}' needs the interpreter '{path}': {error} "
                    "(option --sysroot tells where the libraries are)",
                    error.code,
                ) from error
            if found.arch is not executable.arch:
                raise NotExecutableError(
                    f"'{executable.file.path}' is of architecture "
                    f"{executable.arch.name}, its interpreter '{path}' of "
                    f"{found.arch.name} (option --sysroot tells where the libraries "
                    "are)",
                    GENERIC["ELIBBAD"],
                )
            return found
    return None


def _headers(file: MappedFile, head: bytes) -> Executable:
    """Check the headers of an ELF file."""
    path = file.path
    if head[:4] != b"\x7fELF" or head[4:5] not in {b"\1", b"\2"}:
        raise NotExecutableError(f"'{path}' is not an ELF executable")
    wide = head[4] == GENERIC["ELFCLASS64"]
    big = head[5] == GENERIC["ELFDATA2MSB"]
    order = ">" if big else "<"
    try:
        kind, machine, _, entry, table = struct.unpack_from(
            order + ("HHIQQ" if wide else "HHIII"), head, _IDENT
        )
        flags, row_size, count = struct.unpack_from(
            order + "I2xHH", head, 48 if wide else 36
        )
        rows = [
            struct.unpack_from(order + ("IIQQQQQ" if wide else "IIIIIII"), head, at)
            for at in range(table, table + row_size * count, row_size)
        ]
    except (struct.error, ValueError) as error:
        raise NotExecutableError(f"'{path}' is cut off or damaged") from error
    try:
        arch = registry.find(machine, 8 if wide else 4, "big" if big else "little")
    except ArchitectureError as error:
        raise NotExecutableError(f"'{path}': {error}") from error
    if arch.emulation is None:
        raise NotExecutableError(f"'{path}': {arch.name} cannot be emulated")
    segments = tuple(_segment(row, wide=wide) for row in rows)
    if kind not in {GENERIC["ET_EXEC"], GENERIC["ET_DYN"]}:
        raise NotExecutableError(f"'{path}' is an ELF file, but not an executable")
    found = Executable(file, arch, kind, entry, table, flags, row_size, segments)
    if not found.loaded:
        raise NotExecutableError(f"'{path}' has nothing to load")
    for segment in found.loaded:
        offset = segment.offset - segment.address % PAGE
        end = segment.address + segment.size
        if (
            *(offset < 0, offset % PAGE, segment.file_size > segment.size),
            end > arch.task_size,
        ) != (False, 0, False, False):
            raise NotExecutableError(f"'{path}' has a damaged segment")
    return found


def _segment(row: tuple[int, ...], *, wide: bool) -> Segment:
    if wide:
        kind, flags, offset, address, _, file_size, size = row
    else:
        kind, offset, address, _, file_size, size, flags = row
    return Segment(kind, flags, offset, address, file_size, size)


def load(guest: Guest, program: Program, env: Sequence[str]) -> Thread:
    """
    Fill an empty guest with a program and return its first thread, ready to run.

    Raises:
        OSError: ENOMEM, it does not fit.
    """
    space, executable = guest.space, program.executable
    guest.exe, guest.elf_flags = executable.file.path, executable.elf_flags
    base = 0
    if executable.kind == GENERIC["ET_DYN"]:
        base = guest.arch.task_size // 3 & (-PAGE << 4)
    _map(guest, executable, base)
    loaded = executable.loaded
    code = [s for s in loaded if s.flags & GENERIC["PF_X"]] or loaded
    data = [s for s in loaded if s.flags & GENERIC["PF_W"]] or loaded
    stack_top = guest.arch.task_size & -PAGE
    if stack_top > 1 << 32:
        stack_top -= 16 * PAGE
    space.add(
        Area(stack_top - STACK_SIZE, stack_top, READ | WRITE, grows_down=True),
    )
    brk = pages_of(max(base + s.address + s.size for s in loaded)) + 16 * PAGE
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
    entry, interpreter_base = base + executable.entry, 0
    if program.interpreter is not None:
        interpreter_base = _room(guest, program.interpreter, stack_top - STACK_ROOM)
        _map(guest, program.interpreter, interpreter_base)
        entry = interpreter_base + program.interpreter.entry
    guest.vdso.make(guest, stack_top - STACK_ROOM)
    auxv = _auxv(guest, executable, base, interpreter_base)
    sp = _Stack(guest, stack_top).fill(program, env, auxv)
    state = guest.cpu.new_state()
    guest.cpu.load(state, space)
    start = guest.function_start(entry, interpreter_base or base)
    guest.cpu.set_general({**start, guest.arch.sp: sp})
    thread = guest.machine.add_thread(guest, guest.pid, state)
    thread.comm = os.path.basename(program.name)[:15]
    return thread


def loaded_flags(guest: Guest) -> int:
    """Return the flags in the ELF header that precedes the program headers."""
    size, order = guest.arch.word_size, guest.arch.layout.byteorder
    vector = guest.layout.auxv
    words = [
        int.from_bytes(vector[at : at + size], order)
        for at in range(0, len(vector), size)
    ]
    table = dict(zip(words[::2], words[1::2], strict=False)).get(GENERIC["AT_PHDR"], 0)
    wide = size == 8
    try:
        head = guest.space.read(table - (64 if wide else 52), 52, READ | FORCE)
    except OSError:
        return 0
    at = 48 if wide else 36
    return int.from_bytes(head[at : at + 4], order) if head[:4] == b"\x7fELF" else 0


def _room(guest: Guest, executable: Executable, top: int) -> int:
    """Return a base for an interpreter, below `top`."""
    if executable.kind == GENERIC["ET_EXEC"]:
        return 0
    loaded = executable.loaded
    start = min(s.address for s in loaded) & -PAGE
    end = pages_of(max(s.address + s.size for s in loaded))
    # Segments may be aligned to the largest pages that the architecture knows.
    return (guest.space.gap(end - start + (1 << 16), top) - start) + 0xFFFF & -(1 << 16)


def _map(guest: Guest, executable: Executable, base: int) -> None:
    for segment in executable.loaded:
        _map_segment(guest, executable.file, segment, base)


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
    split = pages_of(file_end) if segment.file_size else start
    if split > start:
        guest.space.add(Area(start, split, protection, Backing(file), offset))
        if protection & WRITE and segment.size > segment.file_size:
            guest.space.write(file_end, bytes(split - file_end))
    if end > split:
        guest.space.add(Area(split, end, protection))


def _auxv(
    guest: Guest, executable: Executable, base: int, interpreter_base: int
) -> dict[str, int]:
    """Return the entries of the auxiliary vector that are numbers."""
    table = next(
        (
            s.address + executable.table - s.offset
            for s in executable.loaded
            if s.offset <= executable.table < s.offset + s.file_size
        ),
        0,
    )
    return {
        "AT_PHDR": base + table,
        "AT_PHENT": executable.row_size,
        "AT_PHNUM": len(executable.segments),
        "AT_PAGESZ": guest.arch.page_size,
        "AT_BASE": interpreter_base,
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

    def fill(self, program: Program, env: Sequence[str], auxv: dict[str, int]) -> int:
        """Write strings, vectors and counts; return the stack pointer."""
        guest, names, argv = self._guest, self._guest.constants, program.argv
        name = self._push(os.fsencode(program.name) + b"\0")
        env_end = self._at
        env_at = [self._push(os.fsencode(v) + b"\0") for v in reversed(env)]
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
