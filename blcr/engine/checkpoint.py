"""
Saving processes: the first of the two stories.

1. find the host of the process, and the processes that are meant;
2. open the target;
3. copy ahead, while they run, where that makes the freeze shorter;
4. freeze: every thread stands still;
5. save the records of all that is not memory; what cannot be saved is refused here,
   and unless pages were copied ahead before a byte is written;
6. copy pages and shared memory;
7. let the processes go, and finish the context; with a signal the other way round: it
   is final before the processes get that.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Container, Iterable, Sequence
from contextlib import ExitStack, suppress
from functools import partial

from blcr import __version__, registry
from blcr.annotations import Protocol
from blcr.architecture import Arch
from blcr.context import records
from blcr.context.archive import ContextWriter
from blcr.context.core import CoreWriter
from blcr.engine import pages
from blcr.engine.ahead import Ahead
from blcr.engine.behind import Behind
from blcr.errors import (
    NoSuchProcessError,
    NotTrackableError,
    PassingError,
    RefusedError,
)
from blcr.host import runs
from blcr.host.interface import (
    CheckpointRequest,
    Frozen,
    FrozenProcess,
    Host,
    MappingFacts,
    Process,
    Run,
)
from blcr.linux import blocking, constants
from blcr.record import Record
from blcr.resources import (
    aio,
    clones,
    controls,
    files,
    keys,
    memory,
    objects,
    seccomp,
    signals,
    threads,
    timers,
)

Warn = Callable[[str], None]
Progress = Callable[[str, int, int], None]
"""Told what is being done, and how many bytes of how many are."""

_PASSING_S = 2.0
"""How long to wait for the end of what cannot be saved: a message is read by then."""
_FIRST_PAUSE_S, _LAST_PAUSE_S = 0.01, 0.2


class Target(Protocol):
    """Where a context goes; see `blcr.context.target`."""

    fd: int

    def advance(self) -> None:
        """Begin to bring to the disk what has been written."""

    def commit(self) -> None:
        """Make the context final: synced, under its name."""


class CheckpointResult(Record):
    """
    What a checkpoint came to.

    Attributes:
        pids: The processes saved, as the requester sees them.
        size: Bytes of the context.
        frozen_ms: How long the processes stood still, all in all.
        total_ms: The whole request.
        host: Where they live.
        copied: ``"ahead"``: most pages while the processes ran; ``"frozen"``.
        reason: Why not ahead, or empty.
        rounds: Pages and bytes copied in each round; the last one frozen.
        stops_ms: How long they stood still each time.
        restarted: A process that asked for its own checkpoint has been restarted from
            it; nothing else is known then.
    """

    pids: tuple[int, ...]
    size: int
    frozen_ms: float
    total_ms: float
    host: str
    copied: str = "frozen"
    reason: str = ""
    rounds: tuple[tuple[int, int], ...] = ()
    stops_ms: tuple[float, ...] = ()
    restarted: bool = False


def checkpoint(
    pid: int,
    target: Target,
    *,
    guest: int = 0,
    scope: str = "tree",
    signal: int = 0,
    timeout_s: float = 10.0,
    wanted: Sequence[str] = (),
    warn: Warn = lambda _message: None,
    progress: Progress | None = None,
) -> CheckpointResult:
    """
    Save processes into an opened target.

    Args:
        pid: The process, or the group's or session's id.
        target: An opened target; committed here.
        guest: A process inside the machine that `pid` is; 0: all of them.
        scope: ``"tree"``, ``"pid"``, ``"pgid"`` or ``"sid"``.
        signal: Sent to the processes before they run another instruction; 0: none.
        timeout_s: How long to wait for threads to stop, and how long to try again if
            they do what cannot be saved and is soon over, though 2 seconds at most.
        wanted: Of which mapped files the contents are to be saved: ``"exe"``,
            ``"private"``, ``"shared"``; with ``"files"`` those of open files are; with
            ``"connections"`` those that lead outside are saved, too, to be closed.
        warn: Told what the user should know.
        progress: Told how far the copying is.

    Raises:
        BlcrError: Nothing was changed, and the target is not final.
    """
    began, pause_s = time.monotonic(), _FIRST_PAUSE_S
    request = CheckpointRequest(
        pid, guest, scope, signal, timeout_s, target.fd, tuple(wanted)
    )
    rewind = _rewinding(target.fd)
    while True:
        try:
            return _take(claim(pid), request, target, began, warn, progress)
        except PassingError:
            if time.monotonic() + pause_s > began + min(timeout_s, _PASSING_S):
                raise
        rewind()
        time.sleep(pause_s)
        pause_s = min(2 * pause_s, _LAST_PAUSE_S)


def _rewinding(fd: int) -> Callable[[], None]:
    """Return what puts a target back to where it is now."""
    try:
        start = os.lseek(fd, 0, os.SEEK_CUR)
    except OSError:
        # Into a pipe nothing goes before the context is complete.
        return lambda: None
    was_end = start == os.fstat(fd).st_size

    def rewind() -> None:
        os.lseek(fd, start, os.SEEK_SET)
        if was_end:
            with suppress(OSError):
                os.ftruncate(fd, start)

    return rewind


def _take(
    host: Host,
    request: CheckpointRequest,
    target: Target,
    began: float,
    warn: Warn,
    progress: Progress | None,
) -> CheckpointResult:
    """Try once to save processes."""
    pid, _guest, scope, signal, timeout_s, _fd, wanted = request
    warnings = host.forward(request)
    if warnings is not None:
        for message in warnings:
            warn(message)
        target.commit()
        return _result((pid,), target, began, host, "the host saves by itself")

    def advance(what: str, done: int, total: int) -> None:
        target.advance()
        if progress:
            progress(what, done, total)

    pids = host.select(scope, pid)
    with ExitStack() as stack:
        writer = stack.enter_context(ContextWriter(target.fd))
        behind = stack.enter_context(Behind())
        early, reason = None, "a signal follows, and this is the quickest"
        if not signal:
            early, reason = _copy_ahead(
                host, pids, writer, behind, timeout_s, advance, stack
            )
        tracking = early.tracking if early else None
        tables = files.Tables.empty()
        stack.callback(tables.close)
        with host.freeze(
            pids, scope=scope, number=pid, timeout_s=timeout_s, tracking=tracking
        ) as frozen:
            froze = time.monotonic()
            pids = list(frozen.pids)
            saving = _Saving(
                host, frozen, writer, behind, tables, wanted, early, advance
            )
            saving.copy()
            saving.take_connections(signal)
            if signal:
                saving.finish(warn)
                target.commit()
                frozen.kill(signal)
        frozen_ms = (time.monotonic() - froze) * 1000
        if not signal:
            saving.finish(warn)
            target.commit()
    page = saving.page_size
    copied = (*(early.rounds if early else ()), saving.copied)
    return _result(
        pids,
        target,
        began,
        host,
        reason,
        tuple((-(-size // page), size) for size in copied),
        (*(tracking.stops_ms if tracking else ()), frozen_ms),
    )


def _copy_ahead(
    host: Host,
    pids: Sequence[int],
    writer: ContextWriter,
    behind: Behind,
    timeout_s: float,
    progress: Progress,
    stack: ExitStack,
) -> tuple[Ahead | None, str]:
    """Copy pages while the processes run; return what was, and why it is not used."""
    if len(pids) > 1:
        return None, "several processes are saved"
    try:
        tracking = stack.enter_context(host.track(pids[0], timeout_s=timeout_s))
    except NotTrackableError as error:
        return None, str(error)
    early = Ahead(tracking, writer, behind)
    early.copy(partial(progress, "copying memory"))
    return early, early.reason


def claim(pid: int) -> Host:
    """
    Return the host of a process.

    Raises:
        NoSuchProcessError: No host knows it.
    """
    for host in registry.hosts():
        if host.claims(pid):
            return host
    raise NoSuchProcessError(f"there is no process {pid}")


def save(
    host: Host,
    frozen: Frozen,
    fd: int,
    *,
    wanted: Container[str] = (),
    warn: Warn = lambda _message: None,
) -> None:
    """
    Write the context of frozen processes to a descriptor.

    Raises:
        RefusedError: They use something that cannot be saved; nothing was written.
        TargetError: The context could not be written.
    """
    tables = files.Tables.empty()
    try:
        with ContextWriter(fd) as writer, Behind() as behind:
            saving = _Saving(host, frozen, writer, behind, tables, wanted)
            saving.copy()
            saving.finish(warn)
    finally:
        tables.close()


class _Saving:
    """
    A context of frozen processes, being written.

    Args:
        behind: Writes it.
        tables: For what the processes share; closed by the caller.
        early: What was copied of the first process while it ran, or None.

    Attributes:
        copied: Bytes of memory and contents copied.
        page_size: Bytes of a page of the first process.

    Raises:
        RefusedError: They use something that cannot be saved.
    """

    def __init__(
        self,
        host: Host,
        frozen: Frozen,
        writer: ContextWriter,
        behind: Behind,
        tables: files.Tables,
        wanted: Container[str] = (),
        early: Ahead | None = None,
        progress: Progress | None = None,
    ) -> None:
        self._host = host
        self._frozen = frozen
        self._writer = writer
        self._behind = behind
        self._tables = tables
        self._early = early
        self._shared: list[records.SharedMemory] = []
        self._contents: list[records.Contents] = []
        made = clones.save(frozen)
        self._saved = [
            _save_process(process, tables, wanted, made.get(process.pid))
            for process in frozen.processes
        ]
        self._sysv = frozen.sysv(_waits(one.record for one in self._saved))
        if tables.sockets:
            files.save_in_flight(frozen, tables, wanted)
        self._left = [one.runs for one in self._saved]
        if early:
            self._left[0] = early.left(self._saved[0].process, self._left[0])
        total = sum(map(runs.size, self._left))
        total += sum(runs.size(one.runs) for one in tables.objects.items)
        kept = tables.contents.values()
        total += sum(runs.size(one.contents.runs) for one in kept)
        self._counter = _Counter(total, progress)
        self.page_size = frozen.processes[0].arch.page_size

    @property
    def copied(self) -> int:
        """Bytes of memory and contents copied."""
        return self._counter.done

    def copy(self) -> None:
        """Copy memory and contents; what is left to do needs the processes no more."""
        advance, writer, behind = self._counter.advance, self._writer, self._behind
        early = self._early
        for one, left in zip(self._saved, self._left, strict=True):
            name = f"{one.record.pid}.core"
            core = (
                early.core
                if early
                else behind.in_turn(partial(writer.core, name, one.process.arch))
            )
            pages.copy(one.process, left, behind, core, advance)
            behind.do(partial(_end_core, core, one, whole=not early))
            early = None
        for index, item in enumerate(self._tables.objects.items):
            begin = partial(writer.shared, index)
            kept = pages.copy_shared(item, behind, begin, advance)
            self._shared.append(item.record._replace(runs=kept))
        for file in self._tables.contents.values():
            begin = partial(writer.file, file.number)
            kept = pages.copy_file(file.contents, behind, begin, advance)
            self._contents.append(file.record(kept))

    def take_connections(self, signal: int) -> None:
        """Have connections to others as they are when their programs end."""
        if self._tables.sockets:
            for inode, one in self._frozen.take_connections(signal).items():
                self._tables.sockets[self._tables.socket_numbers[inode]] = one

    def _sockets(self) -> tuple[records.Socket, ...]:
        """Return the records of sockets."""
        if not self._tables.sockets:
            return ()
        from blcr.resources import sockets

        return sockets.joined(
            self._tables.sockets,
            self._tables.socket_numbers,
            self._tables.in_flight,
            self._tables.warnings,
        )

    def finish(self, warn: Warn) -> None:
        """Complete the context."""
        self._behind.finish()
        self._writer.finish(
            records.Context(
                format=(records.FORMAT_MAJOR, records.FORMAT_MINOR),
                requires=(),
                program=f"blcr {__version__}",
                host=self._host.name,
                kernel=os.uname().release,
                clocks=self._frozen.clocks,
                namespace=any(one.in_namespace for one in self._saved),
                files=tuple(self._tables.files),
                pipes=tuple(self._tables.pipes),
                shared_memory=tuple(self._shared),
                processes=tuple(one.record for one in self._saved),
                contents=tuple(self._contents),
                ended=tuple(self._frozen.ended),
                semaphores=self._sysv[0],
                message_queues=self._sysv[1],
                sockets=self._sockets(),
            )
        )
        for message in (*self._frozen.warnings, *self._tables.warnings):
            warn(message)
        for one in self._saved:
            _warn_of_losses(one, self._tables.objects.items, warn)


def _waits(saved: Iterable[records.Process]) -> set[tuple[str, int]]:
    """Return the System V objects that processes wait for."""
    calls = (thread.call for one in saved for thread in one.threads if thread.call)
    found = (blocking.object_of(one.name, one.args) for one in calls)
    return {one for one in found if one is not None}


class _Saved(Record):
    """A process whose records are made and whose pages are known."""

    process: Process
    record: records.Process
    threads: list[tuple[records.Thread, dict[int, bytes]]]
    runs: list[Run]
    in_namespace: bool


def _end_core(core: Callable[[], CoreWriter], one: _Saved, *, whole: bool) -> None:
    """Complete a core; what was copied and is no longer there is left out."""
    present = None if whole else one.runs
    core().finish(one.record, one.threads, present=present)


class _Counter:
    """Bytes done of bytes to do."""

    def __init__(self, total: int, progress: Progress | None) -> None:
        self.done = 0
        self._total = total
        self._progress = progress

    def advance(self, size: int) -> None:
        """Note that `size` more bytes are done."""
        self.done += size
        if self._progress:
            self._progress("saving memory", self.done, self._total)


def _save_process(
    process: FrozenProcess,
    tables: files.Tables,
    wanted: Container[str],
    clone: records.Clone | None,
) -> _Saved:
    """
    Make the records of a process and find the pages to be saved.

    Args:
        clone: What it shares with a process before it, which has that already.
    """
    facts = process.facts()
    if facts.refused:
        raise RefusedError(process.pid, facts.refused)
    aio.settle(process)
    shared = clone.shares if clone else ()
    descriptors: tuple[records.Descriptor, ...] = ()
    locks: tuple[records.FileLock, ...] = ()
    if "files" not in shared:
        descriptors, locks = files.save(process, tables, wanted)
    mappings: tuple[records.Mapping, ...] = ()
    mapping_facts: Sequence[MappingFacts] = ()
    if "memory" not in shared:
        mappings, mapping_facts = memory.save(process, tables, facts.exe, wanted)
    interval_timers, posix_timers, queues = timers.save(process)
    filters = seccomp.Table([])
    saved_threads = threads.save(process, queues.threads, filters)
    record = records.Process(
        pid=facts.pid,
        ppid=facts.ppid,
        pgid=facts.pgid,
        sid=facts.sid,
        arch=identity(process.arch),
        exe=facts.exe,
        cwd=facts.cwd,
        root=facts.root,
        umask=facts.umask,
        personality=facts.personality,
        memory=process.memory_layout(),
        mappings=mappings,
        actions=signals.save_actions(process),
        pending=queues.process,
        descriptors=descriptors,
        locks=locks,
        guards=memory.save_guards(process, mapping_facts),
        lock_future=memory.save_lock_future(process, mapping_facts),
        threads=tuple(thread for thread, _sets in saved_threads),
        uids=facts.uids,
        gids=facts.gids,
        groups=facts.groups,
        timers=interval_timers,
        posix_timers=posix_timers,
        ended_leader=facts.ended_leader,
        no_new_privs=facts.no_new_privs,
        stopped=facts.stopped,
        controls=controls.save(process),
        limits=facts.limits,
        aio=() if "memory" in shared else aio.save(process),
        filters=tuple(filters.filters),
        keys=0 if "memory" in shared else keys.save(process, mapping_facts),
        clone=clone,
    )
    runs = list(memory.own_pages(process, mapping_facts))
    return _Saved(process, record, saved_threads, runs, facts.in_namespace)


def identity(arch: Arch) -> records.Identity:
    """Return what a context says of an architecture."""
    return records.Identity(
        arch.name, arch.elf_machine, arch.word_size, arch.layout.byteorder
    )


def _warn_of_losses(
    saved: _Saved, unnamed: Sequence[objects.Saved], warn: Warn
) -> None:
    """Name what is kept by reference only and may be missed."""
    known = constants.of(saved.process.arch)
    for mapping in saved.record.mappings:
        by_name = mapping.object < 0 or unnamed[mapping.object].record.kind == "spare"
        shared_file = mapping.shared and mapping.path and by_name
        if shared_file and mapping.protection & known["PROT_WRITE"]:
            warn(
                f"process {saved.record.pid}: '{mapping.path}' is mapped shared; its "
                "contents are not part of the context"
            )


def _result(
    pids: Sequence[int],
    target: Target,
    began: float,
    host: Host,
    reason: str,
    rounds: tuple[tuple[int, int], ...] = (),
    stops_ms: tuple[float, ...] = (),
) -> CheckpointResult:
    """Return the figures of a checkpoint that is done."""
    try:
        size = os.fstat(target.fd).st_size
    except OSError:
        size = 0
    return CheckpointResult(
        tuple(pids),
        size,
        sum(stops_ms),
        (time.monotonic() - began) * 1000,
        host.name,
        "frozen" if reason else "ahead",
        reason,
        rounds,
        stops_ms,
    )
