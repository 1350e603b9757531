"""
The address space of a process, as records.

Source: proc_pid_maps(5), proc_pid_smaps(5); Documentation/filesystems/proc.rst, Linux
6.12, for the letters of VmFlags.
"""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Mapping, Sequence
from functools import lru_cache

from blcr.context import records
from blcr.host.interface import MappingFacts
from blcr.host.native import procfs
from blcr.record import Record

OUTSIDE = frozenset({"[vsyscall]", "[vectors]"})
"""The kernel's own, which every process has and none can do anything about."""

_AT_REST_NS = 10_000_000_000
"""Age of a file's last change from which on it is not expected to change just now."""
_DELETED = " (deleted)"
_ZERO = (1, 5)

_SPECIAL = {
    "[heap]": "heap",
    "[stack]": "stack",
    "[vdso]": "vdso",
    "[vvar]": "vvar",
    "[vvar_vclock]": "vvar",
    "[sigpage]": "sigpage",
}

_REFUSED_FLAGS = {
    "io": "device memory",
    "pf": "device memory",
    "sf": "persistent memory (MAP_SYNC)",
    "ss": "a shadow stack",
    "sl": "a sealed mapping (mseal)",
    "um": "memory watched by userfaultfd",
    "uw": "memory watched by userfaultfd",
    "ui": "memory watched by userfaultfd",
}

_REFUSED_NAMES = {
    "/secretmem": "secret memory (memfd_secret)",
    "anon_inode:": "a mapping of the kernel object {}",
    "socket:": "a mapping of the socket {}",
}
"""Why mappings are refused, by how what stands in their place of a path begins."""

_SEGMENT = "/SYSV"
"""How what stands there for a System V segment begins."""

AIO_RING = "/[aio]"
"""How what stands in the place of the path of a ring of io_setup(2) begins."""

_ADVICE = {
    "dd": "dontdump",
    "dc": "dontfork",
    "wf": "wipeonfork",
    "mg": "mergeable",
    "sr": "sequential",
    "rr": "random",
}


def facts(
    pid: int,
    ranges: list[procfs.Range],
    policies: Mapping[int, records.MemoryPolicy] | None = None,
    seen: Mapping[procfs.Range, MappingFacts] | None = None,
) -> list[MappingFacts]:
    """
    Return the mappings that belong to the process; the kernel's own page is none.

    Args:
        pid: The process.
        ranges: Its address space.
        policies: NUMA policies by the first address of mappings.
        seen: What `look` has returned just before.
    """
    seen = seen or {}
    sizes = {}
    if any("ht" in part.flags for part in ranges):
        sizes = procfs.page_sizes(pid)
    opener = _Opener(pid)
    found = [
        seen.get(part)
        or _facts(opener, part, sizes.get(part.start, 0) if "ht" in part.flags else 0)
        for part in ranges
        if part.path not in OUTSIDE
    ]
    for at, one in enumerate(found) if policies else ():
        policy = policies.get(one.record.start) if policies else None
        found[at] = one._replace(record=one.record._replace(policy=policy))
    return found


def look(pid: int, ranges: Sequence[procfs.Range]) -> dict[procfs.Range, MappingFacts]:
    """
    Return what can be told of mappings, before a process is stopped, that will be so.

    Of a file that is being written to the time and the size will not.
    """
    opener = _Opener(pid)
    found = {
        part: _facts(opener, part, 0)
        for part in ranges
        if part.path not in OUTSIDE and "ht" not in part.flags
    }
    at_rest = time.time_ns() - _AT_REST_NS
    return {
        part: one
        for part, one in found.items()
        if one.record.mtime < at_rest
        and not (part.permissions[3] == "s" and "mw" in part.flags)
    }


class _Backing(Record):
    """
    What is behind a mapping.

    Attributes:
        path: The file; empty for anonymous memory.
        deleted: The path leads to it no longer, or may not be opened.
        refused: Why it cannot be saved, or empty.
        size, mtime: Of the file; -1: unknown.
        object: What it is, where it is no file with a name.
    """

    path: str = ""
    deleted: bool = False
    refused: str = ""
    size: int = -1
    mtime: int = -1
    object: records.SharedMemory | None = None


@lru_cache(4096)
def _kind(
    permissions: str, flags: frozenset[str], path: str, huge_page: int
) -> tuple[records.Mapping, str]:
    """
    Return what a mapping is, but for where it is and the file, and why it is refused.

    There are not many different ones.
    """
    ring = path.startswith(AIO_RING)
    special = "aio" if ring else _SPECIAL.get(path, "")
    named = path.startswith("[")
    shared = permissions[3] == "s"
    droppable = "dp" in flags
    refused = next((why for flag, why in _REFUSED_FLAGS.items() if flag in flags), "")
    if named and not special and not path.startswith("[anon"):
        refused = f"the kernel's mapping {path}"
    advice = tuple(name for flag, name in _ADVICE.items() if flag in flags)
    return records.Mapping(
        0,
        0,
        sum(
            bit
            for bit, letter in ((1, "r"), (2, "w"), (4, "x"))
            if letter in permissions
        ),
        shared=shared,
        offset=0,
        path="",
        special=special,
        grows_down="gd" in flags,
        huge=1 if "hg" in flags else -1 if "nh" in flags else 0,
        noreserve="nr" in flags,
        max_protection=7 & ~2 if shared and "mw" not in flags else 7,
        name=path if named else "",
        advice=()
        if special in ("vdso", "vvar", "sigpage", "aio") or droppable
        else advice,
        locked=2 if "lf" in flags else 1 if "lo" in flags else 0,
        huge_page=huge_page,
        droppable=droppable,
        key=next((int(one[4:]) for one in flags if one.startswith(procfs.KEY)), 0),
    ), "" if special else refused


def _facts(opener: _Opener, part: procfs.Range, huge_page: int) -> MappingFacts:
    """Return one mapping."""
    facts = _bare(part, huge_page)
    backing = _backing(opener, part, huge_page)
    if backing is _NOTHING:
        return facts
    record, refused = facts.record, facts.refused
    if not record.special:
        refused = backing.refused or refused
    return facts._replace(
        record=record._replace(
            offset=part.offset if backing.path or backing.object else 0,
            path=backing.path,
            size=backing.size,
            mtime=backing.mtime,
        ),
        deleted=backing.deleted,
        refused=refused,
        object=backing.object,
    )


def _bare(part: procfs.Range, huge_page: int) -> MappingFacts:
    """Return a mapping without what is behind it."""
    kind, refused = _kind(part.permissions, part.flags, part.path, huge_page)
    record = records.Mapping(part.start, part.end, *kind[2:])
    return MappingFacts(record, part.device, part.inode, deleted=False, refused=refused)


_NOTHING = _Backing()


def _backing(opener: _Opener, part: procfs.Range, huge_page: int) -> _Backing:
    """Return what is behind a mapping."""
    path = part.path
    if (
        not path
        or path.startswith("[")
        or path in ("/dev/zero" + _DELETED, "/anon_hugepage" + _DELETED)
    ):
        if part.permissions[3] == "p":
            return _NOTHING
        return _Backing(object=records.SharedMemory(0, (), huge_page=huge_page))
    if path.startswith(AIO_RING):
        return _NOTHING
    for beginning, why in _REFUSED_NAMES.items():
        if path.startswith(beginning):
            return _Backing(path, refused=why.format(path.removesuffix(_DELETED)))
    if path.startswith("/memfd:"):
        name = path.removeprefix("/memfd:").removesuffix(_DELETED)
        file = records.SharedMemory(0, (), "memfd", name, huge_page=huge_page)
        return _Backing(object=file)
    if path.startswith(_SEGMENT):
        return opener.segment(part, huge_page)
    return opener.look(part)


class _Opener:
    """Whether the names of mapped files lead to them, for the process's own user."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._status: procfs.Status | None = None
        self._segments: Mapping[int, records.SharedMemory] | None = None

    def look(self, part: procfs.Range) -> _Backing:
        """Return what is behind a mapping of a file."""
        path = part.path
        found = self._stat(path, part.inode)
        if path.endswith(_DELETED) and (not found or found.st_ino != part.inode):
            path = path.removesuffix(_DELETED)
            return _Backing(path, deleted=True)
        if found is None:
            return _Backing(path, deleted=True)
        if stat.S_ISCHR(found.st_mode):
            shared = part.permissions[3] == "s"
            if not shared and _device(found) == _ZERO:
                return _Backing()
            return _Backing(path, refused=f"a mapping of the device '{path}'")
        # The kernel may show another device number than stat(2), as with btrfs.
        there = found.st_ino == part.inode
        writes = part.permissions[3] == "s" and "mw" in part.flags
        opens = there and self._may_open(found, 6 if writes else 4)
        return _Backing(
            path,
            deleted=not opens,
            size=found.st_size if there else -1,
            mtime=found.st_mtime_ns if there else -1,
        )

    def segment(self, part: procfs.Range, huge_page: int) -> _Backing:
        """Return what is behind a mapping of a System V segment, its id the inode."""
        from blcr.host.native import sysv

        if self._segments is None:
            self._segments = sysv.segments(self._pid)
        found = self._segments.get(part.inode)
        if found is None or huge_page:
            return _Backing(
                part.path, refused="a System V segment of huge pages or unknown"
            )
        return _Backing(object=found)

    def _stat(self, path: str, inode: int) -> os.stat_result | None:
        """Return what a name of the process leads to; None: nowhere."""
        try:
            return procfs.stat_named(self._pid, path, inode)
        except OSError:
            return None

    def _may_open(self, found: os.stat_result, wanted: int) -> bool:
        """Tell whether the process's user may open a file: 4 to read, 6 to write."""
        if found.st_mode & 0o111 * wanted == 0o111 * wanted:
            return True
        if self._status is None:
            self._status = procfs.status(self._pid)
        status = self._status
        if status.uids[1] == 0:
            return True
        shift = 0
        if found.st_uid == status.uids[1]:
            shift = 6
        elif found.st_gid in (status.gids[1], *status.groups):
            shift = 3
        return found.st_mode >> shift & wanted == wanted


def _device(found: os.stat_result) -> tuple[int, int]:
    """Return the numbers of a device file."""
    return os.major(found.st_rdev), os.minor(found.st_rdev)
