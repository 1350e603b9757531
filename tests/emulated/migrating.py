"""
Runs a program that moves to another machine again and again.

    python migrating.py TURNS[:BLOCKS] FOLDER SYSROOT PROGRAM [ARGUMENT ...]

After every so many turns of its threads the process is saved, its machine thrown away,
and the process rebuilt from the context in a new machine.  Prints how often, last.
SYSROOT is where the program looks for files first; empty: there is none.  With BLOCKS
no turn is longer than so many blocks of code.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Self

from blcr.engine import checkpoint, restart
from blcr.host.emulated import family, service
from blcr.host.emulated import machine as scheduler
from blcr.host.emulated.frozen import FrozenMachine
from blcr.host.emulated.host import HOST
from blcr.host.emulated.machine import Machine


class Moved(Exception):  # noqa: N818
    """The process is saved; its machine is not to run on."""


class Mover:
    """Asks for attention between all turns, and takes a context after some of them."""

    def __init__(self, machine: Machine, turns: int, path: Path) -> None:
        self._machine, self._left, self._path = machine, turns, path
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
        """Count, and save."""
        self._left -= 1
        if self._left > 0 or family.is_midway(self._machine):
            return
        with self._path.open("wb") as file, FrozenMachine(self._machine) as frozen:
            checkpoint.save(HOST, frozen, file.fileno())
        raise Moved


def main(turns: int, folder: Path, sysroot: str, program: list[str]) -> int:
    """Run the program; return its wait status."""
    path = folder / "context"
    setattr(service, "Listener", lambda machine: Mover(machine, turns, path))  # noqa: B010
    machine = Machine(sysroot=sysroot or None, seed=1)
    guest = machine.start(program, {})
    moves = 0
    try:
        with Mover(machine, turns, path):
            status = machine.run(guest)
    except Moved:
        status = -1
    while status < 0:
        moves += 1
        try:
            with path.open("rb") as file:
                status = restart.restart(
                    file.fileno(),
                    "context",
                    host=HOST.name,
                    sysroot=sysroot or None,
                )
        except Moved:
            continue
    sys.stdout.write(f"moved {moves} times\n")
    return status


if __name__ == "__main__":
    turns, _, blocks = sys.argv[1].partition(":")
    if blocks:
        setattr(scheduler, "_TURN", (1, int(blocks)))  # noqa: B010
    sys.exit(main(int(turns), Path(sys.argv[2]), sys.argv[3], sys.argv[4:]) >> 8)
