"""
System calls that can wait: where their timeout is, and how they go on after a stop.

A stop without a signal handler, which is what a checkpoint is, ends a waiting call
inside the kernel in one of three ways (`Waiting.after`):

- ``"again"``: it is made again with the same arguments (ERESTARTSYS and its like).
  What has no row in `CALLS` does this, and has no timeout.
- ``"block"``: it goes on by ``restart_syscall``, which has the end of the wait in the
  kernel (ERESTART_RESTARTBLOCK).  The number of that call may be all that registers
  show; nothing outside the kernel can read its end.
- ``"fails"``: it returns EINTR, though the program sees no signal.

Source: signal(7), "Interruption of system calls and library functions by stop
signals"; kernel/time/hrtimer.c, kernel/futex/waitwake.c, fs/select.c, fs/eventpoll.c,
fs/aio.c, kernel/signal.c and ipc/sem.c of Linux 6.12.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from blcr.annotations import Literal
from blcr.architecture import Arch, ReadMemory
from blcr.linux import constants, structures
from blcr.record import Record

NS_IN_S = 10**9
NS_IN_MS = 10**6

# struct timeval counts microseconds, the others nanoseconds.
_FRACTIONS = {
    "timeval": ("usec", 1000),
    "timespec": ("nsec", 1),
    "timespec64": ("nsec", 1),
}


class Waiting(Record):
    """
    How one system call waits.

    Attributes:
        after: ``"again"``, ``"block"`` or ``"fails"``, as the module explains.
        timeout: Index of the argument that limits the wait; None: nothing does.
        unit: ``"milliseconds"`` in the argument itself, or the structure it points to.
        left: Index of the argument behind which the kernel writes the time left when
            the call is interrupted; a null pointer there: it does not.
        absolute: Whether the arguments give a time of a clock and not a duration.
    """

    after: Literal["again", "block", "fails"]
    timeout: int | None = None
    unit: str = ""
    left: int | None = None
    absolute: Callable[[Sequence[int]], bool] | None = None


def waiting(name: str, args: Sequence[int]) -> Waiting | None:
    """Return how a call waits; None: not in a way that needs anything."""
    if name == "ipc":
        return _IPC.get(args[0] & _IPC_CALL)
    return CALLS.get(name)


TIMED_BY_SOCKET = frozenset(
    """
    accept accept4 read readv recv recvfrom recvmsg send sendmsg sendto write writev
    """.split()
)
"""
Calls that a stop ends with EINTR, before anything was moved, where a socket has a limit
(SO_RCVTIMEO, SO_SNDTIMEO); made again they have all of that limit.

Source: sock_intr_errno in include/net/sock.h, Linux 6.12.
"""


def fails(name: str, args: Sequence[int]) -> bool:
    """Tell whether a call returns EINTR after any stop."""
    call = waiting(name, args)
    return call is not None and call.after == "fails"


def timeout(arch: Arch, name: str, args: Sequence[int], read: ReadMemory) -> int | None:
    """
    Return the relative timeout that the arguments ask for, in ns.

    None: the call waits without limit, until a time of a clock, or not at all.
    """
    call = waiting(name, args)
    if call is None or call.timeout is None or (call.absolute and call.absolute(args)):
        return None
    if call.unit != "milliseconds":
        return _duration(arch, call.unit, args[call.timeout], read)
    # An int in a register: what lies above its 32 bits is undefined.
    value = (args[call.timeout] + (1 << 31)) % (1 << 32) - (1 << 31)
    return None if value < 0 else value * NS_IN_MS


def time_left(
    arch: Arch, name: str, args: Sequence[int], read: ReadMemory
) -> int | None:
    """
    Return the time left in ns that the kernel wrote back, after an interruption.

    None: it does not do so for this call with these arguments.
    """
    call = waiting(name, args)
    if call is None or call.left is None or timeout(arch, name, args, read) is None:
        return None
    return _duration(arch, call.unit, args[call.left], read)


def with_timeout(
    arch: Arch, name: str, args: Sequence[int], ns: int, address: int
) -> tuple[tuple[int, ...], bytes]:
    """
    Return arguments that ask for a relative timeout of `ns`, rounded up.

    The bytes, where there are any, belong at `address`, to which an argument points.
    The call must be one that has a relative timeout.
    """
    call = waiting(name, args)
    assert call, f"{name} is not known to wait"
    assert call.timeout is not None, f"{name} has no timeout"
    if call.unit == "milliseconds":
        value, data = -(-ns // NS_IN_MS), b""
    else:
        field, scale = _FRACTIONS[call.unit]
        sec, rest = divmod(-(-ns // scale), NS_IN_S // scale)
        value = address
        data = structures.of(arch, call.unit).pack(**{"sec": sec, field: rest})
    changed = list(args)
    changed[call.timeout] = value
    return tuple(changed), data


def _duration(arch: Arch, unit: str, address: int, read: ReadMemory) -> int | None:
    if not address:
        return None
    structure = structures.of(arch, unit)
    fields = structure.unpack(read(address, structure.size))
    fraction, scale = _FRACTIONS[unit]
    return int(fields["sec"] * NS_IN_S + fields[fraction] * scale)


def _ends_at_time(flags: int) -> Callable[[Sequence[int]], bool]:
    """Return whether the flags in that argument have TIMER_ABSTIME."""
    return lambda args: bool(args[flags] & constants.GENERIC["TIMER_ABSTIME"])


def _futex_ends_at_time(args: Sequence[int]) -> bool:
    """Return whether it is another command than FUTEX_WAIT, the only relative one."""
    options = (
        constants.GENERIC["FUTEX_PRIVATE_FLAG"]
        | constants.GENERIC["FUTEX_CLOCK_REALTIME"]
    )
    return args[1] & ~options & 0xFFFF_FFFF != constants.GENERIC["FUTEX_WAIT"]


_CLOCK_SLEEP = _ends_at_time(1)

CALLS: Mapping[str, Waiting] = {
    "nanosleep": Waiting("block", 0, "timespec", left=1),
    "clock_nanosleep": Waiting("block", 2, "timespec", 3, _CLOCK_SLEEP),
    "clock_nanosleep_time64": Waiting("block", 2, "timespec64", 3, _CLOCK_SLEEP),
    "poll": Waiting("block", 2, "milliseconds"),
    "ppoll": Waiting("again", 2, "timespec", left=2),
    "ppoll_time64": Waiting("again", 2, "timespec64", left=2),
    "select": Waiting("again", 4, "timeval", left=4),
    "_newselect": Waiting("again", 4, "timeval", left=4),
    "pselect6": Waiting("again", 4, "timespec", left=4),
    "pselect6_time64": Waiting("again", 4, "timespec64", left=4),
    "futex": Waiting("block", 3, "timespec", None, _futex_ends_at_time),
    "futex_time64": Waiting("block", 3, "timespec64", None, _futex_ends_at_time),
    "epoll_wait": Waiting("fails", 3, "milliseconds"),
    "epoll_pwait": Waiting("fails", 3, "milliseconds"),
    "epoll_pwait2": Waiting("fails", 3, "timespec64"),
    "rt_sigtimedwait": Waiting("fails", 2, "timespec"),
    "rt_sigtimedwait_time64": Waiting("fails", 2, "timespec64"),
    "semop": Waiting("fails"),
    "semtimedop": Waiting("fails", 3, "timespec"),
    "semtimedop_time64": Waiting("fails", 3, "timespec64"),
    "io_getevents": Waiting("fails", 4, "timespec"),
    "io_pgetevents": Waiting("again", 4, "timespec"),
    "io_pgetevents_time64": Waiting("again", 4, "timespec64"),
}

_IPC_CALL = 0xFFFF
_IPC = {1: CALLS["semop"], 4: Waiting("fails", 5, "timespec")}
"""
SEMOP and SEMTIMEDOP of ``ipc``, by which 32-bit programs reach SysV objects.

Source: include/uapi/linux/ipc.h, ipc/syscall.c, Linux 6.12.
"""

_WAIT_FOR_OBJECTS = {
    **dict.fromkeys(("semop", "semtimedop", "semtimedop_time64"), "sem"),
    **dict.fromkeys(("msgsnd", "msgrcv"), "msg"),
}
_IPC_OBJECTS = {1: "sem", 4: "sem", 11: "msg", 12: "msg"}


def object_of(name: str, args: Sequence[int]) -> tuple[str, int] | None:
    """Return kind and id of the System V object that a call waits for, if it does."""
    if name == "ipc" and (kind := _IPC_OBJECTS.get(args[0] & _IPC_CALL)):
        return kind, args[1]
    found = _WAIT_FOR_OBJECTS.get(name)
    return (found, args[0]) if found else None
