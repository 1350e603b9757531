"""
The machine: guests, their threads, and the scheduler that runs one after the other.

A turn of a thread lasts until it waits or has used up its budget of blocks of code,
which is drawn from the seed: two runs with one seed switch threads at the same
instructions, as long as nothing comes from outside.  Between turns one `poll` gathers
what does: descriptors that guests wait for, signals sent to us, requests for a
checkpoint.
"""

from __future__ import annotations

import contextlib
import errno
import os
import resource
import select
import shutil
import signal
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from random import Random
from types import FrameType

from blcr.annotations import Protocol
from blcr.architecture import Arch
from blcr.context import records
from blcr.host.emulated import family, files, loader, signals, strace, timers
from blcr.host.emulated.calls.table import CallTable, Entry, table_of
from blcr.host.emulated.cpu import Call, Cpu, Cut, State, Trap
from blcr.host.emulated.futexes import Futexes
from blcr.host.emulated.guard import Guard
from blcr.host.emulated.ipc import Objects
from blcr.host.emulated.memory import Ram, pages_of
from blcr.host.emulated.peers import Peers
from blcr.host.emulated.senders import Senders
from blcr.host.emulated.tasks import Blocked, Ended, Guest, Thread, Wait
from blcr.host.emulated.terminals import Terminal
from blcr.host.interface import Bounds
from blcr.linux import constants

FIRST_PID = 1000
# Blocks of code in a turn, and what a system call counts for.
_TURN = (100_000, 400_000)
_CALL_COST = 1000
_LIMITS = 16
"""How many ``RLIMIT_*`` there are; asm-generic/resource.h, Linux 6.12."""
_UNLIMITED = (1 << 64) - 1
_MOST_STACK, _MOST_FILES = 8 << 20, 1 << 16
"""What guests get unless they ask for more."""
_ENOSYS = 38

_FORWARDED = [
    *(signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2),
    *(signal.SIGALRM, signal.SIGTERM, signal.SIGCONT, signal.SIGTSTP, signal.SIGTTIN),
    *(signal.SIGTTOU, signal.SIGWINCH, signal.SIGPIPE),
]

_OF_TERMINALS = {
    *(signal.SIGINT, signal.SIGQUIT, signal.SIGTSTP, signal.SIGHUP, signal.SIGWINCH),
}

_RAM_LIMIT = 2 << 30
_TASK_LIMIT = 2000
_WINDOW = 1 << 30


def _ram_size() -> int:
    """Return how much memory guests may have together: half of what there is."""
    there = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return min(_RAM_LIMIT, max(there // 2, 64 << 20)) & -(1 << 20)


class Service(Protocol):
    """Somebody who answers requests between turns."""

    def fileno(self) -> int:
        """Return the descriptor to wait at."""

    def serve(self) -> None:
        """Answer what has come."""


class Machine:
    """One machine; it lives in this process."""

    def __init__(
        self,
        *,
        sysroot: str | None = None,
        seed: int = 0,
        strace: bool = False,
        bounds: Bounds | None = None,
    ) -> None:
        self.sysroot = sysroot
        # Guests have masks of their own, which ours must not add to.
        self.umask = os.umask(0)
        self.limits = tuple(map(_limit, range(_LIMITS)))
        # All files of all guests are ours.
        _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        self.random = Random(seed)
        bounds = bounds or Bounds()
        memory = pages_of(bounds.memory) or _ram_size()
        self.ram = Ram(memory, _WINDOW)
        self.task_limit = bounds.tasks or _TASK_LIMIT
        """How many threads guests may have together."""
        self.guests: dict[int, Guest] = {}
        self.futexes = Futexes()
        self.peers = Peers()
        self.senders = Senders()
        self.ipc = Objects(self)
        self.monotonic_offset = 0
        self.boottime_offset = 0
        self._held: records.Clocks | None = None
        self.unserved: set[str] = set()
        self.warnings: list[str] = []
        self.strace = strace
        self.service: Service | None = None
        self._cpus: dict[str, Cpu] = {}
        self._tables: dict[str, CallTable] = {}
        self._constants: dict[str, Mapping[str, int]] = {}
        self._signals: list[int] = []
        self._next_pid = FIRST_PID
        self._running: Thread | None = None
        self._turn_began = 0
        self.foreground = 0
        """The process group that the signals of our terminal are for."""
        self.session = 0
        """The session that has our terminal."""
        self.terminals: dict[int, Terminal] = {}
        """Pseudo terminals of guests, by number."""
        self.chosen: Sequence[Guest] = ()
        """Those who alone run at the moment; empty: all."""
        self._wakeup: int | None = None

    # Time, in ns.

    def monotonic(self) -> int:
        """Return the guests' CLOCK_MONOTONIC."""
        if self._held is not None:
            return self._held.monotonic
        return time.monotonic_ns() + self.monotonic_offset

    def boottime(self) -> int:
        """Return the guests' CLOCK_BOOTTIME."""
        if self._held is not None:
            return self._held.boottime
        return time.clock_gettime_ns(time.CLOCK_BOOTTIME) + self.boottime_offset

    def hold_clocks(self, clocks: records.Clocks | None = None) -> records.Clocks:
        """Let the clocks stand still, at what they show now or at other times."""
        self._held = clocks or records.Clocks(
            time.time_ns(), self.monotonic(), self.boottime()
        )
        return self._held

    def turn_time(self, whose: Guest | Thread) -> int:
        """Return the CPU time of a guest or thread in the turn that it has now."""
        running = self._running
        if running is None or whose not in {running, running.guest}:
            return 0
        return time.process_time_ns() - self._turn_began

    def set_clocks_going(self, *, from_held: bool) -> None:
        """Let the clocks go on from where they stand, or as if they had not stood."""
        held, self._held = self._held, None
        if from_held and held is not None:
            self.monotonic_offset += held.monotonic - self.monotonic()
            self.boottime_offset += held.boottime - self.boottime()

    # Guests.

    def cpu(self, arch: Arch) -> Cpu:
        """Return the CPU for an architecture."""
        if arch.name not in self._cpus:
            self._cpus[arch.name] = Cpu(arch, self.ram, self.random)
            self._tables[arch.name] = table_of(arch)
        return self._cpus[arch.name]

    def calls(self, arch: Arch) -> CallTable:
        """Return the system calls that are served, by their numbers."""
        return self._tables[arch.name]

    def constants(self, arch: Arch) -> Mapping[str, int]:
        """Return the constants of an architecture."""
        if arch.name not in self._constants:
            self._constants[arch.name] = constants.of(arch)
        return self._constants[arch.name]

    def add_guest(self, arch: Arch, pid: int | None = None) -> Guest:
        """Make a process without memory or threads, with our standard descriptors."""
        table = files.Descriptors(self.limits[resource.RLIMIT_NOFILE][0])
        guest = Guest(self, arch, pid or self.new_pid(), table)
        guest.space.stack_limit = self.limits[resource.RLIMIT_STACK][0]
        guest.space.size_limit = self.limits[resource.RLIMIT_AS][0]
        guest.cwd = os.getcwd()
        guest.umask = self.umask
        self.guests[guest.pid] = guest
        files.inherit(guest)
        return guest

    def new_pid(self) -> int:
        """
        Return an id that no process or thread has.

        Raises:
            OSError: EAGAIN, there are as many threads as there may be.
        """
        taken = {tid for guest in self.guests.values() for tid in guest.threads}
        if len(taken) + len(self.guests) > 2 * self.task_limit:
            raise OSError(errno.EAGAIN, os.strerror(errno.EAGAIN))
        for guest in self.guests.values():
            taken |= {guest.pgid, guest.sid}
        while self._next_pid in taken or self._next_pid in self.guests:
            self._next_pid += 1
        self._next_pid += 1
        return self._next_pid - 1

    def add_thread(self, guest: Guest, tid: int, state: State) -> Thread:
        """Add a thread, which runs from the next turn on."""
        thread = Thread(guest, tid, state)
        guest.threads[tid] = thread
        return thread

    def start(self, argv: Sequence[str], env: Mapping[str, str]) -> Guest:
        """
        Make a process of an executable.

        Raises:
            BlcrError: The file cannot be run here.
        """
        path = _find_program(argv[0])
        program = loader.find(path, argv, self.host_path)
        guest = self.add_guest(program.executable.arch)
        loader.load(guest, program, [f"{key}={value}" for key, value in env.items()])
        self.foreground, self.session = guest.pgid, guest.sid
        return guest

    def host_path(self, path: str) -> str:
        """Return where an absolute path of a guest's leads, as a path of ours."""
        return files.below(self.sysroot, path, follow=True)

    def end_thread(self, thread: Thread, code: int) -> None:
        """End a thread as exit(2) does."""
        guest = thread.guest
        if len(guest.threads) == 1:
            self.end_guest(guest, code << 8)
            return
        self.futexes.leave(thread)
        self.futexes.bequeath(thread)
        del guest.threads[thread.tid]

    def end_guest(self, guest: Guest, status: int) -> None:
        """End a process with a wait status."""
        if guest.status is None:
            family.end(guest, status)

    # The scheduler.

    def run(self, first: Guest | None) -> int:
        """Run until `first` ends, or all have ended; return its wait status."""
        with self._catching_signals():
            while self._goes_on(first):
                for thread in self._gather(first):
                    self._take_turn(thread)
        if self.unserved:
            names = ", ".join(sorted(self.unserved))
            sys.stderr.write(f"system calls that are not served: {names}\n")
            self.unserved.clear()
        return (first.status if first else 0) or 0

    def _goes_on(self, first: Guest | None) -> bool:
        return self.is_alive if first is None else first.status is None

    @property
    def is_alive(self) -> bool:
        """Whether there is a process that has not ended."""
        return any(guest.threads for guest in self.guests.values())

    def threads(self) -> Iterator[Thread]:
        """Yield all threads of all guests."""
        for guest in self.guests.values():
            yield from guest.threads.values()

    def _gather(self, first: Guest | None) -> list[Thread]:
        """Take in what comes from outside; return the threads that can go on."""
        self._pass_signals(first)
        if all(guest.stopped for guest in self.guests.values() if guest.threads):
            self._stand_still()
            if not self._goes_on(first):
                return []
        threads = [
            one for one in self.threads() if not self.chosen or one.guest in self.chosen
        ]
        ready = [thread for thread in threads if self._can_go_on(thread)]
        waiting: dict[int, list[Thread]] = {}
        events: dict[int, int] = {}
        for thread in threads:
            for fd, wanted in thread.wait.events if thread.wait else ():
                waiting.setdefault(fd, []).append(thread)
                events[fd] = events.get(fd, 0) | wanted
        if self._wakeup is not None:
            events[self._wakeup] = select.POLLIN
        if self.service is not None:
            events[self.service.fileno()] = select.POLLIN
        poll = select.poll()
        for fd, wanted in events.items():
            poll.register(fd, wanted)
        for fd, _ in poll.poll(0 if ready else self._timeout_ms()):
            if fd == self._wakeup:
                os.read(fd, 4096)
            elif self.service is not None and fd == self.service.fileno():
                self.service.serve()
            else:
                ready += [t for t in waiting[fd] if t not in ready]
        self.random.shuffle(ready)
        return ready

    def _can_go_on(self, thread: Thread) -> bool:
        if thread.guest.stopped:
            return False
        wait = thread.wait
        return (
            wait is None
            or wait.result is not None
            or wait.woken
            or (wait.until is not None and wait.until <= self.monotonic())
            or signals.concerned(thread)
        )

    def _timeout_ms(self) -> int | None:
        """Return how long nothing will happen by itself, in ms, rounded up."""
        ends = [t.wait.until for t in self.threads() if t.wait and t.wait.until]
        ends += [end for guest in self.guests.values() for end in timers.ends(guest)]
        if not ends:
            return None
        return max(0, -(-(min(ends) - self.monotonic()) // 10**6))

    def _take_turn(self, thread: Thread) -> None:
        guest, budget = thread.guest, self.random.randint(*_TURN)
        if guest.threads.get(thread.tid) is not thread:
            return
        self._running, self._turn_began = thread, time.process_time_ns()
        if thread.wait is None and len(guest.threads) > 1:
            thread.leave_sequence()
        try:
            while budget > 0 and guest.threads.get(thread.tid) is thread:
                if thread.pending or guest.pending:
                    signals.deliver(thread)
                if guest.stopped or not (thread.wait is None or self._resume(thread)):
                    return
                cpu = thread.load()
                event, budget = cpu.run(budget)
                if isinstance(event, Call):
                    self._make_call(thread, event)
                    budget -= _CALL_COST
                    if thread.wait is not None:
                        return
                elif isinstance(event, Trap):
                    if event.signal == "SIGKILL":
                        self._say_full(guest)
                    signals.fault(thread, event)
                elif cpu.guard and cpu.guard.found:
                    self._give_up(thread, cpu.guard)
                if isinstance(event, Cut):
                    return
        except Ended:
            return
        finally:
            self._running = None
            used = time.process_time_ns() - self._turn_began
            guest.cpu_ns += used
            thread.cpu_ns += used

    def _say_full(self, guest: Guest) -> None:
        sys.stderr.write(
            f"process {guest.pid}: killed, the {self.ram.size >> 20} MiB of memory of "
            "the machine are full; '--memory' gives it more\n"
        )

    def _give_up(self, thread: Thread, guard: Guard) -> None:
        """End a guest whose code the engine would run wrongly."""
        sys.stderr.write(
            f"process {thread.guest.pid}: the emulated CPU does not have the "
            f"instruction {guard.found}; start the program with 'cr_run --cpu LEVEL'\n"
        )
        guard.found = ""
        self.end_guest(thread.guest, signal.SIGILL)

    # System calls.

    def _make_call(self, thread: Thread, call: Call) -> None:
        entry = self.calls(thread.guest.arch).get(call.number)
        if entry is None:
            name = thread.guest.arch.syscall_name(call.number) or f"#{call.number}"
            self.unserved.add(name)
            if self.strace:
                shown = strace.arguments(thread, name, len(call.args), call)
                strace.write(thread, name, shown, -_ENOSYS)
            thread.load().set_result(-_ENOSYS)
            return
        if self.strace:
            thread.shown = strace.arguments(thread, entry.name, entry.arity, call)
        thread.resumed = None
        before, thread.interrupted = thread.interrupted, None
        if before and before.number == call.number and before.time_left is not None:
            thread.resumed = Wait(self.monotonic() + before.time_left)
        self._perform(thread, call, entry)

    def _resume(self, thread: Thread) -> bool:
        """Try to end the call in which a thread waits; tell whether it can run."""
        wait, call = thread.wait, thread.call
        assert wait is not None, "the thread waits"
        assert call is not None, "a thread waits in a call"
        entry = self.calls(thread.guest.arch)[call.number]
        if wait.result is not None:
            self._finish(thread, entry, wait.result)
            return True
        if wait.held:
            return False
        thread.resumed = wait
        self._perform(thread, call, entry)
        return thread.wait is None

    def _perform(self, thread: Thread, call: Call, entry: Entry) -> None:
        try:
            result = entry.function(thread, *entry.arguments(call.args))
        except Blocked as blocked:
            thread.wait, thread.call = blocked.wait, call
            return
        except Ended:
            if self.strace:
                strace.write(thread, entry.name, thread.shown, None)
            raise
        except OSError as error:
            result = -(error.errno or errno.EIO)
        except OverflowError:
            # A number that is none of this machine's calls' either.
            result = -errno.EINVAL
        self._finish(thread, entry, result)

    def _finish(self, thread: Thread, entry: Entry, result: int | None) -> None:
        """Let a call return; None: it has set the registers itself."""
        thread.wait = thread.call = thread.resumed = None
        if thread.restore_mask is not None:
            thread.mask, thread.restore_mask = thread.restore_mask, None
        if self.strace:
            strace.write(thread, entry.name, thread.shown, result)
        if result is not None:
            thread.load().set_result(result)

    # Signals sent to us.

    @contextlib.contextmanager
    def _catching_signals(self) -> Iterator[None]:
        """Note signals sent to this process, to pass them on."""
        reader, writer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._wakeup = reader
        old = {number: signal.signal(number, self._note) for number in _FORWARDED}
        old_fd = signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
        try:
            yield
        finally:
            signal.set_wakeup_fd(old_fd)
            for number, handler in old.items():
                signal.signal(number, handler)
            os.close(reader)
            os.close(writer)
            self._wakeup = None

    def _note(self, number: int, _frame: FrameType | None) -> None:
        self._signals.append(number)

    def _pass_signals(self, first: Guest | None) -> None:
        while self._signals:
            number = self._signals.pop(0)
            for guest in self._meant(number, first):
                signals.send(guest, signals.from_outside(guest, number))
        for guest in self.guests.values():
            if guest.timers or guest.posix_timers:
                timers.expire(guest)
            if guest.limits[resource.RLIMIT_CPU][0] != _UNLIMITED:
                timers.limit(guest)

    def _meant(self, number: int, first: Guest | None) -> list[Guest]:
        """Return for whom a signal is: those of a terminal are for a group."""
        if number in _OF_TERMINALS:
            members = family.group(self, self.foreground)
            living = [guest for guest in members if guest.threads]
            if living:
                return living
        living = [guest for guest in self.guests.values() if guest.threads]
        return [first] if first and first.threads else living[:1]

    def _stand_still(self) -> None:
        """Stop as the guests do, so that whoever started us sees it, and go on."""
        os.kill(os.getpid(), signal.SIGSTOP)
        for guest in list(self.guests.values()):
            family.go_on(guest)


def _limit(number: int) -> tuple[int, int]:
    """Return a limit of ours, without a sign."""
    soft, hard = (part & _UNLIMITED for part in resource.getrlimit(number))
    most = {resource.RLIMIT_STACK: _MOST_STACK, resource.RLIMIT_NOFILE: _MOST_FILES}
    return min(soft, most.get(number, _UNLIMITED)), hard


def _find_program(name: str) -> str:
    """Return the path of a program, looked up as a shell does."""
    if "/" in name:
        return os.path.realpath(name)
    found = shutil.which(name)
    if found is None:
        raise loader.NotExecutableError(f"'{name}' is not found on PATH")
    return os.path.realpath(found)
