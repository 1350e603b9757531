"""
The guard before the engine: code is looked at before it runs for the first time.

What the engine would get wrong is found in it, by the recipe's account.  Some of that
is carried out here, with the engine stopped there; at anything else the program ends.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import cached_property
from random import Random

from unicorn import Uc, UcError
from unicorn.unicorn_py3 import unicorn as binding

from blcr.annotations import Any
from blcr.architecture import Arch
from blcr.emulation import Performed, Recipe
from blcr.host.emulated.memory import EXECUTE, FORCE, PAGE, READ, AddressSpace

_lib = binding.uclib


class Guard:
    """
    Looks at the code of all threads of one architecture.

    Attributes:
        found: What the engine would get wrong, with its address; empty: nothing yet.
        stale: What the engine has translated is to be forgotten, for new stops.
    """

    def __init__(
        self,
        arch: Arch,
        recipe: Recipe,
        engine: Uc,
        random: Random,
        identify: Callable[[str], int],
    ) -> None:
        self.found, self.stale = "", False
        self._arch, self._engine, self._random = arch, engine, random
        self._identify = identify
        assert recipe.unsupported is not None, "there is something to look for"
        self._unsupported, self._performed = recipe.unsupported, recipe.performed
        self._unit = recipe.code_unit
        self._first: set[tuple[int, int]] = set()
        """Where blocks begin that a run began with: the address, and that in RAM."""
        self._stops: set[int] = set()
        """Where the engine stops, since there is something to be carried out."""
        self._cell = (ctypes.c_uint64 * 2)()

    def begin(self) -> None:
        """Look at all code again: the engine has forgotten what it translated."""
        self._first.clear()
        self.stale = False
        if self._performed:
            self._engine.ctl_set_exits(sorted(self._stops))

    def passes_first(self, space: AddressSpace, pc: int) -> bool:
        """Tell whether the first block can be run; for it there is no callback."""
        entry = space.translate(pc, EXECUTE)
        place = pc, entry & -PAGE | pc % PAGE
        if entry and place not in self._first:
            self._first.add(place)
            with suppress(UcError):
                _, _, size = self._engine.ctl_request_cache(pc)
                return self.passes(space, pc, size)
        return not self.found

    def passes(self, space: AddressSpace, at: int, size: int) -> bool:
        """Tell whether a block can be run as it has been translated."""
        stops = len(self._stops)
        code = space.read(at, size, READ | FORCE)
        for address, one, text in self._suspects(code, at):
            if one in self._performed:
                self._stops.add(address)
                continue
            self.found = f"'{text}' at {address:#x}, {len(one)} bytes"
            break
        self.stale |= len(self._stops) > stops
        return not self.found and len(self._stops) == stops

    def _suspects(self, code: bytes, at: int) -> Iterator[tuple[int, bytes, str]]:
        """Yield address, bytes and text of unsupported instructions in a block."""
        # Disassembling is slow: first see whether any byte could begin one.
        unsupported, unit = self._unsupported, self._unit
        if not any(unsupported(code[i:]) for i in range(0, len(code), unit)):
            return
        for row in self._disassembler.disasm(code, at):
            one = bytes(row.bytes)
            if unsupported(one):
                yield row.address, one, f"{row.mnemonic} {row.op_str}".strip()

    @cached_property
    def _disassembler(self) -> Any:  # noqa: ANN401
        # Its import takes longer than many programs run.
        import capstone

        family, modes = self._arch.capstone
        mode = sum(getattr(capstone, name) for name in modes)
        return capstone.Cs(getattr(capstone, family), mode)

    # What is carried out here.

    def stops_at(self, pc: int) -> bool:
        """Tell whether the engine stops before the instruction there."""
        return pc in self._stops

    def carry_out(self, space: AddressSpace, pc: int) -> int:
        """
        Do what the instruction at a stop does, but for the program counter.

        Returns:
            Its length; 0: here, in another address space, is something else, and the
            engine does not stop any more.
        """
        for code, performed in self._performed.items():
            if space.read(pc, len(code), READ | FORCE) == code:
                self._perform(performed)
                return len(code)
        self._stops.discard(pc)
        self.stale = True
        return 0

    def _perform(self, performed: Performed) -> None:
        handle, cell = self._engine._uch, self._cell
        values, registers = [], [self._identify(name) for name in performed.registers]
        for register in registers:
            cell[:] = [0, 0]
            _lib.uc_reg_read(handle, register, cell)
            values.append(cell[0] | cell[1] << 64)
        if performed.random_bits:
            values.append(self._random.getrandbits(performed.random_bits))
        for register, value in zip(registers, performed.function(values), strict=True):
            cell[:] = [value & (1 << 64) - 1, value >> 64]
            _lib.uc_reg_write(handle, register, cell)
