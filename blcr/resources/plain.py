"""
Plain descriptors: those that take no more than a few calls, made many at a time.

None of the calls may need what another one returns.  But a new descriptor has the
lowest number that is free, which is known once it has been asked for: what is rebuilt
comes in order of number, and a gap stays one.

Source: open(2), dup(2).
"""

from __future__ import annotations

from functools import partial

from blcr import remote
from blcr.context import records
from blcr.errors import RemoteCallError, RestartError
from blcr.resources.opening import Opening, not_opened

_WORTH = 16
"""Descriptors from which on to ask for the lowest number."""


class Plain:
    """
    Plain descriptors of a process, being rebuilt.

    Args:
        opening: Of all its descriptors.
    """

    def __init__(self, opening: Opening) -> None:
        self._opening = opening
        self._batch = remote.Batch(opening.process)
        self._lowest: int | None = None
        self._targets = {one.fd for one in opening.record.descriptors}
        self._worth = len(self._targets) >= _WORTH
        self._opened: list[records.Descriptor] = []

    def add(self, descriptor: records.Descriptor) -> bool:
        """Add a descriptor, the next one by number; False: it is not a plain one."""
        opening, known, target = self._opening, self._opening.known, descriptor.fd
        file = opening.context.files[descriptor.file]
        cloexec = known["O_CLOEXEC"] if descriptor.cloexec else 0
        first = opening.first.get(descriptor.file)
        if not self._worth or descriptor.file in opening.sharing.common_files:
            return False
        if first is not None:
            self._batch.add("dup3", first, target, cloexec)
            self._taken(target)
            return True
        if not _is_plain(file):
            return False
        made = self._number()
        done = partial(self._expect, made)
        if file.kind == "eventfd":
            counter, semaphore = file.state[0]
            flags = file.flags & known["O_NONBLOCK"] | cloexec
            flags |= known["EFD_SEMAPHORE"] if semaphore else 0
            self._batch.add("eventfd2", counter, flags, done=done)
        else:
            path, flags = opening.path_and_flags(file)
            failed = partial(self._not_opened, path, target)
            here = known["AT_FDCWD"]
            args = (here, path, flags | cloexec, 0)
            self._batch.add("openat", *args, done=done, failed=failed)
        if made != target:
            self._batch.add("dup3", made, target, cloexec)
            self._batch.add("close", made)
        self._taken(target)
        opening.first[descriptor.file] = target
        if file.kind == "file":
            self._opened.append(descriptor)
        return True

    def make(self) -> list[records.Descriptor]:
        """Make what has been added; return those of regular files among it."""
        self._batch.make()
        self._lowest = None
        opened, self._opened = self._opened, []
        return opened

    def _number(self) -> int:
        """Return the lowest number that is free once all that was added is made."""
        if self._lowest is None:
            self._batch.make()
            task, known = self._opening.task, self._opening.known
            self._lowest = task.call("eventfd2", 0, known["EFD_CLOEXEC"])
            task.call("close", self._lowest)
        return self._lowest

    def _taken(self, number: int) -> None:
        """Note that a number is not free any more."""
        if number == self._lowest:
            after = number + 1
            self._lowest = after if after in self._targets else None

    def _expect(self, wanted: int, number: int) -> None:
        """Check the number of a new descriptor."""
        if number != wanted:
            raise RestartError(
                f"process {self._opening.record.pid}: a file was opened as descriptor "
                f"{number} instead of {wanted}"
            )

    def _not_opened(self, path: str, target: int, error: RemoteCallError) -> None:
        raise not_opened(self._opening.record.pid, path, target, error) from error


def _is_plain(file: records.OpenFile) -> bool:
    """Tell whether a file needs nothing but to be opened by name, or be made."""
    if file.contents >= 0 or file.object >= 0 or file.terminal:
        return False
    if file.kind == "eventfd":
        return file.state[0][0] < 1 << 32
    if file.kind == "directory":
        return not file.offset
    return file.kind in ("file", "device", "path")
