"""
What a guest finds in its own folder of ``/proc``.

Source: proc(5).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from blcr.host.emulated.memory import Area
    from blcr.host.emulated.tasks import Guest


def render(guest: Guest, name: str) -> bytes | None:
    """Return a file's content, or None where it is not one of ours."""
    make = _FILES.get(name)
    return make(guest) if make else None


def _label(guest: Guest, area: Area) -> str:
    """Return what stands at the end of an area's line in ``maps``."""
    if area.backing.file is not None:
        return area.backing.file.path
    if area.backing.shared is not None:
        return "/dev/zero (deleted)"
    special = guest.special_of(area)
    return f"[{special}]" if special else ""


def _maps(guest: Guest) -> bytes:
    lines = []
    for area in guest.space.areas:
        letters = "".join(
            letter if area.protection >> i & 1 else "-"
            for i, letter in enumerate("rwx")
        )
        kind = "p" if area.is_private else "s"
        file = area.backing.file
        major, minor = file.device if file else (0, 0)
        line = (
            f"{area.start:08x}-{area.end:08x} {letters}{kind} {area.offset:08x} "
            f"{major:02x}:{minor:02x} {file.inode if file else 0} "
        )
        lines.append(f"{line:<73}{_label(guest, area)}".rstrip() + "\n")
    return os.fsencode("".join(lines))


def _range(guest: Guest, start: int, end: int) -> bytes:
    try:
        return guest.space.read(start, end - start)
    except OSError:
        return b""


def _status(guest: Guest) -> bytes:
    leader = guest.leader
    size = sum(area.end - area.start for area in guest.space.areas) >> 10
    rows = {
        "Name": leader.comm,
        "Umask": f"{guest.umask:04o}",
        "State": "R (running)",
        "Tgid": guest.pid,
        "Pid": guest.pid,
        "PPid": guest.ppid,
        "TracerPid": 0,
        "Uid": "\t".join([str(os.getuid())] * 4),
        "Gid": "\t".join([str(os.getgid())] * 4),
        "VmPeak": f"{size:8} kB",
        "VmSize": f"{size:8} kB",
        "VmRSS": f"{len(guest.space.pages) * 4:8} kB",
        "Threads": len(guest.threads),
        "SigBlk": f"{leader.mask:016x}",
        "Seccomp": 0,
    }
    return os.fsencode("".join(f"{key}:\t{value}\n" for key, value in rows.items()))


def _stat(guest: Guest) -> bytes:
    fields = [0] * 49
    fields[0:4] = [guest.ppid, guest.pgid, guest.sid, 0]
    fields[16] = len(guest.threads)
    fields[19] = sum(area.end - area.start for area in guest.space.areas)
    fields[20] = len(guest.space.pages)
    fields[24] = guest.layout.start_stack
    text = " ".join(map(str, fields))
    return os.fsencode(f"{guest.pid} ({guest.leader.comm}) R {text}\n")


_FILES: Mapping[str, Callable[[Guest], bytes]] = {
    "maps": _maps,
    "status": _status,
    "stat": _stat,
    "comm": lambda guest: os.fsencode(guest.leader.comm + "\n"),
    "auxv": lambda guest: guest.layout.auxv,
    "cmdline": lambda guest: _range(
        guest, guest.layout.arg_start, guest.layout.arg_end
    ),
    "environ": lambda guest: _range(
        guest, guest.layout.env_start, guest.layout.env_end
    ),
}
