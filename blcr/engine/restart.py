"""
Bringing processes back: the second of the two stories.

1. read the context's records, and find a host that can run them;
2. for each process: make it, lay out its memory and fill it, while another thread
   checks the checksums of the whole context;
3. make its threads, open its files, set its signals and timers;
4. when all of it is there and every checksum was right: set the registers;
5. let the processes go, and stay as their parent.

Whatever fails before the last step leaves no process behind.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from signal import SIG_DFL, SIGCHLD, SIGKILL
from signal import signal as set_action

from blcr import registry
from blcr.annotations import Self
from blcr.architecture import Arch
from blcr.context import records
from blcr.context.archive import ContextReader
from blcr.errors import (
    ArchitectureError,
    BlcrError,
    ContextError,
    HostError,
    RemoteCallError,
    RestartError,
    way_out,
)
from blcr.host.interface import (
    Bounds,
    Host,
    NewProcess,
    Restart,
    RestartPlan,
    Task,
)
from blcr.resources import (
    aio,
    clones,
    connections,
    controls,
    credentials,
    files,
    limits,
    mapped,
    memory,
    objects,
    scheduling,
    seccomp,
    signals,
    support,
    threads,
    timers,
)
from blcr.resources.opening import Opening, Sharing

_INIT = 1
_STEP = 4 << 20
"""Bytes of a context after which the one who checks it says so."""

Warn = Callable[[str], None]
Progress = Callable[[str, int, int], None]


def restart(
    source_fd: int,
    source_name: str,
    *,
    restore_pid: bool = True,
    restore_pgid: bool = False,
    restore_sid: bool = False,
    signal: int = 0,
    host: str | None = None,
    sysroot: str | None = None,
    relocate: Sequence[tuple[str, str]] = (),
    keep_grown: bool = False,
    close_connections: bool = False,
    bounds: Bounds | None = None,
    warn: Warn = lambda _message: None,
    notice: Warn | None = None,
    progress: Progress | None = None,
    running: Callable[[], None] = lambda: None,
) -> int:
    """
    Restart what a context holds, and stay as parent until it ends.

    Args:
        source_fd: The context, from its current offset on.
        source_name: What messages call it.
        restore_pid, restore_pgid, restore_sid: Which ids to restore.
        signal: Sent to the processes before they run an instruction; 0: none.
        host: Its name; None: the first that can.
        sysroot: Where a host with file names of its own looks first.
        relocate: Pairs of path prefixes, old and new.
        keep_grown: Leave files that have grown since as long as they are.
        close_connections: Those to others are not made again: they have ended.
        bounds: What the processes may have together on a host that gives it to them.
        warn: Told what the user should know.
        notice: Told instead what was found, and done, to files; None: `warn` is.
        progress: Told how far the checking of the context is.
        running: Called when the processes have been let go.

    Returns:
        The status of the first process, as `os.waitpid` gives it; 0 at once if that
        was a daemon, for which nobody waits.

    Raises:
        BlcrError: No process is left.
    """
    reader = ContextReader(source_fd, source_name)
    context = _relocated(reader.context, relocate)
    if close_connections:
        context = connections.closed(context)
    archs = [_arch(record) for record in context.processes]
    plan = RestartPlan(
        context,
        restore_pid,
        restore_pgid,
        restore_sid,
        archs,
        reader.fd,
        sysroot,
        keep_grown,
        bounds or Bounds(),
    )
    chosen = _choose(host, plan)
    mapped.require_unchanged(context, sysroot)
    with _Checking(reader, progress) as checking, chosen.restart(plan) as making:
        _make_all(making, plan, reader, checking, warn, notice or warn)
        for message in making.warnings:
            warn(message)
        making.release(signal)
        running()
        if _is_daemon(context.processes[0]):
            return 0
        return making.wait()


def check(source_fd: int, source_name: str, host: str | None = None) -> list[str]:
    """
    Return what is missing to restart a context here; empty: nothing.

    Every checksum is verified.  Nothing is started.

    Raises:
        ContextError: The context is damaged.
    """
    reader = ContextReader(source_fd, source_name)
    reader.verify()
    archs = [_arch(record) for record in reader.context.processes]
    plan = RestartPlan(
        reader.context,
        restore_pid=True,
        restore_pgid=False,
        restore_sid=False,
        archs=archs,
        source_fd=reader.fd,
    )
    try:
        _choose(host, plan)
    except HostError as error:
        return [str(error)]
    return files.missing(reader.context) + mapped.changed(reader.context)


def _arch(record: records.Process) -> Arch:
    """Return the architecture of a process, by its ELF identity."""
    _name, machine, word_size, byteorder = record.arch
    return registry.find(machine, word_size, byteorder)


def _choose(name: str | None, plan: RestartPlan) -> Host:
    """
    Return the host to restart on.

    Raises:
        HostError, ArchitectureError: It cannot; the message says what it lacks.
    """
    if name:
        host = registry.host(name)
    else:
        host = next(one for one in registry.hosts() if one.runs_here)
    if lacking := host.missing(plan):
        raise ArchitectureError("; ".join(lacking))
    if kinds := support.unsupported(plan.context, host.rebuilds):
        raise HostError(
            f"the {host.name} host cannot rebuild state of the kind {', '.join(kinds)}"
        )
    return host


def _make_all(
    making: Restart,
    plan: RestartPlan,
    reader: ContextReader,
    checking: _Checking,
    warn: Warn,
    notice: Warn,
) -> None:
    """Make every process up to its registers."""
    made: list[tuple[NewProcess, records.Process, objects.Making]] = []
    moved: list[dict[int, bytes]] = []
    with _named(plan.context.processes[0]):
        created = making.create()
    sharing = Sharing(plan.context, making.pids)
    try:
        for process, record in zip(created, plan.context.processes, strict=True):
            # Where there is room for something is seen from all that is mapped.
            mapped_here = clones.owner(plan.context, record, "memory").mappings
            opening = Opening(
                process,
                record._replace(mappings=mapped_here),
                plan.context,
                reader,
                sharing,
                keep_grown=plan.keep_grown,
            )
            unnamed = _unnamed(opening, reader, checking)
            made.append((process, record, unnamed))
            with _named(record):
                moved.append(_rebuild(process, record, plan, reader, checking, unnamed))
        if plan.context.sockets:
            from blcr.resources import sockets

            with _named(plan.context.processes[0]):
                sockets.rebuild([unnamed for _, _, unnamed in made])
        checking.finish()
        for process, record, unnamed in made:
            with _named(record):
                _prepare(process, record, unnamed, reader)
        for (process, record, unnamed), registers in zip(made, moved, strict=True):
            with _named(record):
                _commit(process, record, unnamed, reader, registers)
        if sharing.connections:
            sockets.go_on(sharing, plan.context)
    except BaseException:
        for _process, _record, unnamed in made:
            unnamed.opening.abandon()
        raise
    finally:
        for _process, _record, unnamed in made:
            unnamed.opening.release()
        sharing.close()
    for _process, _record, unnamed in made:
        for message in unnamed.opening.notices:
            notice(message)
        for message in unnamed.opening.warnings:
            warn(message)


def _rebuild(
    process: NewProcess,
    record: records.Process,
    plan: RestartPlan,
    reader: ContextReader,
    checking: _Checking,
    unnamed: objects.Making,
) -> dict[int, bytes]:
    """
    Give a process its memory, threads, files and signals.

    Returns:
        By thread id general registers that are others than the saved ones now.
    """
    process.empty()
    limits.widen(process.tasks[0], record)
    # What fails here is tried, and told, once more with the other attributes.
    scheduling.rebuild_memory_policy(process.tasks[0], record.threads[0].memory_policy)
    has_memory = not clones.shares(record, "memory")
    core = reader.core(record.pid)
    if has_memory:
        # Before there is a stack: whoever asks for the words of the command line would
        # let that grow, down to where those of the new process were.
        process.set_memory_layout(record.memory, record.exe)
        own = memory.rebuild(unnamed, core)
        pages = memory.split(core.runs(), record.mappings, own)
        process.fill(reader.fd, pages, checking.wait)
        aio.rebuild(unnamed.opening, record.aio)
    threads.create(process, record, same_ids=plan.restore_pid)
    # Before there are signal actions: a step resets that of SIGTRAP.
    moved = memory.rebind(unnamed.opening, core) if has_memory else {}
    leader = process.tasks[0]
    signals.rebuild_actions(leader, record.actions)
    if not clones.shares(record, "fs"):
        files.enter(unnamed.opening, leader, record.cwd, record.umask)
    for task, thread in zip(process.tasks, record.threads, strict=True):
        if thread.folders:
            threads.part(task)
            files.enter(unnamed.opening, task, thread.folders.cwd, thread.folders.umask)
    if not clones.shares(record, "files"):
        files.rebuild(unnamed.opening, unnamed)
    for task, thread in zip(process.tasks, record.threads, strict=True):
        threads.rebuild(task, thread, record)
    seccomp.rebuild(process, record)
    return moved


def _prepare(
    process: NewProcess,
    record: records.Process,
    unnamed: objects.Making,
    reader: ContextReader,
) -> None:
    """Do what takes all processes, and can be undone."""
    leader, opening = process.tasks[0], unnamed.opening
    if not clones.shares(record, "memory"):
        memory.finish(opening)
    unnamed.finish()
    files.finish(opening)
    signals.rebuild_pending(process, record.pending, record.threads)
    timers.rebuild_interval_timers(leader, record.timers)
    timers.rebuild_posix_timers(process, record, record.posix_timers)
    core = reader.core(record.pid)
    for task, own in _roots(process, record):
        credentials.try_root(task, own)
    for task, thread in zip(process.tasks, record.threads, strict=True):
        threads.try_registers(task, core.register_sets(thread.tid))


def _commit(
    process: NewProcess,
    record: records.Process,
    unnamed: objects.Making,
    reader: ContextReader,
    moved: dict[int, bytes],
) -> None:
    """Do what must come last, now that nothing else can go wrong."""
    opening = unnamed.opening
    files.commit(opening)
    last = clones.is_last(opening.context, record, "fs")
    opening.warnings += _attributes(process, record, enters_root=last)
    process.end_leader()
    core, note = reader.core(record.pid), process.arch.gp.note_type
    for task, thread in zip(process.tasks, record.threads, strict=True):
        sets = core.register_sets(thread.tid)
        if thread.tid in moved:
            sets = {**sets, note: moved[thread.tid]}
        threads.finish(task, thread, sets)


def _roots(
    process: NewProcess, record: records.Process
) -> list[tuple[Task, records.Process]]:
    """Return each thread with a root folder of its own, and the process's, last."""
    pairs = zip(process.tasks, record.threads, strict=True)
    own = [
        (task, record._replace(root=thread.folders.root))
        for task, thread in pairs
        if thread.folders
    ]
    return [*own, (process.tasks[0], record)]


def _attributes(
    process: NewProcess, record: records.Process, *, enters_root: bool
) -> list[str]:
    """Set what hinders or slows the rebuilding; return what could not be set."""
    leader = process.tasks[0]
    losses = []
    for task, thread in zip(process.tasks, record.threads, strict=True):
        losses += scheduling.rebuild(task, thread.scheduling)
        losses += scheduling.rebuild_memory_policy(task, thread.memory_policy)
    # Timer slack comes behind the policy, which may reset it.
    losses += controls.rebuild(process, record)
    losses += limits.rebuild(leader, record)
    process.settle()
    for task, own in _roots(process, record):
        if enters_root or task is not leader:
            credentials.enter_root(task, own)
    losses += credentials.rebuild(process, record)
    losses += controls.finish(leader, record.controls)
    return [f"process {record.pid} has {one}" for one in dict.fromkeys(losses)]


def _unnamed(
    opening: Opening, reader: ContextReader, checking: _Checking
) -> objects.Making:
    """Return the files that have to be made in a process."""

    def runs(index: int, address: int) -> Iterator[tuple[int, int, int]]:
        """Yield where the bytes of a file lie, and where they belong."""
        at, _size = reader.shared(index)
        for offset, length in opening.context.shared_memory[index].runs:
            yield at, address + offset, length
            at += length

    def fill(index: int, address: int) -> None:
        opening.process.fill(reader.fd, runs(index, address), checking.wait)

    return objects.Making(opening, fill)


class _Checking:
    """
    The checksums of a context, verified beside the filling of memory.

    In a process of its own: one that has entered a pid namespace for its children can
    make no threads.  It tells how far it is by a NUL for each `_STEP` bytes, and in the
    end what is damaged.
    """

    def __init__(self, reader: ContextReader, progress: Progress | None) -> None:
        # Ignored by whoever started us, it would let children vanish without a status.
        set_action(SIGCHLD, SIG_DFL)
        self._answer, answer = os.pipe()
        self._steps = 0
        self._text = b""
        self._pid = os.fork()
        if self._pid:
            os.close(answer)
            return
        text = "the checking of the checksums did not end"

        def reached(offset: int) -> None:
            if steps := offset // _STEP - self._steps:
                self._steps += steps
                os.write(answer, bytes(steps))

        try:
            reader.verify(
                (lambda done, total: progress("checking", done, total))
                if progress
                else None,
                reached,
            )
            text = ""
        except BlcrError as error:
            text = str(error)
        finally:
            os.write(answer, os.fsencode(text or "\n"))
            os._exit(0)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, _: object, error: object, __: object) -> None:
        try:
            if self._pid and isinstance(error, BlcrError):
                # In a damaged context that is the reason of whatever went wrong.
                self.finish()
        finally:
            os.close(self._answer)
            if self._pid:
                os.kill(self._pid, SIGKILL)
                os.waitpid(self._pid, 0)

    def wait(self, offset: int) -> None:
        """
        Wait until what lies in front of an offset of the file has been looked at.

        Raises:
            ContextError: A member is damaged.
        """
        while self._pid and self._steps * _STEP < offset:
            if not self._hear():
                self.finish()

    def finish(self) -> None:
        """
        Wait for the end.

        Raises:
            ContextError: A member is damaged.
        """
        while self._hear():
            pass
        if self._pid:
            os.waitpid(self._pid, 0)
            self._pid = 0
        if self._text != b"\n":
            raise ContextError(
                os.fsdecode(self._text) or "the checksums were not checked"
            )

    def _hear(self) -> bool:
        """Take up what the other process says next; False: it has ended."""
        part = os.read(self._answer, 4096)
        self._steps += part.count(0)
        self._text += part.replace(b"\0", b"")
        return bool(part)


class _named:  # noqa: N801  reads as a statement
    """Turn errors of calls into RestartError, which names the saved process."""

    def __init__(self, record: records.Process) -> None:
        self._record = record

    def __enter__(self) -> None:
        return None

    def __exit__(self, _kind: object, error: object, _trace: object) -> None:
        if isinstance(error, ArchitectureError):
            raise ArchitectureError(
                f"process {self._record.pid}: {error}; restart it on a machine that "
                "has what is missing, and start programs that shall move with "
                "'cr_run --cpu LEVEL'"
            ) from error
        if isinstance(error, RemoteCallError):
            raise RestartError(
                f"process {self._record.pid}: cannot be rebuilt: {error}"
                f"{way_out(error.errno, error.name)}",
                status=error.exit_status,
            ) from error
        if isinstance(error, OSError) and not isinstance(error, BlcrError):
            raise RestartError(
                f"process {self._record.pid}: cannot be rebuilt: {error}"
                f"{way_out(error.errno or 0)}",
                status=error.errno or 1,
            ) from error


def _is_daemon(record: records.Process) -> bool:
    """Tell whether a process has left whoever began it: init's, in another session."""
    # 0: the session is from outside of the pid namespace, as init's may be.
    return record.ppid == _INIT and record.sid not in (0, _INIT)


def _relocated(
    context: records.Context, pairs: Sequence[tuple[str, str]]
) -> records.Context:
    """Return the context with path prefixes replaced; the first pair that fits wins."""
    if not pairs:
        return context

    def moved(path: str) -> str:
        for old, new in pairs:
            if path == old or path.startswith(old.rstrip("/") + "/"):
                return new + path[len(old.rstrip("/")) :]
        return path

    processes = tuple(
        record._replace(
            exe=moved(record.exe),
            cwd=moved(record.cwd),
            threads=tuple(
                one._replace(
                    folders=one.folders
                    and one.folders._replace(cwd=moved(one.folders.cwd))
                )
                for one in record.threads
            ),
            mappings=tuple(
                one._replace(path=moved(one.path)) for one in record.mappings
            ),
        )
        for record in context.processes
    )
    opened = tuple(
        one._replace(
            path=moved(one.path) if one.kind in files.BY_PATH else one.path,
            watches=tuple(
                watch._replace(path=moved(watch.path)) for watch in one.watches
            ),
        )
        for one in context.files
    )
    unnamed = tuple(one._replace(name=moved(one.name)) for one in context.shared_memory)
    return context._replace(processes=processes, files=opened, shared_memory=unnamed)
