"""
The ptrace requests that blcr makes, and the waits that go with them.

Every request goes through `request`, which is looked up in this module at each call, so
that a test can make the n-th one fail or end the checkpointer there.

Source: ptrace(2); include/uapi/linux/ptrace.h, Linux 6.12.
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct
import sys
from functools import cache

from blcr.annotations import TYPE_CHECKING
from blcr.errors import HostError, NotPermittedError, TaskGoneError
from blcr.host.native import kernel
from blcr.record import Record

if TYPE_CHECKING:
    from blcr.architecture import RegisterSet

PTRACE_CONT = 7
PTRACE_SINGLESTEP = 9
PTRACE_DETACH = 17
PTRACE_SET_THREAD_AREA = 26
PTRACE_SYSCALL = 24
PTRACE_SETOPTIONS = 0x4200
PTRACE_GETEVENTMSG = 0x4201
PTRACE_GETREGSET = 0x4204
PTRACE_SETREGSET = 0x4205
PTRACE_SEIZE = 0x4206
PTRACE_INTERRUPT = 0x4207
PTRACE_PEEKSIGINFO = 0x4209
PTRACE_GETSIGMASK = 0x420A
PTRACE_SETSIGMASK = 0x420B
PTRACE_SECCOMP_GET_FILTER = 0x420C
PTRACE_SECCOMP_GET_METADATA = 0x420D
PTRACE_GET_RSEQ_CONFIGURATION = 0x420F
PTRACE_SET_SYSCALL_USER_DISPATCH_CONFIG = 0x4210
PTRACE_GET_SYSCALL_USER_DISPATCH_CONFIG = 0x4211

PTRACE_PEEKSIGINFO_SHARED = 1

PTRACE_O_TRACESYSGOOD = 1 << 0
PTRACE_O_TRACEFORK = 1 << 1
PTRACE_O_TRACEVFORK = 1 << 2
PTRACE_O_TRACECLONE = 1 << 3
PTRACE_O_TRACEEXEC = 1 << 4
PTRACE_O_EXITKILL = 1 << 20
PTRACE_O_SUSPEND_SECCOMP = 1 << 21

PTRACE_EVENT_FORK = 1
PTRACE_EVENT_VFORK = 2
PTRACE_EVENT_CLONE = 3
PTRACE_EVENT_EXEC = 4
PTRACE_EVENT_STOP = 128

WALL = 0x40000000

NT_386_TLS = 0x200
_USER_DESC_SIZE = 16

SIGINFO_SIZE = 128
REGISTER_SET_MAX = 1 << 16
"""Bytes; the largest XSAVE image of today has some 11,000."""

_libc = ctypes.CDLL(None, use_errno=True)
_ptrace = _libc.ptrace
_ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
_ptrace.restype = ctypes.c_long


class IOVec(ctypes.Structure):
    """struct iovec of this Python's own ABI."""

    _fields_ = (("base", ctypes.c_void_p), ("size", ctypes.c_size_t))


class RequestError(HostError, OSError):
    """The kernel refused a ptrace request; `errno` says why."""


class Stop(Record):
    """
    How a traced thread stopped or ended.

    Attributes:
        signal: The stopping signal; SIGTRAP for events.
        event: ``PTRACE_EVENT_*``, or 0 for a signal about to be delivered.
    """

    signal: int
    event: int


def request(code: int, tid: int, address: int = 0, data: int = 0) -> int:
    """
    Make one ptrace request.

    Raises:
        TaskGoneError: The thread does not exist, or is not stopped under this tracer.
        RequestError: The kernel refused otherwise.
    """
    result: int = _ptrace(code, tid, address, data)
    if result == -1:
        error = ctypes.get_errno()
        if error == errno.ESRCH:
            raise TaskGoneError(f"thread {tid} ended while it was held")
        if error:
            raise RequestError(
                error, f"ptrace({code:#x}) of thread {tid}: {os.strerror(error)}"
            )
    return result


def seize(tid: int, options: int = 0) -> None:
    """
    Begin to trace a thread without stopping it.

    Raises:
        TaskGoneError: It has ended.
        NotPermittedError: The kernel says no; the caller finds out why.
    """
    try:
        request(PTRACE_SEIZE, tid, 0, options)
    except RequestError as error:
        if error.errno != errno.EPERM:
            raise
        raise NotPermittedError(f"thread {tid} may not be traced") from error


def interrupt(tid: int) -> None:
    """Ask a seized thread to stop."""
    request(PTRACE_INTERRUPT, tid)


def resume(tid: int, signal: int = 0) -> None:
    """Let a stopped thread run, `signal` delivered first."""
    request(PTRACE_CONT, tid, 0, signal)


def detach(tid: int, signal: int = 0) -> None:
    """End tracing; `signal` is delivered first."""
    request(PTRACE_DETACH, tid, 0, signal)


def wait(tid: int, flags: int = 0) -> Stop | None:
    """
    Wait until a traced thread stops.

    Returns:
        None only with WNOHANG: not yet.

    Raises:
        TaskGoneError: It ended.
    """
    try:
        seen, status = os.waitpid(tid, WALL | flags)
    except ChildProcessError as error:
        raise TaskGoneError(f"thread {tid} is gone") from error
    if seen == 0:
        return None
    if not os.WIFSTOPPED(status):
        raise TaskGoneError(f"thread {tid} ended while it was held")
    return Stop(os.WSTOPSIG(status), status >> 16)


def set_options(tid: int, options: int) -> None:
    """Set the options ``PTRACE_O_*`` of a stopped thread."""
    request(PTRACE_SETOPTIONS, tid, 0, options)


def event_message(tid: int) -> int:
    """Return the message of the last event: the new thread's id after a clone."""
    message = ctypes.c_ulong()
    request(PTRACE_GETEVENTMSG, tid, 0, ctypes.addressof(message))
    return message.value


_buffer = ctypes.create_string_buffer(REGISTER_SET_MAX)
_view = memoryview(_buffer)
_iovec = IOVec(ctypes.addressof(_buffer), REGISTER_SET_MAX)


def register_set(tid: int, note_type: int) -> bytes | None:
    """Return a register set; None: it is not there, or not in use."""
    _iovec.size = REGISTER_SET_MAX
    try:
        request(PTRACE_GETREGSET, tid, note_type, ctypes.addressof(_iovec))
    except OSError as error:
        if error.errno in (errno.EINVAL, errno.ENODEV, errno.ENODATA):
            return None
        raise
    return _view[: _iovec.size].tobytes() if _iovec.size else None


def known_set(tid: int, known: RegisterSet) -> bytes | None:
    """Return a register set of an architecture, which the kernel may have apart."""
    data = register_set(tid, known.note_type)
    if data is not None or known.apart is None or known.size is None:
        return data
    try:
        request(known.apart[0], tid, 0, ctypes.addressof(_buffer))
    except OSError as error:
        if error.errno in (errno.EIO, errno.EINVAL):
            return None
        raise
    return _view[: known.size].tobytes()


def set_register_set(tid: int, note_type: int, data: bytes) -> None:
    """
    Set a register set; the size must be the one that `register_set` gives.

    The general set comes first: what another one says of a selector takes effect on
    the selector that the thread has.
    """
    if note_type == NT_386_TLS:
        _set_thread_areas(tid, data)
        return
    ctypes.memmove(_buffer, data, len(data))
    _iovec.size = len(data)
    request(PTRACE_SETREGSET, tid, note_type, ctypes.addressof(_iovec))


def _set_thread_areas(tid: int, data: bytes) -> None:
    """
    Set the thread's own segments one by one.

    PTRACE_SETREGSET changes the descriptors, but where the CPU has FSGSBASE not the
    base that the kernel loads with the selector; PTRACE_SET_THREAD_AREA does both.

    Source: regset_tls_set and do_set_thread_area, arch/x86/kernel/tls.c, Linux 6.12.
    """
    for at in range(0, len(data), _USER_DESC_SIZE):
        ctypes.memmove(_buffer, data[at : at + _USER_DESC_SIZE], _USER_DESC_SIZE)
        entry = int.from_bytes(data[at : at + 4], sys.byteorder)
        request(PTRACE_SET_THREAD_AREA, tid, entry, ctypes.addressof(_buffer))


def signal_mask(tid: int) -> int:
    """Return the blocked signals, bit 0 for signal 1."""
    mask = ctypes.c_uint64()
    request(PTRACE_GETSIGMASK, tid, 8, ctypes.addressof(mask))
    return mask.value


def set_signal_mask(tid: int, mask: int) -> None:
    """Set the blocked signals."""
    value = ctypes.c_uint64(mask)
    request(PTRACE_SETSIGMASK, tid, 8, ctypes.addressof(value))


def queued(tid: int, *, shared: bool) -> list[bytes]:
    """
    Return the siginfos in the queue of the thread, or of its whole process.

    They come in the kernel's own order and layout, of the tracer's ABI.
    """
    infos: list[bytes] = []
    flags = PTRACE_PEEKSIGINFO_SHARED if shared else 0
    while True:
        args = struct.pack("=QII", len(infos), flags, 32)
        holder = ctypes.create_string_buffer(args, len(args))
        count = request(
            PTRACE_PEEKSIGINFO, tid, ctypes.addressof(holder), ctypes.addressof(_buffer)
        )
        raw = _view[: count * SIGINFO_SIZE].tobytes()
        infos += [raw[i : i + SIGINFO_SIZE] for i in range(0, len(raw), SIGINFO_SIZE)]
        if count < 32:
            return infos


_DISPATCH = struct.Struct("=4Q")
"""struct ptrace_sud_config: mode, selector, offset, length."""


def dispatch(tid: int) -> tuple[int, int, int] | None:
    """
    Return selector, offset and length of a thread that catches its own system calls.

    None: it does not, or the kernel (before 6.4) does not tell.
    """
    try:
        request(
            PTRACE_GET_SYSCALL_USER_DISPATCH_CONFIG,
            tid,
            _DISPATCH.size,
            ctypes.addressof(_buffer),
        )
    except OSError as error:
        if error.errno in (errno.EIO, errno.EINVAL):
            return None
        raise
    mode, selector, offset, length = _DISPATCH.unpack_from(_view)
    return (selector, offset, length) if mode else None


def set_dispatch(tid: int, wanted: tuple[int, int, int] | None) -> None:
    """Have a thread catch its own system calls again, or (None) not any more."""
    packed = _DISPATCH.pack(1, *wanted) if wanted else bytes(_DISPATCH.size)
    ctypes.memmove(_buffer, packed, len(packed))
    request(
        PTRACE_SET_SYSCALL_USER_DISPATCH_CONFIG,
        tid,
        len(packed),
        ctypes.addressof(_buffer),
    )


class RseqConfiguration(Record):
    """struct ptrace_rseq_configuration: where a thread has registered its rseq area."""

    address: int
    size: int
    signature: int
    flags: int


def rseq(tid: int) -> RseqConfiguration | None:
    """
    Return the registration of restartable sequences, or None.

    Where the kernel has the request a failure is one: a thread of which nobody knows
    whether it is inside such a sequence must not be touched.
    """
    try:
        size = request(
            PTRACE_GET_RSEQ_CONFIGURATION, tid, 24, ctypes.addressof(_buffer)
        )
    except OSError as error:
        if error.errno in (errno.EIO, errno.EINVAL) and not _tells_rseq():
            return None
        raise
    if size < 20:
        return None
    found = RseqConfiguration(*struct.unpack_from("=QIII", _view))
    return found if found.address else None


@cache
def _tells_rseq() -> bool:
    """Tell whether this kernel has the request: since 5.13, if it has rseq(2)."""
    from blcr.host.native.process import own_arch

    number = own_arch().syscalls.get("rseq")
    if number is None or kernel.version() < (5, 13):
        return False
    # With no area at all the call is refused, where there is one.
    ctypes.set_errno(0)
    _libc.syscall(ctypes.c_long(number), None, 0, 0, 0)
    return ctypes.get_errno() != errno.ENOSYS
