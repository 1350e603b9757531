"""
What the commands have in common: help, errors, exit statuses.

Commands import what they need when they need it: starting up is most of their time.
"""

from __future__ import annotations

import errno
import gc
import os
import signal
import sys
from collections.abc import Callable, Sequence

from blcr import __version__
from blcr.annotations import TYPE_CHECKING, Protocol, cast
from blcr.cli.messages import say
from blcr.cli.options import Arguments, BadUsageError, Command, parse
from blcr.errors import BlcrError, HostError, UsageError, way_out

if TYPE_CHECKING:
    from blcr.host.interface import Bounds

Body = Callable[[Arguments], int]
Failed = Callable[[Arguments, BlcrError], int | None]

INTERRUPTED = 128 + signal.SIGINT


class NotSupportedError(BlcrError):
    """An option of BLCR for which this version has nothing to offer yet."""

    exit_status = 52


def run(
    command: Command,
    body: Body,
    words: Sequence[str] | None = None,
    *,
    failed: Failed | None = None,
) -> int:
    """
    Run a command and return its exit status.

    Args:
        command: Its options.
        body: What it does.
        words: Its arguments; None: those of this process.
        failed: Asked what else is to be done about an error.  It returns the exit
            status that takes the place of message and status, or None.
    """
    words = sys.argv[1:] if words is None else words
    arguments, status = Arguments((), ()), 0
    try:
        arguments = parse(command, words)
        if arguments.has("help"):
            print(usage(command))
        elif arguments.has("version"):
            print(f"{command.name} version {__version__}")
        else:
            status = body(arguments)
        # Later the interpreter would do it, and complain of a closed pipe.
        print(end="", flush=True)
    except BlcrError as error:
        if arguments.has("traceback"):
            raise
        replaced = failed(arguments, error) if failed else None
        if replaced is not None:
            return replaced
        return _report(command, arguments, error)
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        _nobody_reads()
        return 1
    except Exception as error:
        if arguments.has("traceback"):
            raise
        code = error.errno if isinstance(error, OSError) else None
        code = errno.ENOMEM if isinstance(error, MemoryError) else code
        if code and (remedy := way_out(code)):
            say(command, arguments, f"{os.strerror(code).lower()}{remedy}")
            return code
        say(
            command,
            arguments,
            f"mistake in {command.name} itself: {type(error).__name__}: {error}; "
            "--traceback shows where",
        )
        return 1
    return status


def usage(command: Command) -> str:
    """Return what ``--help`` prints."""
    lines = [f"usage: {command.name} {command.synopsis}", "", f"  {command.summary}"]
    for group in command.groups:
        lines += ["", f"{group.title}:"]
        for option in group.options:
            if not option.hidden:
                lines += _help_lines(", ".join(option.shown()), option.help)
    return "\n".join(lines)


def refuse_unsupported(arguments: Arguments, supported: dict[str, set[str]]) -> None:
    """
    Refuse options that BLCR has and this version does not.

    Raises:
        NotSupportedError: One is given, and no later one overrides it.
    """
    for key, values in supported.items():
        given = arguments.all(key)
        if given and given[-1].value not in values:
            flag = given[-1].option.spellings[-1]
            raise NotSupportedError(f"option '{flag}' is not supported yet")


def signal_number(text: str) -> int:
    """
    Return the number of a signal given by number or name; 0 for an empty text.

    Raises:
        UsageError: There is no such signal.
    """
    name = text.upper().removeprefix("SIG")
    if not name:
        return 0
    if name.isdecimal() and 0 < int(name) < signal.NSIG:
        return int(name)
    try:
        return signal.Signals[f"SIG{name}"].value
    except KeyError as error:
        raise UsageError(f"'{text}' is no signal") from error


def descriptor(text: str) -> int:
    """
    Return the number of a descriptor.

    Raises:
        BadUsageError: It is not a number.
    """
    if not text.isdigit():
        raise BadUsageError(f"'{text}' is no descriptor")
    return int(text)


_UNITS = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30}
_LEAST_MEMORY = 16 << 20


def for_emulated(arguments: Arguments, *keys: str) -> None:
    """
    Refuse options that are for emulated programs.

    Raises:
        UsageError: One is given without ``--emulate``.
    """
    for key in keys:
        if arguments.has(key) and not arguments.has("emulate"):
            raise UsageError(f"option '--{key}' is for emulated programs: --emulate")


def bounds(arguments: Arguments) -> Bounds:
    """
    Return what emulated programs may have together.

    Raises:
        BadUsageError: That cannot be understood.
        UsageError: It is too little for any program.
    """
    from blcr.host.interface import Bounds

    memory, tasks = arguments.last("memory", "0"), arguments.last("tasks", "0")
    number, unit = memory.rstrip("KMG"), memory.lstrip("0123456789")
    if not number.isdecimal() or unit not in {"", *_UNITS}:
        raise BadUsageError(f"'{memory}' is no size of memory")
    if not tasks.isdecimal():
        raise BadUsageError(f"'{tasks}' is no number of threads")
    found = Bounds(int(number) * _UNITS.get(unit, 1), int(tasks))
    if arguments.has("memory") and found.memory < _LEAST_MEMORY:
        raise UsageError(f"{memory} of memory are too little for any program")
    if arguments.has("tasks") and not found.tasks:
        raise UsageError("a program has one thread at least")
    return found


class Emulator(Protocol):
    """What a host offers that starts programs under an emulator of their CPU."""

    name: str

    def run(
        self,
        argv: Sequence[str],
        *,
        sysroot: str | None,
        strace: bool,
        seed: int,
        bounds: Bounds,
    ) -> int:
        """Run a program to its end and return its status, as `os.waitpid` gives it."""


def emulator() -> Emulator:
    """
    Return the host that emulates.

    Raises:
        HostError: None is installed.
    """
    from blcr import registry

    gc.enable()
    for host in registry.hosts():
        if hasattr(host, "run"):
            return cast("Emulator", host)
    raise HostError("no emulator is installed")


def mirror(status: int) -> int:
    """
    End as a child did, by its signal or else by returning its exit status.

    Args:
        status: As `os.waitpid` gives it.
    """
    if not os.WIFSIGNALED(status):
        return os.WEXITSTATUS(status)
    import resource

    number = os.WTERMSIG(status)
    # The child has dumped its core already, where it does.
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    sys.stdout.flush()
    if number not in {signal.SIGKILL, signal.SIGSTOP}:
        signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [number])
    os.kill(os.getpid(), number)
    return 128 + number


def _report(command: Command, arguments: Arguments, error: BlcrError) -> int:
    say(command, arguments, str(error))
    if type(error) is BadUsageError:
        say(command, arguments, f"try '{command.name} --help'")
    if arguments.has("json"):
        import json

        try:
            told = {"error": str(error), "status": error.exit_status}
            print(json.dumps(told), flush=True)
        except BrokenPipeError:
            _nobody_reads()
    return error.exit_status


def _nobody_reads() -> None:
    """Keep the interpreter from trying once more to print what nobody reads."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _help_lines(flags: str, text: str) -> list[str]:
    import textwrap

    wrapped = textwrap.wrap(text, 50)
    if len(flags) > 26:
        return [f"  {flags}", *(f"{'':30}{line}" for line in wrapped)]
    first = f"  {flags:<28}{wrapped[0] if wrapped else ''}"
    return [first, *(f"{'':30}{line}" for line in wrapped[1:])]
