"""Copying pages of a process, and shared memory, into a context."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial

from blcr.annotations import Protocol
from blcr.engine.behind import CHUNK, Behind
from blcr.host.interface import Contents, Process, Run, Tracking
from blcr.host.runs import join
from blcr.resources.objects import Saved

_PIECE = 64 << 10
"""Bytes that are left out together where they are zero."""
_ZERO = bytes(_PIECE)

Advance = Callable[[int], None]
"""Told how many more bytes are done."""


class Sink(Protocol):
    """Takes pages: the core of a process in a context being written."""

    def gathered(self, runs: Iterable[Run], data: memoryview) -> None:
        """Append pages, one run behind the other."""


class Stream(Protocol):
    """Takes bytes: a member for shared memory."""

    def write(self, data: memoryview) -> None:
        """Append bytes."""


def copy(
    process: Process,
    runs: Sequence[Run],
    behind: Behind,
    sink: Callable[[], Sink],
    advance: Advance,
) -> None:
    """Copy the pages of `runs`; small ones are read and written together."""
    for gathered, size in _gathered(join(runs)):
        buffer = behind.buffer(size)
        process.read_runs(gathered, buffer)
        behind.put(buffer, partial(_append, sink, gathered))
        advance(size)


def _gathered(runs: Iterable[Run]) -> Iterator[tuple[list[Run], int]]:
    """Yield runs, and their bytes, that together are at most `CHUNK`."""
    gathered: list[Run] = []
    filled = 0
    for part in _parts(runs):
        size = part.end - part.start
        if filled + size > CHUNK:
            yield gathered, filled
            gathered, filled = [], 0
        gathered.append(part)
        filled += size
    if gathered:
        yield gathered, filled


def _parts(runs: Iterable[Run]) -> Iterator[Run]:
    """Yield runs in parts of at most `CHUNK` bytes."""
    for run in runs:
        for start in range(run.start, run.end, CHUNK):
            yield Run(start, min(start + CHUNK, run.end))


def copy_running(
    tracking: Tracking,
    runs: Sequence[Run],
    behind: Behind,
    sink: Callable[[], Sink],
    advance: Advance,
) -> list[Run]:
    """Copy pages of a running process; return those that were still there."""
    copied = []
    for part in _parts(runs):
        size = part.end - part.start
        buffer = behind.buffer(size)
        try:
            tracking.read_into(part.start, buffer)
        except OSError:
            continue
        behind.put(buffer, partial(_append, sink, [part]))
        copied.append(part)
        advance(size)
    return copied


def _append(sink: Callable[[], Sink], gathered: list[Run], data: memoryview) -> None:
    sink().gathered(gathered, data)


def copy_shared(
    shared: Saved, behind: Behind, begin: Callable[[], Stream], advance: Advance
) -> tuple[tuple[int, int], ...]:
    """Copy shared memory but for what is zero; return (offset, length) of the rest."""

    def read(offset: int, buffer: memoryview) -> None:
        shared.process.read_object(shared.identity, offset, buffer)

    return _copy_but_zero(read, shared.runs, behind, begin, advance)


def copy_file(
    contents: Contents, behind: Behind, begin: Callable[[], Stream], advance: Advance
) -> tuple[tuple[int, int], ...]:
    """Copy a file but for what is zero; return (offset, length) of the rest."""

    def read(offset: int, buffer: memoryview) -> None:
        done = os.preadv(contents.fd, [buffer], offset)
        # Nobody but its process could have made it shorter.
        buffer[done:] = bytes(len(buffer) - done)

    return _copy_but_zero(read, contents.runs, behind, begin, advance)


def _copy_but_zero(
    read: Callable[[int, memoryview], None],
    runs: Sequence[Run],
    behind: Behind,
    begin: Callable[[], Stream],
    advance: Advance,
) -> tuple[tuple[int, int], ...]:
    """Copy runs of an object but for what is zero."""
    kept: list[tuple[int, int]] = []
    stream = behind.in_turn(begin)
    for start, end in _parts(runs):
        part = behind.buffer(end - start)
        read(start, part)
        pieces = list(_not_zero(part))
        behind.put(part, partial(_write, stream, pieces))
        advance(len(part))
        for offset, size in pieces:
            if kept and sum(kept[-1]) == start + offset:
                kept[-1] = (kept[-1][0], kept[-1][1] + size)
            else:
                kept.append((start + offset, size))
    return tuple(kept)


def _not_zero(data: memoryview) -> Iterator[tuple[int, int]]:
    """Yield (offset, length) of pieces that are not all zero."""
    begin = None
    for offset in range(0, len(data), _PIECE):
        is_zero = _ZERO.startswith(data[offset : offset + _PIECE])
        if not is_zero and begin is None:
            begin = offset
        elif is_zero and begin is not None:
            yield begin, offset - begin
            begin = None
    if begin is not None:
        yield begin, len(data) - begin


def _write(
    stream: Callable[[], Stream], pieces: list[tuple[int, int]], data: memoryview
) -> None:
    for offset, size in pieces:
        stream().write(data[offset : offset + size])
