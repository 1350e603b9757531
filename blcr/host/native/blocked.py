"""
Threads that wait in a system call: what they waited for, since when, and going on.

A stop takes every thread out of its call.  Most calls the kernel makes again by itself,
unless a handler runs first; some fail with EINTR, and those are put back as calls that
the kernel goes on with in the same way; and of some only the kernel knows when they
end, so a restart has to make the kernel know it again (`resume`).

The state behind the call, with a restart code in place of the result, is what leaves
the decision to the kernel: a signal with a handler, though it comes while the thread is
held or was pending in a context, ends the call with EINTR, or has it made again
(ERESTARTSYS with SA_RESTART); without one the call is made again.

How long a thread has slept shows in `exec_start` of its scheduler statistics, in the
clock of the CPU on which it went to sleep; that clock is read beside CLOCK_MONOTONIC
on the same CPU.

Source: signal(7); handle_signal and arch_do_signal_or_restart in
arch/x86/kernel/signal.c; ptrace_unlink in kernel/ptrace.c, which has every thread that
is let go look for signals; kernel/sched/debug.c; Linux 6.12.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Sequence

from blcr.annotations import TYPE_CHECKING
from blcr.architecture import Arch, InterruptedCall, Registers
from blcr.context import records
from blcr.errors import RestartError, TaskGoneError
from blcr.host.native import procfs, ptrace, sleepers
from blcr.linux import blocking
from blcr.linux.constants import GENERIC
from blcr.record import Record

if TYPE_CHECKING:
    from blcr.host.native.process import NativeTask

EINTR = GENERIC["EINTR"]
ERESTARTSYS = GENERIC["ERESTARTSYS"]
ERESTARTNOHAND = GENERIC["ERESTARTNOHAND"]
ERESTART_RESTARTBLOCK = GENERIC["ERESTART_RESTARTBLOCK"]

_SLOT_DISTANCE = 512
"""Bytes below the red zone at which a changed timeout lies, for the kernel to read."""

_PROCESSOR_FIELD = 39
_ALL_SIGNALS = (1 << 64) - 1
_SMALLEST_POINTER = 4096
_NEVER_MADE_AGAIN = {"pause", "rt_sigsuspend", "sigsuspend"}
"""Calls without a timeout that every handler ends; signal(7)."""


class Seen(Record):
    """
    A thread asleep in a call, seen before the stop.

    Attributes:
        call: Number and arguments.
        since: When it fell asleep, CLOCK_MONOTONIC in ns; None: the kernel hides it.
        where: The kernel's function in which it sleeps; "": not asked for.
        stops: How often it had been stopped by us before, having not been seen asleep.
    """

    call: procfs.SystemCall
    since: int | None
    where: str
    stops: int = 0

    @property
    def asleep(self) -> bool:
        """Tell whether it slept in the call itself, not in a stop on the way."""
        return self.where not in ("", "0") and not any(
            word in self.where for word in ("stop", "freezer")
        )


class UnseenError(Exception):
    """A thread goes on by ``restart_syscall`` and was not seen asleep in it."""


class Waited(Record):
    """
    A thread that was taken out of a call.

    Attributes:
        call: The call with its own arguments, and the restart code.
        name: Its name.
        time_left: Of a relative timeout that neither registers nor memory tell, in ns.
        saved: General registers about to make the call with its own arguments.
        again: The same, with the time left.
        end: When the kernel will end it, CLOCK_MONOTONIC in ns; None: it has no end,
            or not one that only the kernel knows.
    """

    call: InterruptedCall
    name: str
    time_left: int | None
    saved: Registers
    again: Registers
    end: int | None = None

    def record(self) -> records.BlockedCall:
        """Return what a context keeps of it."""
        return records.BlockedCall(
            self.name, self.call.args, self.time_left, self.call.error
        )


def look(pid: int, tid: int, arch: Arch) -> Seen | None:
    """Return the call in which a running program's thread sleeps, or None."""
    call = procfs.system_call(pid, tid)
    if call is None:
        return None
    name = arch.syscall_name(call.number)
    if name != "restart_syscall" and not blocking.waiting(name or "", call.args):
        return Seen(call, None, "")
    where = procfs.read(pid, f"task/{tid}/wchan").decode(errors="replace")
    return Seen(call, _asleep_since(pid, tid), where)


def _asleep_since(pid: int, tid: int) -> int | None:
    """Return when a sleeping thread fell asleep, CLOCK_MONOTONIC in ns."""
    theirs = procfs.exec_start(pid, tid)
    if theirs is None:
        return None
    cpu = procfs.stat(pid, tid).field(_PROCESSOR_FIELD)
    allowed = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {cpu})
    except OSError:
        return None
    try:
        # Being put on the CPU again sets our own exec_start to now.
        time.sleep(0.00002)
        now = time.monotonic_ns()
        ours = procfs.exec_start(os.getpid(), _own_tid())
    finally:
        os.sched_setaffinity(0, allowed)
    if ours is None:
        return None
    return now - max(0, round((ours - theirs) * 1_000_000))


def _own_tid() -> int:
    """Return the id of the calling thread."""
    return int(os.readlink("/proc/thread-self").rpartition("/")[2])


def put_back(task: NativeTask, seen: Seen | None) -> Waited | None:
    """
    Note the call that the stop of a thread interrupted, and put it back if it fails.

    The first thing to be done after the stop.

    Raises:
        UnseenError: Which call it is shows once the thread sleeps in it again; nothing
            was changed.
    """
    stopped_at = time.monotonic_ns()
    arch, note = task.process.arch, task.process.arch.gp.note_type
    data = ptrace.register_set(task.outer_tid, note)
    if data is None:
        raise TaskGoneError(f"thread {task.outer_tid} ended while it was held")
    regs = arch.gp.decode(data)
    if arch.goes_back:
        return _put_back_from_outside(task, seen, regs, data, stopped_at)
    call = arch.interrupted_call(regs)
    if call is None:
        return None
    name = arch.syscall_name(call.number)
    filtered = call.error == ERESTART_RESTARTBLOCK and task.status.seccomp != 0
    failed = call.error == EINTR
    if failed:
        known = blocking.fails(name or "", call.args)
        if not known and name not in blocking.TIMED_BY_SOCKET:
            return None
        call = call._replace(error=ERESTARTNOHAND)
        data = arch.gp.encode(arch.set_result(regs, -ERESTARTNOHAND), data)
        ptrace.set_register_set(task.outer_tid, note, data)
    elif filtered:
        # The kernel would go on by a call that the filters may never have let pass.
        call = call._replace(error=ERESTARTNOHAND)
    if seen and seen.call.number != call.number:
        # It has gone from that call to this one before it stopped.
        seen = None
    end = None
    if name == "restart_syscall":
        if seen is None or not seen.asleep:
            raise UnseenError
        pid, tid = task.process.outer_pid, task.outer_tid
        noted = sleepers.find(pid, tid, call.args, stopped_at, seen.stops)
        name = noted.name if noted else _identify(arch, call, seen.where)
        end = noted.end if noted else None
    if name is None:
        return None
    call = call._replace(number=arch.syscalls[name])
    waited = _waited(task, regs, call, name, seen, stopped_at, end)
    if filtered or (failed and waited.again != waited.saved):
        again = arch.interrupt_call(waited.again, call.number, call.error)
        ptrace.set_register_set(task.outer_tid, note, arch.gp.encode(again, data))
    return waited


def _put_back_from_outside(
    task: NativeTask, seen: Seen | None, regs: Registers, data: bytes, stopped_at: int
) -> Waited | None:
    """
    Likewise, where the registers of a stopped thread do not tell its call.

    It was the one that was seen before the stop if the pc is before, or behind, it.
    What is put back is the state before it: `enter` leaves the rest to the kernel.
    """
    arch, note = task.process.arch, task.process.arch.gp.note_type
    if seen is None:
        return None
    number, args, pc = seen.call
    name = arch.syscall_name(number)
    inside = arch.interrupt_call(regs, number, ERESTARTSYS)
    ahead = inside[arch.pc] == pc and name != "restart_syscall"
    if ahead and any(
        regs[one] != arg for one, arg in zip(arch.call_args, args, strict=True)
    ):
        return None
    failed = (
        regs[arch.pc] == pc
        and arch.call_result(regs) == -EINTR
        and _fails(name or "", args)
    )
    if name is None or not (ahead or failed):
        return None
    kind = blocking.waiting(name, args)
    waits = kind is not None or name in _NEVER_MADE_AGAIN
    call = InterruptedCall(number, args, ERESTARTNOHAND if waits else ERESTARTSYS)
    waited = _waited(
        task, inside if ahead else regs, call, name, seen, stopped_at, None
    )
    if failed:
        again = arch.gp.encode(waited.again, data)
        ptrace.set_register_set(task.outer_tid, note, again)
    return waited


def _fails(name: str, args: Sequence[int]) -> bool:
    """Tell whether a call may return EINTR after a stop."""
    return blocking.fails(name, args) or name in blocking.TIMED_BY_SOCKET


def may_enter(arch: Arch, name: str, args: Sequence[int]) -> bool:
    """
    Tell whether a call has to be entered before a thread is let go, and can be.

    Those that fail after any stop would do so: being let go is like one.
    """
    return arch.goes_back and not _fails(name, args)


def enter(task: NativeTask) -> None:
    """
    Take a stopped thread, about to make a call, as far as the call.

    A signal that waits for it so ends the call, as one would have that came earlier.
    """
    mask = ptrace.signal_mask(task.outer_tid)
    ptrace.set_signal_mask(task.outer_tid, _ALL_SIGNALS)
    _resume_to_call(task.outer_tid)
    ptrace.set_signal_mask(task.outer_tid, mask)


def _waited(
    task: NativeTask,
    regs: Registers,
    call: InterruptedCall,
    name: str,
    seen: Seen | None,
    stopped_at: int,
    end: int | None,
) -> Waited:
    """Work out the time left, if `end` is not known, and what makes the call again."""
    arch, read = task.process.arch, task.process.read
    saved = again = arch.rewind_call(regs, call)
    try:
        total = blocking.timeout(arch, name, call.args, read)
        left = blocking.time_left(arch, name, call.args, read)
    except OSError:
        total = left = None
    kind = blocking.waiting(name, call.args)
    if total is None or kind is None or kind.after == "again":
        return Waited(call, name, None, saved, again)
    if left is None and end is not None:
        left = end - stopped_at
    if left is None:
        since = seen.since if seen and seen.since else stopped_at
        left = max(0, total - (stopped_at - since))
    again = with_time_left(task, saved, call, name, left)
    end = stopped_at + left if kind.after == "block" else None
    return Waited(call, name, left, saved, again, end)


def with_time_left(
    task: NativeTask, regs: Registers, call: InterruptedCall, name: str, left: int
) -> Registers:
    """
    Return registers that make a call with the time left of its timeout.

    A timeout in memory is not changed: the program may use it again.  The argument
    points below the thread's stack instead, where the kernel reads it as the call
    begins.
    """
    arch = task.process.arch
    slot = (regs[arch.sp] - arch.frame.red_zone - _SLOT_DISTANCE) & ~15
    args, data = blocking.with_timeout(arch, name, call.args, left, slot)
    if data:
        try:
            task.process.write(slot, data)
        except OSError:
            return regs
    return arch.rewind_call(
        arch.interrupt_call(regs, call.number, ERESTARTSYS),
        call._replace(args=args),
    )


def _identify(arch: Arch, call: InterruptedCall, where: str) -> str | None:
    """
    Return the call that ``restart_syscall`` stands for.

    Registers show only the arguments.  Four calls use it, and the kernel's function in
    which the thread slept tells them apart but for the two sleeps (of which it shows
    no function of their own) and for 32-bit calls of two generations, of which C
    libraries use the older for what fits into 32 bits, some decades.
    """
    small = call.args[0] < _SMALLEST_POINTER or call.args[0] >= arch.task_size
    if "futex" in where:
        names = ["futex", "futex_time64"]
    elif "poll" in where:
        names = ["poll"]
    elif small:
        names = ["clock_nanosleep", "clock_nanosleep_time64"]
    else:
        names = ["nanosleep"]
    return next((name for name in names if name in arch.syscalls), None)


def resume(task: NativeTask, record: records.BlockedCall) -> None:
    """
    Have a thread of our own making wait in a call, as after the stop that saved it.

    The registers about to make the call have been set.  They get the time that is left
    and the state of the interruption, so that signals which are pending end the call
    as they would have.  A call whose end only the kernel knows is really begun.
    """
    arch, tid = task.process.arch, task.outer_tid
    note = arch.gp.note_type
    data = ptrace.register_set(tid, note)
    if data is None:
        raise TaskGoneError(f"thread {tid} ended while it was made")
    regs = arch.gp.decode(data)
    number, error = arch.syscalls.get(record.name), record.restart
    task.enters = may_enter(arch, record.name, record.args)
    if number is None:
        raise RestartError(
            f"thread {task.tid}: waits in '{record.name}', not known here"
        )
    if record.time_left is not None:
        call = InterruptedCall(number, record.args, error)
        again = with_time_left(task, regs, call, record.name, record.time_left)
        kind = blocking.waiting(record.name, record.args)
        begun = kind and kind.after == "block" and not arch.goes_back
        if begun and error != ERESTARTNOHAND:
            ptrace.set_register_set(tid, note, arch.gp.encode(again, data))
            _begin(task, record, regs, number)
            return
        regs = again
    if arch.goes_back:
        error = 0
    if error == ERESTART_RESTARTBLOCK:
        # The kernel knows no end of it, so that the code means no more than this one.
        error = ERESTARTNOHAND
    if error:
        regs = arch.interrupt_call(regs, number, error)
    ptrace.set_register_set(tid, note, arch.gp.encode(regs, data))


def _begin(
    task: NativeTask, record: records.BlockedCall, rewound: Registers, number: int
) -> None:
    """
    Make the call that the registers are about to make, and interrupt it asleep.

    The registers are then those of the interruption, with the call's own arguments; a
    call that is over by then has its result.
    """
    arch, tid, note = task.process.arch, task.outer_tid, task.process.arch.gp.note_type
    mask = ptrace.signal_mask(tid)
    ptrace.set_signal_mask(tid, _ALL_SIGNALS)
    _resume_to_call(tid)
    ptrace.request(ptrace.PTRACE_SYSCALL, tid)
    _await_sleep(task, number)
    # The stop at the end of the call has used up the first interrupt.
    ptrace.interrupt(tid)
    ptrace.resume(tid)
    _await_event_stop(tid)
    after = ptrace.register_set(tid, note)
    ptrace.set_signal_mask(tid, mask)
    if after is None:
        raise TaskGoneError(f"thread {tid} ended while it was made")
    result = arch.call_result(arch.gp.decode(after))
    if result == -ERESTART_RESTARTBLOCK:
        assert record.time_left is not None, "only such calls are begun"
        task.wakes_at = time.monotonic_ns() + record.time_left
        regs = arch.interrupt_call(rewound, number, ERESTART_RESTARTBLOCK)
    else:
        done = arch.interrupt_call(rewound, number, ERESTARTSYS)
        regs = arch.set_result(done, result)
    ptrace.set_register_set(tid, note, arch.gp.encode(regs, after))


def _resume_to_call(tid: int) -> None:
    """Run a thread up to the call that it is about to make."""
    ptrace.request(ptrace.PTRACE_SYSCALL, tid)
    while True:
        stop = ptrace.wait(tid)
        if stop and stop.signal == signal.SIGTRAP | 0x80:
            return
        ptrace.request(ptrace.PTRACE_SYSCALL, tid)


def _await_sleep(task: NativeTask, number: int) -> None:
    """Wait until a thread sleeps in the call, and end it; or until it is over."""
    tid, deadline = task.outer_tid, time.monotonic() + 5
    while True:
        stop = ptrace.wait(tid, os.WNOHANG)
        if stop is not None:
            return
        asleep = procfs.stat(task.process.outer_pid, tid).state == "S"
        seen = procfs.system_call(task.process.outer_pid, tid) if asleep else None
        if seen and seen.number == number:
            ptrace.interrupt(tid)
            ptrace.wait(tid)
            return
        if time.monotonic() > deadline:
            raise RestartError(f"thread {task.tid}: does not go on waiting in its call")
        time.sleep(0.0001)


def _await_event_stop(tid: int) -> None:
    """Wait for the stop that an interrupt asked for."""
    while True:
        stop = ptrace.wait(tid)
        if stop and stop.event == ptrace.PTRACE_EVENT_STOP:
            return
        ptrace.resume(tid)
