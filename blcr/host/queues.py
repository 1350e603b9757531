"""
POSIX message queues, and the messages in them.

These cannot be looked at.  So they are taken and put back at once, in their order,
while the processes stand still: by a child of ours, which nothing but SIGKILL keeps
from doing both.

Source: mq_overview(7), mq_open(3), mq_receive(3), mq_send(3), fstatfs(2).
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import time
from collections.abc import Sequence

from blcr.errors import HostError
from blcr.record import Record

Messages = tuple[tuple[int, bytes], ...]
"""Priority and text of each, in the order in which they are received."""

_MAGIC = 0x19800202
"""MQUEUE_MAGIC; linux/magic.h."""
_ATTRIBUTES = 8
"""Words of ``struct mq_attr``; linux/mqueue.h."""
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


class Attributes(Record):
    """How many messages of how many bytes fit in a queue, and are there."""

    most: int
    size: int
    waiting: int


def is_queue(ours: int) -> bool:
    """Tell whether an open file is a POSIX message queue."""
    room = ctypes.create_string_buffer(256)
    if _libc.fstatfs(ours, room):
        return False
    return int.from_bytes(room.raw[:4], sys.byteorder) == _MAGIC


def attributes(ours: int) -> Attributes:
    """Return what is told of a queue."""
    room = (ctypes.c_long * _ATTRIBUTES)()
    if _libc.mq_getattr(ours, room):
        code = ctypes.get_errno()
        raise HostError(f"mq_getattr: {os.strerror(code)}")
    _flags, most, size, count, *_rest = room
    return Attributes(most, size, count)


def open_queue(name: str, flags: int, mode: int, new: Sequence[int] | None) -> int:
    """
    Return a descriptor for a queue.

    Args:
        name: Without the slash before it.
        flags: ``O_*``.
        mode: Of a new one.
        new: How many messages of how many bytes fit in that; None: as is usual.

    Raises:
        OSError: It cannot be opened, or made.
    """
    room = (ctypes.c_long * _ATTRIBUTES)(0, *new) if new else None
    fd = int(_libc.mq_open(b"/" + os.fsencode(name), flags, mode, room))
    if fd < 0:
        raise _failed()
    return fd


def unlink(name: str) -> None:
    """
    Take a queue's name from it.

    Raises:
        OSError: There is none, or that is not permitted.
    """
    if _libc.mq_unlink(b"/" + os.fsencode(name)):
        raise _failed()


def _failed() -> OSError:
    code = ctypes.get_errno()
    return OSError(code, os.strerror(code))


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


def saved(path: str) -> Messages:
    """
    Return the messages of a queue, which a path in /proc leads to.

    Raises:
        OSError, HostError: That did not succeed.
    """
    queue = reopened(path)
    try:
        return look(queue, attributes(queue).size)
    finally:
        os.close(queue)


def fill(path: str, messages: Sequence[tuple[int, bytes]]) -> None:
    """
    Put messages into a queue, which a path in /proc leads to.

    Raises:
        OSError: It may not be opened, or there is no room for them.
    """
    queue = reopened(path)
    try:
        send(queue, messages)
    finally:
        os.close(queue)


def take(queue: int, size: int) -> Messages:
    """Take all messages from a queue."""
    found: list[tuple[int, bytes]] = []
    while True:
        try:
            found.append(receive_one(queue, size))
        except OSError:
            return tuple(found)


def receive_one(queue: int, size: int) -> tuple[int, bytes]:
    """
    Take the first message, of at most `size` bytes, from a queue that does not wait.

    Raises:
        OSError: EAGAIN, there is none; EMSGSIZE, there may be longer ones.
    """
    room, priority = ctypes.create_string_buffer(size), ctypes.c_uint()
    count = _libc.mq_receive(queue, room, size, ctypes.byref(priority))
    if count < 0:
        raise _failed()
    return priority.value, room.raw[:count]


def send_one(queue: int, priority: int, text: bytes) -> None:
    """
    Put a message into a queue that does not wait.

    Raises:
        OSError: EAGAIN, it is full; EMSGSIZE, the message is too long.
    """
    if _libc.mq_send(queue, text, len(text), priority):
        raise _failed()


def send(queue: int, messages: Sequence[tuple[int, bytes]]) -> None:
    """
    Put messages into a queue.

    Raises:
        OSError: There is no room for them.
    """
    deadline = time.monotonic() + _PATIENCE_S
    for priority, text in messages:
        while True:
            try:
                send_one(queue, priority, text)
                break
            except OSError:
                if time.monotonic() > deadline:
                    raise
            time.sleep(_LOOK_S)
