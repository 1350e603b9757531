"""
System V objects of a machine: semaphores, message queues and segments.

They are the machine's own, which is like an IPC namespace: nobody outside sees them.

Source: sysvipc(7), semop(2), msgop(2), shmop(2); ipc/ of Linux 6.12.
"""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Iterator, Mapping, Sequence

from blcr.annotations import TYPE_CHECKING
from blcr.context import records
from blcr.host.emulated.memory import Ram, SharedObject, pages_of
from blcr.host.emulated.tasks import Blocked, Guest, Wait

if TYPE_CHECKING:
    from blcr.host.emulated.machine import Machine

_FIRST_ID = 1000
PRIVATE, CREATE, EXCLUSIVE, NO_WAIT = 0, 0o1000, 0o2000, 0o4000
"""``IPC_*``; linux/ipc.h."""
DESTROYED = 0o1000
"""SHM_DEST: the segment goes with its last attachment."""
MOST_VALUE = 32767
"""SEMVMX."""
_CAPACITY = 16384
"""MSGMNB: bytes of a queue."""
_PERMISSIONS = 0o777


def _fail(code: int) -> OSError:
    return OSError(code, os.strerror(code))


class Object:
    """What all of them have: id, key, permission bits, owner and maker, times in s."""

    def __init__(self, key: int, mode: int) -> None:
        self.id = 0
        self.key = key
        self.mode = mode
        self.uid = self.cuid = os.geteuid()
        self.gid = self.cgid = os.getegid()
        self.ctime = int(time.time())

    def require(self, wanted: int) -> None:
        """
        Check permission to read (4) and write (2).

        Raises:
            OSError: EACCES.
        """
        uid, gid = os.geteuid(), os.getegid()
        shift = 0
        if uid in (self.uid, self.cuid):
            shift = 6
        elif {gid, *os.getgroups()} & {self.gid, self.cgid}:
            shift = 3
        if uid and wanted & ~(self.mode >> shift):
            raise _fail(errno.EACCES)

    def require_owner(self) -> None:
        """
        Check that guests may remove and change it.

        Raises:
            OSError: EPERM.
        """
        if os.geteuid() not in (0, self.uid, self.cuid):
            raise _fail(errno.EPERM)

    def record(self) -> records.IpcObject:
        """Return what it is."""
        return records.IpcObject(self.id, self.key, self.uid, self.gid)


class Semaphores(Object):
    """A set of semaphores: values, and who has changed each last."""

    def __init__(self, key: int, mode: int, values: Sequence[int]) -> None:
        super().__init__(key, mode)
        self.values = list(values)
        self.pids = [0] * len(self.values)
        self.otime = 0
        self.undo: dict[int, list[int]] = {}
        """What is to be added when a guest ends, by its id."""

    def set(self, number: int, value: int, pid: int) -> None:
        """Set a value, whatever guests were to undo."""
        self.values[number], self.pids[number] = value, pid
        for kept in self.undo.values():
            kept[number] = 0


class Queue(Object):
    """A message queue: type and text of each message, in order."""

    def __init__(self, key: int, mode: int) -> None:
        super().__init__(key, mode)
        self.messages: list[tuple[int, bytes]] = []
        self.capacity = _CAPACITY
        self.stime = self.rtime = self.lspid = self.lrpid = 0

    @property
    def size(self) -> int:
        """Bytes of all messages."""
        return sum(len(text) for _kind, text in self.messages)


class Segment(Object):
    """A segment of shared memory."""

    def __init__(self, key: int, mode: int, ram: Ram, size: int) -> None:
        super().__init__(key, mode)
        self.size = size
        self.memory = SharedObject(ram, pages_of(size))
        self.atime = self.dtime = self.cpid = self.lpid = 0


class Objects:
    """All that a machine has, by id."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self._next = _FIRST_ID
        self.semaphores: dict[int, Semaphores] = {}
        self.queues: dict[int, Queue] = {}
        self.segments: dict[int, Segment] = {}

    def new_id(self) -> int:
        """Return an id that no object has or has had."""
        self._next += 1
        return self._next - 1

    def attached(self, segment: Segment) -> int:
        """Return how many mappings show a segment."""
        guests = self._machine.guests.values()
        spaces = {id(one.space): one.space for one in guests if one.threads}
        return sum(
            area.backing.shared is segment.memory
            for space in spaces.values()
            for area in space.areas
        )

    def sweep(self) -> None:
        """Forget destroyed segments that nobody has attached any more."""
        for number, segment in list(self.segments.items()):
            if segment.mode & DESTROYED and not self.attached(segment):
                del self.segments[number]

    def segment_of(self, memory: SharedObject) -> Segment | None:
        """Return the segment that some shared memory is, if it is one."""
        found = (one for one in self.segments.values() if one.memory is memory)
        return next(found, None)

    # Waiting.

    def wait(self, *place: object, end: int | None = None) -> Blocked:
        """Return what has a thread wait until an object, `place[0]`, has changed."""
        wait = Wait(end, restarts=False)
        wait.place = place
        return Blocked(wait)

    def changed(self, one: Object) -> None:
        """Let those look again who wait for an object."""
        for thread in self._machine.threads():
            wait = thread.wait
            if wait is not None and wait.place and wait.place[0] is one:
                wait.woken = True

    def waiting(self, *place: object) -> int:
        """Return how many threads wait at a place."""
        return sum(
            thread.wait is not None and thread.wait.place == place
            for thread in self._machine.threads()
        )

    def undo(self, guest: Guest) -> None:
        """Do what a guest that ends has put off until then (SEM_UNDO)."""
        for one in self.semaphores.values():
            for number, by in enumerate(one.undo.pop(guest.pid, ())):
                if by:
                    value = one.values[number] + by
                    one.values[number] = min(max(0, value), MOST_VALUE)
                    one.pids[number] = guest.pid
                    self.changed(one)

    # Contexts.

    def saved(
        self,
    ) -> tuple[tuple[records.Semaphores, ...], tuple[records.MessageQueue, ...]]:
        """Return the records of all semaphores and queues."""
        return (
            tuple(
                records.Semaphores(
                    one.record(),
                    one.mode & _PERMISSIONS,
                    tuple(one.values),
                    tuple(_undone(one)),
                )
                for one in self.semaphores.values()
            ),
            tuple(
                records.MessageQueue(
                    one.record(),
                    one.mode & _PERMISSIONS,
                    one.capacity,
                    tuple(one.messages),
                )
                for one in self.queues.values()
            ),
        )

    def restore(self, context: records.Context, pids: Mapping[int, int]) -> list[int]:
        """
        Make the objects of a context; return those segments that were destroyed.

        They have to be, once more, when all who have attached them have done so.

        Args:
            pids: The ids of all processes by the saved ones.
        """
        for saved in context.semaphores:
            made = Semaphores(saved.ipc.key, saved.mode, saved.values)
            for pid, number, by in saved.undo:
                rows = made.undo.setdefault(pids.get(pid, pid), [0] * len(made.values))
                rows[number] = by
            self.semaphores[self._as(made, saved.ipc)] = made
        for one in context.message_queues:
            queue = Queue(one.ipc.key, one.mode)
            queue.capacity, queue.messages = one.capacity, list(one.messages)
            self.queues[self._as(queue, one.ipc)] = queue
        doomed = []
        for memory in context.shared_memory:
            if memory.kind == "sysv" and memory.ipc:
                ipc, mode = memory.ipc, memory.mode & _PERMISSIONS
                segment = Segment(ipc.key, mode, self._machine.ram, memory.size)
                self.segments[self._as(segment, ipc)] = segment
                if memory.mode & DESTROYED:
                    doomed.append(ipc.id)
        return doomed

    def _as(self, made: Object, ipc: records.IpcObject) -> int:
        """Give an object its id and owner; return the id."""
        made.id, made.uid, made.gid = ipc.id, ipc.uid, ipc.gid
        self._next = max(self._next, ipc.id + 1)
        return made.id


def _undone(one: Semaphores) -> Iterator[tuple[int, int, int]]:
    """Yield process, number and what is to be added, of what is not zero."""
    for pid, rows in one.undo.items():
        for number, by in enumerate(rows):
            if by:
                yield pid, number, by


def keyed(table: Mapping[int, Object], key: int, flags: int) -> int:
    """
    Return the id of the object with a key; -1: one has to be made.

    Raises:
        OSError: ENOENT, EEXIST, EACCES.
    """
    if key == PRIVATE:
        return -1
    found = next((one for one in table.values() if one.key == key), None)
    if found is None:
        if not flags & CREATE:
            raise _fail(errno.ENOENT)
        return -1
    if flags & CREATE and flags & EXCLUSIVE:
        raise _fail(errno.EEXIST)
    found.require((flags | flags >> 3 | flags >> 6) & 7)
    return found.id
