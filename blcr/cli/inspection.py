"""
What a context tells about its processes beyond the records.

Registers by name, the instruction at which each thread goes on, the command line, how
much of each mapping was saved.  What cannot be found out here, for an architecture
that is not installed or a program that is not on this machine, is None or empty.
"""

from __future__ import annotations

import os
import struct
from bisect import bisect_right
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from blcr import registry
from blcr.annotations import TYPE_CHECKING
from blcr.errors import ArchitectureError
from blcr.record import Record

if TYPE_CHECKING:
    from blcr.architecture import Arch, Registers
    from blcr.context import records
    from blcr.context.archive import ContextReader
    from blcr.context.core import CoreReader

_CODE_SIZE = 16
"""Bytes of the longest instruction of any architecture."""

_PAGE = 4096
"""Bytes: no smaller pages exist, so a page of this size is saved as a whole or not."""

_COMMAND_LIMIT = 1 << 16
"""Bytes of a command line that are looked at."""


class ThreadView(Record):
    """
    One thread.

    Attributes:
        record: What the context has of it.
        registers: Values by the name of their set and their own.
        unknown: Sets that are not known here, by note type.
        pc: Where it goes on; None if that is not known.
        place: What lies there: the mapped file, and the offset in it.
        instruction: In assembly; empty if it cannot be had.
    """

    record: records.Thread
    registers: Mapping[str, Registers]
    unknown: Mapping[int, bytes]
    pc: int | None
    place: str
    instruction: str


class ProcessView:
    """
    One process of a context.

    Attributes:
        record: What the context has of it.
        arch: Its architecture, or None if that is not installed here.
    """

    def __init__(self, reader: ContextReader, record: records.Process) -> None:
        self.record = record
        self._core: CoreReader = reader.core(record.pid)
        self.arch: Arch | None = None
        with suppress(ArchitectureError):
            identity = record.arch
            self.arch = registry.find(
                identity.machine, identity.word_size, identity.byteorder
            )

    def command(self) -> list[str]:
        """Return its command line, or the executable alone if that was not saved."""
        memory = self.record.memory
        size = min(memory.arg_end - memory.arg_start, _COMMAND_LIMIT)
        data = self._core.read(memory.arg_start, size) if size > 0 else None
        if not data:
            return [self.record.exe]
        return [os.fsdecode(word) for word in data.removesuffix(b"\0").split(b"\0")]

    def saved(self) -> list[int]:
        """Return how many bytes were saved of each mapping."""
        sizes = [0] * len(self.record.mappings)
        index = 0
        for _, address, size in self._core.runs():
            while self.record.mappings[index].end <= address:
                index += 1
            sizes[index] += size
        return sizes

    def threads(self) -> list[ThreadView]:
        """Return its threads."""
        return [self._thread(record) for record in self.record.threads]

    def _thread(self, record: records.Thread) -> ThreadView:
        registers: dict[str, Registers] = {}
        unknown = {}
        for kind, data in self._core.register_sets(record.tid).items():
            known = self.arch.set_of(kind) if self.arch else None
            if known and known.registers:
                with suppress(struct.error):
                    registers[known.name] = known.decode(data)
                    continue
            unknown[kind] = data
        if not self.arch or self.arch.gp.name not in registers:
            return ThreadView(record, registers, unknown, None, "", "")
        pc = registers[self.arch.gp.name][self.arch.pc]
        return ThreadView(
            record, registers, unknown, pc, self._place(pc), self._instruction(pc)
        )

    def _mapping_at(self, address: int) -> records.Mapping | None:
        mappings = self.record.mappings
        index = bisect_right(mappings, address, key=lambda each: each.start)
        if index and address < mappings[index - 1].end:
            return mappings[index - 1]
        return None

    def _place(self, pc: int) -> str:
        """Return what is mapped at an address, and how far into it the address is."""
        mapping = self._mapping_at(pc)
        if mapping is None:
            return ""
        if mapping.path:
            offset = pc - mapping.start + mapping.offset
            return f"{mapping.path.rpartition('/')[2]}+{offset:#x}"
        name = f"[{mapping.special}]" if mapping.special else mapping.name
        return f"{name}+{pc - mapping.start:#x}" if name else ""

    def _instruction(self, pc: int) -> str:
        """Return the assembly of the instruction at an address."""
        code = self._code(pc)
        if not code or not self.arch:
            return ""
        try:
            import capstone
        except ImportError:
            return ""
        kind, modes = self.arch.capstone
        mode = sum(getattr(capstone, name) for name in modes)
        disassembler = capstone.Cs(getattr(capstone, kind), mode)
        for _, _, mnemonic, operands in disassembler.disasm_lite(code, pc, 1):
            return f"{mnemonic} {operands}".rstrip()
        return ""

    def _code(self, pc: int) -> bytes:
        """Return the bytes at an address, from the core or from the mapped file."""
        code = b""
        while len(code) < _CODE_SIZE:
            address = pc + len(code)
            mapping = self._mapping_at(address)
            if mapping is None:
                break
            size = min(_CODE_SIZE - len(code), _PAGE - address % _PAGE)
            data = self._core.read(address, size) or _file_bytes(mapping, address, size)
            if not data:
                break
            code += data
        return code


def _file_bytes(mapping: records.Mapping, address: int, size: int) -> bytes:
    """Return bytes of a mapped file, if it is still the file that was mapped."""
    try:
        # Not opened if it is anything else: that may have an effect.
        if not Path(mapping.path).is_file():
            return b""
        fd = os.open(mapping.path, os.O_RDONLY | os.O_CLOEXEC)
    except (OSError, ValueError):
        return b""
    try:
        status = os.fstat(fd)
        same = (mapping.size, mapping.mtime) in (
            (status.st_size, status.st_mtime_ns),
            (-1, -1),
        )
        if not same:
            return b""
        return os.pread(fd, size, mapping.offset + address - mapping.start)
    except (OSError, OverflowError):
        return b""
    finally:
        os.close(fd)
