"""
Where a file is found: names for inodes.

Source: open_by_handle_at(2), proc_pid_mountinfo(5).
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import struct
import time
from collections.abc import Callable, Container, Iterable, Iterator
from itertools import chain

from blcr.context import records
from blcr.host.native import fdinfo, procfs

_SEARCH_S = 0.5
"""How long to search for the name of an inode; the process stands still meanwhile."""

Identity = tuple[int, int]
"""Of a file: device and inode."""

_libc = ctypes.CDLL(None, use_errno=True)


def leads_to(pid: int, path: str, status: os.stat_result) -> bool:
    """Tell whether a path, as a process sees it, leads to that file."""
    try:
        found = procfs.stat_named(pid, path, status.st_ino)
    except OSError as error:
        return error.errno == errno.EACCES
    return (found.st_dev, found.st_ino) == (status.st_dev, status.st_ino)


def other_name(pid: int, old: str, status: os.stat_result) -> str:
    """Return another name of a file in the folder of its old one, or empty."""
    folder = os.path.dirname(old)
    with contextlib.suppress(OSError), os.scandir(f"/proc/{pid}/root{folder}") as found:
        for entry in found:
            path = f"{folder.rstrip('/')}/{entry.name}"
            if entry.inode() == status.st_ino and leads_to(pid, path, status):
                return path
    return ""


def device_opened_by(device: int, users: Container[int]) -> int:
    """Return a process besides `users` that has a device open; 0: none is known."""
    return _opened_by(users, lambda other: other.st_rdev == device)


def opened_by(status: os.stat_result, users: Container[int]) -> int:
    """Return a process besides `users` that has a file open; 0: none is known."""
    return _opened_by(users, lambda other: os.path.samestat(other, status))


def _opened_by(users: Container[int], is_it: Callable[[os.stat_result], bool]) -> int:
    for pid in procfs.pids():
        if pid in users or pid == os.getpid():
            continue
        with contextlib.suppress(OSError), os.scandir(f"/proc/{pid}/fd") as fds:
            for entry in fds:
                with contextlib.suppress(OSError):
                    if is_it(os.stat(entry.path)):
                        return pid
    return 0


def held_by_others(files: Iterable[records.OpenFile]) -> dict[Identity, int]:
    """
    Return who else has files open that have grown since, by the files' identities.

    To be asked before there is a namespace of our own, from which others may not be
    looked at.
    """
    grown: set[Identity] = set()
    for file in files:
        with contextlib.suppress(OSError):
            now = os.stat(file.path)
            if file.kind == "file" and now.st_size > file.size:
                grown.add((now.st_dev, now.st_ino))
    held: dict[Identity, int] = {}
    for pid in procfs.pids() if grown else ():
        if pid == os.getpid():
            continue
        with contextlib.suppress(OSError), os.scandir(f"/proc/{pid}/fd") as fds:
            for entry in fds:
                with contextlib.suppress(OSError):
                    now = os.stat(entry.path)
                    if (now.st_dev, now.st_ino) in grown:
                        held[now.st_dev, now.st_ino] = pid
    return held


def path_of(pid: int, watch: fdinfo.Watch) -> str:
    """
    Return a name of a watched inode, or empty.

    Whoever may opens it by its handle; everybody else searches: the files that the
    process has open, its working directory, and what is below and above.
    """
    device = os.makedev(watch.device >> 20, watch.device & 0xF_FFFF)
    for path in chain(_by_handle(pid, device, watch), _near(pid)):
        with contextlib.suppress(OSError):
            found = os.lstat(f"/proc/{pid}/root{path}")
            if (found.st_dev, found.st_ino) == (device, watch.inode):
                return path
    return ""


def _by_handle(pid: int, device: int, watch: fdinfo.Watch) -> Iterator[str]:
    """Yield the path of an inode that was opened by its handle."""
    for mount in procfs.mounts(pid):
        if mount.device != device:
            continue
        with contextlib.suppress(OSError):
            folder = os.open(
                f"/proc/{pid}/root{mount.path}", os.O_RDONLY | os.O_CLOEXEC
            )
            handle = struct.pack("=Ii", len(watch.handle), watch.handle_type)
            try:
                fd = _libc.open_by_handle_at(
                    folder, handle + watch.handle, os.O_PATH | os.O_CLOEXEC
                )
            finally:
                os.close(folder)
            if fd >= 0:
                path = os.readlink(f"/proc/self/fd/{fd}")
                os.close(fd)
                yield path


def _near(pid: int) -> Iterator[str]:
    """Yield paths in the neighbourhood of a process, nearest first, for some time."""
    deadline = time.monotonic() + _SEARCH_S
    begin = [procfs.link(pid, "cwd")]
    for fd in procfs.descriptor_numbers(pid):
        with contextlib.suppress(OSError):
            label = os.readlink(f"/proc/{pid}/fd/{fd}")
            if label.startswith("/"):
                yield label
                begin.append(os.path.dirname(label))
    begin.append(os.path.dirname(procfs.link(pid, "exe")))
    begin += ["/tmp", "/var/tmp", "/etc", "/run", "/dev/shm", "/"]
    seen: set[str] = set()
    yield from begin
    for folder in begin:
        for path in _below(f"/proc/{pid}/root", folder, seen):
            if time.monotonic() > deadline:
                return
            yield path


def _below(root: str, folder: str, seen: set[str]) -> Iterator[str]:
    """Yield what is in a folder and below it, the near first; no folder twice."""
    waiting = [folder]
    for one in waiting:
        if one in seen or one in ("/proc", "/sys"):
            continue
        seen.add(one)
        with contextlib.suppress(OSError), os.scandir(root + one) as found:
            for entry in found:
                path = f"{one.rstrip('/')}/{entry.name}"
                yield path
                if entry.is_dir(follow_symlinks=False):
                    waiting.append(path)
