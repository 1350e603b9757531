"""The commands as a user calls them, as any user."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import importlib
import os
import subprocess
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO

from harness import seeds
from harness.outside import PATIENCE
from harness.staging import interpreter

ORDINARY_USER = 12345
"""A user id that nobody has, without groups and capabilities."""

TIMEOUT_S = (300 if seeds.FULL else 60) * PATIENCE


FORKS = "BLCR_FORKS" in os.environ
"""Commands are forks of the tests' Python, as in machines that are slow."""

_PARTS = """
    cli.checkpoint cli.restart engine.checkpoint engine.restart host.native.freeze
    host.native.restart host.native.filling resources.sockets
""".split()
"""What commands need."""

_PR_SET_DUMPABLE = 4


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


def _instead(
    args: Sequence[str], env: Mapping[str, str], pass_fds: Sequence[int] = ()
) -> Callable[[], None] | None:
    """
    Return what a new process shall do instead of execve; None: that.

    A command is a part of this Python, where Python takes seconds to start.
    """
    if not FORKS or args[1:2] != ["-m"]:
        return None

    def be_the_command() -> None:
        status = 1
        try:
            for fd in range(3, 1 << 10):
                if fd not in pass_fds:
                    with contextlib.suppress(OSError):
                        os.close(fd)
            # Who has changed the user is not to be looked at otherwise.
            ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 1, 0, 0, 0)
            os.environ.clear()
            os.environ.update(env)
            sys.stdin, sys.stdout, sys.stderr = (
                os.fdopen(fd, "rw"[fd > 0]) for fd in range(3)
            )
            sys.argv = list(args[2:])
            gc.enable()
            status = importlib.import_module(args[2]).main()
            sys.stdout.flush()
        except SystemExit as error:
            status = error.code if isinstance(error.code, int) else 1
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(status)

    for name in _PARTS if FORKS else ():
        importlib.import_module(f"blcr.{name}")
    return be_the_command


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
    words = [str(arg) for arg in args]
    env = {**environment(user, cwd), **(extra or {})}
    return subprocess.Popen(
        words,
        cwd=cwd,
        env=env,
        preexec_fn=_instead(words, env),
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
    words, env = argv(command, *args, user=user), environment(user, cwd)
    return subprocess.run(
        words,
        cwd=cwd,
        env=env,
        preexec_fn=_instead(words, env, pass_fds),
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
