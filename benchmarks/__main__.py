"""
Measure the commands: ``python -m benchmarks``.

Everything is measured on this machine in this run, beside the tools that set the scale:
``dd`` on the same file system, copying in memory, an empty Python.  Times are medians
unless a row says otherwise.
"""

from __future__ import annotations

import argparse
import json
import mmap
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

SOURCE = Path(__file__).parent / "program.c"
MANY_SOURCE = SOURCE.with_name("many.c")

MIB = 1 << 20

WRITTEN = 8
"""Pages that the program writes each millisecond: 32 MiB in a second."""

CRIU_FROZEN_MS = {"tiny": 4, "64 threads": 21, "2,000 mappings": 31}
CRIU_MEMCPY_GB_S = 14
"""How long CRIU 4.2 holds programs, where memory is copied that fast."""

FRESH_COPY_S, FRESH_RESTART_MS = 0.6, 400
"""How long a GiB may take to restart where copying into fresh pages takes so long."""

SHAPES = {"tiny": (), "64 threads": (0, 0, 64), "2,000 mappings": (0, 0, 0, 2000)}
"""What programs are started with."""


MANY = {"processes": (200, 0, 0), "descriptors": (0, 10_000, 0), "pipes": (0, 0, 1_000)}
"""Of what programs have many, and how many."""
QUADRATIC = 2.6
"""What twice as many must not cost; a line through the origin has 2, a square 4."""


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
def running(executable: Path, *args: int) -> Iterator[Program]:
    """Have a program run for a while."""
    program = Program(executable, *args)
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


def memory_copies(size_mib: int) -> tuple[float, float]:
    """Return the seconds that copying takes: warm, and into fresh small pages."""
    size = size_mib * MIB
    source, target = (memoryview(bytearray(size)) for _ in range(2))

    def warm() -> float:
        began = time.perf_counter()
        target[:] = source
        return time.perf_counter() - began

    def fresh() -> float:
        with mmap.mmap(-1, size, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) as memory:
            memory.madvise(mmap.MADV_NOHUGEPAGE)
            with memoryview(memory) as fresh_pages:
                began = time.perf_counter()
                fresh_pages[:] = source
                return time.perf_counter() - began

    return median(warm, 5), median(fresh, 3)


def copy_rows(size_mib: int, copies: tuple[float, float]) -> Iterator[Row]:
    """Tell how fast memory is copied."""
    for name, took in zip(("warm", "into fresh 4 KiB pages"), copies, strict=True):
        yield Row(f"memcpy, {name}", size_mib * MIB / took / 1e9, "GB/s")


def small_rows(
    executable: Path, folder: Path, memcpy_gb_s: float, count: int = 20
) -> Iterator[Row]:
    """Measure checkpoint and restart of programs without much memory."""
    context = folder / "small"
    for name, args in SHAPES.items():
        frozen: list[float] = []

        def checkpoint(pid: str, frozen: list[float] = frozen) -> float:
            args = command("checkpoint", "--json", "-f", context, pid)
            began = time.perf_counter()
            done = subprocess.run(args, check=True, capture_output=True)
            took = time.perf_counter() - began
            frozen.append(json.loads(done.stdout)["frozen_ms"])
            return took

        with running(executable, *args) as program:
            total = median(lambda pid=program.pid: checkpoint(pid), count)  # type: ignore[misc]
        limit = "60 ms" if name == "tiny" else ""
        yield Row(f"{name}: cr_checkpoint in all", total * 1000, "ms", limit)
        allowed = CRIU_FROZEN_MS[name] * CRIU_MEMCPY_GB_S / memcpy_gb_s
        held = statistics.median(frozen[1:])
        yield Row(f"{name}: frozen", held, "ms", f"{allowed:.3g} ms")
        words = command("restart", "--no-restore-pid", context)
        took = median(lambda words=words: seconds(words, b"\n"), count)  # type: ignore[misc]
        yield Row(f"{name}: cr_restart until its end", took * 1000, "ms")


def many_rows(folder: Path, count: int) -> Iterator[Row]:
    """Measure what programs cost that have many of something, and half as many."""
    executable, context = folder / "many", folder / "many.context"
    subprocess.run(["cc", "-O2", MANY_SOURCE, "-o", executable], check=True)
    for name, numbers in MANY.items():
        took: dict[str, list[float]] = {"checkpoint": [], "restart": []}
        for part in (2, 1):
            saved, restarted = [], []
            for _ in range(count):
                with running(executable, *(one // part for one in numbers)) as program:
                    words = command("checkpoint", "--kill", "-f", context, program.pid)
                    saved.append(seconds(words))
                words = command("restart", "--no-restore-pid", context)
                restarted.append(seconds(words, b"\n"))
            took["checkpoint"].append(statistics.median(saved))
            took["restart"].append(statistics.median(restarted))
        for what, (half, whole) in took.items():
            row = f"{max(numbers):,} {name}: cr_{what}"
            yield Row(row, whole * 1000, "ms")
            yield Row(f"{row}, against half as many", whole / half, "", str(QUADRATIC))
    context.unlink()


def restart_rows(
    executable: Path, folder: Path, size_mib: int, count: int, fresh_s: float
) -> Iterator[Row]:
    """Measure how long a large program takes to run again, its context cached."""
    context = folder / "again"
    with running(executable, size_mib) as program:
        seconds(command("checkpoint", "--kill", "-f", context, program.pid))
    took = []
    context.read_bytes()
    for _ in range(count):
        words = command("restart", "--no-restore-pid", context)
        began = time.perf_counter()
        process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        _await_program(process.pid, executable)
        took.append(time.perf_counter() - began)
        assert process.communicate(b"\n")[0] == b"ok\n"
    per_gib = fresh_s / (size_mib / 1024)
    limit = FRESH_RESTART_MS * per_gib / FRESH_COPY_S * size_mib / 1024
    median_ms = statistics.median(took) * 1000
    what = f"{size_mib} MiB: cr_restart until it runs"
    yield Row(what, median_ms, "ms", f"{limit:.3g} ms")
    context.unlink()


def _await_program(pid: int, executable: Path) -> None:
    """Wait until some process below another one runs that program, untraced."""
    while True:
        for child in _below(pid):
            try:
                ours = Path(f"/proc/{child}/exe").readlink() == executable
                text = Path(f"/proc/{child}/status").read_text()
            except OSError:
                continue
            if ours and "TracerPid:\t0\n" in text:
                return
        time.sleep(0.001)


def _below(pid: int) -> Iterator[int]:
    """Yield the children of a process, theirs, and so on."""
    try:
        text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    except OSError:
        return
    for child in map(int, text.split()):
        yield child
        yield from _below(child)


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
    """
    Measure writing and reading of a large program beside dd: the best run of each.

    A machine inside another one takes memory back that is idle: what is filled first
    after that is up to ten times as slow, for dd as for anybody.
    """
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
            yield from _compared(
                f"{size_mib} MiB written, {sync}, best", ours, theirs, "0.9"
            )
    for state, prepare, limit in (("from the disk", evict, "0.7"), ("cached", id, "")):
        ours, theirs = [], []
        for _ in range(count):
            prepare(context)
            args = command("restart", "--no-restore-pid", context)
            ours.append(rate(seconds(args, b"\n")))
            prepare(context)
            theirs.append(rate(seconds(dd(f"if={context}", "of=/dev/null"))))
        yield from _compared(f"{size_mib} MiB read, {state}, best", ours, theirs, limit)


def evict(path: Path) -> None:
    """Have the kernel forget what it has cached of a file."""
    with path.open("rb") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def _compared(
    what: str, ours: list[float], theirs: list[float], limit: str
) -> Iterator[Row]:
    mine, other = max(ours), max(theirs)
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
        subprocess.run(["cc", "-O2", "-pthread", SOURCE, "-o", executable], check=True)
        rows = _all_rows(executable, folder, options.size_mib, options.count)
        show(rows, as_json=options.json)
    return 0


def _all_rows(
    executable: Path, folder: Path, size_mib: int, count: int
) -> Iterator[Row]:
    copies = memory_copies(size_mib)
    memcpy_gb_s = size_mib * MIB / copies[0] / 1e9
    yield from copy_rows(size_mib, copies)
    yield from start_rows()
    yield from small_rows(executable, folder, memcpy_gb_s)
    yield from many_rows(folder, count)
    yield from ahead_rows(executable, folder, size_mib, count)
    yield from large_rows(executable, folder, size_mib, count)
    yield from restart_rows(executable, folder, size_mib, count, copies[1])


if __name__ == "__main__":
    sys.exit(main())
