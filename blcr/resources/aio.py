"""
Contexts of asynchronous I/O, io_setup(2).

What is left of a context without requests under way is its ring: events that nobody has
collected yet, in memory that the program may read and whose address is the context's
name.  A context is made anew with as many events, its ring is moved to the old address,
and has the kernel complete so many requests that its tail is where it was.

No interface shows requests that are under way.  Transfers end by themselves while the
program stands still, and are waited for.  Those that only wait for a file to become
ready (IOCB_CMD_POLL) are lost.

Source: fs/aio.c, Linux 6.18; io_submit(2).
"""

from __future__ import annotations

import time
from collections.abc import Sequence

from blcr import remote
from blcr.context import records
from blcr.errors import RefusedError, RemoteCallError
from blcr.host.interface import Process, Run, Task
from blcr.linux import structures
from blcr.resources.opening import Opening
from blcr.resources.threads import spokesman

_PATIENCE_S = 2.0
"""How long requests may take to end."""
_LOOK_S = 0.001
_AT_REST_S = 0.02
"""From the end of a transfer to its event: work that the kernel puts off."""
_UNSEEN_S = 0.2
"""The same with the transfer, where a file's device does not show any."""
_EVENT_SIZE = 32
"""Bytes of struct io_event."""
_AT_ONCE = 64
"""Requests made by one call; fewer than the smallest ring has events."""


def settle(process: Process) -> None:
    """
    Wait until no request can be under way: nothing is saved before.

    Raises:
        RefusedError: That does not come about.
    """
    rings = process.rings()
    if not rings:
        return
    began = since = time.monotonic()
    before: list[int] = []
    idle: bool | None = False
    while True:
        tails = [_header(process, ring.start)["tail"] for ring in rings]
        now = time.monotonic()
        if tails != before:
            before, since = tails, now
        if idle is False:
            idle, since = process.transfers_ended(), now
        if idle is not False and now - since > (_AT_REST_S if idle else _UNSEEN_S):
            return
        if now - began > _PATIENCE_S:
            raise RefusedError(
                process.pid,
                "requests of its asynchronous I/O (io_submit) may be under way: the "
                "devices of its files are busy",
                hint="try again",
            )
        time.sleep(_LOOK_S)


def save(process: Process) -> tuple[records.AioContext, ...]:
    """
    Return the contexts of a process, at rest.

    Raises:
        RefusedError: One is the parent's: a ring, but no context of its own.
    """
    rings = process.rings()
    task = spokesman(process) if rings else None
    return tuple(_save(process, ring, task) for ring in rings)


def _save(process: Process, ring: Run, task: Task | None) -> records.AioContext:
    """Return one context; `task` is there to ask whether it is one."""
    if task:
        try:
            task.call("io_submit", ring.start, 0, 0)
        except RemoteCallError as error:
            raise RefusedError(
                process.pid,
                f"its memory at {ring.start:#x} is the ring of an asynchronous I/O "
                "context of its parent",
            ) from error
    header = _header(process, ring.start)
    count, head, tail = _capacity(process, ring), header["head"], header["tail"]
    head, tail = head % count, tail % count
    parts = [(head, tail)] if head <= tail else [(head, count), (0, tail)]
    events = b"".join(
        process.read(_event(process, ring.start, first), _EVENT_SIZE * (last - first))
        for first, last in parts
        if first < last
    )
    return records.AioContext(ring.start, ring.end - ring.start, head, tail, events)


def rebuild(opening: Opening, contexts: Sequence[records.AioContext]) -> None:
    """
    Make contexts whose places in the address space are reserved.

    Raises:
        RestartError: The limit is too low, or the kernel makes another ring.
    """
    if not contexts:
        return
    task, known = opening.task, opening.known
    empty = remote.call(task, "memfd_create", "", known["MFD_CLOEXEC"])
    for context in contexts:
        _make(opening, context)
        _complete(opening, context, empty)
    opening.close(empty)


def _make(opening: Opening, context: records.AioContext) -> None:
    """Make a context, its ring at the old address."""
    task, known, process = opening.task, opening.known, opening.process
    arch = process.arch
    out = remote.Out(arch.word_size)
    try:
        remote.call(task, "io_setup", events_of(context, arch.page_size), out)
    except RemoteCallError as error:
        raise opening.error(
            f"its asynchronous I/O context cannot be made anew: {error}; raise "
            "fs.aio-max-nr",
            error,
        ) from error
    at = int.from_bytes(out.data, arch.layout.byteorder)
    made, wanted = _header(process, at)["nr"], _capacity(process, _run(context))
    if made != wanted:
        raise opening.error(
            f"its asynchronous I/O context has room for {wanted} events, and would "
            f"have it for {made} here, where there may be more CPUs"
        )
    flags = known["MREMAP_MAYMOVE"] | known["MREMAP_FIXED"]
    task.call("mremap", at, context.size, context.size, flags, context.address)


def events_of(context: records.AioContext, page_size: int) -> int:
    """
    Return the fewest events that io_setup(2) makes a ring of this size for.

    It makes room for twice as many, and two, and begins with a head as large as one.
    """
    return max(1, (context.size - page_size) // (2 * _EVENT_SIZE) - 1)


def _complete(opening: Opening, context: records.AioContext, empty: int) -> None:
    """Have requests completed up to the tail of a ring, and put the events there."""
    process, arch = opening.process, opening.process.arch
    ring = structures.of(arch, "aio_ring")
    capacity = _capacity(process, _run(context))
    unread = len(context.events) // _EVENT_SIZE
    wanted, done = context.head + unread, 0
    while done < wanted:
        done += _read_nothing(opening, context, empty, min(_AT_ONCE, wanted - done))
        head = min(done, context.head) % capacity
        order = arch.layout.byteorder
        process.write(context.address + ring.offset("head"), head.to_bytes(4, order))
    first = min(unread, capacity - context.head)
    split = _EVENT_SIZE * first
    for at, data in (
        (context.head, context.events[:split]),
        (0, context.events[split:]),
    ):
        if data:
            process.write(_event(process, context.address, at), data)


def _read_nothing(
    opening: Opening, context: records.AioContext, empty: int, count: int
) -> int:
    """Make requests to read no bytes, which end at once; return how many."""
    task, process = opening.task, opening.process
    request = structures.of(process.arch, "iocb").pack(fildes=empty)
    width, order = process.arch.word_size, process.arch.layout.byteorder
    # Behind what the call itself has in the scratch memory.
    at = task.scratch + _AT_ONCE * width
    process.write(at, request)
    pointers = at.to_bytes(width, order) * count
    return remote.call(task, "io_submit", context.address, count, pointers)


def _run(context: records.AioContext) -> Run:
    return Run(context.address, context.address + context.size)


def _header(process: Process, ring: int) -> dict[str, int]:
    """Return the head of a ring."""
    structure = structures.of(process.arch, "aio_ring")
    return structure.unpack(process.read(ring, structure.size))


def _capacity(process: Process, ring: Run) -> int:
    """Return how many events a ring has room for."""
    return (ring.end - _event(process, ring.start, 0)) // _EVENT_SIZE


def _event(process: Process, ring: int, index: int) -> int:
    """Return the address of an event."""
    head = structures.of(process.arch, "aio_ring").size
    return ring + head + _EVENT_SIZE * index
