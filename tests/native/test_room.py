"""Where in a program's memory the frame of an injected call may lie."""

from __future__ import annotations

import ctypes
import mmap
import os

import pytest

from blcr import registry
from blcr.host.native import injection, procfs
from blcr.host.native.memory import Memory

SIZE = 256 << 10
ELSEWHERE = [None, 4096]
"""The main thread has ended, or is on a stack that it has made itself."""


class Room:
    """Memory of our own that is taken for a program's stack and heap."""

    def __init__(self) -> None:
        self.stack = mmap.mmap(-1, SIZE)
        self.heap = mmap.mmap(-1, SIZE)
        self.ranges = [_part(self.stack, "[stack]"), _part(self.heap, "[heap]")]

    def path(self, main_sp: int | None) -> str | None:
        """Return the name of the memory that is found, or None."""
        arch = registry.find(*procfs.program_identity(os.getpid()))
        memory = Memory(os.getpid())
        area = injection.find_area(arch, memory, self.ranges, main_sp, 4096)
        memory.close()
        parts = [
            part.path
            for part in self.ranges
            if area and part.start <= area.start < area.end <= part.end
        ]
        return parts[0] if parts else None


def _part(memory: mmap.mmap, path: str) -> procfs.Range:
    """Return a line of a program's maps."""
    start = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    end = start + len(memory)
    return procfs.Range(start, end, "rw-p", 0, (0, 0), 0, path, frozenset())


@pytest.fixture
def room() -> Room:
    """Memory that nobody has written to."""
    return Room()


@pytest.mark.parametrize("main_sp", ELSEWHERE)
def test_bottom_of_a_stack_is_free_if_never_written_to(
    main_sp: int | None, room: Room
) -> None:
    """Zeros in it say so where no stack pointer does."""
    assert room.path(main_sp) == "[stack]"


@pytest.mark.parametrize("main_sp", ELSEWHERE)
def test_bottom_of_a_stack_may_be_in_use_without_a_pointer(
    main_sp: int | None, room: Room
) -> None:
    """Frames that a coroutine has left there are as alive as it is."""
    room.stack[:SIZE] = b"frame of" * (SIZE // 8)
    assert room.path(main_sp) == "[heap]"
    room.heap[SIZE - 1] = 1
    assert room.path(main_sp) is None


def test_what_lies_far_below_the_pointer_is_free(room: Room) -> None:
    """Calls that have returned left it there."""
    room.stack[:SIZE] = b"returned" * (SIZE // 8)
    stack = room.ranges[0]
    assert room.path(stack.end - 4096) == "[stack]"
    assert room.path(stack.start + 4096) == "[heap]"
