"""
Records to JSON and back, with the records' annotations as the schema.

A record is an object with its fields by name; a field that has its default may be
left out, and one that is not known here, of a newer minor version, is passed over.
Everything else is an error that says where: ``processes[0].threads[2].tid: expected an
integer, found a string``.

Strings are names and paths, decoded from the file system's bytes: what is not UTF-8
is in them as lone surrogates (`os.fsdecode`).  Bytes are base64.
"""

from __future__ import annotations

import binascii
import types
from collections.abc import Callable, Iterator, Sequence
from functools import cache

from blcr.annotations import TYPE_CHECKING, Any, cast
from blcr.errors import ContextError
from blcr.record import Record

if TYPE_CHECKING:
    from typing import TypeVar  # noqa: TID251

    R = TypeVar("R", bound=Record)

SMALLEST, LARGEST = -(1 << 63), (1 << 64) - 1
"""Range of an integer: what fits a signed or an unsigned word."""

_KINDS = {
    dict: "an object",
    list: "a list",
    str: "a string",
    bool: "true or false",
    int: "an integer",
    float: "a fraction",
    type(None): "null",
}


class _MismatchError(Exception):
    """A value is not what the schema says; the path is collected on the way up."""

    def __init__(self, finding: str) -> None:
        self.finding = finding
        self.path = ""

    def below(self, step: str) -> _MismatchError:
        """Return this error, seen from one level further up."""
        joint = "." if self.path and not self.path.startswith("[") else ""
        self.path = f"{step}{joint}{self.path}"
        return self


def encode(record: Record) -> bytes:
    """Return a record as JSON in ASCII; fields that have their default are left out."""
    return _encoder(type(record))(record).encode("ascii")


def parse(data: bytes) -> dict[str, Any]:
    """
    Return the object that JSON text describes, its fields as yet unchecked.

    Raises:
        ContextError: It is not JSON, or not an object.
    """
    import json

    try:
        plain = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise ContextError(f"not JSON: {str(error)[:200]}") from error
    if not isinstance(plain, dict):
        raise ContextError(f"expected an object, found {_kind(plain)}")
    return plain


def decode(schema: type[R], plain: object) -> R:
    """
    Return the record of type `schema` that parsed JSON describes.

    Raises:
        ContextError: It does not; the message names the field.
    """
    try:
        return cast("R", _decoder(schema)(plain))
    except _MismatchError as error:
        where = f"{error.path}: " if error.path else ""
        raise ContextError(where + error.finding) from None


def _kind(value: object) -> str:
    return _KINDS.get(type(value), type(value).__name__)


def _expected(what: str, value: object) -> _MismatchError:
    return _MismatchError(f"expected {what}, found {_kind(value)}")


@cache
def _fields(schema: type) -> dict[str, Any]:
    """Return the types of a record's fields in their order."""
    found: dict[str, Any] = schema.__annotations__
    if any(isinstance(kind, str) for kind in found.values()):
        # They were postponed where the record is defined.
        from typing import get_type_hints  # noqa: TID251

        return get_type_hints(schema)
    return found


def _is_record(schema: object) -> bool:
    return isinstance(schema, type) and hasattr(schema, "_field_defaults")


def _optional(schema: object) -> object | None:
    """Return `X` for the type ``X | None``, and None for every other type."""
    if not isinstance(schema, types.UnionType):
        return None
    (inner,) = (part for part in schema.__args__ if part is not types.NoneType)
    return cast("object", inner)


def _items(schema: object) -> tuple[Any, ...] | None:
    """Return the parameters of a tuple type, and None for every other type."""
    if not isinstance(schema, types.GenericAlias) or schema.__origin__ is not tuple:
        return None
    return schema.__args__


# Writing.


@cache
def _encoder(schema: object) -> Callable[[Any], str]:
    """Return the function that makes JSON text of values of a type."""
    if _is_record(schema):
        return _record_encoder(cast("type", schema))
    if schema is bytes:
        return lambda value: f'"{binascii.b2a_base64(value, newline=False).decode()}"'
    if (inner := _optional(schema)) is not None:
        encode_inner = _encoder(inner)
        return lambda value: "null" if value is None else encode_inner(value)
    if (items := _items(schema)) is not None:
        if items[-1] is Ellipsis:
            encode_item = _encoder(items[0])
            return lambda value: f"[{','.join(map(encode_item, value))}]"
        encoders = [_encoder(item) for item in items]
        return lambda value: f"[{','.join(_each(encoders, value))}]"
    return _TEXTS[schema]


def _each(
    encoders: Sequence[Callable[[Any], str]], value: Sequence[object]
) -> Iterator[str]:
    """Yield the text of each of several values of different types."""
    for encode_item, item in zip(encoders, value, strict=True):
        yield encode_item(item)


def _record_encoder(schema: type) -> Callable[[Any], str]:
    defaults: dict[str, object] = schema._field_defaults  # type: ignore[attr-defined]
    absent = object()
    rows = [
        (f'"{name}":', _encoder(kind), defaults.get(name, absent))
        for name, kind in _fields(schema).items()
    ]

    def encode_record(record: tuple[Any, ...]) -> str:
        fields = [
            key + encode_field(value)
            for (key, encode_field, default), value in zip(rows, record, strict=True)
            if value != default
        ]
        return f"{{{','.join(fields)}}}"

    return encode_record


def _encode_str(value: str) -> str:
    if (
        value.isascii()
        and value.isprintable()
        and '"' not in value
        and "\\" not in value
    ):
        return f'"{value}"'
    # Imported where it is needed: that takes as long as to write a small context.
    import json

    return json.dumps(value)


_TEXTS: dict[object, Callable[[Any], str]] = {
    int: int.__repr__,
    bool: lambda value: "true" if value else "false",
    str: _encode_str,
}


# Reading.


@cache
def _decoder(schema: object) -> Callable[[object], object]:
    """Return the function that checks plain JSON values and makes values of a type."""
    if _is_record(schema):
        return _record_decoder(cast("type", schema))
    if (inner := _optional(schema)) is not None:
        decode_inner = _decoder(inner)
        return lambda value: None if value is None else decode_inner(value)
    if (items := _items(schema)) is not None:
        if items[-1] is Ellipsis:
            return _list_decoder(_decoder(items[0]))
        return _tuple_decoder([_decoder(item) for item in items])
    return _SCALARS[schema]


def _record_decoder(schema: type) -> Callable[[object], object]:
    rows = [(name, _decoder(kind)) for name, kind in _fields(schema).items()]
    optional = set(schema._field_defaults)  # type: ignore[attr-defined]

    def decode_record(value: object) -> object:
        if type(value) is not dict:
            raise _expected("an object", value)
        fields = {}
        for name, decode_field in rows:
            if name in value:
                try:
                    fields[name] = decode_field(value[name])
                except _MismatchError as error:
                    raise error.below(name) from None
            elif name not in optional:
                raise _MismatchError(f"field '{name}' is missing")
        return schema(**fields)

    return decode_record


def _list_decoder(decode_item: Callable[[object], object]) -> Callable[..., object]:
    def decode_list(value: object) -> object:
        if type(value) is not list:
            raise _expected("a list", value)
        index = 0
        out = []
        try:
            for index, item in enumerate(value):  # noqa: B007
                out.append(decode_item(item))
        except _MismatchError as error:
            raise error.below(f"[{index}]") from None
        return tuple(out)

    return decode_list


def _tuple_decoder(decoders: list[Callable[[object], object]]) -> Callable[..., object]:
    def decode_tuple(value: object) -> object:
        if type(value) is not list:
            raise _expected("a list", value)
        if len(value) != len(decoders):
            raise _MismatchError(
                f"expected a list of {len(decoders)}, found one of {len(value)}"
            )
        out = []
        for index, (decode_item, item) in enumerate(zip(decoders, value, strict=True)):
            try:
                out.append(decode_item(item))
            except _MismatchError as error:
                raise error.below(f"[{index}]") from None
        return tuple(out)

    return decode_tuple


def _decode_int(value: object) -> object:
    if type(value) is not int:
        raise _expected("an integer", value)
    if not SMALLEST <= value <= LARGEST:
        raise _MismatchError("expected an integer of 64 bits, found a larger one")
    return value


def _decode_bool(value: object) -> object:
    if type(value) is not bool:
        raise _expected("true or false", value)
    return value


def _decode_str(value: object) -> object:
    if type(value) is not str:
        raise _expected("a string", value)
    if "\0" in value:
        raise _MismatchError("a name or path with a zero byte")
    try:
        value.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        raise _MismatchError("a string that is no bytes of a file system") from None
    return value


def _decode_bytes(value: object) -> object:
    if type(value) is not str:
        raise _expected("a string of base64", value)
    try:
        return binascii.a2b_base64(value, strict_mode=True)
    except ValueError:
        raise _MismatchError("expected base64, found other text") from None


_SCALARS: dict[object, Callable[[object], object]] = {
    int: _decode_int,
    bool: _decode_bool,
    str: _decode_str,
    bytes: _decode_bytes,
}
