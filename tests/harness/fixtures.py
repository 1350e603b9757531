"""The fixtures of all tests with real processes; a folder's conftest imports them."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness import commands, seeds, staging
from harness.subject import become_subreaper


@pytest.fixture(scope="session", autouse=True)
def session() -> Iterator[None]:
    """Take in orphans; remove what was copied for other users."""
    become_subreaper()
    yield
    staging.discard()


@pytest.fixture
def user_name(request: pytest.FixtureRequest) -> str:
    """``root`` or ``user``; tests that do not say are what they can be."""
    return str(getattr(request, "param", next(iter(commands.users()))))


@pytest.fixture
def user(user_name: str) -> int | None:
    """The user id that programs and commands get; None is our own."""
    return commands.users()[user_name]


@pytest.fixture
def home(user: int | None) -> Iterator[Path]:
    """An empty folder that belongs to the user and that the user can reach."""
    folder = Path(tempfile.mkdtemp(prefix="blcr-"))
    if user is not None:
        os.chown(folder, user, user)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say how to repeat this run."""
    terminalreporter.write_line(f"repeat with BLCR_SEED={seeds.SEED}")
