"""
The messages of POSIX message queues.

They cannot be looked at.  So they are taken and put back at once, in their order, while
the processes stand still: by a child of ours, which nothing but SIGKILL keeps from
doing both.

Source: mq_overview(7), mq_receive(3), mq_send(3).
"""

from __future__ import annotations

import ctypes
import os
import signal
import time
from collections.abc import Sequence

from blcr.errors import HostError

Messages = tuple[tuple[int, bytes], ...]
"""Priority and text of each, in the order in which they are received."""

_PATIENCE_S, _LOOK_S = 5.0, 0.001
_libc = ctypes.CDLL(None, use_errno=True)
_libc.mq_receive.restype = ctypes.c_ssize_t
_libc.mq_receive.argtypes = (
    *(ctypes.c_int, ctypes.c_void_p, ctypes.c_size_t),
    ctypes.POINTER(ctypes.c_uint),
)
_libc.mq_send.argtypes = (
    *(ctypes.c_int, ctypes.c_char_p, ctypes.c_size_t, ctypes.c_uint),
)


def reopened(path: str) -> int:
    """
    Return a descriptor of ours for a queue, which a path in /proc leads to.

    Raises:
        OSError: It may not be read, or written to.
    """
    return os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)


def look(queue: int, size: int) -> Messages:
    """
    Return the messages of a queue, of at most `size` bytes each, which stay in it.

    Raises:
        HostError: That did not succeed.
    """
    import pickle

    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.setsid()
            signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
            found = take(queue, size)
            send(queue, found)
            with open(writer, "wb") as file:
                file.write(pickle.dumps(found))
        finally:
            os._exit(0)
    os.close(writer)
    with open(reader, "rb") as file:
        data = file.read()
    os.waitpid(child, 0)
    if not data:
        raise HostError("the messages of a message queue cannot be looked at")
    seen: Messages = pickle.loads(data)
    return seen


def take(queue: int, size: int) -> Messages:
    """Take all messages from a queue."""
    room, priority = ctypes.create_string_buffer(size), ctypes.c_uint()
    found: list[tuple[int, bytes]] = []
    while True:
        count = _libc.mq_receive(queue, room, size, ctypes.byref(priority))
        if count < 0:
            return tuple(found)
        found.append((priority.value, room.raw[:count]))


def send(queue: int, messages: Sequence[tuple[int, bytes]]) -> None:
    """
    Put messages into a queue.

    Raises:
        OSError: There is no room for them.
    """
    deadline = time.monotonic() + _PATIENCE_S
    for priority, text in messages:
        while _libc.mq_send(queue, text, len(text), priority):
            code = ctypes.get_errno()
            if time.monotonic() > deadline:
                raise OSError(code, os.strerror(code))
            time.sleep(_LOOK_S)
