"""
A restart in a process of its own, for callers that have a life besides.

A restart enters namespaces for good, blocks signals and waits as parent.  So a fresh
interpreter does it and reports: warnings, progress, that the processes run, and at the
end a status or an error.  ``python -m`` with this module is that interpreter.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from multiprocessing.connection import Connection, Pipe

from blcr.annotations import Any
from blcr.engine.restart import Progress, Warn
from blcr.errors import BlcrError, RestartError
from blcr.record import Record


class RestartResult(Record):
    """
    How a restarted program ended.

    Attributes:
        status: As `os.waitpid` gives it.
    """

    status: int

    @property
    def returncode(self) -> int:
        """The exit status, or the negative number of the signal that ended it."""
        return os.waitstatus_to_exitcode(self.status)


def restart(
    source_fd: int,
    source_name: str,
    options: Mapping[str, Any],
    *,
    warn: Warn,
    progress: Progress | None,
    running: Callable[[], None] | None,
) -> RestartResult:
    """
    Restart what a context holds, and return when it has ended.

    Args:
        source_fd: The context, from its current offset on.
        source_name: What messages call it.
        options: Of `blcr.engine.restart.restart`, but for the three that follow.
        warn: Told what the user should know.
        progress: Told how far the checking of the context is.
        running: Called when the processes have been let go.

    Raises:
        BlcrError: No process of the context is left.
    """
    told = {"warn": warn, "progress": progress, "running": running}
    ours, theirs = Pipe()
    command = [sys.executable, "-P", "-m", __name__, str(theirs.fileno())]
    with ours, theirs:
        process = subprocess.Popen(
            command, pass_fds=(source_fd, theirs.fileno()), env=environment()
        )
        theirs.close()
        try:
            ours.send((source_fd, source_name, options))
            return RestartResult(_listen(ours, told))
        except EOFError:
            raise RestartError(f"{source_name}: the restart ended too early") from None
        except BaseException:
            # Before the processes run it ends them all; then it passes the signal on.
            process.send_signal(signal.SIGTERM)
            raise
        finally:
            process.wait()


def environment() -> dict[str, str]:
    """Return one in which another Python looks for modules where this one does."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}


def _listen(reports: Connection, told: Mapping[str, Callable[..., None] | None]) -> int:
    """Pass on what is reported up to the status, which is returned, or an error."""
    while True:
        kind, *values = reports.recv()
        if kind == "ended":
            status: int = values[0]
            return status
        if kind == "failed":
            raise values[0]
        if call := told[kind]:
            call(*values)


def _main() -> None:
    """Do what the other process asks for."""
    from blcr.engine.restart import restart as engine

    reports = Connection(int(sys.argv[1]))
    source_fd, source_name, options = reports.recv()
    for fd in (reports.fileno(), source_fd):
        os.set_inheritable(fd, False)
    try:
        status = engine(
            source_fd,
            source_name,
            **options,
            warn=lambda message: reports.send(("warn", message)),
            progress=lambda *done: reports.send(("progress", *done)),
            running=lambda: reports.send(("running",)),
        )
        reports.send(("ended", status))
    except BlcrError as error:
        reports.send(("failed", error))


if __name__ == "__main__":
    _main()
