"""
Signals.

Source: rt_sigaction(2), sigprocmask(2), sigaltstack(2), kill(2), sigtimedwait(2).
"""

from __future__ import annotations

import errno

from blcr.architecture import AlternateStack
from blcr.host.emulated import family, signals
from blcr.host.emulated.calls.table import call, fail, timed
from blcr.host.emulated.calls.time import fetch_time
from blcr.host.emulated.signals import UNBLOCKABLE, bit, send, sent_by
from blcr.host.emulated.tasks import (
    Action,
    Blocked,
    Guest,
    Thread,
    Wait,
    signed,
)

SIGSET_SIZE = 8
_LAST = 64
_FLAGS = """
    SA_NOCLDSTOP SA_NOCLDWAIT SA_SIGINFO SA_ONSTACK SA_RESTART SA_NODEFER SA_RESETHAND
    SA_RESTORER
"""


def checked(number: int) -> int:
    """Return the number of a signal; EINVAL if there is none."""
    number = signed(number)
    if not 1 <= number <= _LAST:
        raise fail(errno.EINVAL)
    return number


@call("rt_sigaction")
def rt_sigaction(thread: Thread, number: int, new: int, old: int, size: int) -> int:
    """Look at, or set, what happens on a signal."""
    guest = thread.guest
    number = checked(number)
    if size != SIGSET_SIZE or (new and bit(number) & UNBLOCKABLE):
        raise fail(errno.EINVAL)
    before = guest.actions.get(number, Action())
    if new:
        row = guest.fetch("sigaction", new)
        row.setdefault("restorer", 0)
        row["mask"] &= ~UNBLOCKABLE
        # What is not known is left out, by which a program can tell.
        row["flags"] &= guest.bits(_FLAGS)
        guest.actions[number] = Action(**{name: row[name] for name in Action._fields})
    if old:
        fields = guest.structure("sigaction").fields
        guest.store(
            "sigaction",
            old,
            **{k: v for k, v in before._asdict().items() if k in fields},
        )
    return 0


@call("rt_sigprocmask")
def rt_sigprocmask(thread: Thread, how: int, new: int, old: int, size: int) -> int:
    """Look at, or change, the thread's blocked signals."""
    guest, names, before = thread.guest, thread.guest.constants, thread.mask
    if size != SIGSET_SIZE:
        raise fail(errno.EINVAL)
    if new:
        mask = guest.fetch("sigset", new)["mask"]
        if how == names["SIG_BLOCK"]:
            mask |= before
        elif how == names["SIG_UNBLOCK"]:
            mask = before & ~mask
        elif how != names["SIG_SETMASK"]:
            raise fail(errno.EINVAL)
        thread.mask = mask & ~UNBLOCKABLE
    if old:
        guest.store("sigset", old, mask=before)
    return 0


@call("rt_sigpending")
def rt_sigpending(thread: Thread, result: int, size: int) -> int:
    """Tell which blocked signals are waiting."""
    if size != SIGSET_SIZE:
        raise fail(errno.EINVAL)
    mask = signals.pending_mask(thread) & thread.mask
    thread.guest.store("sigset", result, mask=mask)
    return 0


@call("sigaltstack")
def sigaltstack(thread: Thread, new: int, old: int) -> int:
    """Look at, or set, the stack that handlers run on."""
    guest, names = thread.guest, thread.guest.constants
    before = thread.altstack
    sp = guest.cpu.general()[guest.arch.sp] if thread.load() else 0
    inside = before.size and before.address < sp <= before.address + before.size
    if old:
        flags = before.flags | (names["SS_ONSTACK"] if inside else 0)
        guest.store(
            "sigaltstack", old, sp=before.address, flags=flags, size=before.size
        )
    if new:
        row = guest.fetch("sigaltstack", new)
        flags = row["flags"] & 0xFFFF_FFFF
        if inside:
            raise fail(errno.EPERM)
        if flags & ~(
            names["SS_DISABLE"] | names["SS_ONSTACK"] | names["SS_AUTODISARM"]
        ):
            raise fail(errno.EINVAL)
        if flags & names["SS_DISABLE"]:
            thread.altstack = AlternateStack(0, names["SS_DISABLE"], 0)
        elif row["size"] < guest.constants.get("MINSIGSTKSZ", 2048):
            raise fail(errno.ENOMEM)
        else:
            flags &= names["SS_AUTODISARM"]
            thread.altstack = AlternateStack(row["sp"], flags, row["size"])
    return 0


@call("rt_sigreturn")
def rt_sigreturn(thread: Thread) -> None:
    """Return from a handler with siginfo."""
    signals.return_from(thread, rt=True)


@call("sigreturn")
def sigreturn(thread: Thread) -> None:
    """Return from a handler of the old kind."""
    signals.return_from(thread, rt=False)


@call("rt_sigsuspend")
def rt_sigsuspend(thread: Thread, mask: int, size: int) -> int:
    """Wait for a signal with other signals blocked."""
    use_mask(thread, mask, size)
    raise Blocked(Wait(restarts=False))


@call("pause")
def pause(_thread: Thread) -> int:
    """Wait for a signal."""
    raise Blocked(Wait(restarts=False))


def use_mask(thread: Thread, mask: int, size: int) -> None:
    """Block other signals for as long as the call being made lasts; 0: the same."""
    if not mask or thread.restore_mask is not None:
        return
    if size != SIGSET_SIZE:
        raise fail(errno.EINVAL)
    wanted = thread.guest.fetch("sigset", mask)["mask"]
    thread.restore_mask, thread.mask = thread.mask, wanted & ~UNBLOCKABLE
    if signals.concerned(thread):
        # A signal that was only waiting for this mask ends the call at once.
        raise Blocked(Wait(restarts=False))


@timed(rt_sigtimedwait="timespec", rt_sigtimedwait_time64="timespec64")
def rt_sigtimedwait(
    thread: Thread, unit: str, wanted: int, info: int, timeout: int, size: int
) -> int:
    """Wait for one of some blocked signals and take it."""
    guest = thread.guest
    if size != SIGSET_SIZE:
        raise fail(errno.EINVAL)
    mask = guest.fetch("sigset", wanted)["mask"] & ~UNBLOCKABLE
    end = thread.deadline(fetch_time(guest, unit, timeout) if timeout else None)
    taken = signals.take(thread, mask)
    if taken is not None:
        if info:
            guest.space.write(info, taken)
        return signals.number_of(guest, taken)
    if end is not None and guest.machine.monotonic() >= end:
        raise fail(errno.EAGAIN)
    raise Blocked(Wait(end, restarts=False, awaits=mask))


def _find(thread: Thread, pid: int) -> Guest:
    guest = thread.guest.machine.guests.get(pid)
    if guest is None:
        raise fail(errno.ESRCH)
    return guest


@call("kill")
def kill(thread: Thread, pid: int, number: int) -> int:
    """Send a signal to a process, or to all of one's group."""
    guest, pid, number = thread.guest, signed(pid), signed(number)
    machine = guest.machine
    if pid > 0:
        guests = [_find(thread, pid)]
    elif pid == -1:
        guests = [one for one in machine.guests.values() if one is not guest]
    else:
        guests = family.group(machine, -pid or guest.pgid)
    if not guests:
        raise fail(errno.ESRCH)
    if number:
        checked(number)
        for target in guests:
            send(target, sent_by(guest, number, "SI_USER"))
    return 0


@call("tkill")
def tkill(thread: Thread, tid: int, number: int) -> int:
    """Send a signal to a thread."""
    target = next((t for t in thread.guest.machine.threads() if t.tid == tid), None)
    if target is None:
        raise fail(errno.ESRCH)
    if number:
        send(target, sent_by(thread.guest, checked(number), "SI_TKILL"))
    return 0


@call("tgkill")
def tgkill(thread: Thread, pid: int, tid: int, number: int) -> int:
    """Send a signal to a thread of a process."""
    if tid not in _find(thread, pid).threads:
        raise fail(errno.ESRCH)
    return tkill(thread, tid, number) or 0


@call("rt_sigqueueinfo")
def rt_sigqueueinfo(thread: Thread, pid: int, number: int, info: int) -> int:
    """Send a signal with a siginfo of the sender's to a process."""
    send(_find(thread, pid), info_of(thread, number, info))
    return 0


@call("rt_tgsigqueueinfo")
def rt_tgsigqueueinfo(
    thread: Thread, pid: int, tid: int, number: int, info: int
) -> int:
    """Send a signal with a siginfo of the sender's to a thread."""
    target = _find(thread, pid).threads.get(tid)
    if target is None:
        raise fail(errno.ESRCH)
    send(target, info_of(thread, number, info))
    return 0


def info_of(thread: Thread, number: int, info: int) -> bytes:
    """Return the siginfo at an address, for a signal."""
    guest = thread.guest
    data = guest.space.read(info, guest.structure("siginfo").size)
    order = guest.arch.layout.byteorder
    return checked(number).to_bytes(4, order) + data[4:]
