"""Which Linux this is."""

from __future__ import annotations

import os
from functools import cache


@cache
def version() -> tuple[int, int]:
    """Return the first two numbers of its release."""
    major, minor = os.uname().release.split("-")[0].split(".")[:2]
    return int(major), int(minor)


@cache
def has_several_nodes() -> bool:
    """Tell whether there may be more than one NUMA node."""
    try:
        with open("/sys/devices/system/node/possible", encoding="ascii") as file:
            return file.read().strip() != "0"
    except OSError:
        return False
