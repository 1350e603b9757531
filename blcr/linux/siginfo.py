"""
What a siginfo says, by its signal and code, and saying it to another architecture.

Source: siginfo_layout and sig_sicodes in kernel/signal.c,
include/uapi/asm-generic/siginfo.h, Linux 6.12.
"""

from __future__ import annotations

from blcr.architecture import Arch
from blcr.linux import structures
from blcr.linux.constants import GENERIC

# Structure by signal, for codes from 1 up to the highest that the kernel uses.
_BY_SIGNAL = {
    GENERIC[name]: (highest, structure)
    for name, highest, structure in (
        ("SIGILL", 11, "siginfo_fault"),
        ("SIGFPE", 15, "siginfo_fault"),
        ("SIGSEGV", 10, "siginfo_fault"),
        ("SIGBUS", 5, "siginfo_fault"),
        ("SIGTRAP", 6, "siginfo_fault"),
        ("SIGCHLD", 6, "siginfo_child"),
        ("SIGIO", 6, "siginfo_poll"),
        ("SIGSYS", 2, "siginfo_sys"),
    )
}
_POLL_CODES = 6
"""With a real-time signal chosen by F_SETSIG these are codes of SIGIO."""


def layout(signal: int, code: int) -> str:
    """Return the name of the structure that a siginfo is."""
    if code == GENERIC["SI_TIMER"]:
        return "siginfo_timer"
    if code == GENERIC["SI_SIGIO"]:
        return "siginfo_poll"
    if code < 0:
        return "siginfo_rt"
    if GENERIC["SI_USER"] < code < GENERIC["SI_KERNEL"]:
        highest, structure = _BY_SIGNAL.get(signal, (0, ""))
        if code <= highest:
            return structure
        if code <= _POLL_CODES:
            return "siginfo_poll"
    return "siginfo_kill"


def convert(info: bytes, given: Arch, wanted: Arch) -> bytes:
    """Return a siginfo of one architecture as another one has it."""
    head = structures.of(given, "siginfo").unpack(info)
    name = layout(head["signo"], head["code"])
    fields = structures.of(given, name).unpack(info)
    return structures.of(wanted, name).pack(**fields)


def unqueued(arch: Arch, signal: int) -> bytes:
    """Return what the kernel makes up for a signal that has found no room to wait."""
    return structures.of(arch, "siginfo_kill").pack(
        signo=signal, code=GENERIC["SI_USER"]
    )


def exited(arch: Arch, signal: int, pid: int, uid: int) -> bytes:
    """Return what the kernel says of a child that has ended with 0."""
    return structures.of(arch, "siginfo_child").pack(
        signo=signal, code=GENERIC["CLD_EXITED"], pid=pid, uid=uid
    )
