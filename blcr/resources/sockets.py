"""
Sockets, with what waits to be read.

They are made when all processes are there: each in the name of who made it, as
SO_PEERCRED tells that, filled by us, and given to all that have it.

Source: unix(7), socket(7).
"""

from __future__ import annotations

import array
import contextlib
import errno
import fcntl
import functools
import os
import resource
import select
import socket
import stat
import struct
import sys
import termios
import time
from collections.abc import Callable, Iterator, Mapping, Sequence

from blcr import remote
from blcr.context import records
from blcr.errors import RemoteCallError, RestartError
from blcr.host import inet
from blcr.host.interface import SCRATCH_SIZE, Run, SocketFacts
from blcr.linux import addresses, structures
from blcr.resources import connections, files, objects
from blcr.resources.opening import Opening, Sharing

_FORCED = {socket.SO_SNDBUF: 32, socket.SO_RCVBUF: 33}
"""SO_SNDBUFFORCE and SO_RCVBUFFORCE by what they set."""
_ROOM = 1 << 16
"""Bytes that a sender's buffer has besides what is sent: messages cost some each."""
_EVERY = ("0.0.0.0", "::")
"""Addresses of sockets that take what comes to any."""
_LINGERING = struct.pack("=ii", 1, 0)
"""Of SO_LINGER: closing it is a reset."""
_PORT_RANGE, _BIND_NO_PORT = 51, 24
"""IP_LOCAL_PORT_RANGE, IP_BIND_ADDRESS_NO_PORT."""
_PORTS = "/proc/sys/net/ipv4/ip_local_port_range"
_LOCKS = 72
"""SO_BUF_LOCK."""
_PATIENCE_S, _LOOK_S, _TICK_S = 5.0, 0.02, 0.001
"""For a connection, and for what the kernel remembers of an older one to be gone."""
_TOKEN = 16
_ATTEMPTS = 8
_UNCONNECTED = bytes(16)
"""A name of the family AF_UNSPEC."""
_NAME_ROOM = 128
"""Bytes of a sockaddr_storage."""
_RIGHTS_ROOM = 1024
"""Bytes of 253 descriptors, SCM_MAX_FD, and more."""
_ORDERED = (socket.SOCK_STREAM, socket.SOCK_SEQPACKET)


def joined(
    saved: Sequence[SocketFacts],
    numbers: Mapping[int, int],
    in_flight: Mapping[int, int],
    warnings: list[str],
) -> tuple[records.Socket, ...]:
    """
    Return the records of all sockets, with their peers.

    Args:
        numbers: The index of each by inode.
        in_flight: The index of an open file by our descriptor.
        warnings: What the user should know is added.
    """
    names = {one.record.name for one in saved if one.record.name}
    for one in saved:
        strange = {part.source for part in one.record.messages} - names - {b""}
        warnings += [
            f"a message from the socket {shown(name)}, which is not among them, comes "
            "from one without a name at restart"
            for name in strange
        ]
    return tuple(
        one.record._replace(
            peer=numbers.get(one.peer, -1),
            pending=tuple(numbers[inode] for inode in one.pending),
            messages=tuple(
                message._replace(files=tuple(in_flight[fd] for fd in given))
                for message, given in zip(
                    one.record.messages, one.in_flight, strict=True
                )
            ),
        )
        for one in saved
    )


def shown(name: bytes) -> str:
    """Return the name of a socket as people write it."""
    if path := addresses.path(name):
        return f"'{path}'"
    found = addresses.unpack(name)
    if addresses.is_netlink(name):
        return f"port {found[0]} of netlink"
    if isinstance(found, bytes):
        return f"'@{found[1:].decode(errors='backslashreplace')}'"
    host, port, *_ = found
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def rebuild(made: Sequence[objects.Making]) -> None:
    """
    Make all sockets, and give them to the processes.

    Args:
        made: Of each process what has to be made, and its descriptors.

    Raises:
        RestartError: One cannot be made as it was.
    """
    # All of them are ours at once.
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (limits[1], limits[1]))
    making = _Making(made)
    try:
        making.make()
        making.accept()
        making.fill()
        making.connect()
        making.settle()
        making.give()
    finally:
        making.close()
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)


def go_on(sharing: Sharing, context: records.Context) -> None:
    """Let connections to others go on, when nothing can fail any more."""
    for index, ours in sharing.connections.items():
        connections.go_on(ours, context.sockets[index])


class _Making:
    """
    Sockets being made.

    Attributes:
        _ours: Them, by index.
        _gone: Other ends, by index, of those whose peer is gone.
        _pairs: Other ends, by index, of those that were made by twos.
        _listening: Indices of those that listen already.
        _unlinked: Paths that are to be removed again, by whom, and what is to come
            back to each (empty: nothing); and what does so after a failure.
    """

    def __init__(self, made: Sequence[objects.Making]) -> None:
        self._openings = openings = [one.opening for one in made]
        self._made = {one.opening.record.pid: one for one in made}
        self._given: dict[int, int] = {}
        self._sockets = openings[0].context.sockets
        self._by_pid = {one.record.pid: one for one in openings}
        self._ours: dict[int, socket.socket] = {}
        self._gone: dict[int, socket.socket] = {}
        self._pairs: dict[int, int] = {}
        self._listening: set[int] = set()
        self._unlinked: list[tuple[Opening, str, str, Callable[[], None]]] = []
        self._holders: dict[int, Opening] = {}
        for opening, _descriptor, file in self._descriptors():
            self._holders.setdefault(file.socket, opening)
        self._entrust(openings[0].context.files)
        if len(self._holders) < len(self._sockets):
            raise openings[0].error("there is a socket that nobody has")
        self._by_name = {
            (one.type, one.name): index
            for index, one in reversed([*enumerate(self._sockets)])
            if one.name and not self._is_accepted(index)
        }

    def _descriptors(
        self,
    ) -> Iterator[tuple[Opening, records.Descriptor, records.OpenFile]]:
        """Yield all descriptors of sockets."""
        for opening in self._openings:
            for descriptor in opening.record.descriptors:
                file = opening.context.files[descriptor.file]
                if file.kind == "socket":
                    yield opening, descriptor, file

    def _entrust(self, opened: Sequence[records.OpenFile]) -> None:
        """Note for sockets that are in flight who has what they come through."""
        queue = list(self._holders)
        for index in queue:
            for message in self._sockets[index].messages:
                given = (opened[file].socket for file in message.files)
                for new in (one for one in given if one >= 0):
                    if new not in self._holders:
                        self._holders[new] = self._holders[index]
                        queue.append(new)

    def _is_accepted(self, index: int) -> bool:
        """Tell whether a socket may have its name from a listening one."""
        one = self._sockets[index]
        connected = one.peer >= 0 or one.state in ("closed", "reset")
        return one.type in _ORDERED and connected

    def close(self) -> None:
        """Let go of all."""
        for one in (*self._ours.values(), *self._gone.values()):
            one.close()
        for ours in self._given.values():
            os.close(ours)

    def _named(self, pid: int, holder: Opening, what: str) -> Opening:
        """Return the process of a saved id, or the holder, with a warning."""
        found = self._by_pid.get(pid)
        if found:
            return found
        if pid:
            holder.warn(
                f"{what} by process {pid}, which is not among them, and is by "
                f"{holder.record.pid} now"
            )
        return holder

    # Making.

    def make(self) -> None:
        """Make all of them but those that are made by connecting to a name."""
        for index in sorted(range(len(self._sockets)), key=self._leads_to_name):
            saved = self._sockets[index]
            if index in self._ours:
                continue
            if saved.family == socket.AF_NETLINK:
                self._ours[index] = self._internet(index)
            elif saved.family in addresses.INTERNET:
                waits = saved.state == "waiting"
                if not (self._is_accepted(index) or saved.connection or waits):
                    self._ours[index] = self._internet(index)
            elif self._is_accepted(index):
                other = self._sockets[saved.peer] if saved.peer >= 0 else None
                if not saved.name and not (other and other.name):
                    self._make_pair(index)
            elif saved.state in ("closed", "reset") or not self._leads_to_name(index):
                self._make_pair(index)
            else:
                self._ours[index] = self._single(index)

    def _leads_to_name(self, index: int) -> bool:
        """Tell whether a socket is not connected, or to one that has a name."""
        saved = self._sockets[index]
        if saved.peer < 0:
            return True
        peer = self._sockets[saved.peer]
        return bool(peer.name) and (peer.peer != index or bool(saved.name))

    def _make_pair(self, index: int) -> None:
        """Make two that are connected."""
        saved, holder = self._sockets[index], self._holders[index]
        creator = self._named(saved.creator[0], holder, "a socket was made")
        out = remote.Out(8)
        kind = saved.type | creator.known["O_CLOEXEC"]
        remote.call(creator.task, "socketpair", saved.family, kind, saved.protocol, out)
        order = creator.process.arch.layout.byteorder
        here, there = (
            int.from_bytes(half, order) for half in (out.data[:4], out.data[4:])
        )
        if not self._is_accepted(index):
            self._bind(creator, here, saved)
        self._ours[index] = _taken(creator, here)
        if saved.peer < 0:
            self._gone[index] = _taken(creator, there)
            return
        peer = self._sockets[saved.peer]
        if saved.peer in self._ours:
            raise holder.error("sockets are connected to each other in a strange way")
        if not self._is_accepted(index):
            self._bind(creator, there, peer)
        if peer.peer != index:
            none = _UNCONNECTED
            remote.call(creator.task, "connect", there, none, len(none))
        self._ours[saved.peer] = _taken(creator, there)
        self._pairs[index], self._pairs[saved.peer] = saved.peer, index

    def _single(self, index: int) -> socket.socket:
        """Make one that is not connected."""
        saved, holder = self._sockets[index], self._holders[index]
        fd = self._socket(holder, saved)
        self._bind(holder, fd, saved)
        return _taken(holder, fd)

    def _socket(self, opening: Opening, saved: records.Socket) -> int:
        known = opening.known
        kind = saved.type | known["O_CLOEXEC"] | known["O_NONBLOCK"]
        return opening.task.call("socket", saved.family, kind, saved.protocol)

    def _internet(self, index: int) -> socket.socket:
        """Make one of the Internet families, or netlink, that is not connected."""
        saved, holder = self._sockets[index], self._holders[index]
        ours = _taken(holder, self._socket(holder, saved))
        _set_early(ours, saved)
        if saved.name:
            _bind(holder, ours, saved.name)
        return ours

    # Names.

    def _bind(self, opening: Opening, fd: int, saved: records.Socket) -> None:
        """Give a socket its name, and that its file."""
        path = addresses.path(saved.name)
        if not saved.name:
            return
        if path and saved.file is None:
            self._bind_unlinked(opening, fd, saved.name)
            return
        if path:
            _clear(opening, saved)
        # A relative one is in the working directory.
        full = os.path.join(opening.record.cwd, path) if path else ""
        with opening.making(full) if full else contextlib.nullcontext():
            _call_with_name(opening, "bind", fd, saved.name)
        if path and saved.file:
            _dress(opening, path, saved.file)

    def _bind_unlinked(self, opening: Opening, fd: int, name: bytes) -> None:
        """Give a socket a name that leads nowhere in the end, or to something else."""
        path, here = addresses.path(name), opening.known["AT_FDCWD"]
        aside = ""
        if path:
            aside = f"{path}.{opening.record.pid}.blcr"
            folder = opening.record.cwd
            full = [os.path.join(folder, one) for one in (path, aside)]
            opening.process.entrust(*full)
            try:
                remote.call(opening.task, "renameat2", here, path, here, aside, 0)
            except RemoteCallError as error:
                if error.errno != errno.ENOENT:
                    raise
                aside = full[1] = ""
                opening.process.entrust(*full)
            undo = functools.partial(_put_back, opening, *full)
            opening.undo.append(undo)
            self._unlinked.append((opening, path, aside, undo))
        _call_with_name(opening, "bind", fd, name)

    def _unlink(self) -> None:
        """Remove what was there for a while only."""
        unlinked, self._unlinked = self._unlinked, []
        for opening, path, aside, undo in unlinked:
            here = opening.known["AT_FDCWD"]
            if aside:
                remote.call(opening.task, "renameat2", here, aside, here, path, 0)
            else:
                remote.call(opening.task, "unlinkat", here, path, 0)
            opening.undo.remove(undo)
            opening.process.forget(os.path.join(opening.record.cwd, path))

    # Connections that were accepted.

    def accept(self) -> None:
        """Make those that have been accepted, and have others wait for that."""
        for index, saved in enumerate(self._sockets):
            if saved.connection or (
                saved.state == "waiting" and saved.family in addresses.INTERNET
            ):
                # Those that listen have to have their ports before.
                continue
            if index not in self._ours:
                is_internet = saved.family in addresses.INTERNET
                make = self._connect_tcp if is_internet else self._connect_to_name
                make(index)
            elif saved.state == "listening":
                self._listen(index)
        for index, saved in enumerate(self._sockets):
            if saved.state == "listening":
                for waiting in saved.pending:
                    self._have_wait(waiting, saved.name)
            if saved.connection:
                self._ours[index] = self._connected_outside(index)

    def _have_wait(self, index: int, name: bytes) -> None:
        """Connect a socket to one that listens at a name, which does not accept it."""
        saved, holder = self._sockets[index], self._holders[index]
        if saved.family in addresses.INTERNET:
            ours = self._connected(holder, saved, saved.name, saved.target)
            self._ours[index] = ours
            # Only the kernel's clock tells their order: it is to go on first.
            while not inet.info(ours).quiet_ms:
                time.sleep(_TICK_S)
        else:
            self._connect(holder, index, name)

    def _connected_outside(self, index: int) -> socket.socket:
        """Make one that is connected to one outside, which is not told of it yet."""
        saved, holder = self._sockets[index], self._holders[index]
        ours = _taken(holder, self._socket(holder, saved))
        try:
            _set_early(ours, saved)
            connections.rebuild(holder, ours, saved)
        except BaseException:
            ours.close()
            raise
        holder.sharing.connections[index] = os.dup(ours.fileno())
        return ours

    def _listen(self, index: int) -> None:
        """Have a socket listen, in the name of who has had it."""
        if index in self._listening:
            return
        self._listening.add(index)
        saved, holder = self._sockets[index], self._holders[index]
        who = self._named(saved.creator[0], holder, "a socket listens")
        with self._in(who, self._ours[index]) as fd:
            who.task.call("listen", fd, saved.backlog)

    @contextlib.contextmanager
    def _in(self, opening: Opening, ours: socket.socket) -> Iterator[int]:
        """Give a process a socket for as long as the block."""
        fd = opening.process.receive(ours.fileno())
        yield fd
        opening.close(fd)

    def _connect_to_name(self, index: int) -> None:
        """Make two that are connected through the name of one of them."""
        peer = self._sockets[index].peer
        ends = [one for one in (index, peer) if one >= 0]
        kind = self._sockets[index].type
        named = [one for one in ends if self._sockets[one].name]
        accepted = next(
            (one for one in named if (kind, self._sockets[one].name) in self._by_name),
            named[0],
        )
        client = next((one for one in ends if one != accepted), -1)
        saved = self._sockets[accepted]
        listener = self._by_name.get((kind, saved.name), -1)
        if listener >= 0 and self._sockets[listener].state == "listening":
            self._listen(listener)
            server = self._ours[listener]
            self._ours[accepted], other = self._accepted(server, accepted, client)
        else:
            with self._temporary(accepted, client) as server:
                self._ours[accepted], other = self._accepted(server, accepted, client)
        self._pair(accepted, client, other)

    def _connect_tcp(self, index: int) -> None:
        """Make two that are connected by TCP, with the addresses that they had."""
        peer = self._sockets[index].peer
        ends = [one for one in (index, peer) if one >= 0]
        listeners = {one: self._listener(self._sockets[one].name) for one in ends}
        accepted = next((one for one in ends if listeners[one] >= 0), index)
        client = next((one for one in ends if one != accepted), -1)
        saved, holder = self._sockets[accepted], self._holders[accepted]
        if client >= 0:
            own, to = self._sockets[client], self._sockets[client].target
            name = own.name
        else:
            # Who is gone had another family, or not: its addresses are as seen here.
            own, to, name = saved, saved.name, saved.target
        with contextlib.ExitStack() as stack:
            if listeners[accepted] >= 0:
                self._listen(listeners[accepted])
                server = self._ours[listeners[accepted]]
            else:
                server = _taken(holder, self._socket(holder, saved))
                stack.enter_context(server)
                _set_early(server, saved)
                server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                _bind(holder, server, saved.name or _any(saved.family))
                server.listen(1)
            to = to or addresses.pack(saved.family, server.getsockname())
            other = self._connected(holder, own, name, to)
            self._ours[accepted] = self._accepted_from(holder, server, other)
        self._pair(accepted, client, other)

    def _pair(self, accepted: int, client: int, other: socket.socket) -> None:
        """Note the other end of what was accepted; `client`: -1 if it is gone."""
        if client >= 0:
            self._ours[client] = other
            self._pairs[client], self._pairs[accepted] = accepted, client
        else:
            self._gone[accepted] = other

    def _listener(self, name: bytes) -> int:
        """Return the listening socket that takes connections to a name; -1: none."""
        if not name:
            return -1
        _host, port, *_ = addresses.unpack(name)
        for index, one in enumerate(self._sockets):
            if one.state == "listening" and one.family in addresses.INTERNET:
                host, own_port, *_ = addresses.unpack(one.name)
                if own_port == port and (one.name == name or host in _EVERY):
                    return index
        return -1

    def _connected(
        self, holder: Opening, saved: records.Socket, name: bytes, to: bytes
    ) -> socket.socket:
        """
        Return a TCP socket that is connected, from a name to another one.

        What the kernel remembers of an older connection may be in the way for a second.
        """
        deadline = time.monotonic() + _PATIENCE_S
        while True:
            ours = _taken(holder, self._socket(holder, saved))
            _set_early(ours, saved)
            try:
                if name and not _will_have_port(ours, name):
                    ours.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                    _bind(holder, ours, name)
                ours.settimeout(_PATIENCE_S)
                ours.connect(addresses.unpack(to))
            except OSError as error:
                ours.close()
                if error.errno == errno.EADDRNOTAVAIL and time.monotonic() < deadline:
                    time.sleep(_LOOK_S)
                    continue
                raise _not_done(holder, "connected", to, error) from error
            ours.setblocking(False)
            _forget_port(ours)
            return ours

    def _accepted_from(
        self, holder: Opening, server: socket.socket, other: socket.socket
    ) -> socket.socket:
        """Return the other end of a connection to a listening socket."""
        known, wanted = holder.known, addresses.unpack(_name_of(other))
        flags = known["O_CLOEXEC"] | known["O_NONBLOCK"]
        select.select([server], [], [], _PATIENCE_S)
        with self._in(holder, server) as fd:
            for _ in range(_ATTEMPTS):
                new = holder.task.call("accept4", fd, 0, 0, flags)
                here = _taken(holder, new)
                seen = here.getpeername()
                if (addresses.plain(seen[0]), seen[1]) == (
                    addresses.plain(wanted[0]),
                    wanted[1],
                ):
                    return here
                here.close()
        raise holder.error(f"others connect to {shown(_name_of(server))} meanwhile")

    @contextlib.contextmanager
    def _temporary(self, accepted: int, client: int) -> Iterator[socket.socket]:
        """Give a socket that listens at a name, in the name of who has."""
        saved, holder = self._sockets[accepted], self._holders[accepted]
        pid = self._sockets[client].creator[0] if client >= 0 else 0
        who = self._named(pid, holder, "a connection was accepted")
        fd = self._socket(who, saved)
        before = len(self._unlinked)
        self._bind_unlinked(who, fd, saved.name)
        own = self._unlinked[before:]
        who.task.call("listen", fd, 1)
        with _taken(who, fd) as server:
            yield server
        for entry in own:
            if saved.file and not entry[2]:
                # A file was left of what it led to, and is gone since.
                _dress(who, addresses.path(saved.name), saved.file)
                self._unlinked.remove(entry)
        self._unlink()

    def _accepted(
        self, server: socket.socket, accepted: int, client: int
    ) -> tuple[socket.socket, socket.socket]:
        """Return both ends of a connection to a listening socket."""
        saved, holder = self._sockets[accepted], self._holders[accepted]
        who = self._named(saved.creator[0], holder, "a connection was made")
        fd = self._socket(who, saved)
        if client >= 0:
            self._bind(who, fd, self._sockets[client])
        other = _taken(who, fd)
        for _ in range(_ATTEMPTS):
            try:
                with self._in(who, other) as fd:
                    _call_with_name(who, "connect", fd, saved.name)
                break
            except RestartError as error:
                if error.exit_status != errno.EAGAIN:
                    raise
                # Others have come before.
                server.accept()[0].close()
        token = os.urandom(_TOKEN)
        other.send(token)
        for _ in range(_ATTEMPTS):
            here, _name = server.accept()
            here.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                if here.recv(_TOKEN) == token:
                    return here, other
            here.close()
        raise holder.error(f"others connect to {shown(saved.name)} meanwhile")

    def _connect(self, opening: Opening, index: int, name: bytes) -> None:
        """Connect a socket to a name, as a process sees that."""
        with self._in(opening, self._ours[index]) as fd:
            _call_with_name(opening, "connect", fd, name)

    def connect(self) -> None:
        """Connect those that send to a name, and remove names that were there."""
        for index, saved in enumerate(self._sockets):
            if saved.family in addresses.INTERNET:
                if saved.target and saved.type == socket.SOCK_DGRAM:
                    self._ours[index].connect(addresses.unpack(saved.target))
            elif saved.target:
                try:
                    self._connect(self._holders[index], index, saved.target)
                except RestartError as error:
                    self._holders[index].warn(f"it is not connected any more: {error}")
            elif saved.peer >= 0 and index not in self._pairs:
                name = self._sockets[saved.peer].name
                self._connect(self._holders[saved.peer], index, name)
        self._unlink()

    # What waits to be read.

    def fill(self) -> None:
        """Send what waits to be read."""
        for index, saved in enumerate(self._sockets):
            if saved.family in addresses.INTERNET:
                self._fill_internet(index)
                continue
            sender = self._gone.get(index) or self._ours.get(self._pairs.get(index, -1))
            with contextlib.ExitStack() as stack:
                if saved.messages and not sender:
                    new = socket.socket(saved.family, saved.type, saved.protocol)
                    sender = stack.enter_context(new)
                if saved.messages and sender:
                    _make_room(sender, sum(len(one.data) for one in saved.messages))
                for message in saved.messages:
                    source = self._by_name.get((saved.type, message.source), -1)
                    from_name = index not in self._pairs and source >= 0
                    chosen = self._ours[source] if from_name else sender
                    assert chosen
                    self._send(index, chosen, message)
            if saved.state == "reset":
                # An end that is closed with bytes unread is a reset for the other one.
                self._ours[index].send(b"\0")
            if index in self._gone:
                self._gone.pop(index).close()

    def _fill_internet(self, index: int) -> None:
        """Send what waits to be read in a socket of the Internet families."""
        saved, ours = self._sockets[index], self._ours[index]
        if saved.connection:
            return
        if saved.type == socket.SOCK_DGRAM:
            for message in saved.messages:
                self._send_datagram(index, message)
            return
        gone = self._gone.pop(index, None)
        sender = gone or self._ours.get(self._pairs.get(index, -1))
        data = b"".join(one.data for one in saved.messages)
        if data and sender:
            _stream(self._holders[index], sender, ours, data)
        if gone:
            if saved.state == "reset":
                level, name = socket.SOL_SOCKET, socket.SO_LINGER
                gone.setsockopt(level, name, _LINGERING)
            gone.close()

    def _send_datagram(self, index: int, message: records.SocketMessage) -> None:
        """Send a datagram from where it came, which may be lost as on any network."""
        saved = self._sockets[index]
        host, port, *rest = addresses.unpack(message.source)
        to_host, to_port, *to_rest = addresses.unpack(saved.name)
        to = (host if to_host in _EVERY else to_host, to_port, *to_rest)
        senders = [
            self._ours[other]
            for other, one in enumerate(self._sockets)
            if one.type == saved.type and one.family == saved.family and one.name
            for own_host, own_port, *_ in [addresses.unpack(one.name)]
            if own_port == port and own_host in (host, *_EVERY)
        ]
        try:
            if senders:
                senders[0].sendto(message.data, to)
            else:
                with socket.socket(saved.family, saved.type) as sender:
                    sender.bind((host, port, *rest))
                    sender.sendto(message.data, to)
        except OSError as error:
            self._holders[index].warn(
                f"a datagram of {len(message.data)} bytes from "
                f"{shown(message.source)} is lost: {error.strerror}"
            )

    def _send(
        self, index: int, sender: socket.socket, message: records.SocketMessage
    ) -> None:
        """Send one message, in the name of who has sent it if the reader is told."""
        pid = message.credentials[0] if message.credentials else 0
        self._ours[index].setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, bool(pid))
        holder = self._holders[index]
        who = self._named(pid, holder, "what a socket was sent (SO_PASSCRED) came")
        connected = index in self._pairs or index in self._gone
        to = b"" if connected else self._sockets[index].name
        gifts = [self._gift(holder, file) for file in message.files]
        try:
            if pid or to:
                _send_as(who, sender, message.data, to, gifts)
            else:
                _send(sender, message.data, gifts)
        except BlockingIOError as error:
            raise holder.error(
                f"{len(message.data)} bytes do not fit into a socket; see "
                "/proc/sys/net/core/wmem_max"
            ) from error

    def _gift(self, holder: Opening, index: int) -> int:
        """Return a descriptor of ours for an open file that is to be sent."""
        file = holder.context.files[index]
        if file.socket >= 0:
            return self._ours[file.socket].fileno()
        if index in holder.sharing.files:
            return holder.sharing.files[index]
        if index not in self._given:
            made = self._made[holder.record.pid]
            self._given[index] = files.open_apart(holder, index, made)
        return self._given[index]

    # What is set, and giving.

    def settle(self) -> None:
        """Shut down what was, and set options."""
        for index, saved in enumerate(self._sockets):
            ours = self._ours[index]
            is_tcp = saved.family in addresses.INTERNET
            if saved.shutdown and (saved.state == "open" or is_tcp):
                with contextlib.suppress(OSError):
                    # Of one that is closed there is nothing to be shut down.
                    ours.shutdown(saved.shutdown - 1)
            self._set_options(index, ours)

    def _set_options(self, index: int, ours: socket.socket) -> None:
        """Set the options that are not as they were."""
        saved = self._sockets[index]
        given = {(level, name) for level, name, _value in saved.options}
        passes = (socket.SOL_SOCKET, socket.SO_PASSCRED) in given
        if saved.family == socket.AF_UNIX and not passes:
            ours.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 0)
        for level, name, value in saved.options:
            if _has(ours, level, name, value):
                continue
            try:
                if level == socket.SOL_SOCKET and name in _FORCED:
                    self._set_buffer(index, ours, name, value)
                else:
                    ours.setsockopt(level, name, value)
            except OSError as error:
                self._holders[index].warn(
                    f"a socket cannot have its option {name} of level {level}: "
                    f"{os.strerror(error.errno or 0)}"
                )

    def _set_buffer(
        self, index: int, ours: socket.socket, name: int, value: bytes
    ) -> None:
        """Set the size of a buffer, which the kernel doubles."""
        size = int.from_bytes(value, sys.byteorder)
        _set_size(ours, name, size // 2)
        got = ours.getsockopt(socket.SOL_SOCKET, name)
        if got != size:
            self._holders[index].warn(
                f"a buffer of a socket has {got} bytes instead of {size}"
            )

    def give(self) -> None:
        """Give each to all that have it."""
        for opening, descriptor, file in self._descriptors():
            index, target = descriptor.file, descriptor.fd
            ours = self._ours[file.socket]
            if index in opening.received:
                flags = opening.known["O_CLOEXEC"] if descriptor.cloexec else 0
                opening.task.call("dup3", opening.received[index], target, flags)
                continue
            opening.receive(ours.fileno(), target, cloexec=descriptor.cloexec)
            opening.received[index] = target
            if opening is self._holders[file.socket]:
                kept = file.flags & opening.known["O_NONBLOCK"]
                opening.fcntl(target, "F_SETFL", kept)
                files.own(opening, target, file)


def _taken(opening: Opening, fd: int) -> socket.socket:
    """Take a socket that a process has made."""
    try:
        taken = socket.socket(fileno=opening.process.lend(fd))
    finally:
        opening.close(fd)
    taken.setblocking(False)
    return taken


def _bind(opening: Opening, ours: socket.socket, name: bytes) -> None:
    """
    Bind a socket of the Internet families, or netlink.

    Raises:
        RestartError: It cannot be.
    """
    try:
        ours.bind(addresses.unpack(name))
    except OSError as error:
        raise _not_done(opening, "bound", name, error) from error


def _will_have_port(ours: socket.socket, name: bytes) -> bool:
    """
    Have a socket get a port when it is connected; False: it has to be bound.

    Bound, it could not have one that an older connection has had a minute ago, unless
    both had SO_REUSEADDR.  Nor can a port of that way that is no ephemeral one.
    """
    host, port, *rest = addresses.unpack(name)
    try:
        low, high = map(int, open(_PORTS).read().split())  # noqa: SIM115
        both = struct.pack("=I", port << 16 | port)
        ours.setsockopt(socket.IPPROTO_IP, _PORT_RANGE, both)
        ours.setsockopt(socket.IPPROTO_IP, _BIND_NO_PORT, 1)
        if low <= port <= high:
            ours.bind((host, 0, *rest))
            return True
    except OSError:
        # Before Linux 6.3.
        pass
    _forget_port(ours)
    return False


def _forget_port(ours: socket.socket) -> None:
    """Put back what has made it have its port."""
    for option in (_PORT_RANGE, _BIND_NO_PORT):
        with contextlib.suppress(OSError):
            ours.setsockopt(socket.IPPROTO_IP, option, 0)


def _not_done(opening: Opening, what: str, name: bytes, error: OSError) -> RestartError:
    return RestartError(
        f"process {opening.record.pid}: a socket cannot be {what} to {shown(name)}: "
        f"{error.strerror or error}",
        status=error.errno or errno.EIO,
    )


def _name_of(one: socket.socket) -> bytes:
    return addresses.pack(one.family, one.getsockname())


def _any(family: int) -> bytes:
    """Return the name of a port of this machine's own choice."""
    if family == socket.AF_INET:
        return addresses.pack(family, ("127.0.0.1", 0))
    return addresses.pack(family, ("::1", 0, 0, 0))


def _set_early(ours: socket.socket, saved: records.Socket) -> None:
    """Set options, some of which have to be there before a name."""
    for level, name, value in saved.options:
        if level != socket.SOL_SOCKET or name not in _FORCED:
            with contextlib.suppress(OSError):
                ours.setsockopt(level, name, value)


def _has(ours: socket.socket, level: int, name: int, value: bytes) -> bool:
    """Tell whether an option is as it was, if that can be asked for."""
    try:
        return ours.getsockopt(level, name, len(value)) == value
    except OSError:
        return False


def _stream(
    opening: Opening, sender: socket.socket, reader: socket.socket, data: bytes
) -> None:
    """
    Send the bytes that wait in a TCP connection.

    Raises:
        RestartError: There is no room for them.
    """
    locks = sender.getsockopt(socket.SOL_SOCKET, _LOCKS)
    left = data
    deadline = time.monotonic() + _PATIENCE_S
    while left:
        try:
            left = left[sender.send(left) :]
        except BlockingIOError:
            if time.monotonic() > deadline:
                raise opening.error(
                    f"{len(data)} bytes do not fit into a connection; see "
                    "/proc/sys/net/core/wmem_max"
                ) from None
            _make_room(sender, len(left))
            time.sleep(_LOOK_S / 10)
    sender.setsockopt(socket.SOL_SOCKET, _LOCKS, locks)
    while len(data) > _waiting(reader) and time.monotonic() < deadline:
        time.sleep(_LOOK_S / 100)


def _waiting(one: socket.socket) -> int:
    """Return how many bytes wait to be read."""
    found = fcntl.ioctl(one.fileno(), termios.FIONREAD, bytes(4))
    return int(struct.unpack("=i", found)[0])


def _call(opening: Opening, call: str, fd: int, name: bytes) -> None:
    """Make a call with a name, which is in the process's order of bytes there."""
    name = addresses.in_order(name, opening.process.arch.layout.byteorder)
    remote.call(opening.task, call, fd, name, len(name))


def _call_with_name(opening: Opening, call: str, fd: int, name: bytes) -> None:
    """
    Bind or connect.

    Raises:
        RestartError: It cannot.
    """
    try:
        _call(opening, call, fd, name)
    except RemoteCallError as error:
        what = {"bind": "bound", "connect": "connected"}[call]
        raise opening.error(
            f"a socket cannot be {what} to {shown(name)}: {os.strerror(error.errno)}",
            error,
        ) from error


def _clear(opening: Opening, saved: records.Socket) -> None:
    """
    Remove the file that a socket has left behind.

    Raises:
        RestartError: It is another file, or somebody listens there.
    """
    path, known = addresses.path(saved.name), opening.known
    kind = saved.type | known["O_CLOEXEC"] | known["O_NONBLOCK"]
    fd = opening.task.call("socket", saved.family, kind, 0)
    try:
        _call(opening, "connect", fd, saved.name)
        code = errno.EADDRINUSE
    except RemoteCallError as error:
        code = error.errno
    finally:
        opening.close(fd)
    if code == errno.ENOENT:
        return
    if code != errno.ECONNREFUSED or not _is_socket(opening, path):
        raise RestartError(
            f"process {opening.record.pid}: the socket '{path}' is in use, or another "
            "file; end who has it, or remove it",
            status=errno.EADDRINUSE,
        )
    remote.call(opening.task, "unlinkat", known["AT_FDCWD"], path, 0)


def _put_back(opening: Opening, path: str, aside: str) -> None:
    """Remove the file of a socket, after a failure, and put back what was there."""
    with contextlib.suppress(FileNotFoundError):
        opening.process.remove(path)
    if aside:
        os.rename(aside, path)


def _is_socket(opening: Opening, path: str) -> bool:
    """Tell whether a file is a socket's."""
    flags = opening.known["O_PATH"] | opening.known["O_CLOEXEC"]
    fd = remote.call(opening.task, "openat", opening.known["AT_FDCWD"], path, flags, 0)
    try:
        with opening.lent(fd) as ours:
            return stat.S_ISSOCK(os.fstat(ours).st_mode)
    finally:
        opening.close(fd)


def _dress(opening: Opening, path: str, file: tuple[int, int, int]) -> None:
    """Give the file of a socket its permissions and owner."""
    mode, uid, gid = file
    here = opening.known["AT_FDCWD"]
    remote.call(opening.task, "fchmodat", here, path, mode)
    try:
        remote.call(opening.task, "fchownat", here, path, uid, gid, 0)
    except RemoteCallError as error:
        opening.warn(
            f"the socket '{path}' does not belong to user {uid} and group {gid} any "
            f"more: {os.strerror(error.errno)}"
        )


def _make_room(sender: socket.socket, size: int) -> None:
    """Have a socket take so many bytes that nobody has read."""
    wanted = 2 * size + _ROOM
    if sender.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF) < 2 * wanted:
        _set_size(sender, socket.SO_SNDBUF, wanted)


def _set_size(one: socket.socket, name: int, size: int) -> None:
    """Set the size of a buffer, beyond the limit if that is permitted."""
    try:
        one.setsockopt(socket.SOL_SOCKET, _FORCED[name], size)
    except PermissionError:
        one.setsockopt(socket.SOL_SOCKET, name, size)


def _send(sender: socket.socket, data: bytes, gifts: Sequence[int]) -> None:
    """Send a message, or all bytes of a stream, and descriptors with it."""
    flags = socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL
    rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", gifts))]
    data = data[sender.sendmsg([data], rights if gifts else [], flags) :]
    while data:
        data = data[sender.send(data, flags) :]


def _send_as(
    opening: Opening,
    sender: socket.socket,
    data: bytes,
    to: bytes,
    gifts: Sequence[int],
) -> None:
    """Likewise in the name of a process; `to`: to which name, or empty."""
    process, arch = opening.process, opening.process.arch
    header, vector, control = (
        structures.of(arch, name) for name in ("msghdr", "iovec", "cmsghdr")
    )
    fd = process.receive(sender.fileno())
    own = [process.receive(ours) for ours in gifts]
    rights = b"".join(one.to_bytes(4, arch.layout.byteorder) for one in own)
    place = process.room or Run(
        opening.task.scratch, opening.task.scratch + SCRATCH_SIZE
    )
    name_at = place.start + header.size + vector.size
    control_at = name_at + _NAME_ROOM
    data_at = control_at + control.size + _RIGHTS_ROOM
    if len(data) > place.end - data_at and sender.type != socket.SOCK_STREAM:
        raise opening.error(f"a message of {len(data)} bytes is too large for it")
    while True:
        part = data[: place.end - data_at]
        size = control.size + len(rights) if rights else 0
        packed = control.pack(len=size, level=socket.SOL_SOCKET, type=socket.SCM_RIGHTS)
        process.write(name_at, addresses.in_order(to, arch.layout.byteorder))
        process.write(control_at, packed + rights)
        process.write(data_at, part)
        process.write(
            place.start,
            header.pack(
                name=name_at if to else 0,
                namelen=len(to),
                iov=place.start + header.size,
                iovlen=1,
                control=control_at if rights else 0,
                controllen=size,
            )
            + vector.pack(base=data_at, len=len(part)),
        )
        flags = socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL
        data = data[opening.task.call("sendmsg", fd, place.start, flags) :]
        rights = b""
        if not data:
            break
    for one in (fd, *own):
        opening.close(one)
