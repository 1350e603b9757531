"""
Where machines listen: a socket named after the pid, in the user's runtime folder.

Apart from `service`, which speaks through them: every checkpoint looks whether its
process is a machine.
"""

from __future__ import annotations

import os
import stat

from blcr.host import runtime


def find(pid: int) -> str | None:
    """Return the socket of the machine that a process is, or None."""
    for folder in filter(runtime.is_private, runtime.folders()):
        path = f"{folder}/{pid}"
        if _is_socket(path) and _is_answered(path):
            return path
    return None


def _is_socket(path: str) -> bool:
    try:
        return stat.S_ISSOCK(os.stat(path).st_mode)
    except OSError:
        return False


def _is_answered(path: str) -> bool:
    """Tell whether there is still a machine: a killed one leaves its socket behind."""
    import socket

    with socket.socket(socket.AF_UNIX) as connection:
        try:
            connection.connect(path)
        except OSError:
            return False
    return True
