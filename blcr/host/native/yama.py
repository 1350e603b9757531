"""
Yama: the kernel's restriction of tracing to ancestors, and programs that allow more.

Source: Documentation/admin-guide/LSM/Yama.rst, Linux 6.12; PR_SET_PTRACER in prctl(2).
"""

from __future__ import annotations

import ctypes

SCOPE = "/proc/sys/kernel/yama/ptrace_scope"

ANCESTORS = 1
"""The scope in which a process may name who else may trace it."""

_PR_SET_PTRACER = 0x59616D61
PR_SET_PTRACER_ANY = -1

_REASONS = {
    1: "start the program with cr_run, or have the administrator set it to 0",
    2: "only who has CAP_SYS_PTRACE may trace; have the administrator set it to 1 or 0",
    3: "nobody may trace until the next boot",
}

_libc = ctypes.CDLL(None, use_errno=True)


def scope() -> int:
    """Return the restriction; 0: none, or the kernel has no Yama."""
    try:
        with open(SCOPE) as file:
            return int(file.read())
    except OSError:
        return 0


def reason() -> str:
    """Return why this restricts tracing, and what helps; empty: it does not."""
    found = scope()
    if found not in _REASONS:
        return ""
    return f"kernel.yama.ptrace_scope is {found}; {_REASONS[found]}"


def admit_all() -> None:
    """Let this process, and the program it becomes, be traced by any of its user's."""
    if scope() == ANCESTORS:
        anybody = ctypes.c_long(PR_SET_PTRACER_ANY)
        _libc.prctl(_PR_SET_PTRACER, anybody, 0, 0, 0)
