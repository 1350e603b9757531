"""
The table of system calls: a function for each name, found by an architecture's number.

A function gets the thread that makes the call and as many arguments as it names, as
unsigned words.  It returns the result, or None where it has set the registers itself;
an OSError becomes the call's failure; `Blocked` says that it has to wait.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Mapping
from functools import partial
from operator import itemgetter

from blcr.annotations import TYPE_CHECKING, Any
from blcr.architecture import Arch
from blcr.record import Record

if TYPE_CHECKING:
    from blcr.host.emulated.tasks import Thread

Function = Callable[..., int | None]

_functions: dict[str, tuple[Function, int, tuple[int, ...]]] = {}


class Entry(Record):
    """
    A call that is served.

    Attributes:
        arguments: The function's arguments from the registers'.
        arity: How many it has.
    """

    name: str
    function: Function
    arguments: Callable[[tuple[int, ...]], tuple[int, ...]]
    arity: int


CallTable = Mapping[int, Entry]


def fail(code: int) -> OSError:
    """Return the error with which a call fails."""
    return OSError(code, os.strerror(code))


def not_served(
    thread: Thread, name: str, prefix: str, code: int, error: int = errno.EINVAL
) -> OSError:
    """
    Return the error for what the machine does not do, to be listed at its end.

    Args:
        thread: Who asks for it.
        name: Of the call.
        prefix: Of the constant that may be meant.
        code: Its value.
        error: With what the call fails.
    """
    names = (n for n, v in thread.guest.constants.items() if v == code)
    known = next((n for n in names if n.startswith(prefix)), f"{code:#x}")
    thread.guest.machine.unserved.add(f"{name}({known})")
    return fail(error)


def only(thread: Thread, name: str, prefix: str, flags: int, served: str = "") -> None:
    """
    Refuse flags, an int, that the machine does not serve; the lowest is listed.

    Args:
        thread: Who asks for it.
        name: Of the call.
        prefix: Of the constants that may be meant.
        flags: What is asked for.
        served: Names of the flags that are served.

    Raises:
        OSError: EINVAL.
    """
    rest = flags & 0xFFFF_FFFF & ~thread.guest.bits(served)
    if rest:
        raise not_served(thread, name, prefix, rest & -rest)


def call(*names: str, wide: tuple[int, ...] = ()) -> Callable[[Function], Function]:
    """
    Enter a function for calls of these names.

    Args:
        names: Of the call and of its aliases.
        wide: Which of its arguments have 64 bits everywhere.
    """

    def enter(function: Function) -> Function:
        count = function.__code__.co_argcount - 1
        for name in names:
            _functions[name] = (function, count, wide)
        return function

    return enter


def timed(**names: str) -> Callable[[Function], Function]:
    """
    Enter a function for a call and its variant with another structure for times.

    Args:
        names: The structure by call; the function gets it as second argument.
    """

    def enter(function: Function) -> Function:
        count = function.__code__.co_argcount - 2
        for name, structure in names.items():
            _functions[name] = (_with(function, structure), count, ())
        return function

    return enter


def _with(function: Function, structure: str) -> Function:
    def timed_call(thread: Any, *args: int) -> int | None:  # noqa: ANN401
        return function(thread, structure, *args)

    return timed_call


def table_of(arch: Arch) -> CallTable:
    """Return the calls that are served, by the numbers of an architecture."""
    return {
        number: Entry(name, function, _selection(arch, count, wide), count)
        for name, number in arch.syscalls.items()
        if name in _functions
        for function, count, wide in [_functions[name]]
    }


def _selection(
    arch: Arch, count: int, wide: tuple[int, ...]
) -> Callable[[tuple[int, ...]], tuple[int, ...]]:
    """Return what takes a function's arguments out of the registers'."""
    if not wide or arch.word_size == 8:
        return itemgetter(slice(count))
    return partial(_select, _places(arch, count, wide))


def _places(
    arch: Arch, count: int, wide: tuple[int, ...]
) -> tuple[tuple[int, int | None], ...]:
    """
    Return where each argument is: its register, and that of its upper half.

    A 64-bit argument takes two registers of a 32-bit architecture, an even and an odd
    one where 64-bit numbers are aligned to 8.
    """
    places: list[tuple[int, int | None]] = []
    at = 0
    for i in range(count):
        if i not in wide:
            places.append((at, None))
            at += 1
            continue
        if arch.layout.align_8 == 8:
            at += at % 2
        low, high = (at, at + 1) if arch.layout.byteorder == "little" else (at + 1, at)
        places.append((low, high))
        at += 2
    return tuple(places)


def _select(
    places: tuple[tuple[int, int | None], ...], args: tuple[int, ...]
) -> tuple[int, ...]:
    return tuple(
        args[low] if high is None else args[low] | args[high] << 32
        for low, high in places
    )
