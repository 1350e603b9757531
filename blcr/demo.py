"""
See it work: ``python -m blcr.demo``.

1. start a computation twice: once to be left alone, once to be cut;
2. in the middle, write the second to a context file and kill it;
3. restart it from there;
4. compare what both come to.

On this machine's own CPU the computation is Python's, in three threads.  Where tracing
is not permitted it is a small C program under the emulator.
"""

from __future__ import annotations

import hashlib
import os
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
from blcr import registry

HALF = b"half\n"
"""What a computation says in its middle; at the end it says its result."""

_TIMEOUT_S = 120

_EMULATED_SOURCE = r"""
#include <stdio.h>
#include <unistd.h>

int main(void)
{
    unsigned hash = 2166136261u;
    double x = 0.4;
    for (int round = 0; round < 2000; round++) {
        for (int i = 0; i < 1000; i++) {
            x = 3.9 * x * (1 - x);
            hash = (hash ^ (unsigned)(x * 1e9)) * 16777619u;
        }
        if (round == 1000)
            write(1, "half\n", 5);
    }
    char line[64];
    write(1, line, snprintf(line, sizeof line, "%08x %.17g\n", hash, x));
    return 0;
}
"""


class DemoError(Exception):
    """Something is missing, or did not go as it should; the message says what."""


class Way(NamedTuple):
    """
    How to run, save and restart a program here.

    Attributes:
        title: For people.
        program: What to start.
        host: On which to restart; None: this machine's own CPU.
    """

    title: str
    program: Sequence[str]
    host: str | None


# The computation.


def pi_digits() -> str:
    """Return 3,500 digits of pi, by Machin's formula in whole numbers."""
    one = 10**3510

    def arctan_of_inverse(x: int) -> int:
        total = power = one // x
        n, sign = 1, 1
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
    sieve = bytearray([1]) * limit
    for n in range(2, int(limit**0.5) + 1):
        if sieve[n]:
            for multiple in range(n * n, limit, n):
                sieve[multiple] = 0
    return str(sum(n for n in range(2, limit) if sieve[n]))


def logistic_map() -> str:
    """Return where a chaotic orbit is after 800,000 steps; each bit of it counts."""
    x = 0.4
    for _ in range(800_000):
        x = 3.9 * x * (1 - x)
    return x.hex()


TASKS: tuple[Callable[[], str], ...] = (pi_digits, prime_sum, logistic_map)
ROUNDS = 8


def compute() -> None:
    """Do all tasks in threads of their own, round by round, and say a hash."""
    results = [""] * len(TASKS)
    middle = threading.Barrier(len(TASKS), lambda: say(HALF))

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
    say(hashlib.sha256(" ".join(results).encode()).hexdigest().encode() + b"\n")


def say(line: bytes) -> None:
    """Write to standard output at once."""
    os.write(1, line)
