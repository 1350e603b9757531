"""Names of sockets, against what the kernel itself makes of them."""

from __future__ import annotations

import ctypes
import ipaddress
import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blcr.linux import addresses

NAMES = [
    (socket.AF_UNIX, "path"),
    (socket.AF_UNIX, "p\udcff\udcfe"),
    (socket.AF_UNIX, b"\0abstract\0\0x"),
    (socket.AF_INET, ("127.0.0.1", 0)),
    (socket.AF_INET6, ("::1", 0, 0, 0)),
]


def asked(one: socket.socket) -> bytes:
    """Return what the kernel says of a socket's name, as bytes."""
    room, size = ctypes.create_string_buffer(128), ctypes.c_uint(128)
    libc = ctypes.CDLL(None, use_errno=True)
    assert libc.getsockname(one.fileno(), room, ctypes.byref(size)) == 0
    return room.raw[: size.value]


@pytest.mark.parametrize(("family", "name"), NAMES)
def test_names_are_packed_as_the_kernel_does(
    family: int,
    name: str,
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A sockaddr is made of what Python says, and made into it again."""
    monkeypatch.chdir(tmp_path_factory.mktemp("names"))
    with socket.socket(family, socket.SOCK_DGRAM) as one:
        one.bind(name)

        packed = addresses.pack(family, one.getsockname())

        assert packed == asked(one)
        with socket.socket(family, socket.SOCK_DGRAM) as other:
            other.connect(addresses.unpack(packed))
            assert other.getpeername() == one.getsockname()


def test_no_name_is_empty() -> None:
    """A Unix socket that is not bound has none."""
    with socket.socket(socket.AF_UNIX) as one:
        assert addresses.pack(one.family, one.getsockname()) == b""


@given(st.ip_addresses(v=6), st.integers(0, 65535), st.integers(0, 1 << 20))
def test_addresses_survive(address: object, port: int, flow: int) -> None:
    """Host, port, flow and scope come back."""
    packed = addresses.pack(socket.AF_INET6, (str(address), port, flow, 0))

    host, *others = addresses.unpack(packed)
    # There is more than one way to write it.
    assert ipaddress.ip_address(host) == address
    assert others == [port, flow, 0]


def test_only_paths_are_paths() -> None:
    """Abstract names and addresses lead to no file."""
    assert addresses.path(addresses.pack(socket.AF_UNIX, "a/b")) == "a/b"
    assert addresses.path(addresses.pack(socket.AF_UNIX, b"\0a")) == ""
    assert addresses.path(addresses.pack(socket.AF_INET, ("1.2.3.4", 5))) == ""
