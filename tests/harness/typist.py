"""Programs that keep a terminal for others, and are typed to."""

from __future__ import annotations

import re
import time

from harness import outside
from harness.subject import Subject, SubjectError

SHELL = "exec bash --norc --noprofile -i"
"""What runs in the terminal."""


class Typist(Subject):
    """A program that is typed to."""

    def type(self, keys: str) -> None:
        """Press keys."""
        assert self.command.stdin
        self.command.stdin.write(keys.encode())
        self.command.stdin.flush()

    _heard = 0

    def _find(self, pattern: str) -> re.Match[bytes] | None:
        return re.compile(pattern.encode(), re.DOTALL).search(self.output, self._heard)

    def hear(self, pattern: str) -> str:
        """Wait until something is on the screen that was not there; return it."""
        end = time.monotonic() + 20 * outside.PATIENCE
        while not (found := self._find(pattern)):
            if not self._read(end):
                raise SubjectError(f"no {pattern}: {self.output!r} {self.errors()!r}")
        self._heard = found.end()
        return found[0].decode()
