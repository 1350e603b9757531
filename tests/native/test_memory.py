"""Memory that takes more than a program: of the machine, or of a second file."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness import commands, modes
from harness.programs import Scenario

EVERY_USER = pytest.mark.parametrize("user_name", list(commands.users()), indirect=True)
HUGE_PAGES = Path("/proc/sys/vm/nr_hugepages")


@pytest.fixture
def huge_pages() -> Iterator[None]:
    """Have the machine set some huge pages aside, more than the program needs."""
    if os.geteuid() != 0 or not HUGE_PAGES.exists():
        pytest.skip("kernel: only root sets huge pages aside")
    before = HUGE_PAGES.read_text()
    HUGE_PAGES.write_text(str(int(before) + 6))
    yield
    HUGE_PAGES.write_text(before)


@EVERY_USER
@pytest.mark.parametrize("mode", ["none", "continue", "restart"])
@pytest.mark.parametrize("variant", ["dynamic", "m32"])
@pytest.mark.usefixtures("huge_pages")
def test_huge_pages(mode: str, variant: str, user: int | None, home: Path) -> None:
    """Pages of hugetlbfs come back as such."""
    modes.run(Scenario("memory_huge_pages"), variant, mode, user, home)
