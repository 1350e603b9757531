"""The system calls of the machine, a module for each theme."""

from __future__ import annotations

from blcr.host.emulated.calls import (
    files,
    memory,
    polling,
    process,
    signals,
    threads,
    time,
)
from blcr.host.emulated.calls.table import CallTable, Entry, table_of

__all__ = ["CallTable", "Entry", "table_of"]

THEMES = (files, memory, polling, process, signals, threads, time)
"""The modules that enter calls into the table when they are imported."""
