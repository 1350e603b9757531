"""
The system calls of the machine: a module for each theme, and their `table`.

The modules enter their calls into the table when they are imported, here.
"""

from __future__ import annotations

from blcr.host.emulated.calls import (
    control,
    files,
    memory,
    paths,
    polling,
    process,
    signals,
    threads,
    time,
)

THEMES = (
    control,
    files,
    memory,
    paths,
    polling,
    process,
    signals,
    threads,
    time,
)
