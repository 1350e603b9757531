"""
The system calls of the machine: a module for each theme, and their `table`.

The modules enter their calls into the table when they are imported, which is done here
and for nothing else.
"""

from __future__ import annotations

from blcr.host.emulated.calls import (
    attributes,
    control,
    family,
    files,
    identity,
    inotify,
    ipc,
    locks,
    memory,
    messages,
    paths,
    pidfds,
    polling,
    process,
    scheduling,
    signalfds,
    signals,
    sockets,
    threads,
    time,
    timers,
)
