"""Records against the named tuples of the standard library."""

from __future__ import annotations

import pickle
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blcr.record import Record


class Ours(Record):
    """A record."""

    a: int
    b: str
    c: int = 3
    d: tuple[int, ...] = ()

    def doubled(self) -> int:
        """Return twice the first item."""
        return 2 * self.a


class Theirs(NamedTuple):
    """The same."""

    a: int
    b: str
    c: int = 3
    d: tuple[int, ...] = ()


def outcome(kind: type, args: list[int], kwargs: dict[str, int]) -> object:
    """Return a tuple made so, or the kind of error."""
    try:
        return tuple(kind(*args, **kwargs))
    except TypeError as error:
        return type(error)


@given(
    st.lists(st.integers(), max_size=6),
    st.dictionaries(st.sampled_from("abcde"), st.integers()),
)
def test_takes_what_a_named_tuple_takes(
    args: list[int], kwargs: dict[str, int]
) -> None:
    """Values by position and name, defaults, and what is too much or too little."""
    assert outcome(Ours, args, kwargs) == outcome(Theirs, args, kwargs)


def test_behaves_as_a_named_tuple() -> None:
    """Items, equality, and the methods of named tuples."""
    ours, theirs = Ours(1, "b"), Theirs(1, "b")

    assert (ours.a, ours.b, ours.c, ours.d) == tuple(theirs) == tuple(ours)
    assert ours._asdict() == theirs._asdict()
    assert ours._fields == theirs._fields
    assert ours._field_defaults == theirs._field_defaults
    assert tuple(ours._replace(c=4)) == tuple(theirs._replace(c=4))
    assert ours.doubled() == 2
    assert repr(ours) == repr(theirs).replace("Theirs", "Ours")
    assert Ours._make([1, "b", 5, ()]) == (1, "b", 5, ())
    assert type(pickle.loads(pickle.dumps(ours))) is Ours
    match ours:
        case Ours(first, second):
            assert (first, second) == (1, "b")
    with pytest.raises((AttributeError, TypeError)):
        ours.a = 2  # type: ignore[misc]
    with pytest.raises(ValueError, match="e"):
        ours._replace(e=1)  # type: ignore[call-arg]


def test_defaults_come_last() -> None:
    """A field without a default after one with is a mistake."""
    with pytest.raises(TypeError):

        class Bad(Record):
            a: int = 1
            b: int  # type: ignore[misc]
