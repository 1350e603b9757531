"""The engine as each architecture's recipe tells it to be: registers and stubs."""

from __future__ import annotations

import importlib
from random import Random

import capstone
import pytest

from blcr.architecture import Arch, Listing
from blcr.emulation import Recipe
from blcr.host.emulated.cpu import Call, Cpu, Cut, Trap
from blcr.host.emulated.memory import EXECUTE, READ, WRITE, AddressSpace, Area, Ram
from harness import Case

CODE_AT = 0x1_0000


@pytest.fixture
def recipe(arch: Arch) -> Recipe:
    """How the engine is told to be the architecture."""
    assert arch.emulation is not None
    found: Recipe = importlib.import_module(arch.emulation).RECIPE
    return found


@pytest.fixture
def cpu(arch: Arch) -> Cpu:
    """Return a CPU with one thread and a page of memory for code."""
    ram = Ram(1 << 22, 1 << 20)
    made = Cpu(arch, ram, Random(1))
    space = AddressSpace(ram, arch.task_size)
    space.add(Area(CODE_AT, CODE_AT + 0x1000, READ | WRITE | EXECUTE))
    made.load(made.new_state(), space)
    return made


def _listings(recipe: Recipe) -> list[Listing]:
    found = [code for part in recipe.transfers for code in (part.save, part.load)]
    found += [recipe.entry.code] if recipe.entry else []
    return [*found, *([recipe.budget] if recipe.budget else [])]


def test_hex_is_the_assembly_beside_it(arch: Arch, recipe: Recipe) -> None:
    """The code that runs on the CPU disassembles to what stands beside it."""
    family, modes = arch.capstone
    decoder = capstone.Cs(
        getattr(capstone, family), sum(getattr(capstone, mode) for mode in modes)
    )

    for listing in _listings(recipe):
        rows = decoder.disasm(listing.code, 0)
        shown = tuple(f"{row.mnemonic} {row.op_str}".strip() for row in rows)
        assert shown == listing.assembly


def test_register_sets_come_back_as_they_were_set(
    arch: Arch, case: Case, cpu: Cpu
) -> None:
    """Each register that a program can choose keeps its value through the engine."""
    for known in arch.register_sets:
        before = cpu.read_set(known.note_type)
        if before is None:
            continue  # The engine's CPU has none of these.
        wanted = {
            row.name: 0x0102_0304_0506_0708 * (i + 1)
            & case.bits.get(row.name, (1 << 8 * row.size) - 1)
            for i, row in enumerate(known.registers)
            if row.name in cpu.recipe.registers and row.name not in cpu.recipe.start
        }
        cpu.write_set(known.note_type, known.encode(wanted, before))
        after = cpu.read_set(known.note_type)
        assert after is not None
        if known.registers:
            decoded = known.decode(after)
            assert {name: decoded[name] for name in wanted} == wanted


def test_extended_registers_come_back_as_they_were_set(arch: Arch, cpu: Cpu) -> None:
    """What stubs load, they save, in the current state and after another was there."""
    for part in cpu.recipe.transfers:
        data = cpu.read_set(part.note_type)
        assert data is not None
        changed = bytearray(data)
        if len(part.blank) > 500:
            changed[160:288] = bytes(range(128))  # vector registers, on all
        else:
            number = 0xE000_0000  # of a status register SO, OV and CA
            at = slice(part.offset, part.offset + len(part.blank))
            changed[at] = number.to_bytes(len(part.blank), arch.layout.byteorder)
        cpu.write_set(part.note_type, bytes(changed))

        here = cpu._state
        cpu.new_state()
        assert here is not None
        cpu.load(here)

        assert cpu.read_set(part.note_type) == bytes(changed)


def test_call_stub_makes_a_call_and_traps(arch: Arch, cpu: Cpu) -> None:
    """A system call is reported with number and arguments, a trap as SIGTRAP."""
    code = arch.stubs.call.code
    space = cpu._space
    assert space is not None
    space.write(CODE_AT, code)
    args = (0x11, 0x22, 0x33, 0x44, 0x55, 0x66)
    regs = arch.begin_call({**cpu.general(), arch.pc: CODE_AT}, 77, args)
    cpu.set_general(regs)

    event, _ = cpu.run(100)
    assert event == Call(77, args)
    cpu.set_result(-22)
    assert arch.call_result(cpu.general()) == -22

    trap, _ = cpu.run(100)
    assert isinstance(trap, Trap)
    assert trap.signal == "SIGTRAP"


def test_budget_ends_a_loop(arch: Arch, case: Case, cpu: Cpu) -> None:
    """A loop without end is cut, between two instructions, again and again."""
    space = cpu._space
    assert space is not None
    space.write(CODE_AT, case.forever)
    cpu.set_general({arch.pc: CODE_AT})

    for _ in range(3):
        event, left = cpu.run(1000)
        assert (event, left) == (Cut(), 0)
        assert cpu.pc() == CODE_AT


def test_batch_stub_makes_calls_until_one_fails(arch: Arch, cpu: Cpu) -> None:
    """After a failure at any position comes the last call; results are in place."""
    stub, space = arch.stubs.batch, cpu._space
    assert space is not None
    if stub is None:
        return
    space.write(CODE_AT, stub.code)
    at, size, order = CODE_AT + 0x400, arch.word_size, arch.layout.byteorder
    end = at + 4 * 8 * size
    rows = [(70 + i, *range(16 * i, 16 * i + 6), end) for i in range(5)]

    for failing in range(5):
        words = [word.to_bytes(size, order) for row in rows for word in row]
        space.write(at, b"".join(words))
        cpu.set_general({**cpu.general(), arch.pc: CODE_AT, arch.sp: at})
        made = []
        for i in [*range(min(failing + 1, 4)), 4]:
            event, _ = cpu.run(100)
            made.append(event)
            cpu.set_result(-22 if i == failing else 1000 + i)
        cpu.run(8)

        results = [
            int.from_bytes(space.read(at + i * 8 * size, size), order) for i in range(4)
        ]
        expected = [*range(min(failing + 1, 4)), 4]
        assert made == [
            Call(70 + i, tuple(range(16 * i, 16 * i + 6))) for i in expected
        ]
        done = [1000 + i for i in range(4)]
        if failing < 4:
            done[failing:] = [(1 << 8 * size) - 22, *range(71 + failing, 74)]
        assert results == done
