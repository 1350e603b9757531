"""
What a C compiler for any architecture says of the kernel's headers.

The compiler brings the headers along, so that the answer is the same on every machine.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from harness import load

_HERE = Path(__file__).parent


def complaints(arch: str, headers: Sequence[str], claims: Sequence[str]) -> str:
    """
    Return what a compiler for `arch` objects to in C expressions claimed to be true.

    Nothing is executed.  A claim about a name that the headers lack is an objection.
    """
    lines = [f"#include <{header}>" for header in headers]
    lines += [f'_Static_assert({claim}, "{claim}");' for claim in claims]
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder, "claims.c")
        source.write_text("\n".join(lines))
        # Not -fsyntax-only: this compiler fails for want of an output then.
        done = subprocess.run(
            [
                *_compiler(arch),
                "-I",
                _HERE,
                "-w",
                "-c",
                "-o",
                f"{folder}/claims.o",
                source,
            ],
            capture_output=True,
            text=True,
            check=False,
        )
    return "\n".join(line for line in done.stderr.splitlines() if "error" in line)


def macros(arch: str, headers: Sequence[str]) -> dict[str, str]:
    """Return what the headers define with ``#define``, unexpanded, by name."""
    done = subprocess.run(
        [*_compiler(arch), "-E", "-dM", "-x", "c", "-"],
        input="\n".join(f"#include <{header}>" for header in headers),
        capture_output=True,
        text=True,
        check=True,
    )
    rows = (line.split(maxsplit=2) for line in done.stdout.splitlines())
    return {row[1]: row[2] for row in rows if len(row) == 3}


def _compiler(arch: str) -> list[str]:
    return [sys.executable, "-m", "ziglang", "cc", "-target", load(arch).target]
