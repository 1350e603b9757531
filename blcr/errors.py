"""
All errors of blcr: one tree, each branch saying whose move is next.

Every class carries the exit status that the commands end with.  The numbers are those
of BLCR 0.8.5: an errno where one fits, else one of its own codes above 50.
"""

from __future__ import annotations

import errno
import os

_WAYS_OUT = {
    errno.EAGAIN: "raise the limit of processes (ulimit -u)",
    errno.EDQUOT: "make room in your quota",
    errno.EFBIG: "raise the limit of the size of files (ulimit -f)",
    errno.EMFILE: "raise the limit of open files (ulimit -n)",
    errno.ENFILE: "have other programs close files (sysctl fs.file-max)",
    errno.ENOMEM: "free memory, or raise its limits (ulimit -v, ulimit -d)",
    errno.ENOSPC: "make room on the file system",
}
_SIGNAL_CALLS = ("rt_sigqueueinfo", "rt_tgsigqueueinfo", "timer_create")
"""Calls whose EAGAIN is about the queue of signals."""


def way_out(code: int, call: str = "") -> str:
    """
    Return what helps where something has run out, a clause; empty for other errors.

    Args:
        code: The errno.
        call: The system call that failed.
    """
    if code == errno.EAGAIN and call in _SIGNAL_CALLS:
        return "; raise the limit of pending signals (ulimit -i)"
    return f"; {_WAYS_OUT[code]}" if code in _WAYS_OUT else ""


class BlcrError(Exception):
    """Base of all errors of this package; they can be sent from process to process."""

    exit_status = 1

    def __reduce__(self) -> tuple[object, ...]:
        # The arguments of a class may be others than the message it makes of them.
        return type(self).__new__, (type(self), *self.args), vars(self)


class UsageError(BlcrError):
    """The request contradicts itself; nothing was looked at."""

    exit_status = errno.EINVAL


class NoSuchProcessError(BlcrError):
    """There is no such process, or it has ended already."""

    exit_status = errno.ESRCH


class NotPermittedError(BlcrError):
    """The process, file or namespace is not the caller's to use."""

    exit_status = errno.EPERM


class TracedError(BlcrError):
    """Somebody else, a debugger for instance, traces the process."""

    exit_status = 56


class BusyError(BlcrError):
    """What is asked for is taken: a pid in use, a process in another checkpoint."""

    exit_status = errno.EBUSY


class FreezeTimeoutError(BusyError):
    """A thread did not stop in time; everything was let go again."""


class RefusedError(BlcrError):
    """The process uses something that cannot be saved; nothing was changed."""

    exit_status = 52

    def __init__(self, pid: int, what: str, *, hint: str = "") -> None:
        self.pid = pid
        self.what = what
        self.hint = hint
        super().__init__(f"process {pid}: {what}" + (f"; {hint}" if hint else ""))


class PassingError(RefusedError):
    """Likewise, for what it does just now: soon it may be saved."""


class RestartError(BlcrError):
    """
    A process could not be rebuilt; none of the context's processes is left.

    Args:
        message: What could not be rebuilt, of which process, and why.
        status: An errno that says so in one number.
    """

    def __init__(self, message: str, *, status: int = errno.EPERM) -> None:
        self.exit_status = status
        super().__init__(message)


class RemoteCallError(BlcrError):
    """A system call made in the name of the process failed."""

    def __init__(self, pid: int, name: str, code: int, *, detail: str = "") -> None:
        self.pid = pid
        self.name = name
        self.errno = code
        self.exit_status = code & 255
        symbol = errno.errorcode.get(code, str(code))
        what = f"{name}({detail})" if detail else name
        super().__init__(
            f"process {pid}: {what} failed there with {symbol} ({os.strerror(code)})"
        )


class TaskGoneError(NoSuchProcessError):
    """The process ended, or was killed, while blcr held it."""


class TargetError(BlcrError):
    """The context could not be written; an older file of that name is untouched."""

    def __init__(self, message: str, *, status: int) -> None:
        self.exit_status = status
        super().__init__(message)


class ContextError(BlcrError):
    """A context file is not one, or is damaged."""

    exit_status = errno.EINVAL


class ContextVersionError(ContextError):
    """A context file of a newer format, or with features unknown here."""

    exit_status = 53


class ArchitectureError(BlcrError):
    """A program or context is of an architecture that this host cannot run."""

    exit_status = 55


class HostError(BlcrError):
    """The machine lacks what the request needs: a kernel facility, a namespace."""

    exit_status = errno.ENOSYS


class NotTrackableError(HostError):
    """What a process writes cannot be noted; its pages are copied while it stands."""


class ArchDefinitionError(BlcrError):
    """A package in arch/ contradicts itself; its author must mend the table."""
