"""The commands as a user calls them, as any user."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO

from harness import seeds
from harness.outside import PATIENCE
from harness.staging import interpreter

ORDINARY_USER = 12345
"""A user id that nobody has, without groups and capabilities."""

TIMEOUT_S = (300 if seeds.FULL else 60) * PATIENCE


def users() -> dict[str, int | None]:
    """Return the users that tests can be: root where we are it, and an ordinary one."""
    if os.geteuid() == 0:
        return {"root": None, "user": ORDINARY_USER}
    return {"user": None}


def argv(command: str, *args: str | Path, user: int | None = None) -> list[str]:
    """Return what starts ``cr_COMMAND`` as that user."""
    python = str(interpreter(user).executable)
    return [python, "-m", f"blcr.cli.{command}", *map(str, args)]


def environment(user: int | None, home: Path) -> dict[str, str]:
    """Return a small environment, the same for programs and commands."""
    kept = {k: v for k, v in os.environ.items() if k in {"PATH", "LANG", "PYTHONPATH"}}
    return {
        **kept,
        **interpreter(user).environment,
        "HOME": str(home),
        "TMPDIR": str(home),
        "XDG_RUNTIME_DIR": str(home),
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONSAFEPATH": "1",
    }


def popen(
    args: Sequence[str | Path],
    *,
    user: int | None,
    cwd: Path,
    stdin: int | IO[bytes] | None = subprocess.DEVNULL,
    stdout: int | IO[bytes] | None = subprocess.PIPE,
    stderr: int | IO[bytes] | None = subprocess.PIPE,
    extra: Mapping[str, str] | None = None,
) -> subprocess.Popen[bytes]:
    """Start something as that user in `cwd`; changing the user drops capabilities."""
    return subprocess.Popen(
        [str(arg) for arg in args],
        cwd=cwd,
        env={**environment(user, cwd), **(extra or {})},
        stdin=stdin,
        stdout=stdout,
        stderr=stderr,
        user=user,
        group=user,
        extra_groups=None if user is None else [],
    )


def call(
    command: str,
    *args: str | Path,
    user: int | None = None,
    cwd: Path,
    timeout_s: float = TIMEOUT_S,
    pass_fds: Sequence[int] = (),
) -> subprocess.CompletedProcess[str]:
    """Run ``cr_COMMAND`` to its end."""
    return subprocess.run(
        argv(command, *args, user=user),
        cwd=cwd,
        env=environment(user, cwd),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=timeout_s,
        user=user,
        group=user,
        extra_groups=None if user is None else [],
        pass_fds=pass_fds,
    )
