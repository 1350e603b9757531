"""
Those who hold the masters of pseudo terminals, and what is on its way to them.

Source: pty(7).
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Sequence

from blcr.errors import HostError
from blcr.host.native import lent, procfs

_DRAINING_S, _LOOK_S = 0.2, 0.0005


def masters(pid: int) -> list[int]:
    """Return the descriptors of a process that are masters of pseudo terminals."""
    found = []
    for fd in procfs.descriptor_numbers(pid):
        with contextlib.suppress(OSError):
            if os.readlink(f"/proc/{pid}/fd/{fd}").endswith("/ptmx"):
                found.append(fd)
    return found


def drain(pids: Sequence[int]) -> None:
    """
    Wait a little until running processes have read what is there for their masters.

    Nobody else can have a look at it; those who write are to stand still.
    """
    with contextlib.ExitStack() as stack:
        ours = []
        for pid in pids:
            lender = stack.enter_context(lent.Lender(pid))
            for fd in masters(pid):
                with contextlib.suppress(HostError):
                    ours.append(stack.enter_context(lender.lent(fd)))
        end = time.monotonic() + _DRAINING_S
        while any(map(lent.unread, ours)) and time.monotonic() < end:
            time.sleep(_LOOK_S)
