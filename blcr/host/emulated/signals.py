"""
Signals: sending, and what happens on arrival.

A signal is the 128 bytes of its siginfo.  It is delivered between two instructions of a
thread: ignored, or its default action taken, or a frame built for the handler that
`Arch.frame` lays out as the kernel does.

Source: signal(7); kernel/signal.c of Linux 6.12.
"""

from __future__ import annotations

import os
import struct
import sys
from contextlib import suppress

from blcr.annotations import TYPE_CHECKING
from blcr.architecture import AlternateStack, FrameRequest, InterruptedCall
from blcr.errors import ArchitectureError
from blcr.host.emulated import family
from blcr.host.emulated.cpu import Trap
from blcr.host.emulated.tasks import NO_ALTSTACK, Action, Ended, Thread
from blcr.linux.constants import GENERIC

if TYPE_CHECKING:
    from blcr.host.emulated.tasks import Guest, Interrupted, Wait

SIG_DFL, SIG_IGN = GENERIC["SIG_DFL"], GENERIC["SIG_IGN"]
_IGNORED = {GENERIC[n] for n in "SIGCHLD SIGURG SIGWINCH SIGCONT".split()}
_STOPPING = {GENERIC[n] for n in "SIGSTOP SIGTSTP SIGTTIN SIGTTOU".split()}
_DUMPING = {
    GENERIC[n]
    for n in """
        SIGQUIT SIGILL SIGTRAP SIGABRT SIGBUS SIGFPE SIGSEGV SIGXCPU SIGXFSZ SIGSYS
    """.split()
}
_KILL, _STOP, _CONT = GENERIC["SIGKILL"], GENERIC["SIGSTOP"], GENERIC["SIGCONT"]
_REAL_TIME = GENERIC["SIGRTMIN"]
_CORE_FLAG = 0x80
_ONE = (1).to_bytes(8, sys.byteorder)
UNBLOCKABLE = 1 << _KILL - 1 | 1 << _STOP - 1
_CONT_BITS = 1 << _CONT - 1
_STOPPING_BITS = sum(1 << number - 1 for number in _STOPPING)
_ALTSTACK_OF_THREAD = GENERIC["SS_ONSTACK"]
_ERESTARTSYS = GENERIC["ERESTARTSYS"]


def bit(number: int) -> int:
    """Return a signal's bit in a mask."""
    return 1 << number - 1


def number_of(guest: Guest, info: bytes) -> int:
    """Return the signal that a siginfo is of."""
    return int.from_bytes(info[:4], guest.arch.layout.byteorder)


def sent_by(guest: Guest, number: int, code: str) -> bytes:
    """Return the siginfo of a signal that a guest sends."""
    return guest.structure("siginfo_kill").pack(
        signo=number, code=GENERIC[code], pid=guest.pid, uid=os.getuid()
    )


def from_outside(guest: Guest, number: int) -> bytes:
    """Return the siginfo of a signal that comes from outside the machine."""
    return guest.structure("siginfo_kill").pack(signo=number, code=GENERIC["SI_USER"])


def from_kernel(guest: Guest, number: int) -> bytes:
    """Return the siginfo of a signal that the kernel sends by itself."""
    return guest.structure("siginfo").pack(signo=number, code=GENERIC["SI_KERNEL"])


def send(target: Guest | Thread, info: bytes) -> None:
    """Queue a signal for a process, or for one of its threads."""
    if isinstance(target, Thread):
        guest, blocked = target.guest, target.mask
    elif target.threads:
        guest, blocked = target, target.leader.mask
    else:
        return
    number = number_of(guest, info)
    if number in _STOPPING:
        _forget(guest, _CONT_BITS)
    elif number == _CONT:
        _forget(guest, _STOPPING_BITS)
        family.go_on(guest)
    elif number == _KILL:
        guest.stopped = False
    awaited = any(
        t.wait and t.wait.awaits & bit(number) for t in guest.threads.values()
    )
    if _is_ignored(guest, number) and not blocked & bit(number) and not awaited:
        return
    if number < _REAL_TIME and any(
        number_of(guest, other) == number for other in target.pending
    ):
        return
    if _is_too_many(guest) and _code_of(guest, info) < 0:
        # The signal comes, but not what was to come with it.
        info = guest.structure("siginfo_kill").pack(
            signo=number, code=GENERIC["SI_USER"]
        )
    target.pending.append(info)
    if guest.has_signalfd:
        show(guest)


def _is_too_many(guest: Guest) -> bool:
    """Tell whether as many signals are queued as there may be."""
    queued = sum(len(thread.pending) for thread in guest.threads.values())
    return len(guest.pending) + queued >= guest.limits[GENERIC["RLIMIT_SIGPENDING"]][0]


def _code_of(guest: Guest, info: bytes) -> int:
    code: int = guest.structure("siginfo").unpack(info)["code"]
    return code


def show(guest: Guest) -> None:
    """Make signalfds ready for which there are signals, and no others."""
    for _, entry in guest.descriptors:
        if entry.file.kind == "signalfd":
            queues: list[Guest | Thread] = [guest, *guest.threads.values()]
            waiting = any(
                entry.file.signals & bit(number_of(guest, info))
                for one in queues
                for info in one.pending
            )
            with suppress(BlockingIOError):
                os.read(entry.file.fd, 8)
            if waiting:
                os.write(entry.file.fd, _ONE)


def _forget(guest: Guest, numbers: int) -> None:
    """Drop queued signals that another one takes back."""
    queues: list[Guest | Thread] = [guest, *guest.threads.values()]
    for one in queues:
        one.pending = [i for i in one.pending if not numbers & bit(number_of(guest, i))]


def concerned(thread: Thread) -> bool:
    """Tell whether a signal is there that a waiting thread has to look at."""
    if not thread.pending and not thread.guest.pending:
        return False
    passed = thread.mask & ~(thread.wait.awaits if thread.wait else 0)
    if thread.wait is not None and thread.wait.held:
        passed = ~bit(_KILL)
    return any(
        not passed & bit(number_of(thread.guest, info))
        for info in (*thread.pending, *thread.guest.pending)
    )


def pending_mask(thread: Thread) -> int:
    """Return the signals that are queued for a thread or its process."""
    guest = thread.guest
    found = 0
    for info in (*thread.pending, *guest.pending):
        found |= bit(number_of(guest, info))
    return found


def take(thread: Thread, wanted: int) -> bytes | None:
    """Take the first queued signal of a set out of the queue, lowest numbers first."""
    guest = thread.guest
    for queue in (thread.pending, guest.pending):
        fitting = [info for info in queue if wanted & bit(number_of(guest, info))]
        if fitting:
            info = min(fitting, key=lambda info: number_of(guest, info))
            queue.remove(info)
            if guest.has_signalfd:
                show(guest)
            return info
    return None


def deliver(thread: Thread) -> None:
    """
    Let a thread meet the signals that it does not block.

    Raises:
        Ended: The process is no more.
    """
    guest = thread.guest
    while (thread.pending or guest.pending) and not guest.stopped:
        held = thread.wait is not None and thread.wait.held
        wanted = bit(_KILL) if held else ~thread.mask | UNBLOCKABLE
        info = take(thread, wanted)
        if info is None:
            return
        number = number_of(guest, info)
        action = guest.actions.get(number, Action())
        if action.handler == SIG_IGN or (
            action.handler == SIG_DFL and number in _IGNORED
        ):
            continue
        if action.handler == SIG_DFL or number in {_KILL, _STOP}:
            _take_default(guest, number)
        else:
            _call_handler(thread, number, info, action)


def fault(thread: Thread, trap: Trap) -> None:
    """Send a thread the signal for what it did; blocked or ignored, it is fatal."""
    guest = thread.guest
    number = guest.constants[trap.signal]
    action = guest.actions.get(number, Action())
    if thread.mask & bit(number) or action.handler == SIG_IGN:
        thread.mask &= ~bit(number)
        guest.actions[number] = Action()
    kind = "siginfo" if trap.code == "SI_KERNEL" else "siginfo_fault"
    values = {"signo": number, "code": guest.constants[trap.code]}
    if kind == "siginfo_fault":
        values["addr"] = trap.address
    thread.pending.insert(0, guest.structure(kind).pack(**values))


def _is_ignored(guest: Guest, number: int) -> bool:
    handler = guest.actions.get(number, Action()).handler
    return handler == SIG_IGN or (handler == SIG_DFL and number in _IGNORED)


def _take_default(guest: Guest, number: int) -> None:
    if number in _STOPPING:
        family.stop(guest, number)
        return
    core = _CORE_FLAG if number in _DUMPING else 0
    guest.machine.end_guest(guest, number | core)
    raise Ended


def _call_handler(thread: Thread, number: int, info: bytes, action: Action) -> None:
    """Build the frame of a handler, so that the thread runs it next."""
    guest, arch = thread.guest, thread.guest.arch
    cpu = thread.load()
    if thread.wait is not None:
        _break_off(thread, thread.wait, action)
    elif thread.interrupted is not None:
        _give_up_call(thread, thread.interrupted, action)
    thread.leave_sequence()
    saved_mask = thread.mask if thread.restore_mask is None else thread.restore_mask
    thread.restore_mask = None
    sets = {
        registers.note_type: data
        for registers in arch.register_sets
        if (data := cpu.read_set(registers.note_type)) is not None
    }
    sp = arch.gp.decode(sets[arch.gp.note_type])[arch.sp] - arch.frame.red_zone
    stack = thread.altstack
    usable = stack.size and not stack.flags & GENERIC["SS_DISABLE"]
    on_stack = usable and stack.address < sp <= stack.address + stack.size
    if action.flags & GENERIC["SA_ONSTACK"] and usable and not on_stack:
        sp = stack.address + stack.size
    flags = stack.flags | (_ALTSTACK_OF_THREAD if on_stack else 0)
    frame = arch.frame.build(
        FrameRequest(
            sp=sp,
            sets=sets,
            mask=saved_mask,
            altstack=AlternateStack(stack.address, flags, stack.size),
            signal=number,
            siginfo=info,
            handler=action.handler,
            flags=action.flags,
            restorer=_restorer(guest, action),
        )
    )
    try:
        guest.space.write(frame.address, frame.data)
        start = guest.function_start(action.handler)
    except OSError:
        # No stack to run a handler on: the kernel kills with SIGSEGV.
        _take_default(guest, guest.constants["SIGSEGV"])
    if stack.flags & GENERIC["SS_AUTODISARM"]:
        thread.altstack = NO_ALTSTACK
    cpu.write_set(arch.gp.note_type, frame.registers)
    for note_type, data in frame.sets.items():
        cpu.write_set(note_type, data)
    cpu.set_general(start)
    if action.flags & GENERIC["SA_RESETHAND"]:
        guest.actions[number] = Action()
    thread.mask |= action.mask & ~UNBLOCKABLE
    if not action.flags & GENERIC["SA_NODEFER"]:
        thread.mask |= bit(number)


def _restorer(guest: Guest, action: Action) -> int:
    """Return where a handler returns to; 0: to code in its frame."""
    ignored = guest.arch.frame.ignores_restorer
    if action.flags & GENERIC["SA_RESTORER"] and action.restorer and not ignored:
        return action.restorer
    return guest.vdso.way_back(guest, rt=bool(action.flags & GENERIC["SA_SIGINFO"]))


def _break_off(thread: Thread, wait: Wait, action: Action) -> None:
    """End the call in which a thread waits, for a handler to run."""
    call, arch, cpu = thread.call, thread.guest.arch, thread.guest.cpu
    assert call is not None, "a thread waits in a call"
    thread.guest.machine.futexes.leave(thread)
    thread.wait = thread.call = None
    if wait.result is not None or wait.progress:
        cpu.set_result(wait.progress if wait.result is None else wait.result)
    elif wait.restarts and action.flags & GENERIC["SA_RESTART"]:
        interrupted = InterruptedCall(call.number, call.args, _ERESTARTSYS)
        cpu.set_general(arch.rewind_call(cpu.general(), interrupted))
    else:
        if wait.interrupt is not None:
            wait.interrupt()
        cpu.set_result(-GENERIC["EINTR"])


def _give_up_call(thread: Thread, call: Interrupted, action: Action) -> None:
    """End the call that a checkpoint has interrupted, for a handler to run."""
    arch, cpu = thread.guest.arch, thread.guest.cpu
    thread.interrupted = None
    if not (call.restarts and action.flags & GENERIC["SA_RESTART"]):
        ended = arch.interrupt_call(cpu.general(), call.number, GENERIC["EINTR"])
        cpu.set_general(ended)


def return_from(thread: Thread, *, rt: bool) -> None:
    """Put back what a signal frame holds (``sigreturn``); a bad one is fatal."""
    guest, arch = thread.guest, thread.guest.arch
    cpu = thread.load()
    data = cpu.read_set(arch.gp.note_type)
    assert data is not None, "every CPU has general registers"
    try:
        restored = arch.frame.parse({arch.gp.note_type: data}, guest.space.read, rt)
        for note_type, values in restored.sets.items():
            cpu.write_set(note_type, values)
    except (OSError, ValueError, struct.error, ArchitectureError):
        fault(thread, Trap("SIGSEGV", "SI_KERNEL", 0))
        return
    thread.mask = restored.mask & ~UNBLOCKABLE
    if restored.altstack is not None:
        stack = restored.altstack
        thread.altstack = stack._replace(flags=stack.flags & ~_ALTSTACK_OF_THREAD)
