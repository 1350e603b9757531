"""
The typed records of a context: everything but memory and registers.

`Context` at the end is the root.  A record is a named tuple; its annotations are the
schema, which `blcr.context.codec` enforces when it reads and `docs/context-format.md`
explains.  Addresses, sizes and flag words are the saved process's own, numbers of its
architecture's kernel interface.  Times are in nanoseconds.  Bytes are base64 in JSON.

A field is never renumbered or reused; a new one has a default, so that older files
still read.  What a reader must understand to restart is listed in `Context.requires`.
"""

# Annotations are not postponed here: NamedTuple would compile each of them anew.
from typing import NamedTuple

FORMAT_MAJOR = 1
FORMAT_MINOR = 0
FEATURES: frozenset[str] = frozenset()
"""Values of `Context.requires` that this version understands."""


class Identity(NamedTuple):
    """The architecture of a process, as its ELF header has it."""

    name: str
    machine: int
    word_size: int
    byteorder: str


class Mapping(NamedTuple):
    """
    One range of an address space.

    Attributes:
        protection: ``PROT_*`` bits of asm-generic: read 1, write 2, execute 4.
        shared: MAP_SHARED.
        offset: Bytes into the file.
        path: The file; empty for anonymous memory.
        special: ``"heap"``, ``"stack"``, ``"vdso"``, ``"vvar"``, or ``""``.
        grows_down: MAP_GROWSDOWN, the stack included.
        object: Index into `Context.shared_memory`, or -1.
        size, mtime: Of the mapped file when saved, to notice a change; -1: unknown.
        huge: 1 MADV_HUGEPAGE, -1 MADV_NOHUGEPAGE, 0 neither.
        noreserve: MAP_NORESERVE.
        max_protection: 7, or without 2 where the file was opened read-only and shared.
        name: For special mappings and named anonymous ones, the kernel's name.
    """

    start: int
    end: int
    protection: int
    shared: bool = False
    offset: int = 0
    path: str = ""
    special: str = ""
    grows_down: bool = False
    object: int = -1
    size: int = -1
    mtime: int = -1
    huge: int = 0
    noreserve: bool = False
    max_protection: int = 7
    name: str = ""


class SharedMemory(NamedTuple):
    """
    An anonymous shared memory object; its bytes are the member ``shared/INDEX``.

    Attributes:
        size: Bytes.
        runs: (offset in the object, length) of the parts in the member, which has them
            one after the other; what is between them is zero.
    """

    size: int
    runs: tuple[tuple[int, int], ...]


class MemoryLayout(NamedTuple):
    """
    The fields of the kernel's mm that name parts of the address space.

    Source: prctl(2), struct prctl_mm_map.
    """

    start_code: int
    end_code: int
    start_data: int
    end_data: int
    start_brk: int
    brk: int
    start_stack: int
    arg_start: int
    arg_end: int
    env_start: int
    env_end: int
    auxv: bytes


class AlternateStack(NamedTuple):
    """A sigaltstack(2)."""

    address: int
    flags: int
    size: int


class SignalAction(NamedTuple):
    """A sigaction(2): the handler's address, or 0 SIG_DFL, 1 SIG_IGN; mask bits."""

    signal: int
    handler: int
    flags: int
    restorer: int
    mask: int


class RestartableSequence(NamedTuple):
    """A registration of rseq(2)."""

    address: int
    size: int
    signature: int


class BlockedCall(NamedTuple):
    """
    A system call in which a thread waited; its registers are about to make it again.

    Attributes:
        name: The call.
        args: Its arguments, unsigned.
        time_left: Of a relative timeout, in ns; None where it has none or where the
            arguments or the memory they point to say it already.
    """

    name: str
    args: tuple[int, ...]
    time_left: int | None = None


class Thread(NamedTuple):
    """One thread; its register sets are notes of the process's core."""

    tid: int
    comm: str
    blocked_signals: int
    altstack: AlternateStack | None = None
    clear_child_tid: int = 0
    robust_list: tuple[int, int] = (0, 0)
    rseq: RestartableSequence | None = None
    pending: tuple[bytes, ...] = ()
    call: BlockedCall | None = None


class OpenFile(NamedTuple):
    """
    An open file description; descriptors refer to it by its index.

    Attributes:
        kind: ``"file"``, ``"directory"``, ``"device"``, ``"pipe"``, ``"eventfd"``,
            ``"epoll"``, ``"timerfd"``, ``"inherited"`` (cr_restart's descriptor of the
            same number, or its terminal).
        path: As the process sees it; for an inherited one what it was.
        flags: ``O_*`` of the process's architecture, without O_CLOEXEC.
        offset: Bytes.
        device, inode: Of the file when saved.
        mode: ``S_IFMT`` and permission bits.
        size: Bytes of a regular file when saved, else 0.
        rdev: Of a device.
        pipe: Index into `Context.pipes` for a pipe's end, else -1.
        terminal: It was a terminal.
        state: What a kind without path consists of: a counter, watched descriptors.
    """

    kind: str
    path: str
    flags: int
    offset: int = 0
    device: int = 0
    inode: int = 0
    mode: int = 0
    size: int = 0
    rdev: int = 0
    pipe: int = -1
    terminal: bool = False
    state: tuple[tuple[int, ...], ...] = ()


class Pipe(NamedTuple):
    """A pipe: its capacity and the bytes in it."""

    capacity: int
    data: bytes


class Descriptor(NamedTuple):
    """A file descriptor: its number, index into `Context.files`, close-on-exec."""

    fd: int
    file: int
    cloexec: bool


class IntervalTimer(NamedTuple):
    """An interval timer: ``ITIMER_*``, time to its next end, interval; ns."""

    which: int
    value: int
    interval: int


class Process(NamedTuple):
    """
    One process.

    Attributes:
        pid, ppid, pgid, sid: In the pid namespace that it sees itself in.
        exe: Path of the executable.
        uids, gids: Real, effective, saved; groups: the supplementary ones.
        umask: Permission bits; cwd, root: paths.
        timers: The interval timers that run.
        no_new_privs: As prctl(2).
        stopped: By a signal; it is stopped again at restart.
        pending: Siginfos queued for the whole process, in order.
    """

    pid: int
    ppid: int
    pgid: int
    sid: int
    arch: Identity
    exe: str
    cwd: str
    root: str
    umask: int
    personality: int
    memory: MemoryLayout
    mappings: tuple[Mapping, ...]
    actions: tuple[SignalAction, ...]
    pending: tuple[bytes, ...]
    descriptors: tuple[Descriptor, ...]
    threads: tuple[Thread, ...]
    uids: tuple[int, int, int]
    gids: tuple[int, int, int]
    groups: tuple[int, ...]
    timers: tuple[IntervalTimer, ...] = ()
    no_new_privs: bool = False
    stopped: bool = False
    child_subreaper: bool = False
    parent_death_signal: int = 0


class Clocks(NamedTuple):
    """What the clocks of the processes showed when they stood still, in ns."""

    realtime: int
    monotonic: int
    boottime: int


class Context(NamedTuple):
    """
    The whole.

    Attributes:
        format: (major, minor) of this format.
        requires: Features a reader must know.
        program: Name and version of the writer.
        host: Name of the host that saved it, for people.
        kernel: Release of the kernel that ran it.
        namespace: The processes lived in a pid namespace that a restart made.
        processes: Parents before children; the first is the one that was asked for.
    """

    format: tuple[int, int]
    requires: tuple[str, ...]
    program: str
    host: str
    kernel: str
    clocks: Clocks
    namespace: bool
    files: tuple[OpenFile, ...]
    pipes: tuple[Pipe, ...]
    shared_memory: tuple[SharedMemory, ...]
    processes: tuple[Process, ...]
