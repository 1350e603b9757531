"""
See it work: ``python -m blcr.demo``.

1. start a computation twice, to be left alone and to be cut;
2. in the middle, write the second one to a context file and kill it;
3. restart it from there;
4. compare what both come to.

On this machine's own CPU the computation is Python's, in several threads.  Where
tracing is not permitted, it is a small C program under the emulator.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.util
import platform
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import blcr
from blcr.cli.main import INTERRUPTED, emulator
from blcr.engine.apart import environment

HALF = b"half\n"
"""What a computation writes in its middle; at the end it writes its result."""

_LIMIT_S = 180
_LOOK_EVERY_S = 0.005


class DemoError(Exception):
    """Something is missing, or did not go as it should."""


# The computation: whole numbers, memory and floating point, each in its own thread.


def pi_digits() -> str:
    """Return 3,500 digits of pi, by Machin's formula."""
    one = 10**3510

    def arctan_of_inverse(x: int) -> int:
        total = power = one // x
        n = sign = 1
        while power:
            power //= x * x
            n, sign = n + 2, -sign
            total += sign * (power // n)
        return total

    pi = 4 * (4 * arctan_of_inverse(5) - arctan_of_inverse(239))
    return str(pi // 10**10)


def prime_sum() -> str:
    """Return the sum of the primes below 400,000."""
    limit = 400_000
    is_prime = bytearray([1]) * limit
    for n in range(2, int(limit**0.5) + 1):
        if is_prime[n]:
            for multiple in range(n * n, limit, n):
                is_prime[multiple] = 0
    return str(sum(n for n in range(2, limit) if is_prime[n]))


def logistic_map() -> str:
    """Return where a chaotic orbit is after 800,000 steps: every bit counts."""
    x = 0.4
    for _ in range(800_000):
        x = 3.9 * x * (1 - x)
    return x.hex()


TASKS: tuple[Callable[[], str], ...] = (pi_digits, prime_sum, logistic_map)
ROUNDS = 10


def compute(output: Path) -> None:
    """Do every task in a thread of its own, and write a hash of what they return."""
    # Where a restart makes this the foreground job, an interrupt comes here alone.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    results = [""] * len(TASKS)
    with output.open("wb", buffering=0) as file:

        def say_half() -> None:
            file.write(HALF)

        middle = threading.Barrier(len(TASKS), say_half)

        def work(index: int) -> None:
            for done in range(ROUNDS):
                if done == ROUNDS // 2:
                    middle.wait()
                results[index] += TASKS[index]()

        threads = [threading.Thread(target=work, args=(i,)) for i in range(len(TASKS))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        text = " ".join(results).encode()
        file.write(hashlib.sha256(text).hexdigest().encode() + b"\n")


EMULATED_SOURCE = r"""
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

int main(int argc, char **argv)
{
    int fd = open(argv[1], O_WRONLY | O_CREAT | O_TRUNC, 0600);
    unsigned hash = 2166136261u;
    double x = 0.4;
    char line[64];

    for (int round = 0; round < 40000; round++) {
        for (int i = 0; i < 500; i++) {
            x = 3.9 * x * (1 - x);
            hash = (hash ^ (unsigned)(x * 1e9)) * 16777619u;
        }
        if (round == 20000)
            write(fd, "half\n", 5);
    }
    write(fd, line, snprintf(line, sizeof line, "%08x %.17g\n", hash, x));
    return argc != 2;
}
"""


# The ways.


class Way(NamedTuple):
    """
    How a program runs here.

    Attributes:
        title: For people.
        command: What starts the computation; the file for its result comes last.
        host: Where to restart it; None: on this machine's own CPU.
    """

    title: str
    command: Sequence[str]
    host: str | None


def own_way() -> Way:
    """Return the way of running on this machine's own CPU."""
    return Way(
        f"natively on {platform.machine()}: Python in {1 + len(TASKS)} threads",
        [sys.executable, "-P", "-m", "blcr.demo", "--compute"],
        None,
    )


def emulated_way(folder: Path) -> Way:
    """
    Return the way of running under an emulator.

    Raises:
        DemoError: There is no compiler.
        HostError: No emulator is installed.
    """
    host = emulator()
    program = _compile(folder)
    run = [sys.executable, "-P", "-m", "blcr.cli.run", "--emulate", str(program)]
    return Way("emulated: a C program, statically linked", run, host.name)


def _compile(folder: Path) -> Path:
    """Build the program for the emulator with the first compiler that can."""
    source, program = folder / "demo.c", folder / "demo"
    source.write_text(EMULATED_SOURCE)
    compilers = [[found] for one in ("cc", "musl-gcc") if (found := shutil.which(one))]
    if importlib.util.find_spec("ziglang"):
        # A musl library comes with it; an emulator lacks this CPU's newest features.
        options = ["-target", "native-linux-musl", "-mcpu=baseline"]
        compilers.append([sys.executable, "-m", "ziglang", "cc", *options])
    for compiler in compilers:
        name = Path(compiler[0]).name if len(compiler) == 1 else "zig"
        print(f"compiling a program for the emulator with {name} ...", flush=True)
        options = ["-static", "-O1", "-w", "-o", str(program), str(source)]
        done = subprocess.run([*compiler, *options], check=False, capture_output=True)
        if done.returncode == 0:
            return program
    raise DemoError(
        "the emulator needs a static program, and no C compiler here makes one; "
        "'pip install ziglang' brings one"
    )


# The steps.


class Table:
    """The steps, printed as they are done, each with the time since the one before."""

    def __init__(self, title: str) -> None:
        print(f"{title}\n\n  {'step':14}{'ms':>8}", flush=True)
        self._since = time.monotonic()

    def row(self, step: str, detail: str) -> None:
        """Print a step that is done now."""
        now = time.monotonic()
        took_ms = (now - self._since) * 1000
        print(f"  {step:14}{took_ms:8.1f}  {detail}", flush=True)
        self._since = now


def show(way: Way, folder: Path) -> bool:
    """
    Cut and restart a computation, and tell whether that made no difference.

    Raises:
        DemoError: It did not come that far.
        BlcrError: The checkpoint or the restart was not possible.
    """
    context, cut, whole = (folder / name for name in ("context", "cut", "whole"))
    table = Table(way.title)
    with _started(way, whole) as undisturbed, _started(way, cut) as program:
        _await_half(program, cut)
        table.row("started", f"process {program.pid} is in the middle of its work")
        saved = blcr.checkpoint(program.pid, context, signal=signal.SIGKILL)
        table.row(
            "checkpointed",
            f"{saved.size / 1e6:.1f} MB, frozen for {saved.frozen_ms:.1f} ms",
        )
        ended = program.wait(_LIMIT_S)
        table.row("killed", f"it ended with {ended}")
        _restart(way, context, table)
        table.row("finished", "it ended with 0")
        if undisturbed.wait(_LIMIT_S):
            raise DemoError("the uninterrupted run failed")
    results = [one.read_text().split()[1:] for one in (cut, whole)]
    equal = results[0] == results[1] != []
    table.row("compared", f"result {' '.join(results[0])[:16]}...")
    print(f"\nThe uninterrupted run has {'the same' if equal else 'another'} result.")
    return equal


@contextmanager
def _started(way: Way, output: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Have a computation run for as long as the block lasts."""
    output.unlink(missing_ok=True)
    with (
        _errors(output).open("wb") as errors,
        subprocess.Popen(
            [*way.command, str(output)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=errors,
            env=environment(),
        ) as program,
    ):
        try:
            yield program
        finally:
            program.kill()


def _errors(output: Path) -> Path:
    """Return where a computation's messages go."""
    return output.with_suffix(".errors")


def _await_half(program: subprocess.Popen[bytes], output: Path) -> None:
    """Wait until a computation is in its middle."""
    end = time.monotonic() + _LIMIT_S
    while not (output.exists() and output.read_bytes().startswith(HALF)):
        if program.poll() is not None:
            said = _errors(output).read_text(errors="replace").strip()
            raise DemoError(
                f"the program ended too early: {said or program.returncode}"
            )
        if time.monotonic() > end:
            raise DemoError(f"the program has not come far in {_LIMIT_S} s")
        time.sleep(_LOOK_EVERY_S)


def _restart(way: Way, context: Path, table: Table) -> None:
    """Restart the computation and wait until it has ended; with other ids if needed."""
    try:
        ended = blcr.restart(
            context,
            host=way.host,
            running=lambda: table.row("restarted", "with the same process id"),
        )
    except (blcr.HostError, blcr.BusyError) as error:
        print(f"  {error}")
        ended = blcr.restart(
            context,
            host=way.host,
            restore_pid=False,
            running=lambda: table.row("restarted", "with another process id"),
        )
    if ended.returncode == -signal.SIGINT:
        raise KeyboardInterrupt
    if ended.returncode:
        raise DemoError(f"the restarted program ended with {ended.returncode}")


def main(words: Sequence[str] | None = None) -> int:
    """Run the demonstration and return its exit status: 0 if all went well."""
    parser = argparse.ArgumentParser(
        prog="python -m blcr.demo",
        description="Checkpoint, kill and restart a computation, and compare its "
        "result with an uninterrupted run.",
    )
    parser.add_argument(
        "--emulate", action="store_true", help="under an emulator of the CPU"
    )
    parser.add_argument("--compute", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args(words)
    if options.compute:
        compute(options.compute)
        return 0
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with tempfile.TemporaryDirectory(prefix="blcr-demo-") as name:
            return 0 if _show_somehow(Path(name), emulate=options.emulate) else 1
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return INTERRUPTED
    except (DemoError, blcr.BlcrError) as error:
        print(f"blcr.demo: {error}", file=sys.stderr)
        return 1


def _show_somehow(folder: Path, *, emulate: bool) -> bool:
    """Show it natively, or emulated where that is wanted or nothing else possible."""
    if not emulate:
        try:
            return show(own_way(), folder)
        except (blcr.NotPermittedError, blcr.ArchitectureError) as error:
            print(f"  not possible here: {error}\n")
    return show(emulated_way(folder), folder)


if __name__ == "__main__":
    sys.exit(main())
