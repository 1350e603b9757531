"""
Futexes: threads that wait until somebody says that a word of memory has changed.

Source: futex(2), get_robust_list(2); kernel/futex of Linux 6.12.
"""

from __future__ import annotations

import contextlib

from blcr.annotations import TYPE_CHECKING
from blcr.record import Record

if TYPE_CHECKING:
    from blcr.host.emulated.tasks import Guest, Thread

_ROBUST_LIMIT = 2048

Key = tuple[object, int]
"""What memory it is in, and where there."""


class Waiter(Record):
    """A thread in a queue, and which wake-ups are for it."""

    thread: Thread
    bits: int


class Futexes:
    """The queues of all futexes of the machine."""

    def __init__(self) -> None:
        self._queues: dict[Key, list[Waiter]] = {}

    @staticmethod
    def key(guest: Guest, address: int) -> Key:
        """Return what identifies the word at an address, for all who share it."""
        area = guest.space.find(address)
        if area is None or area.is_private:
            return (id(guest.space), address)
        file, _, shared = area.backing
        memory = (file.device, file.inode) if file else id(shared)
        return (memory, area.offset + address - area.start)

    def enter(self, thread: Thread, key: Key, bits: int) -> None:
        """Let a thread wait."""
        self._queues.setdefault(key, []).append(Waiter(thread, bits))

    def leave(self, thread: Thread) -> None:
        """Let a thread wait no longer, wherever it does."""
        for key, queue in list(self._queues.items()):
            rest = [waiter for waiter in queue if waiter.thread is not thread]
            if rest:
                self._queues[key] = rest
            else:
                del self._queues[key]

    def wake(self, key: Key, count: int, bits: int = 0xFFFF_FFFF) -> int:
        """Wake at most `count` threads, the longest waiting first; return how many."""
        woken = [w for w in self._queues.get(key, ()) if w.bits & bits][: max(count, 0)]
        for waiter in woken:
            self.leave(waiter.thread)
            if waiter.thread.wait is not None:
                waiter.thread.wait.result = 0
        return len(woken)

    def requeue(self, key: Key, target: Key, count: int) -> int:
        """Let at most `count` threads wait at another word; return how many."""
        queue = self._queues.get(key, [])
        moved, rest = queue[: max(count, 0)], queue[max(count, 0) :]
        self._queues.setdefault(target, []).extend(moved)
        self._queues[key] = rest
        return len(moved)

    def bequeath(self, thread: Thread) -> None:
        """Do what an ending thread leaves to do: robust futexes, its tid's word."""
        guest = thread.guest
        with contextlib.suppress(OSError):  # the list may make no sense
            self._release_robust(thread)
        if thread.clear_child_tid and (len(guest.threads) > 1 or guest.space.users > 1):
            try:
                guest.store_int(thread.clear_child_tid, 0)
            except OSError:
                return
            self.wake(self.key(guest, thread.clear_child_tid), 1)

    def _release_robust(self, thread: Thread) -> None:
        guest, (head, _) = thread.guest, thread.robust_list
        if not head:
            return
        row = guest.fetch("robust_list_head", head)
        at, pending = row["list"], row["list_op_pending"]
        for _ in range(_ROBUST_LIMIT):
            if at & ~1 == head:
                break
            following = guest.fetch_word(at & ~1)
            if at != pending:
                self._mark_dead(thread, (at & ~1) + row["futex_offset"])
            at = following
        if pending:
            self._mark_dead(thread, (pending & ~1) + row["futex_offset"])

    def _mark_dead(self, thread: Thread, address: int) -> None:
        guest, names = thread.guest, thread.guest.constants
        word = guest.fetch_int(address)
        if word & names["FUTEX_TID_MASK"] != thread.tid:
            return
        waiters = word & names["FUTEX_WAITERS"]
        guest.store_int(address, names["FUTEX_OWNER_DIED"] | waiters)
        if waiters:
            self.wake(self.key(guest, address), 1)
