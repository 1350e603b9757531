"""
Sockets: pairs inside the saved processes, with what waits to be read.

They are made when all processes are there: each in the name of who made it, as
SO_PEERCRED tells that, filled by us, and given to all that have it.

Source: unix(7), socket(7).
"""

from __future__ import annotations

import fcntl
import os
import socket
from collections.abc import Iterator, Mapping, Sequence

from blcr import remote
from blcr.context import records
from blcr.host.interface import SCRATCH_SIZE, SocketFacts
from blcr.resources import files
from blcr.resources.opening import Opening

_FORCED = {socket.SO_SNDBUF: 32, socket.SO_RCVBUF: 33}
"""SO_SNDBUFFORCE and SO_RCVBUFFORCE by what they set."""
_ROOM = 1 << 16
"""Bytes that a sender's buffer has besides what is sent: messages cost some each."""


def joined(
    saved: Sequence[SocketFacts], numbers: Mapping[int, int]
) -> tuple[records.Socket, ...]:
    """Return the records of all sockets, with their peers, which `numbers` has."""
    return tuple(one.record._replace(peer=numbers.get(one.peer, -1)) for one in saved)


def rebuild(openings: Sequence[Opening]) -> None:
    """
    Make all sockets, and give them to the processes.

    Raises:
        RestartError: One cannot be made as it was.
    """
    making = _Making(openings)
    try:
        making.make()
        making.fill()
        making.settle()
        making.give()
    finally:
        making.close()


class _Making:
    """
    Sockets being made.

    Attributes:
        _ours: Them, by index.
        _gone: Other ends, by index, of those whose peer is gone.
    """

    def __init__(self, openings: Sequence[Opening]) -> None:
        self._openings = openings
        self._sockets = openings[0].context.sockets
        self._by_pid = {one.record.pid: one for one in openings}
        self._ours: dict[int, socket.socket] = {}
        self._gone: dict[int, socket.socket] = {}
        self._holders: dict[int, Opening] = {}
        for opening, _descriptor, file in self._descriptors():
            self._holders.setdefault(file.socket, opening)

    def _descriptors(
        self,
    ) -> Iterator[tuple[Opening, records.Descriptor, records.OpenFile]]:
        """Yield all descriptors of sockets."""
        for opening in self._openings:
            for descriptor in opening.record.descriptors:
                file = opening.context.files[descriptor.file]
                if file.kind == "socket":
                    yield opening, descriptor, file

    def close(self) -> None:
        """Let go of all."""
        for one in (*self._ours.values(), *self._gone.values()):
            one.close()

    # Making.

    def make(self) -> None:
        """Make all of them, connected."""
        for index, saved in enumerate(self._sockets):
            if index in self._ours:
                continue
            if saved.peer >= 0:
                self._ours[index], self._ours[saved.peer] = self._pair(index)
            elif saved.state != "open":
                self._ours[index], self._gone[index] = self._pair(index)
            else:
                self._ours[index] = self._single(index)

    def _creator(self, index: int) -> Opening:
        """Return who is to make a socket."""
        saved, holder = self._sockets[index], self._holders[index]
        pid, _uid, _gid = saved.creator
        creator = self._by_pid.get(pid, holder)
        if pid and creator.record.pid != pid:
            holder.warn(
                f"a socket was made by process {pid}, which is not among them; for "
                f"SO_PEERCRED it is {creator.record.pid} now"
            )
        return creator

    def _pair(self, index: int) -> tuple[socket.socket, socket.socket]:
        """Make two that are connected."""
        saved, creator = self._sockets[index], self._creator(index)
        out = remote.Out(8)
        kind = saved.type | creator.known["O_CLOEXEC"]
        remote.call(creator.task, "socketpair", saved.family, kind, saved.protocol, out)
        order = creator.process.arch.layout.byteorder
        here, there = (
            _taken(creator, int.from_bytes(half, order))
            for half in (out.data[:4], out.data[4:])
        )
        return here, there

    def _single(self, index: int) -> socket.socket:
        """Make one that is not connected."""
        saved, holder = self._sockets[index], self._holders[index]
        kind = saved.type | holder.known["O_CLOEXEC"]
        fd = holder.task.call("socket", saved.family, kind, saved.protocol)
        return _taken(holder, fd)

    # What waits to be read.

    def fill(self) -> None:
        """Send what waits to be read."""
        for index, saved in enumerate(self._sockets):
            sender = self._gone.get(index) or self._ours.get(saved.peer)
            if saved.messages and sender:
                _make_room(sender, sum(len(one.data) for one in saved.messages))
                for message in saved.messages:
                    self._send(index, sender, message)
            if saved.state == "reset":
                # An end that is closed with bytes unread is a reset for the other one.
                self._ours[index].send(b"\0")
            if index in self._gone:
                self._gone.pop(index).close()

    def _send(
        self, index: int, sender: socket.socket, message: records.SocketMessage
    ) -> None:
        """Send one message, in the name of who has sent it if the reader is told."""
        pid = message.credentials[0] if message.credentials else 0
        self._ours[index].setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, bool(pid))
        holder = self._holders[index]
        try:
            if pid:
                self._send_as(self._sender(index, pid), sender, message.data)
            else:
                _send(sender, message.data)
        except BlockingIOError as error:
            raise holder.error(
                f"{len(message.data)} bytes do not fit into a socket; see "
                "/proc/sys/net/core/wmem_max"
            ) from error

    def _sender(self, index: int, pid: int) -> Opening:
        """Return who is to send what a process has sent."""
        sender = self._by_pid.get(pid)
        if sender:
            return sender
        holder = self._holders[index]
        holder.warn(
            f"what process {pid}, which is not among them, has sent to a socket comes "
            f"from {holder.record.pid} now (SO_PASSCRED)"
        )
        return holder

    def _send_as(self, opening: Opening, sender: socket.socket, data: bytes) -> None:
        """Send in the name of a process."""
        fd = opening.process.receive(sender.fileno())
        room = opening.process.room
        size = room.end - room.start if room else SCRATCH_SIZE
        at = room.start if room else opening.task.scratch
        is_stream = sender.type == socket.SOCK_STREAM
        if len(data) > size and not is_stream:
            raise opening.error(f"a message of {len(data)} bytes is too large for it")
        flags = socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL
        while True:
            opening.process.write(at, data[:size])
            count = min(size, len(data))
            sent = opening.task.call("sendto", fd, at, count, flags, 0, 0)
            data = data[sent:]
            if not data:
                break
        opening.close(fd)

    # What is set, and giving.

    def settle(self) -> None:
        """Shut down what was, and set options."""
        for index, saved in enumerate(self._sockets):
            ours = self._ours[index]
            if saved.shutdown and saved.state == "open":
                ours.shutdown(saved.shutdown - 1)
            self._set_options(index, ours)

    def _set_options(self, index: int, ours: socket.socket) -> None:
        """Set the options that are not as they were."""
        saved = self._sockets[index]
        given = {(level, name) for level, name, _value in saved.options}
        if (socket.SOL_SOCKET, socket.SO_PASSCRED) not in given:
            ours.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 0)
        for level, name, value in saved.options:
            if ours.getsockopt(level, name, len(value)) == value:
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
        size = int.from_bytes(value, self._holders[index].process.arch.layout.byteorder)
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
                fcntl.fcntl(ours, fcntl.F_SETFL, kept)
                files.own(opening, target, file)


def _taken(opening: Opening, fd: int) -> socket.socket:
    """Take a socket that a process has made."""
    try:
        return socket.socket(fileno=opening.process.lend(fd))
    finally:
        opening.close(fd)


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


def _send(sender: socket.socket, data: bytes) -> None:
    """Send a message, or all bytes of a stream."""
    flags = socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL
    while True:
        data = data[sender.send(data, flags) :]
        if not data:
            return
