"""
Every register: loaded by a compiled program, and stored by it, with us in between.

The program is told nothing by the tables of the architecture under test.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Self

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from blcr.architecture import Arch, Registers
from blcr.host.emulated.frozen import FrozenMachine
from blcr.host.emulated.machine import Machine
from blcr.host.interface import Task
from harness import Case, build, seeds
from harness.planting import IN, Planting

HERE = Path(__file__).parent
BUFFER = 0x1001_0000
"""Where planted.c has its buffer."""


class Pause(Exception):  # noqa: N818
    """The machine is to stand still; it can be run on."""


class Pausing:
    """Has a machine run until a condition holds between two turns."""

    def __init__(self, machine: Machine, condition: Callable[[], bool]) -> None:
        self._machine, self._condition = machine, condition
        self._ready, self._write = os.pipe()
        os.write(self._write, b"!")

    def __enter__(self) -> Self:
        self._machine.service = self
        return self

    def __exit__(self, *_: object) -> None:
        self._machine.service = None
        os.close(self._ready)
        os.close(self._write)

    def fileno(self) -> int:
        """Return a descriptor that is always ready."""
        return self._ready

    def serve(self) -> None:
        """Look."""
        if self._condition():
            raise Pause


class Spinning:
    """A program in a machine of ours that loads, spins, and stores, for ever."""

    def __init__(self, arch: Arch, program: Path, planting: Planting) -> None:
        self.arch, self.planting = arch, planting
        self.machine = Machine(seed=1)
        self.guest = self.machine.start([str(program)], {})
        self.space = self.guest.space
        self._run(lambda: self.space.find(BUFFER) is not None and self._rounds() == 0)

    def _run(self, condition: Callable[[], bool]) -> None:
        with Pausing(self.machine, condition), pytest.raises(Pause):
            self.machine.run(self.guest)

    def _rounds(self) -> int:
        return self.guest.fetch_int(BUFFER + self.arch.word_size, self.arch.word_size)

    def finish_round(self) -> None:
        """Let it store what its registers hold, and load what is in the buffer."""
        before = self._rounds()
        turns = iter(range(1, 1 << 20))
        self.guest.store_int(BUFFER, 1, self.arch.word_size)
        # One more turn, for it to come to the next spin.
        self._run(lambda: self._rounds() != before and next(turns) > 1)

    def load(self, values: bytes) -> None:
        """Have it load its registers."""
        self.space.write(BUFFER + IN, values)
        self.finish_round()

    def stored(self) -> bytes:
        """Have it store its registers; return them."""
        self.finish_round()
        size = self.planting.size
        return self.space.read(BUFFER + IN + size, size)


@pytest.fixture(scope="session")
def programs() -> dict[str, Path]:
    """What has been built."""
    return {}


@pytest.fixture
def planting(arch: Arch, case: Case) -> Planting:
    """How the architecture's programs load and store registers."""
    if case.planting is None:
        pytest.skip(f"not implemented: no assembly for {arch.name}")
    return case.planting


@pytest.fixture
def program(
    case: Case,
    planting: Planting,
    programs: dict[str, Path],
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    """Return a program with the architecture's function in it."""
    if case.name not in programs:
        folder = tmp_path_factory.mktemp(case.name)
        assembly = folder / "plant.S"
        assembly.write_text(planting.assembly())
        programs[case.name] = folder / "planted"
        source = HERE / "programs" / "planted.c"
        build(case, source, programs[case.name], assembly, *planting.flags)
    return programs[case.name]


@pytest.fixture
def spinning(arch: Arch, program: Path, planting: Planting) -> Iterator[Spinning]:
    """Return a machine in which the program spins."""
    one = Spinning(arch, program, planting)
    yield one
    one.machine.end_guest(one.guest, 0)


@pytest.mark.parametrize("signals", [False, True], ids=["alone", "interrupted"])
def test_registers_survive_moving(
    arch: Arch, program: Path, planting: Planting, signals: bool, tmp_path: Path
) -> None:
    """Saved and rebuilt all the time, handlers running or not, nothing is lost."""
    values = seeds.generator("registers", arch.name, signals).randbytes(planting.size)
    moving: list[str | Path] = [sys.executable, HERE / "migrating.py", "2", tmp_path]

    done = subprocess.run(
        [*moving, "", program, "2000000", *["x"] * signals],
        input=values,
        capture_output=True,
        check=True,
        timeout=120,
    )

    result, moves = done.stdout[: planting.size], done.stdout[planting.size :]
    parts = planting.parts()
    lost = {n: result[at : at + k].hex() for n, (at, k) in parts.items()}
    assert lost == {n: values[at : at + k].hex() for n, (at, k) in parts.items()}
    assert int(moves.split()[1]) > 1


# A machine is as good as new after each example.
REUSED = settings(
    max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@REUSED
@given(data=st.data())
def test_what_a_program_loads_is_saved(
    spinning: Spinning, planting: Planting, data: st.DataObject
) -> None:
    """Register sets have, by name, what the program has loaded."""
    size = planting.size
    values = data.draw(st.binary(min_size=size, max_size=size))

    spinning.load(values)

    with FrozenMachine(spinning.machine) as frozen:
        found = _named(frozen.processes[0].tasks[0])
    order = spinning.arch.layout.byteorder
    for name, (at, length) in planting.parts().items():
        assert found[name] == int.from_bytes(values[at : at + length], order), name


@REUSED
@given(data=st.data())
def test_what_is_set_the_program_stores(
    spinning: Spinning, planting: Planting, data: st.DataObject
) -> None:
    """What register sets are given by name, the program finds in its registers."""
    size, order = planting.size, spinning.arch.layout.byteorder
    values = data.draw(st.binary(min_size=size, max_size=size))
    wanted = {
        name: int.from_bytes(values[at : at + length], order)
        for name, (at, length) in planting.parts().items()
    }

    with FrozenMachine(spinning.machine) as frozen:
        _set(frozen.processes[0].tasks[0], wanted)
    stored = spinning.stored()

    for name, (at, length) in planting.parts().items():
        assert int.from_bytes(stored[at : at + length], order) == wanted[name], name


def _named(task: Task) -> Registers:
    """Return the registers of all sets."""
    found: Registers = {}
    for known in task.process.arch.register_sets:
        data = task.register_set(known.note_type)
        if data is not None:
            found |= known.decode(data)
    return found


def _set(task: Task, wanted: Registers) -> None:
    """Set registers, whichever set they are in; all others stay."""
    for known in task.process.arch.register_sets:
        data = task.register_set(known.note_type)
        names = {row.name for row in known.registers} & wanted.keys()
        if data is not None and names:
            values = {name: wanted[name] for name in names}
            task.set_register_set(known.note_type, known.encode(values, data))
