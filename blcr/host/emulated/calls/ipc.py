"""
System V objects: see `blcr.host.emulated.ipc`.

Source: semget(2), semop(2), semctl(2), msgget(2), msgop(2), msgctl(2), shmget(2),
shmop(2), shmctl(2), ipc(2); ipc/ of Linux 6.12.
"""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Mapping, Sequence

from blcr.host.emulated import ipc as objects
from blcr.host.emulated.calls.memory import gap
from blcr.host.emulated.calls.table import call, fail, not_served, timed
from blcr.host.emulated.calls.time import fetch_time
from blcr.host.emulated.ipc import Object, Queue, Segment, Semaphores
from blcr.host.emulated.memory import PAGE, Area, Backing, pages_of
from blcr.host.emulated.tasks import Thread, signed

_RMID, _SET, _STAT = 0, 1, 2
_WIDE_STRUCTURES = 0x100
"""IPC_64: the structures are those of today."""
_READ, _WRITE = 4, 2
_PERMISSIONS = 0o777

_GETPID, _GETVAL, _GETALL, _GETNCNT, _GETZCNT, _SETVAL, _SETALL = range(11, 18)
_UNDO = 0x1000
_MOST_SEMAPHORES, _MOST_OPERATIONS = 32000, 500
"""SEMMSL and SEMOPM."""
_MOST_OBJECTS, _MOST_IN_ALL = 4096, 256_000
"""Objects of a kind, as SHMMNI has it, and semaphores of all sets: all are ours."""
_MOST_UNDONE = 16384
"""SEMAEM."""

_NO_ERROR, _EXCEPT, _COPY = 0o10000, 0o20000, 0o40000
_LONGEST = 8192
"""MSGMAX."""

_READ_ONLY, _ROUND, _REMAP, _EXECUTE = 0o10000, 0o20000, 0o40000, 0o100000
_HUGE = 0o4000
"""``SHM_*``; linux/shm.h."""
_PROTECT_READ, _PROTECT_WRITE, _PROTECT_EXECUTE = 1, 2, 4


def _now() -> int:
    return int(time.time())


def _control(thread: Thread, one: Object, structure: str, at: int) -> int:
    """Change owner and mode of an object, as a structure has them."""
    row = thread.guest.fetch(structure, at)
    one.require_owner()
    if isinstance(one, Queue) and row["qbytes"] > one.capacity and os.geteuid():
        raise fail(errno.EPERM)
    perm = row["perm"]
    one.uid, one.gid = perm["uid"], perm["gid"]
    one.mode = one.mode & ~_PERMISSIONS | perm["mode"] & _PERMISSIONS
    one.ctime = _now()
    if isinstance(one, Queue):
        one.capacity = row["qbytes"]
        thread.guest.machine.ipc.changed(one)
    return 0


def _perm(one: Object) -> dict[str, int]:
    """Return the fields of struct ipc_perm."""
    names = ("key", "uid", "gid", "cuid", "cgid", "mode")
    return {name: getattr(one, name) for name in names}


def _remove(
    thread: Thread, table: dict[int, Semaphores] | dict[int, Queue], one: Object
) -> int:
    """Remove an object; those who wait for it are told by EIDRM."""
    one.require_owner()
    del table[one.id]
    thread.guest.machine.ipc.changed(one)
    return 0


def _unknown(thread: Thread, name: str, command: int) -> OSError:
    return not_served(thread, name, "IPC_", command)


# Semaphores.


@call("semget")
def semget(thread: Thread, key: int, count: int, flags: int) -> int:
    """Return the id of a set of semaphores."""
    ipc, count = thread.guest.machine.ipc, signed(count)
    if not 0 <= count <= _MOST_SEMAPHORES:
        raise fail(errno.EINVAL)
    number = objects.keyed(ipc.semaphores, signed(key), flags)
    if number >= 0:
        if count > len(ipc.semaphores[number].values):
            raise fail(errno.EINVAL)
        return number
    if not count:
        raise fail(errno.EINVAL)
    in_all = sum(len(one.values) for one in ipc.semaphores.values())
    if in_all + count > _MOST_IN_ALL:
        raise fail(errno.ENOSPC)
    _require_room(ipc.semaphores)
    made = Semaphores(signed(key), flags & _PERMISSIONS, [0] * count)
    made.id = ipc.new_id()
    ipc.semaphores[made.id] = made
    return made.id


def _require_room(table: Mapping[int, Object]) -> None:
    """
    Check that there may be one more.

    Raises:
        OSError: ENOSPC.
    """
    if len(table) >= _MOST_OBJECTS:
        raise fail(errno.ENOSPC)


def _semaphores(thread: Thread, number: int) -> Semaphores:
    """Return a set; EIDRM if it is gone that has been waited for, or EINVAL."""
    found = thread.guest.machine.ipc.semaphores.get(signed(number))
    if found is None or signed(number) < 0:
        raise fail(errno.EIDRM if thread.resumed else errno.EINVAL)
    return found


@call("semop")
def semop(thread: Thread, number: int, operations: int, count: int) -> int:
    """Change semaphores, all at once, as soon as that is possible."""
    return _operate(thread, number, operations, count, None)


@timed(semtimedop="timespec", semtimedop_time64="timespec64")
def semtimedop(
    thread: Thread, unit: str, number: int, operations: int, count: int, timeout: int
) -> int:
    """Change semaphores, or give up after some time."""
    limit = fetch_time(thread.guest, unit, timeout) if timeout else None
    return _operate(thread, number, operations, count, limit)


def _operate(
    thread: Thread, number: int, operations: int, count: int, limit: int | None
) -> int:
    guest, ipc = thread.guest, thread.guest.machine.ipc
    count &= 0xFFFF_FFFF
    if not count or signed(number) < 0:
        raise fail(errno.EINVAL)
    if count > _MOST_OPERATIONS:
        raise fail(errno.E2BIG)
    size = guest.structure("sembuf").size
    rows = [guest.fetch("sembuf", operations + i * size) for i in range(count)]
    one = _semaphores(thread, number)
    if max(row["num"] for row in rows) >= len(one.values):
        raise fail(errno.EFBIG)
    one.require(_WRITE if any(row["op"] for row in rows) else _READ)
    values, undo = list(one.values), one.undo.get(guest.pid, [0] * len(one.values))[:]
    for row in rows:
        at, by = row["num"], row["op"]
        if values[at] if not by else values[at] + by < 0:
            if row["flg"] & objects.NO_WAIT:
                raise fail(errno.EAGAIN)
            end = thread.deadline(limit)
            if end is not None and guest.machine.monotonic() >= end:
                raise fail(errno.EAGAIN)
            raise ipc.wait(one, at, bool(by), end=end)
        values[at] += by
        if values[at] > objects.MOST_VALUE:
            raise fail(errno.ERANGE)
        if row["flg"] & _UNDO:
            undo[at] -= by
            if abs(undo[at]) > _MOST_UNDONE:
                raise fail(errno.ERANGE)
    one.values = values
    for row in rows:
        one.pids[row["num"]] = guest.pid
    if any(undo) or guest.pid in one.undo:
        one.undo[guest.pid] = undo
    one.otime = _now()
    ipc.changed(one)
    return 0


@call("semctl")
def semctl(thread: Thread, number: int, index: int, command: int, value: int) -> int:
    """Look at a set of semaphores, change or remove it."""
    guest, ipc = thread.guest, thread.guest.machine.ipc
    one, index = _semaphores(thread, number), signed(index)
    command = signed(command) & ~_WIDE_STRUCTURES
    if command == _RMID:
        return _remove(thread, ipc.semaphores, one)
    if command == _SET:
        return _control(thread, one, "semid64_ds", value)
    if command in (_STAT, _GETALL):
        one.require(_READ)
        if command == _STAT:
            fields = {"otime": one.otime, "ctime": one.ctime}
            count = len(one.values)
            guest.store("semid64_ds", value, perm=_perm(one), nsems=count, **fields)
            return 0
        for i, each in enumerate(one.values):
            guest.store_int(value + 2 * i, each, 2)
        return 0
    if command == _SETALL:
        one.require(_WRITE)
        found = [guest.fetch_int(value + 2 * i, 2) for i in range(len(one.values))]
        _set(thread, one, dict(enumerate(found)))
        return 0
    if not _GETPID <= command <= _SETVAL:
        raise _unknown(thread, "semctl", command)
    if not 0 <= index < len(one.values):
        raise fail(errno.EINVAL)
    if command == _SETVAL:
        one.require(_WRITE)
        if guest.arch.word_size == 8 and guest.arch.layout.byteorder == "big":
            # An int in a union that is as large as a pointer.
            value >>= 32
        _set(thread, one, {index: signed(value)})
        return 0
    one.require(_READ)
    told: Mapping[int, int] = {
        _GETPID: one.pids[index],
        _GETVAL: one.values[index],
        _GETNCNT: ipc.waiting(one, index, True),
        _GETZCNT: ipc.waiting(one, index, False),
    }
    return told[command]


def _set(thread: Thread, one: Semaphores, values: Mapping[int, int]) -> None:
    """Set values, by number."""
    if any(not 0 <= value <= objects.MOST_VALUE for value in values.values()):
        raise fail(errno.ERANGE)
    for number, value in values.items():
        one.set(number, value, thread.guest.pid)
    one.ctime = _now()
    thread.guest.machine.ipc.changed(one)


# Message queues.


@call("msgget")
def msgget(thread: Thread, key: int, flags: int) -> int:
    """Return the id of a message queue."""
    ipc = thread.guest.machine.ipc
    number = objects.keyed(ipc.queues, signed(key), flags)
    if number < 0:
        _require_room(ipc.queues)
        made = Queue(signed(key), flags & _PERMISSIONS)
        number = made.id = ipc.new_id()
        ipc.queues[number] = made
    return number


def _queue(thread: Thread, number: int) -> Queue:
    """Return a queue; EIDRM if it is gone that has been waited for, or EINVAL."""
    found = thread.guest.machine.ipc.queues.get(signed(number))
    if found is None:
        raise fail(errno.EIDRM if thread.resumed else errno.EINVAL)
    return found


@call("msgsnd")
def msgsnd(thread: Thread, number: int, message: int, size: int, flags: int) -> int:
    """Send a message, as soon as there is room for it."""
    guest = thread.guest
    if size > _LONGEST or signed(number) < 0:
        raise fail(errno.EINVAL)
    word = guest.arch.word_size
    kind = signed(guest.fetch_word(message), 8 * word)
    text = guest.space.read(message + word, size)
    if kind < 1:
        raise fail(errno.EINVAL)
    one = _queue(thread, number)
    one.require(_WRITE)
    if one.size + size > one.capacity or len(one.messages) >= one.capacity:
        if flags & objects.NO_WAIT:
            raise fail(errno.EAGAIN)
        raise guest.machine.ipc.wait(one, "send")
    one.messages.append((kind, text))
    one.lspid, one.stime = guest.pid, _now()
    guest.machine.ipc.changed(one)
    return 0


@call("msgrcv")
def msgrcv(
    thread: Thread, number: int, message: int, size: int, kind: int, flags: int
) -> int:
    """Receive the first message of a kind, as soon as there is one."""
    guest, word = thread.guest, thread.guest.arch.word_size
    kind = signed(kind, 8 * word)
    if signed(number) < 0 or signed(size, 8 * word) < 0:
        raise fail(errno.EINVAL)
    if flags & _COPY:
        raise not_served(thread, "msgrcv", "MSG_", _COPY, errno.ENOSYS)
    one = _queue(thread, number)
    one.require(_READ)
    at = _chosen(one.messages, kind, other=bool(flags & _EXCEPT))
    if at < 0:
        if flags & objects.NO_WAIT:
            raise fail(errno.ENOMSG)
        raise guest.machine.ipc.wait(one, "receive")
    found, text = one.messages[at]
    if len(text) > size and not flags & _NO_ERROR:
        raise fail(errno.E2BIG)
    del one.messages[at]
    one.lrpid, one.rtime = guest.pid, _now()
    guest.machine.ipc.changed(one)
    guest.store_int(message, found, word)
    guest.space.write(message + word, text[:size])
    return min(len(text), size)


def _chosen(messages: Sequence[tuple[int, bytes]], kind: int, *, other: bool) -> int:
    """Return the index of the message that is meant; -1: there is none."""
    kinds = [one for one, _text in messages]
    if kind < 0:
        fitting = [one for one in kinds if one <= -kind]
        return kinds.index(min(fitting)) if fitting else -1
    for at, one in enumerate(kinds):
        if not kind or (one == kind) != other:
            return at
    return -1


@call("msgctl")
def msgctl(thread: Thread, number: int, command: int, buffer: int) -> int:
    """Look at a message queue, change or remove it."""
    one, command = _queue(thread, number), signed(command) & ~_WIDE_STRUCTURES
    if command == _RMID:
        return _remove(thread, thread.guest.machine.ipc.queues, one)
    if command == _SET:
        return _control(thread, one, "msqid64_ds", buffer)
    if command != _STAT:
        raise _unknown(thread, "msgctl", command)
    one.require(_READ)
    names = ("stime", "rtime", "ctime", "lspid", "lrpid")
    thread.guest.store(
        "msqid64_ds",
        buffer,
        perm=_perm(one),
        cbytes=one.size,
        qnum=len(one.messages),
        qbytes=one.capacity,
        **{name: getattr(one, name) for name in names},
    )
    return 0


# Segments.


@call("shmget")
def shmget(thread: Thread, key: int, size: int, flags: int) -> int:
    """Return the id of a segment of shared memory."""
    guest, ipc = thread.guest, thread.guest.machine.ipc
    ipc.sweep()
    number = objects.keyed(ipc.segments, signed(key), flags)
    if number >= 0:
        if size > ipc.segments[number].size:
            raise fail(errno.EINVAL)
        return number
    if not size:
        raise fail(errno.EINVAL)
    if flags & _HUGE:
        raise not_served(thread, "shmget", "SHM_", _HUGE)
    if size > guest.space.ram.size:
        raise fail(errno.ENOMEM)
    _require_room(ipc.segments)
    made = Segment(signed(key), flags & _PERMISSIONS, guest.space.ram, size)
    made.id, made.cpid = ipc.new_id(), guest.pid
    ipc.segments[made.id] = made
    return made.id


def _segment(thread: Thread, number: int) -> Segment:
    ipc = thread.guest.machine.ipc
    ipc.sweep()
    found = ipc.segments.get(signed(number))
    if found is None:
        raise fail(errno.EINVAL)
    return found


@call("shmat")
def shmat(thread: Thread, number: int, address: int, flags: int) -> int:
    """Attach a segment."""
    guest, space, one = thread.guest, thread.guest.space, _segment(thread, number)
    one.require(_READ if flags & _READ_ONLY else _READ | _WRITE)
    size = pages_of(one.size)
    if flags & _ROUND:
        address &= -PAGE
    if address % PAGE or (flags & _REMAP and not address):
        raise fail(errno.EINVAL)
    if not address:
        address = gap(guest, size)
    elif address + size > space.limit or (
        not flags & _REMAP and space.overlapping(address, address + size)
    ):
        raise fail(errno.EINVAL)
    protection = _PROTECT_READ
    protection |= 0 if flags & _READ_ONLY else _PROTECT_WRITE
    protection |= _PROTECT_EXECUTE if flags & _EXECUTE else 0
    space.add(Area(address, address + size, protection, Backing(shared=one.memory)))
    one.lpid, one.atime = guest.pid, _now()
    return address


@call("shmdt")
def shmdt(thread: Thread, address: int) -> int:
    """Detach a segment: all that is left of the mapping made at an address."""
    guest, space = thread.guest, thread.guest.space
    ipc = guest.machine.ipc
    found = [
        (area, one)
        for area in space.areas
        if area.backing.shared and area.start - area.offset == address
        for one in [ipc.segment_of(area.backing.shared)]
        if one
    ]
    if address % PAGE or not found:
        raise fail(errno.EINVAL)
    one = found[0][1]
    for area, other in found:
        if other is one:
            space.remove(area.start, area.end)
    one.lpid, one.dtime = guest.pid, _now()
    ipc.sweep()
    return 0


@call("shmctl")
def shmctl(thread: Thread, number: int, command: int, buffer: int) -> int:
    """Look at a segment, change or remove it."""
    ipc, one = thread.guest.machine.ipc, _segment(thread, number)
    command = signed(command) & ~_WIDE_STRUCTURES
    if command == _RMID:
        one.require_owner()
        one.key, one.mode = objects.PRIVATE, one.mode | objects.DESTROYED
        ipc.sweep()
        return 0
    if command == _SET:
        return _control(thread, one, "shmid64_ds", buffer)
    if command != _STAT:
        raise _unknown(thread, "shmctl", command)
    one.require(_READ)
    names = ("atime", "dtime", "ctime", "cpid", "lpid")
    thread.guest.store(
        "shmid64_ds",
        buffer,
        perm=_perm(one),
        segsz=one.size,
        nattch=ipc.attached(one),
        **{name: getattr(one, name) for name in names},
    )
    return 0


# The one call for all of them that some architectures have.


@call("ipc")
def ipc(
    thread: Thread, which: int, first: int, second: int, third: int, at: int, last: int
) -> int:
    """Make one of the calls for System V objects."""
    version, which = which >> 16 & 0xFFFF, which & 0xFFFF
    guest, word = thread.guest, thread.guest.arch.word_size
    if which in (3, 14, 24):
        command = third if which == 3 else second
        _require_wide(thread, command)
    if which == 3:
        if not at:
            raise fail(errno.EINVAL)
        return semctl(thread, first, second, third, guest.fetch_word(at)) or 0
    if which == 4:
        return semtimedop(thread, "timespec", first, at, second, last) or 0
    if which == 12 and not version:
        kind = guest.fetch_word(at + word)
        return msgrcv(thread, first, guest.fetch_word(at), second, kind, third) or 0
    if which == 21 and version != 1:
        guest.store_int(third, shmat(thread, first, at, second) or 0, word)
        return 0
    made = {
        1: (semop, (first, at, second)),
        2: (semget, (first, second, third)),
        11: (msgsnd, (first, at, second, third)),
        12: (msgrcv, (first, at, second, last, third)),
        13: (msgget, (first, second)),
        14: (msgctl, (first, second, at)),
        22: (shmdt, (at,)),
        23: (shmget, (first, second, third)),
        24: (shmctl, (first, second, at)),
    }
    if which not in made:
        raise fail(errno.ENOSYS if which != 21 else errno.EINVAL)
    function, args = made[which]
    return function(thread, *args) or 0


def _require_wide(thread: Thread, command: int) -> None:
    """
    Refuse the structures of Linux 2.2.

    Raises:
        OSError: EINVAL.
    """
    if command in (_SET, _STAT):
        raise not_served(thread, "ipc", "IPC_", command)
