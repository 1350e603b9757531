"""``cr_checkpoint``: write running processes to a context file."""

from __future__ import annotations

import contextlib
import gc
import os
import signal
import sys
from collections.abc import Iterator, Sequence

from blcr.annotations import TYPE_CHECKING, cast
from blcr.cli import main as common
from blcr.cli.messages import Progress, Warnings
from blcr.cli.options import CHECKPOINT, Arguments, BadUsageError
from blcr.errors import NoSuchProcessError, TracedError, UsageError

if TYPE_CHECKING:
    from types import FrameType

    from blcr.context.target import Target
    from blcr.engine.checkpoint import CheckpointResult

DEFAULT_TIMEOUT_S = 10.0

MAPPED = {"exe", "private", "shared"}
"""Which mapped files there are."""

SUPPORTED = {"ptraced": {"error", "skip"}, "ptracer": {"error"}}
"""Values of options of which others are not supported yet."""


def main(words: Sequence[str] | None = None) -> int:
    """Run the command and return its exit status."""
    # Looking for garbage while importing took a tenth of the time.
    gc.disable()
    try:
        status = common.run(CHECKPOINT, _checkpoint, words)
    finally:
        gc.enable()
    if words is None:
        # All is written and closed.  To take the interpreter apart would take half as
        # long as the program was stopped.
        sys.stderr.flush()
        os._exit(status)
    return status


def _checkpoint(arguments: Arguments) -> int:
    pid, guest = _identity(arguments)
    number = common.signal_number(arguments.last("signal"))
    timeout_s = _timeout(arguments)
    common.refuse_unsupported(arguments, SUPPORTED)
    target = _target(arguments, f"{pid}.{guest}" if guest else str(pid))
    warnings = Warnings(arguments)
    progress = Progress(arguments)

    from blcr.engine.checkpoint import checkpoint

    _allow_open_files()
    progress.say(f"writing {target.name}")
    try:
        with _ending_tidily(), warnings.shown_on_failure(), progress, target:
            result = checkpoint(
                pid,
                target,
                guest=guest,
                scope=arguments.last("scope", "tree"),
                signal=number,
                timeout_s=timeout_s,
                wanted=_wanted(arguments),
                warn=warnings.add,
                progress=progress.advance,
            )
    except TracedError as error:
        if arguments.last("ptraced") != "skip":
            raise
        raise NoSuchProcessError(f"nothing is left to save: {error}") from error
    _tell(arguments, target, result, warnings, progress)
    return 0


@contextlib.contextmanager
def _ending_tidily() -> Iterator[None]:
    """Let a signal to end unwind the block, so that no half of a context is left."""

    def end(number: int, _frame: FrameType | None) -> None:
        raise SystemExit(128 + number)

    # One that is ignored, under nohup for instance, stays so.
    before = {
        one: signal.signal(one, end)
        for one in (signal.SIGTERM, signal.SIGHUP)
        if signal.getsignal(one) is signal.SIG_DFL
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _allow_open_files() -> None:
    """Raise our own limit: a program may hold as many files as its limit allows."""
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _identity(arguments: Arguments) -> tuple[int, int]:
    """Return the pid, and the process inside it or 0."""
    if len(arguments.operands) != 1:
        raise BadUsageError(f"one ID is needed, not {len(arguments.operands)}")
    pid, colon, guest = arguments.operands[0].partition(":")
    numbers = [pid, guest] if colon else [pid]
    if not all(one.isdecimal() and int(one) > 0 for one in numbers):
        raise BadUsageError(f"'{arguments.operands[0]}' is no process id")
    return int(pid), int(guest or 0)


def _timeout(arguments: Arguments) -> float:
    text = arguments.last("time")
    if not text:
        return DEFAULT_TIMEOUT_S
    try:
        seconds = float(text)
    except ValueError as error:
        raise BadUsageError(f"'{text}' is no number of seconds") from error
    if not 0 <= seconds < float("inf"):
        raise UsageError(f"a time of {text} seconds is not possible")
    return seconds or DEFAULT_TIMEOUT_S


def _wanted(arguments: Arguments) -> tuple[str, ...]:
    """
    Return what to save besides; the options add up.

    ``--save-none`` starts over with files.
    """
    wanted: set[str] = set()
    for given in arguments.all("save"):
        if given.value == "none":
            wanted = set()
        else:
            wanted |= MAPPED if given.value == "all" else {given.value}
    if arguments.has("close"):
        wanted.add("connections")
    return tuple(sorted(wanted))


def _target(arguments: Arguments, name: str) -> Target:
    from blcr.context.target import Policy, Target

    given = arguments.all("destination")
    kinds = {(one.option.value, one.argument) for one in given}
    if len(kinds) > 1:
        raise UsageError("more than one destination")
    kind, argument = kinds.pop() if kinds else ("cwd", None)
    if kind == "dir":
        raise UsageError("option '--dir' is not implemented")
    sync = arguments.last("sync", "yes") == "yes"
    if kind == "fd":
        return Target(fd=common.descriptor(argument or ""), sync=sync)
    policy: Policy = "atomic"
    backup = None
    if policies := arguments.all("policy"):
        policy = cast(Policy, policies[-1].option.value)
        backup = policies[-1].argument
    return Target(
        argument if argument is not None else f"context.{name}",
        policy=policy,
        backup=backup or None,
        sync=sync,
    )


def _tell(
    arguments: Arguments,
    target: Target,
    result: CheckpointResult,
    warnings: Warnings,
    progress: Progress,
) -> None:
    progress.say(
        f"{target.name}: {result.size} bytes, process {result.pids[0]} stood still for "
        f"{result.frozen_ms:.1f} ms of {result.total_ms:.1f}"
    )
    if arguments.has("json"):
        import json

        print(
            json.dumps(
                {**result._asdict(), "file": target.name, "warnings": warnings.all}
            )
        )


if __name__ == "__main__":
    sys.exit(main())
