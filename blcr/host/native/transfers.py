"""
Whether disks are still at work for a program.

Source: Documentation/ABI/stable/sysfs-block for ``inflight``, Linux 6.12.
"""

from __future__ import annotations

import os
import stat

from blcr.host.native import procfs


class Transfers:
    """
    Transfers that a program that stands still may have begun.

    Args:
        pid: The process.
        direct: O_DIRECT of its architecture.
    """

    def __init__(self, pid: int, direct: int) -> None:
        self._busy = set(_devices(pid, direct))
        self._silent = {one for one in self._busy if _inflight(one) is None}
        self._busy -= self._silent

    def ended(self) -> bool | None:
        """Tell whether all have; None: not every device tells."""
        self._busy = {one for one in self._busy if _inflight(one)}
        if self._busy:
            return False
        return None if self._silent else True


def _devices(pid: int, direct: int) -> list[int]:
    """Return the devices of files that requests may be under way for."""
    found = []
    for fd in procfs.descriptor_numbers(pid):
        flags = int(procfs.descriptor_info(pid, fd)["flags"][0], 8)
        # Others are read, and written, at once.
        if flags & direct or flags & os.O_ACCMODE:
            status = os.stat(f"/proc/{pid}/fd/{fd}")
            if stat.S_ISREG(status.st_mode):
                found.append(status.st_dev)
    return found


def _inflight(device: int) -> int | None:
    """Return how many requests a device is at work for; None: it does not tell."""
    name = f"/sys/dev/block/{os.major(device)}:{os.minor(device)}/inflight"
    try:
        with open(name, encoding="ascii") as file:
            return sum(map(int, file.read().split()))
    except OSError:
        return None
