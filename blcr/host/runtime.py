"""The folders in which what runs leaves sockets and notes for the user's commands."""

from __future__ import annotations

import os
import stat
from pathlib import Path

PRIVATE = 0o700


def folders() -> list[Path]:
    """Return where such files may be, best place first."""
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


def make() -> Path | None:
    """Return the best folder that can be had, made if need be; None: there is none."""
    for folder in folders():
        try:
            folder.mkdir(mode=PRIVATE, exist_ok=True)
        except OSError:
            continue
        if is_private(folder):
            return folder
    return None
