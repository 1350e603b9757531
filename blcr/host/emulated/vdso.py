"""
The vdso that a context brings along from another kernel.

It is memory like any other here, but for its functions: they read clocks from pages
that nobody keeps up to date, so each becomes a plain system call.  What was there
before is kept, since the next checkpoint has to save it.

Source: vdso(7); elf(5).
"""

from __future__ import annotations

import importlib
import struct
from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

from blcr.host.emulated.memory import FORCE, READ, WRITE
from blcr.linux.constants import GENERIC

if TYPE_CHECKING:
    from blcr.context import records
    from blcr.emulation import Recipe
    from blcr.host.emulated.memory import Area
    from blcr.host.emulated.tasks import Guest

_PREFIXES = ("__vdso_", "__kernel_")
_DT_STRTAB, _DT_SYMTAB, _DT_HASH, _DT_GNU_HASH = 5, 6, 4, 0x6FFF_FEF5
_SYMBOL_LIMIT = 256


class Function(NamedTuple):
    """A function that was replaced, and where it was."""

    name: str
    start: int
    end: int


class Vdso:
    """The special mappings of a guest."""

    def __init__(self) -> None:
        self._mappings: list[records.Mapping] = []
        self._original: dict[int, bytes] = {}
        self._functions: list[Function] = []

    def add(self, mapping: records.Mapping) -> None:
        """Note a mapping."""
        self._mappings.append(mapping)

    def cut(self, area: Area) -> Iterator[tuple[Area, records.Mapping | None]]:
        """Yield an area cut where special mappings begin and end."""
        at = area.start
        for mapping in self._mappings:
            if at <= mapping.start and mapping.end <= area.end:
                if at < mapping.start:
                    yield area.cut(at, mapping.start), None
                yield area.cut(mapping.start, mapping.end), mapping
                at = mapping.end
        if at < area.end:
            yield area.cut(at, area.end), None

    def show_original(self, address: int, buffer: memoryview) -> None:
        """Put back into a copy of memory what was changed there."""
        for start, data in self._original.items():
            low = max(start, address)
            high = min(start + len(data), address + len(buffer))
            if low < high:
                buffer[low - address : high - address] = data[
                    low - start : high - start
                ]

    def function_at(self, pc: int) -> str | None:
        """Return the replaced function that a pc is inside of."""
        for name, start, end in self._functions:
            if start < pc < end:
                return name
        return None

    def divert(self, guest: Guest) -> None:
        """Replace the functions by plain calls."""
        for mapping in self._mappings:
            if mapping.special != "vdso":
                continue
            size = mapping.end - mapping.start
            image = guest.space.read(mapping.start, size, FORCE | READ)
            changed = _patched(guest, image)
            for name, start, end in _functions(guest, image):
                code = _call(guest, name)
                if code is not None and start + len(code) <= size:
                    changed[start : start + len(code)] = code
                    at = mapping.start
                    self._functions.append(Function(name, at + start, at + end))
            self._original[mapping.start] = image
            guest.space.write(mapping.start, bytes(changed), FORCE | WRITE)


def _patched(guest: Guest, image: bytes) -> bytearray:
    """Return an image without ways into the kernel that the engine does not have."""
    recipe: Recipe = importlib.import_module(guest.arch.emulation or "").RECIPE
    for old, new in recipe.vdso_patches:
        image = image.replace(old, new)
    return bytearray(image)


def _call(guest: Guest, function: str) -> bytes | None:
    """Return the code of the plain call that a function of the vdso stands for."""
    stubs, layout = guest.arch.stubs, guest.arch.layout
    name = function
    for prefix in _PREFIXES:
        name = name.removeprefix(prefix)
    number = guest.arch.syscalls.get(name)
    if name == function or number is None or stubs.fallback is None:
        return None
    if stubs.fallback_number is None or name.endswith("sigreturn"):
        return None
    at, size = stubs.fallback_number
    code = stubs.fallback.code
    return code[:at] + number.to_bytes(size, layout.byteorder) + code[at + size :]


def _functions(guest: Guest, image: bytes) -> Iterator[tuple[str, int, int]]:
    """Yield name, start and end of the functions of an image, from its start."""
    layout = guest.arch.layout
    order = "<" if layout.byteorder == "little" else ">"
    wide = layout.word_size == 8
    try:
        yield from _symbols(image, order, wide=wide)
    except (struct.error, IndexError):
        return


def _symbols(image: bytes, order: str, *, wide: bool) -> Iterator[tuple[str, int, int]]:
    (table,) = struct.unpack_from(
        order + ("Q" if wide else "I"), image, 32 if wide else 28
    )
    row_size, count = struct.unpack_from(order + "HH", image, 54 if wide else 42)
    dynamic: dict[int, int] = {}
    for at in range(table, table + row_size * count, row_size):
        if wide:
            kind, _, offset, _, _, size = struct.unpack_from(
                order + "IIQQQQ", image, at
            )
        else:
            kind, offset, _, _, size = struct.unpack_from(order + "IIIII", image, at)
        if kind == GENERIC["PT_DYNAMIC"]:
            words = order + ("qQ" if wide else "iI")
            rows = struct.iter_unpack(words, image[offset : offset + size])
            dynamic = dict(reversed(list(rows)))
    symbols, strings = dynamic.get(_DT_SYMTAB), dynamic.get(_DT_STRTAB)
    if symbols is None or strings is None:
        return
    size = 24 if wide else 16
    for at in range(symbols + size, symbols + _SYMBOL_LIMIT * size, size):
        if at + size > strings > symbols:
            return
        if wide:
            name, info, _, _, value, length = struct.unpack_from(
                order + "IBBHQQ", image, at
            )
        else:
            name, value, length, info, _, _ = struct.unpack_from(
                order + "IIIBBH", image, at
            )
        if info & 15 == 2:
            end = image.index(b"\0", strings + name)
            text = image[strings + name : end].decode("ascii", "replace")
            yield text, value, value + length
