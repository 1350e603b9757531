"""
Making the processes that are saved together stand still.

Those that appear meanwhile are stopped, too; then everything is known of them that they
share.  When the block ends they go on, or get the signal that ends them.
"""

from __future__ import annotations

import contextlib
import gc
import os
import signal
import time
from collections.abc import (
    Callable,
    Container,
    Iterable,
    Iterator,
    Mapping,
    Sequence,
)

from blcr import registry
from blcr.annotations import TYPE_CHECKING, Self, cast
from blcr.architecture import Arch
from blcr.context import records
from blcr.errors import (
    ArchitectureError,
    FreezeTimeoutError,
    NoSuchProcessError,
    NotPermittedError,
    RefusedError,
    TaskGoneError,
)
from blcr.host.interface import (
    SocketFacts,
)
from blcr.host.native import (
    files,
    held,
    kernel,
    procfs,
    ptrace,
    seccomp,
    terminals,
)
from blcr.host.native.process import (
    EXIT_CODE_FIELD,
    NativeProcess,
    own_arch,
)

if TYPE_CHECKING:
    from types import ModuleType

    from blcr.host import interface
    from blcr.host.native import sysv
    from blcr.host.native.tracking import Tracking

_INIT = 1
_HARMLESS = {
    *(signal.SIGCHLD, signal.SIGCONT, signal.SIGURG, signal.SIGWINCH),
    *(signal.SIGSTOP, signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU),
}
"""Signals that end nobody who has not asked for it; signal(7)."""
_POLL_S = 0.0001

Joined = Callable[[Sequence[int], Sequence[int]], Sequence[int]]


def _nobody(_held: Sequence[int], _seen: Sequence[int]) -> Sequence[int]:
    """Return that there are no further processes."""
    return ()


class Freezer:
    """
    Processes that stand still for as long as the `with` block lasts.

    Meanwhile no garbage is collected: with thousands of mappings that takes
    milliseconds, and finds none.

    Args:
        pids: The processes, parents first.
        timeout_s: How long to wait until all of them stand still.
        tracking: What notes which pages of the first one are written.
        joined: Given those that stand still and all that there have been, returns
            further ones to be stopped.
    """

    def __init__(
        self,
        pids: Sequence[int],
        timeout_s: float,
        tracking: Tracking | None = None,
        joined: Joined = _nobody,
    ) -> None:
        self.processes: list[held.HeldProcess] = []
        self.ended: Sequence[records.EndedProcess] = ()
        self.warnings: Sequence[str] = ()
        self._tracking = tracking
        self._pids = pids
        self._joined = joined
        self._took = False
        """Connections to others have been taken from the processes."""
        self._sysv: ModuleType | None = None
        """The module, if there are objects of System V."""
        self._deadline = 0.0
        self._timeout_s = timeout_s
        self.clocks = records.Clocks(0, 0, 0)
        self._collects = gc.isenabled()

    def __enter__(self) -> Self:
        if procfs.has_sysv_objects():
            # They may be of the processes; to import it later would take frozen time.
            from blcr.host.native import sysv

            self._sysv = sysv
        gc.disable()
        self._deadline = time.monotonic() + self._timeout_s
        try:
            archs = {pid: arch for pid in self._pids if (arch := self._arch(pid))}
            for pid, arch in archs.items():
                with contextlib.suppress(TaskGoneError, NotPermittedError):
                    self._begin(pid, arch).prepare()
            begun = {one.outer_pid: one for one in self.processes}
            readers = self._readers(archs)
            for pid in [pid for pid in archs if pid not in readers]:
                self._hold(pid, archs[pid], begun.get(pid))
            if readers:
                terminals.drain(readers)
            for pid in readers:
                self._hold(pid, archs[pid], begun.get(pid))
            while joined := self._joined(self.pids, self._pids):
                self._add(joined)
            self._gather()
        except BaseException:
            self._release()
            raise
        return self

    def _readers(self, pids: Iterable[int]) -> list[int]:
        """Return which of several processes hold masters of pseudo terminals."""
        if len(self.processes) < 2:
            return []
        found = []
        for pid in pids:
            with contextlib.suppress(TaskGoneError, NotPermittedError):
                if terminals.masters(pid):
                    found.append(pid)
        return found

    def _add(self, pids: Sequence[int]) -> None:
        """
        Stop further processes.

        Raises:
            FreezeTimeoutError: There are more and more of them.
        """
        if time.monotonic() > self._deadline:
            raise FreezeTimeoutError(
                f"process {self._pids[0]} has more and more children, faster than they "
                "can be stopped"
            )
        self._pids = [*self._pids, *pids]
        for pid in pids:
            if arch := self._arch(pid):
                self._hold(pid, arch, None)

    def sysv(self, waits: Container[tuple[str, int]]) -> sysv.Used:
        """Return the System V semaphores and message queues that they use."""
        if self._sysv is None and procfs.shares_objects(self.pids[0]):
            return (), ()
        from blcr.host.native import sysv

        return sysv.used(self.pids, waits)

    def ourselves(self) -> interface.FrozenProcess:
        """Return this process, for the descriptors that sockets have to give."""
        own = NativeProcess(os.getpid(), own_arch())
        own.family = self.processes[0].family
        return cast("interface.FrozenProcess", own)

    @property
    def pids(self) -> list[int]:
        """Return the ids of the processes here."""
        return [one.outer_pid for one in self.processes]

    def _arch(self, pid: int) -> Arch | None:
        """
        Return the architecture of a process; None: one of several that has just ended.

        Raises:
            BlcrError: It may not, or cannot, be held.
        """
        try:
            if held.check(pid).seccomp and not seccomp.may_suspend():
                raise RefusedError(pid, seccomp.REFUSED)
            identity = procfs.program_identity(held.shown(pid))
            arch = kernel.paged(registry.find(*identity))
        except NotPermittedError:
            raise held.denied(pid) from None
        except (NoSuchProcessError, TaskGoneError):
            if pid == self._pids[0]:
                raise
            self._await_death(pid)
            return None
        if arch.gadgets is None:
            raise ArchitectureError(
                f"process {pid} is a {arch.name} program, which cannot be "
                "checkpointed natively yet"
            )
        return arch

    def _begin(self, pid: int, arch: Arch) -> held.HeldProcess:
        """Take a process up, which runs yet."""
        tracking = self._tracking if pid == self._pids[0] else None
        process = held.HeldProcess(pid, arch, tracking)
        self.processes.append(process)
        return process

    def _hold(self, pid: int, arch: Arch, process: held.HeldProcess | None) -> None:
        """
        Stop every thread of a process, unless it has just ended.

        Args:
            pid: The process.
            arch: Its architecture.
            process: It has been taken up.
        """
        while True:
            try:
                process = process or self._begin(pid, arch)
                if not process.prepared:
                    # It has just begun, and may end as soon.
                    process.stop_threads(self._deadline)
                    process.prepare()
                process.stop(self._deadline)
            except (TaskGoneError, NoSuchProcessError, NotPermittedError) as error:
                if process:
                    process.release()
                # What is left of an ended process belongs to root.
                if isinstance(error, NotPermittedError) and not _is_ending(pid):
                    raise
                self.processes = [one for one in self.processes if one is not process]
                process = None
                # After an execve by a thread that was not the leader, the one that we
                # traced by this id is gone, and another one has it.
                replaced = _all_live([pid]) and time.monotonic() < self._deadline
                if not replaced and pid == self._pids[0]:
                    raise
                if not replaced:
                    self._await_death(pid)
                    return
                arch = self._arch(pid) or arch
            else:
                return

    def _await_death(self, pid: int) -> None:
        """
        Wait until a process has ended whose children have another parent then.

        Its parent is told only when we, if we traced it, know of its end.
        """
        is_child = False
        with contextlib.suppress(TaskGoneError):
            is_child = procfs.status(pid).ppid == os.getpid()
        while _all_live([pid]):
            if not is_child:
                _bury_all(pid)
            if time.monotonic() > self._deadline:
                raise FreezeTimeoutError(f"process {pid} does not end")
            time.sleep(_POLL_S)
        if not is_child:
            _bury_all(pid)

    def _gather(self) -> None:
        """Look at what concerns all processes, which stand still now."""
        order = {pid: index for index, pid in enumerate(self._pids)}
        self.processes.sort(key=lambda one: order[one.outer_pid])
        self.clocks = _clocks(self.processes[0].shown_pid)
        family = files.Family([one.shown_pid for one in self.processes])
        for process in self.processes:
            process.family = family
        if len(self.processes) > 1:
            _note_common(self.processes)
        pids = {one.outer_pid for one in self.processes}
        ended_children: list[records.EndedProcess] = []
        warnings: list[str] = []
        for process in self.processes:
            left_out: list[int] = []
            for pid in procfs.children(process.outer_pid):
                if ended := _ended_child(process, pid):
                    ended_children.append(ended)
                elif pid not in (*pids, os.getpid()):
                    left_out.append(pid)
            parent = process.tasks[0].status.ppid
            above = [parent] if parent not in (0, *pids) else []
            warnings += _common_outside(process, (*above, *left_out))
            if left_out:
                from blcr.host import several

                warnings += several.left_out(process.pid, left_out)
        self.ended, self.warnings = ended_children, warnings

    def __exit__(self, *_: object) -> None:
        self._release()

    def _release(self) -> None:
        """Let everything go."""
        families = {id(one.family): one.family for one in self.processes}.values()
        if self._took:
            # What is given back is the processes' before they run.
            for family in families:
                family.close()
        for process in self.processes:
            process.release()
        for family in families:
            family.close()
        self.processes = []
        if self._collects:
            gc.enable()

    def take_connections(self, number: int) -> Mapping[int, SocketFacts]:
        """Take the connections to others that stay, if the signal ends all."""
        family = self.processes[0].family
        if not family.keeps():
            return {}
        if number and all(_ends_by(one, number) for one in self.processes):
            self._took = True
            return family.sockets.take()
        self.warnings = [
            *self.warnings,
            "connections to others are as they are now: a restart has them again if "
            "nothing is sent, or closed, until then (--kill ends them quietly)",
        ]
        return {}

    def kill(self, number: int) -> None:
        """Send a signal that comes before one more instruction."""
        family = self.processes[0].family
        ends = number == signal.SIGKILL
        sever = family.sever() if ends else None
        for process in self.processes:
            os.kill(process.outer_pid, number)
        if self._took:
            family.sockets.dismiss()
        if sever:
            for process in self.processes:
                _await_end(process)
            sever()


def _ends_by(process: held.HeldProcess, number: int) -> bool:
    """Tell whether a signal is certain to end a process, which does nothing else."""
    if number == signal.SIGKILL:
        return True
    if number in _HARMLESS or process.pid == _INIT:
        return False
    bit = 1 << number - 1
    status = procfs.status(process.shown_pid)
    if (status.ignored | status.caught) & bit:
        return False
    return not all(one.signal_mask() & bit for one in process.tasks)


def _note_common(processes: Sequence[held.HeldProcess]) -> None:
    """Note which processes share what mostly but threads do: clone(2)."""
    by_pid = {one.shown_pid: one for one in processes}
    found = files.common(own_arch().syscalls["kcmp"], list(by_pid))
    for pid, kinds in found.items():
        process = by_pid[pid]
        process.shares = {kind: by_pid[first].pid for kind, first in kinds.items()}
        if "memory" in kinds:
            process.move_in(by_pid[kinds["memory"]])


def _common_outside(process: held.HeldProcess, others: Iterable[int]) -> Iterator[str]:
    """
    Yield a warning if a process shares something with one that is not saved.

    Raises:
        RefusedError: That is its memory, which would change meanwhile.
    """
    kcmp = own_arch().syscalls["kcmp"]
    for other in others:
        shared = files.common(kcmp, [process.shown_pid, other]).get(other, {})
        if "memory" in shared:
            raise RefusedError(
                process.pid,
                f"shares its memory with process {other}, which is not saved with it",
            )
        names = {"files": "descriptors", "fs": "working directory, root and umask"}
        if what := " and ".join(names[kind] for kind in shared):
            yield (
                f"process {process.pid} shares its {what} with process {other}, which "
                "is not saved; restarted, it has its own"
            )


def _ended_child(process: held.HeldProcess, pid: int) -> records.EndedProcess | None:
    """Return a child of a process if it has ended and waits to be asked for."""
    me = os.getpid()
    try:
        status, stat = procfs.status(pid), procfs.stat(pid)
    except TaskGoneError:
        return None
    if pid != me and (status.state not in "ZX" or procfs.living_thread(pid)):
        return None
    # Who asks for a checkpoint has done so successfully, once it is restarted.
    ended = records.EndedProcess(
        status.tgids[-1],
        process.pid,
        status.pgids[-1],
        status.sids[-1],
        status.name,
        0 if pid == me else stat.field(EXIT_CODE_FIELD),
    )
    if pid == me:
        if procfs.status(process.shown_pid).ignored >> signal.SIGCHLD - 1 & 1:
            return None
        process.requester = ended
    return ended


def _bury_all(pid: int) -> None:
    """Take note of the end of a process that we trace, and of its threads."""
    with contextlib.suppress(TaskGoneError):
        for tid in procfs.tids(pid):
            held.bury(tid)
    held.bury(pid)


def _is_ending(pid: int) -> bool:
    """Tell whether a process has given up its memory, as it does when it ends."""
    try:
        return not procfs.status(pid).has_memory
    except TaskGoneError:
        return True


def _all_live(pids: Sequence[int]) -> bool:
    """Tell whether none of the processes has ended."""
    try:
        return all(procfs.living_thread(pid) for pid in pids)
    except TaskGoneError:
        return False


def _await_end(process: held.HeldProcess) -> None:
    """Wait, as tracer, until a killed process has let go of everything."""
    is_child = procfs.status(process.outer_pid).ppid == os.getpid()
    # The leader's end shows only when the other threads are gone.
    for task in reversed(process.tasks):
        try:
            if is_child and task.outer_tid == process.outer_pid:
                # How it ended is left for the part of us that is its parent.
                options = os.WEXITED | os.WNOWAIT | ptrace.WALL
                os.waitid(os.P_PID, task.outer_tid, options)
                continue
            while True:
                os.waitpid(task.outer_tid, ptrace.WALL)
        except ChildProcessError:
            continue
    process.tasks = ()


def _clocks(pid: int) -> records.Clocks:
    """Return the clocks as a process sees them: with its time namespace's offsets."""
    monotonic, boottime = time_offsets(pid)
    return records.Clocks(
        realtime=time.time_ns(),
        monotonic=time.clock_gettime_ns(time.CLOCK_MONOTONIC) + monotonic,
        boottime=time.clock_gettime_ns(time.CLOCK_BOOTTIME) + boottime,
    )


def time_offsets(pid: int) -> tuple[int, int]:
    """Return what a process's time namespace adds to our clocks, in ns."""
    try:
        if procfs.link(pid, "ns/time") == procfs.link(os.getpid(), "ns/time"):
            return (0, 0)
        theirs, ours = (procfs.time_offsets(one) for one in (pid, os.getpid()))
    except (TaskGoneError, NotPermittedError):
        return (0, 0)
    return theirs[0] - ours[0], theirs[1] - ours[1]
