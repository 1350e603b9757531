"""Every program, in every mode, as every user, in every variant that can be built."""

from __future__ import annotations

from pathlib import Path

import pytest
from _pytest.mark import ParameterSet

from harness import commands, modes, seeds
from harness.programs import NATIVE_VARIANTS, PREBUILT, SCENARIOS, Scenario, available


def _combinations() -> list[ParameterSet]:
    """Return all combinations, or for each program two by chance, one a restart."""
    found: list[ParameterSet] = []
    variants = [name for name in NATIVE_VARIANTS if not PREBUILT or available(name)]
    for scenario in SCENARIOS:
        for living in (True, False):
            choices = [
                (mode, variant, user)
                for mode in modes.MODES
                for variant in variants
                for user in commands.users()
                if (mode in ("none", "continue")) == living
                and (mode != "none" or user == next(iter(commands.users())))
            ]
            kind = f"{scenario.name}-{living}"
            for mode, variant, user in seeds.sample(kind, choices, 1):
                name = f"{scenario.name}-{mode}-{variant}-{user}"
                parameters = (scenario, mode, variant, user)
                found.append(pytest.param(*parameters, id=name))
    return found


@pytest.mark.parametrize(
    ("scenario", "mode", "variant", "user_name"),
    _combinations(),
    indirect=["user_name"],
)
def test_program_keeps_its_state(
    scenario: Scenario, mode: str, variant: str, user: int | None, home: Path
) -> None:
    """A program finds its state as it was, and looks the same from outside."""
    modes.run(scenario, variant, mode, user, home)
