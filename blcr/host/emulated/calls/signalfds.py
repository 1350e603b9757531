"""
Descriptors that signals are read from.

Each has an eventfd of ours that is ready while there is a signal to be read.

Source: signalfd(2).
"""

from __future__ import annotations

import errno
import os

from blcr.host.emulated import signals
from blcr.host.emulated.calls.signals import SIGSET_SIZE
from blcr.host.emulated.calls.table import call, fail, only
from blcr.host.emulated.files import OpenFile
from blcr.host.emulated.tasks import Thread, signed


@call("signalfd4")
def signalfd4(thread: Thread, fd: int, mask: int, size: int, flags: int) -> int:
    """Make a descriptor to read signals from, or change which."""
    guest, names = thread.guest, thread.guest.constants
    only(thread, "signalfd4", "SFD_", flags, "SFD_CLOEXEC SFD_NONBLOCK")
    if size != SIGSET_SIZE:
        raise fail(errno.EINVAL)
    wanted = guest.fetch("sigset", mask)["mask"] & ~signals.UNBLOCKABLE
    if signed(fd) != -1:
        file = guest.descriptors.of_kind("signalfd", signed(fd))
        file.signals = wanted
        signals.show(guest)
        return fd
    host = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
    kept = names["O_RDWR"] | flags & names["O_NONBLOCK"]
    file = OpenFile(host, "signalfd", "anon_inode:[signalfd]", kept)
    file.signals = wanted
    number = guest.descriptors.add(file, cloexec=bool(flags & names["SFD_CLOEXEC"]))
    guest.has_signalfd = True
    signals.show(guest)
    return number


@call("signalfd")
def signalfd(thread: Thread, fd: int, mask: int, size: int) -> int:
    """Make a descriptor to read signals from, or change which."""
    return signalfd4(thread, fd, mask, size, 0) or 0


def read_signals(thread: Thread, file: OpenFile, size: int) -> bytes:
    """Take queued signals, as many as there is room for."""
    guest = thread.guest
    row, data = guest.structure("signalfd_siginfo"), b""
    if size < row.size:
        raise fail(errno.EINVAL)
    while len(data) + row.size <= size:
        info = signals.take(thread, file.signals)
        if info is None:
            break
        head = guest.structure("siginfo_rt").unpack(info)
        child = guest.structure("siginfo_child").unpack(info)
        number = head["signo"]
        values = {"signo": number, "errno": head["errno"], "code": head["code"]}
        values |= {"pid": head["pid"] & 0xFFFF_FFFF, "uid": head["uid"]}
        if number == guest.constants["SIGCHLD"] and head["code"] > 0:
            values["status"] = child["status"]
        else:
            values["ptr"] = head["value"]
            # Of the union of number and pointer the first bytes.
            values["int"] = child["status"]
        data += row.pack(**values)
    return data
