"""
The CPU of the machine: one Unicorn engine, told by a recipe which CPU it is.

It runs one thread at a time: `load` a state, `run` until something happens, look at and
change registers, `load` another.  Between its turns a thread's state is an engine
context, which never leaves this engine; what a checkpoint holds are register sets.

Three rules from measurements with Unicorn 2.1.4: memory is mapped once and translated
by our own hook, since any memory hook makes each store ten times slower; a hook stops
the engine and what it saw is handled after that; and the engine is stopped by a count
of blocks from within, never from another thread.
"""

from __future__ import annotations

import ctypes
import importlib
import mmap
from collections.abc import Iterable, Mapping
from functools import cache, partial
from operator import itemgetter
from pathlib import Path
from random import Random

from unicorn import Uc, UcError, unicorn_const
from unicorn.unicorn_py3 import unicorn as binding

from blcr import registry
from blcr.annotations import Any
from blcr.architecture import Arch, Registers
from blcr.emulation import Fault, Recipe, Transfer
from blcr.errors import ArchitectureError, HostError
from blcr.host.emulated.guard import Guard
from blcr.host.emulated.memory import (
    CODE,
    COPIED,
    DIRTY,
    EXECUTE,
    FORCE,
    PAGE,
    READ,
    WRITE,
    AddressSpace,
    Ram,
    pages_of,
)
from blcr.record import Record

_lib = binding.uclib
_ACCESS = {
    unicorn_const.UC_MEM_READ: READ,
    unicorn_const.UC_MEM_WRITE: WRITE,
    unicorn_const.UC_MEM_FETCH: EXECUTE,
}
_FRAME = ~(PAGE - 1)

# The page behind the guest's address space: descriptors, stubs, what stubs work on.
_STUB_AT, _DATA_AT = 0x200, 0xA00
_STUB_BUDGET = 1 << 20
# With no code to count blocks, so many instructions are counted for one of them.
_BLOCK_LENGTH = 8


class Call(Record):
    """The guest makes a system call."""

    number: int
    args: tuple[int, ...]


class Trap(Record):
    """The guest did what it cannot do: the signal, code and address to tell it."""

    signal: str
    code: str
    address: int


class Cut(Record):
    """The budget is used up."""


class State:
    """What the engine keeps of a thread that is not running, and what it cannot."""

    def __init__(self, engine: Uc) -> None:
        self.context = engine.context_save()
        self.tls: list[tuple[int, int, int]] = []
        """Base, limit and flags of the thread's own descriptors."""
        self.selectors: Registers = {}
        """Selectors whose descriptors are still to come."""
        self.noted: Mapping[str, int] = {}
        """What a kernel has noted of the call that is being made."""


class _Batch:
    """
    Engine registers read and written in one go.

    The engine reads and writes only as many bytes as a register has.  So what is read
    has a place of its own, the rest of which stays zero.  One of 16 bytes has two names
    and the id None for the second.
    """

    def __init__(self, handle: object, ids: Mapping[str, int | None]) -> None:
        self.names = tuple(ids)
        rows = [(one, 8 * i) for i, one in enumerate(ids.values()) if one is not None]
        count = len(rows)
        cells, pointers = ctypes.c_uint64 * len(ids), ctypes.c_void_p * count

        def arguments(values: ctypes.Array[ctypes.c_uint64]) -> tuple[object, ...]:
            start = ctypes.addressof(values)
            places = pointers(*(start + at for _, at in rows))
            return (
                handle,
                (ctypes.c_int * count)(*(one for one, _ in rows)),
                places,
                count,
            )

        self._read, self._written = cells(), cells()
        self._reading, self._writing = arguments(self._read), arguments(self._written)

    def read(self) -> list[int]:
        """Return the values in order of names."""
        _lib.uc_reg_read_batch(*self._reading)
        return self._read[:]

    def write(self, values: list[int]) -> None:
        """Set all of them."""
        self._written[:] = values  # type: ignore[assignment]
        _lib.uc_reg_write_batch(*self._writing)


class Cpu:
    """One engine for all threads of one architecture."""

    def __init__(self, arch: Arch, ram: Ram, random: Random) -> None:
        if arch.emulation is None:
            raise ArchitectureError(f"architecture {arch.name} cannot be emulated")
        self.arch = arch
        self._ram = ram
        recipe: Recipe = importlib.import_module(arch.emulation).RECIPE
        self.recipe = recipe
        if recipe.addressed and ram.total > recipe.addressed:
            most = recipe.addressed - (ram.total - ram.size) >> 20
            raise ArchitectureError(
                f"an emulated CPU of architecture {arch.name} can have {most} MiB of "
                "memory, and the machine has more; see '--memory'"
            )
        module, prefix = recipe.constants
        self._constants = vars(importlib.import_module(module))
        self._prefix = prefix
        modes = sum(getattr(unicorn_const, mode) for mode in recipe.modes)
        self._engine = Uc(getattr(unicorn_const, recipe.engine), modes)
        self._handle = self._engine._uch
        if recipe.page_size:
            self._engine.ctl_set_page_size(recipe.page_size)
        self._engine.ctl_set_tlb_mode(unicorn_const.UC_TLB_VIRTUAL)
        self._engine.mem_map_ptr(0, ram.total, unicorn_const.UC_PROT_ALL, ram.base)
        self._engine.ctl_exits_enabled(True)
        # A page behind the guest's address space.
        self._hidden_at = pages_of(arch.task_size)
        self._hidden = ram.take()
        for at, listing in recipe.helpers.items():
            start = self._hidden + at
            ram.view[start : start + len(listing.code)] = listing.code
        self._address_bits = ~recipe.ignored_bits
        self._in_stub = False
        self._passing: tuple[int, int] | None = None
        if recipe.passing:
            self._passing = (self._id(recipe.passing[0]), recipe.passing[1])
        self._passing_value = ctypes.c_uint32()
        self._shown = READ | EXECUTE if recipe.helpers else 0
        if recipe.descriptors:
            self._shown |= READ
        """What programs may do with the hidden page."""
        self._stubs: dict[bytes, int] = {}
        self._space: AddressSpace | None = None
        self._state: State | None = None
        self._called = False
        self._call_values: list[int] | None = None
        """What the registers of the call reported last still hold, if so."""
        self._next: int | None = None
        """The program counter, where it is known without asking the engine."""
        self._exception: int | None = None
        self._began = (0, 0)
        """Where the engine has begun last, and with what budget."""
        self._fault_at: int | None = None
        self._error: BaseException | None = None
        self.guard: Guard | None = None
        if recipe.unsupported:
            self.guard = Guard(arch, recipe, self._engine, random, self._id)
        self._callbacks: list[object] = []
        self._add_hooks()
        self._make_batches()
        self._enter_user_mode()
        self._pristine = self._engine.context_save()

    # Setting up.

    def _id(self, name: str) -> int:
        return int(self._constants[self._prefix + name])

    def _add_hooks(self) -> None:
        hook = self._hook
        fill = binding.HOOK_TLB_FILL_CFUNC(self._on_translation)
        hook(unicorn_const.UC_HOOK_TLB_FILL, fill)
        hook(unicorn_const.UC_HOOK_INTR, binding.HOOK_INTR_CFUNC(self._on_exception))
        if self.recipe.call_instruction:
            number = self._constants[self.recipe.call_instruction]
            kind = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p)
            hook(unicorn_const.UC_HOOK_INSN, kind(self._on_call), extra=number)
        for name, raised in self.recipe.privileged:
            # Whatever its arguments, the engine is the first of them.
            kind = ctypes.CFUNCTYPE(ctypes.c_uint32, ctypes.c_void_p)
            callback = kind(partial(self._on_privileged, raised))
            hook(unicorn_const.UC_HOOK_INSN, callback, extra=self._constants[name])
        if self.guard:
            block = binding.HOOK_EDGE_GEN_CFUNC(self._on_new_block)
            hook(unicorn_const.UC_HOOK_EDGE_GENERATED, block)
        stop = ctypes.cast(_lib.uc_emu_stop, ctypes.c_void_p).value or 0
        self._budget = (ctypes.c_int64 * 2)(0, stop)
        code = _budget_code()
        self._counts = code is None
        if code is not None:
            budget = ctypes.addressof(self._budget)
            hook(unicorn_const.UC_HOOK_BLOCK, ctypes.c_void_p(code), data=budget)

    def _hook(
        self, kind: int, callback: object, *, data: int = 0, extra: int | None = None
    ) -> None:
        """Register a callback for all addresses: a range that ends before it begins."""
        handle = ctypes.c_size_t()
        status = _lib.uc_hook_add(
            *(self._handle, ctypes.byref(handle), kind),
            *(ctypes.cast(callback, ctypes.c_void_p), ctypes.c_void_p(data)),  # type: ignore[arg-type]
            *(ctypes.c_uint64(1), ctypes.c_uint64(0)),
            *(() if extra is None else (ctypes.c_int(extra),)),
        )
        if status:
            raise HostError(f"the engine refuses a hook: {UcError(status)}")
        self._callbacks.append(callback)

    def _make_batches(self) -> None:
        arch, held, fixed = self.arch, self.recipe.registers, self.recipe.fixed

        def batch(names: Iterable[str]) -> _Batch:
            known = {name: held[name] for name in names if name in held}
            return _Batch(
                self._handle,
                {
                    name: self._id(each) if each else None
                    for name, each in known.items()
                },
            )

        odd = self.recipe.odd_code
        self._pc = batch([arch.pc, *(odd[:1] if odd else ())])
        roles = (arch.call_number, *arch.call_args, arch.result, arch.pc)
        self._call = batch(dict.fromkeys((*roles, *self.recipe.call_state)))
        at = {name: i for i, name in enumerate(self._call.names)}
        self._number_at = at[arch.call_number]
        self._args_of = itemgetter(*(at[name] for name in arch.call_args))
        self._result = batch(dict.fromkeys((arch.result, *self.recipe.call_state)))
        # What `set_result` looks at.
        names = tuple(dict.fromkeys((arch.pc, *self._result.names)))
        self._ended = names, itemgetter(*(at[name] for name in names))
        self._batches = {
            registers.note_type: batch(row.name for row in registers.registers)
            for registers in arch.register_sets
        }

        self._fixed = {
            registers.note_type: {
                row.name: fixed[row.name]
                for row in registers.registers
                if row.name in fixed
            }
            for registers in arch.register_sets
        }

    def _enter_user_mode(self) -> None:
        engine, descriptors = self._engine, self.recipe.descriptors
        for name, value in self.recipe.setup.items():
            engine.reg_write(self._id(name), value)
        for row in self.recipe.system:
            engine.reg_write(self._id("CP_REG"), row)
        if descriptors:
            size = 8 * (max(*descriptors.table, descriptors.tls_slot + 2) + 1)
            table = (0, self._hidden_at, size - 1, 0)
            engine.reg_write(self._id(descriptors.register), table)
            for slot, value in descriptors.table.items():
                self._set_descriptor(slot, value)
            for name, value in descriptors.selectors.values():
                engine.reg_write(self._id(name), value)
        if self.recipe.entry:
            code, target, words = self.recipe.entry
            stack = self._hidden_at + _DATA_AT
            places = {"pc": self._stub(code.code) + target, "sp": stack}
            size, order = self.arch.word_size, self.arch.layout.byteorder
            values = [places[w] if isinstance(w, str) else w for w in words]
            data = b"".join(value.to_bytes(size, order) for value in values)
            engine.reg_write(self._id(self.recipe.registers[self.arch.sp]), stack)
            self._run_stub(code.code, data)

    # Threads.

    def new_state(self) -> State:
        """Return the state of a thread that has not run yet."""
        self._leave()
        self._engine.context_restore(self._pristine)
        self._state = state = State(self._engine)
        batch = self._batches[self.arch.gp.note_type]
        batch.write([self.recipe.start.get(name, 0) for name in batch.names])
        self._load_descriptors()
        return state

    def copy_state(self, state: State) -> State:
        """Return a second state that equals the first."""
        self.load(state)
        copy = State(self._engine)
        copy.tls, copy.selectors = list(state.tls), dict(state.selectors)
        copy.noted = state.noted
        return copy

    def load(self, state: State, space: AddressSpace | None = None) -> None:
        """Make a state, and an address space, the current ones."""
        if state is not self._state:
            self._leave()
            self._engine.context_restore(state.context)
            self._state = state
            self._load_descriptors()
        if space is not None and space is not self._space:
            self._space = space
            space.stale = True

    def _leave(self) -> None:
        self._call_values = self._next = None
        if self._state is not None:
            self._engine.context_update(self._state.context)
            self._state = None

    def reload_descriptors(self) -> None:
        """Take the current thread's own descriptors anew."""
        self._load_descriptors()
        self._load_selectors(self._selectors())

    def _load_descriptors(self) -> None:
        descriptors, state = self.recipe.descriptors, self._state
        if state and descriptors and descriptors.encode:
            rows = state.tls or [descriptors.tls_unset] * 3
            for slot, row in enumerate(rows, descriptors.tls_slot):
                self._set_descriptor(slot, descriptors.encode(*row))

    def _set_descriptor(self, slot: int, value: int) -> None:
        at = self._hidden + 8 * slot
        self._ram.view[at : at + 8] = value.to_bytes(8, "little")

    # Running.

    def run(self, budget: int) -> tuple[Call | Trap | Cut, int]:
        """
        Run the current thread for at most `budget` blocks of code.

        Returns:
            What happened, and how much of the budget is left.
        """
        outcome, left = self._go(budget)
        while left > 0 and isinstance(outcome, Cut) and self._carries_on():
            outcome, left = self._go(left - 1)
        return outcome, left

    def _carries_on(self) -> bool:
        """Carry out what the engine has stopped for, if it has."""
        guard, space, pc = self.guard, self._space, self.pc()
        if not guard or space is None or not guard.stops_at(pc):
            return False
        length = guard.carry_out(space, pc)
        self._pc.write([pc + length])
        return True

    def _go(self, budget: int) -> tuple[Call | Trap | Cut, int]:
        self._refresh()
        start = self._entry() if self._next is None else self._next
        guard, space = self.guard, self._space
        if guard and space is not None and not guard.passes_first(space, start):
            return Cut(), budget
        self._start(start, budget)
        if self.recipe.noted:
            self._note_call()
        if self._called:
            values = self._call_values = self._call.read()
            call = Call(values[self._number_at], self._args_of(values))
            return call, self._budget[0]
        if self._exception is not None:
            exception = self._exception
            fault = self.recipe.faults.get(exception, self.recipe.illegal)
            pc, *rest = self._pc.read()
            pc -= fault.step
            self._pc.write([pc, *rest])
            self._renew()
            if exception in self.recipe.explained:
                return self._explained(exception, pc), self._budget[0]
            return Trap(fault.signal, fault.code, pc), self._budget[0]
        if self._status:
            return self._failure(), self._budget[0]
        for name, (kept, always) in self.recipe.visible.items():
            # When it stops the engine takes for held what it shows.
            register = self._id(self.recipe.registers[name])
            value = self._engine.reg_read(register)
            self._engine.reg_write(register, value & kept | always)
        return Cut(), max(0, self._budget[0])

    def _explained(self, exception: int, pc: int) -> Trap | Cut:
        """Return what an instruction becomes that may be the kernel's to carry out."""
        assert self._space is not None, "no memory is loaded"
        code = self._space.read(pc, 4, READ | FORCE)
        outcome = self.recipe.explained[exception](code, self.general())
        if isinstance(outcome, Fault):
            return Trap(outcome.signal, outcome.code, pc)
        self.set_general(outcome)
        return Cut()

    def _note_call(self) -> None:
        """Note by which instruction a call was made, one the engine lacks included."""
        state, space, recipe = self._state, self._space, self.recipe
        assert state is not None, "no thread is loaded"
        state.noted = recipe.noted if self._called else {}
        if self._exception is not None and self._exception not in recipe.faults:
            assert space is not None, "no memory is loaded"
            code = space.read(self._pc.read()[0] - recipe.illegal.step, 4, READ | FORCE)
            if code in recipe.illegal_calls:
                self._called, state.noted = True, recipe.illegal_calls[code]

    def _entry(self) -> int:
        """Return where to start the engine."""
        pc, *rest = self._pc.read()
        odd = self.recipe.odd_code
        return pc | 1 if odd and rest[0] & odd[1] else pc

    def _start(self, pc: int, budget: int) -> None:
        self._called, self._exception, self._fault_at = False, None, None
        self._call_values = self._next = None
        self._budget[0] = budget
        self._began = (pc, budget)
        count = budget * _BLOCK_LENGTH if self._counts else 0
        self._status = _lib.uc_emu_start(self._handle, pc, 0, 0, count)
        if self._error is not None:
            error, self._error = self._error, None
            raise error
        if self._counts:
            self._budget[0] = 0

    def _refresh(self) -> None:
        """Make the engine forget what is no longer so."""
        space = self._space
        if space is not None and space.stale:
            self._flush_translations()
            space.stale = False
        guard = self.guard
        if self._ram.code_changed or (guard and guard.stale):
            self._engine.ctl_flush_tb()
            if guard:
                guard.begin()
            self._ram.code_changed = False

    def _flush_translations(self) -> None:
        write = unicorn_const.UC_CTL_IO_WRITE
        self._engine.ctl(unicorn_const.UC_CTL_TLB_FLUSH, write)

    def _failure(self) -> Trap | Cut:
        if self._fault_at is not None and self._space is not None:
            return Trap(*self._space.refusal, self._fault_at)
        if self._status == unicorn_const.UC_ERR_INSN_INVALID:
            pc = self._pc.read()[0]
            if self._is_pause(pc):
                return Cut()
            signal, code, _ = self._illegal(pc)
            return Trap(signal, code, pc)
        raise HostError(f"the engine failed: {UcError(self._status)}")

    def _is_pause(self, pc: int) -> bool:
        """Tell whether the thread has only said that others may go first."""
        began, budget = self._began
        if pc == began & ~1 and self._budget[0] >= budget - 1:
            return False  # It has not made a step: the instruction here is illegal.
        return any(self._is_code(pc - len(code), code) for code in self.recipe.pauses)

    def _is_code(self, address: int, code: bytes) -> bool:
        """Tell what the current thread's memory holds."""
        assert self._space is not None, "a thread has memory"
        try:
            return self._space.read(address, len(code), READ | FORCE) == code
        except OSError:
            return False

    def _illegal(self, pc: int) -> Fault:
        """Return what an instruction that the engine does not know becomes."""
        for code, fault in self.recipe.breakpoints.items():
            if self._is_code(pc, code):
                return fault
        return self.recipe.illegal

    def _renew(self) -> None:
        """
        Give the thread a fresh engine state with the same registers.

        The engine remembers that an exception was under way, and takes a later one for
        a fault within it.
        """
        kinds = [registers.note_type for registers in self.arch.register_sets]
        sets = {kind: self.read_set(kind) for kind in kinds}
        self._engine.context_restore(self._pristine)
        for kind, data in sets.items():
            if data is not None:
                self.write_set(kind, data)

    # Callbacks from the engine: they must not raise.

    def _on_translation(
        self,
        _engine: int,
        address: int,
        access: int,
        result: Any,  # noqa: ANN401
        _data: int,
    ) -> bool:
        try:
            address &= self._address_bits
            if address & _FRAME == self._hidden_at and self._may(access):
                result.contents.paddr = self._hidden
                result.contents.perms = 7 if self._in_stub else self._shown
                return True
            if self._space is None:
                return False
            entry = self._space.translate(address, _ACCESS[access])
            if not entry:
                self._fault_at = address
                return False
            result.contents.paddr = entry & _FRAME
            result.contents.perms = (
                entry & READ
                | (entry & WRITE if entry & (DIRTY | COPIED) == DIRTY else 0)
                | (entry & EXECUTE if entry & CODE else 0)
            )
            if self._passing:
                self._clear_passing(*self._passing)
        except BaseException as error:
            self._error = error
            return False
        return True

    def _may(self, access: int) -> bool:
        """Tell whether the hidden page may be accessed now."""
        return self._in_stub or bool(_ACCESS[access] & self._shown)

    def _clear_passing(self, register: int, bits: int) -> None:
        """Clear what is of the instruction under way and would be of the next one."""
        value = self._passing_value
        _lib.uc_reg_read(self._handle, register, ctypes.byref(value))
        if value.value & bits:
            value.value &= ~bits
            _lib.uc_reg_write(self._handle, register, ctypes.byref(value))

    def _on_exception(self, engine: int, number: int, _data: int) -> None:
        if number == self.recipe.call_exception:
            self._called = True
        elif self._exception is None:
            # After a privileged instruction the block is run to its end.
            self._exception = number
        _lib.uc_emu_stop(engine)

    def _on_call(self, engine: int, _data: int) -> None:
        self._called = True
        _lib.uc_emu_stop(engine)

    def _on_privileged(self, raised: int, engine: int) -> int:
        self._exception = raised
        _lib.uc_emu_stop(engine)
        return 0

    def _on_new_block(
        self,
        engine: int,
        block: Any,  # noqa: ANN401
        _previous: object,
        _data: int,
    ) -> None:
        if self._in_stub or self._space is None:
            return
        try:
            place = block.contents
            assert self.guard is not None, "the hook is its"
            if not self.guard.passes(self._space, place.pc, place.size):
                _lib.uc_emu_stop(engine)
        except BaseException as error:
            self._error = error

    # Registers of the current thread.

    def set_result(self, result: int) -> None:
        """End the system call that `run` reported."""
        held, self._call_values = self._call_values, None
        names, values_of = self._ended
        values = values_of(held or self._call.read())
        regs = dict(zip(names, values, strict=True))
        if self.recipe.noted:
            assert self._state is not None, "no thread is loaded"
            regs |= self._state.noted or self.recipe.noted
        after = self.arch.set_result(regs, result)
        self._result.write([after[name] for name in self._result.names])
        self._next = None if self.recipe.odd_code else values[0]

    def pc(self) -> int:
        """Return the program counter."""
        return self._pc.read()[0]

    def general(self) -> Registers:
        """Return the general registers."""
        data = self.read_set(self.arch.gp.note_type)
        assert data is not None, "every CPU has general registers"
        return self.arch.gp.decode(data)

    def set_general(self, regs: Registers) -> None:
        """Set general registers; those not given stay."""
        self._write_named(self.arch.gp.note_type, regs)

    def set_register(self, name: str, value: int) -> None:
        """Set one register, in whichever set has it."""
        self._write_named(self.arch.set_with(name).note_type, {name: value})

    def register(self, name: str) -> int:
        """Return one register, from whichever set has it."""
        known = self.arch.set_with(name)
        data = self.read_set(known.note_type)
        assert data is not None, "the set has a register"
        return known.decode(data)[name]

    def read_set(self, note_type: int) -> bytes | None:
        """Return a register set as the kernel lays it out, or None."""
        registers, state = self.arch.set_of(note_type), self._state
        assert state is not None, "no thread is loaded"
        if registers is None:
            return None
        descriptors = self.recipe.descriptors
        if descriptors and note_type == descriptors.tls_note_type:
            rows = enumerate(
                state.tls or [descriptors.tls_unset] * 3, descriptors.tls_slot
            )
            return registers.codec.pack(
                *(n for slot, row in rows for n in (slot, *row))
            )
        parts = [part for part in self.recipe.transfers if part.note_type == note_type]
        batch, fixed = self._batches[note_type], self._fixed[note_type]
        if not (parts or batch.names or fixed):
            return None
        size = registers.size or max(part.offset + len(part.blank) for part in parts)
        values = self._visible(dict(zip(batch.names, batch.read(), strict=True)))
        values |= fixed
        if note_type == self.arch.gp.note_type:
            values |= {**self._selectors(), **fixed, **state.noted}
        data = bytearray(registers.encode(values, bytes(size)))
        for part in parts:
            end = part.offset + len(part.blank)
            data[part.offset : end] = self._transfer(part, None)
        return bytes(data)

    def write_set(self, note_type: int, data: bytes) -> None:
        """
        Set a register set.

        Raises:
            ArchitectureError: It holds state that this CPU does not have.
        """
        registers, state = self.arch.set_of(note_type), self._state
        assert registers is not None, "not a register set of this architecture"
        assert state is not None, "no thread is loaded"
        descriptors = self.recipe.descriptors
        if descriptors and note_type == descriptors.tls_note_type:
            words = registers.codec.unpack(data)
            state.tls = [words[i + 1 : i + 4] for i in range(0, len(words), 4)]
            self.reload_descriptors()
            return
        parts = [part for part in self.recipe.transfers if part.note_type == note_type]
        if registers.fit and parts:
            data = registers.fit(data, len(parts[0].blank))
        self._write_named(note_type, registers.decode(data))
        for part in parts:
            end = part.offset + len(part.blank)
            self._transfer(part, data[part.offset : end])

    def _write_named(self, note_type: int, values: Registers) -> None:
        batch = self._batches[note_type]
        self._call_values = self._next = None
        if batch.names:
            held = self._visible(dict(zip(batch.names, batch.read(), strict=True)))
            current = held | values
            for name in self.recipe.chosen.keys() & values.keys() & held.keys():
                mask = self.recipe.chosen[name]
                current[name] = values[name] & mask | held[name] & ~mask
            batch.write([current[name] for name in batch.names])
        if note_type == self.arch.gp.note_type:
            selectors = self._selectors()
            self._load_selectors({k: v for k, v in values.items() if k in selectors})
            if self._state is not None and self.recipe.noted.keys() <= values.keys():
                self._state.noted = {name: values[name] for name in self.recipe.noted}

    def _visible(self, values: Registers) -> Registers:
        """Take out what the engine shows in registers and they do not hold."""
        for name, (kept, always) in self.recipe.visible.items():
            if name in values:
                values[name] = values[name] & kept | always
        return values

    def _selectors(self) -> Registers:
        """Return the selectors that a program may change."""
        descriptors, state = self.recipe.descriptors, self._state
        if not descriptors or state is None:
            return {}
        return {
            name: state.selectors.get(name, self._engine.reg_read(self._id(register)))
            for name, (register, _) in descriptors.selectors.items()
            if name not in self.recipe.fixed
        }

    def _load_selectors(self, values: Registers) -> None:
        descriptors, state = self.recipe.descriptors, self._state
        if not descriptors or state is None:
            return
        for name, value in values.items():
            state.selectors.pop(name, None)
            try:
                register = self._id(descriptors.selectors[name][0])
                self._engine.reg_write(register, value)
            except UcError:
                state.selectors[name] = value

    # Code of ours, run on the CPU.

    def _transfer(self, part: Transfer, data: bytes | None) -> bytes:
        """Load a part of a register set, or save it where `data` is None."""
        names = (part.base, *part.clobbers, self.recipe.registers[self.arch.pc])
        ids = [self._id(name) for name in names]
        before = [self._engine.reg_read(register) for register in ids]
        self._engine.reg_write(ids[0], self._hidden_at + _DATA_AT)
        code = (part.save if data is None else part.load).code
        result = self._run_stub(code, part.blank if data is None else data)
        for register, value in zip(ids, before, strict=True):
            self._engine.reg_write(register, value)
        return result

    def _stub(self, code: bytes) -> int:
        """Return the address of a stub, written where none has been before."""
        if code not in self._stubs:
            used = sum(-(-len(other) // 16) * 16 for other in self._stubs)
            at = _STUB_AT + used
            assert at + len(code) <= _DATA_AT, "too many stubs for their page"
            self._ram.view[self._hidden + at : self._hidden + at + len(code)] = code
            self._stubs[code] = self._hidden_at + at
        return self._stubs[code]

    def _run_stub(self, code: bytes, data: bytes) -> bytes:
        """Run code that traps at its end on data, and return what became of them."""
        start = self._hidden + _DATA_AT
        self._ram.view[start : start + len(data)] = data
        at = self._stub(code)
        self._in_stub = True
        self._flush_translations()
        try:
            self._start(at, _STUB_BUDGET)
        finally:
            self._in_stub = False
            self._flush_translations()
        if self._exception is None:
            raise HostError(f"a stub ended with {UcError(self._status)}")
        return bytes(self._ram.view[start : start + len(data)])


@cache
def _budget_code() -> int | None:
    """Return the address of code of this machine to count blocks with, if any."""
    with Path("/proc/self/exe").open("rb") as file:
        header = file.read(20)
    order = "little" if header[5] == 1 else "big"
    machine = int.from_bytes(header[18:20], "little" if header[5] == 1 else "big")
    try:
        arch = registry.find(machine, 4 * header[4], order)
        recipe: Recipe = importlib.import_module(arch.emulation or "").RECIPE
        listing = recipe.budget
        if listing is None:
            return None
        page = mmap.mmap(
            -1, PAGE, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC
        )
    except (ArchitectureError, ValueError, OSError):
        return None
    page.write(listing.code)
    _pages.append(page)
    return ctypes.addressof(ctypes.c_char.from_buffer(page))


_pages: list[mmap.mmap] = []
"""Executable memory, to be kept for as long as we run."""
