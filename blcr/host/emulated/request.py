"""
Asking a machine for a checkpoint.

The one who asks sends a line of JSON and, with it, the descriptor to write to; the
answer is a line, too.  Apart from `service`, which answers: who asks needs no machine.
"""

from __future__ import annotations

import json
import socket

from blcr.annotations import TYPE_CHECKING, Any
from blcr.errors import BlcrError, FreezeTimeoutError, NoSuchProcessError

if TYPE_CHECKING:
    from blcr.host.interface import CheckpointRequest

LINE_LIMIT = 1 << 16


class ForwardedError(BlcrError):
    """The machine could not take the checkpoint; its own message and status."""

    def __init__(self, message: str, status: int) -> None:
        self.exit_status = status
        super().__init__(message)


def ask(path: str, wanted: CheckpointRequest) -> list[str]:
    """
    Ask a machine for a checkpoint and return its warnings.

    Raises:
        BlcrError: It was not taken.
    """
    if _is_stopped(wanted.pid):
        raise FreezeTimeoutError(
            f"the machine {wanted.pid} is stopped, as all processes in it are, and "
            f"does not answer; let it go on (kill -CONT {wanted.pid})"
        )
    fields = wanted._asdict()
    fields.pop("fd")
    with socket.socket(socket.AF_UNIX) as connection:
        try:
            connection.connect(path)
            line = json.dumps(fields).encode() + b"\n"
            socket.send_fds(connection, [line], [wanted.fd])
            answer = _read_line(connection)
        except OSError as error:
            raise NoSuchProcessError(
                f"the machine {wanted.pid} does not answer: {error.strerror or error}"
            ) from error
    if not answer:
        raise NoSuchProcessError(f"the machine {wanted.pid} ended meanwhile")
    if "error" in answer:
        raise ForwardedError(str(answer["error"]), int(answer["status"]))
    return [str(warning) for warning in answer["warnings"]]


def _is_stopped(pid: int) -> bool:
    """Tell whether a process of this machine is stopped; proc_pid_stat(5)."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return file.read().rpartition(b") ")[2][:1] == b"T"
    except OSError:
        return False


def _read_line(connection: socket.socket) -> dict[str, Any]:
    data = b""
    while not data.endswith(b"\n") and len(data) < LINE_LIMIT:
        part = connection.recv(LINE_LIMIT)
        if not part:
            break
        data += part
    answer = json.loads(data) if data else {}
    return answer if isinstance(answer, dict) else {}
