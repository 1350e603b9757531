"""
Netlink sockets: what they are bound to, and what they listen to.

Source: netlink(7); linux/netlink.h, Linux 6.12.
"""

from __future__ import annotations

import contextlib
import socket
import struct
from collections.abc import Iterator

from blcr.linux import addresses

_LEVEL = 270
"""SOL_NETLINK."""
_JOIN, _JOINED = 1, 9
"""NETLINK_ADD_MEMBERSHIP, NETLINK_LIST_MEMBERSHIPS."""
_GROUPS_ROOM = 1024
_OPTIONS = 3, 4, 5, 8, 10, 11, 12
"""
Those that can be switched on: what comes with a message, errors, name spaces, what is
acknowledged, strict checks.
"""
KEPT = frozenset({0, 2, 4, 6, 15, 16})
"""
Protocols of which the kernel remembers nothing of a socket: routes, messages of users,
diagnosis of sockets, IPsec, events of devices, and what is registered by name.
"""
_LISTS_AT, _INODE_AT = 6, 9
"""Columns of /proc/net/netlink."""


def options(one: socket.socket) -> Iterator[tuple[int, int, bytes]]:
    """Yield the options that are not as in a new socket."""
    for option in _OPTIONS:
        with contextlib.suppress(OSError):
            value = one.getsockopt(_LEVEL, option, 4)
            if any(value):
                yield _LEVEL, option, value


def memberships(one: socket.socket) -> Iterator[tuple[int, int, bytes]]:
    """Yield the groups that a socket listens to, as options to be set."""
    packed = one.getsockopt(_LEVEL, _JOINED, _GROUPS_ROOM)
    words = struct.unpack(f"={len(packed) // 4}I", packed)
    for number in range(len(words) * 32):
        if words[number // 32] >> number % 32 & 1:
            yield _LEVEL, _JOIN, struct.pack("=I", number + 1)


def name(one: socket.socket) -> bytes:
    """Return what a socket is bound to, without groups; empty: nothing."""
    port, _groups = one.getsockname()
    return addresses.pack(one.family, (port, 0)) if port else b""


def target(one: socket.socket) -> bytes:
    """Return what a socket is connected to; empty: the kernel, as all are."""
    found = one.getpeername()
    return addresses.pack(one.family, found) if any(found) else b""


def is_listing(inode: int) -> bool:
    """Tell whether the kernel has more of a list that was asked for."""
    with contextlib.suppress(OSError), open("/proc/net/netlink") as file:
        next(file)
        for line in file:
            words = line.split()
            if words[_INODE_AT] == str(inode):
                return words[_LISTS_AT] != "0"
    return False
