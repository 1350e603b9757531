"""
Filters of system calls, seen from outside, and out of the way meanwhile.

Both take CAP_SYS_ADMIN in the first user namespace, and a tracer without a filter.

Source: ptrace(2), seccomp(2); get_nth_filter in kernel/seccomp.c, ptrace_setoptions in
kernel/ptrace.c, Linux 6.12.
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct
from functools import cache

from blcr.context import records
from blcr.errors import RefusedError
from blcr.host.native import procfs, ptrace

_CAP_SYS_ADMIN = 21
_FIRST_USER_NAMESPACE = "user:[4026531837]"
"""PROC_USER_INIT_INO of linux/proc_ns.h."""
REFUSED = "runs under seccomp, and only root may save it (CAP_SYS_ADMIN)"

_INSTRUCTION_SIZE = 8
_MAX_INSTRUCTIONS = 4096


@cache
def may_suspend() -> bool:
    """Tell whether this process may look at filters, and suspend them."""
    own = procfs.status(os.getpid())
    able = own.credentials.effective >> _CAP_SYS_ADMIN & 1
    first = procfs.link(os.getpid(), "ns/user") == _FIRST_USER_NAMESPACE
    return bool(able and first and not own.seccomp)


def suspend(tid: int, options: int) -> bool:
    """
    Have no filter look at what a stopped thread calls, until it is let go.

    Args:
        tid: The thread.
        options: ``PTRACE_O_*`` that it has.

    Returns:
        False if that is not permitted.
    """
    try:
        ptrace.set_options(tid, options | ptrace.PTRACE_O_SUSPEND_SECCOMP)
    except ptrace.RequestError as error:
        if error.errno in (errno.EPERM, errno.EINVAL):
            return False
        raise
    return True


def filters(pid: int, tid: int) -> tuple[records.SeccompFilter, ...]:
    """
    Return the filters of a stopped thread, the oldest first.

    Raises:
        RefusedError: The kernel does not show one.
    """
    found: list[records.SeccompFilter] = []
    try:
        while (program := _program(tid, len(found))) is not None:
            found.append(records.SeccompFilter(program, _flags(tid, len(found))))
    except ptrace.RequestError as error:
        raise RefusedError(
            pid,
            f"runs under a seccomp filter that cannot be read ({error.strerror})",
        ) from error
    return tuple(found)


def _program(tid: int, index: int) -> bytes | None:
    """Return a filter's struct sock_filter[]; None: there are not so many."""
    room = ctypes.create_string_buffer(_MAX_INSTRUCTIONS * _INSTRUCTION_SIZE)
    try:
        count = ptrace.request(
            ptrace.PTRACE_SECCOMP_GET_FILTER, tid, index, ctypes.addressof(room)
        )
    except ptrace.RequestError as error:
        if error.errno == errno.ENOENT:
            return None
        raise
    return room.raw[: count * _INSTRUCTION_SIZE]


def _flags(tid: int, index: int) -> int:
    """Return the ``SECCOMP_FILTER_FLAG_*`` of a filter that the kernel tells."""
    data = struct.pack("=QQ", index, 0)
    room = ctypes.create_string_buffer(data, len(data))
    ptrace.request(
        ptrace.PTRACE_SECCOMP_GET_METADATA, tid, len(data), ctypes.addressof(room)
    )
    return int(struct.unpack("=QQ", room.raw)[1])
