"""
Making threads and processes, becoming another program, waiting for children.

Source: clone(2), fork(2), vfork(2), execve(2), wait4(2), waitid(2).
"""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Callable, Iterator

from blcr.annotations import Any
from blcr.errors import ArchitectureError
from blcr.host.emulated import family, loader
from blcr.host.emulated.calls.pidfds import open_process
from blcr.host.emulated.calls.table import call, fail, not_served, only
from blcr.host.emulated.calls.threads import set_tls
from blcr.host.emulated.files import host_path, own_link
from blcr.host.emulated.loader import NotExecutableError
from blcr.host.emulated.tasks import Blocked, Guest, Thread, Wait, signed
from blcr.linux.constants import GENERIC

_THREAD_FLAGS = "CLONE_VM CLONE_FS CLONE_FILES CLONE_SIGHAND CLONE_THREAD".split()
# Namespaces need privileges; the others are not served.
_FORBIDDEN = "NEWNS NEWCGROUP NEWUTS NEWIPC NEWUSER NEWPID NEWNET".split()
_UNSERVED = "CLONE_PTRACE CLONE_INTO_CGROUP".split()
_EXIT_SIGNAL = 0xFF
_LAST_SIGNAL = 64
_CLONE_ARGS_SIZE = 64
"""CLONE_ARGS_SIZE_VER0."""
_KNOWN = """
    CLONE_VM CLONE_FS CLONE_FILES CLONE_SIGHAND CLONE_VFORK CLONE_PARENT CLONE_THREAD
    CLONE_SYSVSEM CLONE_SETTLS CLONE_PARENT_SETTID CLONE_CHILD_CLEARTID CLONE_DETACHED
    CLONE_UNTRACED CLONE_CHILD_SETTID CLONE_IO CLONE_CLEAR_SIGHAND CLONE_PIDFD
"""
_NOT_WITH_PIDFD = "CLONE_DETACHED CLONE_THREAD"
_ARGUMENTS_LIMIT = 1 << 16
_OF_WAIT = "__WALL __WCLONE"
_ALL, _BY_PID, _BY_GROUP = GENERIC["P_ALL"], GENERIC["P_PID"], GENERIC["P_PGID"]
_BY_PIDFD = GENERIC["P_PIDFD"]


# Threads and processes.


@call("clone")
def clone(
    thread: Thread, flags: int, stack: int, parent_tid: int, fourth: int, fifth: int
) -> int:
    """Make a thread or process; the order of the last two arguments differs."""
    tls_first = thread.guest.cpu.recipe.clone_tls_first
    tls, child_tid = (fourth, fifth) if tls_first else (fifth, fourth)
    names = thread.guest.constants
    if flags & names["CLONE_PIDFD"] and flags & names["CLONE_PARENT_SETTID"]:
        raise fail(errno.EINVAL)
    return _clone(thread, flags, stack, parent_tid, child_tid, tls, parent_tid)


@call("clone3")
def clone3(thread: Thread, args: int, size: int) -> int:
    """Make a thread or process, as a structure says."""
    guest, names = thread.guest, thread.guest.constants
    structure = guest.structure("clone_args")
    if size < _CLONE_ARGS_SIZE:
        raise fail(errno.EINVAL)
    if size > structure.size:
        raise fail(errno.E2BIG)
    data = guest.space.read(args, size)
    row: dict[str, Any] = structure.unpack(data.ljust(structure.size, b"\0"))
    for name in ("set_tid", "set_tid_size"):
        if row[name]:
            raise not_served(thread, f"clone3 with {name}", "", row[name])
    if row["flags"] & (_EXIT_SIGNAL & ~names["CLONE_NEWTIME"]) or (
        row["exit_signal"] > _LAST_SIGNAL
    ):
        raise fail(errno.EINVAL)
    return _clone(
        thread,
        row["flags"] | row["exit_signal"],
        row["stack"] + row["stack_size"],
        row["parent_tid"],
        row["child_tid"],
        row["tls"],
        row["pidfd"],
    )


@call("fork")
def fork(thread: Thread) -> int:
    """Make a process."""
    return _clone(thread, GENERIC["SIGCHLD"], 0, 0, 0, 0)


@call("vfork")
def vfork(thread: Thread) -> int:
    """Make a process that uses our memory until it becomes another program."""
    names = thread.guest.constants
    flags = names["CLONE_VM"] | names["CLONE_VFORK"] | names["SIGCHLD"]
    return _clone(thread, flags, 0, 0, 0, 0)


def _clone(
    thread: Thread,
    flags: int,
    stack: int,
    parent_tid: int,
    child_tid: int,
    tls: int,
    pidfd: int = 0,
) -> int:
    guest, names = thread.guest, thread.guest.constants
    _check_flags(thread, flags)
    if sum(1 for _ in guest.machine.threads()) >= guest.machine.task_limit:
        raise fail(errno.EAGAIN)
    if (
        os.geteuid()
        and sum(1 for _ in guest.machine.threads())
        >= (guest.limits[names["RLIMIT_NPROC"]][0])
    ):
        raise fail(errno.EAGAIN)
    is_thread = flags & names["CLONE_THREAD"]
    child = guest
    if not is_thread:
        child = family.fork(
            thread,
            share_memory=bool(flags & names["CLONE_VM"]),
            share_files=bool(flags & names["CLONE_FILES"]),
        )
        child.exit_signal = flags & _EXIT_SIGNAL
        if flags & names["CLONE_CLEAR_SIGHAND"]:
            family.reset_actions(child)
        if flags & names["CLONE_PARENT"]:
            child.ppid, child.exit_signal = guest.ppid, guest.exit_signal
    tid = guest.machine.new_pid() if is_thread else child.pid
    cpu = thread.load()
    new = guest.machine.add_thread(child, tid, cpu.copy_state(thread.state))
    reset = guest.constants["SCHED_FLAG_RESET_ON_FORK"]
    if not thread.scheduling.flags & reset:
        new.scheduling = thread.scheduling
    new.mask, new.comm = thread.mask, thread.comm
    if not is_thread and (
        flags & names["CLONE_VFORK"] or child.space is not guest.space
    ):
        new.altstack = thread.altstack
    if child.space is not guest.space:
        new.rseq = thread.rseq
    cpu = new.load()
    cpu.set_result(0)
    if stack:
        cpu.set_general({guest.arch.sp: stack})
    if flags & names["CLONE_SETTLS"]:
        set_tls(new, tls)
    if flags & names["CLONE_PARENT_SETTID"]:
        guest.store_int(parent_tid, tid)
    if flags & names["CLONE_CHILD_SETTID"]:
        child.store_int(child_tid, tid)
    if flags & names["CLONE_PIDFD"]:
        guest.store_int(pidfd, open_process(guest, child))
    if flags & names["CLONE_CHILD_CLEARTID"]:
        new.clear_child_tid = child_tid
    if flags & names["CLONE_VFORK"] and not is_thread:
        raise Blocked(family.wait_held(child))
    return tid


def _check_flags(thread: Thread, flags: int) -> None:
    guest, names = thread.guest, thread.guest.constants
    if any(flags & names[f"CLONE_{name}"] for name in _FORBIDDEN):
        raise fail(errno.EPERM)
    if flags & _EXIT_SIGNAL > _LAST_SIGNAL:
        raise fail(errno.EINVAL)
    if flags & names["CLONE_PIDFD"] and flags & guest.bits(_NOT_WITH_PIDFD):
        raise fail(errno.EINVAL)
    asked = [name for name in _UNSERVED if flags & names[name]]
    if unknown := flags & ~(
        guest.bits(_KNOWN) | _EXIT_SIGNAL | guest.bits(" ".join(_UNSERVED))
    ):
        raise not_served(thread, "clone", "CLONE_", unknown)
    if flags & names["CLONE_THREAD"] and flags & names["CLONE_VFORK"]:
        asked.append("CLONE_VFORK")
    shared = [name for name in _THREAD_FLAGS if flags & names[name]]
    if flags & names["CLONE_THREAD"] and shared != _THREAD_FLAGS:
        asked.append("CLONE_THREAD alone")
    elif not flags & names["CLONE_THREAD"]:
        asked += [n for n in ("CLONE_SIGHAND", "CLONE_FS") if flags & names[n]]
    if asked:
        guest.machine.unserved.add(f"clone with {', '.join(asked)}")
        raise fail(errno.ENOSYS)


@call("execve")
def execve(thread: Thread, path: int, argv: int, env: int) -> int:
    """Become another program."""
    guest = thread.guest
    return _execute(thread, guest.constants["AT_FDCWD"], guest.path(path), argv, env)


@call("execveat")
def execveat(
    thread: Thread, directory: int, path: int, argv: int, env: int, flags: int
) -> int:
    """Become another program, found from a directory or an open file."""
    guest, name = thread.guest, thread.guest.path(path)
    only(thread, "execveat", "AT_", flags, "AT_EMPTY_PATH AT_SYMLINK_NOFOLLOW")
    if (
        name
        and flags & guest.constants["AT_SYMLINK_NOFOLLOW"]
        and os.path.islink(host_path(guest, signed(directory), name))
    ):
        raise fail(errno.ELOOP)
    if not name and flags & guest.constants["AT_EMPTY_PATH"]:
        name = f"/proc/self/fd/{signed(directory)}"
    return _execute(thread, signed(directory), name, argv, env)


def _execute(thread: Thread, directory: int, path: str, argv: int, env: int) -> int:
    guest = thread.guest

    def lookup(name: str) -> str:
        where = own_link(guest, name) or name
        return host_path(guest, directory, where, follow=True)

    words, variables = _strings(guest, argv), _strings(guest, env)
    size = sum(len(w) + 1 + guest.arch.word_size for w in (*words, *variables))
    if size > guest.space.stack_limit // 4:
        raise fail(errno.E2BIG)
    try:
        program = loader.find(path, words or [""], lookup)
        # Before the point from which nothing leads back.
        guest.machine.cpu(program.executable.arch)
    except NotExecutableError as error:
        raise fail(error.code) from error
    except ArchitectureError as error:
        sys.stderr.write(f"process {guest.pid}: {error}\n")
        raise fail(errno.ENOEXEC) from error
    family.execute(thread, program, variables)
    raise AssertionError("the thread is no more")


def _strings(guest: Guest, vector: int) -> list[str]:
    """Return strings from an array of pointers that a null ends."""
    found: list[str] = []
    while vector and len(found) < _ARGUMENTS_LIMIT:
        pointer = guest.fetch_word(vector)
        if not pointer:
            return found
        limit = guest.space.stack_limit // 4
        found.append(os.fsdecode(guest.space.read_string(pointer, limit)))
        vector += guest.arch.word_size
    if vector:
        raise fail(errno.E2BIG)
    return found


# Waiting.


@call("wait4")
def wait4(thread: Thread, pid: int, result: int, options: int, usage: int) -> int:
    """Wait until a child ends, or stops, or goes on."""
    guest, names, pid = thread.guest, thread.guest.constants, signed(pid)
    only(thread, "wait4", "W", options, f"WNOHANG WUNTRACED WCONTINUED {_OF_WAIT}")

    def wanted(child: Guest) -> bool:
        if pid in {-1, child.pid}:
            return True
        return pid <= 0 and child.pgid == (-pid or guest.pgid)

    kinds = {"CLD_EXITED", "CLD_KILLED", "CLD_DUMPED"}
    kinds |= {"CLD_STOPPED"} if options & names["WUNTRACED"] else set()
    kinds |= {"CLD_CONTINUED"} if options & names["WCONTINUED"] else set()
    found = _find(thread, wanted, kinds, options)
    if found is None:
        return 0
    child, change = found
    if result:
        guest.store_int(result, change.status)
    if usage:
        store_usage(guest, usage, child.cpu_time() + child.children_ns)
    _take(child)
    return child.pid


@call("waitpid")
def waitpid(thread: Thread, pid: int, result: int, options: int) -> int:
    """Wait until a child ends, or stops, or goes on."""
    return wait4(thread, pid, result, options, 0) or 0


@call("waitid")
def waitid(
    thread: Thread, kind: int, which: int, info: int, options: int, usage: int
) -> int:
    """Wait until a child changes in one of some ways, and tell how."""
    guest, names = thread.guest, thread.guest.constants
    if kind not in {_ALL, _BY_PID, _BY_GROUP, _BY_PIDFD}:
        raise not_served(thread, "waitid", "P_", kind)
    waits = True
    if kind == _BY_PIDFD:
        file = guest.descriptors.get(signed(which))
        if file.process is None:
            raise fail(errno.EBADF)
        kind, which = _BY_PID, file.process.pid
        waits = not file.flags & names["O_NONBLOCK"] or options & names["WNOHANG"] > 0
    served = f"WNOHANG WNOWAIT WEXITED WSTOPPED WCONTINUED {_OF_WAIT}"
    only(thread, "waitid", "W", options, served)

    def wanted(child: Guest) -> bool:
        if kind == _BY_PID:
            return child.pid == which
        return kind == _ALL or child.pgid == (which or guest.pgid)

    kinds: set[str] = set()
    for option, added in (
        ("WEXITED", {"CLD_EXITED", "CLD_KILLED", "CLD_DUMPED"}),
        ("WSTOPPED", {"CLD_STOPPED"}),
        ("WCONTINUED", {"CLD_CONTINUED"}),
    ):
        if options & names[option]:
            kinds |= added
    if not kinds:
        raise fail(errno.EINVAL)
    found = _find(thread, wanted, kinds, options | (0 if waits else names["WNOHANG"]))
    if found is None and not waits:
        raise fail(errno.EAGAIN)
    row: dict[str, int] = {}
    if found is not None:
        child, change = found
        row = {"signo": names["SIGCHLD"], "code": names[change.code]}
        row |= {"pid": child.pid, "uid": os.getuid(), "status": change.number}
        if usage:
            store_usage(guest, usage, child.cpu_time() + child.children_ns)
        if not options & names["WNOWAIT"]:
            _take(child)
    if info:
        guest.store("siginfo_child", info, **row)
    return 0


def _find(
    thread: Thread, wanted: Callable[[Guest], bool], kinds: set[str], options: int
) -> tuple[Guest, family.Change] | None:
    """
    Return a child that has changed in one of some ways, and how; None: not now.

    Raises:
        Blocked: The thread has to wait.
    """
    guest, names = thread.guest, thread.guest.constants
    both = options & names["__WALL"]
    cloned = bool(options & names["__WCLONE"])
    children = [
        child
        for child in family.children(guest)
        if wanted(child) and (both or cloned == (child.exit_signal != names["SIGCHLD"]))
    ]
    for child, change in _changes(children):
        if change.code in kinds:
            return child, change
    if not children:
        raise fail(errno.ECHILD)
    if options & guest.constants["WNOHANG"]:
        return None
    raise Blocked(Wait(for_children=True))


def _changes(children: list[Guest]) -> Iterator[tuple[Guest, family.Change]]:
    for child in children:
        if child.status is not None:
            yield child, family.ended(child.status)
        elif child.change is not None:
            yield child, child.change


def _take(child: Guest) -> None:
    """Note that a change has been told."""
    if child.status is None:
        child.change = None
    else:
        family.reap(child)


def store_usage(guest: Guest, address: int, cpu_ns: int) -> None:
    """Put a ``struct rusage`` into a guest's memory: the CPU time is all we know."""
    seconds, rest = divmod(cpu_ns, 10**9)
    guest.store("rusage", address, utime={"sec": seconds, "usec": rest // 1000})
