"""Every program, in every mode, on the emulated host, for every architecture."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
from _pytest.mark import ParameterSet

from harness import commands, crossing, modes, seeds
from harness.programs import EVERY_ARCH, SCENARIOS, Scenario
from harness.subject import SubjectError


def _combinations() -> list[ParameterSet]:
    """Return all combinations, or for each program one architecture and mode."""
    found: list[ParameterSet] = []
    for scenario in SCENARIOS:
        if crossing.refusal(scenario, emulated=True):
            continue
        choices = [
            (variant, mode) for variant in EVERY_ARCH for mode in modes.MODES[1:]
        ]
        for variant, mode in seeds.sample(scenario.name, choices, 1):
            name = f"{scenario.name}-{variant}-{mode}"
            found.append(pytest.param(scenario, mode, variant, id=name))
    return found


@pytest.mark.parametrize(("scenario", "mode", "variant"), _combinations())
def test_emulated_program_keeps_its_state(
    scenario: Scenario, mode: str, variant: str, user: int | None, home: Path
) -> None:
    """A program in a machine of ours finds its state as it was."""
    modes.run(scenario, variant, mode, user, home, emulated=True)


@pytest.mark.parametrize(
    ("emulated", "user_name"),
    [
        pytest.param(False, next(iter(commands.users())), id="native"),
        # Its ids are in use here, but for those who get a namespace of their own.
        pytest.param(True, list(commands.users())[-1], id="emulated"),
    ],
    indirect=["user_name"],
)
@pytest.mark.parametrize("variant", list(crossing.CROSSING))
@pytest.mark.parametrize(
    "scenario", seeds.sample("crossing", crossing.CROSSED, 4), ids=lambda s: s.name
)
def test_program_crosses_or_is_refused(
    scenario: Scenario, variant: str, emulated: bool, user: int | None, home: Path
) -> None:
    """A program goes on on the other host, or the ledger is right."""
    refusal = crossing.refusal(scenario, emulated=emulated)
    if scenario.program in crossing.OF_ROOT and os.geteuid():
        pytest.skip("not applicable: only root gets into that state")

    if refusal is None:
        said = crossing.run(scenario, variant, user, home, emulated=emulated)
        assert said.endswith(b"ok\n")
    else:
        with pytest.raises(SubjectError, match=re.escape(refusal)):
            crossing.run(scenario, variant, user, home, emulated=emulated)


def test_the_ledger_only_shrinks() -> None:
    """Nothing is added to what is refused; a program that crosses is taken out."""
    tables = (crossing.TO_EMULATED, crossing.TO_NATIVE)
    programs = {scenario.program for scenario in crossing.CROSSED}
    programs |= {scenario.name for scenario in crossing.CROSSED}

    assert len({reason for table in tables for reason in table.values()}) == (
        crossing.REASONS
    )
    assert all(table.keys() <= programs for table in tables)
