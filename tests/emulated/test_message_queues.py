"""POSIX message queues of guests that tell a process of their messages."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness import commands, crossing, modes, seeds
from harness.programs import EVERY_ARCH, Scenario, build
from harness.subject import Subject

SCENARIO = Scenario("mqueue_notifies")
CHOICES = [(variant, mode) for variant in EVERY_ARCH for mode in modes.MODES[:3]]
NOT_SUPPORTED = 52
SOURCES = Path(__file__).parent / "programs"
VARIANT = seeds.sample("told outside", EVERY_ARCH, 1)[0]


@pytest.mark.parametrize(("variant", "mode"), seeds.sample("notified", CHOICES, 2))
def test_queue_tells_of_its_messages(
    variant: str, mode: str, user: int | None, home: Path
) -> None:
    """By a signal, once; that it will is saved as well."""
    modes.run(SCENARIO, variant, mode, user, home, emulated=True)


@pytest.mark.parametrize("user_name", list(commands.users())[-1:], indirect=True)
def test_queue_tells_of_its_messages_natively(user: int | None, home: Path) -> None:
    """What a machine has saved of it is made by the kernel."""
    said = crossing.run(SCENARIO, "musl", user, home, emulated=True)

    assert said.endswith(b"ok\n")


def test_notified_process_outside_is_refused(user: int | None, home: Path) -> None:
    """By name, where it is not among those that are saved."""
    program = build("notified", VARIANT, SOURCES)
    with Subject([program], cwd=home, user=user, emulated=True) as subject:
        subject.ready()
        alone = ("--pid", f"{subject.pid}:1001", "-f", str(home / "context"))
        done = commands.call("checkpoint", *alone, user=user, cwd=home)

        assert done.returncode == NOT_SUPPORTED
        assert "notifies process 1000, which is outside" in done.stderr
        subject.tell()
        assert subject.finish().endswith(b"ok\n")
