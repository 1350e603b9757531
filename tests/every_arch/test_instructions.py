"""What the engine executes, it executes as qemu-user does; the rest is refused."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from random import Random

import pytest

from blcr.architecture import Arch
from harness import Case, disassemble, instructions, programs

SEED = 1
# Random code to look for instructions in, and how many of each are tried.
WORDS, EACH = (200_000, 2) if os.environ.get("BLCR_FULL") else (60_000, 1)


@pytest.fixture
def pair(arch: Arch, case: Case, tmp_path: Path) -> instructions.Pair:
    """An emulator to compare with, and the engine."""
    emulator = shutil.which(case.emulator)
    if emulator is None:
        pytest.skip(f"not applicable: {case.emulator} is not installed")
    blank = tmp_path / "blank"
    sample = programs.build("compute", arch.name)
    blank.write_bytes(instructions.blank(case, arch, sample))
    blank.chmod(0o755)
    return instructions.Pair(arch, case, [emulator, *case.model, blank])


def test_instructions_do_the_same_or_are_refused(
    case: Case, pair: instructions.Pair
) -> None:
    """Registers and memory after single instructions are those of another emulator."""
    rng = Random(SEED)
    wrong = {}

    with pair:
        for codes in instructions.samples(case, rng, WORDS, EACH).values():
            for code in codes:
                found = instructions.differences(pair, code, pair.state(rng))
                if found:
                    wrong[disassemble(case, code), code.hex()] = found

    assert wrong == {}
