"""
System calls in the name of a task, with arguments that live in its memory.

`call` takes numbers, bytes that it places in the task's scratch memory, and `Out` for
memory that the call fills.  Structures come packed, from `blcr.linux.structures`.
"""

from __future__ import annotations

from collections.abc import Callable

from blcr.architecture import Arch
from blcr.errors import RemoteCallError
from blcr.host.interface import SCRATCH_SIZE, Call, NewProcess, Run, Task
from blcr.record import Record

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
    Return a 64-bit number as second or fourth argument: one, or two of 32 bits.

    Where the ABI wants such pairs in even registers, as 64-bit numbers are aligned, a
    filler comes first; asm/unistd.h.
    """
    if arch.word_size == 8:
        return (value,)
    low, high = value & 0xFFFF_FFFF, value >> 32 & 0xFFFF_FFFF
    pair = (low, high) if arch.layout.byteorder == "little" else (high, low)
    return (0, *pair) if arch.layout.align_8 == 8 else pair


def _text(text: str) -> bytes:
    """Return a path as C has it."""
    return text.encode(errors="surrogateescape") + b"\0"


class _Added(Record):
    """A call of a batch: what it calls itself in messages, and who wants to know."""

    call: Call
    shown: str
    done: Callable[[int], object] | None
    failed: Callable[[RemoteCallError], object] | None


class Batch:
    """
    Calls of a process that is being made, collected to be made together.

    None of them may need what another one returns.

    Args:
        process: In the name of whose first task they are made.
    """

    def __init__(self, process: NewProcess) -> None:
        self._process = process
        self._added: list[_Added] = []
        self._data = bytearray()

    def add(
        self,
        name: str,
        *args: int | bytes | str,
        done: Callable[[int], object] | None = None,
        failed: Callable[[RemoteCallError], object] | None = None,
    ) -> None:
        """
        Add a call.

        Args:
            name: As of `call`; so are `args`, which are together a page at most.
            args: Numbers, bytes and text.
            done: Given its result by `make`.
            failed: Given the error, which else is raised; if it returns, the calls that
                follow are made, too.
        """
        pieces = [_text(arg) if isinstance(arg, str) else arg for arg in args]
        room = self._process.room
        place = room or _scratch(self._process)
        start, free = place.start, place.end - place.start
        size = sum(_room(piece) for piece in pieces if isinstance(piece, bytes))
        if len(self._data) + size > free:
            self.make()
        numbers = []
        for piece in pieces:
            if isinstance(piece, bytes):
                numbers.append(start + len(self._data))
                self._data += piece.ljust(_room(piece), b"\0")
            else:
                numbers.append(piece)
        shown = ", ".join(repr(arg) for arg in args if isinstance(arg, str))
        self._added.append(_Added((name, tuple(numbers)), shown, done, failed))
        if not room:
            self.make()

    def make(self) -> None:
        """
        Make the calls that have been added.

        Raises:
            RemoteCallError: One failed, and those behind it were not made.
            TaskGoneError: The process was killed meanwhile.
        """
        added, self._added = self._added, []
        data, self._data = bytes(self._data), bytearray()
        process = self._process
        if data:
            process.write((process.room or _scratch(process)).start, data)
        while added:
            results = process.call_all([one.call for one in added])
            for one, result in zip(added, results, strict=False):
                if result >= 0:
                    if one.done:
                        one.done(result)
                    continue
                error = RemoteCallError(
                    process.pid, one.call[0], -result, detail=one.shown
                )
                if one.failed is None:
                    raise error
                one.failed(error)
            added = added[len(results) :]


def _scratch(process: NewProcess) -> Run:
    """Return the memory for the arguments of one call."""
    start = process.tasks[0].scratch
    return Run(start, start + SCRATCH_SIZE)


def _room(data: bytes) -> int:
    """Return the bytes that an argument takes."""
    return -(-len(data) // _ALIGNMENT) * _ALIGNMENT
