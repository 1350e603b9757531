"""Sets of pages as runs, against sets of numbers."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from blcr.host import runs
from blcr.host.interface import Run

PAGES = st.sets(st.integers(0, 30), max_size=20)


def _runs(pages: set[int]) -> list[Run]:
    """Return pages as runs, neighbours joined."""
    return list(runs.join(Run(page, page + 1) for page in sorted(pages)))


def _pages(found: Sequence[Run]) -> set[int]:
    """Return the pages of runs, which are in order and apart."""
    assert all(run.start < run.end for run in found)
    assert all(one.end <= two.start for one, two in pairwise(found))
    return {page for run in found for page in range(run.start, run.end)}


@given(PAGES, PAGES)
def test_runs_are_sets_of_pages(some: set[int], others: set[int]) -> None:
    """What is in both, in one but not the other, and in any of them."""
    one, two = _runs(some), _runs(others)

    assert _pages(runs.common(one, two)) == some & others
    assert _pages(runs.without(one, two)) == some - others
    assert _pages(runs.union(one, two)) == some | others
    assert runs.size(one) == len(some)


def test_runs_near_each_other_are_joined() -> None:
    """Up to a gap of so many bytes."""
    apart = [Run(0, 2), Run(4, 5), Run(8, 9)]

    assert list(runs.join(apart, 2)) == [Run(0, 5), Run(8, 9)]
    assert list(runs.join(apart)) == apart
