"""
Descriptors that refer to processes.

Source: pidfd_open(2), pidfd_send_signal(2), clone(2) for CLONE_PIDFD.
"""

from __future__ import annotations

import errno
import os
import select

from blcr.host.emulated import signals
from blcr.host.emulated.calls.signals import checked, info_of
from blcr.host.emulated.calls.table import call, fail, only
from blcr.host.emulated.files import EndMark, OpenFile
from blcr.host.emulated.tasks import Guest, Thread, signed
from blcr.linux.constants import GENERIC


@call("pidfd_open")
def pidfd_open(thread: Thread, pid: int, flags: int) -> int:
    """Make a descriptor of a process."""
    guest = thread.guest
    only(thread, "pidfd_open", "O_", flags, "O_NONBLOCK")
    if signed(pid) <= 0:
        raise fail(errno.EINVAL)
    process = guest.machine.guests.get(pid)
    if process is None:
        threads = guest.machine.threads()
        raise fail(errno.EINVAL if pid in {t.tid for t in threads} else errno.ESRCH)
    return open_process(guest, process, flags)


def open_process(guest: Guest, process: Guest, flags: int = 0) -> int:
    """Return a descriptor of a process, which is ready to be read when that ends."""
    if process.end_mark is None:
        process.end_mark = EndMark()
        if process.status is not None:
            process.end_mark.set()
    with select.epoll() as epoll:
        # Unlike an eventfd it is never ready to be written to.
        epoll.register(process.end_mark.fd, select.EPOLLIN)
        host = os.dup(epoll.fileno())
    kept = guest.constants["O_RDWR"] | flags
    file = OpenFile(host, "pidfd", "anon_inode:[pidfd]", kept)
    file.process = process
    return guest.descriptors.add(file, cloexec=True)


@call("pidfd_send_signal")
def pidfd_send_signal(
    thread: Thread, fd: int, number: int, info: int, flags: int
) -> int:
    """Send a signal to the process of a descriptor."""
    guest, number = thread.guest, signed(number)
    only(thread, "pidfd_send_signal", "PIDFD_", flags)
    file = guest.descriptors.get(signed(fd))
    process = file.process
    if process is None:
        raise fail(errno.EBADF)
    if guest.machine.guests.get(process.pid) is not process:
        raise fail(errno.ESRCH)
    if info:
        data = info_of(thread, number, info)
        row = guest.structure("siginfo").unpack(data)
        if row["signo"] != guest.fetch_int(info):
            raise fail(errno.EINVAL)
        forged = signed(row["code"]) >= 0 or signed(row["code"]) == GENERIC["SI_TKILL"]
        if forged and process is not guest:
            raise fail(errno.EPERM)
        signals.send(process, data)
    elif number:
        signals.send(process, signals.sent_by(guest, checked(number), "SI_USER"))
    return 0
