"""What is written behind comes in order, whole, or the error comes."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from blcr.engine.behind import CHUNK, Behind

LARGE = 64 * CHUNK
"""Announced, a size with which there is a thread."""


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(1, 64), max_size=40), st.sampled_from([0, LARGE]))
def test_all_comes_in_order(sizes: list[int], announced: int) -> None:
    """However often a buffer is used again, what was put into it has been passed on."""
    came = bytearray()
    sent = bytearray()

    with Behind(announced) as behind:
        for number, size in enumerate(sizes):
            data = bytes([number]) * size
            behind.buffer()[:size] = data
            behind.put(size, came.extend)
            sent += data

    assert came == sent


@pytest.mark.parametrize("announced", [0, LARGE])
@pytest.mark.parametrize("at", [0, 1, 5, 9])
def test_an_error_comes_to_the_reader(at: int, announced: int) -> None:
    """Nothing is passed on after it."""
    came: list[int] = []

    def write(_data: memoryview) -> None:
        came.append(len(came))
        if len(came) > at:
            raise OSError(28, "full")

    def read() -> None:
        with Behind(announced) as behind:
            for _ in range(10):
                behind.buffer()
                behind.put(1, write)

    with pytest.raises(OSError, match="full"):
        read()

    assert len(came) == at + 1


def test_an_error_of_the_reader_is_the_one_that_counts() -> None:
    """What was put before it is passed on nevertheless."""
    came: list[int] = []

    def read() -> None:
        with Behind(LARGE) as behind:
            for _ in range(2):
                behind.buffer()
                behind.put(1, lambda data: came.append(len(data)))
            raise ProcessLookupError

    with pytest.raises(ProcessLookupError):
        read()

    assert came == [1, 1]
