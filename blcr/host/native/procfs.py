"""
What /proc tells, parsed.  No other module of this host reads its text.

Functions take the pid as the checkpointer sees it.  A process that has ended raises
TaskGoneError, whatever file was being read.

Source: proc(5) and its parts; Documentation/filesystems/proc.rst, Linux 6.12.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import cache, lru_cache
from types import TracebackType

from blcr.annotations import Literal, Self
from blcr.context import records
from blcr.errors import NotPermittedError, TaskGoneError
from blcr.record import Record


@contextmanager
def _gone_is_an_error(pid: int) -> Iterator[None]:
    """Translate what the kernel answers about processes that have ended."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ESRCH):
            raise TaskGoneError(f"process {pid} has ended") from error
        if error.errno in (errno.EACCES, errno.EPERM):
            raise NotPermittedError(
                f"process {pid}: {error.filename or '/proc'} may not be read"
            ) from error
        raise


def read(pid: int, name: str) -> bytes:
    """Return the contents of ``/proc/PID/NAME``."""
    with _gone_is_an_error(pid):
        fd = os.open(f"/proc/{pid}/{name}", os.O_RDONLY | os.O_CLOEXEC)
        try:
            parts = []
            while part := os.read(fd, 1 << 20):
                parts.append(part)
            return b"".join(parts)
        finally:
            os.close(fd)


def link(pid: int, name: str) -> str:
    """Return the target of a link such as ``exe`` or ``cwd``."""
    with _gone_is_an_error(pid):
        return os.readlink(f"/proc/{pid}/{name}")


def stat_named(pid: int, path: str, inode: int) -> os.stat_result:
    """
    Return the status of a file by the name that /proc has for it.

    Such names begin at this process's root directory, in the other's mount namespace.

    Args:
        pid: The process whose file it is.
        path: The name.
        inode: Of the file that is looked for; another one may have its name.

    Raises:
        OSError: There is none of that name.
    """
    with suppress(FileNotFoundError):
        found = os.lstat(f"/proc/{pid}/root{path}")
        if found.st_ino == inode or link(pid, "root") == "/":
            return found
    if link(pid, "root") == "/":
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
    return os.lstat(path)


_FLAGS_FIELD = 9
"""Of proc_pid_stat(5): ``PF_*`` of include/linux/sched.h."""
_PF_KTHREAD = 0x0020_0000


def exists(pid: int) -> bool:
    """Tell whether there is a process or thread of that id."""
    return os.path.exists(f"/proc/{pid}")


def pids() -> list[int]:
    """Return all processes that /proc shows."""
    return sorted(int(name) for name in os.listdir("/proc") if name.isdigit())


class Status(Record):
    """
    ``/proc/PID/status``, as far as it is asked for.

    Ids come outermost namespace first, as the kernel lists them.
    """

    name: str
    state: str
    tgid: int
    ppid: int
    tracer: int
    uids: tuple[int, int, int]
    gids: tuple[int, int, int]
    groups: tuple[int, ...]
    tids: tuple[int, ...]
    tgids: tuple[int, ...]
    pgids: tuple[int, ...]
    sids: tuple[int, ...]
    umask: int
    has_memory: bool
    pending: int
    shared_pending: int
    ignored: int
    caught: int
    blocked: int
    credentials: records.Credentials
    speculation: tuple[tuple[int, int], ...]
    no_new_privs: bool
    seccomp: int
    shadow_stack: bool


def status(pid: int, tid: int | None = None) -> Status:
    """Return the status of a process, or of one of its threads."""
    text = read(pid, "status" if tid is None else f"task/{tid}/status")
    rows = dict(
        line.split(":\t", 1)
        for line in text.decode(errors="surrogateescape").split("\n")
        if ":\t" in line
    )

    def ids(key: str) -> tuple[int, ...]:
        return _numbers(rows.get(key, ""))

    def three(key: str) -> tuple[int, int, int]:
        real, effective, saved, _file_system = ids(key)
        return real, effective, saved

    return Status(
        name=rows["Name"],
        state=rows["State"][0],
        tgid=int(rows["Tgid"]),
        ppid=int(rows["PPid"]),
        tracer=int(rows["TracerPid"]),
        uids=three("Uid"),
        gids=three("Gid"),
        groups=ids("Groups"),
        tids=ids("NSpid"),
        tgids=ids("NStgid"),
        pgids=ids("NSpgid"),
        sids=ids("NSsid"),
        umask=int(rows.get("Umask", "0"), 8),
        has_memory="VmSize" in rows,
        pending=int(rows["SigPnd"], 16),
        shared_pending=int(rows["ShdPnd"], 16),
        ignored=int(rows["SigIgn"], 16),
        caught=int(rows["SigCgt"], 16),
        blocked=int(rows["SigBlk"], 16),
        credentials=_credentials(*[rows[key] for key in _CREDENTIALS]),
        speculation=_speculation(rows),
        no_new_privs=rows.get("NoNewPrivs", "0").strip() == "1",
        seccomp=int(rows.get("Seccomp", "0")),
        shadow_stack="shstk" in rows.get("x86_Thread_features", "").split(),
    )


@lru_cache
def _numbers(text: str) -> tuple[int, ...]:
    """Return the decimal numbers of a row, most of which many threads share."""
    return tuple(map(int, text.split()))


_CREDENTIALS = ("Uid", "Gid", "CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")


@lru_cache
def _credentials(uids: str, gids: str, *sets: str) -> records.Credentials:
    """Return ids, as this process's user namespace has them, and capabilities."""

    def four(text: str) -> tuple[int, int, int, int]:
        real, effective, saved, file_system = _numbers(text)
        return real, effective, saved, file_system

    capabilities = (int(text, 16) for text in sets)
    return records.Credentials(four(uids), four(gids), *capabilities)


def _speculation(rows: Mapping[str, str]) -> tuple[tuple[int, int], ...]:
    """
    Return misfeature and control of each that has been set for the thread.

    Source: task_seccomp in fs/proc/array.c, Linux 6.12; PR_SPEC_* in linux/prctl.h.
    """
    store_bypass = {"thread mitigated": 4, "thread force mitigated": 8}
    indirect = {"conditional disabled": 4, "conditional force disabled": 8}
    found = (
        (0, store_bypass.get(rows.get("Speculation_Store_Bypass", ""), 0)),
        (1, indirect.get(rows.get("SpeculationIndirectBranch", ""), 0)),
    )
    return tuple(pair for pair in found if pair[1])


_POLICIES = {
    "prefer": 1,
    "bind": 2,
    "interleave": 3,
    "local": 4,
    "prefer (many)": 5,
    "weighted interleave": 6,
}
_POLICY_FLAGS = {"static": 1 << 15, "relative": 1 << 14, "balancing": 1 << 13}
_POLICY = (
    r"[0-9a-f]+ ([a-z]+(?: \(many\)| interleave)?)(?:=([a-z|]+))?(?::([-,0-9]+))? "
)


def memory_policy(pid: int, tid: int) -> records.MemoryPolicy | None:
    """
    Return the NUMA policy of a thread; None for the default, or where there is none.

    The first mapping shows it, which is code and has hardly a policy of its own; the
    kernel looks at the pages of those mappings only that are read.

    Source: mpol_to_str in mm/mempolicy.c, Linux 6.18; linux/mempolicy.h.
    """
    try:
        fd = os.open(f"/proc/{pid}/task/{tid}/numa_maps", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        line = os.read(fd, 128).decode(errors="replace")
    finally:
        os.close(fd)
    return _policy(line)


def mapping_policies(pid: int) -> dict[int, records.MemoryPolicy]:
    """
    Return the NUMA policies of mappings that are others than the main thread's.

    By the first address.  The kernel looks at all pages.
    """
    try:
        lines = read(pid, "numa_maps").decode(errors="replace").split("\n")
    except TaskGoneError:
        # A kernel without NUMA.
        return {}
    own = _policy(lines[0])
    found = {}
    for line in lines[1:]:
        policy = _policy(line)
        if policy and policy != own:
            found[int(line.split(" ", 1)[0], 16)] = policy
    return found


def _policy(line: str) -> records.MemoryPolicy | None:
    """Return the NUMA policy in a line of numa_maps; None: the default."""
    # Importing re and compiling the pattern take longer than all the rest of this.
    if line.split(" ", 2)[1:2] in (["default"], []):
        return None
    import re

    found = re.match(_POLICY, line)
    if not found or found[1] not in _POLICIES:
        return None
    flags = sum(_POLICY_FLAGS.get(name, 0) for name in (found[2] or "").split("|"))
    runs = []
    for part in filter(None, (found[3] or "").split(",")):
        first, _, last = part.partition("-")
        runs.append((int(first), int(last or first)))
    return records.MemoryPolicy(_POLICIES[found[1]] | flags, tuple(runs))


def limits(pid: int) -> tuple[tuple[int, int], ...]:
    """Return the soft and hard limits by number; 2**64 - 1 is none."""

    def number(word: bytes) -> int:
        return (1 << 64) - 1 if word.strip() == b"unlimited" else int(word)

    # "%-25s %-20s %-20s %-10s" by number, below a line of headings: fs/proc/base.c.
    rows = read(pid, "limits").splitlines()[1:]
    return tuple((number(row[26:46]), number(row[47:67])) for row in rows)


def comm(pid: int, tid: int) -> str:
    """Return a thread's name; at most 15 bytes."""
    return os.fsdecode(read(pid, f"task/{tid}/comm").rstrip(b"\n"))


class Stat(Record):
    """``/proc/PID/stat`` behind the name, from field 3 on (see proc_pid_stat(5))."""

    fields: tuple[str, ...]

    def field(self, number: int) -> int:
        """Return a field by its number in the manual page."""
        return int(self.fields[number - 3])

    @property
    def state(self) -> str:
        """One letter."""
        return self.fields[0]


def stat(pid: int, tid: int | None = None) -> Stat:
    """Return the numbers of a process, or of one of its threads."""
    text = read(pid, "stat" if tid is None else f"task/{tid}/stat").decode(
        errors="surrogateescape"
    )
    return Stat(tuple(text[text.rindex(")") + 2 :].split()))


def is_kernel_thread(pid: int) -> bool:
    """Tell whether the kernel has made a thread for itself."""
    return stat(pid).field(_FLAGS_FIELD) & _PF_KTHREAD != 0


def tids(pid: int) -> list[int]:
    """Return the ids of the threads, the leader's first."""
    with _gone_is_an_error(pid):
        return sorted(
            (int(name) for name in os.listdir(f"/proc/{pid}/task")),
            key=lambda tid: (tid != pid, tid),
        )


def living_thread(pid: int) -> int | None:
    """
    Return the first thread that has not ended; None: only a zombie is left.

    It is the main thread, unless that has ended before others.
    """
    seen: Sequence[int] = ()
    # A thread that calls execve(2) takes the place of the main one meanwhile.
    while (listed := tids(pid)) != seen:
        for tid in listed:
            with suppress(TaskGoneError):
                if stat(pid, tid).state not in "ZX":
                    return tid
        seen = listed
    return None


def has_sysv_objects() -> bool:
    """Tell whether there are System V semaphores or message queues in our namespace."""
    for kind in ("sem", "msg"):
        with suppress(OSError), open(f"/proc/sysvipc/{kind}", "rb") as file:
            if file.read().count(b"\n") > 1:
                return True
    return False


def shares_objects(pid: int) -> bool:
    """Tell whether a process is in our IPC namespace, as it is where there are none."""
    try:
        return link(pid, "ns/ipc") == link(os.getpid(), "ns/ipc")
    except TaskGoneError:
        return True


def children(pid: int) -> list[int]:
    """Return the ids of the processes whose parent is any thread of `pid`."""
    found: list[int] = []
    for tid in tids(pid):
        try:
            found += [int(word) for word in read(pid, f"task/{tid}/children").split()]
        except TaskGoneError:
            if tid == pid:
                raise
    return found


def voluntary_switches(pid: int, tid: int) -> int:
    """Return how often a thread has given up its CPU by itself."""
    text = read(pid, f"task/{tid}/status")
    return int(_value(text, b"voluntary_ctxt_switches") or 0)


def timer_slack(tid: int) -> int | None:
    """Return the timer slack of a thread, in ns; None: it takes CAP_SYS_NICE to see."""
    try:
        return int(read(tid, "timerslack_ns"))
    except (NotPermittedError, ValueError):
        return None


class SystemCall(Record):
    """The system call in which a thread sleeps: number, arguments, and the pc then."""

    number: int
    args: tuple[int, ...]
    pc: int = 0


def system_call(pid: int, tid: int) -> SystemCall | None:
    """Return the call in which a thread sleeps, or None if it runs."""
    words = read(pid, f"task/{tid}/syscall").split()
    if len(words) < 9 or words[0] == b"-1":
        return None
    args = tuple(int(word, 16) for word in words[1:7])
    return SystemCall(int(words[0]), args, int(words[8], 16))


def exec_start(pid: int, tid: int) -> float | None:
    """
    Return when a thread last began to run or, asleep, ran last; milliseconds.

    The zero point differs from CPU to CPU.  None: this kernel does not tell.
    """
    try:
        text = read(pid, f"task/{tid}/sched")
    except TaskGoneError:
        return None
    value = _value(text, b"se.exec_start")
    return float(value) if value else None


class Timer(Record):
    """
    One timer of ``/proc/PID/timers``.

    Attributes:
        notify: ``"signal"``, ``"none"`` or ``"thread"``.
        target: ``"pid"`` or ``"tid"``, of which `target_id` is the number.
    """

    id: int
    signal: int
    value: int
    notify: str
    target: str
    target_id: int
    clock: int


_TIMER = (
    r"(?m)^ID: (\d+)\nsignal: (\d+)/([0-9a-f]+)\nnotify: (\w+)/(\w+)\.(\d+)\n"
    r"ClockID: (-?\d+)$"
)


def timers(pid: int) -> list[Timer]:
    """Return the timers that a process has made with timer_create."""
    text = read(pid, "timers").decode()
    if not text:
        return []
    import re

    return [
        Timer(
            int(number),
            int(signal),
            int(value, 16),
            notify,
            target,
            int(target_id),
            int(clock),
        )
        for number, signal, value, notify, target, target_id, clock in re.findall(
            _TIMER, text
        )
    ]


def time_offsets(pid: int) -> tuple[int, int]:
    """Return what the time namespace of a process's children adds to clocks, in ns."""
    found = {}
    for line in read(pid, "timens_offsets").decode().splitlines():
        name, seconds, nanoseconds = line.split()
        found[name] = int(seconds) * 1_000_000_000 + int(nanoseconds)
    return found.get("monotonic", 0), found.get("boottime", 0)


class Range(Record):
    """One mapping of ``/proc/PID/smaps``."""

    start: int
    end: int
    permissions: str
    offset: int
    device: tuple[int, int]
    inode: int
    path: str
    flags: frozenset[str] = frozenset()

    def with_flags(self, flags: frozenset[str]) -> Range:
        """Return the same with flags."""
        return Range(*self[:-1], flags)


KEY = "key "
"""What a flag begins with that names a protection key."""


def ranges(pid: int) -> list[Range]:
    """
    Return the address space, ``VmFlags`` included.

    Memory with a protection key has a flag for it, KEY and the number.
    """
    parts = read(pid, "smaps").split(b"\nVmFlags: ")
    has_keys = b"\nProtectionKey:" in parts[0]
    found: list[Range] = []
    head, _, rest = parts[0].partition(b"\n")
    for part in parts[1:]:
        key = _key(rest) if has_keys else 0
        line, _, rest = part.partition(b"\n")
        found.append(_flagged(head, line, key))
        head, _, rest = rest.partition(b"\n")
    return found


def _key(rows: bytes) -> int:
    """Return the protection key that rows which lead up to the flags name, or 0."""
    name, _, value = rows.rpartition(b"\n")[2].partition(b":")
    return int(value) if name == b"ProtectionKey" else 0


@lru_cache(1 << 16)
def _flagged(head: bytes, line: bytes, key: int) -> Range:
    """Return the mapping of a line of maps and one of VmFlags; see `_range`."""
    return _range(head).with_flags(_flags(line, key))


@cache
def _flags(line: bytes, key: int) -> frozenset[str]:
    """Return the flags of a line of VmFlags; there are not many different ones."""
    return frozenset((*line.decode().split(), *((f"{KEY}{key}",) if key else ())))


def outline(pid: int) -> list[Range]:
    """Return the address space without flags; much faster for a large one."""
    return [_range(line) for line in read(pid, "maps").split(b"\n") if line]


def with_flags(outline: Sequence[Range], known: Sequence[Range]) -> list[Range] | None:
    """Return an outline with the flags of what is known; None: some of it is not."""
    flags = {part._replace(flags=frozenset()): part.flags for part in known}
    if not flags.keys() >= set(outline):
        return None
    return [part.with_flags(flags[part]) for part in outline]


def own_memory(pid: int) -> int:
    """Return the bytes of anonymous memory of a process, in memory and swapped out."""
    text = read(pid, "status")
    rows = [_value(text, name) for name in (b"RssAnon", b"VmSwap")]
    return sum(int(row.removesuffix(b" kB")) for row in rows if row) << 10


def _value(text: bytes, name: bytes) -> bytes:
    """Return what a line ``name: value`` says; empty: there is none."""
    _, found, rest = text.partition(b"\n" + name)
    return rest.partition(b"\n")[0].partition(b":")[2].strip() if found else b""


@lru_cache(1 << 16)
def _range(line: bytes) -> Range:
    """
    Return the mapping that a line of maps describes.

    What was seen while the process ran is not parsed again while it stands still.
    """
    words = line.split(None, 5)
    start, end = (int(word, 16) for word in words[0].split(b"-"))
    major, minor = (int(word, 16) for word in words[3].split(b":"))
    path = words[5] if len(words) > 5 else b""
    return Range(
        start,
        end,
        words[1].decode(),
        int(words[2], 16),
        (major, minor),
        int(words[4]),
        os.fsdecode(path.replace(b"\\012", b"\n")),
    )


def page_sizes(pid: int) -> dict[int, int]:
    """Return the bytes of a page of each mapping, by its first address."""
    sizes = {}
    start = 0
    for line in filter(None, read(pid, "smaps").split(b"\n")):
        name, *words = line.split(None, 2)
        if not name.endswith(b":"):
            start = int(name.split(b"-")[0], 16)
        elif name == b"KernelPageSize:":
            sizes[start] = int(words[0]) << 10
    return sizes


def holding(pid: int) -> set[int]:
    """Return the first addresses of mappings that have pages, be they swapped out."""
    found = set()
    start = 0
    for line in filter(None, read(pid, "smaps").split(b"\n")):
        name, *words = line.split(None, 2)
        if not name.endswith(b":"):
            start = int(name.split(b"-")[0], 16)
        elif name in (b"Rss:", b"Swap:") and words[0] != b"0":
            found.add(start)
    return found


def may_be_huge(pid: int, address: int) -> bool:
    """Tell whether the mapping that has `address` in it may get huge pages."""
    inside = False
    for line in filter(None, read(pid, "smaps").split(b"\n")):
        name, *words = line.split(None, 2)
        if not name.endswith(b":"):
            start, end = (int(part, 16) for part in name.split(b"-"))
            inside = start <= address < end
        elif inside and name == b"THPeligible:":
            return words[0] != b"0"
    return False


def descriptor_numbers(pid: int) -> list[int]:
    """Return the open descriptors in order."""
    with _gone_is_an_error(pid):
        return sorted(int(name) for name in os.listdir(f"/proc/{pid}/fd"))


def descriptor_info(pid: int, fd: int) -> dict[str, list[str]]:
    """Return ``fdinfo``: its rows by name; names such as ``tfd`` occur repeatedly."""
    return _rows(read(pid, f"fdinfo/{fd}"))


def _rows(text: bytes) -> dict[str, list[str]]:
    """Return the rows of an ``fdinfo`` by name."""
    rows: dict[str, list[str]] = {}
    for line in text.decode(errors="replace").split("\n"):
        name, _, value = line.partition(":")
        rows.setdefault(name, []).append(value.strip())
    return rows


_INFO_SIZE = 4096


class Descriptors:
    """
    The descriptors of a process, to be looked at one after the other.

    A context manager, which translates errors.  What is alike is parsed once.
    """

    def __init__(self, pid: int) -> None:
        self._errors = _gone_is_an_error(pid)
        self._pid = pid
        self._folders: list[int] = []
        self._known: dict[bytes, dict[str, list[str]]] = {}

    def __enter__(self) -> Self:
        with _gone_is_an_error(self._pid):
            for name in ("fd", "fdinfo"):
                flags = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
                self._folders.append(os.open(f"/proc/{self._pid}/{name}", flags))
        self._errors.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for folder in self._folders:
            os.close(folder)
        self._errors.__exit__(kind, error, trace)

    def numbers(self) -> list[int]:
        """Return those that are open, in order."""
        return sorted(map(int, os.listdir(self._folders[0])))

    def label(self, fd: int) -> str:
        """Return what the kernel calls the open file."""
        return os.readlink(str(fd), dir_fd=self._folders[0])

    def stat(self, fd: int) -> os.stat_result:
        """Return the status of the open file."""
        return os.stat(str(fd), dir_fd=self._folders[0])

    def info(self, fd: int) -> dict[str, list[str]]:
        """Return ``fdinfo``, as `descriptor_info`; not to be changed."""
        flags = os.O_RDONLY | os.O_CLOEXEC
        opened = os.open(str(fd), flags, dir_fd=self._folders[1])
        try:
            text = part = os.read(opened, _INFO_SIZE)
            # All that there is, unless the buffer is full.
            while len(part) == _INFO_SIZE:
                text += (part := os.read(opened, _INFO_SIZE))
        finally:
            os.close(opened)
        if text not in self._known:
            self._known[text] = _rows(text)
        return self._known[text]


class Mount(Record):
    """A mounted file system: its device as `st_dev` has it, and where it is."""

    device: int
    path: str


def mounts(pid: int) -> list[Mount]:
    """Return the mounts that a process sees."""
    found = []
    for line in read(pid, "mountinfo").split(b"\n"):
        words = line.split(b" ")
        if len(words) > 4:
            major, minor = (int(word) for word in words[2].split(b":"))
            path = os.fsdecode(words[4].replace(b"\\040", b" "))
            found.append(Mount(os.makedev(major, minor), path))
    return found


def auxiliary_vector(pid: int) -> bytes:
    """Return the auxiliary vector as the kernel keeps it, AT_NULL included."""
    return read(pid, "auxv")


def program_identity(pid: int) -> tuple[int, int, str]:
    """
    Return ELF machine, word size in bytes and byte order of a process.

    The first bytes of the executable tell; where the file is gone the open exe link
    still reads.
    """
    with _gone_is_an_error(pid):
        fd = os.open(f"/proc/{pid}/exe", os.O_RDONLY | os.O_CLOEXEC)
    try:
        head = os.read(fd, 20)
    finally:
        os.close(fd)
    order: Literal["little", "big"] = "little" if head[5:6] == b"\x01" else "big"
    return int.from_bytes(head[18:20], order), 4 if head[4:5] == b"\x01" else 8, order
