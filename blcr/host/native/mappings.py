"""
The address space of a process, as records.

Source: proc_pid_maps(5), proc_pid_smaps(5).
"""

from __future__ import annotations

import os
import stat

from blcr.context import records
from blcr.host.interface import MappingFacts
from blcr.host.native import procfs

_DELETED = " (deleted)"
_ZERO = (1, 5)

_SPECIAL = {
    "[heap]": "heap",
    "[stack]": "stack",
    "[vdso]": "vdso",
    "[vvar]": "vvar",
    "[vvar_vclock]": "vvar",
}

_REFUSED_FLAGS = {
    "io": "device memory",
    "pf": "device memory",
    "ss": "a shadow stack",
    "sl": "a sealed mapping",
    "um": "memory watched by userfaultfd",
    "uw": "memory watched by userfaultfd",
    "ht": "huge pages of hugetlbfs",
}


def facts(pid: int, ranges: list[procfs.Range]) -> list[MappingFacts]:
    """Return the mappings that belong to the process; the kernel's own page is none."""
    return [_facts(pid, part) for part in ranges if part.path != "[vsyscall]"]


def _facts(pid: int, part: procfs.Range) -> MappingFacts:
    """Return one mapping."""
    special = _SPECIAL.get(part.path, "")
    named = part.path.startswith("[")
    shared = part.permissions[3] == "s"
    refused = "" if special else _flags_refused(part)
    path = "" if named else part.path
    size = mtime = -1
    deleted = False
    if path:
        path, deleted, refused, size, mtime = _file(pid, part, path, refused)
    protection = sum(
        bit
        for bit, letter in ((1, "r"), (2, "w"), (4, "x"))
        if letter in part.permissions
    )
    if named and not special and not part.path.startswith("[anon"):
        refused = f"the kernel's mapping {part.path}"
    maximum = 7 & ~2 if shared and "mw" not in part.flags else 7
    return MappingFacts(
        records.Mapping(
            part.start,
            part.end,
            protection,
            shared=shared,
            offset=part.offset if path or shared else 0,
            path=path,
            special=special,
            grows_down="gd" in part.flags,
            size=size,
            mtime=mtime,
            huge=1 if "hg" in part.flags else -1 if "nh" in part.flags else 0,
            noreserve="nr" in part.flags,
            max_protection=maximum,
            name=part.path if named else "",
        ),
        part.device,
        part.inode,
        deleted,
        refused,
    )


def _flags_refused(part: procfs.Range) -> str:
    """Return why the kind of a mapping cannot be saved, or empty."""
    for flag, why in _REFUSED_FLAGS.items():
        if flag in part.flags:
            return why
    return ""


def _file(
    pid: int, part: procfs.Range, path: str, refused: str
) -> tuple[str, bool, str, int, int]:
    """Return path, whether it is gone, refusal, size and time of a mapped file."""
    deleted = path.endswith(_DELETED)
    if path == "/dev/zero" + _DELETED and part.permissions[3] == "s":
        return "", False, refused, -1, -1
    if path.startswith("/SYSV"):
        return path, True, "a System V shared memory segment", -1, -1
    if path.startswith("/memfd:"):
        return path, True, "a memory file (memfd)", -1, -1
    try:
        found = os.stat(f"/proc/{pid}/root{path}")  # noqa: PTH116
    except OSError:
        why = f"the mapped file '{path}', which is gone"
        return path, True, refused or why, -1, -1
    if stat.S_ISCHR(found.st_mode):
        zero = (os.major(found.st_rdev), os.minor(found.st_rdev)) == _ZERO
        if zero and part.permissions[3] == "p":
            return "", False, refused, -1, -1
        return path, False, refused or f"a mapping of the device '{path}'", -1, -1
    if deleted:
        why = f"the mapped file '{path}', which was deleted or replaced"
        return path, True, refused or why, -1, -1
    return path, False, refused, found.st_size, found.st_mtime_ns
