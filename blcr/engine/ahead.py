"""
Copying memory while the program runs, so that little is left to be copied frozen.

1. The host notes which pages are written (`blcr.host.interface.Tracking`).
2. They are copied, all at first, then what was written meanwhile, and so on as long as
   that becomes much less each time.
3. The look at the frozen process decides: a page that is there and was not written
   since it was copied is left as it is; all others are copied now.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from blcr.context.archive import ContextWriter
from blcr.engine import pages
from blcr.engine.behind import Behind
from blcr.errors import NotTrackableError, RefusedError
from blcr.host import runs
from blcr.host.interface import Process, Run, Tracking

ENOUGH = 4 << 20
"""Bytes written meanwhile that are not worth another round."""
ROUNDS = 5
"""At most."""
SHRINKING = 0.5
"""A round is worth it if it copies less than this part of the one before."""
GAP = 32 << 10
"""Bytes between pages to be copied that are quicker copied, too, than passed over."""


class Ahead:
    """
    What is copied of one process ahead of the freeze.

    Attributes:
        tracking: What the host notes.
        core: Gives the core of the process to what is written.
        rounds: Bytes copied in each round.
        reason: Why all of it has to be copied again, or empty.
    """

    def __init__(
        self, tracking: Tracking, writer: ContextWriter, behind: Behind
    ) -> None:
        self.core = behind.in_turn(
            partial(writer.core, f"{tracking.pid}.core", tracking.arch)
        )
        self.rounds: list[int] = []
        self.reason = ""
        self.tracking = tracking
        self._behind = behind
        self._copied: list[Run] = []

    def copy(self, progress: Callable[[int, int], None]) -> None:
        """
        Copy round by round.

        Args:
            progress: Told how many bytes of how many of a round are done.
        """
        try:
            while self._is_worth_a_round():
                self._round(progress)
        except NotTrackableError as error:
            self.reason, self._copied = str(error), []

    def _is_worth_a_round(self) -> bool:
        if not self.rounds:
            return True
        pending = self.tracking.pending()
        shrinks = pending < SHRINKING * self.rounds[-1]
        return pending > ENOUGH and shrinks and len(self.rounds) < ROUNDS

    def _round(self, progress: Callable[[int, int], None]) -> None:
        """Copy what was written since the round before."""
        written = self.tracking.written()
        total, done = runs.size(written), 0

        def advance(size: int) -> None:
            nonlocal done
            done += size
            progress(done, total)

        # What cannot be read counts as not copied, and no longer as an older copy.
        self._copied = runs.without(self._copied, written)
        copied = pages.copy_running(
            self.tracking, written, self._behind, self.core, advance
        )
        self._copied = runs.union(self._copied, copied)
        self.rounds.append(done)

    def left(self, process: Process, own: list[Run]) -> list[Run]:
        """
        Return what has still to be copied of the process, now frozen.

        Args:
            process: The same one.
            own: All its pages that are to be saved.

        Raises:
            RefusedError: It has become a program of another architecture.
        """
        if process.arch is not self.tracking.arch:
            raise RefusedError(
                process.pid,
                f"has become a {process.arch.name} program while it was being copied",
                hint="try again",
            )
        valid = runs.common(self._copied, self.tracking.unwritten(process))
        left = runs.without(own, valid)
        return runs.common(list(runs.join(left, GAP)), own)
