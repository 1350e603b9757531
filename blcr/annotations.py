"""
What annotations need of `typing`, without what it costs a command to import it.

That takes 4 ms, a tenth of a checkpoint of a small program.  A type checker sees the
originals; while a program runs the names stand for nothing, as annotations do.
"""

from __future__ import annotations

__all__ = ["TYPE_CHECKING", "Any", "Literal", "NoReturn", "Protocol", "Self", "cast"]

TYPE_CHECKING = False

if TYPE_CHECKING:
    from typing import Any, Literal, NoReturn, Protocol, Self, cast  # noqa: TID251
else:
    Any = NoReturn = Protocol = Self = object
    Literal = dict
    """Takes whatever stands in its brackets."""

    def cast(_kind, value):  # noqa: ANN001, ANN201
        """Return the value as it is."""
        return value
