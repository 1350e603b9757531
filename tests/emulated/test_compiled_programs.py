"""
C programs of thousands of lines, for architectures that Debian has no packages for.

Each is compiled here from its authors' source, and moves from machine to machine; the
same source compiled for this machine says what is right.
"""

from __future__ import annotations

import bz2
import functools
import os
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

from blcr import registry
from harness import load, packages, programs, seeds

MIGRATING = Path(__file__).with_name("migrating.py")

MOVES = 3

pytestmark = pytest.mark.skipif(
    not packages.available(), reason="not applicable: this machine has no apt"
)

LUA = """
local x, words, rows = 7, {}, {}
for i = 1, 20000 do
    x = (x * 31 + i) % 1000003
    words[x % 500 + 1] = (words[x % 500 + 1] or ""):sub(1, 20) .. string.format("%x", i)
    rows[#rows + 1] = {x, math.sin(x) / (1 + x % 7), i}
end
table.sort(rows, function(a, b) return a[2] < b[2] or a[2] == b[2] and a[3] < b[3] end)
local sum, numbers = 0.0, coroutine.wrap(function()
    for _, row in ipairs(rows) do coroutine.yield(row[1] * row[2]) end
end)
for value in numbers do sum = sum + value end
print(x, string.format("%.10g", sum), rows[1][3], rows[#rows][3], 7 // -2, 2^53 | 1)
for i = 1, 500, 99 do print((words[i] or ""):rep(2, "-")) end
print(string.pack(">i4d", -2, 1 / 3):byte(1, -1))
"""


class Program(NamedTuple):
    """
    A program to be compiled.

    Attributes:
        package: Debian's source package.
        sources: Its files.
        without: Those of them that are not part of it.
        turns: After how many turns it moves.
    """

    package: str
    sources: str
    without: tuple[str, ...]
    turns: int


PROGRAMS = {
    "lua": Program("lua5.4", "src/*.c", ("luac.c",), 10),
    "bzip2": Program(
        "bzip2",
        "*.c",
        ("bzip2recover.c", "dlltest.c", "mk251.c", "spewG.c", "unzcrash.c"),
        3,
    ),
}


CASES = [
    (name, variant)
    for name in PROGRAMS
    for variant in registry.names()
    if variant not in packages.DEBIAN
]


@functools.cache
def compiled(name: str, variant: str) -> Path:
    """Return the executable of a program, compiled once."""
    package, pattern, without, _ = PROGRAMS[name]
    target = programs.cache_folder() / f"{name}-{variant}"
    if not target.exists():
        folder = packages.source(package)
        files = [p for p in sorted(folder.glob(pattern)) if p.name not in without]
        unfinished = target.with_suffix(f".{os.getpid()}")
        compiler = [sys.executable, "-m", "ziglang", "cc", "-target"]
        options: list[str | Path] = [
            load(variant).target,
            "-static",
            "-O2",
            "-w",
            "-o",
            unfinished,
        ]
        subprocess.run([*compiler, *options, *files, "-lm"], check=True)
        unfinished.rename(target)
    return target


@pytest.fixture
def words(tmp_path: Path) -> Path:
    """A file to be compressed."""
    path = tmp_path / "words"
    path.write_text("".join(f"{i * i % 9973:x} {i % 89}\n" for i in range(20_000)))
    return path


@pytest.mark.parametrize(
    ("name", "variant"), seeds.sample("compiled programs", CASES, 3)
)
def test_program_gives_the_right_result(
    name: str, variant: str, words: Path, tmp_path: Path
) -> None:
    """What it says is what it says here, and what it compresses comes back."""
    args = {"lua": ["-e", LUA], "bzip2": ["-c", str(words)]}[name]
    turns = str(PROGRAMS[name].turns)
    program = compiled(name, variant)

    done = subprocess.run(
        [sys.executable, MIGRATING, turns, tmp_path, "", program, *args],
        capture_output=True,
        check=False,
        timeout=200,
    )

    assert (done.stderr, done.returncode) == (b"", 0)
    said, _, moved = done.stdout.rstrip(b"\n").rpartition(b"moved ")
    assert int(moved.split()[0]) >= MOVES
    assert said == _expected(name, args)
    if name == "bzip2":
        assert bz2.decompress(said) == words.read_bytes()


def _expected(name: str, args: list[str]) -> bytes:
    program = compiled(name, "x86_64")
    return subprocess.run([program, *args], capture_output=True, check=True).stdout
