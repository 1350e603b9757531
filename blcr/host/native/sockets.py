"""
Sockets of a kernel's processes: also connections to others, and netlink.

Source: tcp(7), netlink(7); `blcr.host.native.connections`.
"""

from __future__ import annotations

import contextlib
import functools
import os
import select
import socket
from collections.abc import Callable, Mapping, Sequence

from blcr.context import records
from blcr.errors import RefusedError
from blcr.host import inet
from blcr.host.interface import SocketFacts
from blcr.host.native import connections, netlink, whereabouts
from blcr.host.native.process import own_arch
from blcr.host.sockets import (
    Credentials,
    Lend,
    RefusedSocketError,
    Sockets,
    UnsavedError,
    bare_record,
    poll,
    refusal,
    require_plain,
    stream,
)
from blcr.linux import repair

_ATTEMPTS = 8


class NativeSockets(Sockets):
    """
    See `blcr.host.sockets.Sockets`.

    Args:
        users: The processes.
    """

    def __init__(
        self,
        held: Mapping[int, Lend],
        shown: Callable[[Credentials, int], Credentials],
        placed: Callable[[int, str], str],
        users: Sequence[int],
    ) -> None:
        super().__init__(held, shown, placed)
        self._users = users
        self._places: dict[int, tuple[int, int]] = {}

    def close(self) -> None:
        """Give up what is held, and what was taken and not left for good."""
        super().close()
        for one, _record in self.kept.values():
            one.close()
        self.kept = {}
        if "_guard" in self.__dict__:
            self.__dict__.pop("_guard").close()

    @functools.cached_property
    def _guard(self) -> connections.Guard:
        return connections.Guard()

    @functools.cached_property
    def _may_repair(self) -> bool:
        return repair.is_permitted()

    def obstacle(self, one: socket.socket, state: int) -> str | None:
        """Return why a TCP connection to somebody else cannot stay; empty: it can."""
        if not self._may_repair:
            return None
        if state not in connections.KEPT_STATES:
            return ", while both ends have ended it"
        if layer := connections.layered(one):
            return f", with {layer} in the kernel"
        return ""

    def check_other(self, one: socket.socket) -> None:
        """
        Check that a socket of another family can be saved.

        Raises:
            RefusedSocketError: It cannot.
        """
        if one.family != socket.AF_NETLINK:
            super().check_other(one)
        elif one.proto not in netlink.KEPT:
            raise RefusedSocketError(f"a netlink socket of protocol {one.proto}")

    def facts(self, ours: int, pid: int, fd: int, *, keep: bool = False) -> SocketFacts:
        """
        Return what a socket is, and what waits in it.

        Args:
            ours: A descriptor of ours for it, which is closed.
            pid, fd: Who has it, and where.
            keep: A connection to somebody else is to stay.

        Raises:
            RefusedError: Something of it cannot be saved.
        """
        inode = os.fstat(ours).st_ino
        with socket.socket(fileno=ours) as one:
            try:
                if keep:
                    self._places[inode] = pid, fd
                    return self._keep(inode, one)
                if one.family == socket.AF_NETLINK:
                    return _netlink(one, inode)
            except UnsavedError as error:
                raise refusal(pid, fd, error) from error
            return super().facts(os.dup(ours), pid, fd)

    def _keep(self, inode: int, one: socket.socket) -> SocketFacts:
        """
        Return what a connection to somebody else is, which stays.

        Raises:
            UnsavedError: Something of it cannot be saved.
        """
        require_plain(one, poll(one))
        # In repair mode some of its options are the kernel's.
        record = bare_record(one)._replace(name=inet.name(one), target=inet.target(one))
        self.kept[inode] = one.dup(), record
        self._guard.entrust(one)
        return _connection(one, record, connections.look)

    def take(self) -> dict[int, SocketFacts]:
        """
        Take connections to others from programs that end; return them by inode.

        Raises:
            RefusedError: One cannot be taken.
        """
        every = [one for one, _record in self.kept.values()]
        users = (*self._users, self._guard.pid)
        for inode, (one, _record) in self.kept.items():
            if other := whereabouts.opened_by(os.fstat(one.fileno()), users):
                pid, fd = self._places[inode]
                raise RefusedError(
                    pid,
                    f"descriptor {fd} is a connection to others that process {other} "
                    "has, too, which is outside",
                    hint="end that, or save it to be closed by --close-connections",
                )
        connections.settle(every)
        connections.take(every, own_arch().syscalls["membarrier"])
        found = {}
        for inode, (one, record) in self.kept.items():
            try:
                found[inode] = _connection(one, record, connections.seen)
            except UnsavedError as error:
                raise refusal(*self._places[inode], error) from error
        return found

    def dismiss(self) -> None:
        """Leave the connections that were taken as they are, for good."""
        self._guard.dismiss()


def _connection(
    one: socket.socket,
    record: records.Socket,
    look: Callable[[socket.socket, bytes], records.Connection],
) -> SocketFacts:
    """
    Return what a connection to somebody else is, which stays.

    Args:
        one: The socket.
        record: What does not change of it.
        look: What looks at it, given what waits to be read.

    Raises:
        UnsavedError: It is too busy.
    """
    for _ in range(_ATTEMPTS):
        with contextlib.suppress(connections.BusyError):
            data = b"".join(part.data for part in stream(one))
            connection = look(one, data)
            break
    else:
        raise UnsavedError("that receives more all the time", passing=True)
    record = record._replace(
        shutdown=inet.shutdown(inet.info(one).state, 0),
        messages=(records.SocketMessage(data),) if data else (),
        connection=connection,
    )
    return SocketFacts(record, 0, (), ((),) * len(record.messages))


def _netlink(one: socket.socket, inode: int) -> SocketFacts:
    """
    Return what a netlink socket is.

    Raises:
        UnsavedError: The kernel has told it something, which it would not tell again.
    """
    events = poll(one)
    require_plain(one, events)
    if events & (select.POLLIN | select.POLLERR) or netlink.is_listing(inode):
        raise UnsavedError("of netlink with messages that were not read", passing=True)
    record = bare_record(one)
    record = record._replace(
        options=(*record.options, *netlink.options(one), *netlink.memberships(one)),
        name=netlink.name(one),
        target=netlink.target(one),
    )
    return SocketFacts(record)
