"""
A process being made: born by execve, emptied, refilled through a page of our own.

Until it is let go the process belongs to this one: it is killed if this one dies.
"""

from __future__ import annotations

import errno
import os
import signal
import struct
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import pairwise
from socket import send_fds
from socket import socket as Socket  # noqa: N812  as its type

from blcr.architecture import Arch
from blcr.context import records
from blcr.errors import RemoteCallError, RestartError, TaskGoneError
from blcr.host import queues
from blcr.host.interface import SCRATCH_SIZE, Call, Run
from blcr.host.native import (
    birth,
    caretaker,
    filling,
    kernel,
    lent,
    mappings,
    procfs,
    ptrace,
    whereabouts,
    yama,
)
from blcr.host.native.injection import ALL_SIGNALS
from blcr.host.native.memory import Memory
from blcr.host.native.process import NativeProcess, NativeTask, own_arch
from blcr.host.terminals import Terminals
from blcr.linux import constants, structures

_MAX_ERRNO = 4095
_AT_CALL = signal.SIGTRAP | 0x80
"""The stop before or behind a system call, with PTRACE_O_TRACESYSGOOD."""
_VDSO = "[vdso]"
_SPECIAL = frozenset({"[vdso]", "[vvar]", "[vvar_vclock]", "[sigpage]"})
_ROOM = 1 << 20
"""Bytes that our page, the vdso on its way and their neighbours keep free."""
_BATCH_AT = 64
"""Where in our page the code is that makes calls one after the other."""
_BATCH_WORDS = 8
"""Words of each of its calls."""
_CALLS_AT_ONCE = 1024
_BATCH_SIZE = 256 << 10
"""Bytes of memory for calls and their arguments."""
_LOWEST = 1 << 20
_END_S = 5.0


_SHARING = {
    "memory": "CLONE_VM",
    "files": "CLONE_FILES",
    "fs": "CLONE_FS",
    "handlers": "CLONE_SIGHAND",
}
"""Flags of clone(2) by what `records.Clone` calls it."""
_FAILURES = (signal.SIGSEGV, signal.SIGBUS, signal.SIGILL)


class MadeTask(NativeTask):
    """A thread that is being made, and changes meanwhile."""

    @property
    def status(self) -> procfs.Status:
        """What /proc says of it now."""
        return procfs.status(self.process.outer_pid, self.outer_tid)


class PageCaller:
    """
    Calls from a page of our own code, for a process of our own making.

    Args:
        task: The thread.
        page: Address of the stub; scratch memory is the page behind it.
    """

    def __init__(self, task: NativeTask, page: int) -> None:
        self._task = task
        self._page = page
        self.scratch = page + task.process.arch.page_size
        arch = task.process.arch
        data = ptrace.register_set(task.outer_tid, arch.gp.note_type)
        if data is None:
            raise TaskGoneError(f"thread {task.outer_tid} ended while it was made")
        self._data = data
        self._regs = {**arch.gp.decode(data), **arch.stubs.state}

    def call(self, pid: int, name: str, args: tuple[int, ...]) -> int:
        """
        Make one call and return its result.

        It ends at the stop behind the call, not at a trap in the code: a trap resets
        the action of SIGTRAP if that is ignored or blocked.
        """
        arch, tid = self._task.process.arch, self._task.outer_tid
        self._enter(arch.syscalls[name], args)
        ptrace.request(ptrace.PTRACE_SYSCALL, tid)
        self._await(ptrace.PTRACE_SYSCALL, _AT_CALL)
        after = ptrace.register_set(tid, arch.gp.note_type)
        if after is None:
            raise TaskGoneError(f"thread {tid} ended while it was made")
        result = arch.call_result(arch.gp.decode(after))
        if -_MAX_ERRNO <= result < 0:
            raise RemoteCallError(pid, name, -result)
        return result

    def call_all(self, calls: Sequence[Call], at: int) -> list[int]:
        """
        Make calls one after the other until one fails; return the results.

        Args:
            calls: Names and arguments.
            at: Memory for them, and one more, by which the thread stops itself: not
                with a trap, which would do more.
        """
        process, tid = self._task.process, self._task.outer_tid
        arch = process.arch
        size = _BATCH_WORDS * arch.word_size
        end = at + len(calls) * size
        stop = (process.pid, self._task.tid, signal.SIGSTOP)
        words: list[int] = []
        for name, args in (*calls, ("tgkill", stop)):
            words += (arch.syscalls[name], *args, *(0,) * (6 - len(args)), end)
        mask, order = (1 << 8 * arch.word_size) - 1, arch.layout.byteorder
        codec = struct.Struct(
            f"{'<' if order == 'little' else '>'}{len(words)}"
            f"{'Q' if arch.word_size == 8 else 'I'}"
        )
        process.write(at, codec.pack(*(word & mask for word in words)))
        regs = arch.begin_call(self._regs, 0, ())
        regs[arch.pc], regs[arch.sp] = self._page + _BATCH_AT, at
        data = arch.gp.encode(regs, self._data)
        ptrace.set_register_set(tid, arch.gp.note_type, data)
        ptrace.resume(tid)
        self._await(ptrace.PTRACE_CONT, signal.SIGSTOP)
        found = codec.unpack(process.read(at, codec.size))[::_BATCH_WORDS]
        results: list[int] = []
        for value in found[:-1]:
            failed = value > mask - _MAX_ERRNO
            results.append(value - mask - 1 if failed else value)
            if failed:
                break
        return results

    def call_each(self, pid: int, calls: Sequence[Call]) -> list[int]:
        """Likewise, where there is no code that makes several calls."""
        results: list[int] = []
        for name, args in calls:
            try:
                results.append(self.call(pid, name, args))
            except RemoteCallError as error:
                results.append(-error.errno)
                break
        return results

    def leave(self, size: int) -> None:
        """Unmap the page and its scratch memory, and stop as after a signal."""
        self._end_with("munmap", (self._page, size))

    def settle(self) -> None:
        """Stop as after a signal, where the kernel takes all registers as they are."""
        self._end_with("gettid", ())

    def _end_with(self, name: str, args: tuple[int, ...]) -> None:
        """Make a last call, and stop behind it with the registers of now."""
        arch, tid = self._task.process.arch, self._task.outer_tid
        kept, mask = (
            ptrace.register_set(tid, arch.gp.note_type),
            ptrace.signal_mask(tid),
        )
        # What is pending is the program's, and must not come before it runs.
        ptrace.set_signal_mask(tid, ALL_SIGNALS)
        self._enter(arch.syscalls[name], args)
        ptrace.interrupt(tid)
        ptrace.resume(tid)
        self._await(ptrace.PTRACE_CONT, None)
        ptrace.set_signal_mask(tid, mask)
        if kept:
            ptrace.set_register_set(tid, arch.gp.note_type, kept)

    def exit(self, code: int) -> None:
        """End the thread, which is let go for that."""
        self._enter(self._task.process.arch.syscalls["exit"], (code,))
        ptrace.detach(self._task.outer_tid)

    def _enter(self, number: int, args: tuple[int, ...]) -> None:
        """Run the thread up to a call."""
        arch, tid = self._task.process.arch, self._task.outer_tid
        regs = arch.begin_call(self._regs, number, args)
        regs[arch.pc], regs[arch.sp] = self._page, self.scratch + SCRATCH_SIZE - 64
        data = arch.gp.encode(regs, self._data)
        ptrace.set_register_set(tid, arch.gp.note_type, data)
        ptrace.request(ptrace.PTRACE_SYSCALL, tid)
        self._await(ptrace.PTRACE_SYSCALL, _AT_CALL)

    def _await(self, again: int, wanted: int | None) -> None:
        """
        Wait for a stop at a call, or (None) for the one that was asked for.

        Args:
            again: The request that goes on from any other stop.
            wanted: The signal of the stop.
        """
        tid = self._task.outer_tid
        while True:
            stop = ptrace.wait(tid)
            assert stop is not None
            if stop.event in (ptrace.PTRACE_EVENT_CLONE, ptrace.PTRACE_EVENT_FORK):
                self._task.process.born.append(ptrace.event_message(tid))
            elif stop.event == ptrace.PTRACE_EVENT_STOP:
                if wanted is None:
                    return
            elif not stop.event and stop.signal == wanted:
                return
            elif not stop.event and stop.signal in _FAILURES:
                raise RestartError(
                    f"thread {tid}: our code in it failed with signal {stop.signal}"
                )
            ptrace.request(again, tid)


class MadeProcess(NativeProcess):
    """
    A process that this one makes; see `NewProcess`.

    Args:
        outer_pid: Its id here.
        record: What it shall become.
        source: Descriptor of the context inside it, to be closed; -1: none.
        socket: Through which open files are sent to it.
        post: Descriptor inside it of the other end, to be closed; -1: none.
        grants: See `NewProcess`.
        origin: By which it was made, if that is no process of ours; it shares with that
            what its record says.
    """

    def __init__(
        self,
        outer_pid: int,
        arch: Arch,
        record: records.Process,
        source: int,
        grants: int,
        socket: Socket,
        post: int,
        origin: MadeProcess | None = None,
    ) -> None:
        super().__init__(outer_pid, arch)
        self._socket = socket
        self._post = post
        shares = record.clone.shares if origin and record.clone else ()
        self._home = origin if "memory" in shares else None
        """Whose memory, with our page in it, it has."""
        self._having: list[MadeProcess] = []
        """The processes that have its descriptors, and have not given ours up."""
        if origin and "files" in shares:
            self._having = origin._having
        self._having.append(self)
        self.grants = grants
        self.pid = procfs.status(outer_pid).tgids[-1]
        self.record = record
        self._source = source
        first = MadeTask(self, outer_pid)
        first.tid = self.pid
        self.tasks = [first]
        self.leader = first
        self._ended: records.EndedLeader | None = None
        self.held_by_others: Mapping[whereabouts.Identity, int] = {}
        self.terminals: Terminals | None = None
        self.segments: Mapping[int, int] = {}
        self.caretaker: caretaker.Caretaker | None = None
        self._specials: dict[str, procfs.Range] = {}
        self._page = 0
        self.room: Run | None = None
        self._calls_at = 0
        self._lender: lent.Lender | None = None
        ptrace.set_signal_mask(outer_pid, ALL_SIGNALS)

    # Bulk and life.

    def empty(self) -> None:
        """Bring in our page and the vdso's parts out of the way; remove all else."""
        if self._home:
            self._page, self._calls_at = self._home._page, self._home._calls_at
            self.room = self._home.room
            self.tasks[0].caller = PageCaller(self.tasks[0], self._page)
            return
        ranges = [part for part in self._ranges if part.path not in mappings.OUTSIDE]
        self._page = self._free_room(ranges)
        task, arch = self.tasks[0], self.arch
        known = constants.of(arch)
        general = ptrace.register_set(task.outer_tid, arch.gp.note_type)
        if general is None:
            raise TaskGoneError(f"process {self.pid} ended while it was made")
        # Where code begins, code of another kind may have to be aligned.
        start = arch.gp.decode(general)[arch.pc] & -arch.page_size
        self.write(start, arch.stubs.call.code)
        first = PageCaller(task, start)
        flags = known["MAP_PRIVATE"] | known["MAP_ANONYMOUS"] | known["MAP_FIXED"]
        code = known["PROT_READ"] | known["PROT_EXEC"]
        data = known["PROT_READ"] | known["PROT_WRITE"]
        name = "mmap2" if "mmap2" in arch.syscalls else "mmap"
        none = (1 << 8 * arch.word_size) - 1
        size = arch.page_size
        first.call(self.pid, name, (self._page, size, code, flags, none, 0))
        scratch = self._page + size
        extra = SCRATCH_SIZE + (_BATCH_SIZE if arch.stubs.batch else 0)
        extra = -(-extra // size) * size
        first.call(self.pid, name, (scratch, extra, data, flags, none, 0))
        self.write(self._page, arch.stubs.call.code)
        if arch.stubs.batch:
            self.write(self._page + _BATCH_AT, arch.stubs.batch.code)
            end = scratch + extra
            calls = (_CALLS_AT_ONCE + 1) * _BATCH_WORDS * arch.word_size
            self._calls_at = end - _BATCH_SIZE
            self.room = Run(self._calls_at + calls, end)
        task.caller = PageCaller(task, self._page)
        at = scratch + extra + size
        for part in ranges:
            if part.path not in _SPECIAL:
                task.call("munmap", part.start, part.end - part.start)
                continue
            self._move(part, at)
            self._specials[part.path] = part._replace(
                start=at, end=at + part.end - part.start
            )
            at += part.end - part.start

    def call_all(self, calls: Sequence[Call]) -> list[int]:
        """Make calls one after the other until one fails."""
        caller = self.tasks[0].caller
        assert isinstance(caller, PageCaller)
        if self.arch.stubs.batch is None:
            return caller.call_each(self.pid, calls)
        results: list[int] = []
        for first in range(0, len(calls), _CALLS_AT_ONCE):
            part = calls[first : first + _CALLS_AT_ONCE]
            results += caller.call_all(part, self._calls_at)
            if results[-1] < 0:
                break
        return results

    def _free_room(self, ranges: list[procfs.Range]) -> int:
        """Return an address around which neither program, new or saved, has memory."""
        taken = [(part.start, part.end) for part in ranges]
        taken += [(one.start, one.end) for one in self.record.mappings]
        taken += [(0, _LOWEST), (self.arch.task_size - _ROOM, self.arch.task_size)]
        taken.sort()
        merged = [taken[0]]
        for start, end in taken[1:]:
            if start <= merged[-1][1]:
                merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
            else:
                merged.append((start, end))
        widest = max(pairwise(merged), key=lambda pair: pair[1][0] - pair[0][1])
        room = widest[1][0] - widest[0][1]
        if room < 4 * _ROOM:
            raise RestartError(
                f"process {self.pid}: no room in its address space to rebuild it",
                status=errno.ENOMEM,
            )
        middle = widest[0][1] + room // 2
        return middle - middle % _ROOM

    def _move(self, part: procfs.Range, to: int) -> None:
        """Move one of the kernel's own mappings."""
        known = constants.of(self.arch)
        size = part.end - part.start
        flags = known["MREMAP_MAYMOVE"] | known["MREMAP_FIXED"]
        self.tasks[0].call("mremap", part.start, size, size, flags, to)

    def own_vdso(self) -> bytes | None:
        """Return the kernel's own vdso."""
        part = self._specials.get(_VDSO)
        return self.read(part.start, part.end - part.start) if part else None

    def has_special(self, mapping: records.Mapping) -> bool:
        """Tell whether the kernel has such a mapping."""
        part = self._specials.get(mapping.name)
        size = mapping.end - mapping.start
        return part is not None and part.end - part.start == size

    def place_special(self, mapping: records.Mapping) -> bool:
        """Put the kernel's own vdso or vvar where the program had it."""
        self._move(self._specials.pop(mapping.name), mapping.start)
        return True

    def keep_specials(self) -> int:
        """Leave the kernel's own vdso and vvar where they are."""
        place = self._specials[_VDSO].start
        self._specials = {}
        return place

    def fill(
        self, fd: int, runs: Iterable[tuple[int, int, int]], wait: Callable[[int], None]
    ) -> None:
        """Copy in parts of the context."""
        filling.fill(self, self._source, fd, self.record.mappings, runs, wait)

    def lend(self, fd: int) -> int:
        """Return a descriptor of ours for its open file."""
        if self._lender is None:
            self._lender = lent.Lender(self.outer_pid)
        return self._lender.lend(fd)

    def fill_queue(self, fd: int, messages: Sequence[tuple[int, bytes]]) -> None:
        """Put messages into the POSIX message queue at `fd`."""
        queues.fill(f"/proc/{self.outer_pid}/fd/{fd}", messages)

    def close(self) -> None:
        """Give up what was opened to look at the process."""
        super().close()
        if self._lender:
            self._lender.__exit__()
            self._lender = None

    def receive(self, ours: int) -> int:
        """Return a new descriptor in the process for an open file of ours."""
        send_fds(self._socket, [b"f"], [ours])
        header = structures.of(self.arch, "msghdr")
        vector = structures.of(self.arch, "iovec")
        control = structures.of(self.arch, "cmsghdr")
        at = self.tasks[0].scratch
        word = self.arch.word_size
        room = control.size + max(word, 4)
        parts = (at + header.size, at + header.size + vector.size)
        self.write(
            at,
            header.pack(iov=parts[0], iovlen=1, control=parts[1] + 16, controllen=room)
            + vector.pack(base=parts[1], len=1),
        )
        self.tasks[0].call("recvmsg", self._post, at, 0)
        data = self.read(parts[1] + 16 + control.size, 4)
        return int.from_bytes(data, self.arch.layout.byteorder)

    def receive_terminal(self, index: int, flags: int, *, master: bool) -> int:
        """Return a new descriptor in the process for an end of a pseudo terminal."""
        assert self.terminals
        if master:
            return self.receive(self.terminals.master(index))
        ours = self.terminals.peer(index, flags)
        try:
            return self.receive(ours)
        finally:
            os.close(ours)

    def _refused(self, status: procfs.Status) -> str:
        """Return that nothing is: only who saves asks, and to look takes long."""
        del status
        return ""

    def remove(self, path: str) -> None:
        """Remove a file or an empty folder."""
        caretaker.remove(path)

    def entrust(self, path: str, aside: str = "") -> None:
        """Have a file go, `aside` taking its place, if we end before the release."""
        if self.caretaker:
            self.caretaker.note("file", path, aside)

    def forget(self, path: str) -> None:
        """Have it stay after all."""
        if self.caretaker:
            self.caretaker.note("keep", path)

    def opened_elsewhere(self, fd: int) -> int:
        """Return a process that has the file at `fd` open, too; 0: none."""
        with lent.lent(self.outer_pid, fd) as ours:
            now = os.fstat(ours)
        return self.held_by_others.get((now.st_dev, now.st_ino), 0)

    def set_timer_ticks(self, fd: int, ticks: int) -> None:
        """Set a timerfd's ticks: from outside, as compat ioctls do not have it."""
        known = constants.of(own_arch())
        with lent.lent(self.outer_pid, fd) as ours:
            lent.set_timer_ticks(ours, known["TFD_IOC_SET_TICKS"], ticks)

    def settle(self) -> None:
        """Close the context inside the process, unless another one needs it yet."""
        self._having.remove(self)
        for fd in () if self._having else (self._source, self._post):
            if fd >= 0:
                self.tasks[0].call("close", fd)
        self._source = self._post = -1
        self._socket.close()
        if yama.scope() == yama.ANCESTORS:
            known = constants.of(self.arch)
            everyone = (1 << 8 * self.arch.word_size) + yama.PR_SET_PTRACER_ANY
            self.tasks[0].call("prctl", known["PR_SET_PTRACER"], everyone)

    def dismiss_leader(self, ended: records.EndedLeader) -> None:
        """Take the main thread from the tasks, until `end_leader`."""
        self._ended = ended
        self.tasks = self.tasks[1:]

    def end_leader(self) -> None:
        """
        Let a dismissed main thread end by itself, traced by nobody.

        One that a tracer has seen through to its end stays traced as a zombie.
        """
        if self._ended is None:
            return
        assert isinstance(self.leader.caller, PageCaller)
        self.leader.caller.exit(os.waitstatus_to_exitcode(self._ended.status))
        deadline = time.monotonic() + _END_S
        while procfs.stat(self.outer_pid, self.outer_pid).state not in "ZX":
            if time.monotonic() > deadline:
                raise RestartError(f"process {self.pid}: its main thread does not end")
            time.sleep(0.0001)
        self.memory.close()
        self.shown_pid = self.tasks[0].outer_tid
        self.memory = Memory(self.shown_pid)

    def create_task(self, tid: int) -> MadeTask:
        """Make a further thread, with the id `tid` unless that is 0."""
        known = constants.of(self.arch)
        leader = self.tasks[0]
        flags = 0
        for name in ("VM", "FS", "FILES", "SIGHAND", "THREAD", "SYSVSEM"):
            flags |= known[f"CLONE_{name}"]
        layout = structures.of(self.arch, "clone_args")
        at = leader.scratch
        chosen = at + 256
        packed = layout.pack(
            flags=flags,
            stack=at + 2048,
            stack_size=1024,
            set_tid=chosen if tid else 0,
            set_tid_size=1 if tid else 0,
        )
        self.write(at, packed)
        self.write(chosen, tid.to_bytes(4, self.arch.layout.byteorder))
        try:
            made = leader.call("clone3", at, layout.size)
        except RemoteCallError as error:
            if error.errno == errno.EEXIST:
                raise RestartError(
                    f"process {self.pid}: thread id {tid} is in use; restart with "
                    "--no-restore-pid",
                    status=errno.EBUSY,
                ) from error
            raise
        task = MadeTask(self, self.born.pop())
        task.tid = made
        ptrace.wait(task.outer_tid)
        task.caller = PageCaller(task, self._page)
        self.tasks = [*self.tasks, task]
        return task

    def clone(self, record: records.Process, *, same_id: bool) -> MadeProcess:
        """
        Make the process that is to share something with this one, which is not emptied.

        Raises:
            RemoteCallError: It cannot; EEXIST: its pid is in use.
        """
        assert record.clone
        known, (task, *_) = constants.of(self.arch), self.tasks
        flags = sum(known[_SHARING[kind]] for kind in record.clone.shares)
        if record.ppid != self.record.pid:
            # A sibling; what its parent gets is what it gets for this one.
            flags |= known["CLONE_PARENT"]
        layout = structures.of(self.arch, "clone_args")
        start, stack, at_rest = self._at_start()
        at = stack - SCRATCH_SIZE
        chosen = at + layout.size
        packed = layout.pack(
            flags=flags,
            exit_signal=0 if flags & known["CLONE_PARENT"] else record.clone.signal,
            set_tid=chosen if same_id else 0,
            set_tid_size=1 if same_id else 0,
        )
        self.write(at, packed + record.pid.to_bytes(4, self.arch.layout.byteorder))
        note = self.arch.gp.note_type
        try:
            PageCaller(task, start).call(self.pid, "clone3", (at, layout.size))
        finally:
            ptrace.set_register_set(task.outer_tid, note, at_rest)
        outer_pid = self.born[-1]
        ptrace.wait(outer_pid)
        ptrace.set_register_set(outer_pid, note, at_rest)
        made = MadeProcess(
            *(outer_pid, self.arch, record, self._source, self.grants),
            *(self._socket.dup(), self._post, self),
        )
        self.born.pop()
        return made

    def join_group(self, group: int) -> bool:
        """Enter a process group, or make one (0), before it is emptied."""
        start, _stack, at_rest = self._at_start()
        tid = self.tasks[0].outer_tid
        try:
            PageCaller(self.tasks[0], start).call(self.pid, "setpgid", (0, group))
        except RemoteCallError:
            return False
        finally:
            ptrace.set_register_set(tid, self.arch.gp.note_type, at_rest)
        return True

    def _at_start(self) -> tuple[int, int, bytes]:
        """Put code for a call where it begins; return that place, its stack, all."""
        arch = self.arch
        general = ptrace.register_set(self.tasks[0].outer_tid, arch.gp.note_type)
        if general is None:
            raise TaskGoneError(f"process {self.pid} ended while it was made")
        regs = arch.gp.decode(general)
        # As in `empty`.
        start = regs[arch.pc] & -arch.page_size
        self.write(start, arch.stubs.call.code)
        return start, regs[arch.sp], general

    def set_memory_layout(self, layout: records.MemoryLayout, exe: str) -> None:
        """Set the fields of the mm, and the exe link where the execve did not."""
        known = constants.of(self.arch)
        packing = structures.of(kernel.like(self.arch), "prctl_mm_map")
        task = self.tasks[0]
        at = task.scratch
        values = layout._asdict()
        auxv = values.pop("auxv")
        values |= {"auxv": at + 512, "auxv_size": len(auxv), "exe_fd": (1 << 32) - 1}
        self.write(at, packing.pack(**values))
        self.write(at + 512, auxv)
        code, what = known["PR_SET_MM"], known["PR_SET_MM_MAP"]
        link = self._open_executable(exe)
        if link >= 0:
            self.write(at, packing.pack(**values | {"exe_fd": link}))
            try:
                task.call("prctl", code, what, at, packing.size, 0)
            except RemoteCallError:
                # A right is lacking, or its file system does not execute.
                self.write(at, packing.pack(**values))
            else:
                return
            finally:
                task.call("close", link)
        try:
            task.call("prctl", code, what, at, packing.size, 0)
        except RemoteCallError as error:
            raise RestartError(
                f"process {self.pid}: the bounds of its heap and stack cannot be set "
                f"(prctl PR_SET_MM_MAP: {os.strerror(error.errno)})",
                status=error.errno,
            ) from error

    def _open_executable(self, exe: str) -> int:
        """Open the file that the exe link is to lead to; -1: it does, or cannot."""
        if not birth.is_seeded(procfs.link(self.outer_pid, "exe")):
            return -1
        if not birth.is_there(self.record, self.arch):
            return -1
        known = constants.of(self.arch)
        flags = known["O_RDONLY"] | known["O_CLOEXEC"]
        task = self.tasks[0]
        at = task.scratch + SCRATCH_SIZE // 2
        self.write(at, os.fsencode(exe)[: SCRATCH_SIZE // 2 - 1] + b"\0")
        try:
            return task.call("openat", known["AT_FDCWD"], at, flags, 0)
        except RemoteCallError:
            return -1

    def leave_page(self) -> None:
        """Remove our page and what is left of the kernel's; nothing of ours remains."""
        leader = self.tasks[0]
        assert isinstance(leader.caller, PageCaller)
        guests = self.tasks if self._home else self.tasks[1:]
        for task in guests if self.arch.goes_back else ():
            assert isinstance(task.caller, PageCaller)
            task.caller.settle()
        if self._home:
            return
        end = max(
            [self.room.end if self.room else leader.scratch + SCRATCH_SIZE]
            + [part.end for part in self._specials.values()]
        )
        leader.caller.leave(end - self._page)
