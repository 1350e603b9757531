"""Batches of calls: what is made, in which order, and what a failure stops."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import pytest

from blcr import remote
from blcr.errors import RemoteCallError
from blcr.host.interface import Call, NewProcess, Run

ENOENT = 2
COUNT = 7


class Made:
    """A process of which each call returns its number, or fails at some."""

    pid = 4711

    def __init__(self, room: int, failing: Sequence[int] = ()) -> None:
        self.room = Run(0x1000, 0x1000 + room)
        self.calls: list[tuple[str, object]] = []
        self._failing = failing
        self._memory: dict[int, bytes] = {}

    def write(self, address: int, data: bytes) -> None:
        """Note what lies in the room."""
        assert self.room.start <= address
        assert address + len(data) <= self.room.end
        self._memory = {
            address + at: data[at:].split(b"\0")[0] for at in range(0, len(data), 16)
        }

    def call_all(self, calls: Sequence[Call]) -> list[int]:
        """Make calls until one fails."""
        results = []
        for name, (number, address) in calls:
            self.calls.append((name, (number, self._memory[address])))
            results.append(-ENOENT if number in self._failing else number)
            if results[-1] < 0:
                break
        return results


def _batch(made: Made) -> remote.Batch:
    return remote.Batch(cast("NewProcess", made))


@pytest.mark.parametrize("room", [48, 4096])
def test_all_are_made_in_order(room: int) -> None:
    """Each call has its text, also where not all of it fits at once."""
    made, done = Made(room), list[int]()
    batch = _batch(made)

    for i in range(COUNT):
        batch.add("open", i, f"text {i}", done=done.append)
    batch.make()

    assert made.calls == [("open", (i, b"text %d" % i)) for i in range(COUNT)]
    assert done == list(range(COUNT))


@pytest.mark.parametrize("failing", range(COUNT))
def test_a_failure_names_its_call(failing: int) -> None:
    """What stands in front of it is done, what stands behind it is not made."""
    made, done = Made(4096, [failing]), list[int]()
    batch = _batch(made)
    for i in range(COUNT):
        batch.add("open", i, f"text {i}", done=done.append)

    with pytest.raises(RemoteCallError, match=f"open.*text {failing}"):
        batch.make()

    assert len(made.calls) == failing + 1
    assert done == list(range(failing))


def test_a_failure_that_is_no_matter_stops_nothing() -> None:
    """Where somebody takes the error the calls behind it are made, too."""
    made, errors = Made(4096, [0, 3, 4, COUNT - 1]), list[RemoteCallError]()
    batch = _batch(made)
    for i in range(COUNT):
        batch.add("open", i, "", failed=errors.append)
    batch.make()

    assert len(made.calls) == COUNT
    assert [error.errno for error in errors] == [ENOENT] * 4
