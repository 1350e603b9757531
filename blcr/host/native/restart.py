"""
Making processes from a context, and staying as their parent.

Unprivileged, the processes are born in namespaces of their own; as root, or with
CAP_CHECKPOINT_RESTORE, directly.  Each is a child of this process, which traces it
until it is let go: the kernel kills it if this process dies before.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import pickle
import resource
import signal
import socket
import struct
import time
from collections.abc import Iterator, Mapping, Sequence

from blcr.annotations import Self
from blcr.context import records
from blcr.errors import (
    BlcrError,
    BusyError,
    HostError,
    RemoteCallError,
    RestartError,
    TaskGoneError,
    way_out,
)
from blcr.host.interface import RestartPlan
from blcr.host.native import (
    birth,
    blocked,
    kernel,
    namespaces,
    procfs,
    ptrace,
    sleepers,
    sysv,
    whereabouts,
)
from blcr.host.native.caretaker import Caretaker
from blcr.host.native.host import RESTARTER_NAME
from blcr.host.native.making import MadeProcess
from blcr.host.native.nursery import Nursery, StandIn
from blcr.host.terminals import Terminals

_OPTIONS = (
    1  # TRACESYSGOOD
    | ptrace.PTRACE_O_TRACEFORK
    | ptrace.PTRACE_O_TRACECLONE
    | ptrace.PTRACE_O_TRACEEXEC
    | ptrace.PTRACE_O_EXITKILL
)

_CAP_DAC_OVERRIDE = 1
_CAP_DAC_READ_SEARCH = 2
_CAP_SETGID = 6
_CAP_SETUID = 7
_CAP_SETPCAP = 8
_CAP_SYS_CHROOT = 18
_CAP_SYS_ADMIN = 21
_CAP_SYS_NICE = 23
_CAP_SYS_RESOURCE = 24
_CAP_CHECKPOINT_RESTORE = 40
_CHOOSING_PIDS = (_CAP_SYS_ADMIN, _CAP_CHECKPOINT_RESTORE)
_MAKING = (
    # A program may have opened files before it gave up the right to.
    *(_CAP_DAC_OVERRIDE, _CAP_DAC_READ_SEARCH),
    *(_CAP_SETGID, _CAP_SETUID, _CAP_SETPCAP, _CAP_SYS_CHROOT),
    *(_CAP_SYS_NICE, _CAP_SYS_RESOURCE),
    *_CHOOSING_PIDS,
)
"""What the making of a process may need, which that gives up in the end."""
_READ_IMPLIES_EXEC = 0x400000
_PR_SET_KEEPCAPS = 8
_PR_CAP_AMBIENT = 47
_PR_CAP_AMBIENT_RAISE = 2
_CAPABILITY_VERSION_3 = 0x20080522

_ZOMBIE_PATIENCE_S = 5.0
_ZOMBIE_LOOK_S = 0.02

_SOURCE_FD = 900
"""Where a process finds the context to fill itself from; moved if it is taken."""


_SPARE = 64
"""Descriptors for all sorts of things."""


class Making:
    """Processes being made; see `Restart`."""

    def __init__(self, plan: RestartPlan) -> None:
        self.warnings: list[str] = []
        self.pids: Mapping[int, int] = {}
        archs = [kernel.paged(arch) for arch in plan.archs]
        self._plan = plan = plan._replace(archs=archs)
        self._spaces: namespaces.Namespaces | None = None
        self._made: list[MadeProcess] = []
        self._by_birth = [
            index for index, one in enumerate(plan.context.processes) if not one.clone
        ]
        """Those that have stand-ins."""
        self._as_root = os.geteuid() == 0 and _may_choose_pids()
        self._direct = _may_choose_pids()
        self._rights = procfs.status(os.getpid()).credentials.effective
        self._released = False
        self._held_by_others: dict[whereabouts.Identity, int] = {}
        self._terminals: Terminals | None = None
        self._sysv = sysv.Making(plan.context)
        self._caretaker: Caretaker | None = None

    def __enter__(self) -> Self:
        if _leaves_something(self._plan.context):
            self._caretaker = Caretaker()
        try:
            self._enter()
        except BaseException:
            if self._caretaker:
                self._caretaker.close()
            raise
        return self

    def _enter(self) -> None:
        """Find out what is to be known before, and make the namespaces."""
        namespaces.set_own_name(RESTARTER_NAME)
        files = () if self._plan.keep_grown else self._plan.context.files
        self._held_by_others = whereabouts.held_by_others(files)
        saved = self._plan.context.clocks
        now = _offsets(saved)
        if not self._plan.restore_pid:
            if not (self._direct and namespaces.set_clock_offsets(*now)):
                self._warn_of_clocks(now)
        elif self._direct:
            if not namespaces.set_clock_offsets(*now):
                self._warn_of_clocks(now)
        else:
            ipc = sysv.needs_namespace(self._plan.context)
            self._spaces = namespaces.enter_new(*now, ipc=ipc)
            self.warnings += self._spaces.warnings

    def _warn_of_clocks(self, offsets: tuple[int, int]) -> None:
        """Say by how much CLOCK_MONOTONIC jumps, where it does noticeably."""
        seconds = -offsets[0] / 1e9
        if abs(seconds) >= 0.001:
            self.warnings.append(
                "no time namespace could be made: CLOCK_MONOTONIC jumps by "
                f"{seconds:.3f} s; sleeps until a time of that clock end accordingly"
            )

    def __exit__(self, kind: object, *_: object) -> None:
        if kind is not None and not self._released:
            self._destroy()
        if self._terminals:
            self._terminals.close()
        if not self._released:
            self._sysv.remove()
            if self._caretaker:
                self._caretaker.close()
        if self._spaces:
            for fd in (self._spaces.mount, self._spaces.time):
                if fd >= 0:
                    os.close(fd)
            if not self._released:
                os.close(self._spaces.leash)

    def _destroy(self) -> None:
        """Kill everything that was made."""
        for process in self._made:
            for pid in (process.outer_pid, *process.born):
                _bury(pid)
        self._made = []

    def create(self) -> Sequence[MadeProcess]:
        """Make all processes by execve of their executables; they are stopped."""
        plan = self._plan
        _allow_descriptors(plan.context)
        self._terminals = Terminals(plan.context, as_root=self._as_root)
        self.warnings += self._terminals.notices
        everybody = plan.context.processes
        born = tuple(everybody[index] for index in self._by_birth)
        nursery = Nursery(
            plan.context._replace(processes=born),
            self._fork,
            self._become,
            self._terminals,
            same_ids=plan.restore_pid,
        )
        left = list(nursery.stand_ins)
        first = plan.context.processes[0]
        own_session = first.sid == first.pid and (
            plan.restore_sid or first.pid in self._terminals.leaders
        )
        if plan.restore_sid:
            _require_session(first)
        try:
            self._sysv.caretaker = None if self._spaces else self._caretaker
            self._sysv.make()
            self.warnings += self._sysv.warnings
            nursery.bear(own_session=own_session)
            nursery.group(None if own_session else self._first_group(first))
            self.warnings += nursery.warnings
            nursery.end_those_that_have()
            for index, record in enumerate(everybody):
                if record.clone:
                    self._made.append(self._clone(record, record.clone))
                else:
                    self._made.append(self._grow_up(index, record, left[0]))
                    del left[0]
            self._group_clones()
            clones = {one.record.pid: one.pid for one in self._made}
            self.pids = {**nursery.pids, **clones}
        except BaseException:
            for stand_in in left:
                if stand_in.outer_pid:
                    _bury(stand_in.outer_pid)
            nursery.close()
            raise
        return self._made

    def _first_group(self, record: records.Process) -> int | None:
        """
        Return the process group of the first process; 0: its own; None: ours.

        Raises:
            RestartError: It was in one that has no number.
        """
        plan = self._plan
        if plan.restore_pgid and not record.pgid:
            raise RestartError(
                f"process {record.pid} cannot be put into the process group it was in, "
                "which was outside of its pid namespace; restart without "
                "--restore-pgid",
                status=errno.EBUSY,
            )
        if plan.restore_pgid and record.pgid != record.pid:
            return record.pgid
        return 0 if plan.restore_pgid or self._spaces else None

    def _fork(self, pid: int) -> int:
        """Make a process with that id, or with any."""
        return _fork(pid, pid if self._plan.restore_pid else 0)

    def _grow_up(
        self, index: int, record: records.Process, stand_in: StandIn
    ) -> MadeProcess:
        """Have a stand-in become its program; it is traced from here on."""
        pid = stand_in.outer_pid
        ptrace.seize(pid, _options(record))
        if self._caretaker:
            self._caretaker.note("process", pid)
        stand_in.tell("become")
        self._await_execve(pid, stand_in)
        grants = 0 if self._spaces else self._rights
        source, post = self._descriptors(record)
        process = MadeProcess(
            pid, self._plan.archs[index], record, source, grants, stand_in.socket, post
        )
        self._equip(process)
        return process

    def _clone(self, record: records.Process, clone: records.Clone) -> MadeProcess:
        """Have a process made by another one, with which it shares something."""
        origin = next(one for one in self._made if one.record.pid == clone.origin)
        deadline, process = time.monotonic() + _ZOMBIE_PATIENCE_S, None
        while process is None:
            try:
                process = origin.clone(record, same_id=self._plan.restore_pid)
            except RemoteCallError as error:
                if error.errno != errno.EEXIST:
                    raise
                _await_pid(record.pid, deadline, error)
        if self._caretaker:
            self._caretaker.note("process", process.outer_pid)
        self._equip(process)
        return process

    def _equip(self, process: MadeProcess) -> None:
        """Give a process what all have in common."""
        process.held_by_others = self._held_by_others
        process.terminals = self._terminals
        process.segments = self._sysv.segments
        process.caretaker = self._caretaker

    def _group_clones(self) -> None:
        """Put those into their process groups that others have made."""
        placed = [one for one in self._made if not one.record.clone]
        clones = [one for one in self._made if one.record.clone]
        by_pid = {one.record.pid: one for one in self._made}
        for process in sorted(
            clones, key=lambda one: one.record.pgid != one.record.pid
        ):
            record, wanted = process.record, process.record.pgid
            members = [one for one in placed if one.record.pgid == wanted]
            placed.append(process)
            assert record.clone
            if wanted == by_pid[record.clone.origin].record.pgid:
                continue
            group = 0
            if members:
                group = procfs.status(members[0].outer_pid).pgids[-1]
            if not (members or wanted == record.pid) or not process.join_group(group):
                self.warnings.append(
                    f"process {record.pid} cannot be put into its process group "
                    f"{wanted}"
                )

    def _descriptors(self, record: records.Process) -> tuple[int, int]:
        """Return where a process has the context, and the socket of its stand-in."""
        context = self._plan.context
        used = {one.fd for one in record.descriptors}
        if len(self._by_birth) < len(context.processes):
            # Clones have theirs at the same numbers.
            used = {one.fd for each in context.processes for one in each.descriptors}
        source = _free_descriptor(used)
        alone = len(context.processes) == 1 and not context.sockets
        if alone and not _has_terminals(context):
            return source, -1
        return source, _free_descriptor({*used, source})

    def _become(self, index: int, own: socket.socket) -> None:
        """In a stand-in: take on what only the process itself can, and execve."""
        index = self._by_birth[index]
        record, arch = self._plan.context.processes[index], self._plan.archs[index]
        try:
            source, post = self._descriptors(record)
            seed = birth.seed(record, arch)
            soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
            if max(source, post) >= soft:
                resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
            _keep_back_descriptors()
            # With many processes ours have these numbers, too.
            context = _other_than((source, post), self._plan.source_fd)
            own = socket.socket(fileno=_other_than((source, post), own.fileno()))
            os.dup2(context, source, inheritable=True)
            if post >= 0:
                os.dup2(own.fileno(), post, inheritable=True)
            if self._spaces:
                namespaces.call("setns", self._spaces.mount, namespaces.CLONE_NEWNS)
                if self._spaces.time >= 0:
                    namespaces.call(
                        "setns", self._spaces.time, namespaces.CLONE_NEWTIME
                    )
            # What would make all memory executable waits until there is no more to map.
            layout = record.personality & ~_READ_IMPLIES_EXEC
            _libc.personality(ctypes.c_ulong(layout))
            for number in range(1, signal.NSIG):
                with contextlib.suppress(OSError, ValueError):
                    signal.signal(number, signal.SIG_DFL)
            _take_identity(record, as_root=self._as_root)
            birth.execute(record, arch, seed)
        except OSError as error:
            where = error.filename or record.exe
            said = RestartError(
                f"process {record.pid}: cannot be started anew: "
                f"{os.strerror(error.errno or 0)}: {where}{way_out(error.errno or 0)}",
                status=error.errno or errno.EIO,
            )
            own.send(pickle.dumps(said))
        except BlcrError as error:
            own.send(pickle.dumps(error))
        except BaseException as error:
            text = f"process {record.pid}: cannot be started anew: {error}"
            own.send(pickle.dumps(RestartError(text, status=errno.EIO)))
        os._exit(127)

    def _await_execve(self, pid: int, stand_in: StandIn) -> None:
        """Wait until the child has become its own executable."""
        while True:
            try:
                stop = ptrace.wait(pid)
            except TaskGoneError:
                stand_in.answer()
                raise
            assert stop is not None
            if stop.event == ptrace.PTRACE_EVENT_EXEC:
                # Still inside execve, which would set the result register as it ends.
                ptrace.interrupt(pid)
            elif stop.event == ptrace.PTRACE_EVENT_STOP:
                return
            ptrace.resume(pid, 0 if stop.event else stop.signal)

    def release(self, number: int) -> None:
        """Let all processes go; from here on they live without this one."""
        self._sysv.finish()
        self._parent = _Parent(self._made[0].outer_pid)
        for process in reversed(self._made):
            # Those come last whose page it is.
            process.leave_page()
        for process, record in zip(
            self._made, self._plan.context.processes, strict=True
        ):
            for task in process.tasks:
                if task.enters:
                    blocked.enter(task)
            rows = sleepers.rows(process.outer_pid, _notes(process, record))
            sleepers.leave(process.outer_pid, rows)
            if record.stopped and not number:
                os.kill(process.outer_pid, signal.SIGSTOP)
            elif number:
                os.kill(process.outer_pid, number)
        self._parent.lend_terminal()
        if self._terminals:
            self._terminals.close()
        for process in self._made:
            for task in process.tasks:
                try:
                    if task.catches:
                        ptrace.set_dispatch(task.outer_tid, task.catches)
                    ptrace.detach(task.outer_tid)
                except TaskGoneError:
                    # The program has ended already; a tracer has to be told so.
                    if task.outer_tid != process.outer_pid:
                        with contextlib.suppress(ChildProcessError):
                            os.waitpid(task.outer_tid, ptrace.WALL)
            process.close()
        if self._caretaker:
            self._caretaker.dismiss()
        self._released = True

    def wait(self) -> int:
        """Stay as parent of the first process."""
        return self._parent.wait()


def _options(record: records.Process) -> int:
    """Return the options with which a process is traced while it is made."""
    if any(thread.seccomp for thread in record.threads):
        return _OPTIONS | ptrace.PTRACE_O_SUSPEND_SECCOMP
    return _OPTIONS


def _leaves_something(context: records.Context) -> bool:
    """Tell whether a restart that is killed would leave more than the kernel ends."""
    named = context.shared_memory or context.semaphores or context.message_queues
    made = named or context.sockets or context.contents
    return len(context.processes) > 1 or bool(made)


def _has_terminals(context: records.Context) -> bool:
    """Tell whether there are pseudo terminals to be made."""
    return any(file.kind == "pty" for file in context.files)


def _require_session(record: records.Process) -> None:
    """
    Refuse a session that no process is born into.

    Raises:
        RestartError: Its leader is not the process, and we are in another one.
    """
    if not record.sid or record.sid not in (record.pid, os.getsid(0)):
        # 0: outside of the pid namespace, in which it has no number.
        session = f"its session {record.sid}" if record.sid else "the session it was in"
        raise RestartError(
            f"process {record.pid} cannot be put into {session}, whose leader is not "
            "among the processes; restart without --restore-sid",
            status=errno.EPERM,
        )


def _free_descriptor(used: set[int]) -> int:
    """
    Return a number that a program does not use, where the limit allows one.

    Raises:
        RestartError: It uses all of them.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    below = range(min(_SOURCE_FD, soft - 1), 2, -1)
    found = next((fd for fd in below if fd not in used), max(used, default=0) + 1)
    if found >= hard:
        raise RestartError(
            f"it has descriptor {found - 1}, and no more than {hard} open files are "
            "allowed here (ulimit -Hn); raise that limit",
            status=errno.EMFILE,
        )
    return found


def _other_than(numbers: tuple[int, ...], fd: int) -> int:
    """Return a copy of a descriptor that has none of the numbers."""
    copy = os.dup(fd)
    return _other_than(numbers, fd) if copy in numbers else copy


def _allow_descriptors(context: records.Context) -> None:
    """Raise our own limit if it may not suffice for all that processes share."""
    shared = len(context.files) + 2 * len(context.pipes) + len(context.shared_memory)
    needed = shared + 3 * (len(context.processes) + len(context.ended)) + _SPARE
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < needed:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _keep_back_descriptors() -> None:
    """Let the program inherit nothing but standard input, output and error."""
    for name in os.listdir("/proc/self/fd"):
        if int(name) > 2:
            with contextlib.suppress(OSError):
                os.set_inheritable(int(name), False)


def _bury(pid: int) -> None:
    """
    Kill a process being made, and wait until nothing is left of it.

    The kernel has its tracer wait for each thread, also for one that has just been born
    and that no record knows yet, before the end of the whole shows.
    """
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
    with contextlib.suppress(TaskGoneError):
        while others := [tid for tid in procfs.tids(pid) if tid != pid]:
            for tid in others:
                with contextlib.suppress(ChildProcessError):
                    os.waitpid(tid, ptrace.WALL)
            time.sleep(_ZOMBIE_LOOK_S / 10)
    # Once as the tracer, and once more where the parent is asked apart.
    for _ in range(2):
        with contextlib.suppress(ChildProcessError):
            os.waitpid(pid, ptrace.WALL)


def _fork(wanted: int, tid: int) -> int:
    """
    Fork with a chosen pid, or any if `tid` is 0.

    A pid that only a zombie has is waited for a little: its parent is about to reap.

    Raises:
        BusyError: The pid is in use.
        HostError: The right to choose pids is missing.
    """
    deadline = time.monotonic() + _ZOMBIE_PATIENCE_S
    while True:
        try:
            return namespaces.clone(0, tid)
        except FileExistsError as error:
            _await_pid(wanted, deadline, error)
        except PermissionError as error:
            raise HostError(
                "the right to choose pids is missing; restart with --no-restore-pid"
            ) from error
        except OSError as error:
            raise _not_forked(wanted if tid else 0, error) from error


def _await_pid(wanted: int, deadline: float, error: Exception) -> None:
    """
    Wait a little for a pid that only a zombie has.

    Raises:
        BusyError: It is in use, and stays so.
    """
    if time.monotonic() < deadline and _is_zombie(wanted):
        time.sleep(_ZOMBIE_LOOK_S)
        return
    raise BusyError(
        f"pid {wanted} is in use; end that process, or restart with --no-restore-pid"
    ) from error


def _not_forked(tid: int, error: OSError) -> RestartError:
    """Return why no process could be made, with the pid `tid` or (0) any."""
    why = error.strerror or str(error)
    if tid and error.errno == errno.EINVAL:
        why = (
            f"this system has no pid {tid} (sysctl kernel.pid_max); restart with "
            "--no-restore-pid"
        )
    return RestartError(
        f"no process can be made: {why}{way_out(error.errno or 0)}",
        status=error.errno or errno.EAGAIN,
    )


def _is_zombie(pid: int) -> bool:
    """Tell whether of a process only the status is left, or nothing."""
    try:
        return procfs.stat(pid).state in "ZX"
    except TaskGoneError:
        return True


def _notes(process: MadeProcess, record: records.Process) -> Iterator[sleepers.Note]:
    """Yield when calls end that go on from the middle."""
    for task, thread in zip(process.tasks, record.threads, strict=True):
        if task.wakes_at and thread.call:
            name, args = thread.call.name, thread.call.args
            yield sleepers.Note(task.outer_tid, name, args, task.wakes_at)


class _Parent:
    """
    Staying as parent of a restarted process.

    Signals that processes send to us go on to the child; its stops and end are ours.
    """

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._signals = signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}
        self._before = signal.pthread_sigmask(signal.SIG_BLOCK, self._signals)
        self._terminal = -1
        self._group = os.getpgid(pid)
        if self._group != os.getpgrp():
            with contextlib.suppress(OSError):
                self._terminal = os.open("/dev/tty", os.O_RDWR | os.O_CLOEXEC)

    def lend_terminal(self) -> None:
        """Make the child's process group the foreground one, if ours is that now."""
        with contextlib.suppress(OSError):
            if self._terminal >= 0 and os.tcgetpgrp(self._terminal) == os.getpgrp():
                os.tcsetpgrp(self._terminal, self._group)

    def _take_terminal_back(self) -> None:
        """Make ours the foreground process group, if the child's is that now."""
        with contextlib.suppress(OSError):
            if self._terminal >= 0 and os.tcgetpgrp(self._terminal) == self._group:
                os.tcsetpgrp(self._terminal, os.getpgrp())

    def wait(self) -> int:
        """Return the status with which the child ends."""
        while True:
            seen, status = os.waitpid(-1, os.WNOHANG | os.WUNTRACED)
            if seen and seen != self._pid:
                # One whose parent was somebody outside; nobody else asks for it.
                continue
            if seen and os.WIFSTOPPED(status):
                self._stop_too()
            elif seen:
                self._take_terminal_back()
                signal.pthread_sigmask(signal.SIG_SETMASK, self._before)
                return status
            else:
                self._forward(signal.sigwaitinfo(self._signals))

    def _forward(self, info: signal.struct_siginfo) -> None:
        """Pass on what a process sent; the terminal's own reach the child anyhow."""
        if info.si_signo == signal.SIGCHLD or info.si_code > 0:
            return
        with contextlib.suppress(ProcessLookupError):
            os.kill(self._pid, info.si_signo)

    def _stop_too(self) -> None:
        """Stop as the child did; continued, continue it."""
        self._take_terminal_back()
        os.kill(os.getpid(), signal.SIGSTOP)
        self.lend_terminal()
        with contextlib.suppress(ProcessLookupError):
            os.kill(self._pid, signal.SIGCONT)


_libc = ctypes.CDLL(None, use_errno=True)


def _may_choose_pids() -> bool:
    """Tell whether this process has CAP_CHECKPOINT_RESTORE or CAP_SYS_ADMIN."""
    caps = procfs.status(os.getpid()).credentials.effective
    return any(caps >> one & 1 for one in _CHOOSING_PIDS)


def _offsets(saved: records.Clocks) -> tuple[int, int]:
    """Return what the clocks must show more than now, to go on from where they were."""
    return (
        saved.monotonic - time.clock_gettime_ns(time.CLOCK_MONOTONIC),
        saved.boottime - time.clock_gettime_ns(time.CLOCK_BOOTTIME),
    )


def _take_identity(record: records.Process, *, as_root: bool) -> None:
    """
    Become the user of the process if we may, keeping the rights to make it.

    The rights go through the execve as ambient capabilities; the last step of the
    making gives them up.
    """
    if as_root:
        namespaces.call("prctl", _PR_SET_KEEPCAPS, 1, 0, 0, 0)
        if set(os.getgroups()) != set(record.groups):
            os.setgroups(record.groups)
        if os.getresgid() != record.gids:
            os.setresgid(*record.gids)
        if not any(record.uids):
            return
        os.setresuid(*record.uids)
    saved = [one.credentials for one in record.threads if one.credentials]
    rights = sum(1 << one for one in _MAKING)
    for one in saved:
        rights |= one.permitted | one.inheritable
    rights &= procfs.status(os.getpid()).credentials.permitted
    head = struct.pack("=Ii", _CAPABILITY_VERSION_3, 0)
    with contextlib.suppress(OSError):
        namespaces.call("capset", head, _capability_words(rights))
        for number in range(rights.bit_length()):
            if rights >> number & 1:
                namespaces.call(
                    "prctl", _PR_CAP_AMBIENT, _PR_CAP_AMBIENT_RAISE, number, 0, 0
                )


def _capability_words(bits: int) -> bytes:
    """Return struct __user_cap_data_struct[2] with the same bits in all three sets."""
    low, high = bits & 0xFFFF_FFFF, bits >> 32
    return struct.pack("=6I", low, low, low, high, high, high)
