"""
Making one running process stand still, and letting it go as it was.

The order for each thread: what can only be seen while it runs or sleeps (the call it
sleeps in, since when); seize; interrupt; and, for a call that any stop ends with EINTR,
putting the call back as the first change after the stop, before anything is done to
another thread.  If the checkpointer dies, the kernel detaches and the program goes on;
the time between the stop and that change is the one window in which such a call would
return EINTR.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import (
    Callable,
    Iterator,
    Mapping,
    Sequence,
)
from functools import cached_property

from blcr import registry
from blcr.annotations import TYPE_CHECKING
from blcr.architecture import Arch
from blcr.context import records
from blcr.errors import (
    FreezeTimeoutError,
    NoSuchProcessError,
    NotPermittedError,
    RefusedError,
    TaskGoneError,
    TracedError,
)
from blcr.host.interface import (
    Call,
    MappingFacts,
    ProcessFacts,
    Run,
)
from blcr.host.native import (
    blocked,
    files,
    injection,
    kernel,
    mappings,
    procfs,
    ptrace,
    seccomp,
    sleepers,
    yama,
)
from blcr.host.native.memory import Memory
from blcr.host.native.process import (
    NativeProcess,
    NativeTask,
    own_arch,
)
from blcr.linux import blocking, siginfo

if TYPE_CHECKING:
    from blcr.host.native.tracking import Tracking

_OPTIONS = ptrace.PTRACE_O_TRACESYSGOOD

_VFORK = {"kernel_clone", "_do_fork", "wait_for_vfork_done"}
"""Where a thread waits that has called vfork(2); kernel/fork.c."""

_POLL_FIRST_S, _POLL_MAX_S = 0.0001, 0.005
_LOOKS_AT_ONCE = 20
"""How often to look, without a pause, whether a thread has stopped."""
_SEIZING_S = 0.02
"""From here on the seizing of threads takes suspiciously long."""
_FALLING_ASLEEP_S = 0.02
"""How long a thread that is about to go on sleeping may take until it does."""
_AT_ONCE = 16
"""Threads in whose name calls are made at the same time."""
_BETWEEN_FRAMES = 128
"""Bytes that aligning may take of each frame's room."""
LARGE = 16 << 20
"""
Bytes of its own from which on a look at all pages is too long for a stop, and stopping
a program more often worth it.
"""
_VDSO = "[vdso]"
_CLOCK_TRIES, _CLOCK_S = 10, 0.00005
"""How often, and how long, a thread that reads a clock is let run."""
_MANY = 200
"""Mappings from which on reading about each of them is."""
_LET_GO_S = 0.1
"""How long to wait for a thread that has to stop before tracing it can be ended."""


def check(pid: int) -> procfs.Status:
    """
    Find out whether a process may be checkpointed, touching nothing.

    Raises:
        NoSuchProcessError: There is none, or only a zombie is left of it.
        NotPermittedError: Somebody else's, a kernel thread, or init for a user.
        RefusedError: init for root.
        TracedError: It is being traced.
    """
    if pid <= 0 or not procfs.exists(pid):
        raise NoSuchProcessError(f"there is no process {pid}")
    status = procfs.status(pid)
    if status.tgid != pid:
        raise NoSuchProcessError(
            f"{pid} is not a process but a thread of process {status.tgid}"
        )
    if pid == 1:
        if os.geteuid() == 0:
            raise RefusedError(1, "init cannot be checkpointed")
        raise NotPermittedError("process 1: init is not yours to checkpoint")
    if status.state in "ZX":
        living = procfs.living_thread(pid)
        if living is None:
            raise NoSuchProcessError(f"process {pid} has ended; it is a zombie")
        status = procfs.status(living)
    if not status.has_memory:
        if procfs.is_kernel_thread(pid):
            raise NotPermittedError(
                f"process {pid} ('{status.name}') is a kernel thread"
            )
        raise NoSuchProcessError(f"process {pid} is ending")
    if status.tracer:
        raise _traced(pid, status.tracer)
    if os.geteuid() not in (0, status.uids[0]):
        raise NotPermittedError(
            f"process {pid} belongs to user {status.uids[0]}, not to you"
        )
    return status


def _traced(pid: int, tracer: int) -> TracedError:
    """Return the error for a process that has a tracer."""
    return TracedError(
        f"process {pid} is traced by process {tracer}; end the debugger first"
    )


def denied(pid: int) -> NotPermittedError | TracedError | NoSuchProcessError:
    """Return why the kernel did not let a process be traced."""
    status = procfs.status(pid)
    if status.state in "ZX":
        return NoSuchProcessError(f"process {pid} has ended")
    if status.tracer:
        return _traced(pid, status.tracer)
    if restricted := yama.reason():
        return NotPermittedError(f"process {pid} may not be traced: {restricted}")
    return NotPermittedError(
        f"process {pid} may not be traced: it is set-id, not dumpable, or in a user "
        "namespace of another owner"
    )


class HeldTask(NativeTask):
    """
    A running program's thread that stands still.

    What it was when it stopped is asked for once: calls in its name change it.
    """

    @cached_property
    def sets(self) -> dict[int, bytes]:
        """Its register sets."""
        sets: dict[int, bytes] = {}
        for known in self.process.arch.register_sets:
            data = ptrace.known_set(self.outer_tid, known)
            if data is not None:
                sets[known.note_type] = data
        if self.process.arch.gp.note_type not in sets:
            raise TaskGoneError(f"thread {self.outer_tid} ended while it was held")
        return sets

    @cached_property
    def general(self) -> bytes:
        """Its general registers, about to make a blocked call again."""
        return self.rewound(self.sets[self.process.arch.gp.note_type])

    @cached_property
    def mask(self) -> int:
        """Its blocked signals."""
        return ptrace.signal_mask(self.outer_tid)

    def register_set(self, note_type: int) -> bytes | None:
        """Return a register set; the general one about to make a call again."""
        if note_type == self.process.arch.gp.note_type:
            return self.general
        return self.sets.get(note_type)

    def signal_mask(self) -> int:
        """Return the blocked signals."""
        return self.mask


class HeldProcess(NativeProcess):
    """
    A running program's process, all of whose threads stand still.

    Args:
        outer_pid: Its id here.
        arch: Its architecture.
        tracking: What notes which of its pages are written.
    """

    def __init__(
        self, outer_pid: int, arch: Arch, tracking: Tracking | None = None
    ) -> None:
        super().__init__(outer_pid, arch)
        self.tasks: Sequence[HeldTask] = ()
        self.shown_pid = shown(outer_pid)
        self.memory = Memory(self.shown_pid)
        self._tracking = tracking
        self._is_small = procfs.own_memory(self.shown_pid) <= LARGE
        self._seen: dict[int, blocked.Seen | None] = {}
        status = procfs.status(self.shown_pid)
        self.pid = status.tgids[-1]
        self.was_stopped = status.state == "T"
        self.prepared = False
        self._running: list[procfs.Range] = []
        self._seen_mappings: Mapping[procfs.Range, MappingFacts] = {}
        """The address space before the stop, with flags if it is tracked."""
        self._vdso: procfs.Range | None = None
        self._way: injection.Way | None = None
        self._early_policies: Mapping[int, records.MemoryPolicy] | None = None
        self.requester: records.EndedProcess | None = None
        """Its child that asks for the checkpoint, as it will have ended."""
        self._lent: injection.Area | None = None
        self._home: HeldProcess = self
        """The first process that has its memory, which alone lends of that."""
        self._inmates = [self]
        """All that have its memory."""

    def move_in(self, first: HeldProcess) -> None:
        """Have the same memory as another process: one of them uses it at a time."""
        self._home = first
        first._inmates.append(self)

    def prepare(self) -> None:
        """Look at what takes long to look at, and may be known before the stop."""
        self._running = self._look()
        self._vdso = next((one for one in self._running if one.path == _VDSO), None)
        self._way = self._find_way()
        self.can_inject = self._way is not None
        self.ranks = files.ranks(self.shown_pid, own_arch().syscalls["kcmp"])
        self._early_policies = self._look_at_policies()
        self.prepared = True

    def _look(self) -> list[procfs.Range]:
        """
        Return the address space of the running program.

        What is the same when it stands still is not worked out again then.
        """
        if not self._tracking and not self._is_small:
            return procfs.outline(self.shown_pid)
        ranges = procfs.ranges(self.shown_pid)
        self._seen_mappings = mappings.look(self.shown_pid, ranges)
        return ranges

    def _look_at_policies(self) -> Mapping[int, records.MemoryPolicy] | None:
        """
        Return NUMA policies of mappings where it takes long to look at them; else None.

        They are nothing to wait for where there is but one node.
        """
        if not self._is_small and not kernel.has_several_nodes():
            return {}
        if not self._is_small or len(self._running) > _MANY:
            return procfs.mapping_policies(self.shown_pid)
        return None

    def mappings(self) -> list[MappingFacts]:
        """Return its address space in order of address."""
        policies = self._early_policies
        if policies is None:
            policies = procfs.mapping_policies(self.shown_pid)
        seen = self._seen_mappings
        return mappings.facts(self.shown_pid, self._ranges, policies, seen)

    def pending(self) -> list[bytes]:
        """Return the siginfos queued for it, and of the end of who asks for them."""
        infos, number = super().pending(), int(signal.SIGCHLD)
        if self.requester is None or self.pending_mask >> number - 1 & 1:
            return infos
        uid = os.getuid()
        info = siginfo.exited(self.arch, number, self.requester.pid, uid)
        return [*infos, info]

    def _find_way(self) -> injection.Way | None:
        """Look for code to call through, while the program still runs."""
        home = self.arch.gadgets.home if self.arch.gadgets else ""
        ranges = sorted(self._running, key=lambda part: home not in part.path)
        number = self.arch.syscalls["rt_sigreturn"]
        return injection.find_way(self.arch, self.memory, ranges, number)

    def stop(self, deadline: float) -> None:
        """
        Stop all threads of a process that has been prepared.

        Raises:
            FreezeTimeoutError: One did not stop; those that did are still held.
        """
        self.stop_threads(deadline)
        self._let_read_clocks(deadline)
        self.memory.close()
        self.shown_pid = shown(self.outer_pid)
        self.memory = Memory(self.shown_pid)
        identity = procfs.program_identity(self.shown_pid)
        if kernel.paged(registry.find(*identity)) is not self.arch:
            raise TaskGoneError(f"process {self.outer_pid} is another program now")
        if self._way and not self._way.is_there(self.memory):
            # It has unloaded a library meanwhile, or has become another program.
            self._running = self._look()
            self._way = self._find_way()
            self.can_inject = self._way is not None
        for task in list(self.tasks):
            self._let_return(task, deadline)
        for task in self.tasks:
            status = task.status
            task.tid, task.pending_mask = status.tids[-1], status.pending
            self.pending_mask = status.shared_pending
            if status.seccomp and self.arch.redirect_call:
                task.unfiltered = seccomp.suspend(task.outer_tid, _OPTIONS)

    def _let_read_clocks(self, deadline: float) -> None:
        """
        Let threads run that stand in the vdso with a clock's time in their registers.

        In a time namespace its offset is yet to be added, which is another one after a
        restart.  Up to the instruction that reads the CPU's clock, and just behind it,
        they may stand: the kernel's time is looked at once more then
        (vdso_read_retry, include/vdso/helpers.h, Linux 6.18).
        """
        place = self._vdso
        if not place or self.was_stopped or not self._clock_code:
            return
        for _ in range(_CLOCK_TRIES):
            reading = [task for task in self.tasks if self._reads_clock(task, place)]
            if not reading or not self._has_clocks_of_its_own():
                return
            for task in reading:
                del task.sets
                ptrace.resume(task.outer_tid)
            time.sleep(_CLOCK_S)
            for task in reading:
                self._interrupt(task)
            self._await(reading, deadline)
            # They may have begun others.
            self.stop_threads(deadline)

    def _reads_clock(self, task: HeldTask, vdso: procfs.Range) -> bool:
        """Tell whether a thread in the vdso is not at, or just behind, the reading."""
        general = task.sets[self.arch.gp.note_type]
        if self._seen[task.outer_tid] or len(general) != self.arch.gp.size:
            # It sleeps in a call that the vdso makes, or has become another program.
            return False
        pc = self.arch.gp.decode(general)[self.arch.pc]
        if not vdso.start <= pc < vdso.end:
            return False
        return not any(
            self.memory.read(start, len(code)) == code
            for code in self._clock_code
            for start in (pc, pc - len(code))
        )

    @property
    def _clock_code(self) -> tuple[bytes, ...]:
        """Instructions that read the CPU's clock, if they are known."""
        return self.arch.gadgets.read_clock if self.arch.gadgets else ()

    def _has_clocks_of_its_own(self) -> bool:
        """Tell whether a time namespace adds something to its clocks."""
        try:
            return any(procfs.time_offsets(self.outer_pid))
        except NotPermittedError:
            return False

    def _let_return(self, task: HeldTask, deadline: float) -> None:
        """
        Let a thread pass the frame of a checkpointer that died while it injected.

        Raises:
            FreezeTimeoutError: It does not come to the end of that.
        """
        note, passed = self.arch.gp.note_type, False
        while self._way and injection.is_returning(
            self.arch, self._way, self.memory, task.sets[note]
        ):
            if time.monotonic() > deadline:
                raise FreezeTimeoutError(_stuck(self.outer_pid, task.outer_tid))
            injection.go_on_returning(task.outer_tid)
            del task.sets
            passed = True
        if passed:
            self._seen[task.outer_tid] = None
            self._interrupt(task)
            ptrace.resume(task.outer_tid)
            self._await([task], deadline)
            del task.sets

    def stop_threads(self, deadline: float) -> None:
        """Stop all threads that do not stand still yet; it may yet be prepared."""
        known = {task.outer_tid for task in self.tasks}
        while new := [tid for tid in procfs.tids(self.outer_pid) if tid not in known]:
            known.update(new)
            with _burying(new):
                seized = [task for tid in new if (task := self._seize(tid))]
            self.tasks = [*self.tasks, *seized]
            urgent = [task for task in seized if self._fails_after_a_stop(task)]
            others = [task for task in seized if task not in urgent]
            for task in others:
                self._interrupt(task)
            for task in urgent:
                self._interrupt(task)
                self._await([task], deadline)
            self._await(others, deadline)

    @cached_property
    def outline(self) -> list[procfs.Range]:
        """The address space, with flags if they do not take long."""
        return self._ranges if self._is_small else super().outline

    @cached_property
    def _ranges(self) -> list[procfs.Range]:
        """
        The address space, read once while the process stands still.

        Flags take long where there is much memory, as the kernel counts all pages on
        the way.  Of a process whose memory is tracked, mappings that are the same as
        just before the stop have the flags that they had then.
        """
        if self._tracking is None:
            return procfs.ranges(self.shown_pid)
        known = procfs.with_flags(self.outline, self._running)
        return self._tracking.without_marks(known or procfs.ranges(self.shown_pid))

    def _seize(self, tid: int, *, again: bool = False) -> HeldTask | None:
        """Begin to trace a thread; None if it has just ended."""
        try:
            self._seen[tid] = blocked.look(self.outer_pid, tid, self.arch)
            ptrace.seize(tid, _OPTIONS)
        except (TaskGoneError, NotPermittedError) as error:
            if self._is_one_of_several(tid) and self._is_ending(tid):
                return None
            if not isinstance(error, NotPermittedError):
                raise
            if again:
                raise denied(self.outer_pid) from error
            # When another thread calls execve the main one is a zombie for a moment.
            return self._seize(tid, again=True)
        return HeldTask(self, tid)

    def _interrupt(self, task: NativeTask) -> None:
        """Ask a thread to stop, unless it has just ended."""
        tid = task.outer_tid
        try:
            ptrace.interrupt(tid)
        except (TaskGoneError, OSError):
            if not (self._is_one_of_several(tid) and self._is_ending(tid)):
                raise

    def _fails_after_a_stop(self, task: NativeTask) -> bool:
        """Tell whether it sleeps in a call that has to be put back at once."""
        seen = self._seen[task.outer_tid]
        if seen is None:
            return False
        name = self.arch.syscall_name(seen.call.number)
        return blocking.fails(name or "", seen.call.args)

    def _is_one_of_several(self, tid: int) -> bool:
        """Tell whether the process goes on when a thread ends."""
        return tid != self.outer_pid or len(procfs.tids(self.outer_pid)) > 1

    def _is_ending(self, tid: int) -> bool:
        """Tell whether a thread is gone, or on its way."""
        try:
            return procfs.stat(self.outer_pid, tid).state in "ZX"
        except TaskGoneError:
            return True

    def _await(self, tasks: list[HeldTask], deadline: float) -> None:
        """Wait until each of these threads has stopped or ended."""
        pause, looks = _POLL_FIRST_S, 0
        while tasks:
            for task in list(tasks):
                try:
                    stop = ptrace.wait(task.outer_tid, os.WNOHANG)
                except TaskGoneError:
                    if task.outer_tid == self.outer_pid:
                        raise
                    self.tasks = [one for one in self.tasks if one is not task]
                    tasks.remove(task)
                    continue
                if stop is None:
                    continue
                if stop.event == ptrace.PTRACE_EVENT_STOP:
                    self.was_stopped |= stop.signal != signal.SIGTRAP
                    try:
                        task.waited = blocked.put_back(task, self._seen[task.outer_tid])
                    except blocked.UnseenError:
                        self._look_again(task, stop, deadline)
                    else:
                        tasks.remove(task)
                else:
                    # A signal on its way; it is delivered, and then the stop comes.
                    # One that was being stopped for already has used up the request
                    # (ptrace_stop, kernel/signal.c, Linux 6.18).
                    self._interrupt(task)
                    ptrace.resume(task.outer_tid, stop.signal)
            if not tasks:
                return
            if time.monotonic() > deadline:
                raise FreezeTimeoutError(_stuck(self.outer_pid, tasks[0].outer_tid))
            looks += 1
            if looks > _LOOKS_AT_ONCE:
                time.sleep(pause)
                pause = min(pause * 1.5, _POLL_MAX_S)

    def _look_again(self, task: NativeTask, stop: ptrace.Stop, deadline: float) -> None:
        """
        Let a thread go on with its call, see it asleep there, and ask it to stop.

        Raises:
            RefusedError: It cannot go on, or is never seen asleep.
        """
        tid = task.outer_tid
        halted = stop.signal != signal.SIGTRAP
        if halted or time.monotonic() > deadline:
            raise RefusedError(
                self.pid,
                f"nothing shows in which call its thread {tid} goes on waiting",
                hint="let it run (kill -CONT) and try again" if halted else "try again",
            )
        before = self._seen[tid]
        stops = before.stops + 1 if before else 1
        seen = None
        end = time.monotonic() + _FALLING_ASLEEP_S
        with contextlib.suppress(TaskGoneError):
            ptrace.resume(tid)
            while not (seen and seen.asleep) and time.monotonic() < end:
                time.sleep(_POLL_FIRST_S)
                seen = blocked.look(self.outer_pid, tid, self.arch)
        self._seen[tid] = seen._replace(stops=stops) if seen else None
        self._interrupt(task)

    def facts(self) -> ProcessFacts:
        """Return what an outsider sees, which does not change meanwhile."""
        return self._facts

    @cached_property
    def _facts(self) -> ProcessFacts:
        return super().facts()

    def lets_call(self, selector: int, start: int, size: int) -> bool:
        """
        Tell whether a program that catches its own calls does not catch ours.

        Source: syscall_user_dispatch in kernel/entry, Linux 6.12.
        """
        if selector and self.memory.read(selector, 1) == b"\0":
            return True
        code = self._way.code if self._way else ()
        return all(start <= at < start + size - len(data) for at, data in code)

    def inject(self, task: NativeTask, frames: int = 1) -> injection.Injection:
        """
        Prepare calls in the name of a thread, which shall come to no harm.

        Args:
            frames: For how many there shall be room, if it is the first injection.
        """
        assert isinstance(task, HeldTask)
        size = frames * self._frame_size(task.sets)
        return self._inject(task, self._home._area(size))

    def call_each(
        self, room: int, calls: Callable[[int], Sequence[Call]]
    ) -> list[tuple[list[int], bytes] | None]:
        """Make the same calls in the name of each thread, some at the same time."""
        if self._home._lent:
            # It lies where theirs will.
            self._home._lent.give_back()
        left = [task for task in self.tasks if task.can_call]
        size = max((self._frame_size(task.sets) for task in left), default=0)
        count = min(len(left), _AT_ONCE)
        areas = self._home._areas(count, room + size) if left else []
        answers: dict[HeldTask, tuple[list[int], bytes]] = {}
        while left:
            group, left = left[: len(areas)], left[len(areas) :]
            injections = [
                self._inject(task, area)
                for task, area in zip(group, areas, strict=False)
            ]
            try:
                for one in injections:
                    self.memory.write(one.scratch, bytes(room))
                results = injection.call_together(
                    injections, [calls(one.scratch) for one in injections]
                )
                for task, one, found in zip(group, injections, results, strict=True):
                    answers[task] = found, self.memory.read(one.scratch, room)
            finally:
                for area in areas:
                    area.give_back()
        return [answers.get(task) for task in self.tasks]

    def _inject(self, task: HeldTask, area: injection.Area) -> injection.Injection:
        """Prepare calls in the name of a thread in the room for its frame."""
        assert self._way is not None
        gp = self.arch.gp
        put_back = task.sets[gp.note_type]
        if task.waited:
            found = gp.encode(task.waited.again, put_back)
            if self.arch.goes_back:
                put_back, call = found, task.waited.call
                task.enters = blocked.may_enter(self.arch, task.waited.name, call.args)
        else:
            # In no call: where rseq has been aborted, that is where it goes on, too.
            found = task.general
            if self.arch.interrupted_call(gp.decode(put_back)) is None:
                put_back = found
        return injection.Injection(
            task.outer_tid,
            self.arch,
            self._way,
            area,
            {**task.sets, gp.note_type: found},
            put_back,
            task.mask,
            filtered=task.unfiltered,
        )

    def _frame_size(self, sets: dict[int, bytes]) -> int:
        """Return the most that a frame takes."""
        return self.arch.frame.size + sum(map(len, sets.values()))

    def _area(self, size: int) -> injection.Area:
        """Return the memory for so many bytes of frames."""
        if self._lent is None:
            self._lent = self._find_area(size)
        if self._lent is None:
            raise injection.refuse(self.pid)
        return self._lent

    def _areas(self, count: int, size: int) -> list[injection.Area]:
        """Return memory for as many frames, of so many bytes, as there is room for."""
        while count > 1:
            if area := self._find_area(count * (size + _BETWEEN_FRAMES)):
                return area.divided(count)
            count //= 2
        return [self._area(size)]

    def _find_area(self, size: int) -> injection.Area | None:
        """Look for memory for so many bytes of frames that nobody uses."""
        gp = self.arch.gp
        leaders = [one.tasks[0] for one in self._inmates]
        sps = [gp.decode(one.sets[gp.note_type])[self.arch.sp] for one in leaders]
        stack = next((one for one in self.outline if one.path == "[stack]"), None)
        inside = [sp for sp in sps if stack and stack.start <= sp < stack.end]
        main_sp = min(inside, default=sps[0])
        return injection.find_area(self.arch, self.memory, self.outline, main_sp, size)

    def present(self, mappings: Sequence[MappingFacts]) -> Iterator[Run]:
        """Yield pages of its own, after the last call: what frames covered is back."""
        if self._home._lent:
            self._home._lent.give_back()
        return super().present(mappings)

    def release(self) -> None:
        """Let all threads go as they were."""
        if self._lent and self.tasks:
            with contextlib.suppress(OSError, TaskGoneError):
                self._lent.give_back()
        waiting = [(task.outer_tid, task.waited) for task in self.tasks if task.waited]
        notes = [
            sleepers.Note(tid, one.name, one.call.args, one.end)
            for tid, one in waiting
            if one.end
        ]
        rows = sleepers.rows(self.outer_pid, notes)
        for task in self.tasks:
            if task.enters and not self.was_stopped:
                with contextlib.suppress(OSError, TaskGoneError):
                    blocked.enter(task)
            let_go(task.outer_tid)
        sleepers.leave(self.outer_pid, rows)
        self.tasks = ()
        self.close()


def shown(pid: int) -> int:
    """
    Return the id by which /proc shows what the threads of a process share.

    Raises:
        TaskGoneError: It has ended.
    """
    living = procfs.living_thread(pid)
    if living is None:
        raise TaskGoneError(f"process {pid} has ended")
    return living


def let_go(tid: int) -> None:
    """End tracing a thread, also one that runs because a request has failed."""
    try:
        ptrace.detach(tid)
    except (TaskGoneError, OSError):
        deadline = time.monotonic() + _LET_GO_S
        with contextlib.suppress(TaskGoneError, OSError):
            ptrace.interrupt(tid)
            while not ptrace.wait(tid, os.WNOHANG):
                if time.monotonic() > deadline:
                    return
                time.sleep(_POLL_FIRST_S)
            ptrace.detach(tid)


def _stuck(pid: int, tid: int) -> str:
    """Return a sentence about a thread that does not stop."""
    where = procfs.read(pid, f"task/{tid}/wchan").decode() or "?"
    state = procfs.stat(pid, tid).state
    why = f"state {state}, waiting in the kernel in {where}"
    if state == "D" and where in _VFORK:
        why = "a child that it made by vfork(2) has not gone on to execve(2) yet"
    return (
        f"thread {tid} of process {pid} does not stop: {why}; everything was let go "
        "again"
    )


@contextlib.contextmanager
def _burying(tids: Sequence[int]) -> Iterator[None]:
    """
    Bury seized threads that end while further ones are being seized.

    An execve by one thread waits for the others to be buried, which is up to their
    tracer, and has locked meanwhile what PTRACE_SEIZE needs: alone, the tracer and the
    program would wait for each other for ever.  So a second thread of ours looks after
    the dead when the seizing takes suspiciously long.

    Source: de_thread in fs/exec.c, ptrace_attach in kernel/ptrace.c, Linux 6.12.
    """
    if len(tids) < 2:
        yield
        return
    import threading

    def look() -> None:
        while not done.wait(_SEIZING_S):
            for tid in tids:
                bury(tid)

    done = threading.Event()
    gravedigger = threading.Thread(target=look, daemon=True)
    gravedigger.start()
    try:
        yield
    finally:
        done.set()
        gravedigger.join()


def bury(tid: int) -> None:
    """
    Take note of the end of a thread that we trace, if it has ended.

    Its stops, which a tracer is told whatever it asks for, stay to be asked for.

    Source: wait_task_stopped in kernel/exit.c, Linux 6.12.
    """
    options = os.WEXITED | os.WNOHANG | ptrace.WALL
    with contextlib.suppress(ChildProcessError):
        found = os.waitid(os.P_PID, tid, options | os.WNOWAIT)
        if found and found.si_code in (os.CLD_EXITED, os.CLD_KILLED, os.CLD_DUMPED):
            os.waitid(os.P_PID, tid, options)
