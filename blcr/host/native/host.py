"""The native host: processes of this machine's kernel, through ptrace and /proc."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Container, Sequence
from functools import partial

from blcr.annotations import TYPE_CHECKING, cast
from blcr.errors import HostError, NoSuchProcessError, NotTrackableError, TaskGoneError
from blcr.host.interface import CheckpointRequest, RestartPlan
from blcr.host.native import freeze, held, kernel, procfs, seccomp, yama

if TYPE_CHECKING:
    from blcr.host import interface
    from blcr.host.native.restart import Making
    from blcr.host.native.tracking import Tracking

RESTARTER_NAME = "cr_restart"
"""By which a request for a restarter's pid is known to mean its program."""
_OLDEST_KERNEL = (5, 10)


class NativeHost:
    """See `blcr.host.interface.Host`."""

    name = "native"
    runs_here = True
    rebuilds = frozenset(
        {
            "file", "directory", "device", "path", "contents", "inherited",
            "lease", "lock", "pipe", "fifo", "eventfd", "timerfd", "signalfd", "epoll",
            "inotify", "pidfd", "pty", "memfd", "aio", "owner", "root", "guards",
            "controls", "credentials", "seccomp", "policy", "speculation",
            "droppable", "huge_page", "keys", "dispatch", "sysv",
            "mqueue", "socket", "ancillary", "connection",
            "netlink_socket", "clone", "folders",
        }
    )  # fmt: skip

    def claims(self, pid: int) -> bool:
        """Every process of this machine is ours, if nobody else claims it."""
        return procfs.exists(pid)

    def admit(self) -> None:
        """Let the user's processes trace this one and what it becomes."""
        yama.admit_all()

    def forward(self, request: CheckpointRequest) -> list[str] | None:
        """Let the caller hold the processes itself."""
        del request
        return None

    def select(self, scope: str, number: int) -> list[int]:
        """Return the processes that a request means, parents first."""
        if scope in ("pgid", "sid"):
            pids = _members(scope, number)
            if not pids:
                raise NoSuchProcessError(f"no process has the {scope} {number}")
            return pids
        held.check(number)
        number = self._restarted_by(number)
        if scope == "pid":
            return [number]
        below = _below([number], {os.getpid()})
        return [number, *filter(_is_living, below)]

    def _restarted_by(self, pid: int) -> int:
        """Return the process that a restarter stands for, or `pid` itself."""
        if procfs.comm(pid, pid) != RESTARTER_NAME:
            return pid
        inside = [child for child in procfs.children(pid) if _is_living(child)]
        inside = [child for child in inside if not _is_reaper(child)]
        return inside[0] if len(inside) == 1 else pid

    def track(self, pid: int, *, timeout_s: float) -> Tracking:
        """Begin to note what a process writes."""
        held.check(pid)
        if procfs.own_memory(pid) < held.LARGE:
            mib = held.LARGE >> 20
            raise NotTrackableError(f"it has less than {mib} MiB of its own")
        from blcr.host.native.tracking import Tracking

        return Tracking(pid, timeout_s)

    def freeze(
        self,
        pids: Sequence[int],
        *,
        scope: str,
        number: int,
        timeout_s: float,
        tracking: interface.Tracking | None = None,
    ) -> freeze.Freezer:
        """Hold processes still."""
        _check_kernel()
        return freeze.Freezer(
            pids,
            timeout_s,
            cast("Tracking | None", tracking),
            partial(_joined, scope, number),
        )

    def missing(self, plan: RestartPlan) -> list[str]:
        """Return what this machine lacks for a restart."""
        lacking = []
        for record, arch in zip(plan.context.processes, plan.archs, strict=True):
            own = procfs.program_identity(os.getpid())
            if not _runs(
                own, (arch.elf_machine, arch.word_size, arch.layout.byteorder)
            ):
                lacking.append(
                    f"process {record.pid} is a {arch.name} program, which "
                    "this machine does not run; try --emulate"
                )
            guarded = any(thread.seccomp for thread in record.threads)
            if guarded and not seccomp.may_suspend():
                lacking.append(
                    f"process {record.pid} runs under seccomp, which takes root "
                    "(CAP_SYS_ADMIN) to set up again"
                )
        if any(one.connection for one in plan.context.sockets):
            from blcr.linux import repair

            if not repair.is_permitted():
                lacking.append(
                    "there are TCP connections to others, which take root "
                    "(CAP_NET_ADMIN) to make again; --close-connections does without "
                    "them"
                )
        return lacking

    def restart(self, plan: RestartPlan) -> Making:
        """Prepare to make processes."""
        from blcr.host.native.restart import Making

        _check_kernel()
        return Making(plan)


def _runs(own: tuple[int, int, str], other: tuple[int, int, str]) -> bool:
    """Tell whether this kernel runs programs of an identity."""
    if own == other:
        return True
    machines = _COMPAT.get(own[0], set())
    return other[0] in machines and own[2] == other[2]


_COMPAT = {62: {3}, 183: {40}, 21: {20}}
"""ELF machines whose 32-bit sibling the same kernel runs: x86-64, AArch64, PowerPC."""


def _check_kernel() -> None:
    """
    Refuse kernels that lack what the rest of this host takes for granted.

    Raises:
        HostError: It is older than 5.10.
    """
    if kernel.version() < _OLDEST_KERNEL:
        release = os.uname().release
        raise HostError(f"Linux {release} is too old: 5.10 is the oldest that serves")


def _joined(
    scope: str, number: int, held: Sequence[int], seen: Sequence[int]
) -> list[int]:
    """
    Return processes that a request means, too, and that nobody has seen yet.

    Args:
        scope, number: As of `NativeHost.select`.
        held: Those that stand still.
        seen: All that there have been.
    """
    # One that has just ended may have had a child, whose new parent was looked at
    # before that.  So those count, too, and of one that is gone altogether the second
    # look sees the child.
    known = {*seen, os.getpid()}
    for _ in range(2 if scope != "pid" else 0):
        if scope == "tree":
            found = _below(held, known)
        else:
            found = _members(scope, number, ended=True)
        if found := [pid for pid in found if pid not in known]:
            return found
    return []


def _below(pids: Sequence[int], known: Container[int]) -> list[int]:
    """Return what is below processes and not known yet, parents first."""
    found: dict[int, None] = {}
    left = list(pids)
    for one in left:
        with contextlib.suppress(TaskGoneError):
            new = [pid for pid in procfs.children(one) if pid not in known]
            left += [pid for pid in new if pid not in found]
            found.update(dict.fromkeys(new))
    return list(found)


def _members(scope: str, number: int, *, ended: bool = False) -> list[int]:
    """
    Return the processes of a process group or session, parents first, but for us.

    Args:
        scope: ``"pgid"`` or ``"sid"``.
        number: Its id.
        ended: Those count, too, that have ended.
    """
    index = 5 if scope == "pgid" else 6
    parents: dict[int, int] = {}
    for pid in procfs.pids():
        with contextlib.suppress(TaskGoneError):
            stat = procfs.stat(pid)
            if stat.field(index) != number or pid == os.getpid():
                continue
            if ended or _is_living(pid):
                parents[pid] = stat.field(4)
    found = [pid for pid, parent in parents.items() if parent not in parents]
    # The group's or session's leader is the one that was asked for.
    found.sort(key=lambda pid: pid != number)
    for one in found:
        found += [pid for pid, parent in parents.items() if parent == one]
    return found


def _is_living(pid: int) -> bool:
    """Tell whether a process is more than a zombie."""
    try:
        return procfs.living_thread(pid) is not None
    except TaskGoneError:
        return False


def _is_reaper(pid: int) -> bool:
    """Tell whether a child of a restarter is the first process of its namespace."""
    return procfs.status(pid).tids[-1] == 1


HOST = NativeHost()
