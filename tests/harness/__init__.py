"""
What the tests know about architectures, from other sources than blcr does.

`Case` is the other description of an architecture; `cases/` has one for each.
"""

from __future__ import annotations

import importlib
import platform
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from random import Random
from typing import NamedTuple

from harness.planting import Planting


class CStruct(NamedTuple):
    """A structure in C: its header, its type, its members by our register names."""

    header: str
    type: str
    members: Mapping[str, str]


class Case(NamedTuple):
    """
    One architecture, as everybody else describes it.

    Attributes:
        name: Of the architecture.
        target: What the C compiler calls it.
        machines: What ``uname -m`` says where its programs run as they are.
        emulator: The program that runs them elsewhere.
        capstone: Architecture and mode, numbers of the disassembler.
        elf_machine: As <elf.h> has it.
        headers: Those of the kernel that only this architecture has.
        call_number, call_args, result: Registers of a system call, from syscall(2).
        structs: By name of register set.
        failed: Registers after a call that failed with ENOENT (2), and after one that
            returned 5.
        interrupted: Registers of a thread that stopped in call 7 with the arguments 1
            to 6 behind the instruction at 0x1000, to be resumed with ERESTARTSYS.
        old_frames: There is a frame without siginfo.
        return_pop: Bytes on the stack that a handler's return takes from a frame with
            siginfo, and from one without.
        emulator_pop: The same where the emulator has it otherwise than the kernel.
        handler_args: Registers in which a handler with siginfo finds its arguments.
        return_address: Register with the address to return to; empty: on the stack.
        stack_offset: Of the stack pointer from a multiple of 16 when a handler starts.
        free: General registers that a program can do without until it gets them back
            from a frame, with the bits that may be set.
        scramble: Fill what an extended register set may hold with random values.
        extended: Parts to compare of the extended register sets, by note type.
        forever: Code of a jump to itself.
        emulator_lacks: Bytes by which the emulator's frames are shorter than the
            kernel's.
        bits: Those of registers that have fewer than they have room for.
        planting: How programs load and store all registers.
        code: Return random code, enough for an instruction.
        model: The emulator's option for a CPU with all that the engine has.
        open: Pattern of instructions whose result the architecture leaves open, or that
            work on registers which a debugger does not show.
        swapped: Pattern of registers whose halves the emulator's debugger takes in one
            order and shows in the other.
        unfixed: Pattern of registers whose contents instructions may leave undefined.
        shows_interrupted: A stopped thread's registers tell the call that it was in,
            all of its arguments included.
    """

    name: str
    target: str
    machines: frozenset[str]
    emulator: str
    capstone: tuple[int, int]
    elf_machine: int
    headers: tuple[str, ...]
    call_number: str
    call_args: tuple[str, ...]
    result: str
    structs: Mapping[str, CStruct]
    failed: Mapping[str, int]
    returned: Mapping[str, int]
    interrupted: Mapping[str, int]
    old_frames: bool
    return_pop: tuple[int, int]
    handler_args: tuple[str, str, str]
    return_address: str
    stack_offset: int
    free: Mapping[str, int]
    scramble: Callable[[int, bytes, Random], bytes]
    extended: Mapping[int, tuple[slice, ...]]
    forever: bytes
    emulator_lacks: int = 0
    emulator_pop: int | None = None
    bits: Mapping[str, int] = {}
    shows_interrupted: bool = True
    code: Callable[[Random], bytes] = lambda rng: rng.randbytes(4)
    model: tuple[str, ...] = ("-cpu", "max")
    open: str = "(?!)"
    swapped: str = "(?!)"
    unfixed: str = "(?!)"
    planting: Planting | None = None


def load(name: str) -> Case:
    """Return the case of an architecture."""
    case = importlib.import_module(f"harness.cases.{name}").CASE
    assert isinstance(case, Case)
    return case


def disassemble(case: Case, code: bytes) -> tuple[str, ...]:
    """Return code as Capstone prints it."""
    # The machines under QEMU have none for their CPU.
    import capstone

    engine = capstone.Cs(*case.capstone)
    rows = engine.disasm_lite(code, 0)
    return tuple(f"{name} {operands}".rstrip() for _, _, name, operands in rows)


def build(case: Case, source: Path, program: Path, *others: str | Path) -> None:
    """Compile a C program, statically; with other sources and flags."""
    flags = ["-static", "-O1", "-Wall", "-Werror"]
    compiler = [sys.executable, "-m", "ziglang", "cc", "-target", case.target]
    subprocess.run([*compiler, *flags, *others, "-o", program, source], check=True)


def runner(case: Case) -> tuple[str, ...] | None:
    """Return what to put before a program to run it here; None: it cannot be run."""
    if platform.machine() in case.machines:
        return ()
    found = shutil.which(case.emulator)
    return (found,) if found else None
