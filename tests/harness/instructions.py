"""
Single instructions, executed by qemu-user and by the engine in the same state.

Code is random: whatever the disassembler knows is a class of instructions, named by its
mnemonic.  What the two have registers in common is found by their names.
"""

from __future__ import annotations

import re
import signal
import struct
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from random import Random
from typing import NamedTuple

import capstone

from blcr.architecture import Arch
from blcr.host.emulated.cpu import Call, Cpu, Trap
from blcr.host.emulated.memory import EXECUTE, READ, WRITE, AddressSpace, Area, Ram
from harness import Case
from harness.debugger import Debugger

PAGE = 0x1000
CODE_AT, DATA_AT, SIZE = 0x1000_0000, 0x1080_0000, 0x100_0000
"""Of the memory of both; in bytes."""
WINDOW = 0x400
"""Bytes of data that are compared; those around repeat them."""
AROUND = 0x9000
"""Bytes that an instruction reaches from where registers point."""

_RENAMED: tuple[tuple[str, str | Callable[[re.Match[str]], str]], ...] = (
    (r"r(\d+)", r"gpr\1"),
    (r"vs(\d+)h", r"vs\1_low"),
    ("cr", "ccr"),
    ("lr", "link"),
    ("fp", "s0"),
    ("cpsr", "pstate"),
    (r"ft([0-7])", r"f\1"),
    (r"fs([01])", lambda m: f"f{int(m[1]) + 8}"),
    (r"fa(\d)", lambda m: f"f{int(m[1]) + 10}"),
    (r"fs(\d+)", lambda m: f"f{int(m[1]) + 16}"),
    (r"ft(\d+)", lambda m: f"f{int(m[1]) + 20}"),
    (r"f(\d+)", r"fpr\1"),
    (r"z(\d+)", r"v\1"),
)
"""What the debugger calls registers, and what sets of registers do."""

_ELSEWHERE = {
    *(capstone.CS_GRP_JUMP, capstone.CS_GRP_CALL, capstone.CS_GRP_RET),
    *(capstone.CS_GRP_INT, capstone.CS_GRP_IRET, capstone.CS_GRP_PRIVILEGE),
    capstone.CS_GRP_BRANCH_RELATIVE,
}

_NUMBERS = re.compile(r"(f|fpr|d|v|vr|vs|xmm)\d+(_low|_high)?")
_HALF = (1 << 64) - 1


class Outcome(NamedTuple):
    """How an instruction ended: 0 or a signal, -1 it was refused; then the state."""

    signal: int
    registers: Mapping[str, int] = {}
    memory: bytes = b""


class Pair:
    """A debugger and an engine with the same memory."""

    def __init__(self, arch: Arch, case: Case, command: Sequence[str | Path]) -> None:
        self.arch, self.case, self._command = arch, case, command
        ram = Ram(1 << 25, 1 << 20)
        self.cpu = Cpu(arch, ram, Random(1))
        self.space = AddressSpace(ram, arch.task_size)
        self.space.add(Area(CODE_AT, CODE_AT + SIZE, READ | WRITE | EXECUTE))
        self.cpu.load(self.cpu.new_state(), self.space)
        self.trap = bytes.fromhex(arch.stubs.call.rows[-1][0])
        self.window = Random(1).randbytes(WINDOW)
        for start in range(DATA_AT - AROUND, DATA_AT + AROUND, WINDOW):
            self.space.write(start, self.window)

    def __enter__(self) -> Pair:
        self._start()
        self.first = self.debugger.read()
        names = {row.name for one in self.arch.register_sets for row in one.registers}
        names -= self.cpu.recipe.fixed.keys()
        self.shared = dict(self._shared(names))
        self._pc = next(k for k, ours in self.shared.items() if ours == self.arch.pc)
        return self

    def __exit__(self, *_: object) -> None:
        self.debugger.__exit__()

    def _start(self) -> None:
        self.debugger = Debugger(self._command, self.arch.layout.byteorder)
        self.debugger.__enter__()
        for start in range(DATA_AT - AROUND, DATA_AT + AROUND, WINDOW):
            self.debugger.write_memory(start, self.window)
        # Where code has been run, the debugger cannot write any more.
        self._places = iter(range(CODE_AT, DATA_AT - 2 * AROUND, PAGE))

    def _shared(self, names: set[str]) -> Iterator[tuple[str, str]]:
        """Yield names of the debugger's and of ours for what both can set and show."""
        for theirs in self.first:
            candidates = [theirs]
            for pattern, ours in _RENAMED:
                if re.fullmatch(pattern, theirs):
                    candidates.append(re.sub(pattern, ours, theirs))
            if self.debugger.registers[theirs].size > 8:
                candidates = [f"{name}_low" for name in candidates]
            if theirs == "pc":
                candidates.append(self.arch.pc)
            found = [name for name in candidates if name in names]
            if found and not found[0].endswith("_base"):
                yield theirs, found[0]

    def state(self, rng: Random) -> dict[str, int]:
        """Return random values of the registers that an instruction may use."""
        values = {}
        middle = DATA_AT + WINDOW // 2
        for theirs, ours in self.shared.items():
            place = self.debugger.registers[theirs]
            if ours in self.case.free:
                mask = self.case.free[ours]
                values[theirs] = rng.choice(
                    (
                        *(middle, middle, middle + 8 * rng.randrange(-8, 8)),
                        *(rng.randrange(64), rng.randrange(256), rng.getrandbits(64)),
                        *(rng.getrandbits(32), 0, mask, 1 << 31, 1 << 63),
                    )
                ) & mask | self.first[theirs] & ~mask & ((1 << 8 * place.size) - 1)
            elif _NUMBERS.fullmatch(ours):
                values[theirs] = _number(rng, place.size)
            else:
                values[theirs] = middle if ours == self.arch.sp else self.first[theirs]
        return values

    def run(self, code: bytes, values: Mapping[str, int]) -> tuple[Outcome, Outcome]:
        """Execute an instruction in both unless it fails here; return how it ended."""
        at = next(self._places, 0)
        if not at:
            self.debugger.__exit__()
            self._start()
            at = next(self._places)
        values = {**values, self._pc: at}
        here = self._run_here(code, at, values)
        if here.signal:
            return here, here
        return self._run_there(code, at, values), here

    def _run_there(self, code: bytes, at: int, values: Mapping[str, int]) -> Outcome:
        debugger = self.debugger
        debugger.write_memory(at, code + self.trap)
        kept = {name: self.first[name] for name in debugger.together}
        debugger.write({**kept, **values})
        number = debugger.step()
        memory = debugger.read_memory(DATA_AT, WINDOW)
        if memory != self.window:
            debugger.write_memory(DATA_AT, self.window)
        if number != signal.SIGTRAP:
            return Outcome(number)
        now = debugger.read()
        if now[self._pc] == at:
            return Outcome(number)
        return Outcome(0, {name: now[name] for name in self.shared}, memory)

    def _run_here(self, code: bytes, at: int, values: Mapping[str, int]) -> Outcome:
        cpu, space = self.cpu, self.space
        space.write(at, code + self.trap)
        given = {}
        for theirs, ours in self.shared.items():
            value = self._in_order(theirs, values[theirs])
            if ours.endswith("_low") and self.debugger.registers[theirs].size > 8:
                given[ours.removesuffix("low") + "high"] = value >> 64 & _HALF
                value &= _HALF
            given[ours] = value
        for known in self.arch.register_sets:
            mine = {r.name: given[r.name] for r in known.registers if r.name in given}
            before = cpu.read_set(known.note_type) if mine else None
            if before is not None:
                cpu.write_set(known.note_type, known.encode(mine, before))
        event, _ = cpu.run(1)
        memory = space.read(DATA_AT, WINDOW)
        space.write(DATA_AT, self.window)
        if cpu.guard and cpu.guard.found:
            cpu.guard.found = ""
            return Outcome(-1)
        if isinstance(event, Call):
            return Outcome(signal.SIGSYS)
        if isinstance(event, Trap) and not (
            event.signal == "SIGTRAP" and cpu.pc() != at
        ):
            return Outcome(signal.Signals[event.signal])
        now: dict[str, int] = {}
        for known in self.arch.register_sets:
            data = cpu.read_set(known.note_type)
            if data is not None and known.registers:
                now |= known.decode(data)
        if now[self.arch.pc] == at + len(code) + len(self.trap):
            now[self.arch.pc] -= len(self.trap)
        after = {}
        for theirs, ours in self.shared.items():
            after[theirs] = now[ours]
            if ours.endswith("_low") and self.debugger.registers[theirs].size > 8:
                after[theirs] |= now[ours.removesuffix("low") + "high"] << 64
        return Outcome(0, after, memory)

    def _in_order(self, theirs: str, value: int) -> int:
        if re.fullmatch(self.case.swapped, theirs):
            return (value & _HALF) << 64 | value >> 64
        return value


def blank(case: Case, arch: Arch, sample: Path) -> bytes:
    """
    Return an executable with nothing but memory in which all is allowed.

    Args:
        case, arch: What for.
        sample: Another executable for it; the flags in its header are taken over.
    """
    wide, order = arch.word_size == 8, "<>"[arch.layout.byteorder == "big"]
    ident = b"\x7fELF" + bytes((1 + wide, 1 + (order == ">"), 1)).ljust(12, b"\0")
    size, row = (64, 56) if wide else (52, 32)
    flags_at = size - 16
    flags = sample.read_bytes()[flags_at : flags_at + 4]
    word = "Q" if wide else "I"
    head = struct.pack(
        f"{order}HHI3{word}4s6H",
        *(2, case.elf_machine, 1, CODE_AT, size, 0, flags, size, row, 1, 0, 0, 0),
    )
    place = (CODE_AT, CODE_AT, size + row, SIZE)
    segment = (1, 7, 0, *place, 1 << 16) if wide else (1, 0, *place, 7, 1 << 16)
    return (
        ident
        + head
        + struct.pack(f"{order}II6{word}" if wide else f"{order}8I", *segment)
    )


def _number(rng: Random, size: int) -> int:
    edges = (0, 1 << 63, 0x3FF8 << 48, 0xC000 << 48, 0x7FF0 << 48, 0x7FF8 << 48, 1)
    halves = [
        rng.choice((*edges, rng.getrandbits(64), rng.getrandbits(64)))
        for _ in range(max(1, min(2, size // 8)))
    ]
    return sum(half << 64 * i for i, half in enumerate(halves)) & (1 << 8 * size) - 1


def samples(case: Case, rng: Random, words: int, each: int) -> dict[str, list[bytes]]:
    """
    Return random instructions by their mnemonics, as far as they can be compared.

    Not among them: what jumps, calls or is privileged, what is not fixed by the
    architecture, and what works on registers that a debugger does not show.
    """
    engine, lite = capstone.Cs(*case.capstone), capstone.Cs(*case.capstone)
    engine.detail = True
    found: dict[str, list[bytes]] = {}
    for _ in range(words):
        code = case.code(rng)
        for _, size, name, operands in lite.disasm_lite(code, CODE_AT, 1):
            known = found.setdefault(name, [])
            if len(known) >= each or re.search(case.open, f"{name} {operands}"):
                continue
            row = next(engine.disasm(code[:size], CODE_AT, 1))
            if not _ELSEWHERE & set(row.groups):
                known.append(code[:size])
    return {name: codes for name, codes in found.items() if codes}


def differences(pair: Pair, code: bytes, values: Mapping[str, int]) -> list[str]:
    """Return what an instruction that both execute does differently."""
    there, here = pair.run(code, values)
    if there.signal or here.signal:
        return []
    found = [
        f"{name}: {there.registers[name]:#x}, here {here.registers[name]:#x}"
        for name, ours in pair.shared.items()
        if there.registers[name] != here.registers[name]
        and not re.fullmatch(pair.case.unfixed, ours)
    ]
    return [*found, *(["memory"] if there.memory != here.memory else [])]
