"""
Records: named tuples that cost the start of a command little.

`Record` is `typing.NamedTuple`, to a type checker and in what it makes.  But that
compiles a function for each class, which takes a tenth of a millisecond, and a command
defines eighty of them.
"""

from __future__ import annotations

import sys

from blcr.annotations import TYPE_CHECKING

__all__ = ["Record"]

if TYPE_CHECKING or sys.version_info >= (3, 14):
    # Later interpreters do not leave the annotations in the class's body.
    from typing import NamedTuple as Record  # noqa: TID251
else:
    from _collections import _tuplegetter
    from collections.abc import Iterable

    class _RecordType(type):
        """Makes a class of tuples with named items of a class with annotations."""

        def __new__(
            meta, name: str, bases: tuple[type, ...], body: dict[str, object]
        ) -> _RecordType:
            fields = tuple(body.get("__annotations__", ()))
            defaults = {each: body.pop(each) for each in fields if each in body}
            if list(defaults) != list(fields[len(fields) - len(defaults) :]):
                raise TypeError(f"{name}: a field without a default follows one with")
            getters = {
                field: _tuplegetter(index, f"Field number {index}")
                for index, field in enumerate(fields)
            }
            rest = {
                "__slots__": (),
                "__match_args__": fields,
                "_fields": fields,
                "_field_defaults": defaults,
            }
            return super().__new__(meta, name, bases, {**body, **getters, **rest})

    class Record(tuple, metaclass=_RecordType):
        """A tuple whose items have the names and defaults of the class's body."""

        def __new__(cls, /, *args: object, **kwargs: object) -> Record:
            """Return a record with these values, and defaults for what is not given."""
            missing = len(cls._fields) - len(args)
            if kwargs or missing < 0:
                args = _in_order(cls, args, kwargs)
            elif missing:
                defaults = tuple(cls._field_defaults.values())
                if missing > len(defaults):
                    raise TypeError(_complaint(cls, args, kwargs))
                args += defaults[-missing:]
            return tuple.__new__(cls, args)

        @classmethod
        def _make(cls, values: Iterable[object]) -> Record:
            return cls(*values)

        def _replace(self, /, **changes: object) -> Record:
            made = type(self)(*map(changes.pop, self._fields, self))
            if changes:
                raise ValueError(f"{type(self).__name__} has no {list(changes)}")
            return made

        def _asdict(self) -> dict[str, object]:
            return dict(zip(self._fields, self, strict=True))

        def __getnewargs__(self) -> tuple[object, ...]:
            return tuple(self)

        def __repr__(self) -> str:
            pairs = zip(self._fields, self, strict=True)
            inner = ", ".join(f"{field}={value!r}" for field, value in pairs)
            return f"{type(self).__name__}({inner})"

    def _in_order(
        cls: type[Record], args: tuple[object, ...], kwargs: dict[str, object]
    ) -> tuple[object, ...]:
        """Return values in order of the fields, some of which were given by name."""
        placed = dict(zip(cls._fields, args, strict=False))
        named = {**cls._field_defaults, **placed, **kwargs}
        twice = len(placed | kwargs) < len(args) + len(kwargs)
        if twice or named.keys() != set(cls._fields):
            raise TypeError(_complaint(cls, args, kwargs))
        return tuple([named[field] for field in cls._fields])

    def _complaint(
        cls: type[Record], args: tuple[object, ...], kwargs: dict[str, object]
    ) -> str:
        """Return what is wrong with the arguments for a record."""
        given = ", ".join([f"{len(args)} by position", *kwargs])
        return f"{cls.__name__} takes {', '.join(cls._fields)}; given: {given}"
