"""
Sockets of the Internet families: what they are connected to, and what is under way.

Source: ip(7), ipv6(7), tcp(7), udp(7); linux/tcp.h for struct tcp_info; Linux 6.12.
"""

from __future__ import annotations

import contextlib
import select
import socket
import struct
from collections.abc import Iterator, Mapping

from blcr.linux import addresses
from blcr.record import Record

ESTABLISHED, FIN_WAIT_1, FIN_WAIT_2, CLOSE, CLOSE_WAIT = 1, 4, 5, 7, 8
LAST_ACK, LISTEN, CLOSING = 9, 10, 11
"""States of TCP; net/tcp_states.h."""
CONNECTED = frozenset(
    {ESTABLISHED, FIN_WAIT_1, FIN_WAIT_2, CLOSE_WAIT, LAST_ACK, CLOSING}
)
_SENDS_NO_MORE = frozenset({FIN_WAIT_1, FIN_WAIT_2, LAST_ACK, CLOSING})
_HEARS_ON = frozenset({ESTABLISHED, FIN_WAIT_1, FIN_WAIT_2})

_INFO_SIZE = 216
_WAITING_AT, _BACKLOG_AT = 24, 28
_QUIET_AT = 52
_RECEIVED_AT, _UNSENT_AT, _SENT_AT = 128, 144, 200
"""
Offsets in struct tcp_info: unacked, sacked; last_data_recv; bytes received; notsent;
bytes sent.
"""

_WORD = 4
OPTIONS: Mapping[int, Mapping[int, int]] = {
    # Type of service, time to live, and what of a packet is told; paths; multicast.
    socket.IPPROTO_IP: dict.fromkeys(
        (1, 2, 6, 7, 8, 10, 11, 12, 13, 15, 19, 20, 21, 22, 24, 33, 34, 49, 50, 51),
        _WORD,
    ),
    # Hops, multicast, paths, both families, what of a packet is told, classes.
    socket.IPPROTO_IPV6: dict.fromkeys(
        (16, 17, 18, 19, 23, 25, 26, 29, 49, 51, 53, 56, 58, 60, 62, 66, 67, 70, 78),
        _WORD,
    ),
    # Delays, keepalive, retries, deferred accepting, thin streams, time limits.
    socket.IPPROTO_TCP: {
        **dict.fromkeys((1, 3, 4, 5, 6, 7, 8, 9, 16, 17, 18, 23, 25, 27, 30), _WORD),
        socket.TCP_CONGESTION: 16,
    },
    # Corking, checksums, segments.
    socket.IPPROTO_UDP: dict.fromkeys((1, 101, 102, 103, 104), _WORD),
}
"""Bytes of options that can be set, by level and name; linux/in.h and others."""


class Info(Record):
    """
    How a TCP socket does.

    Attributes:
        waiting, backlog: Of a listening one, how many are to be accepted, and may be.
        received, sent: Bytes in all, in order and once.
        unsent: Bytes that have not been sent yet.
        quiet_ms: Since when nothing has been received, the connection itself included.
    """

    state: int
    waiting: int
    backlog: int
    received: int
    sent: int
    unsent: int
    quiet_ms: int


def levels(one: socket.socket) -> Iterator[tuple[int, Mapping[int, int]]]:
    """Yield the levels of options that a socket has."""
    for level, options in OPTIONS.items():
        if level in (socket.IPPROTO_IP, one.proto) or (
            level == socket.IPPROTO_IPV6 and one.family == socket.AF_INET6
        ):
            yield level, options


def info(one: socket.socket) -> Info:
    """Return how a TCP socket does."""
    data = one.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _INFO_SIZE)
    data = data.ljust(_INFO_SIZE, b"\0")
    waiting, backlog = struct.unpack_from("=II", data, _WAITING_AT)
    (received,) = struct.unpack_from("=Q", data, _RECEIVED_AT)
    (unsent,) = struct.unpack_from("=I", data, _UNSENT_AT)
    sent, again = struct.unpack_from("=QQ", data, _SENT_AT)
    (quiet_ms,) = struct.unpack_from("=I", data, _QUIET_AT)
    return Info(data[0], waiting, backlog, received, sent - again, unsent, quiet_ms)


def shutdown(state: int, events: int) -> int:
    """Return what a TCP socket has been told not to do any more: 1 receive, 2 send."""
    sends = 2 if state in _SENDS_NO_MORE else 0
    if state == CLOSE and events & select.POLLRDHUP:
        return 3
    receives = state in _HEARS_ON and events & select.POLLRDHUP
    return sends | (1 if receives else 0)


End = tuple[str, int]
"""Address and port."""


def ends(one: socket.socket) -> tuple[End, End] | None:
    """Return the two ends of a connection; None: there is none."""
    try:
        return _end(one.getsockname()), _end(one.getpeername())
    except OSError:
        return None


def _end(name: tuple[str, int]) -> End:
    """Return address and port, of a mapped address those of IPv4."""
    return addresses.plain(name[0]), name[1]


def name(one: socket.socket) -> bytes:
    """Return what a socket is bound to; empty: nothing."""
    found = one.getsockname()
    return addresses.pack(one.family, found) if found[1] else b""


def target(one: socket.socket) -> bytes:
    """Return what a socket is connected to; empty: nothing."""
    with contextlib.suppress(OSError):
        return addresses.pack(one.family, one.getpeername())
    return b""


def is_held(here: End, there: End) -> bool:
    """
    Tell whether somebody has the socket at the other end of a local connection.

    Where the process is gone the kernel keeps one without an inode, or none.
    """
    return any(
        (_shown(own), _shown(other)) == (there, here)
        for own, other, _state, inode in _every()
        if inode
    )


def waiting() -> set[tuple[End, End]]:
    """Return the ends of connections, the server's first, that wait to be accepted."""
    return {
        (_shown(own), _shown(other))
        for own, other, state, inode in _every()
        if state == ESTABLISHED and not inode
    }


def _every() -> Iterator[tuple[str, str, int, int]]:
    """Yield both ends, state and inode (0: nobody has it) of each TCP socket."""
    for path in ("/proc/net/tcp", "/proc/net/tcp6"):
        with contextlib.suppress(OSError), open(path) as file:
            next(file)
            for line in file:
                fields = line.split()
                yield fields[1], fields[2], int(fields[3], 16), int(fields[9])


def is_local(address: str) -> bool:
    """Tell whether an address is of this machine."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind((address, 0))
        except OSError:
            return False
    return True


def _shown(text: str) -> End:
    """Return an end as /proc/net/tcp shows it: words in the machine's byte order."""
    address, _, port = text.partition(":")
    words = (int(address[at : at + 8], 16) for at in range(0, len(address), 8))
    packed = b"".join(struct.pack("=I", word) for word in words)
    family = socket.AF_INET if len(packed) == 4 else socket.AF_INET6
    return _end((socket.inet_ntop(family, packed), int(port, 16)))
