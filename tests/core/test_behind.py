"""What is written behind comes in order, whole, or the error comes."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from blcr.engine.behind import CHUNK, WORTH, Behind

MUCH = WORTH // CHUNK
"""Whole buffers with which there is a thread."""


def put(behind: Behind, data: bytes, came: list[bytes]) -> None:
    """Put data into the next buffer."""
    buffer = behind.buffer(len(data))
    buffer[:] = data
    behind.put(buffer, lambda view: came.append(bytes(view)))


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.integers(0, 64) | st.just(CHUNK), max_size=40),
    st.sampled_from([0, MUCH]),
)
def test_all_comes_in_order(sizes: list[int], before: int) -> None:
    """However often a buffer is used again, what was put into it has been passed on."""
    sent = [b"x" * CHUNK] * before
    sent += [bytes([number]) * size for number, size in enumerate(sizes)]
    came: list[bytes] = []

    with Behind() as behind:
        for data in sent:
            put(behind, data, came)

    assert came == sent


@pytest.mark.parametrize("before", [0, MUCH])
def test_things_are_made_in_their_turn(before: int) -> None:
    """What is made between two writes is there for the later one."""
    steps: list[str] = []

    with Behind() as behind:
        for _ in range(before):
            put(behind, b"x" * CHUNK, [])
        behind.put(behind.buffer(1), lambda _data: steps.append("first"))
        made = behind.in_turn(lambda: f"made as number {len(steps)}")
        behind.put(behind.buffer(1), lambda _data: steps.append(made()))
        behind.do(lambda: steps.append("done"))

    assert steps == ["first", "made as number 1", "done"]


def test_a_little_is_passed_on_in_the_end() -> None:
    """Nobody waits for its writing while it is read."""
    came: list[bytes] = []

    with Behind() as behind:
        put(behind, b"a", came)
        put(behind, b"b", came)
        assert not came
        behind.finish()
        assert came == [b"a", b"b"]


@pytest.mark.parametrize("before", [0, MUCH])
@pytest.mark.parametrize("at", [0, 1, 5, 9])
def test_an_error_comes_to_the_reader(at: int, before: int) -> None:
    """Nothing is passed on after it."""
    came: list[int] = []

    def write(_data: memoryview) -> None:
        came.append(len(came))
        if len(came) > at:
            raise OSError(28, "full")

    def read() -> None:
        with Behind() as behind:
            for _ in range(before):
                put(behind, b"x" * CHUNK, [])
            for _ in range(10):
                behind.put(behind.buffer(1), write)

    with pytest.raises(OSError, match="full"):
        read()

    assert len(came) == at + 1


@pytest.mark.parametrize("before", [0, MUCH])
def test_an_error_of_the_reader_is_the_one_that_counts(before: int) -> None:
    """What was put and has not been passed on is given up."""

    def read() -> None:
        with Behind() as behind:
            for _ in range(before):
                put(behind, b"x" * CHUNK, [])
            raise ProcessLookupError

    with pytest.raises(ProcessLookupError):
        read()
