"""
TCP connections to sockets outside, made anew where the other end believes them to be.

Until the processes run they hear and say nothing, so that a restart that fails leaves
no trace of itself at the other end.

Source: tcp(7), linux/tcp.h; `blcr.linux.repair`.
"""

from __future__ import annotations

import errno
import os
import socket
import time

from blcr.context import records
from blcr.errors import RestartError
from blcr.linux import addresses, repair
from blcr.resources.opening import Opening

_FORCED = {socket.SO_SNDBUF: 32, socket.SO_RCVBUF: 33}
"""SO_SNDBUFFORCE and SO_RCVBUFFORCE by what they set."""
_BUFFER_LOCK = 72
_PATIENCE_S, _LOOK_S = 2.0, 0.001
_ROOM = 1 << 16
"""Bytes that a buffer has besides what is in it: segments cost some each."""


def closed(context: records.Context) -> records.Context:
    """Return the context with its connections to others ended by those."""
    sockets = tuple(
        one._replace(state="closed", name=b"", target=b"", connection=None)
        if one.connection
        else one
        for one in context.sockets
    )
    return context._replace(sockets=sockets)


def rebuild(opening: Opening, ours: socket.socket, saved: records.Socket) -> None:
    """
    Connect a new socket, which has the options that come before a name.

    It is in repair mode then, and its send queue selected: what is shut down is not
    told yet.

    Raises:
        RestartError: This user may not, or addresses are taken or not this machine's.
    """
    connection = saved.connection
    assert connection
    here, there = addresses.unpack(saved.name), addresses.unpack(saved.target)
    try:
        repair.lock(ours)
        repair.begin(ours)
        received = b"".join(one.data for one in saved.messages)
        sent = connection.unacknowledged
        first = connection.received - len(received)
        repair.set_sequence(ours, repair.RECEIVED, first)
        repair.set_sequence(ours, repair.SENT, connection.sent - len(sent))
        ours.bind(here)
        ours.connect(there)
        _agree(ours, connection, opening.context.clocks.realtime)
        locks = ours.getsockopt(socket.SOL_SOCKET, _BUFFER_LOCK)
        for data, queue, name, size in (
            (received, repair.RECEIVED, socket.SO_RCVBUF, connection.buffers[1]),
            (sent, repair.SENT, socket.SO_SNDBUF, connection.buffers[0]),
        ):
            size = max(size // 2, 2 * len(data) + _ROOM if data else 0)
            ours.setsockopt(socket.SOL_SOCKET, _FORCED[name], size)
            repair.select(ours, queue)
            while data:
                data = data[ours.send(data) :]
        ours.setsockopt(socket.SOL_SOCKET, _BUFFER_LOCK, locks)
        if connection.ended:
            _end(ours, connection)
        repair.set_window(ours, connection.window)
    except OSError as error:
        raise _refused(opening, saved, error) from error


def _agree(ours: socket.socket, connection: records.Connection, when_ns: int) -> None:
    """Have a socket know what both ends have agreed upon."""
    repair.agree(ours, repair.SEGMENT, connection.segment)
    if connection.scales:
        theirs, own = connection.scales
        repair.agree(ours, repair.SCALES, theirs | own << 16)
    if connection.selective:
        repair.agree(ours, repair.SELECTIVE)
    if connection.timestamp is not None:
        repair.agree(ours, repair.TIMESTAMPS)
        repair.set_timestamp(ours, connection.timestamp, when_ns)


def _end(ours: socket.socket, connection: records.Connection) -> None:
    """
    Have the other end's last word come again.

    Raises:
        TimeoutError: It does not; a firewall may be in its way.
    """
    window = connection.window[1]
    if connection.scales:
        window >>= connection.scales[0]
    missing = connection.sent - len(connection.unacknowledged)
    repair.unlock(ours)
    try:
        repair.tell_end(ours, connection.received, missing, min(window, 0xFFFF))
        deadline = time.monotonic() + _PATIENCE_S
        while not repair.is_ended(ours):
            if time.monotonic() > deadline:
                raise TimeoutError(errno.ETIMEDOUT, "its end cannot be told once more")
            time.sleep(_LOOK_S)
    finally:
        repair.lock(ours)


def _refused(opening: Opening, saved: records.Socket, error: OSError) -> RestartError:
    host, port, *_ = addresses.unpack(saved.target)
    what = f"the TCP connection to {host} port {port} cannot be made again"
    why = {
        errno.EPERM: "only root (CAP_NET_ADMIN) may",
        errno.EADDRNOTAVAIL: "its own address is not this machine's, or taken",
        errno.EADDRINUSE: "its own port is taken",
    }.get(error.errno or 0, error.strerror or str(error))
    return RestartError(
        f"process {opening.record.pid}: {what}: {why}; "
        "--close-connections does without it",
        status=error.errno or errno.EIO,
    )


def go_on(ours: int, saved: records.Socket) -> None:
    """Have a connection that was made hear and say something again."""
    with socket.socket(fileno=os.dup(ours)) as one:
        level, name = socket.SOL_SOCKET, socket.SO_REUSEADDR
        values = {option[:2]: option[2] for option in saved.options}
        reuse = int(any(values.get((level, name), b"")))
        repair.unlock(one)
        repair.end(one, reuse=reuse, asking=True)
