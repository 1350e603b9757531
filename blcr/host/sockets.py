"""
What the sockets of processes are connected to, and what waits in them.

Who is connected to whom the kernel tells through netlink, once for all.  All else is
asked through descriptors of our own, or lent ones, nothing in a process's name.  What
waits to be read is looked at with MSG_PEEK and stays; only where messages lie one
behind the other SO_PEEK_OFF is set meanwhile, and put back.

Source: sock_diag(7), unix(7), socket(7); net/unix/af_unix.c, Linux 6.12.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import functools
import os
import select
import socket
import stat
import struct
import sys
import termios
from collections.abc import Callable, Iterator, Mapping, Sequence

from blcr.context import records
from blcr.errors import HostError, PassingError, RefusedError
from blcr.host import inet
from blcr.host.interface import SocketFacts
from blcr.linux import addresses
from blcr.record import Record

_NETLINK_SOCK_DIAG, _SOCK_DIAG_BY_FAMILY = 4, 20
_NLM_REQUEST, _NLM_DUMP = 1, 0x300
_NLMSG_ERROR, _NLMSG_DONE = 2, 3
_HEADER = struct.Struct("=IHHII")
_REQUEST = struct.Struct("=BBHIIIII")
_MESSAGE = struct.Struct("=BBBxIII")
_ATTRIBUTE = struct.Struct("=HH")
_SHOW_FILE, _SHOW_PEER, _SHOW_PENDING, _SHOW_QUEUES = 2, 4, 8, 16
_DIAG_FILE, _DIAG_PEER, _DIAG_PENDING, _DIAG_QUEUES, _DIAG_SHUTDOWN = 1, 2, 3, 4, 6
"""Source: linux/netlink.h, linux/sock_diag.h, linux/unix_diag.h."""
_ALL_STATES = (1 << 32) - 1

_PASS_CREDENTIALS, _PEER_CREDENTIALS = socket.SO_PASSCRED, socket.SO_PEERCRED
_GET_FILTER, _FILTER_ROOM = 26, 1024
_PEEK_OFFSET = 42
_LINGER_SIZE, _TIME_SIZE, _WORD = 8, 16, 4
_OPTIONS = {
    # Debug, reuse, routing, broadcast, buffers, keepalive, urgent data, checksums.
    **dict.fromkeys((1, 2, 5, 6, 7, 8, 9, 10, 11, 12, 15), _WORD),
    socket.SO_LINGER: _LINGER_SIZE,
    socket.SO_BINDTODEVICE: 16,
    _PASS_CREDENTIALS: _WORD,
    socket.SO_RCVLOWAT: _WORD,
    socket.SO_RCVTIMEO: _TIME_SIZE,
    socket.SO_SNDTIMEO: _TIME_SIZE,
    # Time stamps, security labels, marks, losses, Wi-Fi, frame checks, busy polling.
    **dict.fromkeys((29, 34, 35, 36, 40, 41, _PEEK_OFFSET, 43, 45, 46), _WORD),
    # Time stamps, pacing, zero copy, times to send at, time stamps of 64 bits.
    37: 8,
    47: 8,
    60: _WORD,
    61: 8,
    63: _WORD,
    64: _WORD,
    # Busy polling, reserved memory, rehashing, marks, pidfds, priorities, descriptors.
    **dict.fromkeys((69, 70, 73, 74, 75, 76, 82, 83), _WORD),
}
"""Bytes of the options of SOL_SOCKET that can be set; asm-generic/socket.h."""
_BUFFERS = (socket.SO_SNDBUF, socket.SO_RCVBUF)
_BUFFERS_LOCKED = 72
"""SO_BUF_LOCK, a bit for each of them."""
_RESET = struct.pack("=ii", 1, 0)
"""Of SO_LINGER: closing is a reset."""
_NO_OPTION = (
    *(errno.ENOPROTOOPT, errno.EOPNOTSUPP, errno.EINVAL, errno.ENOTCONN),
    *(errno.EPERM, errno.EACCES),
)

_PIDFD = 4
"""SCM_PIDFD of linux/socket.h."""
_CREDENTIALS = struct.Struct("=3i")
_DESCRIPTORS_ROOM = 253 * 4
"""SCM_MAX_FD of them."""
_CONTROL_ROOM = socket.CMSG_SPACE(_DESCRIPTORS_ROOM) + 512
_MESSAGE_ROOM = 1 << 18
_SMALL = 1 << 14
"""Bytes of a message whose memory is always of one size."""
_PEEK = socket.MSG_PEEK | socket.MSG_DONTWAIT | socket.MSG_CMSG_CLOEXEC
_INODE = (1 << 32) - 1
"""Of an inode's number, what netlink shows of it."""
_SHUT_RECEIVE, _SHUT_BOTH = 1, 3
_ATTEMPTS = 8
_ORDERED = (socket.SOCK_STREAM, socket.SOCK_SEQPACKET)


_libc = ctypes.CDLL(None, use_errno=True)


class _Vector(ctypes.Structure):
    """struct iovec."""

    _fields_ = (("base", ctypes.c_void_p), ("len", ctypes.c_size_t))


class _MessageHeader(ctypes.Structure):
    """struct msghdr."""

    _fields_ = (
        ("name", ctypes.c_void_p),
        ("namelen", ctypes.c_uint),
        ("iov", ctypes.c_void_p),
        ("iovlen", ctypes.c_size_t),
        ("control", ctypes.c_void_p),
        ("controllen", ctypes.c_size_t),
        ("flags", ctypes.c_int),
    )


class Unix(Record):
    """
    A Unix socket as the kernel shows it.

    Attributes:
        state: As of TCP: 10 for a listening one.
        peer: The inode of the one it is connected to, 0 if that is gone or has not been
            accepted; None: none.
        shutdown: 1: nothing more is received, 2: sent.
        file: The inode of the file that it is bound to; 0: none.
        pending: The inodes of those that wait to be accepted; 0 for one that is gone.
        backlog: How many may wait.
    """

    type: int
    state: int
    peer: int | None
    shutdown: int
    file: int
    pending: tuple[int, ...]
    backlog: int


class _Seen(Record):
    """Part of what waits: data, sender, descriptors of ours that came with it."""

    data: bytes
    credentials: Credentials | None
    descriptors: tuple[int, ...]
    flags: int
    source: bytes


Lend = Callable[[], int]
"""Return a descriptor of ours for an open file, which the caller closes."""

Credentials = tuple[int, int, int]
"""Process, user and group."""


class Sockets:
    """
    Those of processes that are saved together.

    Args:
        held: How each is lent to us, by inode.
        shown: Credentials as the processes see them; those that this process is told,
            and the inode of the socket that SO_PEERCRED was asked of (0: of a message).
        placed: Where the path of a socket leads, for us, as a process sees it.

    Attributes:
        kept: Connections to others that stay, and what does not change of them, by
            inode.
    """

    def __init__(
        self,
        held: Mapping[int, Lend],
        shown: Callable[[Credentials, int], Credentials],
        placed: Callable[[int, str], str],
    ) -> None:
        self._held = held
        self._shown = shown
        self._placed_at = placed
        self._contents: dict[int, list[_Seen]] = {}
        self._in_flight: list[int] = []
        self.kept: dict[int, tuple[socket.socket, records.Socket]] = {}

    def close(self) -> None:
        """Give up what sockets have to give."""
        for ours in self._in_flight:
            os.close(ours)
        self._in_flight = []

    def sever(self) -> Callable[[], None]:
        """
        Keep TCP connections inside for a moment; return what ends them for good.

        For when the processes are gone: else the kernel would remember the connections
        for a minute, and their ports would not be free for a restart.
        """
        ends = (one for one in self._connections.values() if one not in self.kept)
        kept = [self.holders[one]() for one in ends]

        def reset() -> None:
            for ours in kept:
                with socket.socket(fileno=ours) as one:
                    one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)

        return reset

    @property
    def in_flight(self) -> Sequence[int]:
        """Descriptors of ours for what sockets have to give."""
        return self._in_flight if self.holders else ()

    @functools.cached_property
    def holders(self) -> Mapping[int, Lend]:
        """How they are lent, by inode; we have those that are in flight."""
        found = dict(self._held)
        queue = list(found)
        for inode in queue:
            for ours in self._gifts(inode, found):
                self._in_flight.append(ours)
                status = os.fstat(ours)
                new = stat.S_ISSOCK(status.st_mode) and status.st_ino not in found
                if new:
                    found[status.st_ino] = functools.partial(os.dup, ours)
                    queue.append(status.st_ino)
        return found

    def _gifts(self, inode: int, found: Mapping[int, Lend]) -> Iterator[int]:
        """Yield the descriptors that a socket has to give, which are ours then."""
        try:
            shown = self._unix.get(inode)
        except OSError:
            return
        # Of what leads outside nothing is looked at.
        if shown is None or (shown.peer and shown.peer not in found):
            return
        with (
            socket.socket(fileno=found[inode]()) as one,
            contextlib.suppress(UnsavedError),
        ):
            for part in self._content(inode, one, shown):
                yield from part.descriptors

    def _content(self, inode: int, one: socket.socket, shown: Unix) -> list[_Seen]:
        """
        Return what waits in a socket.

        Raises:
            UnsavedError: Some of it cannot be looked at.
        """
        if shown.state == inet.LISTEN:
            return []
        if inode not in self._contents:
            ends = bool(shown.shutdown & _SHUT_RECEIVE)
            is_stream = shown.type == socket.SOCK_STREAM
            self._contents[inode] = (
                stream(one) if is_stream else _messages(one, poll(one), ends=ends)
            )
        return self._contents[inode]

    @functools.cached_property
    def _unix(self) -> Mapping[int, Unix]:
        return dict(_unix_sockets())

    def check(self, inode: int) -> None:
        """
        Check that a socket can be saved, as far as its kind and connection go.

        Raises:
            RefusedSocketError: It cannot.
        """
        try:
            ours = (self._held.get(inode) or self.holders[inode])()
        except HostError as error:
            raise RefusedSocketError(f"a socket, and {error}") from error
        with socket.socket(fileno=ours) as one:
            if one.family in addresses.INTERNET:
                self._check_internet(inode, one)
                return
            if one.family != socket.AF_UNIX:
                self.check_other(one)
                return
        try:
            shown = self._unix.get(inode)
        except OSError as error:
            raise RefusedSocketError(
                f"a socket of which this kernel does not tell more ({error})"
            ) from error
        if shown is None:
            raise RefusedSocketError("a Unix socket of another network namespace")
        if 0 in shown.pending:
            raise RefusedSocketError(
                "a Unix socket with a connection whose other end is gone"
            )
        if any(one not in self.holders for one in shown.pending):
            raise RefusedSocketError(
                "a Unix socket with a connection from outside to be accepted"
            )
        if self._leads_outside(shown):
            raise OutsideError("a Unix socket whose other end is outside")
        if self._waits(shown) and inode not in self._waiting:
            raise OutsideError("a Unix socket that waits to be accepted outside")

    def _leads_outside(self, shown: Unix) -> bool:
        """Tell whether somebody else has the other end of a connection."""
        is_ordered = shown.type in _ORDERED
        return bool(shown.peer) and shown.peer not in self.holders and is_ordered

    def _check_internet(self, inode: int, one: socket.socket) -> None:
        """
        Likewise, of the Internet families.

        Raises:
            RefusedSocketError: It cannot.
        """
        if one.proto == socket.IPPROTO_UDP:
            return
        if one.proto != socket.IPPROTO_TCP:
            raise RefusedSocketError(
                f"a socket of family {family_name(one)} and protocol {one.proto}"
            )
        found = inet.info(one)
        if found.state == inet.LISTEN and found.waiting:
            known = len(self._awaited.get(inode, ()))
            if found.waiting != known:
                raise RefusedSocketError(
                    f"a TCP socket with {found.waiting} connections to be accepted, "
                    f"of which {known} are from among them and open",
                    passing=True,
                )
        if found.state in (inet.LISTEN, inet.CLOSE):
            return
        ends = inet.ends(one)
        if found.state not in inet.CONNECTED or ends is None:
            raise RefusedSocketError("a TCP socket that is being connected")
        if self._is_outside(found.state, *ends) and inode not in self._expected:
            there, port = ends[1]
            why = self.obstacle(one, found.state)
            raise OutsideError(
                f"a TCP connection to {there} port {port}, which is outside or has not "
                f"accepted it yet{why or ''}",
                keepable=why == "",
            )

    def check_other(self, one: socket.socket) -> None:
        """
        Likewise, of other families than those of Unix and the Internet.

        Raises:
            RefusedSocketError: It cannot.
        """
        raise RefusedSocketError(f"a socket of family {family_name(one)}")

    def obstacle(self, one: socket.socket, state: int) -> str | None:
        """
        Return why a TCP connection to somebody else cannot stay; empty: it can.

        None: this is not the place, or the user, to have any stay.
        """
        del one, state
        return None

    def _is_outside(self, state: int, here: inet.End, there: inet.End) -> bool:
        """Tell whether somebody else has, or may have, the other end."""
        if (there, here) in self._connections:
            return False
        gone = state == inet.CLOSE_WAIT and not inet.is_held(here, there)
        return not (gone and inet.is_local(there[0]))

    def _waits(self, shown: Unix) -> bool:
        """Tell whether a connection has not been accepted yet."""
        gone = shown.shutdown == _SHUT_BOTH
        return shown.type in _ORDERED and shown.peer == 0 and not gone

    @functools.cached_property
    def _waiting(self) -> set[int]:
        """Those that wait to be accepted by one of them."""
        mine = (one for inode, one in self._unix.items() if inode in self.holders)
        return {inode for one in mine for inode in one.pending}

    @functools.cached_property
    def _connections(self) -> Mapping[tuple[inet.End, inet.End], int]:
        """The inodes of TCP sockets by the ends of their connections."""
        found: dict[tuple[inet.End, inet.End], int] = {}
        for inode, lend in self.holders.items():
            with socket.socket(fileno=lend()) as one:
                if one.proto == socket.IPPROTO_TCP and (ends := inet.ends(one)):
                    found[ends] = inode
        return found

    @functools.cached_property
    def _awaited(self) -> Mapping[int, Sequence[int]]:
        """TCP sockets that wait to be accepted, the oldest first, by who listens."""
        listeners: dict[inet.End, int] = {}
        for inode, lend in self.holders.items():
            with socket.socket(fileno=lend()) as one:
                if one.proto == socket.IPPROTO_TCP and (
                    one.family in addresses.INTERNET
                ):
                    found = inet.info(one)
                    if found.state == inet.LISTEN and found.waiting:
                        host, port, *_ = one.getsockname()
                        listeners[addresses.plain(host), port] = inode
        awaited: dict[int, list[int]] = {}
        waiting = inet.waiting() if listeners else set()
        for (here, there), inode in self._connections.items():
            if (there, here) in waiting:
                places = (there, *((host, there[1]) for host in ("0.0.0.0", "::")))
                by = next((listeners[one] for one in places if one in listeners), 0)
                awaited.setdefault(by, []).append(inode)
        ages = self._ages([one for inodes in awaited.values() for one in inodes])
        for inodes in awaited.values():
            inodes.sort(key=lambda one: (-ages[one], one))
        return awaited

    def _ages(self, inodes: Sequence[int]) -> Mapping[int, int]:
        """Return, as of one instant, since when TCP sockets are connected, in ms."""
        ages: dict[int, int] = {}
        with contextlib.ExitStack() as stack:
            lent = {
                inode: stack.enter_context(socket.socket(fileno=self.holders[inode]()))
                for inode in inodes
            }
            for _ in range(_ATTEMPTS):
                ages = {inode: inet.info(one).quiet_ms for inode, one in lent.items()}
                # Read in different ticks of the kernel's clock, they do not compare.
                if not any(
                    inet.info(lent[one]).quiet_ms != ages[one] for one in inodes[:1]
                ):
                    break
        return ages

    @functools.cached_property
    def _expected(self) -> set[int]:
        """TCP sockets that wait to be accepted by one of them."""
        return {inode for by, inodes in self._awaited.items() if by for inode in inodes}

    def facts(self, ours: int, pid: int, fd: int) -> SocketFacts:
        """
        Return what a socket is, and what waits in it.

        Args:
            ours: A descriptor of ours for it, which is closed.
            pid, fd: Who has it, and where.

        Raises:
            RefusedError: Something of it cannot be saved.
        """
        inode = os.fstat(ours).st_ino
        with socket.socket(fileno=ours) as one:
            try:
                if one.family in addresses.INTERNET:
                    is_tcp = one.proto == socket.IPPROTO_TCP
                    return self._tcp(one, inode) if is_tcp else _udp(one)
                facts = self._facts(one, inode, self._unix[inode])
                return self._placed(pid, facts, self._unix[inode])
            except UnsavedError as error:
                raise refusal(pid, fd, error) from error

    def _placed(self, pid: int, facts: SocketFacts, shown: Unix) -> SocketFacts:
        """Return facts with the file that the name of a socket leads to."""
        path = addresses.path(facts.record.name)
        if not path:
            return facts
        try:
            found = os.lstat(self._placed_at(pid, path))
        except OSError:
            found = None
        if (
            found
            and stat.S_ISSOCK(found.st_mode)
            and found.st_ino & _INODE == shown.file
        ):
            place = (stat.S_IMODE(found.st_mode), found.st_uid, found.st_gid)
            return facts._replace(record=facts.record._replace(file=place))
        accepted = shown.type in _ORDERED and shown.state != inet.LISTEN
        if not (path.startswith("/") or accepted):
            raise UnsavedError(f"bound to '{path}' in another folder, or removed")
        return facts

    def _facts(self, one: socket.socket, inode: int, shown: Unix) -> SocketFacts:
        events = poll(one)
        require_plain(one, events)
        state, target = "open", b""
        if shown.state == inet.LISTEN:
            state = "listening"
        elif self._waits(shown) and inode not in self._waiting:
            state = "closed"
        elif self._waits(shown):
            state = "waiting"
            if unsent(one):
                raise _not_shown()
        elif shown.peer == 0:
            state = "reset" if events & select.POLLERR else "closed"
        elif shown.peer and shown.peer not in self.holders:
            if self._leads_outside(shown):
                state = "closed"
            else:
                target = addresses.pack(one.family, one.getpeername())
            if state == "open" and not target:
                raise UnsavedError("whose other end is outside")
        waiting = self._content(inode, one, shown)
        given = {fd for part in waiting for fd in part.descriptors}
        if given and not given <= {*self.in_flight}:
            raise UnsavedError("with descriptors from outside")
        if shown.type != socket.SOCK_STREAM:
            other = self._unix.get(shown.peer or 0)
            if shown.peer in self.holders and other and other.peer == inode:
                self._require_all(shown, waiting)
        record = bare_record(one)._replace(
            state=state,
            shutdown=shown.shutdown,
            messages=tuple(
                records.SocketMessage(
                    part.data,
                    part.credentials and self._shown(part.credentials, 0),
                    part.source,
                )
                for part in waiting
            ),
            creator=self._shown(_creator(one), inode),
            name=addresses.pack(one.family, one.getsockname()),
            target=target,
            backlog=shown.backlog,
        )
        return SocketFacts(
            record,
            shown.peer or 0,
            shown.pending,
            tuple(part.descriptors for part in waiting),
        )

    def _tcp(self, one: socket.socket, inode: int) -> SocketFacts:
        """
        Return what a TCP socket is, and what waits in it.

        Raises:
            UnsavedError: Something of it cannot be saved.
        """
        found, events, ends = inet.info(one), poll(one), inet.ends(one)
        require_plain(one, events)
        peer, state = 0, "open"
        pending: Sequence[int] = ()
        if found.state == inet.LISTEN:
            state = "listening"
            pending = self._awaited[inode] if found.waiting else ()
        elif ends:
            peer = self._connections.get((ends[1], ends[0]), 0)
            waits = not peer and inode in self._expected
            state = "open" if peer else "waiting" if waits else "closed"
            if waits and (found.sent or found.unsent):
                raise _not_shown()
        elif events & select.POLLRDHUP:
            state = "reset" if events & select.POLLERR else "closed"
        if peer:
            self._require_delivered(one, found, peer)
        outside = (
            ends is not None
            and state == "closed"
            and self._is_outside(found.state, *ends)
        )
        waiting = [] if state == "listening" or not unread(one) else stream(one)
        record = bare_record(one)._replace(
            state=state,
            shutdown=inet.shutdown(found.state, events),
            messages=tuple(records.SocketMessage(part.data) for part in waiting),
            # Addresses of a connection that is closed at restart may be anybody's then.
            name=b"" if outside else inet.name(one),
            target=b"" if outside else inet.target(one),
            backlog=found.backlog if state == "listening" else 0,
        )
        return SocketFacts(record, peer, tuple(pending), ((),) * len(waiting))

    def _require_delivered(
        self, one: socket.socket, found: inet.Info, peer: int
    ) -> None:
        """
        Check that the other end has got all that was written.

        Raises:
            UnsavedError: Some bytes are with the kernel, which does not show them.
        """
        count = unsent(one)
        if not count:
            return
        with socket.socket(fileno=self.holders[peer]()) as other:
            arrived = inet.info(other).received
        if found.unsent or found.sent > arrived:
            raise UnsavedError(f"with {count} bytes that are under way", passing=True)

    def _require_all(self, shown: Unix, waiting: Sequence[_Seen]) -> None:
        """
        Check that nothing has been overlooked: an empty message shows only once.

        Raises:
            UnsavedError: The sender has more under way.
        """
        if any(len(part.data) > _SMALL for part in waiting):
            return
        assert shown.peer
        with socket.socket(fileno=self.holders[shown.peer]()) as sender:
            under_way = unsent(sender)
        if not under_way and not waiting:
            return
        sizes = [len(part.data) for part in waiting]
        if under_way - _memory_of(shown.type, sizes) >= _memory_of(shown.type, [0]):
            raise UnsavedError("with empty messages that somebody has looked at")


class RefusedSocketError(Exception):
    """
    A socket that cannot be saved; the message says what it is.

    Attributes:
        passing: It may be over soon.
    """

    def __init__(self, what: str, *, passing: bool = False) -> None:
        super().__init__(what)
        self.passing = passing


class OutsideError(RefusedSocketError):
    """
    It is connected to somebody outside.

    Attributes:
        keepable: All the same it can be saved.
    """

    def __init__(self, what: str, *, keepable: bool = False) -> None:
        super().__init__(what)
        self.keepable = keepable


class UnsavedError(Exception):
    """
    Something of a socket cannot be saved.

    Args:
        what: What it is.
        passing: It may be over soon.
    """

    def __init__(self, what: str, *, passing: bool = False) -> None:
        super().__init__(what)
        self.passing = passing


def _not_shown() -> UnsavedError:
    """Return how a connection is refused whose bytes nobody sees but who accepts it."""
    return UnsavedError("that has sent something and is not accepted yet", passing=True)


def refusal(pid: int, fd: int, error: UnsavedError) -> RefusedError:
    """Return how a socket is refused of which something cannot be saved."""
    kind = PassingError if error.passing else RefusedError
    return kind(
        pid,
        f"descriptor {fd} is a socket {error}",
        hint="have the program read it, or close it, before the checkpoint",
    )


def require_plain(one: socket.socket, events: int) -> None:
    """
    Check that a socket has nothing that is not saved.

    Raises:
        UnsavedError: It has.
    """
    if events & select.POLLPRI:
        raise UnsavedError("with urgent data")
    if _is_filtered(one):
        raise UnsavedError("with a filter of packets")


def _udp(one: socket.socket) -> SocketFacts:
    """
    Return what a UDP socket is, and what waits in it.

    Raises:
        UnsavedError: Something of it cannot be saved.
    """
    events = poll(one)
    require_plain(one, events)
    waiting = _messages(one, events, ends=False)
    record = bare_record(one)._replace(
        messages=tuple(
            records.SocketMessage(part.data, None, part.source) for part in waiting
        ),
        name=inet.name(one),
        target=inet.target(one),
    )
    return SocketFacts(record, 0, (), ((),) * len(waiting))


def bare_record(one: socket.socket) -> records.Socket:
    """Return what every socket has in its record."""
    options = tuple(_own_options(one))
    return records.Socket(one.family, one.type, one.proto, options)


def family_name(one: socket.socket) -> str:
    """Return the name of a socket's family."""
    return getattr(one.family, "name", f"AF_{int(one.family)}")


def poll(one: socket.socket) -> int:
    """Return the events that a socket has now."""
    poll = select.poll()
    wanted = select.POLLIN | select.POLLPRI | select.POLLOUT | select.POLLRDHUP
    poll.register(one, wanted)
    return dict(poll.poll(0)).get(one.fileno(), 0)


def _is_filtered(one: socket.socket) -> bool:
    """Tell whether a program of BPF filters what a socket receives."""
    try:
        return bool(one.getsockopt(socket.SOL_SOCKET, _GET_FILTER, _FILTER_ROOM))
    except OSError:
        # One that cannot be read.
        return True


def _creator(one: socket.socket) -> Credentials:
    """Return process, user and group of SO_PEERCRED."""
    packed = one.getsockopt(socket.SOL_SOCKET, _PEER_CREDENTIALS, _CREDENTIALS.size)
    pid, uid, gid = _CREDENTIALS.unpack(packed)
    return pid, max(uid, 0), max(gid, 0)


def _own_options(one: socket.socket) -> Iterator[tuple[int, int, bytes]]:
    """Yield the options that are not as in a new socket, and the sizes of buffers."""
    usual = _usual(one.family, one.type, one.proto)
    sizes = _sizes(one)
    for level, name, value in _options(one):
        is_size = level == socket.SOL_SOCKET and name in _BUFFERS
        if name in sizes if is_size else value != usual.get((level, name)):
            yield level, name, value


def _sizes(one: socket.socket) -> Sequence[int]:
    """Return which buffers have a size that the kernel does not choose itself."""
    if one.proto != socket.IPPROTO_TCP or one.family not in addresses.INTERNET:
        return _BUFFERS
    try:
        locked = one.getsockopt(socket.SOL_SOCKET, _BUFFERS_LOCKED)
    except OSError:
        # Before Linux 5.15 nobody is told.
        return ()
    return [name for bit, name in enumerate(_BUFFERS) if locked >> bit & 1]


@functools.cache
def _usual(family: int, kind: int, protocol: int) -> Mapping[tuple[int, int], bytes]:
    """Return the options of a new socket."""
    with socket.socket(family, kind, protocol) as new:
        return {(level, name): value for level, name, value in _options(new)}


def _options(one: socket.socket) -> Iterator[tuple[int, int, bytes]]:
    levels = [(socket.SOL_SOCKET, _OPTIONS)]
    if one.family in addresses.INTERNET:
        levels += [(level, {**options}) for level, options in inet.levels(one)]
    for level, options in levels:
        for name, size in options.items():
            try:
                yield level, name, one.getsockopt(level, name, size)
            except OSError as error:
                if error.errno not in _NO_OPTION:
                    raise


def unread(one: socket.socket) -> int:
    """Return how many bytes wait to be read; of datagrams those of the first."""
    return _asked_number(one, termios.FIONREAD)


def unsent(one: socket.socket) -> int:
    """
    Return how much a socket has sent that nobody has read.

    Of TCP they are the bytes that the other end has not acknowledged, of Unix sockets
    the memory that the messages take.
    """
    return _asked_number(one, termios.TIOCOUTQ)


def _asked_number(one: socket.socket, request: int) -> int:
    return int(struct.unpack("=i", fcntl.ioctl(one, request, bytes(4)))[0])


def _memory_of(kind: int, sizes: Sequence[int]) -> int:
    """Return the memory that messages take."""
    here, there = socket.socketpair(socket.AF_UNIX, kind)
    with here, there:
        here.setblocking(False)
        total = sum(sizes) + _MESSAGE_ROOM
        here.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, total)
        for size in sizes:
            here.send(bytes(size))
        return unsent(here)


def stream(one: socket.socket) -> list[_Seen]:
    """Return the bytes that wait in a stream, in parts of one sender each."""
    size = unread(one)
    if not size:
        return []
    if one.getsockopt(socket.SOL_SOCKET, _PEEK_OFFSET) < 0:
        seen = _peek(one, size)
        if len(seen.data) == size and not seen.descriptors:
            return [seen]
        _drop(seen)
    parts: list[_Seen] = []
    with _PeekingFrom(one, 0):
        at = 0
        while at < size:
            seen = _peek(one, size - at)
            if not seen.data:
                raise UnsavedError(f"with {size - at} bytes that cannot be looked at")
            parts += _split(one, at, seen)
            at += len(seen.data)
            one.setsockopt(socket.SOL_SOCKET, _PEEK_OFFSET, at)
    return parts


def _split(one: socket.socket, at: int, seen: _Seen) -> list[_Seen]:
    """
    Return part of a stream in two if descriptors come behind its first byte.

    They come with its last piece, as it was sent, and behind that the look ends.  How
    long the piece is shows where not all of it can be written to where it is wanted:
    then the kernel tells how much came before.
    """
    before = 0
    if seen.descriptors and len(seen.data) > 1:
        one.setsockopt(socket.SOL_SOCKET, _PEEK_OFFSET, at)
        room = ctypes.create_string_buffer(len(seen.data) - 1)
        pieces = _Vector(ctypes.addressof(room), len(room)), _Vector(None, 1)
        vector = (_Vector * 2)(*pieces)
        header = _MessageHeader(iov=ctypes.addressof(vector), iovlen=2)
        before = max(_libc.recvmsg(one.fileno(), ctypes.byref(header), _PEEK), 0)
    if not before:
        return [seen]
    first = seen._replace(data=seen.data[:before], descriptors=())
    return [first, seen._replace(data=seen.data[before:])]


def _drop(seen: _Seen) -> None:
    """Close descriptors that were not to be had."""
    for fd in seen.descriptors:
        os.close(fd)


def _messages(one: socket.socket, events: int, *, ends: bool) -> list[_Seen]:
    """
    Return the messages that wait.

    Args:
        ends: Behind the last one comes the end, which looks like an empty one.
    """
    if not events & select.POLLIN:
        return []
    if events & select.POLLERR:
        # Whoever looks is told of the error, and the program would be no more.
        if unread(one):
            raise UnsavedError("with an error besides messages")
        return []
    found: list[_Seen] = []
    with _PeekingFrom(one, -1):
        # An empty one, seen before, is not shown any more from an offset on.
        first = _peek_message(one)
        if first is not None and not first.data and not ends:
            found.append(first)
        elif first is not None:
            _drop(first)
        at = 0
        while True:
            one.setsockopt(socket.SOL_SOCKET, _PEEK_OFFSET, at)
            seen = _peek_message(one, at)
            if seen is None or (ends and not seen.data):
                return found
            at += len(seen.data)
            found.append(seen)


def _peek_message(one: socket.socket, at: int = -1) -> _Seen | None:
    """Return the message at an offset (-1: the first); None: there is none."""
    room = _MESSAGE_ROOM
    while True:
        try:
            seen = _peek(one, room)
        except BlockingIOError:
            return None
        if not seen.flags & socket.MSG_TRUNC:
            return seen
        _drop(seen)
        room *= 8
        one.setsockopt(socket.SOL_SOCKET, _PEEK_OFFSET, at)


class _PeekingFrom:
    """Look from an offset on, as long as the block; -1: always at what comes first."""

    def __init__(self, one: socket.socket, offset: int) -> None:
        self._one = one
        self._before = one.getsockopt(socket.SOL_SOCKET, _PEEK_OFFSET)
        one.setsockopt(socket.SOL_SOCKET, _PEEK_OFFSET, offset)

    def __enter__(self) -> None:
        return None

    def __exit__(self, *_: object) -> None:
        self._one.setsockopt(socket.SOL_SOCKET, _PEEK_OFFSET, self._before)


def _peek(one: socket.socket, size: int) -> _Seen:
    """Look at what comes next."""
    data, ancillary, flags, name = one.recvmsg(size, _CONTROL_ROOM, _PEEK)
    credentials: Credentials | None = None
    descriptors: list[int] = []
    for _level, kind, content in ancillary:
        if kind == socket.SCM_CREDENTIALS:
            credentials = _CREDENTIALS.unpack(content)
        elif kind == socket.SCM_RIGHTS:
            descriptors += struct.unpack(f"={len(content) // 4}i", content)
        elif kind == _PIDFD:
            os.close(*struct.unpack("=i", content))
    source = addresses.pack(one.family, name) if name else b""
    return _Seen(data, credentials, tuple(descriptors), flags, source)


def peer_of(inode: int) -> int:
    """
    Return the inode of the Unix socket that one is connected to; 0: it is gone.

    Raises:
        OSError: The kernel cannot tell.
    """
    wanted, any_cookie = _SHOW_PEER, _ALL_STATES
    request = _REQUEST.pack(
        *(socket.AF_UNIX, 0, 0, _ALL_STATES, inode, wanted, any_cookie, any_cookie)
    )
    data = next(_asked(request, _NLM_REQUEST))
    return int.from_bytes(
        _attributes(data[_MESSAGE.size :]).get(_DIAG_PEER, b""), sys.byteorder
    )


def _unix_sockets() -> Iterator[tuple[int, Unix]]:
    """
    Yield all Unix sockets of this network namespace by inode.

    Raises:
        OSError: The kernel cannot tell.
    """
    wanted = _SHOW_FILE | _SHOW_PEER | _SHOW_PENDING | _SHOW_QUEUES
    request = _REQUEST.pack(socket.AF_UNIX, 0, 0, _ALL_STATES, 0, wanted, 0, 0)
    for data in _asked(request, _NLM_REQUEST | _NLM_DUMP):
        family, kind, state, inode, _cookie, _cookie_high = _MESSAGE.unpack_from(data)
        del family
        shown = _attributes(data[_MESSAGE.size :])
        peer = shown.get(_DIAG_PEER)
        is_listening = state == inet.LISTEN
        pending = shown.get(_DIAG_PENDING, b"") if is_listening else b""
        queues = shown.get(_DIAG_QUEUES, bytes(8))
        yield (
            inode,
            Unix(
                kind,
                state,
                None if peer is None else int(struct.unpack("=I", peer)[0]),
                shown.get(_DIAG_SHUTDOWN, b"\0")[0],
                int(struct.unpack_from("=I", shown.get(_DIAG_FILE, bytes(8)))[0]),
                struct.unpack(f"={len(pending) // 4}I", pending),
                int(struct.unpack("=II", queues)[1]) if is_listening else 0,
            ),
        )


def _attributes(data: bytes) -> dict[int, bytes]:
    """Return netlink attributes by type."""
    found: dict[int, bytes] = {}
    while len(data) >= _ATTRIBUTE.size:
        size, kind = _ATTRIBUTE.unpack_from(data)
        found[kind] = data[_ATTRIBUTE.size : size]
        data = data[-(-size // 4) * 4 :]
    return found


def _asked(request: bytes, flags: int) -> Iterator[bytes]:
    """
    Yield the messages with which the kernel answers a request for sockets.

    Raises:
        OSError: It cannot.
    """
    kind = socket.SOCK_RAW | socket.SOCK_CLOEXEC
    with socket.socket(socket.AF_NETLINK, kind, _NETLINK_SOCK_DIAG) as netlink:
        size = _HEADER.size + len(request)
        header = _HEADER.pack(size, _SOCK_DIAG_BY_FAMILY, flags, 1, 0)
        netlink.send(header + request)
        while True:
            data = netlink.recv(1 << 18)
            while data:
                size, what, _flags, _number, _port = _HEADER.unpack_from(data)
                content = data[_HEADER.size : size]
                if what == _NLMSG_DONE:
                    return
                if what == _NLMSG_ERROR:
                    code = -int(struct.unpack_from("=i", content)[0])
                    raise OSError(code, os.strerror(code))
                yield content
                data = data[-(-size // 4) * 4 :]
