"""
Processes and their children: making one, becoming another program, ending, telling.

A process that has ended stays in the machine's table, without threads and memory,
until its parent has asked how it ended.

Source: fork(2), vfork(2), execve(2), wait(2), setpgid(2), credentials(7);
kernel/fork.c, exit.c and signal.c of Linux 6.12.
"""

from __future__ import annotations

import os
from contextlib import suppress

from blcr.annotations import TYPE_CHECKING
from blcr.errors import NoSuchProcessError
from blcr.host.emulated import loader, signals, terminals
from blcr.host.emulated.tasks import NO_ALTSTACK, Action, Ended, Guest, Thread, Wait
from blcr.host.emulated.vdso import Vdso
from blcr.linux.constants import GENERIC
from blcr.record import Record

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from blcr.host.emulated.loader import Program
    from blcr.host.emulated.machine import Machine

ORPHANS_PARENT = 1
"""What getppid(2) says once a parent is gone; there is no such process here."""

_SIGCHLD, _SIGCONT = GENERIC["SIGCHLD"], GENERIC["SIGCONT"]
_CONTINUED = 0xFFFF


class Change(Record):
    """
    What has become of a process, for its parent to ask.

    Attributes:
        code: ``CLD_*`` by name.
        number: Exit status, or signal.
    """

    code: str
    number: int

    @property
    def status(self) -> int:
        """As wait4(2) stores it."""
        if self.code == "CLD_EXITED":
            return self.number << 8
        if self.code == "CLD_STOPPED":
            return self.number << 8 | 0x7F
        if self.code == "CLD_CONTINUED":
            return _CONTINUED
        return self.number | (0x80 if self.code == "CLD_DUMPED" else 0)


def ended(status: int) -> Change:
    """Return the change that a wait status tells of."""
    if not status & 0x7F:
        return Change("CLD_EXITED", status >> 8)
    return Change("CLD_DUMPED" if status & 0x80 else "CLD_KILLED", status & 0x7F)


# Beginning.


def fork(thread: Thread, *, share_memory: bool, share_files: bool) -> Guest:
    """
    Return a new process like the one of `thread`, still without a thread.

    Raises:
        OSError: ENOMEM, EAGAIN.
    """
    parent, machine = thread.guest, thread.guest.machine
    pid = machine.new_pid()
    space = parent.space if share_memory else parent.space.copy()
    if share_memory:
        space.users += 1
    files = parent.descriptors
    if share_files:
        files.users += 1
    else:
        files = files.copy()
    child = Guest(machine, parent.arch, pid, files, space)
    child.ppid, child.pgid, child.sid = parent.pid, parent.pgid, parent.sid
    child.actions = dict(parent.actions)
    child.cwd, child.umask, child.exe = parent.cwd, parent.umask, parent.exe
    child.elf_flags = parent.elf_flags
    child.layout, child.personality = parent.layout, parent.personality
    child.dumpable, child.no_new_privs = parent.dumpable, parent.no_new_privs
    child.vdso, child.limits = parent.vdso, list(parent.limits)
    child.barriers = parent.barriers
    child.has_signalfd = parent.has_signalfd
    machine.guests[child.pid] = child
    return child


def reset_actions(guest: Guest) -> None:
    """Have signals that are handled do what they do by default again."""
    guest.actions = {
        number: Action(handler=signals.SIG_IGN)
        for number, action in guest.actions.items()
        if action.handler == signals.SIG_IGN
    }


def execute(thread: Thread, program: Program, env: Sequence[str]) -> None:
    """
    Become another program.

    Raises:
        Ended: Always: the thread that asked is no more.
    """
    guest, machine = thread.guest, thread.guest.machine
    for other in guest.threads.values():
        machine.futexes.leave(other)
        with suppress(OSError):
            machine.futexes.bequeath(other)
    mask, pending = thread.mask, thread.pending
    guest.threads.clear()
    guest.let_go()
    guest.become(program.executable.arch)
    if guest.descriptors.users > 1:
        guest.descriptors.leave()
        guest.descriptors = guest.descriptors.copy()
    guest.descriptors.close_on_exec()
    reset_actions(guest)
    guest.vdso, guest.parent_death_signal, guest.lock_future = Vdso(), 0, 0
    guest.barriers = 0
    guest.posix_timers.clear()
    try:
        new = loader.load(guest, program, env)
    except OSError:
        # The old program is gone already.
        machine.end_guest(guest, GENERIC["SIGKILL"])
    else:
        new.mask, new.pending, new.altstack = mask, pending, NO_ALTSTACK
        new.scheduling = thread.scheduling
    raise Ended


# Ending.


def end(guest: Guest, status: int) -> None:
    """End a process: free what it has, and tell those who have to do with it."""
    machine = guest.machine
    guest.status, guest.last_comm = status, guest.comm
    if guest.end_mark is not None:
        guest.end_mark.set()
    for thread in guest.threads.values():
        machine.futexes.leave(thread)
        machine.futexes.bequeath(thread)
    guest.threads.clear()
    guest.timers.clear()
    guest.posix_timers.clear()
    guest.space.leave()
    guest.descriptors.leave()
    guest.let_go()
    machine.ipc.undo(guest)
    machine.senders.end(guest.pid)
    if guest.sid == guest.pid:
        terminals.take(guest)
    for child in list(children(guest)):
        _let_orphans_go(child, guest)
        child.ppid = _next_parent(guest)
        if child.parent_death_signal:
            info = signals.sent_by(guest, child.parent_death_signal, "SI_USER")
            signals.send(child, info)
        if child.status is not None:
            tell_parent(child, ended(child.status))
    if guest.ppid in machine.guests:
        _let_orphans_go(guest, machine.guests[guest.ppid])
    tell_parent(guest, ended(status))


def _let_orphans_go(guest: Guest, parent: Guest) -> None:
    """Wake a group that nobody would any more, if one of these two was who could."""
    leads_out = parent.pgid != guest.pgid and parent.sid == guest.sid
    if not leads_out or not is_orphaned(guest.machine, guest.pgid):
        return
    if any(one.stopped for one in group(guest.machine, guest.pgid)):
        for name in ("SIGHUP", "SIGCONT"):
            terminals.signal_group(guest.machine, guest.pgid, name)


def is_orphaned(machine: Machine, pgid: int) -> bool:
    """Tell whether nobody in its session is there to care for a process group."""
    return not any(
        (parent := machine.guests.get(one.ppid))
        and parent.threads
        and parent.pgid != pgid
        and parent.sid == one.sid
        for one in group(machine, pgid)
        if one.threads
    )


def _next_parent(guest: Guest) -> int:
    """Return who takes over the children of a process that ends."""
    guests, seen = guest.machine.guests, guest
    while seen.ppid in guests:
        seen = guests[seen.ppid]
        if seen.child_subreaper and seen.threads:
            return seen.pid
    return ORPHANS_PARENT


def tell_parent(guest: Guest, change: Change) -> None:
    """Let the parent know: by a signal, and by ending its wait."""
    machine, parent = guest.machine, guest.machine.guests.get(guest.ppid)
    is_end = guest.status is not None
    if not is_end:
        guest.change = change
    if parent is None or not parent.threads:
        if is_end and guest.ppid:
            del machine.guests[guest.pid]
        return
    action = parent.actions.get(_SIGCHLD, Action())
    if is_end:
        if guest.exit_signal == _SIGCHLD and (
            action.handler == signals.SIG_IGN or action.flags & GENERIC["SA_NOCLDWAIT"]
        ):
            reap(guest)
        number = guest.exit_signal
    else:
        number = 0 if action.flags & GENERIC["SA_NOCLDSTOP"] else _SIGCHLD
    if number:
        signals.send(parent, _info(parent, guest, change, number))
    for thread in parent.threads.values():
        if thread.wait is not None and thread.wait.for_children:
            thread.wait.woken = True


def _info(parent: Guest, child: Guest, change: Change, number: int) -> bytes:
    return parent.structure("siginfo_child").pack(
        signo=number,
        code=GENERIC[change.code],
        pid=child.pid,
        uid=os.getuid(),
        status=change.number,
        utime=child.cpu_time() // 10**7,
    )


def reap(guest: Guest) -> None:
    """Remove a process that has ended and was asked for."""
    machine = guest.machine
    parent = machine.guests.get(guest.ppid)
    if parent is not None:
        parent.children_ns += guest.cpu_time() + guest.children_ns
    machine.guests.pop(guest.pid, None)


# Relations.


def children(guest: Guest) -> Iterator[Guest]:
    """Yield the children of a process, the eldest first."""
    for other in guest.machine.guests.values():
        if other.ppid == guest.pid:
            yield other


def group(machine: Machine, pgid: int) -> list[Guest]:
    """Return the members of a process group."""
    return [one for one in machine.guests.values() if one.pgid == pgid]


def select(machine: Machine, scope: str, number: int) -> list[Guest]:
    """
    Return the guests that a request means, parents first.

    Args:
        machine: Where they are.
        scope: ``"pid"``, ``"tree"``, ``"pgid"`` or ``"sid"``.
        number: The id; 0: all that there are.

    Raises:
        NoSuchProcessError: There is none.
    """
    living = [one for one in machine.guests.values() if one.threads]
    if scope in {"pgid", "sid"} and number:
        found = [one for one in living if getattr(one, scope) == number]
    else:
        found = [one for one in living if number in {0, one.pid}]
    if not found:
        what = "process" if scope in {"pid", "tree"} else scope
        raise NoSuchProcessError(f"the machine has no {what} {number or ''}".rstrip())
    pids = {one.pid for one in found}
    ordered = [one for one in found if one.ppid not in pids]
    ordered.sort(key=lambda one: one.pid != number)
    for one in ordered:
        ordered += [
            child
            for child in children(one)
            if child.threads and (child in found or scope == "tree")
        ]
    return ordered


# Stopping.


def stop(guest: Guest, number: int) -> None:
    """Stop a process by a signal."""
    guest.stopped = True
    tell_parent(guest, Change("CLD_STOPPED", number))


def go_on(guest: Guest) -> None:
    """Let a stopped process go on."""
    if guest.stopped:
        guest.stopped = False
        tell_parent(guest, Change("CLD_CONTINUED", _SIGCONT))


def is_midway(machine: Machine) -> bool:
    """
    Tell whether a call has begun that a checkpoint cannot cut in two.

    A process runs in the memory of its parent, which waits (vfork), or what was written
    to a named pipe is there for one that has not opened it yet.
    """
    return any(guest.holding is not None for guest in machine.guests.values()) or any(
        thread.wait.gate.is_open(machine)
        for thread in machine.threads()
        if thread.wait is not None and thread.wait.gate is not None
    )


def wait_held(child: Guest) -> Wait:
    """Return the wait of a parent until its child has memory of its own, or ends."""
    wait = Wait(held=True)
    child.holding = wait
    return wait
