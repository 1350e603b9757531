"""The newcomer's command."""

from __future__ import annotations

import subprocess
import sys


def test_the_demonstration_ends_with_the_same_result() -> None:
    """What was interrupted has the result of what was not, and each step is told."""
    done = subprocess.run(
        [sys.executable, "-m", "blcr.demo"],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )

    assert (done.returncode, done.stderr) == (0, "")
    assert "checkpointed and killed" in done.stdout
    assert done.stdout.endswith("\nthe same as without interruption\n")
