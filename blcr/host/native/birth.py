"""
What a process is born from: its own executable, or a seed.

A process is emptied before it runs, so any executable of its kind will do.  Its own one
gives it the right exe link.  Where that is gone, has changed, cannot be executed or
would give other rights to the process, a seed takes its place: one page in memory,
which the exe link shows as ``/memfd:PATH (deleted)``, unless the file is there and we
have the right to set the link.

Source: execve(2), memfd_create(2), prctl(2) for PR_SET_MM_MAP.
"""

from __future__ import annotations

import contextlib
import os
import stat

from blcr.annotations import NoReturn
from blcr.architecture import Arch
from blcr.context import records
from blcr.host.native import procfs
from blcr.linux import elf
from blcr.linux.constants import GENERIC

_SEED = "/memfd:"
_DELETED = " (deleted)"
_NAME_LENGTH = 249
"""Of a memory file, at most."""


def path(pid: int) -> str:
    """Return the path of a process's executable, which its exe link shows."""
    link = procfs.link(pid, "exe")
    if not link.endswith(_DELETED) or _is_named(pid, link):
        return link
    named = link.removesuffix(_DELETED).removeprefix(_SEED)
    return named if named.startswith("/") else link


def _is_named(pid: int, path: str) -> bool:
    """Tell whether that is the name of a process's executable, to the last letter."""
    try:
        exe = os.stat(f"/proc/{pid}/exe")
        return os.path.samestat(procfs.stat_named(pid, path, exe.st_ino), exe)
    except OSError:
        return False


def is_seeded(link: str) -> bool:
    """Tell from the exe link whether a process was born from a seed."""
    return link.startswith(_SEED)


def seed(record: records.Process, arch: Arch) -> int:
    """Return a descriptor of a seed for a process."""
    name = record.exe
    if is_seeded(name):
        name = name.removeprefix(_SEED).removesuffix(_DELETED)
    text = os.fsencode(name)[-_NAME_LENGTH:]
    flags = GENERIC["MFD_CLOEXEC"]
    try:
        fd = os.memfd_create(os.fsdecode(text), flags | GENERIC["MFD_EXEC"])
    except OSError:
        # Before Linux 6.3 there is no such flag.
        fd = os.memfd_create(os.fsdecode(text), flags)
    os.write(fd, elf.seed(arch))
    return fd


def execute(record: records.Process, arch: Arch, seed_fd: int) -> NoReturn:
    """
    Become what a process is born from.

    Raises:
        OSError: Not even the seed can be executed.
    """
    if is_there(record, arch) and not _gives_rights(record.exe):
        with contextlib.suppress(OSError):
            os.execve(record.exe, [record.exe], {})
    os.execve(seed_fd, [record.exe], {})


def is_there(record: records.Process, arch: Arch) -> bool:
    """Tell whether the executable is the one that the process had."""
    try:
        fd = os.open(record.exe, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        now, head = os.fstat(fd), os.pread(fd, elf.HEAD, 0)
    finally:
        os.close(fd)
    if elf.identity(head) != (arch.elf_machine, arch.word_size, arch.layout.byteorder):
        return False
    parts = [one for one in record.mappings if one.path == record.exe]
    if not parts:
        return True
    if parts[0].size != now.st_size:
        # Unknown where another host has saved it.
        return parts[0].size < 0 and not parts[0].saved
    if build_id := next((one.build_id for one in parts if one.build_id), ""):
        return build_id == elf.build_id(head)
    return parts[0].mtime in (-1, now.st_mtime_ns)


def _gives_rights(exe: str) -> bool:
    """Tell whether executing a file gives other rights than one has."""
    if os.stat(exe).st_mode & (stat.S_ISUID | stat.S_ISGID):
        return True
    try:
        return bool(os.getxattr(exe, "security.capability"))
    except OSError:
        return False
