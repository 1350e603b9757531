"""Records to JSON and back."""

from __future__ import annotations

import json
import types
import typing
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from blcr.context import codec, records
from blcr.errors import ContextError

# Any path that a file system can have, as Python decodes it.
PATHS = st.binary(max_size=12).map(
    lambda data: data.replace(b"\0", b"").decode("utf-8", "surrogateescape")
)

SCALARS: dict[Any, st.SearchStrategy[Any]] = {
    int: st.integers(-(1 << 63), (1 << 64) - 1),
    bool: st.booleans(),
    str: PATHS,
    bytes: st.binary(max_size=12),
}


def values(kind: Any) -> st.SearchStrategy[Any]:  # noqa: ANN401
    """Return values of a type that a record's field can have."""
    if kind in SCALARS:
        return SCALARS[kind]
    parts = typing.get_args(kind)
    if isinstance(kind, types.UnionType):
        return st.none() | values(parts[0])
    if not parts:
        fields = typing.get_type_hints(kind)
        return st.builds(kind, **{name: values(each) for name, each in fields.items()})
    if parts[-1] is Ellipsis:
        return st.lists(values(parts[0]), max_size=2).map(tuple)
    return st.tuples(*map(values, parts))


@settings(max_examples=50)
@given(values(records.Context))
def test_records_survive_the_way_through_json(context: records.Context) -> None:
    """Reading what was written gives equal records."""
    data = codec.encode(context)

    assert codec.decode(records.Context, codec.parse(data)) == context


def test_json_is_what_other_programs_read() -> None:
    """Records are objects, bytes base64, odd paths escaped, defaults left out."""
    file = records.OpenFile("file", "/\udcff", 2, offset=5, state=((1, 2),))

    assert json.loads(codec.encode(file)) == {
        "kind": "file",
        "path": "/\udcff",
        "flags": 2,
        "offset": 5,
        "state": [[1, 2]],
    }
    assert codec.encode(records.Pipe(1, b"\xff")) == b'{"capacity":1,"data":"/w=="}'


def test_fields_of_newer_minor_versions_are_passed_over() -> None:
    """An unknown field changes nothing."""
    plain = {"capacity": 1, "data": "", "colour": {"deep": []}}

    assert codec.decode(records.Pipe, plain) == records.Pipe(1, b"")


CLOCKS = {"realtime": 1, "monotonic": 2, "boottime": 3}


@pytest.mark.parametrize(
    ("schema", "plain", "message"),
    [
        (records.Clocks, [], "expected an object, found a list"),
        (records.Clocks, {"realtime": 1}, "field 'monotonic' is missing"),
        (
            records.Clocks,
            CLOCKS | {"boottime": "3"},
            "boottime: expected an integer, found a string",
        ),
        (
            records.Clocks,
            CLOCKS | {"boottime": True},
            "boottime: expected an integer, found true or false",
        ),
        (
            records.Clocks,
            CLOCKS | {"boottime": 3.0},
            "boottime: expected an integer, found a fraction",
        ),
        (
            records.Clocks,
            CLOCKS | {"boottime": 1 << 64},
            "boottime: expected an integer of 64 bits, found a larger one",
        ),
        (
            records.SharedMemory,
            {"size": 1, "runs": [[0, 1], [2, None]]},
            "runs[1][1]: expected an integer, found null",
        ),
        (
            records.SharedMemory,
            {"size": 1, "runs": [[0, 1, 2]]},
            "runs[0]: expected a list of 2, found one of 3",
        ),
        (
            records.Thread,
            {
                "tid": 1,
                "comm": "x",
                "blocked_signals": 0,
                "call": {"name": "read", "args": [0, {}]},
            },
            "call.args[1]: expected an integer, found an object",
        ),
        (
            records.Pipe,
            {"capacity": 1, "data": "a"},
            "data: expected base64, found other text",
        ),
        (
            records.OpenFile,
            {"kind": "file", "path": "a\0b", "flags": 0},
            "path: a name or path with a zero byte",
        ),
        (
            records.OpenFile,
            {"kind": "file", "path": "\ud800", "flags": 0},
            "path: a string that is no bytes of a file system",
        ),
        (
            records.Descriptor,
            {"fd": 0, "file": 0, "cloexec": 1},
            "cloexec: expected true or false, found an integer",
        ),
    ],
)
def test_a_mismatch_names_the_field(schema: Any, plain: Any, message: str) -> None:  # noqa: ANN401
    """The message says where, what is expected and what was found."""
    with pytest.raises(ContextError) as caught:
        codec.decode(schema, plain)

    assert str(caught.value) == message


@pytest.mark.parametrize(
    "text",
    [b"", b"{", b"[" * 100_000, b'{"a":' * 100_000, b"[]", b"9" * 100_000, b"\xff\xfe"],
)
def test_what_is_no_object_is_refused(text: bytes) -> None:
    """Broken, deep and huge text gives a ContextError and nothing else."""
    with pytest.raises(ContextError):
        codec.parse(text)
