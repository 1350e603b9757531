"""``cr_restart``: let the processes of a context file go on."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import re
import stat
import sys
from collections.abc import Iterator, Sequence

from blcr.cli import main as common
from blcr.cli.messages import Progress, Warnings
from blcr.cli.options import RESTART, Arguments, BadUsageError, Given
from blcr.errors import BlcrError, RestartError, UsageError

RELOCATIONS = 16
"""The most that BLCR accepts, its CR_MAX_RSTRT_RELOC."""

SUPPORTED = {"omit": {"maybe"}}
"""Values of options of which others are not supported yet."""

# Which hook runs after a failure, by exit status; any other status is permanent.
_HOOKS = {
    "on-args": {BadUsageError.exit_status},
    "on-temp": {errno.ENOMEM, errno.EBUSY},
    "on-env": {
        errno.EACCES,
        errno.EPERM,
        errno.ENOENT,
        errno.EEXIST,
        errno.EISDIR,
        errno.ENOTDIR,
    },
}

# A path up to the first '=' that no backslash precedes.
_RELOCATION = re.compile(r"((?:[^\\=]|\\.)*)=(.*)", re.DOTALL)


class UnreadableError(BadUsageError):
    """The context file cannot be opened; for BLCR a mistake in the arguments."""


def main(words: Sequence[str] | None = None) -> int:
    """Run the command and return its exit status."""
    return common.run(RESTART, _restart, words, failed=_run_failure_hook)


def _restart(arguments: Arguments) -> int:
    common.refuse_unsupported(arguments, SUPPORTED)
    number = common.signal_number(arguments.last("signal"))
    relocate = [_relocation(one.value) for one in arguments.all("relocate")]
    if len(relocate) > RELOCATIONS:
        raise UsageError(f"more than {RELOCATIONS} relocations")
    common.for_emulated(arguments, "sysroot", "memory", "tasks")
    bounds = common.bounds(arguments)
    with _source(arguments) as (fd, name):
        if arguments.has("check"):
            return _check(arguments, fd, name)
        from blcr.engine.restart import restart

        warnings = Warnings(arguments)
        progress = Progress(arguments)
        with warnings.shown_on_failure(), progress:
            status = restart(
                fd,
                name,
                restore_pid=arguments.last("restore-pid", "yes") == "yes",
                restore_pgid=arguments.last("restore-pgid") == "yes",
                restore_sid=arguments.last("restore-sid") == "yes",
                signal=number,
                host=_host(arguments),
                sysroot=arguments.last("sysroot") or None,
                relocate=[pair for pair in relocate if pair[0] != pair[1]],
                keep_grown=arguments.has("keep-grown"),
                close_connections=arguments.has("close"),
                bounds=bounds,
                warn=warnings.add,
                notice=warnings.tell,
                progress=progress.advance,
                running=lambda: _tell_running(arguments, name, warnings),
            )
    return common.mirror(status)


def _check(arguments: Arguments, fd: int, name: str) -> int:
    """Print what is missing for a restart; the status tells whether anything is."""
    from blcr.engine.restart import check

    missing = check(fd, name, host=_host(arguments))
    if arguments.has("json"):
        import json

        print(json.dumps({"file": name, "possible": not missing, "missing": missing}))
    else:
        print("\n".join(missing) or f"{name} can be restarted here")
    return 1 if missing else 0


def _host(arguments: Arguments) -> str | None:
    return common.emulator().name if arguments.has("emulate") else None


@contextlib.contextmanager
def _source(arguments: Arguments) -> Iterator[tuple[int, str]]:
    """Give the descriptor of the context and what to call it."""
    given = arguments.all("source")
    if len(given) + len(arguments.operands) != 1:
        count = len(given) + len(arguments.operands)
        if count:
            raise UsageError("more than one context")
        raise BadUsageError("no context is named")
    if given and given[0].option.value == "dir":
        raise UsageError("option '--dir' is not implemented")
    if given and given[0].option.value == "fd":
        fd = common.descriptor(given[0].value)
        _check_readable(fd, f"descriptor {fd}")
        yield fd, f"descriptor {fd}"
        return
    name = given[0].value if given else arguments.operands[0]
    try:
        fd = os.open(name, os.O_RDONLY | os.O_CLOEXEC | os.O_NOCTTY)
    except OSError as error:
        raise _unreadable(name, error) from error
    try:
        _check_readable(fd, name)
        yield fd, name
    finally:
        # The engine closes it as soon as it has read everything.
        with contextlib.suppress(OSError):
            os.close(fd)


def _check_readable(fd: int, name: str) -> None:
    try:
        flags, mode = fcntl.fcntl(fd, fcntl.F_GETFL), os.fstat(fd).st_mode
    except OSError as error:
        raise _unreadable(name, error) from error
    if flags & os.O_ACCMODE == os.O_WRONLY:
        raise UnreadableError(f"{name}: it is not open for reading")
    if stat.S_ISDIR(mode):
        raise RestartError(f"{name}: is a directory", status=errno.EISDIR)


def _unreadable(name: str, error: OSError) -> UnreadableError:
    return UnreadableError(f"{name}: {os.strerror(error.errno or 0).lower()}")


def _relocation(text: str) -> tuple[str, str]:
    r"""
    Return the two paths of ``OLD=NEW``; a backslash makes ``=`` or ``\`` ordinary.

    Raises:
        UsageError: They are not two absolute paths.
    """
    found = _RELOCATION.fullmatch(text)
    paths = [re.sub(r"\\(.)", r"\1", one) for one in found.groups()] if found else []
    if not all(one.startswith("/") for one in paths) or not paths:
        raise UsageError(f"'{text}' is not OLD=NEW with two absolute paths")
    old, new = (one.rstrip("/") or "/" for one in paths)
    return old, new


class HookError(BlcrError):
    """The command to run on success failed; the processes run on without us."""

    def __init__(self, status: int) -> None:
        self.exit_status = status
        super().__init__(f"the command to run on success ended with {status}")


def _tell_running(arguments: Arguments, name: str, warnings: Warnings) -> None:
    """Say that the processes run, by JSON and the command for it."""
    if arguments.has("json"):
        import json

        print(json.dumps({"file": name, "warnings": warnings.all}), flush=True)
    hooks = arguments.all("on-success")
    if hooks and (status := _run(hooks[-1])):
        raise HookError(status)


def _run_failure_hook(arguments: Arguments, error: BlcrError) -> int | None:
    """Run the command that was given for this failure; its status replaces ours."""
    if isinstance(error, HookError):
        return error.exit_status
    kind = next(
        (name for name, known in _HOOKS.items() if error.exit_status in known),
        "on-perm",
    )
    if isinstance(error, UsageError):
        kind = "on-args"
    hooks = [one for one in arguments.options if one.option.key in {kind, "on-failure"}]
    return _run(hooks[-1]) if hooks else None


def _run(hook: Given) -> int | None:
    status = os.waitstatus_to_exitcode(os.system(hook.value))
    return status or None


if __name__ == "__main__":
    sys.exit(main())
