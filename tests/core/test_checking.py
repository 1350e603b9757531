"""The process that verifies a context while its bytes are being used."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import cast

import pytest

from blcr.context.archive import ContextReader
from blcr.engine.restart import _STEP, _Checking
from blcr.errors import ContextError


class Slow:
    """A reader that finds damage, behind its first bytes, when it is told to."""

    def __init__(self, told: int) -> None:
        self._told = told

    def verify(self, _progress: object, reached: Callable[[int], None]) -> None:
        """Verify a step and a byte."""
        reached(_STEP + 1)
        os.read(self._told, 1)
        raise ContextError("a member is damaged")


def test_bytes_are_waited_for_until_they_are_verified() -> None:
    """What has been verified may be used; what is damaged further on never is."""
    told, tell = os.pipe()
    try:
        with _Checking(cast(ContextReader, Slow(told)), None) as checking:
            checking.wait(_STEP)
            os.write(tell, b".")

            with pytest.raises(ContextError, match="a member is damaged"):
                checking.wait(_STEP + 1)
    finally:
        os.close(told)
        os.close(tell)


def test_a_whole_context_can_be_used_to_its_end() -> None:
    """The last bytes are fewer than a step, and are waited for once."""

    class Whole:
        def verify(self, _progress: object, reached: Callable[[int], None]) -> None:
            reached(1)

    with _Checking(cast(ContextReader, Whole()), None) as checking:
        checking.wait(1)
        checking.wait(1)
        checking.finish()
