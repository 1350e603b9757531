"""
Checkpoint and restart of Linux programs, in user space.

    result = blcr.checkpoint(4711, "program.context")
    with blcr.open_context("program.context") as reader:
        print(reader.context.processes[0].exe)
    ended = blcr.restart("program.context")

Everything that can go wrong is a `BlcrError`.  What a function needs is imported when
it is called: each command begins with this module.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import ExitStack, contextmanager

from blcr.annotations import TYPE_CHECKING
from blcr.errors import (
    ArchDefinitionError,
    ArchitectureError,
    BlcrError,
    BusyError,
    ContextError,
    ContextVersionError,
    FreezeTimeoutError,
    HostError,
    NoSuchProcessError,
    NotPermittedError,
    NotTrackableError,
    PassingError,
    RefusedError,
    RemoteCallError,
    RestartError,
    TargetError,
    TaskGoneError,
    TracedError,
    UsageError,
)

if TYPE_CHECKING:
    from typing import BinaryIO  # noqa: TID251

    from blcr.context.archive import ContextReader
    from blcr.context.target import Policy
    from blcr.engine.apart import RestartResult
    from blcr.engine.checkpoint import CheckpointResult

    Place = str | os.PathLike[str] | BinaryIO
    Warn = Callable[[str], None]
    Progress = Callable[[str, int, int], None]

__all__ = [
    "ArchDefinitionError",
    "ArchitectureError",
    "BlcrError",
    "BusyError",
    "ContextError",
    "ContextVersionError",
    "FreezeTimeoutError",
    "HostError",
    "NoSuchProcessError",
    "NotPermittedError",
    "NotTrackableError",
    "PassingError",
    "RefusedError",
    "RemoteCallError",
    "RestartError",
    "TargetError",
    "TaskGoneError",
    "TracedError",
    "UsageError",
    "checkpoint",
    "open_context",
    "restart",
]

__version__ = "0.9.0.dev0"


def checkpoint(
    pid: int,
    path: Place,
    *,
    guest: int = 0,
    scope: str = "tree",
    signal: int = 0,
    policy: Policy = "atomic",
    backup: str | os.PathLike[str] | None = None,
    sync: bool = True,
    timeout_s: float = 10.0,
    save: Collection[str] = (),
    warn: Warn | None = None,
    progress: Progress | None = None,
) -> CheckpointResult:
    """
    Save running processes to a context file.

    The processes run on unharmed, or get `signal` before one more instruction.

    Args:
        pid: The process, or the id of a group or session.  For one's own, a child
            takes the checkpoint; restarted, this returns again, saying so.
        path: The file; or an open binary file, which is written from its position on
            and stays open.
        guest: A process inside the emulated machine that `pid` is; 0: all of them.
        scope: ``"tree"``: the process and all below it; ``"pid"``: it alone;
            ``"pgid"``, ``"sid"``: a process group, a session.
        signal: Sent when the context is complete; 0: none.
        policy: What becomes of an older file: ``"atomic"`` replaces it when the new one
            is complete, ``"backup"`` keeps it beside, ``"clobber"`` writes over it,
            ``"noclobber"`` refuses.
        backup: The older file's new name; None: the first free ``FILE.~N~``.
        sync: Wait until the file is on the disk.
        timeout_s: How long to wait for threads to stop.
        save: Of which mapped files the contents go into the context: ``"exe"``,
            ``"private"``, ``"shared"``.
        warn: Told what the user should know; like `progress` from another thread.
        progress: Told what is being done, and how many bytes of how many are.

    Returns:
        Size of the context, and how long the processes stood still.

    Raises:
        BlcrError: Nothing was changed; an older file of that name is untouched.
    """
    from concurrent.futures import ThreadPoolExecutor

    from blcr.context.target import Target
    from blcr.engine.checkpoint import checkpoint as engine

    def take(scope: str, tell: Warn) -> CheckpointResult:
        with ExitStack() as stack:
            if isinstance(path, str | os.PathLike):
                target = Target(path, policy=policy, backup=backup, sync=sync)
            else:
                target = Target(fd=stack.enter_context(_lent(path)), sync=sync)
            opened = stack.enter_context(target)
            # Whoever traces lets go of everything when it ends, also of a thread that
            # did not stop in time.  So that is not the caller but a thread of its own.
            pool = stack.enter_context(ThreadPoolExecutor(1))
            return pool.submit(
                engine,
                pid,
                opened,
                guest=guest,
                scope=scope,
                signal=signal,
                timeout_s=timeout_s,
                wanted=tuple(save),
                warn=tell,
                progress=progress,
            ).result()

    if pid == os.getpid():
        from blcr.engine import oneself

        return oneself.checkpoint(take, scope, warn or _ignore)
    return take(scope, warn or _ignore)


def restart(
    path: Place,
    *,
    restore_pid: bool = True,
    restore_pgid: bool = False,
    restore_sid: bool = False,
    host: str | None = None,
    sysroot: str | os.PathLike[str] | None = None,
    relocate: Sequence[tuple[str, str]] = (),
    keep_grown: bool = False,
    close_connections: bool = False,
    signal: int = 0,
    warn: Warn | None = None,
    progress: Progress | None = None,
    running: Callable[[], None] | None = None,
) -> RestartResult:
    """
    Restart what a context holds, and return when it has ended.

    A process of its own is the parent meanwhile: standard input, output and error that
    the program had inherited are the caller's.  If the caller is interrupted, the
    program gets SIGTERM.

    Args:
        path: The file; or an open binary file, read from its position on.
        restore_pid: Give the same process and thread ids; else new ones.
        restore_pgid: Give the same process group.
        restore_sid: Give the same session.
        host: Name of the host to restart on; None: this machine's own CPU.
        sysroot: Folder in which an emulator looks for the program's files first.
        relocate: Pairs of path prefixes, old and new.
        keep_grown: Leave files that have grown since as long as they are.
        close_connections: Those to others are not made again: they have ended.
        signal: Sent to the processes before they run an instruction; 0: none.
        warn: Told what the user should know.
        progress: Told what is being done, and how many bytes of how many are.
        running: Called when the processes have been let go.

    Returns:
        How the first process ended.

    Raises:
        BlcrError: No process of the context is left.
    """
    from blcr.engine import apart

    with _opened(path) as (fd, name):
        return apart.restart(
            fd,
            name,
            {
                "restore_pid": restore_pid,
                "restore_pgid": restore_pgid,
                "restore_sid": restore_sid,
                "host": host,
                "sysroot": None if sysroot is None else os.fspath(sysroot),
                "relocate": list(relocate),
                "keep_grown": keep_grown,
                "close_connections": close_connections,
                "signal": int(signal),
            },
            warn=warn or _ignore,
            progress=progress,
            running=running,
        )


def open_context(path: Place) -> ContextReader:
    """
    Open a context to look into; a context manager.

    ``reader.context`` has the records, ``reader.core(pid)`` memory and registers;
    ``reader.verify()`` compares all checksums.

    Args:
        path: The file; or an open binary file, read from its position on, which has to
            stay open.

    Raises:
        ContextError: It is not one, is damaged, or cannot be opened.
    """
    from blcr.context import archive

    if isinstance(path, str | os.PathLike):
        return archive.open_context(path)
    with _opened(path) as (fd, name):
        return archive.ContextReader(fd, name)


def _ignore(_message: str) -> None:
    """Take a warning that nobody wants to see."""


@contextmanager
def _opened(place: Place) -> Iterator[tuple[int, str]]:
    """Give a descriptor to read from, and what messages call it."""
    if not isinstance(place, str | os.PathLike):
        with _lent(place) as fd:
            yield fd, f"descriptor {fd}"
        return
    try:
        fd = os.open(place, os.O_RDONLY | os.O_CLOEXEC | os.O_NOCTTY)
    except OSError as error:
        ours = ContextError(f"{place}: {os.strerror(error.errno or 0).lower()}")
        ours.exit_status = error.errno or ours.exit_status
        raise ours from error
    try:
        yield fd, os.fspath(place)
    finally:
        os.close(fd)


@contextmanager
def _lent(file: BinaryIO) -> Iterator[int]:
    """Give the descriptor of an open file; both are at the same position."""
    fd = file.fileno()
    if not file.seekable():
        if file.writable():
            file.flush()
        yield fd
        return
    os.lseek(fd, file.seek(file.tell()), os.SEEK_SET)
    try:
        yield fd
    finally:
        behind = os.lseek(fd, 0, os.SEEK_CUR)
        # What is buffered is of another position; going to the end drops it.
        file.seek(0, os.SEEK_END)
        file.seek(behind)
