"""A program under test: started, cut, restarted, listened to, always ended."""

from __future__ import annotations

import contextlib
import ctypes
import os
import select
import signal
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import blcr
from harness import commands, outside

PR_SET_CHILD_SUBREAPER = 36
"""Source: linux/prctl.h."""


class SubjectError(AssertionError):
    """A program under test or a command did not do what it should."""


class GoneError(SubjectError):
    """The program had ended by itself when it was to be saved."""


NO_SUCH_PROCESS = 3
"""How cr_checkpoint ends then."""


def become_subreaper() -> None:
    """Let orphans come to this process, which ends them with the subject."""
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


class Subject:
    """
    A running program and, after a restart, the command that stands for it.

    Attributes:
        pid: Of the program, as we see it; of the whole machine where it is emulated.
        output: What it has said so far.
        strays: Processes to be ended with it.
    """

    def __init__(
        self,
        args: Sequence[str | Path],
        *,
        cwd: Path,
        user: int | None = None,
        emulated: bool = False,
    ) -> None:
        self.cwd = cwd
        self.emulated = emulated
        self.user = user
        self.output = b""
        self.executable = str(Path(args[0]).resolve())
        self.words = b""
        self._contexts = 0
        self.strays: set[int] = set()
        if emulated:
            args = commands.argv("run", "--emulate", *args, user=user)
        self._start(args)
        self.pid = self.command.pid

    def _start(self, args: Sequence[str | Path]) -> None:
        """Start program or command with pipes of ours."""
        self._log = (self.cwd / f"stderr-{self._contexts}").open("w+b")
        if self.user is not None:
            os.fchown(self._log.fileno(), self.user, self.user)
        self.command = commands.popen(
            args,
            user=self.user,
            cwd=self.cwd,
            stdin=subprocess.PIPE,
            stderr=self._log,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.end()

    # Listening and telling.

    def errors(self) -> str:
        """Return what command or program has said on stderr."""
        self._log.flush()
        return Path(self._log.name).read_text(errors="replace")

    def expect(self, word: bytes, *, timeout_s: float = 30) -> None:
        """Wait until the program has said this since it was expected last."""
        end = time.monotonic() + timeout_s * outside.PATIENCE
        while word not in self.output:
            if not self._read(end):
                raise SubjectError(
                    f"no {word!r}: said {self.output!r}, stderr {self.errors()!r}"
                )

    def _read(self, end: float) -> bool:
        """Read once; False at the end of output or time."""
        assert self.command.stdout
        left = end - time.monotonic()
        if left <= 0 or not select.select([self.command.stdout], [], [], left)[0]:
            return False
        data = os.read(self.command.stdout.fileno(), 65536)
        self.output += data
        return bool(data)

    def ready(self) -> None:
        """Wait until the program is in its state, and sleeps if it can."""
        self.expect(b"ready\n")
        self.settle()

    def settle(self) -> None:
        """Wait until the program sleeps; one that computes is given a moment."""
        with contextlib.suppress(TimeoutError):
            outside.wait_until(
                lambda: outside.is_waiting(self.pid), "asleep", timeout_s=0.2
            )

    def tell(self, away_ms: int = 0) -> None:
        """Send the line that the program waits for."""
        assert self.command.stdin
        self.command.stdin.write(b"%d\n" % away_ms)
        self.command.stdin.flush()

    def finish(self, *, timeout_s: float = 60) -> bytes:
        """
        Return all that the program has said when it has ended by itself.

        Raises:
            SubjectError: It did not end in time, or badly.
        """
        end = time.monotonic() + timeout_s * outside.PATIENCE
        while self._read(end):
            pass
        try:
            status = self.command.wait(max(0.1, end - time.monotonic()))
        except subprocess.TimeoutExpired:
            raise SubjectError(f"still runs: {self.state()}") from None
        if status:
            raise SubjectError(
                f"status {status}, said {self.output!r}, stderr {self.errors()!r}"
            )
        return self.output

    def state(self) -> str:
        """Describe where the threads are, for messages."""
        lines = [f"pid {self.pid}, said {self.output!r}, stderr {self.errors()!r}"]
        with contextlib.suppress(OSError):
            for task in (outside.PROC / str(self.pid) / "task").iterdir():
                status = outside.status_of(self.pid, int(task.name))
                call = (task / "syscall").read_text().strip()
                state, tracer = status["State"], status["TracerPid"]
                lines.append(f"{task.name} {state} tracer {tracer}: {call}")
        return "; ".join(lines)

    # Cutting and going on.

    def next_context(self) -> Path:
        """Return a name for a context that does not exist yet."""
        self._contexts += 1
        return self.cwd / f"context-{self._contexts}"

    def checkpoint(self, *options: str) -> Path:
        """
        Take a checkpoint; with ``--kill`` the program is gone afterwards.

        Raises:
            GoneError: The program had ended.
            SubjectError: The command failed otherwise; says what it said.
        """
        path = self.next_context()
        done = commands.call(
            "checkpoint",
            *options,
            "--nosync",
            "-f",
            path,
            str(self.pid),
            user=self.user,
            cwd=self.cwd,
        )
        if done.returncode:
            kind = GoneError if done.returncode == NO_SUCH_PROCESS else SubjectError
            raise kind(
                f"cr_checkpoint: status {done.returncode}: {done.stdout}{done.stderr}"
            )
        return path

    def checkpoint_and_kill(self, *options: str) -> Path:
        """Take a checkpoint that ends the program, and bury it."""
        if not self.emulated:
            self.strays.update(outside.descendants(self.pid))
            try:
                self.words = outside.words(self.pid)
            except FileNotFoundError as error:
                raise GoneError(f"process {self.pid} has ended") from error
        path = self.checkpoint("--kill", *options)
        if not self.emulated:
            # Some may have been born since.
            with blcr.open_context(path) as saved:
                self.strays.update(one.pid for one in saved.context.processes)
                self.strays.update(one.pid for one in saved.context.ended)
        end = time.monotonic() + 30 * outside.PATIENCE
        while self._read(end):
            pass
        self.bury()
        return path

    def restart(self, path: Path, *options: str) -> None:
        """
        Restart the program from a context and wait until it runs.

        Raises:
            SubjectError: It does not come to life; says what the command said.
        """
        if self.emulated:
            options = ("--emulate", *options)
        self._start(commands.argv("restart", *options, path, user=self.user))
        try:
            outside.wait_until(self._is_back, "restart", timeout_s=commands.TIMEOUT_S)
        except TimeoutError as error:
            raise SubjectError(f"{error}: {self.state()}") from None
        self.settle()

    def _is_back(self) -> bool:
        """Find the program below the command: right executable, right id, let go."""
        if self.command.poll() is not None:
            # A short-lived program may have ended before it was seen.
            if self.command.returncode == 0:
                return True
            self._read(time.monotonic() + 1)
            raise SubjectError(
                f"cr_restart: status {self.command.returncode}, the program said "
                f"{self.output!r}, stderr {self.errors()!r}"
            )
        if self.emulated:
            self.pid = self.command.pid
            return any(self.cwd.glob(f"blcr/*{self.pid}*"))
        for pid in outside.descendants(self.command.pid):
            self.strays.add(pid)
            with contextlib.suppress(OSError, KeyError):
                if self._is_ours(pid):
                    # Children of it may look alike; it comes first.
                    self.pid = pid
                    return not outside.is_traced(pid)
        return False

    def _is_ours(self, pid: int) -> bool:
        """Tell whether a process is the program, by its words or its executable."""
        if self.words:
            return outside.words(pid) == self.words
        return str((outside.PROC / str(pid) / "exe").readlink()) == self.executable

    # Ending.

    def bury(self) -> None:
        """Wait for the command, whose program was killed."""
        for stream in (self.command.stdin, self.command.stdout):
            assert stream
            with contextlib.suppress(OSError):
                stream.close()
        try:
            self.command.wait(30 * outside.PATIENCE)
        except subprocess.TimeoutExpired:
            raise SubjectError(f"not gone: {self.state()}") from None
        self._log.close()
        self._reap()

    def end(self) -> None:
        """End everything that was started, whatever state it is in."""
        if self.command.poll() is None:
            self.strays.update(outside.descendants(self.command.pid))
            self.command.kill()
            self.command.wait()
        mine = {pid for pid in self.strays if outside.is_own_child(pid)}
        for pid in mine:
            os.kill(pid, signal.SIGKILL)
        # The first process of a pid namespace ends only after the others are buried.
        outside.wait_until(lambda: set(map(_is_buried, mine)) <= {True}, "end")
        for stream in (self.command.stdin, self.command.stdout, self._log):
            if stream:
                with contextlib.suppress(OSError):
                    stream.close()

    def _reap(self) -> None:
        """Bury orphans that came to us, the program's children among them."""
        name = Path(self.executable).name
        for pid in {*self.strays, *outside.zombies(name, os.getpid())}:
            if outside.is_own_child(pid) and not outside.exists(pid):
                os.waitpid(pid, os.WNOHANG)


def _is_buried(pid: int) -> bool:
    """Wait for a child if it has ended; tell whether that has been done."""
    with contextlib.suppress(ChildProcessError):
        return os.waitpid(pid, os.WNOHANG) != (0, 0)
    return True
