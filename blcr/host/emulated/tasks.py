"""
Guests and their threads: what the machine knows of each beside its registers.

A thread that waits keeps its registers as they were when it made the call, the pc
behind the instruction, and a `Wait`.  Whenever something may have ended the wait, the
call's function runs again with `Thread.resumed` set, and either returns or raises
`Blocked` once more; so there is one way through each call.
"""

from __future__ import annotations

from collections.abc import Callable

from blcr.annotations import TYPE_CHECKING, Any
from blcr.architecture import AlternateStack, Arch, Registers
from blcr.context import records
from blcr.host.emulated.cpu import Call, Cpu, State
from blcr.host.emulated.memory import AddressSpace, Area, Backing
from blcr.host.emulated.vdso import Vdso
from blcr.linux import structures
from blcr.linux.constants import GENERIC
from blcr.record import Record

if TYPE_CHECKING:
    from blcr.host.emulated.family import Change
    from blcr.host.emulated.files import Descriptors, EndMark, Gate
    from blcr.host.emulated.machine import Machine
    from blcr.host.emulated.strace import Shown

NO_ALTSTACK = AlternateStack(0, 2, 0)  # SS_DISABLE
NO_LAYOUT = records.MemoryLayout(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, b"")


class Wait:
    """
    Why a thread does not run.

    Attributes:
        until: When the wait ends by itself, on the guest's monotonic clock in ns.
        events: Host descriptors and the ``POLL*`` events that may end it.
        restarts: Whether the call is made again after a handler with SA_RESTART.
        interrupt: What to do when a handler ends it with EINTR.
        awaits: Signals that end it though they are blocked.
        result: What the call returns, once somebody else has ended the wait.
        progress: Bytes that a call has moved before it had to wait.
        for_children: A child that changes may end it.
        held: Only `result` ends it, and SIGKILL; no other signal is looked at.
        woken: Something that is waited for may have come.
        lock_of: Who has the lock that is waited for, if a guest has.
        place: The System V object that is waited for, and what of it; or empty.
        gate: The named pipe for whose writers it waits.
    """

    __slots__ = (
        *("awaits", "events", "for_children", "gate", "held", "interrupt", "lock_of"),
        *("place", "progress", "restarts", "result", "until", "woken"),
    )

    def __init__(
        self,
        until: int | None = None,
        events: tuple[tuple[int, int], ...] = (),
        *,
        restarts: bool = True,
        interrupt: Callable[[], None] | None = None,
        awaits: int = 0,
        progress: int = 0,
        for_children: bool = False,
        held: bool = False,
    ) -> None:
        self.until = until
        self.events = events
        self.restarts = restarts
        self.interrupt = interrupt
        self.awaits = awaits
        self.progress = progress
        self.for_children = for_children
        self.held = held
        self.woken = False
        self.lock_of: Guest | None = None
        self.gate: Gate | None = None
        self.place: tuple[object, ...] = ()
        self.result: int | None = None


class Blocked(Exception):  # noqa: N818
    """The call that is being made has to wait."""

    def __init__(self, wait: Wait) -> None:
        self.wait = wait
        super().__init__()


class Ended(Exception):  # noqa: N818
    """The thread that was running is no more."""


class Action(Record):
    """What happens on a signal: handler's address, ``SA_*``, restorer, mask."""

    handler: int = 0
    flags: int = 0
    restorer: int = 0
    mask: int = 0


class Interrupted(Record):
    """A call's number, the ns it has still to wait, and as `Wait` if it restarts."""

    number: int
    time_left: int | None
    restarts: bool


class Thread:
    """One thread of a guest."""

    def __init__(self, guest: Guest, tid: int, state: State) -> None:
        self.guest = guest
        self.tid = tid
        self.state = state
        self.comm = ""
        self.mask = 0
        self.pending: list[bytes] = []
        self.altstack = NO_ALTSTACK
        self.clear_child_tid = 0
        self.robust_list = (0, 0)
        self.rseq: records.RestartableSequence | None = None
        self.wait: Wait | None = None
        self.call: Call | None = None
        """The call in which it waits."""
        self.shown: Shown = []
        """The arguments of that call, if calls are to be shown."""
        self.resumed: Wait | None = None
        """The earlier wait of the call that is being made again."""
        self.interrupted: Interrupted | None = None
        """The call that a checkpoint interrupted and that it is about to make again."""
        self.scheduling = records.Scheduling()
        self.restore_mask: int | None = None
        """The mask to put back when the next handler returns."""
        self.cpu_ns = 0
        """CPU time in finished turns."""

    def cpu_time(self) -> int:
        """Return the CPU time that it has used, in ns."""
        return self.cpu_ns + self.guest.machine.turn_time(self)

    def load(self) -> Cpu:
        """Make this the thread that the CPU runs, and return the CPU."""
        self.guest.cpu.load(self.state, self.guest.space)
        return self.guest.cpu

    def leave_sequence(self) -> None:
        """
        Put the thread to the abort address of a restartable sequence that it is in.

        To be called whenever others may have run, or a handler will.
        """
        if self.rseq is None:
            return
        guest, arch = self.guest, self.guest.arch
        at = self.rseq.address + guest.structure("rseq").offset("rseq_cs")
        try:
            section = guest.fetch_int(at, 8)
            if not section:
                return
            guest.store_int(at, 0, 8)
            row = guest.fetch("rseq_cs", section)
        except OSError:
            return
        cpu = self.load()
        if 0 <= cpu.pc() - row["start_ip"] < row["post_commit_offset"]:
            cpu.set_general({arch.pc: row["abort_ip"]})

    def deadline(self, timeout: int | None) -> int | None:
        """Return when a timeout of the call being made, in ns from its start, ends."""
        if self.resumed is not None and self.resumed.until is not None:
            return self.resumed.until
        return None if timeout is None else self.guest.machine.monotonic() + timeout


class Timer(Record):
    """An interval timer: its next end on the monotonic clock, and interval, in ns."""

    end: int
    interval: int


class PosixTimer:
    """
    A timer of timer_create(2).

    Attributes:
        clock, notify, signal, value, tid: As it was made.
        end: When it ends next, on its clock in ns; None: it does not run.
        interval: In ns.
        overrun: How often it has ended unseen.
    """

    def __init__(
        self, clock: int, notify: int, signal: int, value: int, tid: int
    ) -> None:
        self.clock = clock
        self.notify = notify
        self.signal = signal
        self.value = value
        self.tid = tid
        self.end: int | None = None
        self.interval = 0
        self.overrun = 0


class Guest:
    """One process: what its threads share."""

    def __init__(
        self,
        machine: Machine,
        arch: Arch,
        pid: int,
        descriptors: Descriptors,
        space: AddressSpace | None = None,
    ) -> None:
        self.machine = machine
        self.arch = arch
        self.pid = pid
        self.ppid = 0
        """No parent that it could see, as in a pid namespace."""
        self.pgid = self.sid = pid
        self.cpu = machine.cpu(arch)
        self.space = space or AddressSpace(machine.ram, arch.task_size)
        self.constants = machine.constants(arch)
        self.threads: dict[int, Thread] = {}
        self.descriptors = descriptors
        self.actions: dict[int, Action] = {}
        self.pending: list[bytes] = []
        self.timers: dict[int, Timer] = {}
        self.posix_timers: dict[int, PosixTimer] = {}
        self.next_timer = 0
        self.has_signalfd = False
        self.cwd = "/"
        self.umask = 0o022
        self.exe = ""
        self.elf_flags = 0
        """Those in the ELF header of the executable."""
        self.layout = NO_LAYOUT
        self.personality = 0
        self.dumpable = 1
        self.no_new_privs = False
        self.vdso = Vdso()
        self.parent_death_signal = 0
        self.limits = list(machine.limits)
        """Soft and hard one by number, 2**64 - 1 for none."""
        self.reminded = -1
        """At what second of CPU time it was told of its limit last."""
        self.lock_future = 0
        """How memory to come is locked, as in `records.Mapping`."""
        self.child_subreaper = False
        self.barriers = 0
        """``MEMBARRIER_CMD_REGISTER_*`` that were made."""
        self.stopped = False
        self.last_comm = ""
        """The name that it had when it ended."""
        self.status: int | None = None
        """How it ended, as `os.waitpid` says it."""
        self.exit_signal = GENERIC["SIGCHLD"]
        self.change: Change | None = None
        """That it stopped or went on, until its parent has asked."""
        self.end_mark: EndMark | None = None
        """For pidfds of it."""
        self.holding: Wait | None = None
        """The wait of a parent whose memory it runs in (vfork)."""
        self.cpu_ns = self.children_ns = 0
        """CPU time in finished turns, and that of children that were waited for."""
        self.left_foreground = 0
        """The foreground group of the terminal that its session has lost."""
        self._structures: dict[str, structures.Structure] = {}
        self._bits: dict[str, int] = {}

    def become(self, arch: Arch) -> None:
        """Get an empty memory, and perhaps another architecture."""
        limits = self.space.stack_limit, self.space.size_limit
        self.space.leave()
        if arch is not self.arch:
            order = self.arch.layout.byteorder
            self.arch, self.cpu = arch, self.machine.cpu(arch)
            self.constants = self.machine.constants(arch)
            self._structures, self._bits = {}, {}
            self.pending = [
                self.structure("siginfo").pack(signo=int.from_bytes(info[:4], order))
                for info in self.pending
            ]
        self.space = AddressSpace(self.machine.ram, arch.task_size)
        self.space.stack_limit, self.space.size_limit = limits

    def function_start(self, address: int, base: int = 0) -> Registers:
        """Return the registers with which a function begins: see `Arch`."""
        start = self.arch.start_function
        if start is None:
            return {self.arch.pc: address}
        return start(address, base, self.elf_flags, self.space.read)

    def let_go(self) -> None:
        """Let a parent go on that has waited until its memory is its own again."""
        if self.holding is not None:
            self.holding.result = self.pid
            self.holding = None

    def cpu_time(self) -> int:
        """Return the CPU time that it has used, in ns."""
        return self.cpu_ns + self.machine.turn_time(self)

    def bits(self, names: str) -> int:
        """Return constants together, given by their names with blanks between."""
        found = self._bits.get(names)
        if found is None:
            found = 0
            for name in names.split():
                found |= self.constants[name]
            self._bits[names] = found
        return found

    def structure(self, name: str) -> structures.Structure:
        """Return a structure in this guest's layout."""
        found = self._structures.get(name)
        if found is None:
            found = self._structures[name] = structures.of(self.arch, name)
        return found

    def fetch(self, name: str, address: int) -> dict[str, Any]:
        """Return a structure in the guest's memory; EFAULT where there is none."""
        structure = self.structure(name)
        return structure.unpack(self.space.read(address, structure.size))

    def store(self, name: str, address: int, **values: Any) -> None:  # noqa: ANN401
        """Put a structure into the guest's memory; EFAULT where it cannot be."""
        self.space.write(address, self.structure(name).pack(**values))

    def fetch_int(self, address: int, size: int = 4) -> int:
        """Return an unsigned number in the guest's memory."""
        return int.from_bytes(
            self.space.read(address, size), self.arch.layout.byteorder
        )

    def store_int(self, address: int, value: int, size: int = 4) -> None:
        """Put a number into the guest's memory."""
        masked = value & ((1 << 8 * size) - 1)
        self.space.write(address, masked.to_bytes(size, self.arch.layout.byteorder))

    def fetch_word(self, address: int) -> int:
        """Return a number as wide as an address."""
        return self.fetch_int(address, self.arch.word_size)

    def path(self, address: int) -> str:
        """Return the path at an address."""
        return self.space.read_string(address).decode(errors="surrogateescape")

    def special_of(self, area: Area) -> str:
        """Return whether an area is the heap, or the stack that came with exec."""
        layout = self.layout
        if area.grows_down and area.start <= layout.start_stack < area.end:
            return "stack"
        inside = layout.start_brk <= area.start < layout.brk
        return "heap" if inside and area.backing == Backing() else ""

    @property
    def comm(self) -> str:
        """Its name, also when it has ended."""
        return self.leader.comm if self.threads else self.last_comm

    @property
    def leader(self) -> Thread:
        """The first thread, or the eldest that is left."""
        return self.threads.get(self.pid) or next(iter(self.threads.values()))


def signed(value: int, bits: int = 32) -> int:
    """Return the low bits of a register as a signed number."""
    value &= (1 << bits) - 1
    return value - (1 << bits) if value >> (bits - 1) else value
