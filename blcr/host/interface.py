"""
The only way in which the engine touches a process.

A *process* has an address space, descriptors and *tasks*, its threads.  Hosts give both
for as long as they are frozen (`Host.freeze`) or being made (`Host.restart`).  There
are four ways in and no fifth: bytes, calls, facts, bulk and life; the members of
`Process` and `Task` stand in that order.

Facts are what only an outsider sees.  Everything else that a process can ask or change
about itself is a system call in its name, with structures in its own layout:
`blcr.remote` builds those.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager

from blcr.annotations import Protocol
from blcr.architecture import Arch
from blcr.context import records
from blcr.record import Record

SCRATCH_SIZE = 4096
"""Bytes at `Task.scratch` that a call's arguments may use."""


Identity = tuple[tuple[int, int], int]
"""Of a file: its device's numbers and its inode; files of one are the same."""


class Run(Record):
    """Pages that hold data: start and end address."""

    start: int
    end: int


class MappingFacts(Record):
    """
    A mapping and what its pages are backed by.

    Attributes:
        deleted: The path of its file leads there no longer, or may not be opened.
        refused: Why it cannot be saved (``"device memory"``, ...), or empty.
        object: What the file is where it has no name: anonymous shared memory, a memfd;
            without size and contents.
    """

    record: records.Mapping
    device: tuple[int, int]
    inode: int
    deleted: bool
    refused: str
    object: records.SharedMemory | None = None

    @property
    def identity(self) -> Identity:
        """The file's."""
        return self.device, self.inode


class DescriptorFacts(Record):
    """
    A descriptor and the open file that it refers to.

    Attributes:
        description: Equal for descriptors that share one open file description.
        file: Of what kind and where; `pipe` is not filled in.
        cloexec: FD_CLOEXEC.
        label: What a person would call it: ``"socket:[4711]"``, ``"/etc/passwd"``.
        deleted: It has no path any more; its contents have to be saved.
        refused: Why it cannot be saved, or empty.
        locks: What is locked through it.
        names: How many names a deleted one still has, none of them known.
        leads_outside: It is refused as a connection to somebody else; `Process.socket`
            returns it as one that was closed.
        keepable: It need not be refused: `Process.socket` can keep it.
        passing: It is refused for what may be over soon.
    """

    fd: int
    description: int
    file: records.OpenFile
    cloexec: bool
    label: str
    deleted: bool
    refused: str
    locks: tuple[records.FileLock, ...] = ()
    names: int = 0
    leads_outside: bool = False
    keepable: bool = False
    passing: bool = False


class Contents(Record):
    """
    A regular file to be saved.

    Attributes:
        fd: A descriptor of ours to read it from by `os.pread`; whoever asked closes it.
        size: Bytes.
        runs: Start and end of its data; between them it is zero.
    """

    fd: int
    size: int
    runs: Sequence[Run]


class SocketFacts(Record):
    """
    A socket: its record, but for `peer` and `pending`, whose inodes are here.

    Attributes:
        peer: 0: none.
        in_flight: Descriptors of `Frozen.ourselves` that came with each message.
    """

    record: records.Socket
    peer: int = 0
    pending: tuple[int, ...] = ()
    in_flight: tuple[tuple[int, ...], ...] = ()


class ProcessFacts(Record):
    """What the kernel tells about a process as a whole; ids as it sees them itself."""

    pid: int
    ppid: int
    pgid: int
    sid: int
    exe: str
    cwd: str
    root: str
    umask: int
    personality: int
    no_new_privs: bool
    stopped: bool
    ignored_signals: int
    caught_signals: int
    in_namespace: bool
    uids: tuple[int, int, int]
    """Real, effective, saved; `gids` likewise."""
    gids: tuple[int, int, int]
    groups: tuple[int, ...]
    refused: str
    """Why the process cannot be saved at all, or empty."""
    limits: tuple[tuple[int, int], ...] = ()
    """As in `records.Process`; empty where the host keeps none."""
    oom_score_adj: int | None = None
    """As in `records.Controls`, like what follows; None where the host keeps none."""
    coredump_filter: int | None = None
    ended_leader: records.EndedLeader | None = None
    key_count: int = 0
    """Protection keys that a process may have on this CPU, key 0 included."""
    exit_signal: int = 0
    """Which its parent gets when it ends."""


class TaskFacts(Record):
    """What the kernel tells about a thread."""

    tid: int
    comm: str
    robust_list: tuple[int, int] | None
    """Head and length; None: only the thread itself is told; so with `timer_slack`."""
    rseq: records.RestartableSequence | None
    scheduling: records.Scheduling | None = None
    """None where the host keeps none; so is `credentials`."""
    credentials: records.Credentials | None = None
    speculation: tuple[tuple[int, int], ...] = ()
    memory_policy: records.MemoryPolicy | None = None
    """None for the default."""
    seccomp: int = 0
    """As in `records.Thread`."""
    filters: tuple[records.SeccompFilter, ...] = ()
    """Of seccomp(2), the one installed first coming first."""
    dispatch: tuple[int, int, int] | None = None
    """As in `records.Thread`."""
    timer_slack: int | None = None
    folders: records.Folders | None = None
    """As in `records.Thread`."""


class Task(Protocol):
    """One stopped thread."""

    tid: int
    """Its id as it sees it itself."""

    process: Process

    # Bytes.

    def register_set(self, note_type: int) -> bytes | None:
        """
        Return a register set, or None where this CPU does not have it.

        The general set shows a thread that waited in a call about to make it again.
        """

    def set_register_set(self, note_type: int, data: bytes) -> None:
        """Set a register set, converted by its `fit` where the host's size differs."""

    def signal_mask(self) -> int:
        """Return the blocked signals, bit 0 for signal 1."""

    def set_signal_mask(self, mask: int) -> None:
        """Set the blocked signals."""

    def pending(self) -> list[bytes]:
        """Return the siginfos queued for this thread alone, in order."""

    # Calls.

    @property
    def scratch(self) -> int:
        """The address of SCRATCH_SIZE bytes for the arguments of the next call."""

    @property
    def can_call(self) -> bool:
        """Whether a call in this thread's name does no harm (seccomp forbids it)."""

    def call(self, name: str, *args: int) -> int:
        """
        Make one system call in the name of this thread and return its result.

        Raises:
            RemoteCallError: It failed; the thread is as before.
            TaskGoneError: The process was killed meanwhile.
        """

    # Facts.

    def facts(self) -> TaskFacts:
        """Return what an outsider sees of this thread."""

    def blocked_call(self) -> records.BlockedCall | None:
        """Return the call in which it waited when it was stopped, or None."""

    # Life.

    def catch_calls(self, dispatch: tuple[int, int, int]) -> None:
        """
        Have the thread catch its own system calls as soon as it lives.

        Args:
            dispatch: As in `records.Thread`.
        """

    def step_out(self, general: bytes, start: int, end: int) -> bytes:
        """
        Run a thread that is being made until its pc is outside of some code.

        Args:
            general: Its general registers, and those that are returned.
            start, end: Addresses of the code, which makes no calls.
        """

    def resume_call(self, call: records.BlockedCall) -> None:
        """Let the thread, its registers set, go on in `call` with the time left."""


class Process(Protocol):
    """One process, all of whose threads are stopped."""

    pid: int
    """Its id as it sees it itself."""

    arch: Arch

    @property
    def tasks(self) -> Sequence[Task]:
        """Its threads, the leader first."""

    # Bytes.

    def read(self, address: int, size: int) -> bytes:
        """Read memory, whatever its protection."""

    def read_runs(self, runs: Sequence[Run], buffer: memoryview) -> None:
        """Read runs, one behind the other, into a buffer; fast, for bulk."""

    def write(self, address: int, data: bytes) -> None:
        """Write memory, whatever its protection."""

    # Facts.

    def facts(self) -> ProcessFacts:
        """Return what an outsider sees of the process."""

    def memory_layout(self) -> records.MemoryLayout:
        """Return the fields of its mm."""

    def mappings(self) -> list[MappingFacts]:
        """Return its address space in order of address."""

    def descriptors(self) -> list[DescriptorFacts]:
        """Return its descriptors in order of number."""

    def pending(self) -> list[bytes]:
        """Return the siginfos queued for the process as a whole, in order."""

    def rings(self) -> Sequence[Run]:
        """Return where the rings of its asynchronous I/O are, io_setup(2)."""

    def transfers_ended(self) -> bool | None:
        """
        Tell whether all transfers have ended that it may have begun; None: unknown.

        Asked again and again while the process stands still.
        """

    def posix_timers(self) -> list[records.PosixTimer]:
        """Return its timers of timer_create in order of id, without their times."""

    def pipe(self, fd: int) -> records.Pipe:
        """Return capacity and bytes of the pipe at `fd`, which are left in it."""

    def messages(self, fd: int) -> tuple[tuple[int, bytes], ...]:
        """
        Return priority and text of each message in the POSIX message queue at `fd`.

        They are left in it, in the order in which they are received.
        """

    def socket(self, fd: int, *, keep: bool) -> SocketFacts:
        """
        Return what the socket at `fd` is, and what waits in it to be read.

        Args:
            fd: The descriptor.
            keep: A connection to somebody else is to stay; else it is as if closed.

        Raises:
            RefusedError: Something of it cannot be saved.
        """

    def contents(self, fd: int) -> Contents:
        """
        Return a descriptor to read the regular file at `fd` from, and what is data.

        Raises:
            RefusedError: It may not be read.
        """

    def file_object(self, identity: Identity) -> tuple[records.SharedMemory, list[Run]]:
        """
        Return size and seals of a file without a name, and where it holds data.

        The runs are offsets in the file.  Its bytes are read with `read_object`.
        """

    def read_object(self, identity: Identity, offset: int, buffer: memoryview) -> None:
        """Read bytes of such a file."""

    # Bulk.

    def present(self, mappings: Sequence[MappingFacts]) -> Iterator[Run]:
        """
        Yield the private pages that differ from what their file, or zero, gives back.

        In order of address; a run does not cross the end of a mapping.
        """

    def guards(self, mappings: Sequence[MappingFacts]) -> list[Run]:
        """Return the pages that MADV_GUARD_INSTALL has made unreadable, in order."""

    def readable_end(self, start: int, end: int) -> int:
        """Return where, from `start` to `end`, a mapping has no file behind it."""


Call = tuple[str, tuple[int, ...]]
"""The name of a system call, and its arguments."""


class FrozenProcess(Process, Protocol):
    """
    A program's process.

    Attributes:
        shares: What it shares with an earlier one without being a thread, as in
            `records.Clone`: by kind the id of the first that has it.
    """

    shares: Mapping[str, int]

    def compare_file(self, fd: int, other: FrozenProcess, other_fd: int) -> int:
        """
        Compare the open file at `fd` with another process's.

        Returns:
            0 if it is the same one; else less or more, in an order of all open files.
        """

    def call_each(
        self, room: int, calls: Callable[[int], Sequence[Call]]
    ) -> list[tuple[list[int], bytes] | None]:
        """
        Make the same system calls in the name of each of its threads.

        Args:
            room: Bytes of zeros that each gets for what the calls write.
            calls: Given their address, returns the calls.

        Returns:
            For each thread the results, errors negative, and the bytes; None for one
            without `can_call`.

        Raises:
            TaskGoneError: The process was killed meanwhile.
        """


class NewProcess(Process, Protocol):
    """
    A process that is being made: emptied and refilled.

    Attributes:
        room: Memory for the arguments of `call_all`; None: it has no such.
        grants: The capabilities that it may have in the end, a bit each: those of the
            restarter.  While it is made it may have others.
    """

    grants: int
    room: Run | None

    segments: Mapping[int, int]
    """Ids of System V segments, by their index in the shared memory."""

    def call_all(self, calls: Sequence[Call]) -> list[int]:
        """
        Make system calls one after the other in the name of the first task.

        Returns:
            Their results; the last one is negative, an error, if a call failed, and
            those behind it were not made.
        """

    def empty(self) -> None:
        """Remove every mapping of the process, unless they are another one's."""

    def place_special(self, mapping: records.Mapping) -> bool:
        """
        Put the host's own vdso or vvar where `mapping` says.

        Returns:
            False if it has none: then the saved one is mapped and filled like memory.
        """

    def own_vdso(self) -> bytes | None:
        """Return the host's own vdso; None: it has none to be put anywhere."""

    def has_special(self, mapping: records.Mapping) -> bool:
        """Tell whether the host has such a mapping, of that name and size."""

    def keep_specials(self) -> int:
        """Leave the host's vdso and vvar where they are; return the vdso's place."""

    def fill(
        self, fd: int, runs: Iterable[tuple[int, int, int]], wait: Callable[[int], None]
    ) -> None:
        """
        Copy in ``(file offset, address, size)`` of `fd`, whatever the protection.

        Args:
            wait: Waits until what lies in front of an offset of the file may be read.
        """

    def lend(self, fd: int) -> int:
        """Return a descriptor of ours for its open file; the caller closes it."""

    def receive(self, ours: int) -> int:
        """Return a new descriptor in the process for an open file of ours."""

    def fill_queue(self, fd: int, messages: Sequence[tuple[int, bytes]]) -> None:
        """
        Put messages, with their priorities, into the POSIX message queue at `fd`.

        Raises:
            OSError: They do not fit, or it may not be written to.
        """

    def receive_terminal(self, index: int, flags: int, *, master: bool) -> int:
        """
        Return a new descriptor in the process for an end of a pseudo terminal.

        The host has made it before the processes, which inherit the one that controls
        their session; so are its settings.

        Args:
            index: The number that it had.
            flags: Status flags; a master has got them.
            master: Which end.
        """

    def remove(self, path: str) -> None:
        """Remove a file or an empty folder, even if no call can be made any more."""

    def entrust(self, path: str, aside: str = "") -> None:
        """Have a file go, `aside` taking its place, if we end before the release."""

    def forget(self, path: str) -> None:
        """Have it stay after all."""

    def opened_elsewhere(self, fd: int) -> int:
        """
        Return a process that has the file at `fd` open, too, as we see it; 0: none.

        Those that are being made do not count, nor do those that may not be looked at.
        """

    def set_timer_ticks(self, fd: int, ticks: int) -> None:
        """Set how often a timerfd has ended since it was read."""

    def create_task(self, tid: int) -> Task:
        """Make a further thread with that id; it is stopped."""

    @property
    def leader(self) -> Task:
        """Its main thread, which is the first task unless it has been dismissed."""

    def dismiss_leader(self, ended: records.EndedLeader) -> None:
        """Take the main thread from the tasks, until `end_leader`."""

    def end_leader(self) -> None:
        """Let a main thread that has been dismissed end."""

    def settle(self) -> None:
        """Give up the files that making it took."""

    def set_memory_layout(self, layout: records.MemoryLayout, exe: str) -> None:
        """Set the fields of the mm, and the exe link to the file `exe`."""


class Frozen(Protocol):
    """Processes that stand still."""

    processes: Sequence[FrozenProcess]
    """Parents before children."""

    @property
    def pids(self) -> Sequence[int]:
        """Their ids as the checkpointer sees them."""

    ended: Sequence[records.EndedProcess]
    """Children of theirs that are zombies; nobody but the parent may ask for them."""

    clocks: records.Clocks

    warnings: Sequence[str]
    """What a user should know of them, children that are left out for instance."""

    def sysv(
        self, waits: Container[tuple[str, int]]
    ) -> tuple[tuple[records.Semaphores, ...], tuple[records.MessageQueue, ...]]:
        """
        Return the System V semaphores and message queues that they use.

        Args:
            waits: ``"sem"`` or ``"msg"``, and the id, of objects they wait for.
        """

    def ourselves(self) -> FrozenProcess:
        """
        Return this process, which has the descriptors that sockets have to give.

        It serves for what concerns open files.
        """

    def take_connections(self, signal: int) -> Mapping[int, SocketFacts]:
        """
        Take the connections to others that stay from processes that are to end.

        They are as they were if the processes are let go nevertheless.

        Args:
            signal: That the processes will get; 0: none.

        Returns:
            By inode, as they are now; none if the signal does not end all processes.

        Raises:
            RefusedError: One cannot be taken.
        """

    def kill(self, signal: int) -> None:
        """Send a signal that the processes get before one more instruction is run."""


class Tracking(Protocol):
    """
    A running process of whose pages the host notes which are written.

    Leaving the block ends it; the process is as before.
    """

    pid: int
    """Its id as it sees it itself."""

    arch: Arch

    stops_ms: list[float]
    """How long it stood still for this, each time."""

    def written(self) -> list[Run]:
        """
        Return pages that were written since the last call, at first all.

        In order, and only of memory in which nothing is written unnoticed: other pages
        are in none of the lists.  No device is still writing to them what it had begun
        before they were noted.

        Raises:
            NotTrackableError: That has come to an end; what was returned is worthless.
        """

    def pending(self) -> int:
        """Return how many bytes have been written since the last call of `written`."""

    def read_into(self, address: int, buffer: memoryview) -> None:
        """
        Read memory into a buffer.

        Raises:
            OSError: There is none any more.
        """

    def unwritten(self, process: Process) -> list[Run]:
        """
        Return where nothing was written since the last call of `written`.

        In order; some of it may hold no pages.

        Args:
            process: The same one, frozen.
        """


class Bounds(Record):
    """
    What processes may have together where the host itself gives it to them.

    Attributes:
        memory: In bytes; 0: what the host thinks is enough.
        tasks: Threads, ended processes included; 0: the same.
    """

    memory: int = 0
    tasks: int = 0


class RestartPlan(Record):
    """
    What a restart shall make.

    Attributes:
        context: The records.
        restore_pid: Same pid and tids; else new ones.
        restore_pgid, restore_sid: Same process group, same session.
        archs: The architecture of each process.
        source_fd: The context, from which pages are read.
        sysroot: Folder in which a host with file names of its own looks first; or None.
        keep_grown: Leave files as long as they are now.
        bounds: Of the processes together.
    """

    context: records.Context
    restore_pid: bool
    restore_pgid: bool
    restore_sid: bool
    archs: Sequence[Arch]
    source_fd: int
    sysroot: str | None = None
    keep_grown: bool = False
    bounds: Bounds = Bounds()


class Restart(Protocol):
    """Processes being made; leaving the `with` block by an exception destroys them."""

    warnings: list[str]

    @property
    def pids(self) -> Mapping[int, int]:
        """By saved id that of each process that was made, ended ones included."""

    def create(self) -> Sequence[NewProcess]:
        """
        Make all processes, each a child of its parent, and stop them.

        Each has been emptied: nothing is mapped but what the host needs.
        """

    def release(self, signal: int) -> None:
        """Let all processes go, `signal` (or 0) delivered first; now they live."""

    def wait(self) -> int:
        """
        Stay as parent: forward signals, mirror stops, return the first one's status.

        Returns:
            A status as `os.waitpid` gives it.
        """


class CheckpointRequest(Record):
    """What a host that serves its processes itself is asked for: see `Host.forward`."""

    pid: int
    guest: int
    scope: str
    signal: int
    timeout_s: float
    fd: int
    wanted: tuple[str, ...] = ()


class Host(Protocol):
    """A place where processes live."""

    name: str
    rebuilds: frozenset[str]
    """Kinds of state that it can rebuild: of `records.OpenFile`, and as
    `blcr.resources.support` calls them."""
    runs_here: bool
    """It runs programs on this machine's own CPU: restarts go here unless told else."""

    def claims(self, pid: int) -> bool:
        """Tell whether `pid` is of this host."""

    def admit(self) -> None:
        """
        Let the user's other processes checkpoint this one and the program it becomes.

        For kernels that give the right to ancestors only, unless they are told.
        """

    def forward(self, request: CheckpointRequest) -> list[str] | None:
        """
        Have whoever holds the processes take a checkpoint; None: not this host's way.

        The context is written to `request.fd`.  Returns warnings.
        """

    def select(self, scope: str, number: int) -> list[int]:
        """
        Return the processes that a request means, parents first.

        Args:
            scope: ``"pid"``, ``"tree"`` (it and all below it), ``"pgid"`` or
                ``"sid"``.  Whoever asks is not among them, nor what is below.
            number: The id.  A restarter's pid stands for what it restarted.

        Raises:
            NoSuchProcessError: There is none.
        """

    def track(self, pid: int, *, timeout_s: float) -> AbstractContextManager[Tracking]:
        """
        Begin to note what a process writes while it runs.

        Raises:
            NotTrackableError: At once or on entering: that cannot be, or is not worth
                it, and why.
        """

    def freeze(
        self,
        pids: Sequence[int],
        *,
        scope: str,
        number: int,
        timeout_s: float,
        tracking: Tracking | None = None,
    ) -> AbstractContextManager[Frozen]:
        """
        Hold processes; leaving the block lets them go as they were.

        Args:
            pids: What `select` has returned.
            scope, number: As of `select`: processes that appear meanwhile are held,
                too.
            timeout_s: How long to wait until all of them stand still.
            tracking: Of one of them, if it goes on meanwhile.

        Raises:
            NoSuchProcessError, NotPermittedError, TracedError, RefusedError: Nothing
                was changed.
            FreezeTimeoutError: A thread did not stop.
        """

    def missing(self, plan: RestartPlan) -> list[str]:
        """Return what this host lacks for a restart, a sentence for each thing."""

    def restart(self, plan: RestartPlan) -> AbstractContextManager[Restart]:
        """Prepare to make processes."""
