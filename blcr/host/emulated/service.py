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
from pathlib import Path

from blcr.annotations import TYPE_CHECKING, Any
from blcr.errors import (
    BlcrError,
    NoSuchProcessError,
    NotPermittedError,
    RefusedError,
)
from blcr.host import runtime
from blcr.host.emulated.frozen import FrozenMachine
from blcr.host.emulated.request import LINE_LIMIT

if TYPE_CHECKING:
    from blcr.host.emulated.machine import Machine
    from blcr.host.emulated.tasks import Guest

_ANSWER_TIMEOUT_S = 10.0


def _clear(folder: Path) -> None:
    """Remove the sockets of machines that were killed."""
    for path in folder.iterdir():
        if path.name.isdecimal() and not Path("/proc", path.name).exists():
            path.unlink(missing_ok=True)


class Listener:
    """A machine's socket, from entering the block to leaving it."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
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
        self._socket.close()
        if self._path is not None:
            self._path.unlink(missing_ok=True)

    def fileno(self) -> int:
        """Return the descriptor to wait at."""
        return self._socket.fileno()

    def serve(self) -> None:
        """Answer one request."""
        connection, _ = self._socket.accept()
        with connection:
            connection.settimeout(_ANSWER_TIMEOUT_S)
            answer: dict[str, object]
            fds: list[int] = []
            try:
                _check_peer(connection)
                data, fds, _, _ = socket.recv_fds(connection, LINE_LIMIT, 1)
                if not data:
                    return  # somebody only wanted to know whether we are here
                answer = {"warnings": self._checkpoint(json.loads(data), fds)}
            except BlcrError as error:
                answer = {"error": str(error), "status": error.exit_status}
            except (OSError, ValueError, KeyError, IndexError, TypeError) as error:
                answer = {"error": f"the request failed: {error}", "status": 1}
            finally:
                for fd in fds:
                    os.close(fd)
            with contextlib.suppress(OSError):
                connection.sendall(json.dumps(answer).encode() + b"\n")

    def _checkpoint(self, wanted: dict[str, Any], fds: list[int]) -> list[str]:
        # The engine calls hosts; this host is called by itself here.
        from blcr.engine import checkpoint
        from blcr.host.emulated.host import HOST

        warnings: list[str] = []
        guest, signal = int(wanted["guest"]), int(wanted["signal"])
        self._check_scope(guest)
        with FrozenMachine(self._machine, [guest] if guest else []) as frozen:
            saved = tuple(map(str, wanted["wanted"]))
            checkpoint.save(HOST, frozen, fds[0], wanted=saved, warn=warnings.append)
            if signal:
                frozen.kill(signal)
        return warnings

    def _check_scope(self, guest: int) -> None:
        guests = self._machine.guests
        if guest:
            if guest not in guests or not guests[guest].threads:
                raise NoSuchProcessError(f"the machine has no process {guest}")
            return
        if len(guests) > 1:
            first, *others = guests
            raise RefusedError(
                first,
                f"is not alone: {', '.join(map(str, others))} belong to its machine, "
                "and several processes cannot be saved together yet",
                hint="PID:GUEST saves one without the others",
            )


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
