"""Programs under seccomp: root saves them, nobody harms them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from harness import commands, modes, seeds
from harness.programs import Scenario, build
from harness.subject import Subject

REFUSED = 52
SCENARIOS = (
    Scenario("seccomp_filter"),
    Scenario("seccomp_shared"),
    Scenario("seccomp_strict"),
    Scenario("seccomp_sleep", ("nanosleep", "2.5"), duration_s=2.5),
)
CASES = [
    (scenario, variant)
    for scenario in SCENARIOS
    for variant in ("dynamic", "static", "m32")
]


@pytest.mark.parametrize("mode", modes.MODES[1:])
@pytest.mark.parametrize(
    ("scenario", "variant"),
    seeds.sample("seccomp", CASES, 2),
    ids=lambda one: getattr(one, "name", one),
)
def test_filters_are_kept(
    scenario: Scenario, variant: str, mode: str, home: Path
) -> None:
    """As root a program finds its filters, and calls that they forbid harm nothing."""
    if os.geteuid() != 0:
        pytest.skip("not applicable: only root may look at filters")

    modes.run(scenario, variant, mode, None, home)


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda one: one.name)
@pytest.mark.parametrize(
    "user_name", [name for name in commands.users() if name != "root"], indirect=True
)
def test_ordinary_user_is_refused(
    scenario: Scenario, user: int | None, home: Path
) -> None:
    """Without the right to look at filters nothing is done to the program."""
    with Subject([build(scenario.program), *scenario.args], cwd=home, user=user) as one:
        one.ready()

        done = commands.call("checkpoint", str(one.pid), user=user, cwd=home)

        assert done.returncode == REFUSED
        assert "runs under seccomp, and only root" in done.stderr
        if not scenario.duration_s:
            one.tell()
        assert one.finish().endswith(b"ok\n")


def test_root_saves_programs_of_others(home: Path) -> None:
    """Saved by root, a user's program is under its filters again, and its user's."""
    users = commands.users()
    if "root" not in users or "user" not in users:
        pytest.skip("not applicable: only root becomes another user")
    user = users["user"]
    assert user is not None
    home.chmod(0o777)
    with Subject([build("seccomp_shared")], cwd=home, user=user) as subject:
        subject.ready()
        context = home / "context"
        pid = str(subject.pid)

        done = commands.call("checkpoint", "-f", str(context), pid, cwd=home)
        refused = commands.call("restart", "--check", str(context), cwd=home)

        assert done.returncode == 0, done.stderr
        assert refused.returncode == 0, refused.stderr
        context.chmod(0o644)
        refused = commands.call("restart", str(context), user=user, cwd=home)
        assert refused.returncode != 0
        assert "runs under seccomp, which takes root" in refused.stderr
        subject.tell()
        assert subject.finish().endswith(b"ok\n")
