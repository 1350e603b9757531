"""
How a machine is asked for a checkpoint: a socket in the user's runtime folder.

It takes the checkpoint between two turns of its guests, in its own process, and answers
with warnings, or with an error's message and exit status; see `request`.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import struct
import time
from pathlib import Path

from blcr.annotations import TYPE_CHECKING, Any
from blcr.errors import BlcrError, NotPermittedError
from blcr.host import runtime
from blcr.host.emulated import family, terminals
from blcr.host.emulated.frozen import FrozenMachine
from blcr.host.emulated.request import LINE_LIMIT

if TYPE_CHECKING:
    from blcr.host.emulated.machine import Machine
    from blcr.host.emulated.tasks import Guest

_ANSWER_TIMEOUT_S = 10.0
_PASSING_S = 2.0
"""How long bytes in terminals may take to be read."""


def _clear(folder: Path) -> None:
    """Remove the sockets of machines that were killed."""
    for path in folder.iterdir():
        if path.name.isdecimal() and not Path("/proc", path.name).exists():
            path.unlink(missing_ok=True)


class _Request:
    """Who asks for a checkpoint, and for what."""

    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection
        connection.settimeout(_ANSWER_TIMEOUT_S)
        self.wanted: dict[str, Any] = {}
        self.fds: list[int] = []
        self.patient_until = 0.0
        """How long it waits for guests that cannot be saved just now."""
        self.reading_until = 0.0
        """Likewise for what is on its way through terminals."""

    def receive(self) -> bool:
        """Receive what is wanted; False: somebody only asks whether we are here."""
        _check_peer(self.connection)
        data, self.fds, _, _ = socket.recv_fds(self.connection, LINE_LIMIT, 1)
        if not data:
            return False
        self.wanted = json.loads(data)
        now, timeout_s = time.monotonic(), float(self.wanted["timeout_s"])
        self.patient_until = now + timeout_s
        self.reading_until = now + min(timeout_s, _PASSING_S)
        return True

    def close(self) -> None:
        """Have no more to do with it."""
        self.connection.close()
        for fd in self.fds:
            os.close(fd)


class Listener:
    """A machine's socket, from entering the block to leaving it."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self._waiting: _Request | None = None
        """One that will be looked at again after each turn."""
        self._always_ready = os.eventfd(1)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._path: Path | None = None

    def __enter__(self) -> Listener:
        if made := runtime.make():
            folder = Path(made)
            _clear(folder)
            path = folder / str(os.getpid())
            path.unlink(missing_ok=True)
            old = os.umask(0o177)
            try:
                self._socket.bind(os.fspath(path))
            finally:
                os.umask(old)
            self._path = path
            self._socket.listen()
            self._machine.service = self
        return self

    def __exit__(self, *_: object) -> None:
        self._machine.service = None
        if self._waiting is not None:
            self._waiting.close()
        os.close(self._always_ready)
        self._socket.close()
        if self._path is not None:
            self._path.unlink(missing_ok=True)

    def fileno(self) -> int:
        """Return the descriptor to wait at."""
        return self._always_ready if self._waiting else self._socket.fileno()

    def serve(self) -> None:
        """Answer one request, or keep it for later."""
        request, self._waiting = self._waiting, None
        self._machine.chosen = ()
        if request is None:
            request = _Request(self._socket.accept()[0])
        answer: dict[str, object] | None
        try:
            if not request.wanted and not request.receive():
                answer = None
            elif self._has_to_wait(request):
                self._waiting = request
                return
            else:
                answer = {"warnings": self._checkpoint(request.wanted, request.fds[0])}
        except BlcrError as error:
            answer = {"error": str(error), "status": error.exit_status}
        except (OSError, ValueError, KeyError, IndexError, TypeError) as error:
            answer = {"error": f"the request failed: {error}", "status": 1}
        if answer:
            with contextlib.suppress(OSError):
                request.connection.sendall(json.dumps(answer).encode() + b"\n")
        request.close()

    def _has_to_wait(self, request: _Request) -> bool:
        """Tell whether a request cannot be answered just now."""
        machine, now = self._machine, time.monotonic()
        if family.is_midway(machine):
            return now < request.patient_until
        typed, readers = terminals.under_way(machine)
        if now >= request.reading_until or not (typed or readers):
            return False
        if not typed:
            # Who writes to them stands still meanwhile.
            machine.chosen = readers
        return True

    def _checkpoint(self, wanted: dict[str, Any], fd: int) -> list[str]:
        # The engine calls hosts; this host is called by itself here.
        from blcr.engine import checkpoint
        from blcr.host.emulated.host import HOST

        warnings: list[str] = []
        guest, signal = int(wanted["guest"]), int(wanted["signal"])
        with FrozenMachine(self._machine, str(wanted["scope"]), guest) as frozen:
            saved = tuple(map(str, wanted["wanted"]))
            checkpoint.save(HOST, frozen, fd, wanted=saved, warn=warnings.append)
            if signal:
                frozen.kill(signal)
        return warnings


def run(machine: Machine, first: Guest) -> int:
    """
    Run a machine, and listen, until its first process ends; return its wait status.

    Processes that are left then go on in a process of their own.
    """
    with Listener(machine):
        status = machine.run(first)
    if machine.is_alive and not os.fork():
        with Listener(machine):
            machine.run(None)
        os._exit(0)
    return status


def _check_peer(connection: socket.socket) -> None:
    """Let only the owner, or root, ask."""
    credentials = connection.getsockopt(
        socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i")
    )
    _, uid, _ = struct.unpack("3i", credentials)
    if uid not in {0, os.getuid()}:
        raise NotPermittedError("the machine belongs to another user")
