"""
Mapped files that stay outside of a context: what they were, and whether they still are.

Pages that a program has not changed are read from the file again at restart.  So a file
that is mapped privately must be the same one: of the same size, and with the same build
id or, where it has none, written to at the same time.  One that is mapped shared is the
program's to change, and must not be shorter.

Source: elf(5); mmap(2).
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator

from blcr.context import records
from blcr.errors import HostError, RestartError
from blcr.host.interface import Process
from blcr.linux import elf

_READ = 1
_FREE_OF_FILES = frozenset({"file", "spare", "unlinked"})
"""Kinds of `records.SharedMemory` that serve where the file is gone."""


def build_id(process: Process, mapping: records.Mapping) -> str:
    """Return the build id of the ELF file whose beginning is mapped, or empty."""
    if mapping.offset or not mapping.protection & _READ:
        return ""
    size = min(elf.HEAD, mapping.end - mapping.start)
    try:
        return elf.build_id(process.read(mapping.start, size))
    except HostError:
        # The file has been cut.
        return ""


def require_unchanged(context: records.Context, sysroot: str | None) -> None:
    """
    Check the mapped files of a context before anything is started.

    Raises:
        RestartError: Some are gone or have changed; the message names the first.
    """
    found = list(_changed(context, sysroot))
    if not found:
        return
    status, message = found[0]
    if len(found) > 1:
        message += f" (and {len(found) - 1} more; cr_restart --check lists them)"
    raise RestartError(message, status=status)


def changed(context: records.Context, sysroot: str | None = None) -> list[str]:
    """Return a sentence for each mapped file that is gone or has changed."""
    return [message for _status, message in _changed(context, sysroot)]


def _changed(
    context: records.Context, sysroot: str | None
) -> Iterator[tuple[int, str]]:
    """Yield an errno and a sentence for each."""
    for record in context.processes:
        by_path: dict[str, records.Mapping] = {}
        for one in record.mappings:
            if one.path and not one.saved and not _has_copy(one, context):
                known = by_path.setdefault(one.path, one)
                if one.build_id or (known.shared and not one.shared):
                    by_path[one.path] = one
        for path, one in by_path.items():
            if found := _difference(one, path, sysroot):
                code, what = found
                option = "--save-shared" if one.shared else "--save-private"
                if path == record.exe:
                    option = "--save-exe"
                yield (
                    code,
                    f"process {record.pid}: the mapped file '{path}' {what}; put back "
                    "the one that it was, name its new place with --relocate, or save "
                    f"it with {option}",
                )


def _has_copy(mapping: records.Mapping, context: records.Context) -> bool:
    """Tell whether the file can be missing."""
    if mapping.object < 0:
        return False
    return context.shared_memory[mapping.object].kind in _FREE_OF_FILES


def _difference(
    mapping: records.Mapping, path: str, sysroot: str | None
) -> tuple[int, str] | None:
    """Return an errno and what differs of a file; None: nothing."""
    try:
        fd = _open(path, sysroot)
    except OSError as error:
        return error.errno or errno.ENOENT, f"cannot be opened: {error.strerror}"
    try:
        now = os.fstat(fd)
        if mapping.shared:
            if now.st_size < mapping.size:
                return errno.ENOENT, _sizes(now.st_size, mapping.size)
            return None
        if mapping.size not in (-1, now.st_size):
            return errno.ENOENT, _sizes(now.st_size, mapping.size)
        if mapping.build_id:
            old, new = mapping.build_id, elf.build_id(os.pread(fd, elf.HEAD, 0))
            if new != old:
                what = f"is another build ({new[:12] or 'unknown'}, was {old[:12]})"
                return errno.ENOENT, what
        elif mapping.mtime not in (-1, now.st_mtime_ns):
            return errno.ENOENT, "has been written to since"
    finally:
        os.close(fd)
    return None


def _open(path: str, sysroot: str | None) -> int:
    """Open a file where a host looks for it."""
    flags = os.O_RDONLY | os.O_CLOEXEC
    if sysroot:
        try:
            return os.open(sysroot.rstrip("/") + path, flags)
        except FileNotFoundError:
            pass
    return os.open(path, flags)


def _sizes(now: int, then: int) -> str:
    return f"has {now} bytes and had {then}"
