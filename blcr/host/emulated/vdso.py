"""
The vdso: ours, or what a context brings along from another kernel.

Ours is a page with the code that handlers return to, on architectures whose actions
need no restorer; it is no ELF file and has no functions.

Another kernel's is memory like any other, but for its functions: they read clocks from
pages that nobody keeps up to date, so each becomes a plain system call.  What was there
before is kept, since the next checkpoint has to save it.

Source: vdso(7); elf(5).
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator

from blcr.annotations import TYPE_CHECKING
from blcr.context import records
from blcr.host.emulated.memory import EXECUTE, FORCE, PAGE, READ, WRITE, Area
from blcr.linux import vdso
from blcr.record import Record

if TYPE_CHECKING:
    from blcr.emulation import Recipe
    from blcr.host.emulated.tasks import Guest


_VDSO = "vdso"


class Function(Record):
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
        self._ways_back: dict[bool, int] = {}

    def make(self, guest: Guest, top: int) -> None:
        """Map our own below `top`, if the architecture has use for it."""
        stubs = guest.arch.stubs
        code = b"".join(stubs.veil.code + listing.code for listing in stubs.returns)
        if code:
            start = guest.space.gap(PAGE, top)
            guest.space.add(Area(start, start + PAGE, READ | EXECUTE))
            guest.space.write(start, code, FORCE | WRITE)
            self.add(
                records.Mapping(
                    start, start + PAGE, READ | EXECUTE, special=_VDSO, name="[vdso]"
                )
            )

    def add(self, mapping: records.Mapping) -> None:
        """Note a mapping."""
        self._mappings.append(mapping)

    def way_back(self, guest: Guest, *, rt: bool) -> int:
        """Return where code is that returns from a handler, or 0."""
        if rt not in self._ways_back:
            # Where there is one kind of frame, there is one way back.
            stubs = guest.arch.stubs
            code = (stubs.returns[not rt :] or stubs.returns or (stubs.veil,))[0].code
            veiled = self._find(guest, stubs.veil.code + code) if code else 0
            self._ways_back[rt] = veiled or (self._find(guest, code) if code else 0)
        return self._ways_back[rt]

    def _find(self, guest: Guest, code: bytes) -> int:
        for mapping in self._mappings:
            if mapping.special == _VDSO:
                size = mapping.end - mapping.start
                image = guest.space.read(mapping.start, size, FORCE | READ)
                if (at := image.find(code)) >= 0:
                    return mapping.start + at
        return 0

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
            if mapping.special != _VDSO:
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
