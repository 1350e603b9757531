"""
Waiting for descriptors.

Source: poll(2), select(2), epoll_wait(2), eventfd(2), timerfd_create(2).
"""

from __future__ import annotations

import errno
import os
import select
from collections.abc import Callable

from blcr.host.emulated.calls.signals import use_mask
from blcr.host.emulated.calls.table import call, fail, only, timed
from blcr.host.emulated.calls.time import fetch_time, store_time
from blcr.host.emulated.files import OpenFile, to_guest_flags
from blcr.host.emulated.tasks import Blocked, Guest, Thread, Wait, signed

_NS_IN_MS = 10**6
_SELECT_LIMIT = 1024


def ready(fd: int, events: int) -> int:
    """Return which of some ``POLL*`` events a descriptor of ours has now."""
    poll = select.poll()
    poll.register(fd, events)
    found = poll.poll(0)
    return found[0][1] if found else 0


def wait_for(file: OpenFile, events: int, guest: Guest, *, progress: int = 0) -> None:
    """
    Return if a file is ready; otherwise EAGAIN if it is set so, or wait.

    Raises:
        Blocked: The calling thread has to wait.
    """
    if not file.can_wait or ready(file.fd, events):
        return
    if file.flags & guest.constants["O_NONBLOCK"]:
        raise fail(errno.EAGAIN)
    raise Blocked(Wait(events=((file.fd, events),), progress=progress))


def _milliseconds(thread: Thread, timeout: int) -> int | None:
    """Return the deadline of a timeout in milliseconds; negative: none."""
    value = signed(timeout)
    return thread.deadline(None if value < 0 else value * _NS_IN_MS)


def _is_over(thread: Thread, end: int | None) -> bool:
    return end is not None and thread.guest.machine.monotonic() >= end


def _poll(
    thread: Thread,
    fds: int,
    count: int,
    end: int | None,
    *,
    restarts: bool,
    interrupt: Callable[[], None] | None = None,
) -> int:
    guest = thread.guest
    row = guest.structure("pollfd")
    if count > guest.descriptors.limit:
        raise fail(errno.EINVAL)
    data = guest.space.read(fds, row.size * count)
    rows = [
        row.unpack(data[at : at + row.size]) for at in range(0, len(data), row.size)
    ]
    events: list[tuple[int, int]] = []
    found = 0
    for entry in rows:
        entry["revents"] = 0
        if entry["fd"] < 0:
            continue
        try:
            file = guest.descriptors.get(entry["fd"])
        except OSError:
            entry["revents"] = select.POLLNVAL
        else:
            wanted = entry["events"] & 0xFFFF
            events.append((file.fd, wanted))
            entry["revents"] = ready(file.fd, wanted)
        found += bool(entry["revents"])
    if not found and not _is_over(thread, end):
        wait = Wait(end, tuple(events), restarts=restarts, interrupt=interrupt)
        raise Blocked(wait)
    guest.space.write(fds, b"".join(row.pack(**entry) for entry in rows))
    return found


@call("poll")
def poll(thread: Thread, fds: int, count: int, timeout: int) -> int:
    """Wait until one of some descriptors is ready."""
    return _poll(thread, fds, count, _milliseconds(thread, timeout), restarts=False)


@timed(ppoll="timespec", ppoll_time64="timespec64")
def ppoll(
    thread: Thread, unit: str, fds: int, count: int, timeout: int, mask: int, size: int
) -> int:
    """Wait for descriptors with other signals blocked."""
    use_mask(thread, mask, size)
    end, left = _time_left(thread, unit, timeout)
    result = _poll(thread, fds, count, end, restarts=False, interrupt=left)
    left()
    return result


def _time_left(
    thread: Thread, unit: str, timeout: int
) -> tuple[int | None, Callable[[], None]]:
    """Return a deadline, and what writes the time left back as Linux does."""
    guest = thread.guest
    end = thread.deadline(fetch_time(guest, unit, timeout) if timeout else None)

    def write() -> None:
        if timeout and end is not None:
            left = max(0, end - guest.machine.monotonic())
            store_time(guest, unit, timeout, left)

    return end, write


def _select(
    thread: Thread,
    count: int,
    sets: tuple[int, int, int],
    end: int | None,
    left: Callable[[], None],
) -> int:
    guest = thread.guest
    count = signed(count)
    if not 0 <= count <= _SELECT_LIMIT:
        raise fail(errno.EINVAL)
    word = 8 * guest.arch.word_size
    words = -(-count // word)
    kinds = (
        (select.POLLIN, select.POLLIN | select.POLLHUP | select.POLLERR),
        (select.POLLOUT, select.POLLOUT | select.POLLERR),
        (select.POLLPRI, select.POLLPRI),
    )
    found, events = 0, []
    results = []
    for address, (wanted, meaning) in zip(sets, kinds, strict=True):
        result = 0
        members = _read_set(guest, address, words) if address else 0
        for fd in range(count):
            if members >> fd & 1:
                file = guest.descriptors.get(fd)
                events.append((file.fd, wanted))
                if ready(file.fd, wanted) & meaning:
                    result |= 1 << fd
                    found += 1
        results.append(result)
    if not found and not _is_over(thread, end):
        wait = Wait(end, tuple(events), restarts=False, interrupt=left)
        raise Blocked(wait)
    for address, result in zip(sets, results, strict=True):
        if address:
            _write_set(guest, address, words, result)
    left()
    return found


def _read_set(guest: Guest, address: int, words: int) -> int:
    size, members = guest.arch.word_size, 0
    for i in range(words):
        members |= guest.fetch_word(address + size * i) << 8 * size * i
    return members


def _write_set(guest: Guest, address: int, words: int, members: int) -> None:
    size = guest.arch.word_size
    for i in range(words):
        guest.store_int(address + size * i, members >> 8 * size * i, size)


@call("select", "_newselect")
def select_(
    thread: Thread, count: int, reads: int, writes: int, others: int, timeout: int
) -> int:
    """Wait until one of some descriptors is ready."""
    end, left = _time_left(thread, "timeval", timeout)
    return _select(thread, count, (reads, writes, others), end, left)


@timed(pselect6="timespec", pselect6_time64="timespec64")
def pselect6(
    thread: Thread,
    unit: str,
    count: int,
    reads: int,
    writes: int,
    others: int,
    timeout: int,
    mask: int,
) -> int:
    """Wait for descriptors with other signals blocked."""
    if mask:
        row = thread.guest.fetch("sigset_argpack", mask)
        use_mask(thread, row["mask"], row["size"])
    end, left = _time_left(thread, unit, timeout)
    return _select(thread, count, (reads, writes, others), end, left)


@call("epoll_create1")
def epoll_create1(thread: Thread, flags: int) -> int:
    """Make a set of descriptors to wait for."""
    guest = thread.guest
    only(thread, "epoll_create1", "EPOLL_", flags, "EPOLL_CLOEXEC")
    with select.epoll() as made:
        fd = os.dup(made.fileno())
    file = OpenFile(fd, "epoll", "anon_inode:[eventpoll]", os.O_RDWR)
    return guest.descriptors.add(
        file, cloexec=bool(flags & guest.constants["EPOLL_CLOEXEC"])
    )


@call("epoll_create")
def epoll_create(thread: Thread, size: int) -> int:
    """Make a set of descriptors to wait for."""
    if signed(size) <= 0:
        raise fail(errno.EINVAL)
    return epoll_create1(thread, 0) or 0


@call("epoll_ctl")
def epoll_ctl(thread: Thread, epfd: int, operation: int, fd: int, event: int) -> int:
    """Change a set of descriptors to wait for."""
    guest, names = thread.guest, thread.guest.constants
    epoll, fd = thread.guest.descriptors.of_kind("epoll", signed(epfd)), signed(fd)
    target = guest.descriptors.get(fd)
    set_ = select.epoll.fromfd(os.dup(epoll.fd))
    try:
        if operation == names["EPOLL_CTL_DEL"]:
            set_.unregister(target.fd)
            epoll.interest.pop(target.fd, None)
            return 0
        row = guest.fetch("epoll_event", event)
        if operation == names["EPOLL_CTL_ADD"]:
            set_.register(target.fd, row["events"])
        elif operation == names["EPOLL_CTL_MOD"]:
            set_.modify(target.fd, row["events"])
        else:
            raise fail(errno.EINVAL)
        epoll.interest[target.fd] = (fd, row["events"], row["data"])
    finally:
        set_.close()
    return 0


def _epoll_wait(
    thread: Thread, epfd: int, events: int, limit: int, end: int | None
) -> int:
    guest, epoll = thread.guest, thread.guest.descriptors.of_kind("epoll", signed(epfd))
    if signed(limit) <= 0:
        raise fail(errno.EINVAL)
    set_ = select.epoll.fromfd(os.dup(epoll.fd))
    try:
        found = set_.poll(0, signed(limit))
    finally:
        set_.close()
    if not found and not _is_over(thread, end):
        wait = Wait(end, ((epoll.fd, select.POLLIN),), restarts=False)
        raise Blocked(wait)
    structure = guest.structure("epoll_event")
    for i, (fd, mask) in enumerate(found):
        _, _, data = epoll.interest[fd]
        address = events + i * structure.size
        guest.space.write(address, structure.pack(events=mask, data=data))
    return len(found)


@call("epoll_wait")
def epoll_wait(thread: Thread, epfd: int, events: int, limit: int, timeout: int) -> int:
    """Wait for the descriptors of a set."""
    return _epoll_wait(thread, epfd, events, limit, _milliseconds(thread, timeout))


@call("epoll_pwait")
def epoll_pwait(
    thread: Thread,
    epfd: int,
    events: int,
    limit: int,
    timeout: int,
    mask: int,
    size: int,
) -> int:
    """Wait for the descriptors of a set with other signals blocked."""
    use_mask(thread, mask, size)
    return _epoll_wait(thread, epfd, events, limit, _milliseconds(thread, timeout))


@call("epoll_pwait2")
def epoll_pwait2(
    thread: Thread,
    epfd: int,
    events: int,
    limit: int,
    timeout: int,
    mask: int,
    size: int,
) -> int:
    """Wait for the descriptors of a set, with a timeout in ns."""
    use_mask(thread, mask, size)
    timespec = fetch_time(thread.guest, "timespec64", timeout) if timeout else None
    return _epoll_wait(thread, epfd, events, limit, thread.deadline(timespec))


@call("eventfd2")
def eventfd2(thread: Thread, value: int, flags: int) -> int:
    """Make a counter to wait at."""
    guest, names = thread.guest, thread.guest.constants
    only(thread, "eventfd2", "EFD_", flags, "EFD_SEMAPHORE EFD_CLOEXEC EFD_NONBLOCK")
    host = os.EFD_CLOEXEC
    if flags & names["EFD_SEMAPHORE"]:
        host |= os.EFD_SEMAPHORE
    if flags & names["EFD_NONBLOCK"]:
        host |= os.EFD_NONBLOCK
    fd = os.eventfd(value & 0xFFFF_FFFF, host)
    guest_flags = to_guest_flags(guest.constants, os.O_RDWR)
    if flags & names["EFD_NONBLOCK"]:
        guest_flags |= names["O_NONBLOCK"]
    file = OpenFile(fd, "eventfd", "anon_inode:[eventfd]", guest_flags)
    return guest.descriptors.add(file, cloexec=bool(flags & names["EFD_CLOEXEC"]))


@call("eventfd")
def eventfd(thread: Thread, value: int) -> int:
    """Make a counter to wait at."""
    return eventfd2(thread, value, 0) or 0
