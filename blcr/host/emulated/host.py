"""
The emulated host: guests of machines that are processes of ours.

The engine is imported when a machine is needed: every command that looks for the host
of a process asks this one, too.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

from blcr.annotations import TYPE_CHECKING
from blcr.errors import NoSuchProcessError, NotTrackableError
from blcr.host.emulated import sockets

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from blcr.host.emulated.frozen import FrozenMachine
    from blcr.host.emulated.machine import Machine
    from blcr.host.emulated.restart import Making
    from blcr.host.interface import Bounds, CheckpointRequest, RestartPlan, Tracking


class EmulatedHost:
    """See `blcr.host.interface.Host`."""

    name = "emulated"
    runs_here = False
    rebuilds = frozenset(
        {
            "file",
            "directory",
            "device",
            "path",
            "pipe",
            "fifo",
            "eventfd",
            "epoll",
            "inherited",
            "inotify",
            "lock",
            "memfd",
            "mqueue",
            "pidfd",
            "pty",
            "contents",
            "signalfd",
            "socket",
            "sysv",
            "timerfd",
        }
    )

    def __init__(self) -> None:
        self._machine: Machine | None = None

    def claims(self, pid: int) -> bool:
        """Tell whether a process is a machine of ours."""
        return sockets.find(pid) is not None

    def admit(self) -> None:
        """Who may ask a machine is for the rights of its socket to say."""

    def forward(self, request: CheckpointRequest) -> list[str] | None:
        """Ask the machine."""
        from blcr.host.emulated.request import ask

        path = sockets.find(request.pid)
        if path is None:
            raise NoSuchProcessError(f"process {request.pid} is not a machine")
        return ask(path, request)

    def select(self, scope: str, number: int) -> list[int]:
        """Return guests of the machine that this process is."""
        from blcr.host.emulated import family

        if self._machine is None:
            raise NoSuchProcessError(f"there is no machine {number} here")
        return [one.pid for one in family.select(self._machine, scope, number)]

    def track(self, pid: int, *, timeout_s: float) -> AbstractContextManager[Tracking]:
        """Note nothing: the machine that runs the guests saves them itself."""
        del pid, timeout_s
        raise NotTrackableError("a machine stands still while it saves its guests")

    def freeze(
        self,
        pids: Sequence[int],
        *,
        scope: str,
        number: int,
        timeout_s: float,
        tracking: Tracking | None = None,
    ) -> FrozenMachine:
        """Hold guests of the machine that this process is."""
        del pids, timeout_s, tracking
        if self._machine is None:
            raise NoSuchProcessError("this process is not a machine")
        from blcr.host.emulated.frozen import FrozenMachine

        return FrozenMachine(self._machine, scope, number)

    def missing(self, plan: RestartPlan) -> list[str]:
        """Return what the machine lacks for a restart."""
        return [
            f"architecture {name} cannot be emulated"
            for name in sorted({a.name for a in plan.archs if a.emulation is None})
        ]

    def restart(self, plan: RestartPlan) -> Making:
        """Prepare a machine."""
        from blcr.host.emulated.restart import Making

        return Making(plan)

    def run(
        self,
        argv: Sequence[str],
        *,
        sysroot: str | None = None,
        env: Mapping[str, str] | None = None,
        strace: bool = False,
        seed: int = 0,
        bounds: Bounds | None = None,
    ) -> int:
        """
        Run a program in a machine of its own until it ends.

        Args:
            argv: The executable and its arguments.
            sysroot: Folder in which absolute paths are looked up first.
            env: Its environment; None: ours.
            strace: Print each system call.
            seed: Fixes the order of threads, and random numbers.
            bounds: What it may have, with its children.

        Returns:
            A status as `os.waitpid` gives it.

        Raises:
            BlcrError: It cannot be run.
        """
        from blcr.host.emulated import service
        from blcr.host.emulated.machine import Machine

        self._machine = Machine(
            sysroot=sysroot, seed=seed, strace=strace, bounds=bounds
        )
        guest = self._machine.start(argv, os.environ if env is None else env)
        return service.run(self._machine, guest)


HOST = EmulatedHost()
