"""
Measure the commands: ``python -m benchmarks``.

Everything is measured on this machine in this run, beside the tools that set the scale:
``dd`` on the same file system, an empty Python.  Times are medians.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.rows import Row, command, seconds, show

SOURCE = Path(__file__).parent / "tiny.c"

MIB = 1 << 20

WRITTEN = 8
"""Pages that the program writes each millisecond: 32 MiB in a second."""


class Program:
    """The program to be saved; its first line says that it is ready."""

    def __init__(self, executable: Path, *args: int) -> None:
        pipe = subprocess.PIPE
        words = [str(executable), *map(str, args)]
        self.process = subprocess.Popen(words, stdin=pipe, stdout=pipe)
        assert self.process.stdout
        assert self.process.stdout.readline() == b"ready\n"

    @property
    def pid(self) -> str:
        """As the commands take it."""
        return str(self.process.pid)

    def end(self) -> None:
        """End it."""
        self.process.kill()
        self.process.communicate()


@contextmanager
def running(
    executable: Path, size_mib: int = 0, pages_each_ms: int = 0
) -> Iterator[Program]:
    """Have a program run for a while, one that writes if that is wanted."""
    writer = (pages_each_ms,) if pages_each_ms else ()
    program = Program(executable, size_mib, *writer)
    try:
        yield program
    finally:
        program.end()


def median(measure: Callable[[], float], count: int) -> float:
    """Return the median of some measurements, after one that warms up."""
    measure()
    return statistics.median(measure() for _ in range(count))


def start_rows() -> Iterator[Row]:
    """Measure how long commands take to start."""
    bare = median(lambda: seconds([sys.executable, "-c", ""]), 20)
    yield Row("an empty Python", bare * 1000, "ms")
    for name in ("checkpoint", "restart"):
        took = median(lambda name=name: seconds(command(name, "--version")), 20)  # type: ignore[misc]
        yield Row(f"cr_{name} --version", took * 1000, "ms")


def tiny_rows(executable: Path, folder: Path) -> Iterator[Row]:
    """Measure checkpoint and restart of a tiny program."""
    context = folder / "tiny"
    frozen: list[float] = []

    with running(executable) as program:

        def checkpoint() -> float:
            args = command("checkpoint", "--json", "-f", context, program.pid)
            began = time.perf_counter()
            done = subprocess.run(args, check=True, capture_output=True)
            took = time.perf_counter() - began
            frozen.append(json.loads(done.stdout)["frozen_ms"])
            return took

        total = median(checkpoint, 20)
    yield Row("tiny program: cr_checkpoint in all", total * 1000, "ms", "60 ms")
    yield Row("tiny program: frozen", statistics.median(frozen), "ms", "8 ms")
    args = command("restart", "--no-restore-pid", context)
    took = median(lambda: seconds(args, b"\n"), 20)
    yield Row("tiny program: cr_restart until its end", took * 1000, "ms")


def ahead_rows(
    executable: Path, folder: Path, size_mib: int, count: int
) -> Iterator[Row]:
    """Measure how long a large program stands still that runs on."""
    context = folder / "ahead"
    limits = {0: "20 ms", WRITTEN: ""}
    for written, limit in limits.items():
        results = []
        with running(executable, size_mib, written) as program:
            for _ in range(count + 1):
                args = command("checkpoint", "--json", "-f", context, program.pid)
                done = subprocess.run(args, check=True, capture_output=True)
                results.append(json.loads(done.stdout))
        what = f"{size_mib} MiB, " + (f"{written} pages/ms" if written else "idle")
        copied = "/".join(sorted({one["copied"] for one in results}))
        frozen = statistics.median(one["frozen_ms"] for one in results[1:])
        longest = statistics.median(max(one["stops_ms"]) for one in results[1:])
        yield Row(f"{what}, copied {copied}: frozen", frozen, "ms", limit)
        yield Row(f"{what}, copied {copied}: longest stop", longest, "ms")
    context.unlink()


def large_rows(
    executable: Path, folder: Path, size_mib: int, count: int
) -> Iterator[Row]:
    """Measure writing and reading of a large program beside dd."""
    context, plain = folder / "large", folder / "plain"

    def rate(took: float) -> float:
        return size_mib / took

    def dd(*args: str | Path) -> list[str]:
        return ["dd", "bs=1M", "status=none", *map(str, args)]

    zero_to_plain = ("if=/dev/zero", f"of={plain}", f"count={size_mib}")
    with running(executable, size_mib) as program:
        for sync, extra in (("--nosync", []), ("--sync", ["conv=fsync"])):
            ours, theirs = [], []
            for _ in range(count):
                context.unlink(missing_ok=True)
                plain.unlink(missing_ok=True)
                args = command("checkpoint", sync, "-f", context, program.pid)
                ours.append(rate(seconds(args)))
                context.rename(folder / "kept")
                theirs.append(rate(seconds(dd(*zero_to_plain, *extra))))
                (folder / "kept").rename(context)
            yield from _compared(f"{size_mib} MiB written, {sync}", ours, theirs, "0.7")
    for state, prepare, limit in (("from the disk", evict, "0.7"), ("cached", id, "")):
        ours, theirs = [], []
        for _ in range(count):
            prepare(context)
            args = command("restart", "--no-restore-pid", context)
            ours.append(rate(seconds(args, b"\n")))
            prepare(context)
            theirs.append(rate(seconds(dd(f"if={context}", "of=/dev/null"))))
        yield from _compared(f"{size_mib} MiB read, {state}", ours, theirs, limit)


def evict(path: Path) -> None:
    """Have the kernel forget what it has cached of a file."""
    with path.open("rb") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def _compared(
    what: str, ours: list[float], theirs: list[float], limit: str
) -> Iterator[Row]:
    mine, other = statistics.median(ours), statistics.median(theirs)
    yield Row(f"{what}: blcr", mine, "MiB/s")
    yield Row(f"{what}: dd", other, "MiB/s")
    yield Row(f"{what}: ratio", mine / other, "", limit)


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="benchmarks", description=__doc__)
    parser.add_argument(
        "--size-mib", type=int, default=1024, help="of the large program"
    )
    parser.add_argument("--count", type=int, default=3, help="runs with it")
    parser.add_argument("--directory", type=Path, help="file system to write to")
    parser.add_argument("--json", action="store_true", help="rows as JSON")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.directory) as name:
        folder = Path(name)
        executable = folder / "program"
        subprocess.run(["cc", "-O2", SOURCE, "-o", executable], check=True)
        rows = _all_rows(executable, folder, options.size_mib, options.count)
        show(rows, as_json=options.json)
    return 0


def _all_rows(
    executable: Path, folder: Path, size_mib: int, count: int
) -> Iterator[Row]:
    yield from start_rows()
    yield from tiny_rows(executable, folder)
    yield from ahead_rows(executable, folder, size_mib, count)
    yield from large_rows(executable, folder, size_mib, count)


if __name__ == "__main__":
    sys.exit(main())
