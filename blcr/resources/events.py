"""
Open files that tell of events: eventfd, timerfd, signalfd, epoll, inotify, pidfd.

Source: eventfd(2), timerfd_create(2), signalfd(2), epoll(7), inotify(7), pidfd_open(2).
"""

from __future__ import annotations

import os
from collections.abc import Sequence

from blcr import remote
from blcr.context import records
from blcr.errors import RefusedError, RemoteCallError
from blcr.host.interface import DescriptorFacts, Process
from blcr.linux import structures
from blcr.resources.opening import Opening

_NS = 1_000_000_000
_EVENTFD_FIRST = (1 << 31) - 1
"""With more than that an eventfd is not begun but filled."""


def open_eventfd(opening: Opening, target: int, file: records.OpenFile) -> int:
    """Make an eventfd with its counter and mode."""
    del target
    counter, semaphore = file.state[0]
    known = opening.known
    flags = file.flags & known["O_NONBLOCK"] | opening.cloexec
    flags |= known["EFD_SEMAPHORE"] if semaphore else 0
    fits = counter <= _EVENTFD_FIRST
    fd = opening.task.call("eventfd2", counter if fits else 0, flags)
    if not fits:
        order = opening.process.arch.layout.byteorder
        remote.call(opening.task, "write", fd, counter.to_bytes(8, order), 8)
    return fd


def open_timerfd(opening: Opening, target: int, file: records.OpenFile) -> int:
    """Make a timerfd; it is set by `set_timers`, when little is left to be done."""
    clock = file.state[0][0]
    flags = file.flags & opening.known["O_NONBLOCK"] | opening.cloexec
    try:
        return opening.task.call("timerfd_create", clock, flags)
    except RemoteCallError as error:
        raise opening.error(
            f"descriptor {target}: a timerfd of clock {clock} cannot be made: "
            f"{os.strerror(error.errno)}",
            error,
        ) from error


def set_timers(opening: Opening) -> None:
    """Set the timers of timerfds, with the time that was left of them."""
    for fd, file in _opened(opening, "timerfd"):
        clock, flags, value, interval, ticks = file.state[0]
        known = opening.known
        real_time = (known["CLOCK_REALTIME"], known["CLOCK_REALTIME_ALARM"])
        if clock not in real_time or not flags & known["TFD_TIMER_ABSTIME"]:
            flags = 0
        if value or interval:
            _set_timer(opening, fd, flags, value or 1, interval)
        if ticks:
            opening.process.set_timer_ticks(fd, ticks)


def _set_timer(
    opening: Opening, fd: int, flags: int, value: int, interval: int
) -> None:
    """Set a timer, by the call that this architecture has for 64-bit times."""
    arch = opening.process.arch
    wide = "timerfd_settime64" in arch.syscalls
    layout = structures.of(arch, "itimerspec64" if wide else "itimerspec")
    packed = layout.pack(
        interval={"sec": interval // _NS, "nsec": interval % _NS},
        value={"sec": value // _NS, "nsec": value % _NS},
    )
    call = "timerfd_settime64" if wide else "timerfd_settime"
    remote.call(opening.task, call, fd, flags, packed, 0)


def open_signalfd(opening: Opening, target: int, file: records.OpenFile) -> int:
    """Make a signalfd with its signals."""
    del target
    packed = structures.of(opening.process.arch, "sigset").pack(mask=file.state[0][0])
    flags = file.flags & opening.known["O_NONBLOCK"]
    return remote.call(opening.task, "signalfd4", -1, packed, len(packed), flags)


def open_pidfd(opening: Opening, target: int, file: records.OpenFile) -> int:
    """Open a pidfd of a process, or of a thread of the process itself."""
    del target
    known = opening.known
    ids = [thread.tid for thread in opening.record.threads]
    number = file.state[0][0]
    if number in ids:
        number = opening.process.tasks[ids.index(number)].tid
    else:
        number = opening.sharing.pids[number]
    flags = file.flags & (known["O_NONBLOCK"] | known["O_EXCL"])
    return opening.task.call("pidfd_open", number, flags)


def open_inotify(opening: Opening, target: int, file: records.OpenFile) -> int:
    """Make an inotify; `watch_files` fills it when nothing of ours disturbs it."""
    del target
    flags = file.flags & opening.known["O_NONBLOCK"] | opening.cloexec
    return opening.task.call("inotify_init1", flags)


def watch_files(opening: Opening) -> None:
    """Let inotifies watch what they watched, under the same watch descriptors."""
    for fd, file in _opened(opening, "inotify"):
        for watch in file.watches:
            _watch(opening, fd, watch)


def try_watches(opening: Opening) -> None:
    """
    Watch the same with an inotify of our own, while nothing has been changed yet.

    Raises:
        RestartError: A file cannot be watched.
    """
    for fd, file in _opened(opening, "inotify"):
        trial = opening.task.call("inotify_init1", 0)
        try:
            for watch in file.watches:
                # What was made to take its place is there already.
                if watch.path not in opening.absent:
                    _add_watch(opening, trial, fd, watch)
        finally:
            opening.close(trial)


def _watch(opening: Opening, fd: int, watch: records.Watch) -> None:
    """Add one watch, under its number."""
    opening.task.call("ioctl", fd, opening.known["INOTIFY_IOC_SETNEXTWD"], watch.wd)
    if _add_watch(opening, fd, fd, watch) != watch.wd:
        raise opening.error(
            f"descriptor {fd} (inotify): watch {watch.wd} cannot be made again"
        )


def _add_watch(opening: Opening, to: int, fd: int, watch: records.Watch) -> int:
    """Add a watch of descriptor `fd` to an inotify; return its number."""
    mask = watch.mask | opening.known["IN_DONT_FOLLOW"]
    try:
        return remote.call(opening.task, "inotify_add_watch", to, watch.path, mask)
    except RemoteCallError as error:
        raise opening.error(
            f"'{watch.path}', which descriptor {fd} (inotify) watches, cannot be "
            f"watched: {os.strerror(error.errno)}",
            error,
        ) from error


def open_epoll(opening: Opening, target: int, file: records.OpenFile) -> int:
    """Make an epoll instance; `watch_descriptors` fills it when all is there."""
    del target, file
    return opening.task.call("epoll_create1", opening.cloexec)


def watch_descriptors(opening: Opening) -> None:
    """Let epoll instances watch what they watched."""
    for fd, file in _opened(opening, "epoll"):
        rows = [row[:3] for row in file.state]
        # First those that have told once and do so no more.
        for row in sorted(rows, key=lambda row: not _is_spent(opening, row[1])):
            _add(opening, fd, *row)


def _is_spent(opening: Opening, events: int) -> bool:
    """Tell whether events are those of a one-shot that has told."""
    known = opening.known
    kept = known["EPOLLONESHOT"] | known["EPOLLET"] | known["EPOLLWAKEUP"]
    return bool(events & known["EPOLLONESHOT"]) and not events & ~kept


def _add(opening: Opening, fd: int, watched: int, events: int, data: int) -> None:
    """
    Add a descriptor to an epoll instance.

    The kernel has every new one tell of errors.  So one that has told once and is to
    do so no more is made to tell, where anything can be told of it at this moment.
    """
    known, task = opening.known, opening.task
    layout = structures.of(opening.process.arch, "epoll_event")

    def control(operation: str, events: int) -> None:
        packed = layout.pack(events=events, data=data)
        remote.call(task, "epoll_ctl", fd, known[operation], watched, packed)

    if not _is_spent(opening, events):
        control("EPOLL_CTL_ADD", events)
        return
    anything = known["EPOLLIN"] | known["EPOLLOUT"] | known["EPOLLPRI"]
    control("EPOLL_CTL_ADD", events | anything)
    room = remote.Out(layout.size)
    if not remote.call(task, "epoll_pwait", fd, room, 1, 0, 0, 0):
        control("EPOLL_CTL_MOD", events)


def _opened(opening: Opening, kind: str) -> list[tuple[int, records.OpenFile]]:
    """Return the open files of a kind, with the descriptor that each is opened at."""
    return [
        (fd, opening.context.files[index])
        for index, fd in opening.first.items()
        if opening.context.files[index].kind == kind
    ]


def refuse_unwatched(process: Process, files: Sequence[DescriptorFacts]) -> None:
    """
    Refuse an epoll instance that watches a file under a number that now is another's.

    Raises:
        RefusedError: Naming the descriptor.
    """
    inodes = {one.fd: one.file.inode for one in files}
    for one in files:
        for fd, _events, _data, inode in (
            one.file.state if one.file.kind == "epoll" else ()
        ):
            if inode and inodes.get(fd) != inode:
                raise RefusedError(
                    process.pid,
                    f"descriptor {one.fd} (epoll) watches a file that is no longer "
                    f"descriptor {fd}",
                )
