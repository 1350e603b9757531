"""Writing behind: what has been read is written while more is being read, or later."""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType

from blcr.annotations import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from queue import SimpleQueue
    from threading import Thread
    from typing import TypeVar  # noqa: TID251

    T = TypeVar("T")

CHUNK = 1 << 20
"""Bytes written at a time: file systems put them into few large folios."""

_BUFFERS = 3
"""One being read into, one being written, one in between."""
WORTH = 8 * CHUNK
"""Bytes from which on another thread pays; fewer are kept until the end."""

Write = Callable[[memoryview], None]
_NOTHING = memoryview(b"")


class Behind:
    """
    Passes on what is put into its buffers, in order.

    The program that is read from stands still meanwhile and waits for no writing: a
    little is passed on in the end (`finish`), much by a thread of its own.  A ``with``
    statement ends with that, or, by an error, without.
    """

    def __init__(self) -> None:
        self._spare = memoryview(bytearray(CHUNK))
        self._kept: list[tuple[memoryview, Write]] = []
        self._size = 0
        self._thread: Thread | None = None
        self._free: SimpleQueue[memoryview]
        self._full: SimpleQueue[tuple[memoryview, Write, memoryview | None] | None]
        self._error: BaseException | None = None

    def __enter__(self) -> Self:
        return self

    def buffer(self, size: int) -> memoryview:
        """
        Return the buffer to fill, and put, next: some bytes, at most `CHUNK`.

        Raises:
            BlcrError: A function that data was put for has failed: its error.
        """
        if self._thread:
            if len(self._spare) < CHUNK:
                self._spare = self._free.get()
            if self._error:
                raise self._error
        elif len(self._spare) < size:
            self._spare = memoryview(bytearray(CHUNK))
        return self._spare[:size]

    def put(self, data: memoryview, write: Write) -> None:
        """Have what the buffer is filled with passed on to a function."""
        if self._thread:
            self._full.put((data, write, self._spare))
            self._spare = self._spare[:0]
            return
        self._spare = self._spare[len(data) :]
        self._kept.append((data, write))
        self._size += len(data)
        if self._size >= WORTH:
            self._start()

    def in_turn(self, make: Callable[[], T]) -> Callable[[], T]:
        """Have something made in its turn; return a function that gives it later on."""
        made: list[T] = []
        self.do(lambda: made.append(make()))
        return lambda: made[0]

    def do(self, action: Callable[[], None]) -> None:
        """Have something done in its turn."""
        if self._thread:
            self._full.put((_NOTHING, lambda _nothing: action(), None))
        else:
            self._kept.append((_NOTHING, lambda _nothing: action()))

    def finish(self) -> None:
        """
        Pass on what is left; there must be no error before.

        Raises:
            BlcrError: A function has failed.
        """
        self._end()
        if self._error:
            raise self._error
        kept, self._kept = self._kept, []
        for data, write in kept:
            write(data)

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        if error is None:
            self.finish()
            return
        self._error = self._error or error
        self._end()

    def _start(self) -> None:
        """Start the thread."""
        from queue import SimpleQueue
        from threading import Thread

        self._free, self._full = SimpleQueue(), SimpleQueue()
        for data, write in self._kept:
            self._full.put((data, write, None))
        self._kept = []
        for _ in range(_BUFFERS):
            self._free.put(memoryview(bytearray(CHUNK)))
        self._spare = self._spare[:0]
        self._thread = Thread(target=self._pass_on, daemon=True)
        self._thread.start()

    def _end(self) -> None:
        """Wait for the thread, which passes on what it has before an error."""
        if self._thread:
            self._full.put(None)
            self._thread.join()
            self._thread = None

    def _pass_on(self) -> None:
        while item := self._full.get():
            data, write, buffer = item
            try:
                if self._error is None:
                    write(data)
            except BaseException as error:
                self._error = error
            if buffer is not None:
                self._free.put(buffer)
