"""
The emulated host beside qemu-user and Qiling: ``python -m benchmarks.emulated``.

All run the same programs, ours with block budget and guard as always.  Times of loops
are CPU time, the least of several runs, of many repetitions less that of none: the
start of an emulator is not counted.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import venv
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

# The tests build programs for every architecture.
sys.path.append(str(Path(__file__).parents[1] / "tests"))

from benchmarks.rows import Row, command, seconds, show
from blcr import registry
from harness import load, programs

HERE = Path(__file__).parent
SIZE_MIB = 64

INTEGER_LIMITS = {"x86": "0.35"}
"""Of qemu-user's speed, where not 0.5."""


class Loop(NamedTuple):
    """A loop of ``loops.c``, and how often fast and slow emulators repeat it."""

    name: str
    fast: int
    slow: int


INTEGERS = Loop("integers", 200_000_000, 200_000_000)
MEMORY = Loop("memory", 20_000_000, 2_000_000)
CALLS = Loop("calls", 300_000, 30_000)


def qiling() -> list[str]:
    """Return what runs a program under Qiling; empty: it is not to be had."""
    folder = programs.cache_folder() / "qiling"
    python = folder / "bin" / "python"
    if not python.exists():
        venv.create(folder, with_pip=True)
        install = [python, "-m", "pip", "install", "--quiet", "qiling"]
        subprocess.run(install, check=False, capture_output=True)
    have = subprocess.run([python, "-c", "import qiling"], capture_output=True)
    return [] if have.returncode else [str(python), str(HERE / "qiling_run.py")]


def cpu_s(words: Sequence[str | Path]) -> float | None:
    """Return the CPU time that a program took, or None where it failed."""
    before = os.times()
    done = subprocess.run(words, capture_output=True, check=False)
    after = os.times()
    if done.returncode or not done.stdout.strip().isdigit():
        return None
    return sum(after[2:4]) - sum(before[2:4])


def each_ns(
    emulator: Sequence[str], program: Path, loop: Loop, repeated: int, runs: int
) -> float | None:
    """Return the time of one repetition, or None where the program cannot be run."""
    if not emulator:
        return None
    least = []
    for count in (0, repeated):
        times = [
            cpu_s([*emulator, program, loop.name, str(count)]) for _ in range(runs)
        ]
        if None in times:
            return None
        least.append(min(time for time in times if time is not None))
    return (least[1] - least[0]) / repeated * 1e9


def loop_rows(name: str, peer: Sequence[str], runs: int) -> Iterator[Row]:
    """Measure loops."""
    program = programs.build("loops", name, HERE)
    ours = command("run", "--emulate")
    found = shutil.which(load(name).emulator)
    qemu = [found] if found else []

    def each(loop: Loop, slow: bool) -> tuple[float | None, float | None, float | None]:
        return (
            each_ns(ours, program, loop, loop.slow if slow else loop.fast, runs),
            each_ns(qemu, program, loop, loop.fast, runs),
            each_ns(peer, program, loop, loop.slow, runs),
        )

    limits = {
        INTEGERS: (INTEGER_LIMITS.get(name, "0.5"), ""),
        MEMORY: ("", "5"),
    }
    for loop, (of_qemu, of_peer) in limits.items():
        own, first, second = each(loop, slow=False)
        assert own
        yield Row(f"{name}, {loop.name}: one round", own, "ns")
        if first:
            ratio = first / own
            yield Row(f"{name}, {loop.name}: speed / qemu-user", ratio, "", of_qemu)
        if second:
            ratio = second / own
            yield Row(f"{name}, {loop.name}: speed / Qiling", ratio, "", of_peer)
    own, first, second = each(CALLS, slow=True)
    whose = {"": own, ", qemu-user": first, ", Qiling": second}
    for who, value in whose.items():
        if value:
            limit = "" if who else "12 µs"
            yield Row(f"{name}, system call{who}", value / 1000, "µs", limit)


def context_rows(name: str, folder: Path, runs: int) -> Iterator[Row]:
    """Measure checkpoint and restart, as the commands take them."""
    program, context = programs.build("tiny", name, HERE), folder / "context"
    words = [*command("run", "--emulate"), program, str(SIZE_MIB)]
    pipe = subprocess.PIPE
    with subprocess.Popen(words, stdin=pipe, stdout=pipe) as machine:
        assert machine.stdout
        assert machine.stdout.readline() == b"ready\n"
        save = command("checkpoint", "--clobber", "-f", context, str(machine.pid))
        took = min(seconds(save) for _ in range(runs))
        machine.kill()
    yield Row(f"{name}, {SIZE_MIB} MiB: cr_checkpoint", took, "s", "0.3 s")
    again = command("restart", "--emulate", context)
    took = min(seconds(again, b"\n") for _ in range(runs))
    yield Row(f"{name}, {SIZE_MIB} MiB: cr_restart until its end", took, "s", "0.3 s")


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="benchmarks.emulated", description=__doc__)
    parser.add_argument("--count", type=int, default=3, help="runs of each program")
    parser.add_argument("--arch", action="append", help="only this one; repeatable")
    parser.add_argument("--json", action="store_true", help="rows as JSON")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        rows = _all_rows(options.arch or registry.names(), Path(folder), options.count)
        show(rows, as_json=options.json)
    return 0


def _all_rows(names: Sequence[str], folder: Path, runs: int) -> Iterator[Row]:
    peer = qiling()
    for name in names:
        yield from loop_rows(name, peer, runs)
        yield from context_rows(name, folder, runs)


if __name__ == "__main__":
    sys.exit(main())
