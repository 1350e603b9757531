"""Writing behind: what has been read is written while more is being read."""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType

from blcr.annotations import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from queue import SimpleQueue
    from threading import Thread

CHUNK = 1 << 20
"""Bytes written at a time: file systems put them into few large folios."""

_BUFFERS = 3
"""One being read into, one being written, one in between."""
_WORTH = 8 * CHUNK
"""Bytes from which on another thread pays."""

Write = Callable[[memoryview], None]


class Behind:
    """
    Passes on what is put into its buffers, in order, by a thread of its own.

    A little is passed on at once.  In a ``with`` statement, which ends when all has
    been passed on, or a function has failed; then it raises that error.

    Args:
        size: Bytes there will be.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._buffer: memoryview | None = None
        self._thread: Thread | None = None
        self._free: SimpleQueue[memoryview]
        self._full: SimpleQueue[tuple[memoryview, int, Write] | None]
        self._error: BaseException | None = None

    def __enter__(self) -> Self:
        """Start the thread."""
        if self._size < _WORTH:
            self._buffer = _buffer()
            return self
        from queue import SimpleQueue
        from threading import Thread

        self._free, self._full = SimpleQueue(), SimpleQueue()
        for _ in range(_BUFFERS):
            self._free.put(_buffer())
        self._thread = Thread(target=self._pass_on, daemon=True)
        self._thread.start()
        return self

    def buffer(self) -> memoryview:
        """
        Return the buffer to fill next, of `CHUNK` bytes.

        Raises:
            BlcrError: A function that data was put for has failed: its error.
        """
        if self._buffer is None:
            self._buffer = self._free.get()
        if self._error:
            raise self._error
        return self._buffer

    def put(self, size: int, write: Write) -> None:
        """Have the first bytes of the buffer passed on to a function."""
        assert self._buffer is not None, "no buffer was asked for"
        if self._thread is None:
            write(self._buffer[:size])
            return
        self._full.put((self._buffer, size, write))
        self._buffer = None

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        """Wait for the thread."""
        if self._thread is None:
            return
        self._full.put(None)
        self._thread.join()
        if self._error and error is None:
            raise self._error

    def _pass_on(self) -> None:
        while item := self._full.get():
            buffer, size, write = item
            try:
                if self._error is None:
                    write(buffer[:size])
            except BaseException as error:
                self._error = error
            self._free.put(buffer)


def _buffer() -> memoryview:
    return memoryview(bytearray(CHUNK))
