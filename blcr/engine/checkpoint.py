"""
Saving processes: the first of the two stories.

1. find the host of the process, and the processes that are meant;
2. open the target;
3. freeze: every thread stands still;
4. save the records of all that is not memory; what cannot be saved is refused here,
   before a byte is written;
5. copy pages and shared memory;
6. finish the context, and with a signal make it final before the processes get that;
7. let the processes go.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Container, Sequence
from typing import NamedTuple, Protocol

from blcr import __version__, registry
from blcr.architecture import Arch
from blcr.context import records
from blcr.context.archive import ContextWriter
from blcr.engine import pages
from blcr.errors import NoSuchProcessError, RefusedError
from blcr.host.interface import (
    CheckpointRequest,
    Contents,
    Frozen,
    Host,
    Process,
    Run,
)
from blcr.linux import constants
from blcr.resources import controls, files, memory, objects, signals, threads, timers

Warn = Callable[[str], None]
Progress = Callable[[str, int, int], None]
"""Told what is being done, and how many bytes of how many are."""


class Target(Protocol):
    """Where a context goes; see `blcr.context.target`."""

    fd: int

    def advance(self) -> None:
        """Begin to bring to the disk what has been written."""

    def commit(self) -> None:
        """Make the context final: synced, under its name."""


class CheckpointResult(NamedTuple):
    """
    What a checkpoint came to.

    Attributes:
        pids: The processes saved, as the requester sees them.
        size: Bytes of the context.
        frozen_ms: How long the processes stood still.
        total_ms: The whole request.
        host: Where they live.
    """

    pids: tuple[int, ...]
    size: int
    frozen_ms: float
    total_ms: float
    host: str


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
        timeout_s: How long to wait for threads to stop.
        wanted: Of which mapped files the contents are to be saved: ``"exe"``,
            ``"private"``, ``"shared"``; with ``"files"`` those of open files are.
        warn: Told what the user should know.
        progress: Told how far the copying is.

    Raises:
        BlcrError: Nothing was changed, and the target is not final.
    """
    began = time.monotonic()
    host = claim(pid)
    warnings = host.forward(
        CheckpointRequest(
            pid, guest, scope, signal, timeout_s, target.fd, tuple(wanted)
        )
    )
    if warnings is not None:
        for message in warnings:
            warn(message)
        target.commit()
        return _result((pid,), target, began, began, host)

    def advance(what: str, done: int, total: int) -> None:
        target.advance()
        if progress:
            progress(what, done, total)

    pids = select(host, scope, pid)
    with host.freeze(pids, timeout_s=timeout_s) as frozen:
        froze = time.monotonic()
        _refuse_others(pids[0], host.joined(scope, pid, pids), scope)
        save(host, frozen, target.fd, wanted=wanted, warn=warn, progress=advance)
        if signal:
            target.commit()
            frozen.kill(signal)
    thawed = time.monotonic()
    if not signal:
        target.commit()
    return _result(pids, target, began, froze, host, thawed)


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


def select(host: Host, scope: str, number: int) -> list[int]:
    """
    Return the processes that are meant.

    Raises:
        RefusedError: More than one.
    """
    pids = host.select(scope, number)
    _refuse_others(pids[0], pids[1:], scope)
    return pids


def _refuse_others(pid: int, others: Sequence[int], scope: str) -> None:
    """Refuse a process that is not alone."""
    if others:
        raise RefusedError(
            pid,
            f"is not alone: {', '.join(map(str, others))} belong to its {scope}, and "
            "several processes cannot be saved together yet",
            hint="--pid saves it without them",
        )


def save(
    host: Host,
    frozen: Frozen,
    fd: int,
    *,
    wanted: Container[str] = (),
    warn: Warn = lambda _message: None,
    progress: Progress | None = None,
) -> None:
    """
    Write the context of frozen processes to a descriptor.

    Raises:
        RefusedError: They use something that cannot be saved; nothing was written.
        TargetError: The context could not be written.
    """
    tables = files.Tables([], [], {}, {}, [], objects.Table())
    try:
        _save(host, frozen, fd, tables, wanted, warn, progress)
    finally:
        tables.close()


def _save(
    host: Host,
    frozen: Frozen,
    fd: int,
    tables: files.Tables,
    wanted: Container[str],
    warn: Warn,
    progress: Progress | None,
) -> None:
    """Save with tables that are closed afterwards."""
    saved = [_save_process(process, tables, wanted) for process in frozen.processes]
    unnamed = tables.objects.items
    contents = [one.contents for one in tables.contents.values()]
    counter = _Counter(saved, [*unnamed, *contents], progress)
    with ContextWriter(fd) as writer:
        for one in saved:
            core = writer.core(f"{one.record.pid}.core", one.process.arch)
            pages.copy(one.process, one.runs, core, counter.advance)
            core.finish(one.record, one.threads)
        shared = []
        for index, item in enumerate(unnamed):
            runs = pages.copy_shared(item, writer.shared(index), counter.advance)
            shared.append(item.record._replace(runs=runs))
        kept = [
            one.record(
                pages.copy_file(one.contents, writer.file(one.number), counter.advance)
            )
            for one in tables.contents.values()
        ]
        writer.finish(
            records.Context(
                format=(records.FORMAT_MAJOR, records.FORMAT_MINOR),
                requires=(),
                program=f"blcr {__version__}",
                host=host.name,
                kernel=os.uname().release,
                clocks=frozen.clocks,
                namespace=any(one.in_namespace for one in saved),
                files=tuple(tables.files),
                pipes=tuple(tables.pipes),
                shared_memory=tuple(shared),
                processes=tuple(one.record for one in saved),
                contents=tuple(kept),
            )
        )
    for message in tables.warnings:
        warn(message)
    for one in saved:
        _warn_of_losses(one, unnamed, warn)


class _Saved(NamedTuple):
    """A process whose records are made and whose pages are known."""

    process: Process
    record: records.Process
    threads: list[tuple[records.Thread, dict[int, bytes]]]
    runs: list[Run]
    in_namespace: bool


class _Counter:
    """Bytes done of bytes to do."""

    def __init__(
        self,
        saved: Sequence[_Saved],
        unnamed: Sequence[objects.Saved | Contents],
        progress: Progress | None,
    ) -> None:
        self._progress = progress
        self._done = 0
        self._total = sum(run.end - run.start for one in saved for run in one.runs)
        self._total += sum(run.end - run.start for one in unnamed for run in one.runs)

    def advance(self, size: int) -> None:
        """Note that `size` more bytes are done."""
        self._done += size
        if self._progress:
            self._progress("saving memory", self._done, self._total)


def _save_process(
    process: Process, tables: files.Tables, wanted: Container[str]
) -> _Saved:
    """Make the records of a process and find the pages to be saved."""
    facts = process.facts()
    if facts.refused:
        raise RefusedError(process.pid, facts.refused)
    descriptors, locks = files.save(process, tables, wanted)
    mappings, mapping_facts = memory.save(process, tables, facts.exe, wanted)
    interval_timers, posix_timers, queues = timers.save(process)
    saved_threads = [
        threads.save(task, pending)
        for task, pending in zip(process.tasks, queues.threads, strict=True)
    ]
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
        no_new_privs=facts.no_new_privs,
        stopped=facts.stopped,
        controls=controls.save(process),
        limits=facts.limits,
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
    froze: float,
    host: Host,
    thawed: float | None = None,
) -> CheckpointResult:
    """Return the figures of a checkpoint that is done."""
    now = time.monotonic()
    try:
        size = os.fstat(target.fd).st_size
    except OSError:
        size = 0
    frozen_ms = ((now if thawed is None else thawed) - froze) * 1000
    return CheckpointResult(
        tuple(pids), size, frozen_ms, (now - began) * 1000, host.name
    )
