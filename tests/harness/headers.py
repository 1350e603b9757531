"""What the C compilers of the architectures say of the kernel's headers."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

_HERE = Path(__file__).parent
_ZIG = (sys.executable, "-m", "ziglang", "cc", "-target")

COMPILERS: dict[str, tuple[str, ...]] = {
    "ppc": (*_ZIG, "powerpc-linux-musleabi"),
    "x86": ("gcc", "-m32"),
    "x86_64": ("gcc",),
}
"""By name of architecture."""


def complaints(arch: str, headers: Sequence[str], claims: Sequence[str]) -> str:
    """
    Return what the compiler of `arch` objects to in C expressions claimed to be true.

    Nothing is executed.  A claim about a name that the headers lack is an objection.
    """
    lines = [f"#include <{header}>" for header in headers]
    lines += [f'_Static_assert({claim}, "{claim}");' for claim in claims]
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder, "claims.c")
        source.write_text("\n".join(lines))
        # Not -fsyntax-only: one of the compilers fails for want of an output then.
        done = subprocess.run(
            [*COMPILERS[arch], "-I", _HERE, "-w", "-c", "-o", f"{folder}/o", source],
            capture_output=True,
            text=True,
            check=False,
        )
    return "\n".join(line for line in done.stderr.splitlines() if "error" in line)
