"""The folders in which what runs leaves sockets and notes for the user's commands."""

from __future__ import annotations

import os
import stat

PRIVATE = 0o700


def folders() -> list[str]:
    """Return where such files may be, best place first."""
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    places = [f"{runtime}/blcr"] if runtime else []
    return [*places, f"/tmp/blcr-{os.getuid()}"]


def is_private(folder: str) -> bool:
    """Tell whether a folder is ours alone."""
    try:
        status = os.lstat(folder)
    except OSError:
        return False
    mode = stat.S_IMODE(status.st_mode)
    own = status.st_uid == os.getuid()
    return stat.S_ISDIR(status.st_mode) and own and not mode & ~PRIVATE


def make() -> str | None:
    """Return the best folder that can be had, made if need be; None: there is none."""
    for folder in folders():
        try:
            os.mkdir(folder, PRIVATE)
        except FileExistsError:
            pass
        except OSError:
            continue
        if is_private(folder):
            return folder
    return None
