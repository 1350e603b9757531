"""
System calls in the name of a task, with arguments that live in its memory.

`call` takes numbers, bytes that it places in the task's scratch memory, and `Out` for
memory that the call fills.  Structures come packed, from `blcr.linux.structures`.
"""

from __future__ import annotations

from blcr.architecture import Arch
from blcr.errors import RemoteCallError
from blcr.host.interface import SCRATCH_SIZE, Task

_ALIGNMENT = 16


class Out:
    """Room for `size` bytes that a call writes; `data` holds them afterwards."""

    def __init__(self, size: int, data: bytes = b"") -> None:
        self.size = size
        self.data = data.ljust(size, b"\0")


def call(task: Task, name: str, *args: int | bytes | str | Out) -> int:
    """
    Make one system call and return its result.

    Args:
        task: In whose name.
        name: The call, as the architecture's table has it.
        args: Numbers as they are; bytes and text (NUL-terminated) as addresses of a
            copy; an `Out` as the address of its room, preset with its data.

    Raises:
        RemoteCallError: It failed; the message shows text arguments.
        TaskGoneError: The task was killed meanwhile.
    """
    numbers: list[int] = []
    outs: list[tuple[int, Out]] = []
    at = 0
    for arg in args:
        if isinstance(arg, int):
            numbers.append(arg)
            continue
        if isinstance(arg, Out):
            data = arg.data
            outs.append((at, arg))
        else:
            data = arg if isinstance(arg, bytes) else _text(arg)
        if at + len(data) > SCRATCH_SIZE:
            raise ValueError(f"arguments of {name} take more than {SCRATCH_SIZE} bytes")
        task.process.write(task.scratch + at, data)
        numbers.append(task.scratch + at)
        at += -(-len(data) // _ALIGNMENT) * _ALIGNMENT
    try:
        result = task.call(name, *numbers)
    except RemoteCallError as error:
        shown = ", ".join(repr(arg) for arg in args if isinstance(arg, str))
        raise RemoteCallError(error.pid, name, error.errno, detail=shown) from error
    for offset, out in outs:
        out.data = task.process.read(task.scratch + offset, out.size)
    return result


def halves(arch: Arch, value: int) -> tuple[int, ...]:
    """
    Return a 64-bit number as arguments: one, or two where registers have 32 bits.

    Where the ABI wants such pairs in even registers a filler comes first.
    """
    if arch.word_size == 8:
        return (value,)
    low, high = value & 0xFFFF_FFFF, value >> 32 & 0xFFFF_FFFF
    pair = (low, high) if arch.layout.byteorder == "little" else (high, low)
    return (0,) * arch.constants.get("LONG_LONG_PAIR_PAD", 0) + pair


def _text(text: str) -> bytes:
    """Return a path as C has it."""
    return text.encode(errors="surrogateescape") + b"\0"
