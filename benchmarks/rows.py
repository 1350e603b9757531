"""What the benchmarks share: results, how they are shown, how commands are called."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple


class Row(NamedTuple):
    """One result: what was measured, its value and unit, and the limit claimed."""

    what: str
    value: float
    unit: str
    limit: str = ""


def show(rows: Iterable[Row], *, as_json: bool) -> None:
    """Print results as they come, or all of them as JSON."""
    if as_json:
        json.dump([row._asdict() for row in rows], sys.stdout, indent=2)
        return
    _print("what", "measured", "limit")
    _print("---", "---:", "---:")
    for row in rows:
        _print(row.what, f"{row.value:.4g} {row.unit}".strip(), row.limit)


def _print(*cells: str) -> None:
    sys.stdout.write("| " + " | ".join(cells) + " |\n")
    sys.stdout.flush()


def command(name: str, *args: str | Path) -> list[str]:
    """Return what starts ``cr_NAME``."""
    return [sys.executable, "-m", f"blcr.cli.{name}", *map(str, args)]


def seconds(args: list[str], stdin: bytes = b"") -> float:
    """Return how long a command took."""
    began = time.perf_counter()
    subprocess.run(args, input=stdin, check=True, capture_output=True)
    return time.perf_counter() - began
