"""
TCP connections to sockets outside: looked at, and taken from programs that end.

To see all of one, and to take it away without a word to the other end, it has to be in
repair mode, in which its program could not use it.  Should we be killed meanwhile, a
child of ours, the guard, puts back what the program has.

Source: tcp(7), membarrier(2), linux/tcp.h; `blcr.linux.repair`.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import socket
import struct
import sys
import time
from collections.abc import Sequence

from blcr.context import records
from blcr.host import inet
from blcr.host.sockets import unread, unsent
from blcr.linux import repair

_INFO_SIZE = 104
_AGREED_AT, _SCALES_AT, _QUIET_AT = 5, 6, 44
"""
Offsets in struct tcp_info: options, scales, ms since data were sent, an
acknowledgement was, data came, an acknowledgement came.
"""
_TIMESTAMPS, _SELECTIVE, _SCALED = 1, 2, 4
_UPPER_LAYER = 31
"""TCP_ULP."""
_QUIET_MS, _QUIET_WITHIN_S, _LOOK_S = 60, 0.3, 0.005
"""An acknowledgement is put off by 40 ms mostly; include/net/tcp.h, TCP_DELACK_MIN."""
_MEMBARRIER_GLOBAL = 1
_DISMISSED = b"."
_ALL = (1 << 32) - 1
_SENT_ALL = frozenset({inet.FIN_WAIT_1, inet.FIN_WAIT_2})
KEPT_STATES = _SENT_ALL | {inet.ESTABLISHED, inet.CLOSE_WAIT}
"""In others both ends have said that nothing more comes."""

_libc = ctypes.CDLL(None, use_errno=True)


class BusyError(Exception):
    """A connection on which too much goes on for a look at it."""


class Guard:
    """
    A child that, should this process be killed, lets programs have their sockets.

    Whatever may end it by chance, a key or a signal to the group, does not.
    """

    def __init__(self) -> None:
        self._ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.pid = os.fork()
        if self.pid == 0:
            try:
                self._ours.close()
                _watch(theirs)
            finally:
                os._exit(0)
        theirs.close()

    def entrust(self, one: socket.socket) -> None:
        """Have it put back a socket, which is not in repair mode yet."""
        socket.send_fds(self._ours, [bytes([_reuse(one)])], [one.fileno()])

    def dismiss(self) -> None:
        """Have it leave all as it is: the programs end."""
        self._ours.send(_DISMISSED)

    def close(self) -> None:
        """Have it put back what it can, and wait for that."""
        self._ours.close()
        with contextlib.suppress(ChildProcessError):
            os.waitpid(self.pid, 0)


def _watch(channel: socket.socket) -> None:
    """Be the guard."""
    os.setsid()
    with contextlib.suppress(OSError):
        # It has to be quicker than those whom our end lets go.
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM, signal.SIGQUIT):
        signal.signal(number, signal.SIG_IGN)
    kept: list[tuple[socket.socket, int]] = []
    while True:
        try:
            said, fds, _flags, _name = socket.recv_fds(channel, 1, 1)
        except OSError:
            break
        if said == _DISMISSED:
            return
        if not fds:
            break
        kept.append((socket.socket(fileno=fds[0]), said[0]))
    for one, reuse in kept:
        with contextlib.suppress(OSError):
            release(one, reuse)


def release(one: socket.socket, reuse: int) -> None:
    """Put back what is the program's, if it is not."""
    if repair.is_begun(one):
        repair.unlock(one)
        repair.end(one, reuse=reuse)


def _reuse(one: socket.socket) -> int:
    return one.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR)


def layered(one: socket.socket) -> str:
    """Return what works on top of TCP in the kernel, ``"tls"``; empty: nothing."""
    try:
        found = one.getsockopt(socket.IPPROTO_TCP, _UPPER_LAYER, 16)
    except OSError:
        return ""
    return found.rstrip(b"\0").decode()


def look(one: socket.socket, received: bytes) -> records.Connection:
    """
    Return what a connection consists of, whose program stands still.

    Args:
        one: The socket; entrusted to the guard.
        received: What waits to be read.

    Raises:
        BusyError: More has come since.
    """
    reuse = _reuse(one)
    repair.begin(one)
    try:
        return seen(one, received)
    finally:
        repair.end(one, reuse=reuse)


def seen(one: socket.socket, received: bytes) -> records.Connection:
    """Likewise, of a socket in repair mode, which it stays in."""
    number = repair.sequence(one, repair.RECEIVED)
    if unread(one) != len(received):
        raise BusyError
    info = one.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _INFO_SIZE)
    agreed, shifts = info[_AGREED_AT], info[_SCALES_AT]
    scales = shifts & 15, shifts >> 4
    if sys.byteorder == "big":
        scales = scales[::-1]
    said_all, heard_all = info[0] in _SENT_ALL, info[0] == inet.CLOSE_WAIT
    level = socket.SOL_SOCKET
    found = records.Connection(
        received=(number - heard_all) & _ALL,
        sent=(repair.sequence(one, repair.SENT) - said_all) & _ALL,
        unacknowledged=repair.unacknowledged(one, unsent(one)),
        segment=repair.segment(one),
        scales=scales if agreed & _SCALED else None,
        selective=bool(agreed & _SELECTIVE),
        timestamp=repair.timestamp(one) if agreed & _TIMESTAMPS else None,
        window=repair.window(one),
        buffers=(
            one.getsockopt(level, socket.SO_SNDBUF),
            one.getsockopt(level, socket.SO_RCVBUF),
        ),
        ended=heard_all,
    )
    if repair.sequence(one, repair.RECEIVED) != number:
        raise BusyError
    return found


def settle(every: Sequence[socket.socket]) -> None:
    """
    Wait, though not for long, until nothing goes to and fro.

    An acknowledgement that comes when nobody has the connection any more would be
    answered by a reset.
    """
    deadline = time.monotonic() + _QUIET_WITHIN_S
    while not all(map(_is_quiet, every)) and time.monotonic() < deadline:
        time.sleep(_LOOK_S)


def _is_quiet(one: socket.socket) -> bool:
    info = one.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _INFO_SIZE)
    sent, _acknowledged, *came = struct.unpack_from("=4I", info, _QUIET_AT)
    return bool(min(sent, *came) >= _QUIET_MS)


def take(every: Sequence[socket.socket], membarrier: int) -> None:
    """
    Have connections stand still, for good unless the guard puts them back.

    Args:
        every: Their sockets.
        membarrier: The number of that call, which comes back when everybody has done
            with packets that came before the filters (it waits for RCU's readers).
    """
    for one in every:
        repair.begin(one)
        repair.lock(one)
        # What can be looked at is what waits to be read.
        repair.select(one, repair.RECEIVED)
    _libc.syscall(ctypes.c_long(membarrier), _MEMBARRIER_GLOBAL, 0, 0)
