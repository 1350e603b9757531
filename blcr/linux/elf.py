"""
ELF files, as far as they are looked at or made: their build id, and a seed.

Source: elf(5); include/uapi/linux/elf.h, Linux 6.12; the ELF note
``NT_GNU_BUILD_ID`` of binutils.
"""

from __future__ import annotations

import struct

from blcr.annotations import Literal
from blcr.architecture import Arch
from blcr.linux.constants import GENERIC

HEAD = 4096
"""Bytes from the beginning of a file in which headers and build id are looked for."""

_NT_GNU_BUILD_ID = 3
_SEED_AT = 0x40_0000
"""Where the one page of a seed is mapped, for as long as it is."""


def build_id(head: bytes) -> str:
    """Return the build id in the beginning of an ELF file, or empty: it has none."""
    if head[:4] != b"\x7fELF" or len(head) < 64:
        return ""
    wide, order = head[4] == 2, "<" if head[5] == 1 else ">"
    table, size, count = _table(head, wide, order)
    row = struct.Struct(order + ("2I6Q" if wide else "8I"))
    for at in range(table, table + size * count, size or 1):
        if at + row.size > len(head) or size < row.size:
            return ""
        fields = row.unpack_from(head, at)
        offset, length = (fields[2], fields[5]) if wide else (fields[1], fields[4])
        if fields[0] != GENERIC["PT_NOTE"]:
            continue
        if found := _find_note(head[offset : offset + length], order):
            return found
    return ""


def identity(head: bytes) -> tuple[int, int, str]:
    """Return machine, bytes of a word, and byte order; zeros: it is no ELF file."""
    if head[:4] != b"\x7fELF" or len(head) < 20:
        return 0, 0, ""
    order: Literal["little", "big"] = "little" if head[5] == 1 else "big"
    return int.from_bytes(head[18:20], order), 4 if head[4] == 1 else 8, order


def _table(head: bytes, wide: bool, order: str) -> tuple[int, int, int]:
    """Return where the program headers are: offset, bytes of one, number."""
    (table,) = struct.unpack_from(
        order + ("Q" if wide else "I"), head, 32 if wide else 28
    )
    size, count = struct.unpack_from(order + "2H", head, 54 if wide else 42)
    return table, size, count


def _find_note(notes: bytes, order: str) -> str:
    """Return the build id among notes, or empty."""
    at = 0
    while at + 12 <= len(notes):
        name_size, size, kind = struct.unpack_from(order + "3I", notes, at)
        name = notes[at + 12 : at + 12 + name_size]
        start = at + 12 + -(-name_size // 4) * 4
        if kind == _NT_GNU_BUILD_ID and name == b"GNU\0":
            return notes[start : start + size].hex()
        at = start + -(-size // 4) * 4
    return ""


def seed(arch: Arch) -> bytes:
    """
    Return an executable of one page, for a process that is emptied before it runs.

    It asks for a stack that is not executable: without that a kernel may make all of
    the memory of a 32-bit program executable.
    """
    wide = arch.word_size == 8
    order = "<" if arch.layout.byteorder == "little" else ">"
    header = struct.Struct(order + ("16s2HI3QI6H" if wide else "16s2HI3II6H"))
    row = struct.Struct(order + ("2I6Q" if wide else "8I"))
    code = header.size + 2 * row.size
    ident = b"\x7fELF" + bytes((2 if wide else 1, 1 if order == "<" else 2, 1))
    at, size = _SEED_AT, arch.page_size
    read, execute = GENERIC["PF_R"], GENERIC["PF_X"]
    kinds = GENERIC["PT_LOAD"], GENERIC["PT_GNU_STACK"]
    flags = read | execute, read | GENERIC["PF_W"]
    if wide:
        rows = (
            row.pack(kinds[0], flags[0], 0, at, at, size, size, size),
            row.pack(kinds[1], flags[1], 0, 0, 0, 0, 0, 16),
        )
    else:
        rows = (
            row.pack(kinds[0], 0, at, at, size, size, flags[0], size),
            row.pack(kinds[1], 0, 0, 0, 0, 0, flags[1], 16),
        )
    data = header.pack(
        ident,
        GENERIC["ET_EXEC"],
        arch.elf_machine,
        GENERIC["EV_CURRENT"],
        at + code,
        header.size,
        0,
        0,
        header.size,
        row.size,
        len(rows),
        0,
        0,
        0,
    )
    return (data + b"".join(rows) + arch.stubs.call.code).ljust(size, b"\0")
