"""
The namespaces in which processes are restarted without privileges.

A user namespace gives the right to choose pids, in a pid namespace of its own; a mount
namespace lets ``/proc`` show that; a time namespace lets the clocks go on.  The first
process in it is a small reaper of ours, and never the program: it waits for orphans and
ends when the last of them has.

Source: user_namespaces(7), pid_namespaces(7), time_namespaces(7), clone(2).
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import signal
import struct
import time

from blcr.annotations import NoReturn
from blcr.errors import HostError, way_out
from blcr.host.native.apart import REAPER_NAME
from blcr.host.native.process import own_arch
from blcr.record import Record

CLONE_NEWTIME = 0x80
CLONE_NEWNS = 0x20000
CLONE_NEWIPC = 0x8000000
CLONE_NEWUSER = 0x10000000
CLONE_NEWPID = 0x20000000

_MS_NOSUID_NODEV_NOEXEC = 2 | 4 | 8
_MS_REC_PRIVATE = 0x4000 | 1 << 18
_PR_SET_NAME = 15
_LOOK_EVERY_S = 0.5

_libc = ctypes.CDLL(None, use_errno=True)


def call(name: str, *args: object) -> int:
    """
    Call a function of the C library that sets errno.

    Raises:
        OSError: It failed.
    """
    result: int = getattr(_libc, name)(*args)
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, f"{name}: {os.strerror(code)}")
    return result


def clone(flags: int = 0, tid: int = 0) -> int:
    """
    Fork by clone3, into new namespaces or with a chosen pid.

    Returns:
        As `os.fork`.  The child must soon execve or end.

    Raises:
        OSError: EEXIST, the pid is taken; EPERM, EINVAL, ENOSPC as in clone(2).
    """
    chosen = struct.pack("=i", tid)
    holder = ctypes.create_string_buffer(chosen, len(chosen))
    args = struct.pack(
        "=11Q",
        flags, 0, 0, 0, signal.SIGCHLD, 0, 0, 0,
        ctypes.addressof(holder) if tid else 0, 1 if tid else 0, 0,
    )  # fmt: skip
    packed = ctypes.create_string_buffer(args, len(args))
    number = ctypes.c_long(own_arch().syscalls["clone3"])
    return call("syscall", number, packed, ctypes.c_size_t(len(args)))


def set_own_name(name: str) -> None:
    """Give the calling thread a name; up to 15 bytes."""
    _libc.prctl(_PR_SET_NAME, name.encode(), 0, 0, 0)


class Namespaces(Record):
    """
    Open descriptors of the namespaces for the processes to come; -1: none.

    Attributes:
        mount, time: To be entered by each process itself.
        leash: While it is open the reaper waits for more to come.
        warnings: What could not be had.
    """

    mount: int
    time: int
    leash: int
    warnings: tuple[str, ...]


def enter_new(monotonic: int, boottime: int, *, ipc: bool = False) -> Namespaces:
    """
    Make namespaces around this process's future children.

    This process itself enters only the user namespace, for its capabilities; it goes on
    to see the pids, mounts and clocks of outside.

    Args:
        monotonic, boottime: What the clocks shall show more than outside, in ns.
        ipc: Make an IPC namespace, too, which this process enters.

    Raises:
        HostError: User namespaces are denied or exhausted; the message says what helps.
    """
    uid, gid = os.geteuid(), os.getegid()
    told_reader, told_writer = os.pipe()
    leash_reader, leash = os.pipe()
    try:
        own_objects = CLONE_NEWIPC if ipc else 0
        pid = clone(CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNS | own_objects)
    except OSError as error:
        raise _denied(error) from error
    if pid == 0:
        try:
            os.close(leash)
            _reap(uid, gid, monotonic, boottime, told_writer, leash_reader)
        finally:
            os._exit(1)
    os.close(leash_reader)
    os.close(told_writer)
    told = b""
    while part := os.read(told_reader, 4096):
        told += part
    os.close(told_reader)
    answer = told.decode().splitlines()
    if not answer or answer[0] != "ready":
        os.close(leash)
        os.waitpid(pid, 0)
        reason = answer[0] if answer else "its first process ended"
        raise HostError(
            f"a user namespace was given, but without the rights it needs: {reason}; "
            "restart with --no-restore-pid"
        )
    user, pids, mount = (_open(pid, name) for name in ("user", "pid", "mnt"))
    clocks = _open(pid, "time_for_children") if "time" not in answer else -1
    try:
        call("setns", user, CLONE_NEWUSER)
        if ipc:
            objects = _open(pid, "ipc")
            call("setns", objects, CLONE_NEWIPC)
            os.close(objects)
        call("setns", pids, CLONE_NEWPID)
    except OSError as error:
        os.close(leash)
        raise _denied(error) from error
    os.close(user)
    os.close(pids)
    warnings = {
        "proc": "/proc cannot be mounted in the namespace: the program sees the pids "
        "of outside there",
        "time": "no time namespace: CLOCK_MONOTONIC and CLOCK_BOOTTIME jump by the "
        "time that has passed",
    }
    return Namespaces(mount, clocks, leash, tuple(warnings[one] for one in answer[1:]))


def set_clock_offsets(monotonic: int, boottime: int) -> bool:
    """Give this process's future children clocks of their own; False: not to be had."""
    try:
        call("unshare", CLONE_NEWTIME)
        rows = (("monotonic", monotonic), ("boottime", boottime))
        text = "".join(f"{name} {ns // 10**9} {ns % 10**9}\n" for name, ns in rows)
        with open("/proc/self/timens_offsets", "w") as file:
            file.write(text)
    except OSError:
        return False
    return True


def _open(pid: int, name: str) -> int:
    """Open a namespace of a process."""
    return os.open(f"/proc/{pid}/ns/{name}", os.O_RDONLY | os.O_CLOEXEC)


def _denied(error: OSError) -> HostError:
    """Return why there is no user namespace, and what to do."""
    otherwise = "; restart with --no-restore-pid, or as root"
    if error.errno in (errno.ENOSPC, errno.EUSERS):
        return HostError(
            "the limit of user or pid namespaces is reached (sysctl "
            f"user.max_user_namespaces, user.max_pid_namespaces){otherwise}"
        )
    if error.errno in (errno.EPERM, errno.EACCES):
        return HostError(
            "user namespaces are denied to you (sysctl "
            "kernel.unprivileged_userns_clone, "
            f"kernel.apparmor_restrict_unprivileged_userns){otherwise}"
        )
    remedy = way_out(error.errno or 0) or otherwise
    return HostError(f"no user namespace can be made: {error.strerror}{remedy}")


def _reap(
    uid: int, gid: int, monotonic: int, boottime: int, told: int, leash: int
) -> NoReturn:
    """Be the first process of the pid namespace."""
    answer = ["ready"]
    try:
        _write("/proc/self/setgroups", "deny")
        _write("/proc/self/uid_map", f"{uid} {uid} 1")
        _write("/proc/self/gid_map", f"{gid} {gid} 1")
        call("mount", None, b"/", None, ctypes.c_ulong(_MS_REC_PRIVATE), None)
        if not set_clock_offsets(monotonic, boottime):
            answer.append("time")
        try:
            flags = ctypes.c_ulong(_MS_NOSUID_NODEV_NOEXEC)
            call("mount", b"proc", b"/proc", b"proc", flags, None)
        except OSError:
            answer.append("proc")
    except OSError as error:
        answer = [str(error)]
    set_own_name(REAPER_NAME)
    os.write(told, "\n".join(answer).encode())
    os.close(told)
    # Signals are the program's affair: init gets only those it has handlers for.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    os.setsid()
    with contextlib.suppress(OSError):
        null = os.open("/dev/null", os.O_RDWR)
        for fd in (0, 1, 2):
            os.dup2(null, fd)
    os.closerange(3, leash)
    os.closerange(leash + 1, 1 << 16)
    # Orphans come here to be forgotten; nobody asks how they ended.
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    os.read(leash, 1)
    while _others_live():
        time.sleep(_LOOK_EVERY_S)
    os._exit(0)


def _others_live() -> bool:
    """Tell whether there is any other process in the pid namespace that we lead."""
    try:
        os.kill(-1, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _write(path: str, text: str) -> None:
    """Write a file of /proc at one go."""
    with open(path, "w") as file:
        file.write(text)
