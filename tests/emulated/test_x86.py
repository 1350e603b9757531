"""What only x86 has: remainders of the x87."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path

import pytest

from harness import programs

SOURCES = Path(__file__).parent / "programs"

# Of what the same program says on hardware, an AMD EPYC.
REMAINDERS = "3fd82c60116e69852720a731d1fe057da0eff514d099d8da6a8b2d77a6da2cf1"


@pytest.mark.parametrize("variant", ["x86", "x86_64"])
def test_remainders_are_those_of_hardware(variant: str) -> None:
    """Results, conditions and exceptions of fprem and fprem1 agree bit by bit."""
    program = programs.build("remainders", variant, SOURCES)

    done = subprocess.run(
        [sys.executable, "-m", "blcr.cli.run", "--emulate", program],
        capture_output=True,
        check=False,
        timeout=60,
    )

    assert (done.stderr, done.returncode) == (b"", 0)
    assert hashlib.sha256(done.stdout).hexdigest() == REMAINDERS
