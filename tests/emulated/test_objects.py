"""System V objects of guests that are saved, and what they leave undone."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness import programs, seeds
from harness.subject import Subject

SOURCES = Path(__file__).parent / "programs"


@pytest.mark.parametrize("variant", seeds.sample("objects", programs.EVERY_ARCH, 3))
def test_what_a_process_undoes_as_it_ends_is_saved(
    variant: str, user: int | None, home: Path
) -> None:
    """Of semaphores; and all else that can be done with objects is done as before."""
    program = programs.build("objects", variant, SOURCES)
    with Subject([program], cwd=home, user=user, emulated=True) as subject:
        subject.ready()
        for _ in range(2):
            subject.restart(subject.checkpoint_and_kill())
        subject.tell()

        assert subject.finish().endswith(b"ok\n")
