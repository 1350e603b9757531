"""
Which kinds of state a context holds that not every host can rebuild.

A host names those that it can; any other is refused by its name before anything starts.
What every host has, memory and threads and signals, is no kind.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator, Mapping

from blcr.context import records

_NETLINK = 16
"""AF_NETLINK."""


def unsupported(context: records.Context, kinds: Container[str]) -> list[str]:
    """Return the kinds of state in a context that are not among `kinds`."""
    return sorted({kind for kind in _kinds(context) if kind not in kinds})


def _kinds(context: records.Context) -> Iterator[str]:
    """Yield the kinds that a context holds."""
    for file in context.files:
        yield file.kind
        if file.contents >= 0:
            yield "contents"
        if file.owner[1] or file.signal:
            yield "owner"
    if any(one.family == _NETLINK for one in context.sockets):
        yield "netlink_socket"
    if any(one.connection for one in context.sockets):
        yield "connection"
    if context.semaphores or context.message_queues:
        yield "sysv"
    if any(one.kind == "sysv" for one in context.shared_memory):
        yield "sysv"
    options = {one[:2] for each in context.sockets for one in each.options}
    if options & _TELLING:
        yield "ancillary"
    for process in context.processes:
        yield from (kind for kind, there in _OF_PROCESS.items() if there(process))
        yield from _of_mappings(process.mappings)
        for thread in process.threads:
            yield from (kind for kind, there in _OF_THREAD.items() if there(thread))


_TELLING = {
    # When something was sent, by whom (a label, a pidfd), and what was lost.
    *((1, name) for name in (29, 34, 35, 37, 40, 41, 63, 64, 65, 76)),
    # Options, interfaces, errors, lifetimes, services, addresses, sums, fragments.
    *((0, name) for name in (6, 7, 8, 11, 12, 13, 18, 20, 23, 25)),
    *((41, name) for name in (25, 49, 51, 53, 56, 58, 60, 66, 74, 77)),
    # How much is left; segments.
    *((6, 36), (17, 104)),
}
"""
Level and name of the options with which a socket tells more than data; cmsg(3).

Source: asm-generic/socket.h, linux/in.h, in6.h, tcp.h, udp.h of Linux 6.12.
"""


def _of_mappings(mappings: tuple[records.Mapping, ...]) -> Iterator[str]:
    for mapping in mappings:
        if mapping.droppable:
            yield "droppable"
        if mapping.huge_page:
            yield "huge_page"
        if mapping.policy:
            yield "policy"


def _has_modes(controls: records.Controls) -> bool:
    """Tell whether a process has set what changes how memory and CPU behave."""
    names = "securebits thp_disable mdwe memory_merge mce_kill io_flusher tsc cpuid"
    usual = records.Controls()
    return any(getattr(controls, n) != getattr(usual, n) for n in names.split())


def _is_special(rights: records.Credentials | None) -> bool:
    """Tell whether a thread has other rights than one that has just logged in."""
    if rights is None:
        return False
    return (
        len({*rights.uids}) > 1
        or len({*rights.gids}) > 1
        or rights.permitted != rights.effective
        or bool(rights.inheritable | rights.ambient)
    )


_OF_PROCESS: Mapping[str, Callable[[records.Process], object]] = {
    "aio": lambda process: process.aio,
    "keys": lambda process: process.keys,
    "lease": lambda process: any(lock.kind == "lease" for lock in process.locks),
    "lock": lambda process: any(lock.kind != "lease" for lock in process.locks),
    "root": lambda process: process.root != "/",
    "guards": lambda process: process.guards,
    "controls": lambda process: _has_modes(process.controls),
    "clone": lambda process: process.clone,
}
_OF_THREAD: Mapping[str, Callable[[records.Thread], object]] = {
    "credentials": lambda thread: _is_special(thread.credentials),
    "seccomp": lambda thread: thread.seccomp,
    "dispatch": lambda thread: thread.dispatch,
    "policy": lambda thread: thread.memory_policy,
    "speculation": lambda thread: thread.speculation,
    "folders": lambda thread: thread.folders,
}
"""By kind, called as the field of the record: whether something is of it."""
