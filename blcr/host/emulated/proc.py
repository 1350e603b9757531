"""
What a guest finds in its own folder of ``/proc``.

Source: proc(5).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress

from blcr.annotations import TYPE_CHECKING
from blcr.host.emulated.files import own_link, own_proc
from blcr.host.emulated.memory import PAGE, WRITE
from blcr.host.terminals import SLAVE_MAJOR
from blcr.linux.constants import GENERIC

if TYPE_CHECKING:
    from blcr.host.emulated.memory import Area
    from blcr.host.emulated.tasks import Guest


def render(guest: Guest, path: str) -> bytes | None:
    """Return a file's content, or None where it is not one of ours."""
    found = own_proc(guest, path)
    if found is None:
        return None
    owner, rest = found
    folder, _, name = rest.rpartition("/")
    if folder.startswith("task/") and folder[5:].isdecimal():
        rest = name if int(folder[5:]) in owner.threads else ""
    if folder == "fdinfo" and name.isdecimal():
        return _fdinfo(owner, int(name))
    make = _FILES.get(rest)
    return make(owner) if make else None


def is_hidden(guest: Guest, path: str) -> bool:
    """Tell whether a path is below a guest's folder, and not the machine's as well."""
    found = own_proc(guest, path)
    return found is not None and found[1].partition("/")[0] not in {"", *_SHARED}


def shown(path: str) -> str:
    """Return a path of ours as a guest sees it, for which we are the guest itself."""
    own = f"/proc/{os.getpid()}/"
    if not path.startswith(own):
        return path
    parts = path.removeprefix(own).split("/")
    if parts[0] == "task":
        del parts[:2]
    return f"/proc/self/{'/'.join(parts)}"


def entries(guest: Guest, path: str) -> list[str] | None:
    """Return the names in a folder, or None where it is not one of ours."""
    if path.rstrip("/") == "/proc":
        here = [name for name in os.listdir("/proc") if not name.isdecimal()]
        return [*here, *map(str, guest.machine.guests)]
    owner, rest = own_proc(guest, path.rstrip("/")) or (guest, None)
    if rest == "":
        return [*_FILES, "exe", "cwd", "root", "fd", "fdinfo", "task"]
    if rest in {"fd", "fdinfo"}:
        return [str(fd) for fd, _ in owner.descriptors]
    if rest == "task":
        return [str(tid) for tid in owner.threads]
    return None


def stand_in(guest: Guest, path: str) -> str:
    """Return a path of this machine that is of the same sort, for what is ours."""
    if not path.startswith("/proc/"):
        return path
    if own_link(guest, path) is not None:
        return "/proc/self/cwd"
    if render(guest, path) is not None:
        return "/proc/self/status"
    return "/proc/self/task" if entries(guest, path) is not None else path


def _label(guest: Guest, area: Area) -> str:
    """Return what stands at the end of an area's line in ``maps``."""
    if area.backing.file is not None:
        return area.backing.file.path
    if area.backing.shared is not None:
        return "/dev/zero (deleted)"
    special = guest.special_of(area)
    return f"[{special}]" if special else ""


def _maps(guest: Guest) -> bytes:
    return os.fsencode("".join(line for line, _ in _lines(guest)))


_FLAGS = (
    ("gd", lambda area: area.grows_down),
    ("lo", lambda area: area.locked),
    ("sr", lambda area: "sequential" in area.advice),
    ("rr", lambda area: "random" in area.advice),
    ("dc", lambda area: "dontfork" in area.advice),
    ("lf", lambda area: area.locked > 1),
    ("ac", lambda area: area.commits and area.protection & WRITE),
    ("nr", lambda area: area.noreserve),
    ("wf", lambda area: "wipeonfork" in area.advice),
    ("dd", lambda area: "dontdump" in area.advice),
    ("hg", lambda area: area.huge > 0),
    ("nh", lambda area: area.huge < 0),
    ("mg", lambda area: "mergeable" in area.advice),
)
"""What ``VmFlags`` tells besides access rights; fs/proc/task_mmu.c, Linux 6.12."""


def _smaps(guest: Guest) -> bytes:
    parts = []
    for line, area in _lines(guest):
        pages = guest.space.resident(area) * PAGE >> 10
        words = [
            w for i, w in enumerate(("rd", "wr", "ex")) if area.protection >> i & 1
        ]
        words += [] if area.is_private else ["sh"]
        words += ["mr", "mw", "me", *([] if area.is_private else ["ms"])]
        words += [name for name, is_set in _FLAGS if is_set(area)]
        size = area.end - area.start >> 10
        rows = {"Size": size, "KernelPageSize": PAGE >> 10, "MMUPageSize": PAGE >> 10}
        rows |= {"Rss": pages, "Pss": pages, "Locked": pages if area.locked else 0}
        parts.append(line)
        parts += [f"{name + ':':<15} {value:8} kB\n" for name, value in rows.items()]
        parts.append(f"VmFlags: {' '.join(words)} \n")
    return os.fsencode("".join(parts))


def _lines(guest: Guest) -> Iterator[tuple[str, Area]]:
    """Yield what ``maps`` says of each area."""
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
        yield f"{line:<73}{_label(guest, area)}".rstrip() + "\n", area


def _range(guest: Guest, start: int, end: int) -> bytes:
    try:
        return guest.space.read(start, end - start)
    except OSError:
        return b""


def _status(guest: Guest) -> bytes:
    size = sum(area.end - area.start for area in guest.space.areas) >> 10
    rows = {
        "Name": guest.comm,
        "Umask": f"{guest.umask:04o}",
        "State": _state(guest),
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
        "SigBlk": f"{guest.leader.mask if guest.threads else 0:016x}",
        "Seccomp": 0,
    }
    return os.fsencode("".join(f"{key}:\t{value}\n" for key, value in rows.items()))


def _state(guest: Guest) -> str:
    if guest.status is not None:
        return "Z (zombie)"
    if guest.stopped:
        return "T (stopped)"
    waiting = all(thread.wait is not None for thread in guest.threads.values())
    return "S (sleeping)" if waiting else "R (running)"


def _stat(guest: Guest) -> bytes:
    fields = [0] * 49
    fields[0:5] = [guest.ppid, guest.pgid, guest.sid, *_terminal(guest)]
    fields[10], fields[12] = guest.cpu_time() // 10**7, guest.children_ns // 10**7
    fields[16] = len(guest.threads)
    fields[19] = sum(area.end - area.start for area in guest.space.areas)
    fields[20] = len(guest.space.pages)
    fields[24] = guest.layout.start_stack
    text = " ".join(map(str, fields))
    return os.fsencode(f"{guest.pid} ({guest.comm}) {_state(guest)[0]} {text}\n")


def _terminal(guest: Guest) -> tuple[int, int]:
    """Return the number of a guest's terminal and its foreground; none, if ours."""
    found = guest.machine.terminals.values()
    for one in found:
        if one.session == guest.sid:
            # As new_encode_dev of linux/kdev_t.h has it.
            minor = one.number & 0xFF | (one.number & ~0xFF) << 12
            return SLAVE_MAJOR << 8 | minor, one.foreground or -1
    return 0, 0


def _statm(guest: Guest) -> bytes:
    space = guest.space
    size, there = space.size // PAGE, len(space.pages)
    return b"%d %d 0 0 0 %d 0\n" % (size, there, size)


def _limits(guest: Guest) -> bytes:
    """Return the table of limits; fs/proc/base.c."""
    rows = [f"{'Limit':25} {'Soft Limit':20} {'Hard Limit':20} {'Units':10}"]
    for (name, unit), pair in zip(_LIMITS, guest.limits, strict=False):
        values = ["unlimited" if one == _UNLIMITED else str(one) for one in pair]
        rows.append(f"{f'Max {name}':25} {values[0]:20} {values[1]:20} {unit:10}")
    return os.fsencode("".join(f"{row}\n" for row in rows))


_ALWAYS = GENERIC["EPOLLERR"] | GENERIC["EPOLLHUP"]
"""For what epoll waits anyway."""
_UNLIMITED = (1 << 64) - 1
_LIMITS = tuple(
    tuple(row.split("/"))
    for row in """cpu time/seconds,file size/bytes,data size/bytes,stack size/bytes,\
core file size/bytes,resident set/bytes,processes/processes,open files/files,\
locked memory/bytes,address space/bytes,file locks/locks,pending signals/signals,\
msgqueue size/bytes,nice priority/,realtime priority/,realtime timeout/us""".split(",")
)


def _fdinfo(guest: Guest, fd: int) -> bytes | None:
    """Return what is told of a descriptor: its own flags, watches by its numbers."""
    try:
        entry = guest.descriptors.entry(fd)
    except OSError:
        return None
    file = entry.file
    cloexec = guest.constants["O_CLOEXEC"] if entry.cloexec else 0
    rows = []
    with open(f"/proc/self/fdinfo/{file.fd}") as lines:
        for line in lines:
            name = line.partition(":")[0]
            if name == "flags":
                rows.append(f"flags:\t0{file.flags | cloexec:o}\n")
            elif name != "tfd":
                rows.append(line)
    for host, (watched, events, data) in file.interest.items():
        row = f"tfd: {watched:8} events: {events | _ALWAYS:8x} data: {data:16x} "
        with suppress(OSError):
            status = os.fstat(host)
            device = os.major(status.st_dev) << 20 | os.minor(status.st_dev)
            rows.append(f"{row} pos:0 ino:{status.st_ino:x} sdev:{device:x}\n")
    return os.fsencode("".join(rows))


def _auxv(guest: Guest) -> bytes:
    """Return the auxiliary vector, which a kernel counts in words of its own, of 64."""
    size, data = guest.arch.word_size, guest.layout.auxv
    at = next(
        (i for i in range(0, len(data), 2 * size) if not any(data[i : i + size])), 0
    )
    units = 16 * (at // 16 + 1 + (at % 16 > 0))
    return data[: at + 2 * size].ljust(units, b"\0")


_SHARED = {
    *("mounts", "mountinfo", "mountstats", "cgroup", "cpuset", "net", "ns", "attr"),
    *("uid_map", "gid_map", "setgroups", "loginuid", "sessionid"),
    *("oom_score", "oom_score_adj", "oom_adj", "coredump_filter"),
}
"""What is the machine's as well as a guest's, and so is ours."""

_FILES: Mapping[str, Callable[[Guest], bytes]] = {
    "maps": _maps,
    "smaps": _smaps,
    "status": _status,
    "stat": _stat,
    "statm": _statm,
    "limits": _limits,
    "comm": lambda guest: os.fsencode(guest.comm + "\n"),
    "auxv": _auxv,
    "cmdline": lambda guest: _range(
        guest, guest.layout.arg_start, guest.layout.arg_end
    ),
    "environ": lambda guest: _range(
        guest, guest.layout.env_start, guest.layout.env_end
    ),
}
