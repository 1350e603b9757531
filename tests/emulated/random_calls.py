"""
Makes system calls at random in machines, and says which end in anything but an answer.

    python random_calls.py PROGRAM SEED COUNT

PROGRAM is loaded and never runs.  What is made of files is made in the current folder.
"""

from __future__ import annotations

import os
import signal
import sys
import traceback
from contextlib import suppress
from random import Random

from blcr.host.emulated.machine import Machine
from blcr.host.emulated.memory import READ, WRITE, Area
from blcr.host.emulated.tasks import Blocked, Ended, Thread

AT, SIZE = 0x2000_0000, 0x1_0000
EACH = 400
"""Calls for each machine."""
LIMIT_S = 10
# What ends, or has another program begin, or takes long.
LEFT_OUT = {"exit", "exit_group", "execve", "execveat", "sync", "syncfs"}


def main(program: str, seed: int, count: int) -> None:
    """Make so many calls."""
    rng = Random(seed)
    signal.signal(signal.SIGALRM, _give_up)
    # What programs say goes nowhere; not to /dev/null, whose mode they change.
    report = sys.stderr = os.fdopen(os.dup(2), "w")
    nothing = os.memfd_create("nothing")
    for fd in (0, 1, 2):
        os.dup2(nothing, fd)
    thread = _begin(program, rng)
    for made in range(count):
        if not made % EACH or thread.tid not in thread.guest.threads:
            _end(thread)
            thread = _begin(program, rng)
        found = _try(thread, rng)
        if found:
            print(found, file=report, flush=True)


class Hanging(BaseException):
    """A call takes too long."""


def _give_up(*_: object) -> None:
    raise Hanging


def _begin(program: str, rng: Random) -> Thread:
    """Return a thread with some memory and descriptors of all kinds."""
    guest = Machine().start([program], {})
    space, thread = guest.space, guest.leader
    space.add(Area(AT, AT + SIZE, READ | WRITE))
    space.write(AT, b"file\0")
    space.write(AT + 0x1000, b"other\0")
    space.write(AT + 0x2000, rng.randbytes(0x1000))
    space.write(AT + 0x4000, b"\xff" * 0x1000)
    calls = {entry.name: entry for entry in guest.machine.calls(guest.arch).values()}
    here = guest.constants["AT_FDCWD"]
    flags = guest.constants["O_RDWR"] | guest.constants["O_CREAT"]
    for name, *args in (
        *(("pipe2", AT + 0x3000), ("epoll_create1",), ("eventfd2", 1)),
        *(("timerfd_create", 1), ("signalfd4", -1, AT + 0x2000, 8), ("inotify_init1",)),
        *(("socketpair", 1, 1, 0, AT + 0x3000), ("socketpair", 1, 2, 0, AT + 0x3000)),
        *(("openat", here, AT, flags, 0o600), ("memfd_create", AT, 2)),
        *(("socket", 2, 1), ("socket", 2, 2)),
    ):
        entry = calls.get(name)
        if entry is not None:  # Some have socketcall(2) instead.
            # What the name stands for may have become something else.
            with suppress(OSError):
                entry.function(thread, *(*args, *[0] * 6)[: entry.arity])
    return thread


def _end(thread: Thread) -> None:
    table = thread.guest.descriptors
    for fd, _ in list(table):
        table.close(fd)


def _try(thread: Thread, rng: Random) -> str:
    """Make a call; return what is wrong with how it ended, or nothing."""
    guest = thread.guest
    entry = rng.choice(list(guest.machine.calls(guest.arch).values()))
    if entry.name in LEFT_OUT:
        return ""
    words = tuple(_word(guest.arch.word_size, guest.pid, rng) for _ in range(6))
    thread.resumed = thread.wait = thread.restore_mask = None
    signal.alarm(LIMIT_S)
    try:
        entry.function(thread, *entry.arguments(words))
    except Hanging:
        return f"{entry.name} {words} hangs\n{traceback.format_exc()}"
    except (OSError, Blocked, Ended):
        return ""
    except Exception:
        return f"{entry.name} {words}\n{traceback.format_exc()}"
    finally:
        signal.alarm(0)
    return ""


def _word(size: int, pid: int, rng: Random) -> int:
    """Return an argument as programs have them, or as they should not."""
    top = (1 << 8 * size) - 1
    small, place = rng.randrange(20), AT + 8 * rng.randrange(SIZE // 8)
    choices = (
        *(0, 1, 2, small, small, small, pid, 4096, 1 << 31, top, top - 99),
        *(AT, AT + 0x1000, AT + 0x4000, AT + 0x6000, AT + SIZE - 8, place, place),
        *(rng.getrandbits(8 * size), 1 << rng.randrange(8 * size)),
    )
    return rng.choice(choices)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
