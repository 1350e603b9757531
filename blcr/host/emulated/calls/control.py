"""
Controlling descriptors, open files and devices: fcntl, ioctl.

Source: fcntl(2), ioctl(2), ioctl_tty(2).
"""

from __future__ import annotations

import array
import errno
import fcntl as host_fcntl
import os
import termios

from blcr.host.emulated.calls import locks, terminals
from blcr.host.emulated.calls.table import call, fail, not_served
from blcr.host.emulated.files import (
    OpenFile,
    to_host_flags,
)
from blcr.host.emulated.tasks import Guest, Thread, signed


@call("fcntl", "fcntl64")
def fcntl(thread: Thread, fd: int, command: int, value: int) -> int:
    """Control a descriptor or an open file."""
    guest, names = thread.guest, thread.guest.constants
    table, fd = guest.descriptors, signed(fd)
    entry = table.entry(fd)
    file = entry.file
    if command in {names["F_DUPFD"], names["F_DUPFD_CLOEXEC"]}:
        cloexec = command == names["F_DUPFD_CLOEXEC"]
        if not 0 <= signed(value) < table.limit:
            raise fail(errno.EINVAL)
        return table.add(file, cloexec=cloexec, lowest=signed(value))
    if command == names["F_GETFD"]:
        return names["FD_CLOEXEC"] if entry.cloexec else 0
    if command == names["F_SETFD"]:
        table.set_cloexec(fd, cloexec=bool(value & names["FD_CLOEXEC"]))
        return 0
    if command == names["F_GETFL"]:
        return file.flags
    if file.kind == "path":
        raise fail(errno.EBADF)
    if command == names["F_SETFL"]:
        if value & names["FASYNC"]:
            raise not_served(thread, "fcntl", "FASYNC", names["FASYNC"])
        _set_flags(guest, file, value)
        return 0
    if command in {names[name] for name in _OF_HOST}:
        return host_fcntl.fcntl(file.fd, command, signed(value))
    if kind := locks.kind_of(guest, command):
        return locks.lock(thread, file, *kind, value)
    raise not_served(thread, "fcntl", "F_", command)


# Commands that have the same number everywhere, and an int.
_OF_HOST = ("F_GETPIPE_SZ", "F_SETPIPE_SZ", "F_ADD_SEALS", "F_GET_SEALS")


def _set_flags(guest: Guest, file: OpenFile, flags: int) -> None:
    """Set the flags of an open file that can be set."""
    names = guest.constants
    changeable = guest.bits("O_APPEND O_NONBLOCK O_DIRECT O_NOATIME")
    flags = file.flags & ~changeable | flags & changeable
    host = to_host_flags(names, flags) & ~os.O_CLOEXEC
    if file.kept:
        # Whether ours waits is for others, too.
        waits = host_fcntl.fcntl(file.fd, host_fcntl.F_GETFL) & os.O_NONBLOCK
        host = host & ~os.O_NONBLOCK | waits
    if file.terminal is not None:
        host |= os.O_NONBLOCK
    # A socket of ours never waits, nor what tells of signals, nor a message queue.
    if file.kind not in {"socket", "signalfd", "mqueue"}:
        host_fcntl.fcntl(file.fd, host_fcntl.F_SETFL, host)
    file.flags = flags


@call("ioctl")
def ioctl(thread: Thread, fd: int, request: int, argument: int) -> int:
    """Control a device: terminals, and what all files have."""
    guest, names = thread.guest, thread.guest.constants
    file = guest.descriptors.get(signed(fd))
    request &= 0xFFFF_FFFF
    if request == names["FIONREAD"]:
        count = array.array("i", [0])
        host_fcntl.ioctl(file.fd, termios.FIONREAD, count)
        guest.store_int(argument, count[0])
    elif request == names["FIONBIO"]:
        flags = file.flags & ~names["O_NONBLOCK"]
        if guest.fetch_int(argument):
            flags |= names["O_NONBLOCK"]
        _set_flags(guest, file, flags)
    elif request == names["INOTIFY_IOC_SETNEXTWD"] and file.kind == "inotify":
        host_fcntl.ioctl(file.fd, _INOTIFY_IOC_SETNEXTWD, argument)
    elif request in {names["FIOCLEX"], names["FIONCLEX"]}:
        cloexec = request == names["FIOCLEX"]
        guest.descriptors.set_cloexec(signed(fd), cloexec=cloexec)
    elif os.isatty(file.fd):
        return terminals.control(thread, file, request, argument)
    elif request >> 8 & 0xFF in _OF_TERMINALS:
        raise fail(errno.ENOTTY)
    else:
        raise not_served(thread, "ioctl", "FIO", request, errno.ENOTTY)
    return 0


# Of the machine that we run on, as asm-generic has it.
_INOTIFY_IOC_SETNEXTWD = 0x4004_4900
# The second byte of requests.
_OF_TERMINALS = {ord("T"), ord("t")}
