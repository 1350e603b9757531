"""
Where machines listen: a socket named after the pid, in the user's runtime folder.

Apart from `service`, which speaks through them: every checkpoint looks whether its
process is a machine.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

PRIVATE = 0o700


def folders() -> list[Path]:
    """Return where sockets may be, best place first."""
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    places = [Path(runtime) / "blcr"] if runtime else []
    return [*places, Path(f"/tmp/blcr-{os.getuid()}")]


def is_private(folder: Path) -> bool:
    """Tell whether a folder is ours alone."""
    try:
        status = folder.lstat()
    except OSError:
        return False
    mode = stat.S_IMODE(status.st_mode)
    own = status.st_uid == os.getuid()
    return stat.S_ISDIR(status.st_mode) and own and not mode & ~PRIVATE


def find(pid: int) -> Path | None:
    """Return the socket of the machine that a process is, or None."""
    for folder in folders():
        path = folder / str(pid)
        if is_private(folder) and path.is_socket() and Path(f"/proc/{pid}").exists():
            return path
    return None
