"""Every program, in every mode, on the emulated host, for every architecture."""

from __future__ import annotations

from pathlib import Path

import pytest
from _pytest.mark import ParameterSet

from harness import commands, modes, seeds
from harness.programs import EVERY_ARCH, SCENARIOS, Scenario, build
from harness.subject import Subject

HOST_ONLY = frozenset(
    """
    file_owner file_unlinked terminal_pair file_names file_locks fifo timerfd inotify
    pidfd epoll_nested memory_file memory_droppable memory_huge_pages mapping_gone
    signal_queued timer_posix credentials root_directory process_modes aio_contexts
    aio_transfers
    """.split()
)
"""Programs about what only a real kernel has, or forks."""

CROSSING = {"static": "x86-64-v2", "musl": "x86-64-v2", "m32-static": "i686"}
"""CPU levels for native programs that shall be restarted anywhere."""


def _combinations() -> list[ParameterSet]:
    """Return all combinations, or for each program one architecture and mode."""
    found: list[ParameterSet] = []
    for scenario in SCENARIOS:
        if scenario.program in HOST_ONLY or scenario.children:
            continue
        choices = [
            (variant, mode)
            for variant in EVERY_ARCH
            for mode in modes.modes_of(scenario)[1:]
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


IN_VDSO = frozenset({"clock_vdso"})
"""Programs that may be caught in the code of a kernel that is not there any more."""

CROSSED = [
    scenario
    for scenario in SCENARIOS
    if scenario.program not in HOST_ONLY | IN_VDSO and not scenario.children
]


@pytest.mark.parametrize("variant", list(CROSSING))
@pytest.mark.parametrize(
    "scenario", seeds.sample("crossing", CROSSED, 3), ids=lambda s: s.name
)
def test_program_crosses_to_emulation_and_back(
    scenario: Scenario, variant: str, user: int | None, home: Path
) -> None:
    """A native program goes on emulated, and natively again."""
    scenario = scenario.lasting(4)
    program = build(scenario.program, variant)
    level = CROSSING[variant]
    args = commands.argv("run", "--cpu", level, program, *scenario.args, user=user)
    with Subject(args, cwd=home, user=user) as subject:
        subject.executable = str(program)
        subject.ready()
        for emulated in (True, False):
            path = subject.checkpoint_and_kill()
            subject.emulated = emulated
            subject.restart(path)
        if not scenario.duration_s:
            subject.tell()

        assert subject.finish().endswith(b"ok\n")
