"""Making guests from a context: see `blcr.host.interface.Restart`."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

from blcr.annotations import TYPE_CHECKING
from blcr.errors import RestartError
from blcr.host.emulated import service, signals
from blcr.host.emulated.frozen import FrozenProcess
from blcr.host.emulated.machine import Machine

if TYPE_CHECKING:
    from blcr.architecture import Arch
    from blcr.context import records
    from blcr.host.interface import RestartPlan


_INIT = 1
_SPARE = 64
"""MiB of memory beyond what a context needs."""


class Making:
    """A machine whose guests are being made."""

    def __init__(self, plan: RestartPlan) -> None:
        self.warnings: list[str] = []
        self._plan = plan
        self._machine = Machine(sysroot=plan.sysroot, bounds=plan.bounds)
        self._require_memory(plan.context.processes)
        self._machine.hold_clocks(plan.context.clocks)
        self._processes: list[FrozenProcess] = []

    def _require_memory(self, processes: Sequence[records.Process]) -> None:
        """Refuse more memory than the machine has."""
        wanted = sum(
            mapping.end - mapping.start
            for process in processes
            for mapping in process.mappings
            if not (mapping.noreserve or (mapping.shared and mapping.path))
        )
        if wanted > self._machine.ram.size:
            raise RestartError(
                f"the context has {wanted >> 20} MiB of memory, and the machine "
                f"{self._machine.ram.size >> 20}; give it more, such as "
                f"--memory={(wanted >> 20) + _SPARE}M"
            )

    def __enter__(self) -> Making:
        return self

    def __exit__(self, *_: object) -> None:
        for process in self._processes:
            self._machine.end_guest(process.guest, 0)

    @property
    def pids(self) -> Mapping[int, int]:
        """By saved id that of each guest."""
        saved = (record.pid for record in self._plan.context.processes)
        return dict(zip(saved, (one.pid for one in self._processes), strict=True))

    def create(self) -> Sequence[FrozenProcess]:
        """Make all processes with one thread and no memory."""
        for record, arch in zip(
            self._plan.context.processes, self._plan.archs, strict=True
        ):
            self._create(record, arch)
        return self._processes

    def _create(self, record: records.Process, arch: Arch) -> None:
        pid = record.pid if self._plan.restore_pid else None
        guest = self._machine.add_guest(arch, pid)
        guest.pgid = record.pgid if self._plan.restore_pgid else guest.pid
        guest.sid = record.sid if self._plan.restore_sid else guest.pid
        guest.personality, guest.no_new_privs = record.personality, record.no_new_privs
        guest.stopped = record.stopped
        self._machine.add_thread(guest, guest.pid, guest.cpu.new_state())
        self._machine.foreground = guest.pgid
        process = FrozenProcess(guest)
        process.open()
        self._processes.append(process)

    def release(self, signal: int) -> None:
        """Let the guests live, from `wait` on."""
        self._machine.set_clocks_going(from_held=True)
        for process in self._processes:
            guest = process.guest
            process.close()
            if signal:
                signals.send(guest, signals.from_outside(guest, signal))
            if signal == guest.constants["SIGCONT"]:
                guest.stopped = False
        if self._plan.context.processes[0].ppid == _INIT and not os.fork():
            # A daemon's restarter does not stay; somebody has to be the machine.
            self.wait()
            os._exit(0)

    def wait(self) -> int:
        """Run the machine until its first guest ends."""
        return service.run(self._machine, self._processes[0].guest)
