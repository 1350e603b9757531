"""Programs started for an older CPU keep to it."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from blcr import registry
from harness import load, runner

SOURCE = Path(__file__).with_name("registers_in_use.c")
CANNOT_TELL = 77
PROTECTION_KEYS = 1 << 9  # which Linux sets for every program
BASELINE = 0b11

LEVELS = [
    (name, level, linkage)
    for name in registry.names()
    for level in registry.get(name).cpu_levels
    for linkage in ("-pie", "-static")  # against the shared library, and without
]


@pytest.mark.parametrize(("name", "level", "linkage"), LEVELS)
def test_the_library_keeps_to_the_level(
    name: str, level: str, linkage: str, tmp_path: Path
) -> None:
    """The C library's own choice of code leaves newer registers alone."""
    if runner(load(name)) != ():
        pytest.skip(f"not applicable: this machine does not run {name}")
    program = tmp_path / "registers_in_use"
    word = f"-m{8 * registry.get(name).word_size}"
    compiler = ["cc", word, linkage, "-O2", "-fno-builtin"]
    subprocess.run([*compiler, "-o", program, SOURCE, "-lm"], check=True)

    environment = {**os.environ, **registry.get(name).cpu_levels[level]}
    done = subprocess.run([program], env=environment, capture_output=True, check=False)

    if done.returncode == CANNOT_TELL:
        pytest.skip("not applicable: the CPU does not tell which registers are in use")
    assert int(done.stdout) & ~PROTECTION_KEYS & ~BASELINE == 0
