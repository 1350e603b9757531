"""
Whether the records of a context agree with each other.

The codec has checked types.  What is checked here is what every reader relies on:
that indices lead somewhere, ids and numbers are there once, and ranges are in order.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from blcr.context import records
from blcr.errors import ContextError
from blcr.linux import blocking
from blcr.linux.constants import GENERIC

SIGNALS = 64
SIGINFO_SIZE = 128
RESTARTS = (
    *(0, GENERIC["ERESTARTSYS"], GENERIC["ERESTARTNOINTR"]),
    *(GENERIC["ERESTARTNOHAND"], GENERIC["ERESTART_RESTARTBLOCK"]),
)

SHARED = {"memory", "files", "fs", "handlers"}
"""What processes may share that are no threads; clone(2)."""
SOCKET_STATES = ("open", "closed", "reset", "listening", "waiting")
NAME_SIZES = {1: range(3, 112), 2: range(16, 17), 10: range(28, 29)}
"""Bytes of a sockaddr by family: AF_UNIX, AF_INET, AF_INET6."""


def check(context: records.Context) -> None:
    """
    Check the records of a context.

    Raises:
        ContextError: They contradict each other; the message names the record.
    """
    if not context.processes:
        raise ContextError("there is no process in it")
    ended = (process.pid for process in context.ended)
    _once("process", (*(process.pid for process in context.processes), *ended))
    living = {process.pid for process in context.processes}
    for zombie in context.ended:
        if zombie.ppid not in living:
            raise ContextError(f"process {zombie.pid} has ended and has no parent")
    _once("thread", (t.tid for each in context.processes for t in each.threads))
    for index, memory in enumerate(context.shared_memory):
        if (memory.kind == "sysv") != (memory.ipc is not None):
            raise ContextError(f"shared memory {index}: a segment without an id")
        _check_ranges(
            f"shared memory {index}: run",
            [(start, start + length) for start, length in memory.runs],
            memory.size,
        )
    for index, file in enumerate(context.files):
        _check_index(f"file {index}: pipe", file.pipe, context.pipes, none=True)
        what = f"file {index}: contents"
        _check_index(what, file.contents, context.contents, none=True)
        if file.unlinked and file.contents < 0:
            raise ContextError(f"file {index} has neither a name nor contents")
        _check_index(f"file {index}: socket", file.socket, context.sockets, none=True)
        if (file.kind == "socket") != (file.socket >= 0):
            raise ContextError(f"file {index} is a socket, or is none, by halves")
    for index, socket in enumerate(context.sockets):
        _check_socket(f"socket {index}", socket)
        _check_index(f"socket {index}: peer", socket.peer, context.sockets, none=True)
        for each in (file for one in socket.messages for file in one.files):
            _check_index(f"socket {index}: file", each, context.files)
        for waiting in socket.pending:
            _check_index(f"socket {index}: pending", waiting, context.sockets)
    for index, contents in enumerate(context.contents):
        _check_ranges(
            f"contents {index}: run",
            [(start, start + length) for start, length in contents.runs],
            contents.size,
        )
    for index, pipe in enumerate(context.pipes):
        if len(pipe.data) > pipe.capacity:
            raise ContextError(f"pipe {index} holds more than its capacity")
        if pipe.packets and sum(pipe.packets) != len(pipe.data):
            raise ContextError(f"pipe {index} has packets of other lengths than bytes")
    earlier: dict[int, records.Process] = {}
    for process in context.processes:
        _check_process(process, context)
        if process.clone:
            _check_clone(process, process.clone, earlier)
        earlier[process.pid] = process


def _check_socket(where: str, socket: records.Socket) -> None:
    if socket.state not in SOCKET_STATES or not 0 <= socket.shutdown <= 3:
        raise ContextError(f"{where} is in state '{socket.state}', {socket.shutdown}")
    sources = (message.source for message in socket.messages)
    for name in (socket.name, socket.target, *sources):
        size = NAME_SIZES.get(socket.family, range(3, 129))
        family = int.from_bytes(name[:2], "little"), int.from_bytes(name[:2], "big")
        if name and (len(name) not in size or socket.family not in family):
            raise ContextError(f"{where} has a name that is none of its family")


def _check_process(process: records.Process, context: records.Context) -> None:
    where = f"process {process.pid}"
    _once(f"{where}: descriptor", (each.fd for each in process.descriptors))
    _once(f"{where}: action of signal", (each.signal for each in process.actions))
    if process.pid <= 0 or not process.threads or process.threads[0].tid <= 0:
        raise ContextError(f"{where} has no thread, or no proper id")
    if not 0 <= process.arch.machine < 1 << 16:
        raise ContextError(f"{where} is of ELF machine {process.arch.machine}")
    if process.arch.word_size not in (4, 8):
        raise ContextError(f"{where} has words of {process.arch.word_size} bytes")
    if process.arch.byteorder not in ("little", "big"):
        raise ContextError(f"{where} has byte order '{process.arch.byteorder}'")
    _check_ranges(
        f"{where}: mapping",
        [(each.start, each.end) for each in process.mappings],
        1 << 8 * process.arch.word_size,
    )
    for mapping in process.mappings:
        what = f"{where}: mapping at {mapping.start:#x}: shared memory"
        _check_index(what, mapping.object, context.shared_memory, none=True)
    rings = {one.start: one.end for one in process.mappings if one.special == "aio"}
    for ring in process.aio:
        if rings.get(ring.address) != ring.address + ring.size:
            raise ContextError(f"{where}: no mapping is the ring at {ring.address:#x}")
    for each in process.descriptors:
        _check_index(f"{where}: descriptor {each.fd}: file", each.file, context.files)
    fds = {each.fd for each in process.descriptors}
    for lock in process.locks:
        if lock.fd not in fds:
            raise ContextError(f"{where}: locks what is not descriptor {lock.fd}")
    for queue in (process.pending, *(each.pending for each in process.threads)):
        if any(len(siginfo) != SIGINFO_SIZE for siginfo in queue):
            raise ContextError(f"{where}: a pending signal has not 128 bytes")
    for action in process.actions:
        if not 1 <= action.signal <= SIGNALS:
            raise ContextError(f"{where}: there is no signal {action.signal}")
    for thread in process.threads:
        for index in thread.filters:
            what = f"thread {thread.tid}: filter"
            _check_index(what, index, process.filters)
        if thread.call:
            _check_call(f"thread {thread.tid}", thread.call)


def _check_clone(
    process: records.Process,
    clone: records.Clone,
    earlier: Mapping[int, records.Process],
) -> None:
    where, shares = f"process {process.pid}", {*clone.shares}
    origin = earlier.get(clone.origin)
    if origin is None or origin.arch != process.arch:
        raise ContextError(
            f"{where} shares something with {clone.origin}, which is no process before "
            "it of the same architecture"
        )
    if not shares or not shares <= SHARED:
        raise ContextError(f"{where} shares {', '.join(clone.shares) or 'nothing'}")
    if not 0 <= clone.signal <= SIGNALS:
        raise ContextError(f"{where}: there is no signal {clone.signal}")
    if "handlers" in shares and "memory" not in shares:
        raise ContextError(f"{where} shares signal actions, but no memory")
    if "files" in shares and (process.descriptors or process.locks):
        raise ContextError(f"{where} has descriptors of its own and of another one")
    if "memory" in shares and (process.mappings or process.aio):
        raise ContextError(f"{where} has memory of its own and of another one")


def _check_call(where: str, call: records.BlockedCall) -> None:
    if call.restart not in RESTARTS:
        raise ContextError(f"{where}: there is no restart code {call.restart}")
    row = blocking.waiting(call.name, call.args) if call.args else None
    timed = row and row.timeout is not None and row.timeout < len(call.args)
    if call.time_left is not None and not timed:
        raise ContextError(f"{where}: '{call.name}' has no timeout")


def _once(what: str, numbers: Iterable[int]) -> None:
    """Check that each number is there once."""
    seen = set()
    for number in numbers:
        if number in seen:
            raise ContextError(f"{what} {number} is there twice")
        seen.add(number)


def _check_index(
    what: str, index: int, items: Sequence[object], *, none: bool = False
) -> None:
    """Check that an index leads to an item, or is -1 where that means none."""
    if not (0 <= index < len(items) or (none and index == -1)):
        raise ContextError(f"{what} {index} does not exist")


def _check_ranges(what: str, ranges: Iterable[tuple[int, int]], limit: int) -> None:
    """Check that ranges are in order, apart, not empty, and within `limit`."""
    end = 0
    for start, stop in ranges:
        if not end <= start < stop <= limit:
            raise ContextError(f"{what} {start:#x}-{stop:#x} is out of order")
        end = stop
