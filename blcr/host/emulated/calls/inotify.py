"""
Being told what happens to files: each descriptor is one of ours.

Source: inotify(7).
"""

from __future__ import annotations

import ctypes
import os
import struct

from blcr.host.emulated.calls.table import call, fail, only
from blcr.host.emulated.files import OpenFile, host_path
from blcr.host.emulated.tasks import Guest, Thread, signed

_EVENT = struct.Struct("=iIII")
_libc = ctypes.CDLL(None, use_errno=True)


def _check(result: int) -> int:
    if result < 0:
        raise fail(ctypes.get_errno())
    return result


@call("inotify_init1")
def inotify_init1(thread: Thread, flags: int) -> int:
    """Make a descriptor that tells of files."""
    guest, names = thread.guest, thread.guest.constants
    only(thread, "inotify_init1", "O_", flags, "O_CLOEXEC O_NONBLOCK")
    fd = _check(_libc.inotify_init1(os.O_CLOEXEC))
    kept = flags & names["O_NONBLOCK"]
    file = OpenFile(fd, "inotify", "anon_inode:inotify", kept)
    return guest.descriptors.add(file, cloexec=bool(flags & names["O_CLOEXEC"]))


@call("inotify_init")
def inotify_init(thread: Thread) -> int:
    """Make a descriptor that tells of files."""
    return inotify_init1(thread, 0) or 0


@call("inotify_add_watch")
def inotify_add_watch(thread: Thread, fd: int, path: int, mask: int) -> int:
    """Watch a file."""
    guest, file = thread.guest, thread.guest.descriptors.of_kind("inotify", signed(fd))
    follow = not mask & guest.constants["IN_DONT_FOLLOW"]
    here = guest.constants["AT_FDCWD"]
    where = host_path(guest, here, guest.path(path), follow=follow)
    watch = _check(_libc.inotify_add_watch(file.fd, os.fsencode(where), mask))
    folder, name = os.path.split(where.rstrip("/"))
    itself = os.path.join(os.path.realpath(folder), name)
    file.watched[watch] = os.path.realpath(where) if follow else itself
    return watch


@call("inotify_rm_watch")
def inotify_rm_watch(thread: Thread, fd: int, watch: int) -> int:
    """Watch a file no longer."""
    file = thread.guest.descriptors.of_kind("inotify", signed(fd))
    return _check(_libc.inotify_rm_watch(file.fd, signed(watch)))


def read_events(guest: Guest, file: OpenFile, size: int) -> bytes:
    """Read events, with their numbers in the guest's byte order."""
    data, at, order = os.read(file.fd, size), 0, guest.arch.layout.byteorder
    own = struct.Struct("<iIII" if order == "little" else ">iIII")
    found = b""
    while at < len(data):
        numbers = _EVENT.unpack_from(data, at)
        end = at + _EVENT.size + numbers[-1]
        found += own.pack(*numbers) + data[at + _EVENT.size : end]
        at = end
    return found
