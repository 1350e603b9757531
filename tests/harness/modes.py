"""
The modes in which every test program runs.

``none`` proves the test, ``continue`` that a checkpoint does no harm, ``restart`` the
point, ``again`` that a restarted process is as good as new.  In each the program judges
itself, and it is compared from outside with what it was before.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from harness import outside
from harness.programs import Scenario, build
from harness.subject import Subject, SubjectError

CYCLES = 5

AWAY_S, AGAIN_AWAY_S = 0.3, 0.05
"""How long nobody is there before the first restart, and before further ones."""


def run(
    scenario: Scenario,
    variant: str,
    mode: str,
    user: int | None,
    cwd: Path,
    *,
    emulated: bool = False,
) -> None:
    """
    Run a program in a mode, natively or emulated.

    Raises:
        SubjectError: It, or a command, did not do what it should.
    """
    if mode == "again":
        scenario = scenario.lasting(4 * scenario.duration_s)
    args: list[str | Path] = [build(scenario.program, variant), *scenario.args]
    began = time.monotonic()
    with Subject(args, cwd=cwd, user=user, emulated=emulated) as subject:
        subject.ready()
        away_s = _MODES[mode](subject, scenario, began)
        if not scenario.duration_s:
            subject.tell(int(away_s * 1000))
        said = subject.finish().split(b"\n")
    if said[-2:] != [b"ok", b""]:
        raise SubjectError(f"the program says {said}")


def _none(_subject: Subject, _case: Scenario, _began: float) -> float:
    return 0


def _continue(subject: Subject, scenario: Scenario, began: float) -> float:
    _wait_a_third(scenario, began)
    before = outside.view(subject.pid)
    subject.checkpoint()
    _compare(before, subject, scenario)
    return 0


def _restart(subject: Subject, scenario: Scenario, began: float) -> float:
    _wait_a_third(scenario, began)
    return _cycle(subject, scenario, AWAY_S)


def _again(subject: Subject, scenario: Scenario, _began: float) -> float:
    away_s = (AWAY_S, *(AGAIN_AWAY_S for _ in range(CYCLES - 1)))
    return sum(_cycle(subject, scenario, one) for one in away_s)


_MODES: dict[str, Callable[[Subject, Scenario, float], float]] = {
    "none": _none,
    "continue": _continue,
    "restart": _restart,
    "again": _again,
}

MODES = tuple(_MODES)


def _wait_a_third(scenario: Scenario, began: float) -> None:
    """Let part of a timeout pass, to see that it is not begun again."""
    time.sleep(max(0, began + scenario.duration_s / 3 - time.monotonic()))


def _cycle(subject: Subject, scenario: Scenario, away_s: float) -> float:
    """Checkpoint, kill, stay away, restart; return how long nobody was there."""
    before = outside.view(subject.pid)
    path = subject.checkpoint_and_kill()
    time.sleep(away_s)
    subject.restart(path)
    path.unlink()
    _compare(before, subject, scenario)
    return away_s


def _compare(before: outside.View, subject: Subject, scenario: Scenario) -> None:
    """Compare with before, unless it may have moved on meanwhile."""
    if scenario.duration_s or subject.emulated:
        return
    if outside.is_traced(subject.pid):
        raise SubjectError("still traced")
    after = outside.view(subject.pid)
    if scenario.remade:
        after = after._replace(maps=before.maps)
    if lost := outside.differences(before, after):
        raise SubjectError("differs from outside: " + "; ".join(lost))
