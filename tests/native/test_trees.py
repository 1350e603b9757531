"""Trees of processes drawn by chance, which know what they must find again."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness import commands, modes, seeds
from harness.programs import Scenario

COUNT = 150 if seeds.FULL else 6
CHANCE = seeds.generator("trees")
DRAWN = [
    (CHANCE.getrandbits(64), mode, user)
    for _ in range(COUNT)
    for mode in ("continue", "again")
    for user in commands.users()
]


@pytest.mark.parametrize(("number", "mode", "user_name"), DRAWN, indirect=["user_name"])
def test_drawn_tree_finds_everything_again(
    number: int, mode: str, user: int | None, home: Path
) -> None:
    """Who is whose child, in which group, ended or stopped, and what they share."""
    scenario = Scenario("tree_random", (str(number),), remade=True)
    modes.run(scenario, "dynamic", mode, user, home)


@pytest.mark.timeout(600)
def test_many_processes_are_restarted(home: Path) -> None:
    """Each with pipes to its neighbours; in a full run more than have low numbers."""
    count = 600 if seeds.FULL else 40
    scenario = Scenario("tree_wide", (str(count),))
    modes.run(scenario, "dynamic", "restart", None, home)
