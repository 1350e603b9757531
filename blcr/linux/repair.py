"""
TCP connections that are taken from, and given to, the kernel: TCP_REPAIR.

Of a socket in repair mode queues and sequence numbers can be read, and set, and nothing
is sent: closed in that mode it is gone without the other end being told.  What comes
in is still acknowledged, though.  That a filter prevents which lets nothing pass.

Source: tcp(7), socket(7); linux/tcp.h; net/ipv4/tcp.c, Linux 6.18.
"""

from __future__ import annotations

import array
import contextlib
import socket
import struct
import time

from blcr.linux import addresses

_REPAIR, _QUEUE, _SEQUENCE, _OPTIONS, _WINDOW = 19, 20, 21, 22, 29
"""TCP_REPAIR, TCP_REPAIR_QUEUE, TCP_QUEUE_SEQ, TCP_REPAIR_OPTIONS, TCP_REPAIR_WINDOW"""
_TIMESTAMP = 24
_OFF, _ON, _OFF_QUIETLY = 0, 1, -1
"""The last one without asking the other end for its window."""
RECEIVED, SENT = 1, 2
"""TCP_RECV_QUEUE, TCP_SEND_QUEUE."""
SEGMENT, SCALES, SELECTIVE, TIMESTAMPS = 2, 3, 4, 8
"""TCPOPT_*: what both ends have agreed upon when they connected; net/tcp.h."""
_ATTACH, _DETACH = 26, 27
"""SO_ATTACH_FILTER, SO_DETACH_FILTER."""
_NOTHING_PASSES = struct.pack("=HBBI", 6, 0, 0, 0)
"""struct sock_filter: return 0 (BPF_RET | BPF_K)."""
_PIECES = struct.Struct("=5I")
"""struct tcp_repair_window: snd_wl1, snd_wnd, max_window, rcv_wnd, rcv_wup."""
_PAIR = struct.Struct("=II")
_WORD = struct.Struct("=I")
_ALL = (1 << 32) - 1
_HEADER = struct.Struct("!HHIIBBHHH")
"""
struct tcphdr: ports, sequence numbers, size in words, flags, window, checksum, urgency.
"""
_FIN_ACK = 0x11
_CLOSE_WAIT = 8
_TRANSPARENT, _TRANSPARENT_6 = 19, 75
"""IP_TRANSPARENT, IPV6_TRANSPARENT."""
_TCP = socket.IPPROTO_TCP

Window = tuple[int, int, int, int, int]


def is_permitted() -> bool:
    """Tell whether this process may repair connections (CAP_NET_ADMIN)."""
    with socket.socket() as probe:
        try:
            begin(probe)
        except OSError:
            return False
    return True


def begin(one: socket.socket) -> None:
    """Enter repair mode; SO_REUSEADDR is the kernel's meanwhile."""
    one.setsockopt(_TCP, _REPAIR, _ON)


def end(one: socket.socket, *, reuse: int, asking: bool = False) -> None:
    """
    Leave repair mode.

    Args:
        one: The socket.
        reuse: SO_REUSEADDR as it is to be.
        asking: Ask the other end for its window: it answers where it stands.
    """
    one.setsockopt(_TCP, _REPAIR, _OFF if asking else _OFF_QUIETLY)
    one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, reuse)


def is_begun(one: socket.socket) -> bool:
    """Tell whether a socket is in repair mode."""
    return bool(one.getsockopt(_TCP, _REPAIR))


def lock(one: socket.socket) -> None:
    """Have a socket hear nothing any more, as if the network were down."""
    code = array.array("B", _NOTHING_PASSES)
    program = struct.pack("@HP", 1, code.buffer_info()[0])
    one.setsockopt(socket.SOL_SOCKET, _ATTACH, program)


def unlock(one: socket.socket) -> None:
    """Have it hear again."""
    with contextlib.suppress(FileNotFoundError):
        one.setsockopt(socket.SOL_SOCKET, _DETACH, 0)


def select(one: socket.socket, queue: int) -> None:
    """Say of which queue the numbers and bytes are meant; 0: of none."""
    one.setsockopt(_TCP, _QUEUE, queue)


def sequence(one: socket.socket, queue: int) -> int:
    """Return the sequence number behind the last byte of a queue."""
    select(one, queue)
    return int(_WORD.unpack(one.getsockopt(_TCP, _SEQUENCE, _WORD.size))[0])


def set_sequence(one: socket.socket, queue: int, number: int) -> None:
    """Set the sequence number of the first byte of an empty queue."""
    select(one, queue)
    one.setsockopt(_TCP, _SEQUENCE, _WORD.pack(number & _ALL))


def unacknowledged(one: socket.socket, size: int) -> bytes:
    """Return what the other end has not acknowledged, of at most so many bytes."""
    select(one, SENT)
    return one.recv(size, socket.MSG_PEEK | socket.MSG_DONTWAIT) if size else b""


def window(one: socket.socket) -> Window:
    """Return what both ends may send."""
    a, b, c, d, e = _PIECES.unpack(one.getsockopt(_TCP, _WINDOW, _PIECES.size))
    return a, b, c, d, e


def set_window(one: socket.socket, pieces: Window) -> None:
    """Set what both ends may send."""
    one.setsockopt(_TCP, _WINDOW, _PIECES.pack(*pieces))


def timestamp(one: socket.socket) -> int:
    """Return the time stamp of what would be sent now."""
    return int(_WORD.unpack(one.getsockopt(_TCP, _TIMESTAMP, _WORD.size))[0])


def set_timestamp(one: socket.socket, value: int, since_ns: int) -> None:
    """
    Have time stamps go on.

    Args:
        one: The socket.
        value: A time stamp; odd where they count microseconds (Linux 6.7), not ms.
        since_ns: When it was that, ns since 1970.
    """
    unit_ns = 1_000 if value & 1 else 1_000_000
    gone = max(time.time_ns() - since_ns, 0) // unit_ns
    later = (value + gone) & _ALL & ~1 | value & 1
    one.setsockopt(_TCP, _TIMESTAMP, _WORD.pack(later))


def segment(one: socket.socket) -> int:
    """Return how long a segment may be; in repair mode, what the other end permits."""
    return one.getsockopt(_TCP, socket.TCP_MAXSEG)


def is_ended(one: socket.socket) -> bool:
    """Tell whether the other end has said that nothing more comes (CLOSE_WAIT)."""
    return one.getsockopt(_TCP, socket.TCP_INFO, 1)[0] == _CLOSE_WAIT


def tell_end(one: socket.socket, sequence: int, acknowledged: int, window: int) -> None:
    """
    Tell a connected socket, as if its other end did, that nothing more comes.

    Args:
        one: The socket.
        sequence: The sequence number of that (FIN).
        acknowledged: That of the first byte that the other end does not have.
        window: Of the other end, as its segments say it.

    Raises:
        OSError: It may not be sent.
    """
    (to, port, *_), (source, source_port, *_) = one.getsockname(), one.getpeername()
    to, source = addresses.plain(to), addresses.plain(source)
    family = socket.AF_INET6 if ":" in to else socket.AF_INET
    numbers = source_port, port, sequence & _ALL, acknowledged & _ALL
    ends = b"".join(socket.inet_pton(family, host) for host in (source, to))
    pseudo = ends + struct.pack("!II", _HEADER.size, _TCP)
    bare = _HEADER.pack(*numbers, _HEADER.size << 2, _FIN_ACK, window, 0, 0)
    total = sum(struct.unpack(f"!{len(pseudo + bare) // 2}H", pseudo + bare))
    total = (total & 0xFFFF) + (total >> 16)
    check = ~(total + (total >> 16)) & 0xFFFF
    with socket.socket(family, socket.SOCK_RAW, _TCP) as raw:
        if family == socket.AF_INET:
            raw.setsockopt(socket.IPPROTO_IP, _TRANSPARENT, 1)
        else:
            raw.setsockopt(socket.IPPROTO_IPV6, _TRANSPARENT_6, 1)
        raw.bind((source, 0))
        packed = _HEADER.pack(*numbers, _HEADER.size << 2, _FIN_ACK, window, check, 0)
        raw.sendto(packed, (to, 0))


def agree(one: socket.socket, what: int, value: int = 0) -> None:
    """Set something that both ends have agreed upon."""
    one.setsockopt(_TCP, _OPTIONS, _PAIR.pack(what, value))
