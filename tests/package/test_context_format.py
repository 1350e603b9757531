"""The page on the context format is complete and in step with the records."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from blcr.context import records

PAGE = Path(__file__).parents[2] / "docs" / "context-format.md"

RECORDS = [
    each
    for each in vars(records).values()
    if isinstance(each, type) and hasattr(each, "_field_defaults")
]


def rows(title: str) -> Iterator[tuple[str, str, str]]:
    """Yield field, type and default of the table under a heading."""
    _, _, section = PAGE.read_text().partition(f"\n### {title}\n")
    for line in section.partition("\n#")[0].splitlines():
        cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", line)]
        if len(cells) > 3 and cells[1].startswith("`"):
            link = re.sub(r"\[(.*)\]\(.*\)", r"\1", cells[2])
            yield cells[1].strip("`"), link.strip("`").replace("\\", ""), cells[3]


def shown(kind: Any) -> str:  # noqa: ANN401
    """Return a type as the source has it."""
    text = kind.__name__ if isinstance(kind, type) else repr(kind)
    return text.replace(f"{records.__name__}.", "")


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: record.__name__)
def test_every_field_is_documented(record: Any) -> None:  # noqa: ANN401
    """Each record has a table with its fields, their types and defaults in order."""
    documented = list(rows(record.__name__))

    expected = []
    for name, kind in record.__annotations__.items():
        default = ""
        if name in record._field_defaults:
            default = (
                f"`{json.dumps(record._field_defaults[name], default=bytes.decode)}`"
            )
        expected.append((name, shown(kind), default))
    assert documented == expected


def test_version_and_features_are_documented() -> None:
    """The page speaks of the version that is written."""
    text = PAGE.read_text()

    assert f"format {records.FORMAT_MAJOR}.{records.FORMAT_MINOR} comp" in text
    assert all(f"`{feature}`" in text for feature in records.FEATURES)
