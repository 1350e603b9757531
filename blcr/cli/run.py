"""``cr_run``: start a program that is going to be checkpointed."""

from __future__ import annotations

import os
import shutil
import signal
import sys
from collections.abc import Mapping, Sequence

from blcr.annotations import Literal
from blcr.cli import main as common
from blcr.cli.messages import say
from blcr.cli.options import RUN, Arguments, BadUsageError
from blcr.errors import UsageError

NOT_FOUND, NOT_EXECUTABLE = 127, 126
"""What a shell ends with."""

SUPPORTED = {"mode": {"run"}}
"""Values of options of which others are not supported yet."""


def main(words: Sequence[str] | None = None) -> int:
    """Run the command and return its exit status."""
    return common.run(RUN, _start, words)


def _start(arguments: Arguments) -> int:
    if not arguments.operands:
        raise BadUsageError("no program is named")
    common.refuse_unsupported(arguments, SUPPORTED)
    emulate = arguments.has("emulate")
    common.for_emulated(arguments, "sysroot", "strace", "seed", "memory", "tasks")
    seed = arguments.last("seed", "0")
    if not seed.isdecimal():
        raise BadUsageError(f"'{seed}' is no seed")
    program = shutil.which(arguments.operands[0])
    if program is None:
        found = os.path.exists(arguments.operands[0])
        why = "cannot be executed" if found else "not found"
        say(RUN, arguments, f"{arguments.operands[0]}: {why}")
        return NOT_EXECUTABLE if found else NOT_FOUND
    if arguments.has("cpu"):
        bounds = _bound(program, arguments.last("cpu"))
        for name in bounds.keys() & os.environ.keys():
            say(RUN, arguments, f"the value of {name} is replaced")
        os.environ.update(bounds)
    if emulate:
        status = common.emulator().run(
            [program, *arguments.operands[1:]],
            sysroot=arguments.last("sysroot") or None,
            strace=arguments.has("strace"),
            seed=int(seed),
            bounds=common.bounds(arguments),
        )
        return common.mirror(status)
    return _execute(arguments, program)


def _execute(arguments: Arguments, program: str) -> int:
    """Become the program; return if that fails."""
    from blcr import registry

    for host in registry.hosts():
        host.admit()
    sys.stdout.flush()
    for number in (signal.SIGPIPE, signal.SIGXFSZ):
        # That these are ignored is Python's own doing.
        signal.signal(number, signal.SIG_DFL)
    try:
        os.execv(program, arguments.operands)
    except OSError as error:
        say(RUN, arguments, f"{program}: {os.strerror(error.errno or 0).lower()}")
        return NOT_EXECUTABLE


def _bound(program: str, level: str) -> Mapping[str, str]:
    """
    Return the environment in which the C library binds itself to no more than `level`.

    Raises:
        UsageError: The program's architecture has no such level.
    """
    from blcr import registry

    # A script runs in an interpreter of this machine, as this one is.
    arch = registry.find(
        *(_identity(program) or _identity(sys.executable) or (0, 0, ""))
    )
    if level not in arch.cpu_levels:
        known = ", ".join(sorted(arch.cpu_levels)) or "none"
        raise UsageError(f"'{level}' is no CPU level of {arch.name}; known: {known}")
    return arch.cpu_levels[level]


def _identity(path: str) -> tuple[int, int, str] | None:
    """Return e_machine, word size and byte order of an ELF file; None: it is none."""
    with open(path, "rb") as file:
        head = file.read(20)
    if len(head) < 20 or not head.startswith(b"\x7fELF"):
        return None
    byteorder: Literal["little", "big"] = "big" if head[5] == 2 else "little"
    return int.from_bytes(head[18:20], byteorder), 4 * head[4], byteorder


if __name__ == "__main__":
    sys.exit(main())
