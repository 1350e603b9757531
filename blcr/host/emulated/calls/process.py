"""
What a process can ask and change about itself.

Source: the manual pages, section 2; prctl(2) for the options.
"""

from __future__ import annotations

import errno
import os

from blcr.host.emulated import family
from blcr.host.emulated.calls.family import store_usage
from blcr.host.emulated.calls.table import call, fail, not_served, only
from blcr.host.emulated.tasks import Guest, Thread, signed

RELEASE = b"6.1.0"
_COMM_SIZE = 16
# As of a kernel that is built without them: nothing to be listed.
_LEFT_OUT = ("PR_SET_VMA", "PR_SET_PTRACER")
_LAST_CAPABILITY, _LAST_SIGNAL = 40, 64
_USUAL_SLACK = 50_000
"""Of timers, in ns."""
_PERSONALITY = "ADDR_NO_RANDOMIZE ADDR_COMPAT_LAYOUT"
"""Bits that make no difference here."""
_ANY_PERSONALITY = 0xFFFF_FFFF
_RANDOM_LIMIT = (1 << 25) - 1
_BARRIERS = """
    MEMBARRIER_CMD_GLOBAL MEMBARRIER_CMD_GLOBAL_EXPEDITED
    MEMBARRIER_CMD_REGISTER_GLOBAL_EXPEDITED MEMBARRIER_CMD_PRIVATE_EXPEDITED
    MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED MEMBARRIER_CMD_GET_REGISTRATIONS
"""
_UNLIMITED = (1 << 64) - 1
_MOST_STACK, _MOST_FILES = 1 << 30, 1 << 16
"""What no limit lets a guest go beyond."""


@call("getpid")
def getpid(thread: Thread) -> int:
    """Return the process's id."""
    return thread.guest.pid


@call("gettid")
def gettid(thread: Thread) -> int:
    """Return the thread's id."""
    return thread.tid


@call("getppid")
def getppid(thread: Thread) -> int:
    """Return the parent's id."""
    return thread.guest.ppid


@call("getpgrp")
def getpgrp(thread: Thread) -> int:
    """Return the id of the process's group."""
    return thread.guest.pgid


@call("getpgid")
def getpgid(thread: Thread, pid: int) -> int:
    """Return the id of a process's group."""
    return _find(thread, pid).pgid


@call("getsid")
def getsid(thread: Thread, pid: int) -> int:
    """Return the id of a process's session."""
    return _find(thread, pid).sid


def _find(thread: Thread, pid: int) -> Guest:
    """Return a process, 0: the one that asks; ESRCH if there is none."""
    guest = thread.guest.machine.guests.get(pid or thread.guest.pid)
    if guest is None:
        raise fail(errno.ESRCH)
    return guest


@call("setpgid")
def setpgid(thread: Thread, pid: int, pgid: int) -> int:
    """Put a process, ourselves or a child, into a group."""
    guest, machine = thread.guest, thread.guest.machine
    target = _find(thread, pid)
    if signed(pgid) < 0:
        raise fail(errno.EINVAL)
    if target is not guest and target.ppid != guest.pid:
        raise fail(errno.ESRCH)
    pgid = pgid or target.pid
    there = [one for one in family.group(machine, pgid) if one.sid == guest.sid]
    if (
        target.sid == target.pid
        or target.sid != guest.sid
        or (pgid != target.pid and not there)
    ):
        # Who leads a session stays, but may say what is so already.
        if target.pgid == pgid:
            return 0
        raise fail(errno.EPERM)
    target.pgid = pgid
    return 0


@call("setsid")
def setsid(thread: Thread) -> int:
    """Begin a session."""
    guest = thread.guest
    if family.group(guest.machine, guest.pid):
        raise fail(errno.EPERM)
    guest.sid = guest.pgid = guest.pid
    return guest.sid


@call("uname")
def uname(thread: Thread, result: int) -> int:
    """Tell the names of the system."""
    host = os.uname()
    machine = thread.guest.cpu.recipe.machine or thread.guest.arch.name
    thread.guest.store(
        "utsname",
        result,
        sysname=b"Linux",
        nodename=os.fsencode(host.nodename)[:64],
        release=RELEASE,
        version=b"#1",
        machine=os.fsencode(machine),
        domainname=b"(none)",
    )
    return 0


@call("sysinfo")
def sysinfo(thread: Thread, result: int) -> int:
    """Tell about memory and load."""
    ram = thread.guest.space.ram
    thread.guest.store(
        "sysinfo",
        result,
        uptime=thread.guest.machine.boottime() // 10**9,
        totalram=ram.size,
        freeram=max(0, ram.size - ram.committed),
        procs=len(list(thread.guest.machine.threads())),
        mem_unit=1,
    )
    return 0


@call("getrandom")
def getrandom(thread: Thread, result: int, size: int, flags: int) -> int:
    """Give bytes that the seed fixes."""
    only(thread, "getrandom", "GRND_", flags, "GRND_NONBLOCK GRND_RANDOM GRND_INSECURE")
    size = min(size, _RANDOM_LIMIT)
    thread.guest.space.write(result, thread.guest.machine.random.randbytes(size))
    return size


def _limit(guest: Guest, which: int) -> tuple[int, int]:
    if which >= len(guest.limits):
        raise fail(errno.EINVAL)
    return guest.limits[which]


def _set_limit(guest: Guest, which: int, limit: tuple[int, int]) -> None:
    """Set a limit; only those that the machine keeps itself have an effect."""
    names = guest.constants
    _, hard = _limit(guest, which)
    if limit[0] > limit[1]:
        raise fail(errno.EINVAL)
    if limit[1] > hard and os.geteuid():
        raise fail(errno.EPERM)
    guest.limits[which] = limit
    if which == names["RLIMIT_STACK"]:
        guest.space.stack_limit = min(limit[0], _MOST_STACK)
    elif which == names["RLIMIT_AS"]:
        guest.space.size_limit = limit[0]
    elif which == names["RLIMIT_NOFILE"]:
        guest.descriptors.limit = min(limit[0], _MOST_FILES)


@call("prlimit64")
def prlimit64(thread: Thread, pid: int, which: int, new: int, old: int) -> int:
    """Look at, or set, a limit."""
    guest = _find(thread, pid)
    soft, hard = _limit(guest, which)
    if new:
        wanted = thread.guest.fetch("rlimit64", new)
        _set_limit(guest, which, (wanted["cur"], wanted["max"]))
    if old:
        thread.guest.store("rlimit64", old, cur=soft, max=hard)
    return 0


@call("getrlimit", "ugetrlimit")
def getrlimit(thread: Thread, which: int, result: int) -> int:
    """Look at a limit, in a word."""
    top = (1 << 8 * thread.guest.arch.word_size) - 1
    soft, hard = (min(limit, top) for limit in _limit(thread.guest, which))
    thread.guest.store("rlimit", result, cur=soft, max=hard)
    return 0


@call("setrlimit")
def setrlimit(thread: Thread, which: int, new: int) -> int:
    """Set a limit, in a word, where all ones are none."""
    guest = thread.guest
    top = (1 << 8 * guest.arch.word_size) - 1
    wanted = guest.fetch("rlimit", new)
    soft, hard = (
        _UNLIMITED if wanted[part] == top else wanted[part] for part in ("cur", "max")
    )
    _set_limit(guest, which, (soft, hard))
    return 0


@call("getrusage")
def getrusage(thread: Thread, who: int, result: int) -> int:
    """Tell what has been used."""
    guest, names = thread.guest, thread.guest.constants
    if signed(who) == names["RUSAGE_CHILDREN"]:
        used = guest.children_ns
    elif signed(who) == names["RUSAGE_SELF"]:
        used = guest.cpu_time()
    elif signed(who) == names["RUSAGE_THREAD"]:
        used = thread.cpu_time()
    else:
        raise fail(errno.EINVAL)
    store_usage(guest, result, used)
    return 0


@call("prctl")
def prctl(
    thread: Thread, option: int, value: int, third: int, fourth: int, fifth: int
) -> int:
    """Change or tell one of many things."""
    guest, names = thread.guest, thread.guest.constants
    option &= 0xFFFF_FFFF
    if option == names["PR_SET_NAME"]:
        name = guest.space.read_string(value)[: _COMM_SIZE - 1]
        thread.comm = name.decode(errors="surrogateescape")
    elif option == names["PR_GET_NAME"]:
        name = thread.comm.encode(errors="surrogateescape")
        guest.space.write(value, name.ljust(_COMM_SIZE, b"\0"))
    elif option == names["PR_SET_PDEATHSIG"]:
        if value > _LAST_SIGNAL:
            raise fail(errno.EINVAL)
        guest.parent_death_signal = value
    elif option == names["PR_GET_PDEATHSIG"]:
        guest.store_int(value, guest.parent_death_signal)
    elif option == names["PR_SET_DUMPABLE"]:
        if value > 1:
            raise fail(errno.EINVAL)
        guest.dumpable = value
    elif option == names["PR_GET_DUMPABLE"]:
        return guest.dumpable
    elif option == names["PR_SET_NO_NEW_PRIVS"]:
        if value != 1 or third or fourth or fifth:
            raise fail(errno.EINVAL)
        guest.no_new_privs = True
    elif option == names["PR_GET_NO_NEW_PRIVS"]:
        return int(guest.no_new_privs)
    elif option == names["PR_SET_CHILD_SUBREAPER"]:
        guest.child_subreaper = bool(value)
    elif option == names["PR_GET_CHILD_SUBREAPER"]:
        guest.store_int(value, int(guest.child_subreaper))
    elif option == names["PR_GET_TID_ADDRESS"]:
        guest.store_int(value, thread.clear_child_tid, guest.arch.word_size)
    elif option == names["PR_CAPBSET_READ"]:
        if value > _LAST_CAPABILITY:
            raise fail(errno.EINVAL)
    elif option == names["PR_GET_TIMERSLACK"]:
        return _USUAL_SLACK
    elif option == names["PR_SET_TIMERSLACK"] and value in {0, _USUAL_SLACK}:
        pass
    elif option in {names[name] for name in _LEFT_OUT}:
        raise fail(errno.EINVAL)
    elif option != names["PR_GET_SECCOMP"]:
        raise not_served(thread, "prctl", "PR_", option)
    return 0


@call("personality")
def personality(thread: Thread, value: int) -> int:
    """Tell, or set, how the system behaves towards the process."""
    guest, value = thread.guest, value & _ANY_PERSONALITY
    before = guest.personality
    if value != _ANY_PERSONALITY:
        only(thread, "personality", "ADDR_", value, _PERSONALITY)
        guest.personality = value
    return before


@call("umask")
def umask(thread: Thread, mask: int) -> int:
    """Set the permissions that new files do not get."""
    before, thread.guest.umask = thread.guest.umask, mask & 0o777
    return before


@call("getcpu")
def getcpu(thread: Thread, cpu: int, node: int) -> int:
    """Tell the CPU."""
    for address in (cpu, node):
        if address:
            thread.guest.store_int(address, 0)
    return 0


@call("membarrier")
def membarrier(thread: Thread, command: int, flags: int) -> int:
    """Order memory accesses, which one CPU never disorders."""
    guest = thread.guest
    served = guest.bits(_BARRIERS)
    if not command & 0xFFFF_FFFF:
        return served
    only(thread, "membarrier", "MEMBARRIER_CMD_", command, _BARRIERS)
    if flags & 0xFFFF_FFFF or command & (command - 1):
        raise fail(errno.EINVAL)
    names = guest.constants
    own = names["MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED"]
    if command in {own, names["MEMBARRIER_CMD_REGISTER_GLOBAL_EXPEDITED"]}:
        guest.barriers |= command
    elif command == names["MEMBARRIER_CMD_GET_REGISTRATIONS"]:
        return guest.barriers
    elif command == names["MEMBARRIER_CMD_PRIVATE_EXPEDITED"] and (
        not guest.barriers & own
    ):
        raise fail(errno.EPERM)
    return 0
