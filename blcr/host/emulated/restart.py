"""Making guests from a context: see `blcr.host.interface.Restart`."""

from __future__ import annotations

import os
import socket
from collections.abc import Sequence

from blcr.annotations import TYPE_CHECKING
from blcr.errors import RestartError
from blcr.host.emulated import family, ipc, service, signals
from blcr.host.emulated.files import Lending
from blcr.host.emulated.frozen import FrozenProcess
from blcr.host.emulated.machine import Machine
from blcr.host.emulated.terminals import Terminal
from blcr.host.terminals import Terminals

if TYPE_CHECKING:
    from blcr.architecture import Arch
    from blcr.context import records
    from blcr.host.emulated.tasks import Guest
    from blcr.host.interface import RestartPlan


_INIT = 1
_SPARE = 64
"""MiB of memory beyond what a context needs."""


class Making:
    """A machine whose guests are being made."""

    def __init__(self, plan: RestartPlan) -> None:
        self.warnings: list[str] = []
        self.pids: dict[int, int] = {}
        """By saved id that of each process, ended ones included."""
        self._plan = plan
        self._machine = Machine(sysroot=plan.sysroot, bounds=plan.bounds)
        self._require_memory(plan.context.processes)
        self._machine.hold_clocks(plan.context.clocks)
        self._machine.senders.wanted = any(
            option[:2] == (socket.SOL_SOCKET, socket.SO_PASSCRED)
            for one in plan.context.sockets
            for option in one.options
        )
        self._processes: list[FrozenProcess] = []
        self._lending = Lending()
        self._terminals: Terminals | None = None
        self._doomed: list[int] = []
        """Segments that were destroyed, by id."""

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

    def __exit__(self, _kind: object, error: object, _trace: object) -> None:
        self._lending.end()
        if self._terminals is not None:
            self._terminals.close()
        # Else what is left runs on in a process with the same memory.
        for process in self._processes if error is not None else ():
            self._machine.end_guest(process.guest, 0)

    def create(self) -> Sequence[FrozenProcess]:
        """Make all processes with one thread and no memory, and those that ended."""
        context, archs = self._plan.context, self._plan.archs
        for record, arch in zip(context.processes, archs, strict=True):
            guest = self._add(record, arch)
            guest.personality = record.personality
            guest.no_new_privs, guest.stopped = record.no_new_privs, record.stopped
            self._machine.add_thread(guest, guest.pid, guest.cpu.new_state())
            process = FrozenProcess(guest, lending=self._lending)
            process.open()
            self._processes.append(process)
        for ended in context.ended:
            guest = self._add(ended, archs[0])
            guest.descriptors.leave()
            guest.status, guest.last_comm = ended.status, ended.comm
        for record in context.processes:
            self._relate(record)
        for ended in context.ended:
            self._relate(ended)
        first = self._processes[0].guest
        self._machine.foreground, self._machine.session = first.pgid, first.sid
        self._doomed = self._machine.ipc.restore(context, self.pids)
        segments = {
            index: one.ipc.id
            for index, one in enumerate(context.shared_memory)
            if one.kind == "sysv" and one.ipc
        }
        made = self._make_terminals(context)
        for process in self._processes:
            process.segments, process.terminals = segments, made
        return self._processes

    def _make_terminals(self, context: records.Context) -> dict[int, Terminal]:
        """Make pseudo terminals; return them by the numbers that they had."""
        self._terminals = terminals = Terminals(context, as_root=False)
        self.warnings += terminals.notices
        guests = [one.guest for one in self._processes]
        sessions: dict[int, int] = {}
        groups: dict[int, int] = {}
        for record, guest in zip(context.processes, guests, strict=True):
            sessions[record.sid], groups[record.pgid] = guest.sid, guest.pgid
        made = {}
        for index in terminals.indices:
            made[index] = Terminal(self._machine, os.dup(terminals.master(index)))
        for session, index in terminals.leaders.items():
            made[index].session = sessions.get(session, 0)
            made[index].foreground = groups.get(terminals.foreground[index], 0)
        return made

    def _add(self, place: records.Process | records.EndedProcess, arch: Arch) -> Guest:
        """Add a process with its id, or another one, and without any relations."""
        pid = place.pid if self._plan.restore_pid else None
        guest = self._machine.add_guest(arch, pid)
        self.pids[place.pid] = guest.pid
        return guest

    def _relate(self, place: records.Process | records.EndedProcess) -> None:
        """
        Put a process below its parent, into its group and session.

        Those of the first process are its own, unless they are to be restored.
        """
        plan, pids = self._plan, self.pids
        root = plan.context.processes[0]
        guest, first = self._machine.guests[pids[place.pid]], pids[root.pid]
        nobody = 0 if place is root and root.ppid != _INIT else _INIT
        guest.ppid = pids.get(place.ppid, nobody)
        own_group = place.pgid == root.pgid and not plan.restore_pgid
        guest.pgid = first if own_group else pids.get(place.pgid, place.pgid)
        own_session = place.sid == root.sid and not plan.restore_sid
        guest.sid = first if own_session else pids.get(place.sid, place.sid)

    def release(self, signal: int) -> None:
        """Let the guests live, from `wait` on."""
        self._lending.end()
        if self._terminals is not None:
            self._terminals.close()
        for number in self._doomed:
            self._machine.ipc.segments[number].mode |= ipc.DESTROYED
        self._machine.set_clocks_going(from_held=True)
        for process in self._processes:
            process.close()
        for guest in [process.guest for process in self._processes]:
            if guest.stopped:
                # Whether its parent knows that already is not told: once more.
                family.stop(guest, guest.constants["SIGSTOP"])
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
