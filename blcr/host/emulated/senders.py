"""
Who sends for guests, so that readers are told who has sent something (SO_PASSCRED).

To the kernel all guests are this process.  From the time on that one wants to be told,
each guest that sends has a process for that: a child of ours, which has nothing but a
connection to us, and sends what it is told to.  So the kernel keeps for each message
who has sent it, and we whom that stands for.

Source: unix(7), cmsg(3); net/unix/af_unix.c of Linux 6.12.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import mmap
import os
import signal
import socket
import struct

from blcr.annotations import Any
from blcr.linux import addresses
from blcr.record import Record

CONTROL = struct.Struct("@Nii")
"""``struct cmsghdr`` of this machine; what follows it is aligned to words."""
CREDENTIALS = struct.Struct("=iII")
"""``struct ucred``."""
_SCM_CREDENTIALS = 2
"""Source: linux/socket.h."""
_WORD = ctypes.sizeof(ctypes.c_size_t)
_ROOM = 1 << 22
"""For an address and data, more than a datagram may have by default."""
_MOST_FDS = 253
"""SCM_MAX_FD."""
_ALL_FDS = (1 << 31) - 1

libc = ctypes.CDLL(None, use_errno=True)


class _Vector(ctypes.Structure):
    """``struct iovec`` of this machine."""

    _fields_ = (("base", ctypes.c_char_p), ("len", ctypes.c_size_t))


class Header(ctypes.Structure):
    """``struct msghdr`` of this machine."""

    _fields_ = (
        *(("name", ctypes.c_char_p), ("namelen", ctypes.c_uint)),
        *(("iov", ctypes.POINTER(_Vector)), ("iovlen", ctypes.c_size_t)),
        *(("control", ctypes.c_char_p), ("controllen", ctypes.c_size_t)),
        ("flags", ctypes.c_int),
    )


def pass_message(
    function: Any,  # noqa: ANN401
    fd: int,
    flags: int,
    *parts: bytes | ctypes.Array[ctypes.c_char],
) -> tuple[int, Header]:
    """
    Make a call with a message, and return its result.

    Args:
        function: Of the C library.
        fd, flags: Its other arguments.
        parts: Address, data and control messages.

    Raises:
        OSError: It failed.
    """
    sizes = [len(part) for part in parts]
    name, data, control = (
        ctypes.cast(part, ctypes.c_char_p)  # type: ignore[arg-type]
        for part in parts
    )
    vector = _Vector(data, sizes[1])
    header = Header(
        *(name if sizes[0] else None, sizes[0], ctypes.pointer(vector), 1),
        *(control if sizes[2] else None, sizes[2]),
    )
    function.restype = ctypes.c_ssize_t
    result = int(function(fd, ctypes.byref(header), flags))
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return result, header


def _packed(fds: tuple[int, ...], *, signed: bool) -> bytes:
    """Return control messages that pass descriptors on, and say who we are."""
    parts = []
    if signed:
        who = CREDENTIALS.pack(os.getpid(), os.getuid(), os.getgid())
        parts.append((_SCM_CREDENTIALS, who))
    if fds:
        parts.append((int(socket.SCM_RIGHTS), struct.pack(f"={len(fds)}i", *fds)))
    found = b""
    for kind, data in parts:
        head = CONTROL.pack(CONTROL.size + len(data), socket.SOL_SOCKET, kind)
        found += (head + data).ljust(
            -(-(len(head) + len(data)) // _WORD) * _WORD, b"\0"
        )
    return found


class _Order(Record):
    """
    What a sender is told to do, with a socket and what is to be passed on.

    Attributes:
        address, data: Their sizes in the memory that both have.
        signed: As of `Senders.send`.
        folder: The last descriptor is where the path of the address begins.
    """

    flags: int
    address: int
    data: int
    signed: int
    folder: int


_ORDER = struct.Struct("=5i")
_RESULT = struct.Struct("=q")


class Senders:
    """
    Those who send for the guests of a machine.

    Attributes:
        wanted: Somebody may want to know who has sent something.
    """

    def __init__(self) -> None:
        self.wanted = False
        self._all: dict[int, tuple[int, socket.socket]] = {}
        """Process and connection by guest."""
        self._guests: dict[int, int] = {}
        """Guests by the processes that send, or have sent, for them."""
        self._memory: mmap.mmap | None = None

    def guest(self, pid: int) -> int:
        """Return the guest that a process sends for; 0: for none."""
        return self._guests.get(pid, 0)

    def send(
        self,
        guest: int,
        fd: int,
        flags: int,
        address: bytes,
        data: bytes,
        fds: tuple[int, ...],
        *,
        signed: bool = False,
    ) -> int:
        """
        Send a message as a guest does; return how many bytes have been sent.

        Args:
            guest: Its id.
            fd: The socket, a descriptor of ours.
            flags: ``MSG_*``, with which it does not wait.
            address: To where; empty: where it is connected to.
            data: The bytes.
            fds: Descriptors of ours to be passed on.
            signed: The reader is told in any case who has sent it.

        Raises:
            OSError: It could not be sent.
        """
        if not (self.wanted or signed) or not _is_unix(fd):
            control = _packed(fds, signed=False)
            return pass_message(libc.sendmsg, fd, flags, address, data, control)[0]
        if len(address) + len(data) > _ROOM or len(fds) + 2 > _MOST_FDS:
            raise OSError(errno.EMSGSIZE, os.strerror(errno.EMSGSIZE))
        if self._memory is None:
            self._memory = mmap.mmap(-1, _ROOM)
        self._memory[: len(address) + len(data)] = address + data
        path = addresses.path(address) if address else ""
        is_relative = bool(path) and not path.startswith("/")
        order = _Order(flags, len(address), len(data), int(signed), int(is_relative))
        with contextlib.ExitStack() as stack:
            given = [fd, *fds]
            if is_relative:
                given.append(os.open(".", os.O_PATH | os.O_CLOEXEC))
                stack.callback(os.close, given[-1])
            result = self._ask(guest, order, given)
        if result < 0:
            raise OSError(-result, os.strerror(-result))
        return result

    def _ask(self, guest: int, order: _Order, fds: list[int]) -> int:
        """Have the sender of a guest do something; return what it says."""
        for _ in range(2):
            if guest not in self._all:
                self._begin(guest)
            _pid, connection = self._all[guest]
            with contextlib.suppress(OSError):
                socket.send_fds(connection, [_ORDER.pack(*order)], fds)
                if answer := connection.recv(_RESULT.size):
                    return int(_RESULT.unpack(answer)[0])
            # Somebody has killed it.
            self.end(guest)
        return -errno.EIO

    def _begin(self, guest: int) -> None:
        """Make the sender of a guest."""
        assert self._memory is not None
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        # What a terminal sends to our process group is not for it.
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        try:
            pid = os.fork()
            if pid == 0:
                _serve(theirs, self._memory)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        theirs.close()
        self._all[guest], self._guests[pid] = (pid, ours), guest

    def end(self, guest: int) -> None:
        """End the sender of a guest; what it has sent stays the guest's."""
        if guest in self._all:
            pid, connection = self._all.pop(guest)
            connection.close()
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, 0)


def _is_unix(fd: int) -> bool:
    """Tell whether a socket is a Unix one."""
    family, size = ctypes.c_int(), ctypes.c_uint(ctypes.sizeof(ctypes.c_int))
    level, option = socket.SOL_SOCKET, socket.SO_DOMAIN
    libc.getsockopt(fd, level, option, ctypes.byref(family), ctypes.byref(size))
    return family.value == socket.AF_UNIX


def _serve(connection: socket.socket, memory: mmap.mmap) -> None:
    """Be a sender, until nobody has the other end of the connection any more."""
    try:
        os.dup2(connection.fileno(), 0)
        connection.detach()
        os.closerange(1, _ALL_FDS)
        with socket.socket(fileno=0) as master:
            while True:
                head, fds, _, _ = socket.recv_fds(master, _ORDER.size, _MOST_FDS)
                if not head:
                    break
                master.send(
                    _RESULT.pack(_perform(_Order(*_ORDER.unpack(head)), fds, memory))
                )
    finally:
        os._exit(0)


def _perform(order: _Order, fds: list[int], memory: mmap.mmap) -> int:
    """Send something; return how many bytes, or the negative errno."""
    end = order.address + order.data
    address, data = memory[: order.address], memory[order.address : end]
    fd, *rights = fds
    try:
        if order.folder:
            os.fchdir(rights.pop())
        control = _packed(tuple(rights), signed=bool(order.signed))
        return pass_message(libc.sendmsg, fd, order.flags, address, data, control)[0]
    except OSError as error:
        return -(error.errno or errno.EIO)
    finally:
        for one in fds:
            os.close(one)
