"""
Which pages a running program has written, noted by the kernel.

The program's large anonymous mappings are registered with a userfaultfd in asynchronous
write-protection: the kernel lets writes through and takes off a page's mark, which a
scan of the page tables puts on again.  The userfaultfd belongs to the program's memory,
and so is made in its name (`helper`); only its duplicate here is left.  Once that is
closed, also by dying, everything is as it was.

What is written without page faults is not noticed: devices write to pages that were
pinned before they were marked.  So no program is tracked that has such devices at work
by itself, and after each round of marking every thread is stopped for an instant: then
each call that was under way, and the device that it waited for, is done, and any later
one has taken off the marks as it pinned its pages.  Only then are marked pages read.

A mark does not outlive its page: what is unmapped, moved or given back loses it, and
what takes its place has none, or lies in memory that is not registered; both count as
written.

Writing to a marked huge page splits it.  Such pages are marked only by those who may
put them together again from outside (CAP_SYS_NICE).

Source: Documentation/admin-guide/mm/{pagemap,userfaultfd}.rst; mm/userfaultfd.c,
mm/huge_memory.c and fs/proc/task_mmu.c, Linux 6.18; process_madvise(2).
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import stat
import struct
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from blcr import registry
from blcr.annotations import Self
from blcr.errors import (
    NotPermittedError,
    NotTrackableError,
    RefusedError,
    RemoteCallError,
    TaskGoneError,
)
from blcr.host import runs
from blcr.host.interface import Process, Run
from blcr.host.native import (
    files,
    freeze,
    held,
    kernel,
    mappings,
    pagemap,
    procfs,
    userfaultfd,
)
from blcr.host.native.helper import Helper
from blcr.host.native.memory import Memory
from blcr.host.native.process import NativeProcess, own_arch
from blcr.linux import constants

_LARGE = 256 << 10
"""Bytes of mappings that are registered; smaller ones are copied frozen."""

_LEFT_OUT = frozenset("io pf mm ss sl um uw ui ht lo dp".split())
"""
Flags of mappings that are left alone (proc_pid_smaps(5)): devices, shadow stacks,
sealed, watched by userfaultfd already, hugetlbfs, locked, droppable.
"""
_OBJECTS = {
    "anon_inode:[io_uring]": "it uses io_uring",
    "anon_inode:[userfaultfd]": "it uses userfaultfd itself",
}

_MADV_COLLAPSE = 25
_AT_ONCE = 512
"""Huge pages to be put together by one call; it takes up to 1,024 ranges."""

_libc = ctypes.CDLL(None, use_errno=True)


class Tracking:
    """See `blcr.host.interface.Tracking`."""

    def __init__(self, pid: int, timeout_s: float) -> None:
        self._outer_pid = pid
        self._timeout_s = timeout_s
        self._registered: list[Run] = []
        self._trusted: list[Run] = []
        """What of it has no marks but those that were told."""
        self._huge: list[Run] = []
        self.stops_ms: list[float] = []

    def __enter__(self) -> Self:
        try:
            self._refuse()
        except NotPermittedError as error:
            raise NotTrackableError(str(error)) from error
        if not _kernel_notes():
            raise NotTrackableError("this kernel does not note what is written")
        with contextlib.ExitStack() as stack:
            self._pidfd = os.pidfd_open(self._outer_pid)
            stack.callback(os.close, self._pidfd)
            self._pagemap = stack.enter_context(pagemap.Pagemap(self._outer_pid))
            self._memory = Memory(self._outer_pid)
            stack.callback(self._memory.close)
            self._may_collapse = self._collapse([])
            with self._stopped() as process:
                self.pid, self.arch = process.pid, process.arch
                self._fd = _userfaultfd(process)
            stack.callback(self._end)
            if not _ask_to_note(self._fd):
                raise NotTrackableError("its memory cannot be marked")
            self._register()
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def _register(self) -> None:
        """Have the kernel note what is written to the mappings that qualify."""
        for part in procfs.ranges(self._outer_pid):
            size = part.end - part.start
            if size < _LARGE or part.flags & _LEFT_OUT or not _is_anonymous(part):
                continue
            wanted = (part.start, size, userfaultfd.MODE_WP, 0)
            if userfaultfd.control(self._fd, userfaultfd.UFFDIO_REGISTER, *wanted):
                self._registered.append(Run(part.start, part.end))
                self._trusted.append(Run(part.start, part.end))
                if self._may_collapse:
                    self._huge += self._pagemap.huge(part.start, part.end)

    def written(self) -> list[Run]:
        """Mark what was written since the last call, and return it."""
        found: list[Run] = []
        for run in self._present():
            small = not self._may_collapse
            try:
                found += self._pagemap.written(*run, arm=True, small=small)
            except OSError:
                # There may be marks now that nobody knows of.
                self._trusted = runs.without(self._trusted, [run])
        with self._stopped():
            pass
        self._refuse()
        return found

    def pending(self) -> int:
        """Return the bytes of what `written` would return."""
        size = 0
        for run in self._present():
            with contextlib.suppress(OSError):
                size += runs.size(self._pagemap.written(*run))
        return size

    def read_into(self, address: int, buffer: memoryview) -> None:
        """Read memory of the running program."""
        self._memory.read_into(address, buffer)

    def unwritten(self, process: Process) -> list[Run]:
        """Return where nothing of the stopped process was written since."""
        assert isinstance(process, NativeProcess)
        found: list[Run] = []
        for run in self._of(self._trusted, process.outline):
            with contextlib.suppress(OSError):
                found += runs.without([run], self._pagemap.written(*run))
        return found

    def without_marks(self, ranges: Sequence[procfs.Range]) -> list[procfs.Range]:
        """Return mappings without the flag that they have by being registered."""
        ours = {run.start for run in self._of(self._registered, ranges)}
        return [
            part._replace(flags=part.flags - {"uw"}) if part.start in ours else part
            for part in ranges
        ]

    def _present(self) -> list[Run]:
        """Return what of the trusted memory the running program still has."""
        return self._of(self._trusted, procfs.outline(self._outer_pid))

    def _of(self, known: list[Run], ranges: Sequence[procfs.Range]) -> list[Run]:
        """Return what these mappings have of known memory, as far as they show it."""
        try:
            signal.pidfd_send_signal(self._pidfd, 0)
        except ProcessLookupError:
            raise TaskGoneError(f"process {self._outer_pid} has ended") from None
        private = [Run(one.start, one.end) for one in ranges if _is_anonymous(one)]
        return runs.common(private, known)

    def _refuse(self) -> None:
        """Refuse a program in whose memory something may write unnoticed."""
        if reason := _obstacle(self._outer_pid):
            raise NotTrackableError(reason)

    @contextmanager
    def _stopped(self) -> Iterator[held.HeldProcess]:
        """Have every thread stand still."""
        with freeze.Freezer([self._outer_pid], self._timeout_s) as frozen:
            began = time.monotonic()
            yield frozen.processes[0]
        self.stops_ms.append((time.monotonic() - began) * 1000)

    def _end(self) -> None:
        """Have nothing noted any more, and put huge pages together again."""
        os.close(self._fd)
        size = pagemap.huge_page_size()
        parts: list[Run] = []
        for run in self._huge:
            with contextlib.suppress(OSError):
                parts += self._split(run, size)
        for at in range(0, len(parts), _AT_ONCE):
            self._collapse(parts[at : at + _AT_ONCE])

    def _split(self, run: Run, size: int) -> Iterator[Run]:
        """Yield what was a huge page, and has all of its parts as small ones now."""
        for part in runs.without([run], self._pagemap.huge(*run)):
            span = pagemap.Span(*part, anonymous=True)
            for own in runs.join(self._pagemap.own(span)):
                first, last = -(-own.start // size) * size, own.end // size * size
                for start in range(first, last, size):
                    yield Run(start, start + size)

    def _collapse(self, parts: Sequence[Run]) -> bool:
        """Put huge pages together; False: it failed, or only the privileged may."""
        vector = b"".join(struct.pack("2N", start, end - start) for start, end in parts)
        number = ctypes.c_long(own_arch().syscalls["process_madvise"])
        count, flags = ctypes.c_ulong(len(parts)), ctypes.c_ulong(0)
        result: int = _libc.syscall(
            number, self._pidfd, vector, count, _MADV_COLLAPSE, flags
        )
        return result >= 0


def _is_anonymous(part: procfs.Range) -> bool:
    """Tell whether a mapping is private and has no file."""
    named = part.path in ("", "[heap]", "[stack]") or part.path.startswith("[anon")
    return part.permissions[3] == "p" and part.inode == 0 and named


def _obstacle(pid: int) -> str:
    """Return why pages of a program are not to be copied while it runs, or empty."""
    status = procfs.status(pid)
    state = status.state
    if status.shadow_stack:
        return "it has a user shadow stack"
    if state == "T":
        return "it is stopped, and writes nothing"
    if state in "ZX":
        return "its main thread has ended before the others"
    if any(part.path.startswith(mappings.AIO_RING) for part in procfs.outline(pid)):
        return "it uses Linux AIO"
    for fd in procfs.descriptor_numbers(pid):
        with contextlib.suppress(FileNotFoundError, TaskGoneError):
            if reason := _pins(pid, fd):
                return reason
    return ""


def _pins(pid: int, fd: int) -> str:
    """Return why what a descriptor refers to may keep pages pinned, or empty."""
    path = f"/proc/{pid}/fd/{fd}"
    label = os.readlink(path)
    if not label.startswith("/"):
        return _OBJECTS.get(label, "")
    status = os.stat(path)
    if stat.S_ISCHR(status.st_mode) and not files.is_plain_device(status.st_rdev):
        return f"it uses the device '{label}'"
    if stat.S_ISREG(status.st_mode) or stat.S_ISBLK(status.st_mode):
        flags = int(procfs.descriptor_info(pid, fd)["flags"][0], 8)
        arch = kernel.paged(registry.find(*procfs.program_identity(pid)))
        if flags & constants.of(arch)["O_DIRECT"]:
            return f"it has '{label}' open with O_DIRECT"
    return ""


def _kernel_notes() -> bool:
    """Find out, by memory of our own, whether this kernel has all that is needed."""
    try:
        os.close(os.pidfd_open(threading.get_native_id(), userfaultfd.PIDFD_THREAD))
    except OSError:
        return False
    number = ctypes.c_long(own_arch().syscalls["userfaultfd"])
    fd: int = _libc.syscall(number, os.O_CLOEXEC | userfaultfd.USER_MODE_ONLY)
    if fd < 0:
        return False
    try:
        return _ask_to_note(fd)
    finally:
        os.close(fd)


def _ask_to_note(fd: int) -> bool:
    """Tell a new userfaultfd what is wanted of it; False: the kernel cannot."""
    features = userfaultfd.FEATURE_WP_ASYNC | userfaultfd.FEATURE_PAGEFAULT_FLAG_WP
    return userfaultfd.control(fd, userfaultfd.UFFDIO_API, userfaultfd.API, features, 0)


def _userfaultfd(process: held.HeldProcess) -> int:
    """
    Return a duplicate of a userfaultfd made in the name of a program.

    Raises:
        NotTrackableError: It cannot be asked for it without harm, or got none.
    """
    task = next((one for one in process.tasks if one.can_call), None)
    if any(one.status.seccomp for one in process.tasks):
        # The thread that is to be made would be under its filters.
        raise NotTrackableError("it runs under seccomp")
    if task is None:
        raise NotTrackableError("no call can be made in its name without harm")
    flags = constants.of(process.arch)["O_CLOEXEC"] | userfaultfd.USER_MODE_ONLY
    try:
        with Helper(process, task) as helper:
            fd = helper.call("userfaultfd", flags)
            ours = -1
            if fd >= 0:
                ours = userfaultfd.taken(helper.tid, fd, userfaultfd.PIDFD_THREAD)
    except (RefusedError, RemoteCallError) as error:
        raise NotTrackableError(str(error)) from error
    if ours < 0:
        raise NotTrackableError("it gets no userfaultfd")
    return ours
