"""
What anybody can see of a process from outside, in a form that can be compared.

Source: proc(5).
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import re
import stat
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

_NAME_SIZE = 15
_TERMINALS = ("/dev/ptmx", "/dev/pts/")
PROC = Path("/proc")

PATIENCE = float(os.environ.get("BLCR_PATIENCE", "1"))
"""By how much everything may take longer: machines that are emulated are slow."""

_STATUS = "SigPnd ShdPnd SigBlk SigIgn SigCgt Umask NoNewPrivs".split()


class ThreadView(NamedTuple):
    """A thread, by its id as it sees it itself."""

    tid: int
    name: str
    pending: str
    blocked: str


class View(NamedTuple):
    """A process: what a checkpoint must leave and a restart must bring back."""

    maps: tuple[str, ...]
    descriptors: tuple[str, ...]
    status: dict[str, str]
    threads: tuple[ThreadView, ...]
    executable: str
    cwd: str


def view(pid: int) -> View:
    """Return what is to be seen of a process now."""
    folder = PROC / str(pid)
    status = status_of(pid)
    return View(
        maps=tuple(_maps(folder)),
        descriptors=tuple(_descriptors(folder)),
        status={key: status[key] for key in _STATUS if key in status},
        threads=tuple(sorted(_threads(folder))),
        executable=str((folder / "exe").readlink()),
        cwd=str((folder / "cwd").readlink()),
    )


def differences(before: View, after: View) -> list[str]:
    """Return what was lost and what appeared, a line for each."""
    found = []
    for field in View._fields:
        old, new = getattr(before, field), getattr(after, field)
        if isinstance(old, dict):
            old, new = tuple(old.items()), tuple(new.items())
        elif isinstance(old, str):
            old, new = (old,), (new,)
        found += [f"{field}: lost {item}" for item in old if item not in new]
        found += [f"{field}: appeared {item}" for item in new if item not in old]
    return found


def status_of(pid: int, tid: int | None = None) -> dict[str, str]:
    """Return ``/proc/PID/status`` or that of a thread."""
    folder = PROC / str(pid)
    text = ((folder if tid is None else folder / f"task/{tid}") / "status").read_text(
        errors="replace"
    )
    return {
        k: v.strip() for k, _, v in (line.partition(":") for line in text.splitlines())
    }


def inner_id(pid: int) -> int:
    """Return the process's id as it sees it itself."""
    return int(status_of(pid)["NSpid"].split()[-1])


def words(pid: int) -> bytes:
    """Return the command line of a process, which a restart brings back."""
    return (PROC / str(pid) / "cmdline").read_bytes()


def exists(pid: int) -> bool:
    """Tell whether there is such a process, and no zombie."""
    try:
        return not status_of(pid)["State"].startswith(("Z", "X"))
    except (OSError, KeyError):
        return False


def descendants(pid: int) -> list[int]:
    """Return the processes below one, parents first."""
    children: dict[int, list[int]] = {}
    for entry in PROC.iterdir():
        if entry.name.isdigit():
            try:
                stat = (entry / "stat").read_text(errors="replace")
            except OSError:
                continue
            parent = int(stat.rpartition(")")[2].split()[1])
            children.setdefault(parent, []).append(int(entry.name))
    found = list(children.get(pid, ()))
    for child in found:
        found += children.get(child, ())
    return found


def zombies(name: str, parent: int) -> list[int]:
    """Return the children of a process that have ended and had such a name."""
    found = []
    for pid in descendants(parent):
        # One of another's children may be gone by now.
        with contextlib.suppress(OSError):
            status = status_of(pid)
            if status["State"][0] in "ZX" and status["Name"] == name[:_NAME_SIZE]:
                found.append(pid)
    return found


def is_waiting(pid: int) -> bool:
    """Tell whether all threads of a process sleep in a call."""
    try:
        states = [
            (task / "stat").read_text().rpartition(")")[2].split()[0]
            for task in (PROC / str(pid) / "task").iterdir()
        ]
    except OSError:
        return False
    return all(state == "S" for state in states)


def is_traced(pid: int) -> bool:
    """Tell whether somebody traces a thread of the process."""
    for task in (PROC / str(pid) / "task").iterdir():
        # A thread may end between the two looks.
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            if status_of(pid, int(task.name))["TracerPid"] != "0":
                return True
    return False


def objects() -> set[tuple[str, int]]:
    """Return the System V objects that there are: kind and id."""
    found = set()
    for kind in ("shm", "sem", "msg"):
        _head, *lines = (PROC / "sysvipc" / kind).read_text().splitlines()
        found |= {(kind, int(line.split()[1])) for line in lines}
    return found


def remove_objects(those: set[tuple[str, int]]) -> None:
    """Remove System V objects."""
    libc = ctypes.CDLL(None)
    for kind, number in those & objects():
        first = (number, 0) if kind == "sem" else (number,)
        getattr(libc, f"{kind}ctl")(*first, 0, None)


def wait_until(
    condition: Callable[[], object], what: str, *, timeout_s: float = 30
) -> None:
    """
    Return as soon as a condition holds.

    Raises:
        TimeoutError: It did not come true in time; says `what` was waited for.
    """
    end = time.monotonic() + timeout_s * PATIENCE
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError(f"{what}: not within {timeout_s} s")
        time.sleep(0.005)


def _maps(folder: Path) -> Iterator[str]:
    """Yield the mappings; neighbours that differ in nothing are one."""
    last: tuple[int, int, str, int, str] | None = None
    for line in (folder / "maps").read_text().splitlines():
        area, flags, offset, _, inode, *rest = line.split(None, 5)
        start, end = (int(part, 16) for part in area.split("-"))
        path, at = (rest[0] if rest else ""), int(offset, 16)
        if path == "/dev/zero (deleted)":
            path = "shared memory"
        if last and (last[1], last[2], last[4]) == (start, flags, path):
            follows = inode == "0" or last[3] + last[1] - last[0] == at
            if follows:
                last = (last[0], end, flags, last[3], path)
                continue
        if last:
            yield _line(*last)
        last = (start, end, flags, at, path)
    if last:
        yield _line(*last)


def _line(start: int, end: int, flags: str, offset: int, path: str) -> str:
    return f"{start:x}-{end:x} {flags} {offset:x} {path}"


def _descriptors(folder: Path) -> Iterator[str]:
    """Yield descriptors above the standard ones; what has no name is counted."""
    seen: dict[str, str] = {}
    for fd in sorted(int(entry.name) for entry in (folder / "fd").iterdir()):
        if fd < 3:
            continue
        target = str((folder / f"fd/{fd}").readlink())
        if re.fullmatch(r"(pipe|socket):\[\d+\]", target):
            kind = target.partition(":")[0]
            target = seen.setdefault(target, f"{kind} {len(seen)}")
        status = (folder / f"fd/{fd}").stat()
        if stat.S_ISREG(status.st_mode) and status.st_nlink:
            target = f"file {status.st_dev}:{status.st_ino}"
        elif target.endswith(" (deleted)"):
            target = f"something deleted in {Path(target).parent}"
        lines = (folder / f"fdinfo/{fd}").read_text().split("\n")
        info = [line for line in lines if line.startswith(("pos:", "flags:"))]
        if target.startswith(_TERMINALS):
            # How large a file may be means nothing here.
            info = [_without_large_files(line) for line in info]
        yield f"{fd} {target} " + " ".join(" ".join(line.split()) for line in info)


def _without_large_files(line: str) -> str:
    """Return a line of fdinfo without O_LARGEFILE (asm-generic/fcntl.h)."""
    name, value = line.split("\t")
    if name != "flags:":
        return line
    return f"{name}\t0{int(value, 8) & ~0o100000:o}"


def _threads(folder: Path) -> Iterator[ThreadView]:
    for task in (folder / "task").iterdir():
        try:
            status = status_of(int(folder.name), int(task.name))
        except ProcessLookupError:
            # It has ended since the folder was listed.
            continue
        tid = int(status["NSpid"].split()[-1])
        yield ThreadView(tid, status["Name"], status["SigPnd"], status["SigBlk"])


def is_own_child(pid: int) -> bool:
    """Tell whether the process is a child of this one."""
    try:
        return status_of(pid)["PPid"] == str(os.getpid())
    except OSError:
        return False
