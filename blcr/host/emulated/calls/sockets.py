"""
Sockets: each is one of ours, which never waits; the guest's thread does.

Source: socket(2), socketcall(2), unix(7), ip(7), socket(7), cmsg(3), and
arch/powerpc/include/uapi/asm/socket.h of Linux 6.12.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import socket as host_socket
import struct
import sys
from collections.abc import Callable, Iterator

from blcr.host.emulated import signals
from blcr.host.emulated.calls.files import gather, scatter, vectors
from blcr.host.emulated.calls.table import call, fail, not_served, only, timed
from blcr.host.emulated.calls.time import fetch_time
from blcr.host.emulated.files import (
    OpenFile,
    host_path,
    kind_of,
    opened_as,
    own_name,
    received,
)
from blcr.host.emulated.senders import CONTROL, CREDENTIALS, libc, pass_message
from blcr.host.emulated.tasks import Blocked, Guest, Thread, Wait, signed
from blcr.linux import addresses
from blcr.record import Record

_POLLIN, _POLLOUT = 1, 4
_RETRY_NS = 2 * 10**6
_ADDRESS_LIMIT = 128
_CHUNK = 1 << 18
_CONTROL_LIMIT = 4096
_PID_SIZE = 4
_SCM_CREDENTIALS = 2
"""Source: linux/socket.h."""
_KINDS = 0xF
"""SOCK_TYPE_MASK."""
_LARGEST = 0x7FFF_F000
_FAMILY = struct.Struct("=H")
_TIME = struct.Struct("=qq")
_WORD = ctypes.sizeof(ctypes.c_size_t)
_MESSAGE_LIMIT, _WAIT_FOR_ONE = 1024, 0x1_0000
_NONBLOCK, _CLOEXEC = host_socket.SOCK_NONBLOCK, host_socket.SOCK_CLOEXEC


def _check(result: int) -> int:
    if result < 0:
        raise fail(ctypes.get_errno())
    return result


def _socket(thread: Thread, fd: int) -> OpenFile:
    file = thread.guest.descriptors.get(signed(fd))
    if not _is_socket(file.fd):
        raise fail(errno.ENOTSOCK)
    return file


def _is_socket(fd: int) -> bool:
    return kind_of(os.fstat(fd).st_mode) == "socket"


def _enter(guest: Guest, fd: int, kind: int) -> int:
    """Give a guest a socket; `kind` has SOCK_NONBLOCK and SOCK_CLOEXEC."""
    label = os.readlink(f"/proc/self/fd/{fd}")
    names = guest.constants
    flags = names["O_RDWR"] | (names["O_NONBLOCK"] if kind & _NONBLOCK else 0)
    file = OpenFile(fd, "socket", label, flags)
    return guest.descriptors.add(file, cloexec=bool(kind & _CLOEXEC))


# Addresses.


def _fetch_address(guest: Guest, address: int, size: int) -> bytes:
    """Return a socket address as this machine has it, a relative path as it is."""
    size = signed(size)
    if not 0 <= size <= _ADDRESS_LIMIT:
        raise fail(errno.EINVAL)
    data = guest.space.read(address, size)
    data = addresses.in_order(data, guest.arch.layout.byteorder)
    path = _path(data)
    if not path.startswith("/"):
        return data
    here = guest.constants["AT_FDCWD"]
    where = os.fsencode(host_path(guest, here, path))
    data = data[: _FAMILY.size] + where + b"\0"
    if len(data) > _FAMILY.size + 108:
        raise fail(errno.ENAMETOOLONG)
    return data


def _path(data: bytes) -> str:
    """Return the path that a socket address is; empty: it is none."""
    if len(data) < _FAMILY.size or _FAMILY.unpack_from(data)[0] != host_socket.AF_UNIX:
        return ""
    return os.fsdecode(data[_FAMILY.size :].partition(b"\0")[0])


@contextlib.contextmanager
def _where(guest: Guest, name: bytes) -> Iterator[None]:
    """Be, for as long as the block, where the path of an address is looked up."""
    path = _path(name)
    if not path or path.startswith("/"):
        yield
        return
    here = os.open(".", os.O_PATH | os.O_CLOEXEC)
    try:
        os.chdir(guest.machine.host_path(guest.cwd))
        yield
    finally:
        os.fchdir(here)
        os.close(here)


def _store_address(guest: Guest, data: bytes, address: int, size_at: int) -> None:
    """Give a guest an address: as much as there is room for, and its whole size."""
    if not address:
        return
    room = signed(guest.fetch_int(size_at))
    if room < 0:
        raise fail(errno.EINVAL)
    data = _shown(guest, data)
    guest.space.write(address, data[:room])
    guest.store_int(size_at, len(data))


def _shown(guest: Guest, data: bytes) -> bytes:
    """Return an address as a guest sees it."""
    data = own_name(guest.machine, data)
    return addresses.in_order(data, guest.arch.layout.byteorder)


def _asked(function: Callable[..., int], *args: object) -> bytes:
    """Return the address that a function of the C library stores."""
    buffer = ctypes.create_string_buffer(_ADDRESS_LIMIT)
    size = ctypes.c_uint(_ADDRESS_LIMIT)
    _check(function(*args, buffer, ctypes.byref(size)))
    return buffer.raw[: size.value]


# Making and connecting.


@call("socket")
def socket(thread: Thread, family: int, kind: int, protocol: int) -> int:
    """Make a socket."""
    _check_family(thread, family)
    only(thread, "socket", "SOCK_", kind & ~_KINDS, "O_NONBLOCK O_CLOEXEC")
    fd = _check(libc.socket(family, kind | _NONBLOCK | _CLOEXEC, protocol))
    return _enter(thread.guest, fd, kind)


def _check_family(thread: Thread, family: int) -> None:
    """Refuse addresses, and messages, that would have to be translated."""
    served = {host_socket.AF_UNIX, host_socket.AF_INET, host_socket.AF_INET6}
    if thread.guest.arch.layout.byteorder == sys.byteorder:
        served.add(host_socket.AF_NETLINK)
    if family not in served:
        raise not_served(thread, "socket", "AF_", family, errno.EAFNOSUPPORT)


@call("socketpair")
def socketpair(
    thread: Thread, family: int, kind: int, protocol: int, result: int
) -> int:
    """Make two sockets that are connected with each other."""
    guest, pair = thread.guest, (ctypes.c_int * 2)()
    only(thread, "socketpair", "SOCK_", kind & ~_KINDS, "O_NONBLOCK O_CLOEXEC")
    _check(libc.socketpair(family, kind | _NONBLOCK | _CLOEXEC, protocol, pair))
    guest.machine.peers.paired(guest.pid, *pair)
    for i, fd in enumerate(pair):
        guest.store_int(result + 4 * i, _enter(guest, fd, kind))
    return 0


@call("bind")
def bind(thread: Thread, fd: int, address: int, size: int) -> int:
    """Give a socket an address."""
    file, data = _socket(thread, fd), _fetch_address(thread.guest, address, size)
    old = os.umask(thread.guest.umask)
    try:
        with _where(thread.guest, data):
            return _check(libc.bind(file.fd, data, len(data)))
    finally:
        os.umask(old)


@call("listen")
def listen(thread: Thread, fd: int, backlog: int) -> int:
    """Let others connect to a socket."""
    file, guest = _socket(thread, fd), thread.guest
    _check(libc.listen(file.fd, signed(backlog)))
    name = _asked(libc.getsockname, file.fd)
    if _is_unix(name):
        guest.machine.peers.listens(guest.pid, file.fd, name)
    return 0


def _is_unix(name: bytes) -> bool:
    return bool(_FAMILY.unpack_from(name)[0] == host_socket.AF_UNIX)


@call("accept4")
def accept4(thread: Thread, fd: int, address: int, size_at: int, kind: int) -> int:
    """Take a connection."""
    only(thread, "accept4", "SOCK_", kind, "O_NONBLOCK O_CLOEXEC")
    guest, file = thread.guest, _socket(thread, fd)
    buffer = ctypes.create_string_buffer(_ADDRESS_LIMIT)
    size = ctypes.c_uint(_ADDRESS_LIMIT)
    made = libc.accept4(file.fd, buffer, ctypes.byref(size), _NONBLOCK | _CLOEXEC)
    if made < 0:
        raise _wait_after(ctypes.get_errno(), file, thread, _POLLIN)
    name = buffer.raw[: size.value]
    if _is_unix(name):
        guest.machine.peers.accepted(made)
    _store_address(guest, name, address, size_at)
    return _enter(guest, made, kind)


@call("accept")
def accept(thread: Thread, fd: int, address: int, size_at: int) -> int:
    """Take a connection."""
    return accept4(thread, fd, address, size_at, 0) or 0


def _wait_after(code: int, file: OpenFile, thread: Thread, events: int) -> Blocked:
    """Return what makes a thread wait where a call on a socket of ours would have."""
    guest = thread.guest
    if code != errno.EAGAIN or file.flags & guest.constants["O_NONBLOCK"]:
        raise fail(code)
    option = host_socket.SO_RCVTIMEO if events == _POLLIN else host_socket.SO_SNDTIMEO
    buffer, size = ctypes.create_string_buffer(_TIME.size), ctypes.c_uint(_TIME.size)
    arguments = (buffer, ctypes.byref(size))
    _check(libc.getsockopt(file.fd, host_socket.SOL_SOCKET, option, *arguments))
    seconds, rest = _TIME.unpack(buffer.raw)
    end = thread.deadline((seconds * 10**6 + rest) * 1000 or None)
    if end is not None and guest.machine.monotonic() >= end:
        raise fail(errno.EAGAIN)
    return Blocked(Wait(end, ((file.fd, events),), restarts=end is None))


@call("connect")
def connect(thread: Thread, fd: int, address: int, size: int) -> int:
    """Connect a socket."""
    guest, file = thread.guest, _socket(thread, fd)
    data = _fetch_address(guest, address, size)
    waits = not file.flags & guest.constants["O_NONBLOCK"]
    if thread.resumed is not None:
        error = ctypes.c_int()
        _option(file.fd, host_socket.SO_ERROR, error)
        if error.value:
            raise fail(error.value)
    with _where(guest, data):
        code = ctypes.get_errno() if libc.connect(file.fd, data, len(data)) else 0
    if not code:
        if len(data) > _FAMILY.size and _is_unix(data):
            name = _asked(libc.getpeername, file.fd)
            guest.machine.peers.connected(guest.pid, file.fd, name)
        return 0
    if code == errno.EISCONN and thread.resumed is not None:
        return 0
    if waits and code in {errno.EINPROGRESS, errno.EALREADY}:
        raise Blocked(Wait(events=((file.fd, _POLLOUT),)))
    if waits and code == errno.EAGAIN:
        raise Blocked(Wait(guest.machine.monotonic() + _RETRY_NS))
    raise fail(code)


def _option(fd: int, option: int, value: ctypes.c_int) -> None:
    size = ctypes.c_uint(4)
    result = libc.getsockopt(
        *(fd, host_socket.SOL_SOCKET, option),
        *(ctypes.byref(value), ctypes.byref(size)),
    )
    _check(result)


@call("shutdown")
def shutdown(thread: Thread, fd: int, how: int) -> int:
    """End a connection in one direction, or both."""
    return _check(libc.shutdown(_socket(thread, fd).fd, signed(how)))


@call("getsockname")
def getsockname(thread: Thread, fd: int, address: int, size_at: int) -> int:
    """Tell a socket's address."""
    data = _asked(libc.getsockname, _socket(thread, fd).fd)
    _store_address(thread.guest, data, address, size_at)
    return 0


@call("getpeername")
def getpeername(thread: Thread, fd: int, address: int, size_at: int) -> int:
    """Tell the address at the other end."""
    data = _asked(libc.getpeername, _socket(thread, fd).fd)
    _store_address(thread.guest, data, address, size_at)
    return 0


# Options.

# Those that are served, by level: numbers, what is the same in any order of bytes, and
# structures, which are passed on where the order is ours.  Others would have to be
# translated, or add control messages.
_SOCKET, _IP, _TCP, _UDP, _IPV6, _NETLINK = 1, 0, 6, 17, 41, 270
_NUMBERS = {
    # DEBUG to SNDBUF, RCVBUF to OOBINLINE, PRIORITY, LINGER, REUSEPORT, PASSCRED,
    # RCVLOWAT to SNDTIMEO, ACCEPTCONN, the buffers by force, MARK, PROTOCOL, DOMAIN,
    # PEEK_OFF, BUSY_POLL, INCOMING_CPU.
    _SOCKET: {
        *range(1, 11),
        *(12, 13, 15, 16, 18, 19, 20, 21, 30, 32, 33, 36, 38, 39, 42, 46, 49, 66, 67),
    },
    # TOS, TTL, MTU_DISCOVER, MTU, FREEBIND, BIND_ADDRESS_NO_PORT, MULTICAST_TTL, _LOOP
    # and _ALL.
    _IP: {1, 2, 10, 14, 15, 24, 33, 34, 49},
    # NODELAY to WINDOW_CLAMP, QUICKACK, USER_TIMEOUT, FASTOPEN, NOTSENT_LOWAT,
    # FASTOPEN_CONNECT.
    _TCP: {*range(1, 11), 12, 18, 23, 25, 30},
    # CORK.
    _UDP: {1},
    # UNICAST_HOPS to MULTICAST_LOOP, MTU_DISCOVER, MTU, V6ONLY, TCLASS.
    _IPV6: {16, 17, 18, 19, 23, 24, 26, 67},
    # Members, CAP_ACK, EXT_ACK, strict checks.
    _NETLINK: {1, 2, 10, 11, 12},
}
# BINDTODEVICE; CONGESTION.
_WORDS = {_SOCKET: {25}, _TCP: {13}}
# PEERCRED; MULTICAST_IF and members; TCP_INFO; members.
_STRUCTURES = {_SOCKET: {17}, _IP: {32, 35, 36}, _TCP: {11}, _IPV6: {20, 21}}


def _check_option(thread: Thread, name: str, level: int, option: int) -> bool:
    """Refuse an option that is not served; tell whether it is of numbers."""
    if option in _NUMBERS.get(level, ()):
        return True
    served = {*_WORDS.get(level, ())}
    if thread.guest.arch.layout.byteorder == sys.byteorder:
        served |= _STRUCTURES.get(level, set())
    elif (level, option) == (_SOCKET, int(host_socket.SO_PEERCRED)):
        return True
    if option not in served:
        raise not_served(
            thread, f"{name}, level {level}", "", option, errno.ENOPROTOOPT
        )
    return False


def _host_option(guest: Guest, level: int, option: int) -> int:
    """Return our number of an option."""
    if level != host_socket.SOL_SOCKET:
        return option
    for name in ("RCVTIMEO", "SNDTIMEO"):
        if _time_unit(guest, level, option, name):
            return int(getattr(host_socket, f"SO_{name}"))
    for name in ("RCVLOWAT", "SNDLOWAT", "PASSCRED", "PEERCRED"):
        if option == guest.constants[f"SO_{name}"]:
            return int(getattr(host_socket, f"SO_{name}"))
    return option


def _time_unit(
    guest: Guest, level: int, option: int, *names: str
) -> tuple[str, str] | None:
    """Return the structure in which an option has a time, and its field of µs."""
    for name in names or ("RCVTIMEO", "SNDTIMEO"):
        if level != host_socket.SOL_SOCKET:
            return None
        if option == guest.constants[f"SO_{name}_OLD"]:
            return "timeval", "usec"
        if option == guest.constants[f"SO_{name}_NEW"]:
            # 64 bits each, like a time in ns.
            return "timespec64", "nsec"
    return None


@call("setsockopt")
def setsockopt(
    thread: Thread, fd: int, level: int, option: int, value: int, size: int
) -> int:
    """Set an option of a socket."""
    guest, file = thread.guest, _socket(thread, fd)
    unit = _time_unit(guest, level, option)
    option = _host_option(guest, level, option)
    numbers = _check_option(thread, "setsockopt", level, option)
    if unit:
        row = guest.fetch(unit[0], value)
        data = _TIME.pack(row["sec"], row[unit[1]])
    else:
        data = guest.space.read(value, min(size, _CONTROL_LIMIT))
        data = _numbers(data, guest) if numbers else data
    if (level, option) == (_SOCKET, host_socket.SO_PASSCRED):
        guest.machine.senders.wanted = True
    return _check(libc.setsockopt(file.fd, level, option, data, len(data)))


def _numbers(data: bytes, guest: Guest) -> bytes:
    """Turn an option's value, which is of numbers of 4 bytes, between orders."""
    if guest.arch.layout.byteorder == sys.byteorder or len(data) % 4:
        return data
    return b"".join(data[at : at + 4][::-1] for at in range(0, len(data), 4))


@call("getsockopt")
def getsockopt(
    thread: Thread, fd: int, level: int, option: int, value: int, size_at: int
) -> int:
    """Look at an option of a socket."""
    guest, file = thread.guest, _socket(thread, fd)
    unit = _time_unit(guest, level, option)
    option = _host_option(guest, level, option)
    numbers = _check_option(thread, "getsockopt", level, option)
    room = min(guest.fetch_int(size_at), _CONTROL_LIMIT)
    buffer, size = ctypes.create_string_buffer(_CONTROL_LIMIT), ctypes.c_uint(room)
    if unit:
        size.value = _TIME.size
    arguments = (buffer, ctypes.byref(size))
    _check(libc.getsockopt(file.fd, level, option, *arguments))
    data = buffer.raw[: size.value]
    if (level, option) == (_SOCKET, host_socket.SO_PEERCRED):
        pid = int.from_bytes(data[:_PID_SIZE], sys.byteorder)
        pid = guest.machine.peers.of(file.fd) if pid == os.getpid() else 0
        data = pid.to_bytes(_PID_SIZE, sys.byteorder) + data[_PID_SIZE:]
    data = _numbers(data, guest) if numbers else data
    if unit:
        seconds, rest = _TIME.unpack(buffer.raw[: _TIME.size])
        data = guest.structure(unit[0]).pack(**{"sec": seconds, unit[1]: rest})
    guest.space.write(value, data[:room])
    guest.store_int(size_at, min(len(data), room))
    return 0


# Data.


class _Message(Record):
    """
    What is sent or received.

    Attributes:
        size: Of the data, also where there was no room for all.
        flags: ``MSG_*``.
        credentials: Process, user and group of the sender, as the kernel tells them.
            Of what is sent: they are told in any case.
    """

    address: bytes
    data: bytes
    fds: tuple[int, ...]
    flags: int
    size: int = 0
    credentials: tuple[int, int, int] | None = None


def _send(thread: Thread, file: OpenFile, message: _Message) -> int:
    guest = thread.guest
    is_stream = _kind(file.fd) == host_socket.SOCK_STREAM
    done = thread.resumed.progress if thread.resumed else 0
    flags = message.flags | host_socket.MSG_DONTWAIT | host_socket.MSG_NOSIGNAL
    waits = not message.flags & host_socket.MSG_DONTWAIT
    while True:
        data = message.data[done : done + _CHUNK] if is_stream else message.data
        fds = () if done else message.fds
        try:
            with _where(guest, message.address):
                done += guest.machine.senders.send(
                    *(guest.pid, file.fd, flags, message.address, data, fds),
                    signed=message.credentials is not None,
                )
        except BrokenPipeError:
            if not message.flags & host_socket.MSG_NOSIGNAL:
                number = guest.constants["SIGPIPE"]
                signals.send(thread, signals.sent_by(guest, number, "SI_USER"))
            raise
        except BlockingIOError:
            if not waits or file.flags & guest.constants["O_NONBLOCK"]:
                if done:
                    return done
                raise
            blocked = _wait_after(errno.EAGAIN, file, thread, _POLLOUT)
            blocked.wait.progress = done
            raise blocked from None
        if done >= len(message.data) or not is_stream:
            return done


def _kind(fd: int) -> int:
    value = ctypes.c_int()
    _option(fd, host_socket.SO_TYPE, value)
    return value.value


def _receive(
    thread: Thread, file: OpenFile, parts: list[tuple[int, int]], flags: int
) -> _Message:
    """Receive into a guest's memory, from a stream all that is asked for if so told."""
    guest, whole = thread.guest, int(host_socket.MSG_WAITALL)
    done = thread.resumed.progress if thread.resumed else 0
    size = sum(length for _, length in parts)
    if flags & host_socket.MSG_PEEK or _kind(file.fd) != host_socket.SOCK_STREAM:
        whole = 0
    while True:
        try:
            found = _receive_once(file, size - done, flags)
        except BlockingIOError:
            if flags & host_socket.MSG_DONTWAIT and not done:
                raise
            try:
                blocked = _wait_after(errno.EAGAIN, file, thread, _POLLIN)
            except OSError:
                if not done:
                    raise
                return _Message(b"", b"", (), 0, done)
            blocked.wait.progress = done
            raise blocked from None
        scatter(guest, _behind(parts, done), found.data)
        done += len(found.data)
        if not flags & whole or done >= size or not found.data or found.fds:
            return found._replace(size=done) if flags & whole else found


def _behind(parts: list[tuple[int, int]], done: int) -> list[tuple[int, int]]:
    """Return what is left of the parts of an iovec behind some bytes."""
    left = []
    for address, size in parts:
        skipped = min(done, size)
        done -= skipped
        left.append((address + skipped, size - skipped))
    return left


def _receive_once(file: OpenFile, size: int, flags: int) -> _Message:
    address = ctypes.create_string_buffer(_ADDRESS_LIMIT)
    data = ctypes.create_string_buffer(max(1, min(size, _CHUNK)))
    control = ctypes.create_string_buffer(_CONTROL_LIMIT)
    host = flags & ~host_socket.MSG_WAITALL | host_socket.MSG_CMSG_CLOEXEC
    host |= host_socket.MSG_DONTWAIT
    part = (ctypes.c_char * min(size, _CHUNK)).from_buffer(data)
    count, header = pass_message(libc.recvmsg, file.fd, host, address, part, control)
    fds, credentials, lost = _unpacked(control.raw[: header.controllen])
    told = header.flags & ~host_socket.MSG_CMSG_CLOEXEC
    told |= host_socket.MSG_CTRUNC if lost else 0
    received = data.raw[: min(count, len(part))]
    source = address.raw[: header.namelen]
    return _Message(source, received, fds, told, count, credentials)


def _unpacked(
    control: bytes,
) -> tuple[tuple[int, ...], tuple[int, int, int] | None, bool]:
    """Return descriptors and credentials in control messages; whether there is more."""
    fds: list[int] = []
    credentials = None
    at, lost = 0, False
    while at + CONTROL.size <= len(control):
        size, level, kind = CONTROL.unpack_from(control, at)
        data = control[at + CONTROL.size : at + size]
        if (level, kind) == (host_socket.SOL_SOCKET, host_socket.SCM_RIGHTS):
            fds += struct.unpack(f"={len(data) // 4}i", data)
        elif (level, kind) == (host_socket.SOL_SOCKET, _SCM_CREDENTIALS):
            credentials = CREDENTIALS.unpack(data[: CREDENTIALS.size])
        else:
            lost = True
        at += -(-size // _WORD) * _WORD
    return tuple(fds), credentials, lost


@call("sendto")
def sendto(
    thread: Thread, fd: int, data: int, size: int, flags: int, address: int, length: int
) -> int:
    """Send data."""
    guest, file = thread.guest, _socket(thread, fd)
    target = _fetch_address(guest, address, length) if address else b""
    content = guest.space.read(data, min(size, _LARGEST))
    return _send(thread, file, _Message(target, content, (), flags))


@call("send")
def send(thread: Thread, fd: int, data: int, size: int, flags: int) -> int:
    """Send data."""
    return sendto(thread, fd, data, size, flags, 0, 0) or 0


@call("recvfrom")
def recvfrom(
    thread: Thread, fd: int, data: int, size: int, flags: int, address: int, length: int
) -> int:
    """Receive data, and tell from whom."""
    guest = thread.guest
    parts = [(data, min(size, _LARGEST))]
    found = _receive(thread, _socket(thread, fd), parts, flags)
    for passed in found.fds:
        os.close(passed)
    _store_address(guest, found.address, address, length)
    return found.size


@call("recv")
def recv(thread: Thread, fd: int, data: int, size: int, flags: int) -> int:
    """Receive data."""
    return recvfrom(thread, fd, data, size, flags, 0, 0) or 0


@call("sendmsg")
def sendmsg(thread: Thread, fd: int, message: int, flags: int) -> int:
    """Send data, and perhaps descriptors."""
    guest, file = thread.guest, _socket(thread, fd)
    row = guest.fetch("msghdr", message)
    target = b""
    if row["name"]:
        target = _fetch_address(guest, row["name"], row["namelen"])
    data = gather(guest, vectors(guest, row["iov"], row["iovlen"]))
    fds, credentials = _passed(thread, row["control"], row["controllen"])
    message_ = _Message(target, data, fds, flags, credentials=credentials)
    return _send(thread, file, message_)


def _passed(
    thread: Thread, control: int, size: int
) -> tuple[tuple[int, ...], tuple[int, int, int] | None]:
    """Return our descriptors for those, and credentials, that are passed on."""
    guest = thread.guest
    head, word, found = guest.structure("cmsghdr"), guest.arch.word_size, []
    credentials = None
    if size > _CONTROL_LIMIT:
        raise fail(errno.ENOBUFS)
    at, end = control, control + size
    while control and at + head.size <= end:
        row = guest.fetch("cmsghdr", at)
        if row["len"] < head.size:
            raise fail(errno.EINVAL)
        if row["level"] == host_socket.SOL_SOCKET and (
            row["type"] == host_socket.SCM_RIGHTS
        ):
            for place in range(at + head.size, at + row["len"], 4):
                number = signed(guest.fetch_int(place))
                found.append(guest.descriptors.get(number).fd)
        elif row["level"] == host_socket.SOL_SOCKET and (
            row["type"] == _SCM_CREDENTIALS
        ):
            if row["len"] != head.size + CREDENTIALS.size:
                raise fail(errno.EINVAL)
            pid, uid, gid = (guest.fetch_int(at + head.size + i) for i in (0, 4, 8))
            credentials = pid, uid, gid
            if credentials != (guest.pid, os.getuid(), os.getgid()):
                raise fail(errno.EPERM)
        else:
            raise not_served(thread, f"sendmsg, level {row['level']}", "", row["type"])
        at += -(-row["len"] // word) * word
    return tuple(found), credentials


@call("recvmsg")
def recvmsg(thread: Thread, fd: int, message: int, flags: int) -> int:
    """Receive data, and perhaps descriptors."""
    guest, file = thread.guest, _socket(thread, fd)
    layout = guest.structure("msghdr")
    row = layout.unpack(guest.space.read(message, layout.size))
    parts = vectors(guest, row["iov"], row["iovlen"])
    room = row["controllen"] if row["control"] else 0
    found = _receive(thread, file, parts, flags)
    if row["name"]:
        address = _shown(guest, found.address)
        guest.space.write(row["name"], address[: max(0, row["namelen"])])
        row["namelen"] = len(address)
    cloexec = bool(flags & host_socket.MSG_CMSG_CLOEXEC)
    data, cut = _show_credentials(guest, found.credentials, room)
    rights, lost = _take_rights(guest, found.fds, room - len(data), cloexec=cloexec)
    data, lost = data + rights, lost or cut
    if data:
        guest.space.write(row["control"], data)
    row["controllen"] = len(data)
    row["flags"] = found.flags | flags & host_socket.MSG_CMSG_CLOEXEC
    row["flags"] |= host_socket.MSG_CTRUNC if lost else 0
    guest.space.write(message, layout.pack(**row))
    return found.size


def _show_credentials(
    guest: Guest, credentials: tuple[int, int, int] | None, room: int
) -> tuple[bytes, bool]:
    """Return what tells a guest who has sent something, and if that is cut short."""
    if credentials is None:
        return b"", False
    head, word = guest.structure("cmsghdr"), guest.arch.word_size
    if room < head.size:
        return b"", True
    pid, uid, gid = credentials
    order = guest.arch.layout.byteorder
    numbers = (guest.machine.senders.guest(pid), uid, gid)
    data = b"".join(number.to_bytes(4, order) for number in numbers)
    size = min(head.size + len(data), room)
    level, kind = host_socket.SOL_SOCKET, _SCM_CREDENTIALS
    packed = head.pack(len=size, level=level, type=kind) + data
    space = -(-len(packed) // word) * word
    return packed.ljust(space, b"\0")[:room], size < len(packed)


def _take_rights(
    guest: Guest, fds: tuple[int, ...], room: int, *, cloexec: bool
) -> tuple[bytes, bool]:
    """Give a guest descriptors of ours; return what says so, and if some are lost."""
    head = guest.structure("cmsghdr")
    fitting = max(0, (room - head.size) // 4)
    for fd in fds[fitting:]:
        os.close(fd)
    lost = len(fds) > fitting
    if not fds[:fitting]:
        return b"", lost
    numbers = []
    for fd in fds[:fitting]:
        file = opened_as(guest.machine, fd)
        if file:
            os.close(fd)
        file = file or received(guest, fd)
        guest.has_signalfd |= file.kind == "signalfd"
        numbers.append(guest.descriptors.add(file, cloexec=cloexec))
    order = guest.arch.layout.byteorder
    data = b"".join(number.to_bytes(4, order) for number in numbers)
    size = head.size + len(data)
    packed = head.pack(
        len=size, level=host_socket.SOL_SOCKET, type=host_socket.SCM_RIGHTS
    )
    return packed + data, lost


@call("sendmmsg")
def sendmmsg(thread: Thread, fd: int, rows: int, count: int, flags: int) -> int:
    """Send several messages."""
    guest = thread.guest
    head, word = guest.structure("msghdr").size, guest.arch.word_size
    step = -(-(head + 4) // word) * word
    for i in range(min(count, _MESSAGE_LIMIT)):
        try:
            sent = sendmsg(thread, fd, rows + i * step, flags) or 0
        except (OSError, Blocked):
            if i:
                return i
            raise
        guest.store_int(rows + i * step + head, sent)
        # What of the first one was sent before counts for that alone.
        thread.resumed = None
    return min(count, _MESSAGE_LIMIT)


@timed(recvmmsg="timespec", recvmmsg_time64="timespec64")
def recvmmsg(
    thread: Thread, unit: str, fd: int, rows: int, count: int, flags: int, timeout: int
) -> int:
    """Receive several messages, or when the first is there as many as there are."""
    guest = thread.guest
    head, word = guest.structure("msghdr").size, guest.arch.word_size
    step = -(-(head + 4) // word) * word
    end = thread.deadline(fetch_time(guest, unit, timeout) if timeout else None)
    if flags & host_socket.MSG_WAITALL:
        raise not_served(thread, "recvmmsg", "MSG_", host_socket.MSG_WAITALL)
    done = thread.resumed.progress if thread.resumed else 0
    for i in range(done, min(count, _MESSAGE_LIMIT)):
        at = rows + i * step
        waits = not i or not flags & _WAIT_FOR_ONE
        more = flags & ~_WAIT_FOR_ONE | (0 if waits else host_socket.MSG_DONTWAIT)
        # What a message has waited for is not what the next one has.
        thread.resumed = None
        try:
            guest.store_int(at + head, recvmsg(thread, fd, at, more) or 0)
        except OSError:
            if i:
                return i
            raise
        except Blocked as blocked:
            end = blocked.wait.until if end is None else end
            if end is not None and guest.machine.monotonic() >= end:
                if i:
                    return i
                raise fail(errno.EAGAIN) from None
            blocked.wait.progress, blocked.wait.until = i, end
            raise
    return min(count, _MESSAGE_LIMIT)


_CALLS: tuple[tuple[Callable[..., int | None], int], ...] = (
    *((socket, 3), (bind, 3), (connect, 3), (listen, 2), (accept, 3)),
    *((getsockname, 3), (getpeername, 3), (socketpair, 4), (send, 4), (recv, 4)),
    *((sendto, 6), (recvfrom, 6), (shutdown, 2), (setsockopt, 5), (getsockopt, 5)),
    *((sendmsg, 3), (recvmsg, 3), (accept4, 4), (recvmmsg, 5), (sendmmsg, 4)),
)
"""The calls of socketcall(2) from number 1 on, and how many arguments each has."""


@call("socketcall")
def socketcall(thread: Thread, number: int, args: int) -> int:
    """Make one of the calls for sockets."""
    guest = thread.guest
    if not 1 <= number <= len(_CALLS):
        raise fail(errno.EINVAL)
    function, count = _CALLS[number - 1]
    word = guest.arch.word_size
    words = [guest.fetch_word(args + i * word) for i in range(count)]
    if function is recvmmsg:
        return recvmmsg(thread, "timespec", *words) or 0
    return function(thread, *words) or 0
