"""
Names of sockets: sockaddr as the kernel has it, and as Python does.

Source: unix(7), ip(7), ipv6(7), netlink(7).
"""

from __future__ import annotations

import socket
import struct
import sys

from blcr.annotations import Any

INTERNET = (socket.AF_INET, socket.AF_INET6)
_MAPPED = "::ffff:"
_FAMILY = struct.Struct("=H")
_NETLINK = struct.Struct("=HHII")
"""struct sockaddr_nl: family, nothing, port, groups."""
_SCOPE_AT, _IPV6_SIZE = 24, 28


def pack(family: int, name: Any) -> bytes:  # noqa: ANN401
    """Return the sockaddr of what Python gives as a name; empty for none."""
    if family == socket.AF_UNIX:
        path: bytes = name if isinstance(name, bytes) else name.encode(*_PATH)
        end = b"" if path.startswith(b"\0") or not path else b"\0"
        return _FAMILY.pack(family) + path + end if path else b""
    if family == socket.AF_NETLINK:
        return _NETLINK.pack(family, 0, *name)
    if family == socket.AF_INET:
        host, port = str(name[0]), int(name[1])
        return _FAMILY.pack(family) + _port(port) + _host(family, host) + bytes(8)
    host, port, flow, scope = str(name[0]), *map(int, name[1:])
    return (
        _FAMILY.pack(family)
        + _port(port)
        + flow.to_bytes(4, "big")
        + _host(family, host)
        + scope.to_bytes(4, sys.byteorder)
    )


def unpack(data: bytes) -> Any:  # noqa: ANN401
    """Return the name that Python has for a sockaddr."""
    (family,) = _FAMILY.unpack_from(data)
    if family == socket.AF_UNIX:
        return data[2:] if data[2:3] == b"\0" else data[2:].rstrip(b"\0")
    if family == socket.AF_NETLINK:
        return _NETLINK.unpack(data)[2:]
    port = int.from_bytes(data[2:4], "big")
    if family == socket.AF_INET:
        return socket.inet_ntop(family, data[4:8]), port
    flow, scope = data[4:8], data[24:28]
    return (
        socket.inet_ntop(family, data[8:24]),
        port,
        int.from_bytes(flow, "big"),
        int.from_bytes(scope, sys.byteorder),
    )


def in_order(data: bytes, order: str) -> bytes:
    """Turn the numbers of a sockaddr between an order of bytes and this machine's."""
    if order == sys.byteorder or len(data) < _FAMILY.size:
        return data
    swapped = data[1::-1] + data[2:]
    families = {_FAMILY.unpack_from(one)[0] for one in (data, swapped)}
    if socket.AF_INET6 in families and len(data) >= _IPV6_SIZE:
        scope = data[_SCOPE_AT:_IPV6_SIZE][::-1]
        return swapped[:_SCOPE_AT] + scope + swapped[_IPV6_SIZE:]
    return swapped


def is_netlink(data: bytes) -> bool:
    """Tell whether a sockaddr is of netlink."""
    return bool(data) and _FAMILY.unpack_from(data)[0] == socket.AF_NETLINK


def plain(host: str) -> str:
    """Return an address, of a mapped one that of IPv4."""
    return host.removeprefix(_MAPPED)


def path(data: bytes) -> str:
    """Return the path that a name is; empty: it is none."""
    if len(data) < 3 or _FAMILY.unpack_from(data)[0] != socket.AF_UNIX or not data[2]:
        return ""
    return data[2:].rstrip(b"\0").decode(*_PATH)


_PATH = ("utf-8", "surrogateescape")


def _port(number: int) -> bytes:
    return number.to_bytes(2, "big")


def _host(family: int, text: str) -> bytes:
    return socket.inet_pton(family, text.partition("%")[0])
