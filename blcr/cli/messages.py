"""What the commands print on standard error."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator

from blcr.cli.options import Arguments, Command
from blcr.errors import BlcrError


def say(command: Command, arguments: Arguments, message: str) -> None:
    """Print a message on standard error, unless it shall be quiet."""
    if not arguments.has("quiet"):
        with contextlib.suppress(OSError):
            print(f"{command.name}: {message}", file=sys.stderr, flush=True)


class Warnings:
    """
    Warnings, held back until it is known whether they are wanted.

    BLCR shows what its kernel module logged after a failure only, unless asked.
    """

    def __init__(self, arguments: Arguments) -> None:
        self._level = arguments.last("messages", "error")
        self._quiet = arguments.has("quiet")
        self.all: list[str] = []

    def add(self, message: str) -> None:
        """Note a warning."""
        self.all.append(message)
        if self._level == "warning":
            self._show(message)

    def tell(self, message: str) -> None:
        """Note a warning that is shown even after success, unless none are wanted."""
        self.all.append(message)
        if self._level != "none":
            self._show(message)

    @contextlib.contextmanager
    def shown_on_failure(self) -> Iterator[None]:
        """Print what was held back if the block fails."""
        try:
            yield
        except BlcrError:
            if self._level == "error":
                for message in self.all:
                    self._show(message)
            raise

    def _show(self, message: str) -> None:
        if not self._quiet:
            print(f"- {message}", file=sys.stderr, flush=True)


class Progress:
    """Shows on a terminal how far long work is, and with ``--verbose`` each step."""

    def __init__(self, arguments: Arguments) -> None:
        self._verbose = arguments.has("verbose") and not arguments.has("quiet")
        self._terminal = sys.stderr.isatty() and not arguments.has("quiet")
        self._percent = -1

    def __enter__(self) -> None:
        """Begin the work."""

    def __exit__(self, *_: object) -> None:
        """Take the line away."""
        if self._percent >= 0:
            print("\r\033[K", end="", file=sys.stderr, flush=True)

    def say(self, message: str) -> None:
        """Print a step."""
        if self._verbose:
            print(message, file=sys.stderr, flush=True)

    def advance(self, what: str, done: int, total: int) -> None:
        """Show how many bytes of how many are done, on a terminal."""
        if not self._terminal or not total:
            return
        percent = 100 * done // total
        if percent != self._percent:
            self._percent = percent
            print(f"\r{what}: {percent} %", end="", file=sys.stderr, flush=True)
