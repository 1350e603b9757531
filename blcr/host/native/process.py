"""
A real process and its threads, held by ptrace: the native `Process` and `Task`.

The same classes serve a program that is being checkpointed and one that is being made.
They differ in how calls are made in its name: `Injection` for the first, which must
come to no harm, a page of our own code for the second.
"""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from functools import cache, cached_property

from blcr import registry
from blcr.annotations import Protocol
from blcr.architecture import Arch, RegisterSet
from blcr.context import records
from blcr.errors import HostError, RefusedError, RestartError, TaskGoneError
from blcr.host import queues
from blcr.host.interface import (
    Contents,
    DescriptorFacts,
    FrozenProcess,
    Identity,
    MappingFacts,
    ProcessFacts,
    Run,
    SocketFacts,
    TaskFacts,
)
from blcr.host.native import (
    apart,
    birth,
    blocked,
    files,
    kernel,
    lent,
    mappings,
    objects,
    pagemap,
    procfs,
    ptrace,
    scheduling,
    seccomp,
    transfers,
)
from blcr.host.native.memory import Memory
from blcr.linux import constants, siginfo

_EXIT_SIGNAL_FIELD = 38
EXIT_CODE_FIELD = 52
"""Of proc_pid_stat(5)."""

_LARGE = 16 << 20
"""Bytes of an anonymous mapping from which on it is scanned by itself."""

_libc = ctypes.CDLL(None, use_errno=True)


@cache
def own_arch() -> Arch:
    """Return the architecture of this Python, whose call numbers its own calls have."""
    return kernel.paged(registry.find(*procfs.program_identity(os.getpid())))


_FILTERED = 2
"""SECCOMP_MODE_FILTER."""


class Caller(Protocol):
    """A way to make calls in the name of one stopped thread."""

    scratch: int

    def call(self, pid: int, name: str, args: tuple[int, ...]) -> int:
        """Make one call."""


class NativeTask:
    """One thread, stopped under this process's ptrace."""

    def __init__(self, process: NativeProcess, tid: int) -> None:
        self.process = process
        self.outer_tid = tid
        self.tid = tid
        self.caller: Caller | None = None
        self.waited: blocked.Waited | None = None
        self.enters = False
        """It is let go inside the call that it is about to make."""
        self.pending_mask = 0
        """Signals that waited for this thread when it stopped."""
        self.catches: tuple[int, int, int] | None = None
        """What `catch_calls` has been asked for."""
        self.unfiltered = False
        """Its seccomp filters are suspended."""
        self.wakes_at: int | None = None
        """When a call that it was primed for ends, CLOCK_MONOTONIC in ns."""

    # Bytes.

    def register_set(self, note_type: int) -> bytes | None:
        """Return a register set; the general one about to make a blocked call again."""
        known = self.process.arch.set_of(note_type)
        if known is None:
            return None
        data = ptrace.known_set(self.outer_tid, known)
        if data is not None and known is self.process.arch.gp:
            return self.rewound(data)
        return data

    def rewound(self, general: bytes) -> bytes:
        """Return general registers with an interrupted call rewound, rseq aborted."""
        arch = self.process.arch
        regs = arch.gp.decode(general)
        call = arch.interrupted_call(regs)
        if self.waited:
            regs = dict(self.waited.saved)
        elif call and call.error >= blocked.ERESTARTSYS:
            regs = arch.rewind_call(regs, call)
        regs[arch.pc] = self._outside_rseq(regs[arch.pc])
        return arch.gp.encode(regs, general)

    def _outside_rseq(self, pc: int) -> int:
        """
        Return the abort address if the pc is in a restartable sequence.

        A stop is a preemption: the kernel itself would go there.  It cannot any more
        once registers are put back that point into the sequence.

        Source: struct rseq and struct rseq_cs, include/uapi/linux/rseq.h.
        """
        registered = ptrace.rseq(self.outer_tid)
        if registered is None:
            return pc
        read, order = self.process.read, self.process.arch.layout.byteorder
        section = int.from_bytes(read(registered.address + 8, 8), order)
        if not section:
            return pc
        start, size, abort = (
            int.from_bytes(read(section + at, 8), order) for at in (8, 16, 24)
        )
        return abort if start <= pc < start + size else pc

    def set_register_set(self, note_type: int, data: bytes) -> None:
        """Set a register set, converted where this CPU's has another size."""
        arch = self.process.arch
        present, known = (
            ptrace.register_set(self.outer_tid, note_type),
            arch.set_of(note_type),
        )
        if present is None and known and known.apart:
            self._set_apart(known, data)
            return
        if present is None:
            raise HostError(f"this CPU has no register set {note_type:#x}")
        if len(present) != len(data) and known and known.fit:
            data = known.fit(data, len(present))
        ptrace.set_register_set(self.outer_tid, note_type, data)

    def _set_apart(self, known: RegisterSet, data: bytes) -> None:
        """Set a register by a call, which leaves the general ones as they were."""
        assert known.apart
        arch, tid = self.process.arch, self.outer_tid
        general = ptrace.register_set(tid, arch.gp.note_type)
        self.call(known.apart[1], int.from_bytes(data, arch.layout.byteorder))
        if general is not None:
            ptrace.set_register_set(tid, arch.gp.note_type, general)

    def signal_mask(self) -> int:
        """Return the blocked signals."""
        return ptrace.signal_mask(self.outer_tid)

    def set_signal_mask(self, mask: int) -> None:
        """Set the blocked signals."""
        ptrace.set_signal_mask(self.outer_tid, mask)

    def pending(self) -> list[bytes]:
        """Return the siginfos queued for this thread alone."""
        infos = ptrace.queued(self.outer_tid, shared=False)
        return self.process.siginfos(infos, self.pending_mask)

    # Calls.

    @property
    def scratch(self) -> int:
        """The address of memory for arguments."""
        return self._caller().scratch

    @property
    def can_call(self) -> bool:
        """Whether a call in this thread's name does no harm."""
        return self.caller is not None or (
            self.process.can_inject and not self._is_guarded
        )

    @cached_property
    def _is_guarded(self) -> bool:
        """Whether seccomp or a shadow stack is in the way of calls in its name."""
        filtered = self.status.seccomp != 0 and not self.unfiltered
        if filtered or self.status.shadow_stack:
            return True
        caught = self.dispatch
        return caught is not None and not self.process.lets_call(*caught)

    @cached_property
    def dispatch(self) -> tuple[int, int, int] | None:
        """Where it catches its own system calls, as in the record."""
        return ptrace.dispatch(self.outer_tid)

    def catch_calls(self, dispatch: tuple[int, int, int]) -> None:
        """Have it catch its own calls as soon as it is let go; not before."""
        ptrace.set_dispatch(self.outer_tid, dispatch)
        ptrace.set_dispatch(self.outer_tid, None)
        self.catches = dispatch

    @cached_property
    def status(self) -> procfs.Status:
        """What /proc says of it, which does not change while it stands still."""
        return procfs.status(self.process.outer_pid, self.outer_tid)

    def call(self, name: str, *args: int) -> int:
        """Make one system call in the name of this thread."""
        return self._caller().call(self.process.pid, name, args)

    def _caller(self) -> Caller:
        """Return the way to make calls, prepared at the first one."""
        if self.caller is None:
            if not self.can_call:
                raise RefusedError(
                    self.process.pid,
                    f"thread {self.tid} has a seccomp filter or a shadow stack, or "
                    "offers no code for a call in its name",
                )
            self.caller = self.process.inject(self)
        return self.caller

    # Facts.

    def facts(self) -> TaskFacts:
        """Return what an outsider sees of this thread."""
        rseq = ptrace.rseq(self.outer_tid)
        return TaskFacts(
            self.tid,
            self._comm(),
            _robust_list(self.outer_tid, self.process.arch),
            records.RestartableSequence(*rseq[:3]) if rseq else None,
            scheduling.facts(self.outer_tid, own_arch()),
            self.status.credentials,
            self.status.speculation,
            procfs.memory_policy(self.process.outer_pid, self.outer_tid),
            self.status.seccomp,
            self._filters(),
            self.dispatch,
            procfs.timer_slack(self.outer_tid),
            self._folders(),
        )

    def _folders(self) -> records.Folders | None:
        """Return what it has of its own, unlike the first thread."""
        first, kcmp = self.process.tasks[0].outer_tid, own_arch().syscalls["kcmp"]
        if files.is_common(kcmp, self.outer_tid, first, "fs"):
            return None
        return records.Folders(
            procfs.link(self.outer_tid, "cwd"),
            procfs.link(self.outer_tid, "root"),
            self.status.umask,
        )

    def _comm(self) -> str:
        """Return its name, which the status has with special bytes escaped."""
        name = self.status.name
        if "\\" in name:
            return procfs.comm(self.process.outer_pid, self.outer_tid)
        return name

    def _filters(self) -> tuple[records.SeccompFilter, ...]:
        """Return the filters of its system calls."""
        if self.status.seccomp != _FILTERED:
            return ()
        return seccomp.filters(self.process.pid, self.outer_tid)

    def blocked_call(self) -> records.BlockedCall | None:
        """Return the call in which it waited when it was stopped."""
        return self.waited.record() if self.waited else None

    # Life.

    def step_out(self, general: bytes, start: int, end: int) -> bytes:
        """Run a thread step by step until its pc is outside of some code."""
        arch, tid = self.process.arch, self.outer_tid
        ptrace.set_register_set(tid, arch.gp.note_type, general)
        for _ in range(end - start):
            ptrace.request(ptrace.PTRACE_SINGLESTEP, tid)
            ptrace.wait(tid)
            now = ptrace.register_set(tid, arch.gp.note_type)
            if now is None:
                raise TaskGoneError(f"thread {tid} ended while it was made")
            if not start <= arch.gp.decode(now)[arch.pc] < end:
                return now
        raise RestartError(
            f"process {self.process.pid}: thread {self.tid} does not leave the vdso of "
            "another kernel; restart under the same kernel version"
        )

    def resume_call(self, call: records.BlockedCall) -> None:
        """Let the thread go on in a call with the time left of it."""
        blocked.resume(self, call)


@cache
def _key_count() -> int:
    """Return how many protection keys a process may have, key 0 included; or 0."""
    calls = own_arch().syscalls
    if "pkey_alloc" not in calls:
        return 0
    keys: list[int] = []
    while (key := _libc.syscall(ctypes.c_long(calls["pkey_alloc"]), 0, 0)) > 0:
        keys.append(key)
    for key in keys:
        _libc.syscall(ctypes.c_long(calls["pkey_free"]), key)
    return keys[-1] + 1 if keys else 0


def _robust_list(tid: int, arch: Arch) -> tuple[int, int] | None:
    """
    Return head and length of the list of robust futexes of a thread.

    A 64-bit Python gets the 64-bit list; None: a 32-bit program's has to be asked of
    the thread itself.
    """
    own = own_arch()
    if arch.word_size != own.word_size:
        return None
    head, length = ctypes.c_ulong(), ctypes.c_size_t()
    if _libc.syscall(
        ctypes.c_long(own.syscalls["get_robust_list"]),
        tid,
        ctypes.byref(head),
        ctypes.byref(length),
    ):
        return None
    return (head.value, length.value)


class NativeProcess:
    """
    One process, all of whose threads are stopped.

    Args:
        outer_pid: Its id in the checkpointer's pid namespace.
        arch: Its architecture.
    """

    def __init__(self, outer_pid: int, arch: Arch) -> None:
        self.outer_pid = outer_pid
        self.pid = outer_pid
        self.arch = arch
        self.shown_pid = outer_pid
        """By which /proc shows what the threads share: the id of one that lives."""
        self.memory = Memory(outer_pid)
        self.tasks: Sequence[NativeTask] = ()
        self.can_inject = False
        self.was_stopped = False
        """By a signal, before ptrace stopped it."""
        self.pending_mask = 0
        """Signals that waited for the process when it stopped."""
        self.ranks: Mapping[int, int] = {}
        """Descriptors in an order of their open files, where there are many."""
        self.family = files.Family([outer_pid])
        """The processes that stand still together."""
        self.shares: Mapping[str, int] = {}
        """As of `FrozenProcess`."""
        self.born: list[int] = []
        """Threads that it has made and that nobody has taken up yet."""

    def lets_call(self, selector: int, start: int, size: int) -> bool:
        """Tell whether a program that catches its own calls does not catch ours."""
        del selector, start, size
        return False

    def inject(self, task: NativeTask) -> Caller:
        """Return a way to make calls in the name of a running program's thread."""
        raise RefusedError(
            self.pid, f"thread {task.tid} offers no code for calls in its name"
        )

    # Bytes.

    def read(self, address: int, size: int) -> bytes:
        """Read memory, whatever its protection."""
        return self.memory.read(address, size)

    def read_runs(self, runs: Sequence[Run], buffer: memoryview) -> None:
        """Read several runs into a buffer."""
        self.memory.read_runs(runs, buffer)

    def write(self, address: int, data: bytes) -> None:
        """Write memory, whatever its protection."""
        self.memory.write(address, data)

    # Facts.

    @cached_property
    def _ranges(self) -> list[procfs.Range]:
        """The address space, read once while the process stands still."""
        return procfs.ranges(self.shown_pid)

    @cached_property
    def outline(self) -> list[procfs.Range]:
        """The same without flags."""
        return procfs.outline(self.shown_pid)

    def facts(self) -> ProcessFacts:
        """Return what an outsider sees of the process."""
        pid = self.shown_pid
        status = procfs.status(pid)
        parent = procfs.status(status.ppid) if status.ppid else None
        depth = len(status.tgids)
        # A parent outside of the process's namespace has no id there.
        outside = parent is None or len(parent.tgids) < depth
        seen_parent = 0 if parent is None or outside else parent.tgids[-1]
        return ProcessFacts(
            pid=status.tgids[-1],
            ppid=seen_parent,
            pgid=status.pgids[-1],
            sid=status.sids[-1],
            exe=birth.path(pid),
            cwd=procfs.link(pid, "cwd"),
            root=procfs.link(pid, "root"),
            umask=status.umask,
            personality=int(procfs.read(pid, "personality"), 16),
            no_new_privs=status.no_new_privs,
            stopped=self.was_stopped,
            ignored_signals=status.ignored,
            caught_signals=status.caught,
            in_namespace=depth > 1,
            uids=status.uids,
            gids=status.gids,
            groups=status.groups,
            refused=self._refused(status),
            limits=procfs.limits(pid),
            oom_score_adj=int(procfs.read(pid, "oom_score_adj")),
            coredump_filter=int(procfs.read(pid, "coredump_filter") or b"0", 16),
            ended_leader=self._ended_leader(),
            key_count=_key_count(),
            exit_signal=procfs.stat(pid).field(_EXIT_SIGNAL_FIELD),
        )

    def _ended_leader(self) -> records.EndedLeader | None:
        """Return what is left of a main thread that has ended before the others."""
        pid = self.outer_pid
        if pid == self.shown_pid:
            return None
        code = procfs.stat(pid, pid).field(EXIT_CODE_FIELD)
        return records.EndedLeader(procfs.comm(pid, pid), code)

    def _refused(self, status: procfs.Status) -> str:
        """Return why the process cannot be saved at all, or empty."""
        if any(one.status.seccomp and not one.unfiltered for one in self.tasks):
            return seccomp.REFUSED
        if any(task.status.shadow_stack for task in self.tasks):
            return "has a user shadow stack (glibc.cpu.x86_shstk)"
        if any(one.dispatch and not one.can_call for one in self.tasks):
            return (
                "catches all system calls that could be made in its name "
                "(PR_SET_SYSCALL_USER_DISPATCH)"
            )
        if not self._is_folder("root"):
            return "its root directory was deleted"
        if status.credentials.permitted and not self._is_of_our_users():
            return "has capabilities in a user namespace of its own"
        if kind := apart.namespace(self.shown_pid):
            return (
                f"is in another {kind} namespace than this command (a container, a "
                "service with files of its own); checkpoint and restart it in there"
            )
        if not self._is_folder("cwd"):
            return "its working directory was deleted"
        return self._parted()

    def _parted(self) -> str:
        """Return what threads have of their own that cannot be saved, or empty."""
        kcmp = own_arch().syscalls["kcmp"]
        parted = []
        for task in self.tasks[1:]:
            first = self.tasks[0].outer_tid
            if not files.is_common(kcmp, task.outer_tid, first, "files"):
                return f"its thread {task.tid} has descriptors of its own"
            if not files.is_common(kcmp, task.outer_tid, first, "fs"):
                parted.append(task.outer_tid)
                if not all(self._is_folder(n, task.outer_tid) for n in ("cwd", "root")):
                    return f"a folder of its thread {task.tid} was deleted"
        if len(parted) > 1 and any(
            "fs" in shared for shared in files.common(kcmp, parted).values()
        ):
            return "some of its threads share a working directory of their own"
        return ""

    def _is_folder(self, name: str, pid: int = 0) -> bool:
        """Tell whether a link, ``cwd``, of it or a thread leads to where it says."""
        link = f"/proc/{pid or self.shown_pid}/{name}"
        # The number of its names is 0 once a folder is deleted.
        return os.stat(link).st_nlink > 0

    def _is_of_our_users(self) -> bool:
        """Tell whether it is in the user namespace of this process."""
        return procfs.link(self.shown_pid, "ns/user") == procfs.link(
            os.getpid(), "ns/user"
        )

    def memory_layout(self) -> records.MemoryLayout:
        """Return the fields of its mm; `brk` is asked of the process itself."""
        field = procfs.stat(self.shown_pid).field
        heap = [part for part in self._ranges if part.path == "[heap]"]
        brk = heap[-1].end if heap else field(47)
        if self.tasks and self.tasks[0].can_call:
            brk = self.tasks[0].call("brk", 0)
        return records.MemoryLayout(
            start_code=field(26),
            end_code=field(27),
            start_data=field(45),
            end_data=field(46),
            start_brk=field(47),
            brk=brk,
            start_stack=field(28),
            arg_start=field(48),
            arg_end=field(49),
            env_start=field(50),
            env_end=field(51),
            auxv=procfs.auxiliary_vector(self.shown_pid),
        )

    def mappings(self) -> list[MappingFacts]:
        """Return its address space in order of address."""
        return mappings.facts(self.shown_pid, self._ranges)

    def descriptors(self) -> list[DescriptorFacts]:
        """Return its descriptors in order of number."""
        known = constants.of(self.arch)
        numbers = files.Numbers(
            cloexec=known["O_CLOEXEC"],
            direct=known["O_DIRECT"],
            path=known["O_PATH"],
            kcmp=own_arch().syscalls["kcmp"],
        )
        return files.descriptors(self.shown_pid, numbers, self.ranks, self.family)

    def compare_file(self, fd: int, other: FrozenProcess, other_fd: int) -> int:
        """Compare the open file at `fd` with another process's."""
        assert isinstance(other, NativeProcess)
        kcmp = own_arch().syscalls["kcmp"]
        return files.compare(kcmp, self.shown_pid, fd, other.shown_pid, other_fd)

    def pending(self) -> list[bytes]:
        """Return the siginfos queued for the process as a whole."""
        infos = ptrace.queued(self.tasks[0].outer_tid, shared=True)
        return self.siginfos(infos, self.pending_mask)

    def siginfos(self, infos: Sequence[bytes], mask: int) -> list[bytes]:
        """
        Return siginfos, which ptrace gives in our layout, in the process's.

        Args:
            infos: As ptrace gives them.
            mask: All signals that wait: the limit of the queue may have left some
                without a siginfo (RLIMIT_SIGPENDING).
        """
        own = own_arch()
        if own is not self.arch:
            infos = [siginfo.convert(info, own, self.arch) for info in infos]
        order = self.arch.layout.byteorder
        queued = {int.from_bytes(info[:4], order) for info in infos}
        lost = {bit + 1 for bit in range(64) if mask >> bit & 1} - queued
        return [*infos, *(siginfo.unqueued(self.arch, one) for one in sorted(lost))]

    def rings(self) -> list[Run]:
        """Return where the rings of its asynchronous I/O are."""
        return [
            Run(part.start, part.end)
            for part in self.outline
            if part.path.startswith(mappings.AIO_RING)
        ]

    @cached_property
    def _transfers(self) -> transfers.Transfers:
        """What disks may be doing for it."""
        direct = constants.of(self.arch)["O_DIRECT"]
        return transfers.Transfers(self.shown_pid, direct)

    def transfers_ended(self) -> bool | None:
        """Tell whether all transfers have ended that it may have begun."""
        return self._transfers.ended()

    def posix_timers(self) -> list[records.PosixTimer]:
        """Return its timers of timer_create in order of id, without their times."""
        tids = {task.outer_tid: task.tid for task in self.tasks}
        known = constants.of(self.arch)
        mask = (1 << 8 * self.arch.word_size) - 1
        signal, none = known["SIGEV_SIGNAL"], known["SIGEV_NONE"]
        # To the kernel SIGEV_THREAD is a signal: good_sigevent, kernel/time.
        kinds = {"signal": signal, "thread": signal, "none": none}
        timers = []
        for row in procfs.timers(self.shown_pid):
            to_thread = row.target == "tid"
            if to_thread and row.target_id not in tids:
                # The thread has ended: it rings for nobody.
                row, to_thread = row._replace(notify="none"), False
            timers.append(
                records.PosixTimer(
                    id=row.id,
                    clock=row.clock,
                    notify=kinds[row.notify]
                    | (known["SIGEV_THREAD_ID"] if to_thread else 0),
                    signal=row.signal,
                    signal_value=row.value & mask,
                    tid=tids[row.target_id] if to_thread else 0,
                )
            )
        return sorted(timers)

    def pipe(self, fd: int) -> records.Pipe:
        """Return capacity and bytes of the pipe at `fd`."""
        return lent.pipe(self.shown_pid, fd)

    def messages(self, fd: int) -> queues.Messages:
        """Return priority and text of each message in the queue at `fd`."""
        with lent.lent(self.shown_pid, fd) as ours:
            count = queues.attributes(ours).waiting
        return queues.saved(f"/proc/{self.shown_pid}/fd/{fd}") if count else ()

    def socket(self, fd: int, *, keep: bool) -> SocketFacts:
        """Return what the socket at `fd` is, and what waits in it."""
        pid = self.shown_pid
        return self.family.sockets.facts(lent.lend(pid, fd), pid, fd, keep=keep)

    def contents(self, fd: int) -> Contents:
        """Return a descriptor to read the regular file at `fd` from."""
        return lent.contents(self.shown_pid, fd)

    @cached_property
    def _objects(self) -> objects.Objects:
        """Files without a name."""
        return objects.Objects(self.shown_pid, self.memory, self._ranges)

    def file_object(self, identity: Identity) -> tuple[records.SharedMemory, list[Run]]:
        """Return size and seals of a file without a name, and where it holds data."""
        return self._objects.facts(identity)

    def read_object(self, identity: Identity, offset: int, buffer: memoryview) -> None:
        """Read bytes of such a file."""
        self._objects.read(identity, offset, buffer)

    def close(self) -> None:
        """Give up what was opened to look at the process."""
        self.memory.close()
        if "_objects" in vars(self):
            self._objects.close()

    # Bulk.

    def present(self, mappings: Sequence[MappingFacts]) -> Iterator[Run]:
        """Yield the private pages that differ from what their file, or zero, gives."""
        private = [
            one.record
            for one in mappings
            if not one.record.shared and one.record.special != "vvar"
        ]
        borders = [(one.start, one.end) for one in private]
        at = 0
        for run in pagemap.own_pages(self.shown_pid, _spans(private), borders):
            while at < len(borders) and borders[at][1] <= run.start:
                at += 1
            i = at
            while i < len(borders) and borders[i][0] < run.end:
                start, end = max(run.start, borders[i][0]), min(run.end, borders[i][1])
                if start < end:
                    yield Run(start, end)
                i += 1

    def guards(self, mappings: Sequence[MappingFacts]) -> list[Run]:
        """Return the pages that MADV_GUARD_INSTALL has made unreadable."""
        if not mappings:
            return []
        start, end = mappings[0].record.start, mappings[-1].record.end
        return list(pagemap.guards(self.shown_pid, start, end))

    def readable_end(self, start: int, end: int) -> int:
        """Return where a mapping has no file behind it."""
        return objects.readable_end(self.memory, start, end)


def _spans(private: Sequence[records.Mapping]) -> Iterator[pagemap.Span]:
    """Yield what to scan at once: large anonymous mappings, and all between them."""
    first: int | None = None
    end = 0
    for one in private:
        if not one.path and one.end - one.start >= _LARGE:
            if first is not None:
                yield pagemap.Span(first, end)
                first = None
            yield pagemap.Span(one.start, one.end, anonymous=True)
            continue
        if first is None:
            first = one.start
        end = one.end
    if first is not None:
        yield pagemap.Span(first, end)


def own_word_size() -> int:
    """Return the bytes of a word of this Python."""
    return 8 if sys.maxsize > 1 << 32 else 4
