"""
The typed records of a context: everything but memory and registers.

`Context` at the end is the root.  A record is a named tuple; its annotations are the
schema, which `blcr.context.codec` enforces when it reads and `docs/context-format.md`
explains.  Addresses, sizes and flag words are the saved process's own, numbers of its
architecture's kernel interface.  Times are in nanoseconds.  Bytes are base64 in JSON.

A field is never renumbered or reused; a new one has a default, so that older files
still read.  What a reader must understand to restart is listed in `Context.requires`.
"""

from blcr.record import Record

# Annotations are not postponed here: the codec would compile each of them anew.

FORMAT_MAJOR = 1
FORMAT_MINOR = 0
FEATURES: frozenset[str] = frozenset()
"""Values of `Context.requires` that this version understands."""


class Identity(Record):
    """The architecture of a process, as its ELF header has it."""

    name: str
    machine: int
    word_size: int
    byteorder: str


class MemoryPolicy(Record):
    """
    From which NUMA nodes memory comes; set_mempolicy(2), mbind(2).

    Attributes:
        mode: ``MPOL_*`` with its flags.
        nodes: First and last of each run of nodes.
    """

    mode: int
    nodes: tuple[tuple[int, int], ...]


KERNEL_S = frozenset({"vdso", "vvar", "sigpage"})
"""Which special mappings the kernel itself makes, where it wants to."""


class Mapping(Record):
    """
    One range of an address space.

    Attributes:
        protection: ``PROT_*`` bits of asm-generic: read 1, write 2, execute 4.
        shared: MAP_SHARED.
        offset: Bytes into the file.
        path: The file; empty for anonymous memory.
        special: ``"heap"``, ``"stack"``, ``"vdso"``, ``"vvar"``, ``"sigpage"`` (code
            that handlers return to), ``"aio"`` (the ring of a context of io_setup(2)),
            or ``""``.
        grows_down: MAP_GROWSDOWN, the stack included.
        object: Index into `Context.shared_memory` of the file; else -1.
        size, mtime: Of the mapped file when saved, to notice a change; -1: unknown.
        huge: 1 MADV_HUGEPAGE, -1 MADV_NOHUGEPAGE, 0 neither.
        noreserve: MAP_NORESERVE.
        max_protection: 7, or without 2 where the file was opened read-only and shared.
        name: For special mappings and named anonymous ones, the kernel's name.
        advice: What madvise(2) was told besides: ``"dontdump"``, ``"dontfork"``,
            ``"wipeonfork"``, ``"mergeable"``, ``"sequential"``, ``"random"``.
        locked: 1 mlock(2), 2 with MLOCK_ONFAULT, 0 neither.
        huge_page: Bytes of a page of hugetlbfs; 0: ordinary pages.
        droppable: MAP_DROPPABLE.
        saved: The file's contents are in the context; the file is not needed.
        build_id: Of the mapped ELF file, in hexadecimal; empty: unknown.
        policy: NUMA policy by mbind(2); None: the thread's.
        key: Protection key; one that is not in `Process.keys` is the kernel's own, for
            memory that is executable only.
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
    advice: tuple[str, ...] = ()
    locked: int = 0
    huge_page: int = 0
    droppable: bool = False
    saved: bool = False
    build_id: str = ""
    policy: MemoryPolicy | None = None
    key: int = 0


class IpcObject(Record):
    """A System V object: its id and key (0: private), and its owner; sysvipc(7)."""

    id: int
    key: int
    uid: int
    gid: int


class Semaphores(Record):
    """
    A set of System V semaphores.

    Attributes:
        ipc: What it is.
        mode: Permission bits.
        values: In order.
        undo: Process, number and what is to be added when that process ends (SEM_UNDO),
            as far as the host knows.
    """

    ipc: IpcObject
    mode: int
    values: tuple[int, ...]
    undo: tuple[tuple[int, int, int], ...] = ()


class MessageQueue(Record):
    """
    A System V message queue.

    Attributes:
        ipc: What it is.
        mode: Permission bits.
        capacity: Bytes that it may hold.
        messages: Type and text of each, in order.
    """

    ipc: IpcObject
    mode: int
    capacity: int
    messages: tuple[tuple[int, bytes], ...]


class SharedMemory(Record):
    """
    A file that only those have who map it or hold it open, or a copy of one.

    Its bytes are the member ``shared/INDEX``.

    Attributes:
        size: Bytes.
        runs: (offset in the file, length) of the parts in the member, which has them
            one after the other; what is between them is zero.
        kind: ``"anonymous"``: shared memory; ``"memfd"``: of memfd_create(2);
            ``"unlinked"``: a file whose name leads to it no longer; ``"file"``: one
            with a name, whose contents are put back; ``"spare"``: one with a name,
            whose contents are used where it is gone; ``"sysv"``: a segment of
            shmget(2).
        name: Of a memfd, or the path.
        mode: ``S_IFMT`` and permission bits; 0: unknown.
        seals: ``F_SEAL_*`` of a memfd.
        huge_page: Bytes of its pages where they are of hugetlbfs, else 0.
        contents: Index into `Context.contents`, which has the bytes of a file that is
            open, too; else -1.
        ipc: Of a segment; its `mode` has SHM_DEST (0o1000) if it was destroyed.
    """

    size: int
    runs: tuple[tuple[int, int], ...]
    kind: str = "anonymous"
    name: str = ""
    mode: int = 0
    seals: int = 0
    huge_page: int = 0
    contents: int = -1
    ipc: IpcObject | None = None


class MemoryLayout(Record):
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


class AlternateStack(Record):
    """A sigaltstack(2)."""

    address: int
    flags: int
    size: int


class SignalAction(Record):
    """A sigaction(2): the handler's address, or 0 SIG_DFL, 1 SIG_IGN; mask bits."""

    signal: int
    handler: int
    flags: int
    restorer: int
    mask: int


class RestartableSequence(Record):
    """A registration of rseq(2)."""

    address: int
    size: int
    signature: int


class BlockedCall(Record):
    """
    A system call in which a thread waited; its registers are about to make it again.

    Attributes:
        name: The call.
        args: Its arguments, unsigned.
        time_left: Of a relative timeout, in ns; None where it has none or where the
            arguments or the memory they point to say it already.
        restart: The kernel's restart code, which says what a handler does to the call:
            512 ERESTARTSYS, 513 ERESTARTNOINTR, 514 ERESTARTNOHAND, 516
            ERESTART_RESTARTBLOCK; 0: it has not begun.
    """

    name: str
    args: tuple[int, ...]
    time_left: int | None = None
    restart: int = 0


class Scheduling(Record):
    """
    How a thread shares CPUs and disks with others.

    Source: sched_setattr(2), sched_setaffinity(2), ioprio_set(2).

    Attributes:
        policy, flags: ``SCHED_*``, ``SCHED_FLAG_*``.
        nice: -20 to 19.
        priority: Under a real-time policy, 1 to 99; else 0.
        runtime, deadline, period: Under SCHED_DEADLINE, in ns.
        util_min, util_max: Of the utilization clamp, in 1024ths of a CPU.
        cpus: First and last of each run of CPUs that it may use; empty: all there are.
        io_priority: Class in the bits from 13 on, level below; 0: by nice.
    """

    policy: int = 0
    flags: int = 0
    nice: int = 0
    priority: int = 0
    runtime: int = 0
    deadline: int = 0
    period: int = 0
    util_min: int = 0
    util_max: int = 0
    cpus: tuple[tuple[int, int], ...] = ()
    io_priority: int = 0


class SeccompFilter(Record):
    """
    A filter of seccomp(2).

    Attributes:
        program: ``struct sock_filter[]``, in the byte order of the process.
        flags: ``SECCOMP_FILTER_FLAG_*``.
    """

    program: bytes
    flags: int = 0


class Credentials(Record):
    """
    The rights of a thread; credentials(7), capabilities(7).

    Attributes:
        uids, gids: Real, effective, saved, file system.
        inheritable, permitted, effective, bounding, ambient: Capabilities, a bit each.
    """

    uids: tuple[int, int, int, int]
    gids: tuple[int, int, int, int]
    inheritable: int
    permitted: int
    effective: int
    bounding: int
    ambient: int


class Folders(Record):
    """Working folder, root folder and umask of a thread alone; unshare(2), CLONE_FS."""

    cwd: str
    root: str
    umask: int


class Thread(Record):
    """
    One thread; its register sets are notes of the process's core.

    Where `scheduling` is None it stays what it is at restart; where `credentials` is
    None they are what a user has who logs in.

    Attributes:
        timer_slack: In ns; 0: as the restarter has it.
        speculation: Misfeature and control of each that has been set; prctl(2).
        memory_policy: None: as the restarter has it.
        seccomp: ``SECCOMP_MODE_*``: 0 none, 1 strict, 2 filters.
        filters: Indices into `Process.filters`, the one installed first coming first.
        folders: What it has of its own; None: the process's.
        dispatch: Where it catches its own system calls, by PR_SET_SYSCALL_USER_DISPATCH
            of prctl(2): address of the selector, and of the code that is let alone,
            and bytes of that; None: it does not.
    """

    tid: int
    comm: str
    blocked_signals: int
    altstack: AlternateStack | None = None
    clear_child_tid: int = 0
    robust_list: tuple[int, int] = (0, 0)
    rseq: RestartableSequence | None = None
    pending: tuple[bytes, ...] = ()
    call: BlockedCall | None = None
    scheduling: Scheduling | None = None
    credentials: Credentials | None = None
    timer_slack: int = 0
    speculation: tuple[tuple[int, int], ...] = ()
    memory_policy: MemoryPolicy | None = None
    seccomp: int = 0
    filters: tuple[int, ...] = ()
    dispatch: tuple[int, int, int] | None = None
    folders: Folders | None = None


class Watch(Record):
    """What an inotify(7) watches: its watch descriptor, ``IN_*``, and the path."""

    wd: int
    mask: int
    path: str


class OpenFile(Record):
    """
    An open file description; descriptors refer to it by its index.

    Attributes:
        kind: ``"file"``, ``"directory"``, ``"device"``, ``"path"`` (O_PATH),
            ``"pipe"``, ``"fifo"``, ``"eventfd"``, ``"epoll"``, ``"timerfd"``,
            ``"signalfd"``, ``"inotify"``, ``"pidfd"``, ``"pty"``, ``"memfd"``,
            ``"mqueue"``, ``"socket"``,
            ``"inherited"`` (cr_restart's descriptor of the same number, or its
            terminal).
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
        owner: Whom it sends signals to: ``F_OWNER_*`` and id; id 0: nobody.
        signal: Which one takes the place of SIGIO; 0: none.
        watches: Of an inotify, by watch descriptor.
        contents: Index into `Context.contents`, or -1.
        unlinked: It has no name any more; `path` is what it was.
        object: Index into `Context.shared_memory` for a memfd, else -1.
        socket: Index into `Context.sockets` for a socket, else -1.
        messages: Of a POSIX message queue, priority and text of each, in the order in
            which they are received; of several open files of one queue one has them.
        notifies: Likewise, whom it tells of the next message if it is empty: process,
            ``SIGEV_*``, signal and value; mq_notify(3).
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
    owner: tuple[int, int] = (0, 0)
    signal: int = 0
    watches: tuple[Watch, ...] = ()
    contents: int = -1
    unlinked: bool = False
    object: int = -1
    socket: int = -1
    messages: tuple[tuple[int, bytes], ...] = ()
    notifies: tuple[int, ...] = ()


class SocketMessage(Record):
    """
    What a socket has to read: a message, or bytes of a stream that came together.

    Attributes:
        credentials: Process, user and group of the sender as the reader would be told
            (SO_PASSCRED); None: it would not.
        source: The sender's name, as `Socket.name`.
        files: Indices into `Context.files` of the descriptors that come with it.
    """

    data: bytes
    credentials: tuple[int, int, int] | None = None
    source: bytes = b""
    files: tuple[int, ...] = ()


class Connection(Record):
    """
    A TCP connection to a socket outside; tcp(7), TCP_REPAIR.

    Attributes:
        received: Sequence number of the byte that comes next, behind `Socket.messages`.
        sent: Sequence number behind the last byte that was written.
        unacknowledged: The last of these bytes, which the other end has not said to
            have.
        segment: Bytes that a segment to the other end may have.
        scales: How far its windows and ours are shifted; None: they are not.
        selective: Both ends acknowledge selectively.
        timestamp: Of what would be sent at the checkpoint; None: there are none.
        window: snd_wl1, snd_wnd, max_window, rcv_wnd, rcv_wup of the kernel.
        buffers: Bytes of SO_SNDBUF and SO_RCVBUF, also where nobody has set them.
        ended: The other end has said that nothing more comes.
    """

    received: int
    sent: int
    unacknowledged: bytes
    segment: int
    scales: tuple[int, int] | None
    selective: bool
    timestamp: int | None
    window: tuple[int, int, int, int, int]
    buffers: tuple[int, int]
    ended: bool = False


class Socket(Record):
    """
    A socket.

    Attributes:
        family, type, protocol: As of socket(2).
        options: Level, name and value of those that are not as in a new socket, and of
            buffer sizes; getsockopt(2).
        peer: Index into `Context.sockets` of the one it is connected to; -1: none.
        state: ``"open"``; ``"closed"``: the one it was connected to is gone;
            ``"reset"``: likewise, with bytes that it had not read; ``"listening"``;
            ``"waiting"``: its connection has not been accepted yet.
        shutdown: 1: nothing more is received, 2: nothing more is sent; bits.
        messages: What waits to be read, in order.
        creator: Process, user and group that SO_PEERCRED tells; process 0: none.
        name: What it is bound to, or was accepted at: getsockname(2); empty: nothing.
        target: Of one that is connected to a socket outside, the name of that.
        file: Mode, owner and group of the file that its name leads to; None: none.
        backlog: Of a listening one, how many may wait.
        pending: Of a listening one, indices of those that wait to be accepted.
        connection: Of a TCP socket that stays connected to one outside, its `target`.
    """

    family: int
    type: int
    protocol: int = 0
    options: tuple[tuple[int, int, bytes], ...] = ()
    peer: int = -1
    state: str = "open"
    shutdown: int = 0
    messages: tuple[SocketMessage, ...] = ()
    creator: tuple[int, int, int] = (0, 0, 0)
    name: bytes = b""
    target: bytes = b""
    file: tuple[int, int, int] | None = None
    backlog: int = 0
    pending: tuple[int, ...] = ()
    connection: Connection | None = None


class Contents(Record):
    """
    The contents of a regular file; its bytes are the member ``files/INDEX``.

    Attributes:
        size: Bytes.
        runs: (offset in the file, length) of the parts in the member, which has them
            one after the other; what is between them is a hole.
        mode: Permission bits.
        uid, gid: Its owner.
        mtime: When it was last written to, ns since 1970.
    """

    size: int
    runs: tuple[tuple[int, int], ...]
    mode: int
    uid: int
    gid: int
    mtime: int


class FileLock(Record):
    """
    A lock that a process holds through a descriptor.

    Attributes:
        kind: ``"flock"``, ``"posix"``, ``"ofd"`` or ``"lease"``.
        fd: The descriptor.
        write: It is exclusive, or a write lease.
        start, end: The first and the last byte; 2**63 - 1: whatever the length.
    """

    kind: str
    fd: int
    write: bool
    start: int = 0
    end: int = (1 << 63) - 1


class Pipe(Record):
    """
    A pipe: its capacity and the bytes in it.

    In packet mode (O_DIRECT) `packets` are the lengths of the parts that were written.
    """

    capacity: int
    data: bytes
    packets: tuple[int, ...] = ()


class Descriptor(Record):
    """A file descriptor: its number, index into `Context.files`, close-on-exec."""

    fd: int
    file: int
    cloexec: bool


class IntervalTimer(Record):
    """An interval timer: ``ITIMER_*``, time to its next end, interval; ns."""

    which: int
    value: int
    interval: int


class Controls(Record):
    """
    What prctl(2) and files of ``/proc`` set for a process; by default as the kernel.

    Attributes:
        child_subreaper, parent_death_signal, dumpable, securebits: As prctl(2);
            PR_SET_KEEPCAPS is a bit of `securebits`.
        thp_disable, mdwe, memory_merge, mce_kill, io_flusher: What prctl(2) returns.
        tsc: Likewise, 2 where reading the time-stamp counter is a fault.
        cpuid: Whether the CPUID instruction works; arch_prctl(2).
        membarrier: Bits of the commands by which it has registered; membarrier(2).
        oom_score_adj, coredump_filter: The files; None: stay what they are at restart.
    """

    child_subreaper: bool = False
    parent_death_signal: int = 0
    oom_score_adj: int | None = None
    coredump_filter: int | None = None
    dumpable: int = 1
    securebits: int = 0
    thp_disable: int = 0
    mdwe: int = 0
    memory_merge: int = 0
    mce_kill: int = 2
    io_flusher: int = 0
    tsc: int = 1
    cpuid: bool = True
    membarrier: int = 0


class PosixTimer(Record):
    """
    A timer of timer_create(2).

    Attributes:
        id: Its number.
        clock: ``CLOCK_*``; negative: a CPU clock, the complement of the id of its
            process or thread (0: the creator) times 8, and its kind.
        notify: ``SIGEV_*``.
        signal, signal_value: What is sent; tid: to which thread, with SIGEV_THREAD_ID.
        value, interval: Time to its next end, 0 if it does not run, and between ends.
    """

    id: int
    clock: int
    notify: int
    signal: int
    signal_value: int
    tid: int = 0
    value: int = 0
    interval: int = 0


class AioContext(Record):
    """
    A context of io_setup(2), no request of which is under way.

    Attributes:
        address: Of its ring, its name; size: the ring's, in bytes.
        head, tail: The event to be collected next; the place of the next one.
        events: The events (``struct io_event``) between them, in order.
    """

    address: int
    size: int
    head: int
    tail: int
    events: bytes


class EndedLeader(Record):
    """A main thread that has ended before the others: its name, its wait status."""

    comm: str
    status: int


class Clone(Record):
    """
    How a process is made that shares with another one what threads share; clone(2).

    Attributes:
        origin: By which process: an earlier one, whose child or sibling it is.
        shares: ``"memory"``, ``"files"`` (descriptors), ``"fs"`` (working directory,
            root and umask), ``"handlers"`` (signal actions): what both of them have.
        signal: Which its parent gets when it ends; 0: none.
    """

    origin: int
    shares: tuple[str, ...]
    signal: int


class Process(Record):
    """
    One process.

    Attributes:
        pid, ppid, pgid, sid: In the pid namespace that it sees itself in.
        exe: Path of the executable.
        uids, gids: Real, effective, saved; groups: the supplementary ones.
        umask: Permission bits; cwd, root: paths.
        timers: The interval timers that run.
        posix_timers: All timers of timer_create(2).
        ended_leader: The main thread if it has ended before the others, which alone
            are in `threads` then.
        no_new_privs: As prctl(2).
        stopped: By a signal; it is stopped again at restart.
        pending: Siginfos queued for the whole process, in order.
        limits: Soft and hard one by number (``RLIMIT_*``), 2**64 - 1 for none; those
            behind the last stay what they are at restart.
        guards: Pages by MADV_GUARD_INSTALL: first address, first behind; in order.
        lock_future: ``MCL_*`` bits of mlockall(2) for memory mapped from now on.
        aio: Contexts of asynchronous I/O, in order of address.
        filters: Those of seccomp(2) that its threads have.
        keys: Protection keys that are allocated, bit 1 for key 1; pkeys(7).
        clone: Of one that shares something with another one, which has the mappings or
            descriptors that it does not have itself.
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
    controls: Controls = Controls()
    limits: tuple[tuple[int, int], ...] = ()
    locks: tuple[FileLock, ...] = ()
    guards: tuple[tuple[int, int], ...] = ()
    lock_future: int = 0
    posix_timers: tuple[PosixTimer, ...] = ()
    ended_leader: EndedLeader | None = None
    aio: tuple[AioContext, ...] = ()
    filters: tuple[SeccompFilter, ...] = ()
    keys: int = 0
    clone: Clone | None = None


class EndedProcess(Record):
    """
    A process that has ended and whose parent has not asked for its status yet.

    Attributes:
        pid, ppid, pgid, sid: As it saw them itself.
        status: As `os.waitpid` gives it.
    """

    pid: int
    ppid: int
    pgid: int
    sid: int
    comm: str
    status: int


class Clocks(Record):
    """What the clocks of the processes showed when they stood still, in ns."""

    realtime: int
    monotonic: int
    boottime: int


class Context(Record):
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
        ended: Children of theirs of which only the status is left.
        semaphores, message_queues: Of System V.
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
    contents: tuple[Contents, ...] = ()
    ended: tuple[EndedProcess, ...] = ()
    semaphores: tuple[Semaphores, ...] = ()
    message_queues: tuple[MessageQueue, ...] = ()
    sockets: tuple[Socket, ...] = ()
