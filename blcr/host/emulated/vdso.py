"""
The vdso that a context brings along from another kernel.

It is memory like any other here, but for its functions: they read clocks from pages
that nobody keeps up to date, so each becomes a plain system call.  What was there
before is kept, since the next checkpoint has to save it.

Source: vdso(7); elf(5).
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

from blcr.host.emulated.memory import FORCE, READ, WRITE
from blcr.linux import vdso

if TYPE_CHECKING:
    from blcr.context import records
    from blcr.emulation import Recipe
    from blcr.host.emulated.memory import Area
    from blcr.host.emulated.tasks import Guest


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
            for name, start, end in vdso.functions(guest.arch, image):
                code = vdso.plain_call(guest.arch, name)
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
