"""
Guests that stand still, as the engine sees them: see `blcr.host.interface`.

The objects here work on the machine's own tables, in its own process.
"""

from __future__ import annotations

import errno
import fcntl
import os
import sys
from collections.abc import (
    Callable,
    Container,
    Iterable,
    Iterator,
    Mapping,
    Sequence,
)

from blcr.annotations import TYPE_CHECKING
from blcr.architecture import InterruptedCall
from blcr.context import records
from blcr.errors import (
    ArchitectureError,
    FreezeTimeoutError,
    HostError,
    RemoteCallError,
    RestartError,
)
from blcr.host import interface, queues, several
from blcr.host.emulated import family, loader, opened, signals
from blcr.host.emulated.files import (
    Descriptors,
    Lending,
    opened_as,
    own_name,
    received,
)
from blcr.host.emulated.memory import (
    DIRTY,
    FORCE,
    OWNED,
    PAGE,
    READ,
    WRITE,
    Backing,
    MappedFile,
    SharedObject,
    pages_of,
)
from blcr.host.emulated.tasks import Blocked, Ended, Guest, Interrupted, Thread
from blcr.host.interface import (
    Call,
    Contents,
    DescriptorFacts,
    Identity,
    MappingFacts,
    Process,
    ProcessFacts,
    Run,
    SocketFacts,
    TaskFacts,
)
from blcr.linux import blocking
from blcr.linux.constants import GENERIC

if TYPE_CHECKING:
    from blcr.host.emulated.machine import Machine
    from blcr.host.emulated.memory import Area
    from blcr.host.emulated.terminals import Terminal

_ERESTARTSYS = GENERIC["ERESTARTSYS"]
_RESTARTING = {_ERESTARTSYS, GENERIC["ERESTARTNOINTR"]}
_TFD_IOC_SET_TICKS = 0x4008_5400
"""Source: linux/timerfd.h."""
_MEMFD = "/memfd:"
_ALL_FORCED = FORCE | READ


class FrozenTask:
    """See `blcr.host.interface.Task`."""

    can_call = True

    def __init__(self, owner: FrozenProcess, thread: Thread) -> None:
        self.process: Process = owner
        self.tid = thread.tid
        self.scratch = owner.scratch
        self.thread = thread
        self._guest = owner.guest

    def register_set(self, note_type: int) -> bytes | None:
        """Return a register set; a thread that waits is about to make its call."""
        thread, arch = self.thread, self.process.arch
        data = thread.load().read_set(note_type)
        if data is None or note_type != arch.gp.note_type or thread.call is None:
            return data
        regs = arch.gp.decode(data)
        if thread.wait is not None and thread.wait.progress:
            # What has been moved cannot be moved again: the call ends here.
            return arch.gp.encode(arch.set_result(regs, thread.wait.progress), data)
        if thread.wait is not None and thread.wait.result is not None:
            return arch.gp.encode(arch.set_result(regs, thread.wait.result), data)
        call = InterruptedCall(thread.call.number, thread.call.args, _ERESTARTSYS)
        return arch.gp.encode(arch.rewind_call(regs, call), data)

    def set_register_set(self, note_type: int, data: bytes) -> None:
        """Set a register set that this CPU has room for."""
        thread, arch = self.thread, self.process.arch
        self._check(note_type, data)
        thread.load().write_set(note_type, data)
        thread.wait = thread.call = None
        if note_type == arch.gp.note_type:
            pc = arch.gp.decode(data)[arch.pc]
            name = self._guest.vdso.function_at(pc)
            if name:
                raise RestartError(
                    f"thread {thread.tid} stands in {name} of the vdso, which is not "
                    "run here; take another checkpoint"
                )

    def _check(self, note_type: int, data: bytes) -> None:
        arch = self.process.arch
        if arch.portable_state is None or note_type == arch.gp.note_type:
            return
        try:
            lacking = arch.portable_state({note_type: data})
        except ArchitectureError as error:
            lacking = (str(error),)
        if lacking:
            raise RestartError(
                f"thread {self.tid} uses {', '.join(lacking)}, which the emulated CPU "
                "does not have; start the program with 'cr_run --cpu LEVEL'"
            )

    def signal_mask(self) -> int:
        """Return the blocked signals, those that a waiting call has put aside."""
        kept = self.thread.restore_mask
        return self.thread.mask if kept is None else kept

    def set_signal_mask(self, mask: int) -> None:
        """Set the blocked signals."""
        self.thread.mask = mask & ~signals.UNBLOCKABLE

    def pending(self) -> list[bytes]:
        """Return the siginfos queued for this thread."""
        return list(self.thread.pending)

    def call(self, name: str, *args: int) -> int:
        """Have the personality perform a call."""
        guest, thread, pid = self._guest, self.thread, self._guest.pid
        number = guest.arch.syscalls.get(name, -1)
        entry = guest.machine.calls(guest.arch).get(number)
        if entry is None:
            raise RemoteCallError(pid, name, errno.ENOSYS)
        mask = (1 << 8 * guest.arch.word_size) - 1
        words = tuple(arg & mask for arg in (*args, *[0] * 6)[:6])
        resumed, thread.resumed = thread.resumed, None
        before = set(guest.machine.unserved)
        try:
            return entry.function(thread, *entry.arguments(words)) or 0
        except OSError as error:
            raise RemoteCallError(pid, name, error.errno or errno.EIO) from error
        except (Blocked, Ended) as error:
            raise RemoteCallError(pid, name, errno.EAGAIN) from error
        finally:
            thread.resumed = resumed
            # The guest has not asked for it.
            guest.machine.unserved &= before

    def facts(self) -> TaskFacts:
        """Return what an outsider sees."""
        thread = self.thread
        return TaskFacts(
            thread.tid,
            thread.comm,
            thread.robust_list,
            thread.rseq,
            thread.scheduling,
        )

    def blocked_call(self) -> records.BlockedCall | None:
        """Return the call in which it waits."""
        thread, guest = self.thread, self._guest
        wait, call = thread.wait, thread.call
        if wait is None or call is None or wait.result is not None or wait.progress:
            return None
        name = guest.arch.syscall_name(call.number) or ""
        timeout = blocking.timeout(guest.arch, name, call.args, self.process.read)
        left = None
        if timeout is not None and wait.until is not None:
            left = max(0, wait.until - guest.machine.monotonic())
        restart = _ERESTARTSYS if wait.restarts else GENERIC["ERESTARTNOHAND"]
        return records.BlockedCall(name, call.args, left, restart)

    def catch_calls(self, dispatch: tuple[int, int, int]) -> None:
        """Refuse: a context that asks for it is refused before."""
        raise HostError(f"the emulated host catches no system calls {dispatch}")

    def step_out(self, general: bytes, start: int, end: int) -> bytes:
        """Leave a thread where it is: no code of a program is replaced."""
        del start, end
        return general

    def resume_call(self, call: records.BlockedCall) -> None:
        """Note what the call that the thread is about to make was."""
        self.thread.interrupted = Interrupted(
            self.process.arch.syscalls.get(call.name, -1),
            call.time_left,
            restarts=call.restart in _RESTARTING,
        )


class FrozenProcess:
    """See `blcr.host.interface.Process` and `NewProcess`."""

    grants = 0
    room: Run | None = None
    shares: Mapping[str, int] = {}

    def __init__(
        self,
        guest: Guest,
        family: opened.Family | None = None,
        lending: Lending | None = None,
    ) -> None:
        self.guest = guest
        self.family = family or opened.Family([guest])
        self._lending = lending or Lending()
        self.pid = guest.pid
        self.arch = guest.arch
        self.scratch = pages_of(guest.arch.task_size) + PAGE
        self._page = self.scratch // PAGE
        self._dismissed: FrozenTask | None = None
        self.segments: Mapping[int, int] = {}
        self.terminals: Mapping[int, Terminal] = {}
        """Pseudo terminals by the numbers that they had."""

    def open(self) -> None:
        """Make the scratch memory."""
        frame = self.guest.space.ram.take()
        self.guest.space.pages[self._page] = frame | READ | WRITE | DIRTY | OWNED

    def close(self) -> None:
        """Take the scratch memory away, before the guest runs again."""
        start = self._page * PAGE
        self.guest.space.discard(start, start + PAGE)

    @property
    def tasks(self) -> Sequence[FrozenTask]:
        """Its threads, the leader first."""
        threads = self.guest.threads.values()
        ordered = sorted(threads, key=lambda thread: thread is not self.guest.leader)
        return [FrozenTask(self, thread) for thread in ordered]

    # Bytes.

    def read(self, address: int, size: int) -> bytes:
        """Read memory, whatever its protection."""
        buffer = bytearray(size)
        self.read_into(address, memoryview(buffer))
        return bytes(buffer)

    def read_into(self, address: int, buffer: memoryview) -> None:
        """Read memory into a buffer; of a vdso what it was before it was changed."""
        at = 0
        for piece in self.guest.space.slices(address, len(buffer), _ALL_FORCED):
            buffer[at : at + len(piece)] = piece
            at += len(piece)
        self.guest.vdso.show_original(address, buffer)

    def read_runs(self, runs: Sequence[Run], buffer: memoryview) -> None:
        """Read several runs into a buffer."""
        at = 0
        for start, end in runs:
            self.read_into(start, buffer[at : at + end - start])
            at += end - start

    def call_each(
        self, room: int, calls: Callable[[int], Sequence[Call]]
    ) -> list[tuple[list[int], bytes] | None]:
        """Make the same calls in the name of each thread, one after the other."""
        answers: list[tuple[list[int], bytes] | None] = []
        for task in self.tasks:
            self.write(task.scratch, bytes(room))
            results = []
            for name, args in calls(task.scratch):
                try:
                    results.append(task.call(name, *args))
                except RemoteCallError as error:
                    results.append(-error.errno)
            answers.append((results, self.read(task.scratch, room)))
        return answers

    def write(self, address: int, data: bytes) -> None:
        """Write memory, whatever its protection."""
        self.guest.space.write(address, data, FORCE | WRITE)

    # Facts.

    def facts(self) -> ProcessFacts:
        """Return what an outsider sees."""
        guest = self.guest
        ignored = caught = 0
        for number, action in guest.actions.items():
            if action.handler == signals.SIG_IGN:
                ignored |= signals.bit(number)
            elif action.handler != signals.SIG_DFL:
                caught |= signals.bit(number)
        return ProcessFacts(
            pid=guest.pid,
            ppid=guest.ppid,
            pgid=guest.pgid,
            sid=guest.sid,
            exe=guest.exe,
            cwd=guest.cwd,
            root="/",
            umask=guest.umask,
            personality=guest.personality,
            no_new_privs=guest.no_new_privs,
            stopped=guest.stopped,
            ignored_signals=ignored,
            caught_signals=caught,
            in_namespace=False,
            uids=os.getresuid(),
            gids=os.getresgid(),
            groups=tuple(os.getgroups()),
            refused="",
            limits=tuple(guest.limits),
            # The machine's, which its guests get at by the same names.
            oom_score_adj=_own_number("oom_score_adj", 10),
            coredump_filter=_own_number("coredump_filter", 16),
            ended_leader=None
            if guest.pid in guest.threads
            else records.EndedLeader(guest.leader.comm, 0),
        )

    def memory_layout(self) -> records.MemoryLayout:
        """Return the fields of its mm."""
        return self.guest.layout

    def mappings(self) -> list[MappingFacts]:
        """Return its address space."""
        guest = self.guest
        pieces = [
            (piece, special)
            for area in guest.space.areas
            for piece, special in guest.vdso.cut(area)
        ]
        return [self._mapping(area, special) for area, special in pieces]

    def _mapping(self, area: Area, special: records.Mapping | None) -> MappingFacts:
        file = area.backing.file
        record = records.Mapping(
            start=area.start,
            end=area.end,
            protection=area.protection,
            shared=not area.is_private,
            offset=area.offset,
            path=file.path if file else "",
            special=special.special if special else self.guest.special_of(area),
            grows_down=area.grows_down,
            huge=area.huge,
            noreserve=area.noreserve,
            advice=area.advice,
            locked=area.locked,
            name=special.name if special else "",
        )
        if file is None:
            shared = area.backing.shared
            kind = self._shared_memory(shared) if shared else None
            number = id(shared) if shared else 0
            return MappingFacts(record, (0, 0), number, False, "", kind)
        limit = 7 if area.is_private or file.writable else 5
        record = record._replace(max_protection=limit)
        if file.path.startswith(_MEMFD):
            name = file.path.removeprefix(_MEMFD).removesuffix(opened.DELETED)
            record = record._replace(path="")
            memfd = records.SharedMemory(0, (), "memfd", name)
            return MappingFacts(record, file.device, file.inode, False, "", memfd)
        status = os.fstat(file.fd)
        path, deleted = opened.place(file.fd, status)
        record = record._replace(
            path=path, size=status.st_size, mtime=status.st_mtime_ns
        )
        return MappingFacts(record, file.device, file.inode, deleted, "")

    def _shared_memory(self, shared: SharedObject) -> records.SharedMemory:
        """Return what shared memory without a file is."""
        segment = self.guest.machine.ipc.segment_of(shared)
        if segment is None:
            return records.SharedMemory(0, ())
        return records.SharedMemory(
            segment.size, (), "sysv", mode=segment.mode, ipc=segment.record()
        )

    def descriptors(self) -> list[DescriptorFacts]:
        """Return its descriptors."""
        return opened.facts(self.guest, self.family)

    def pending(self) -> list[bytes]:
        """Return the siginfos queued for the whole process."""
        return list(self.guest.pending)

    def lend(self, fd: int) -> int:
        """Return a descriptor of ours for its open file, which is kept meanwhile."""
        return self._lending.lend(self.guest.descriptors.get(fd))

    def receive(self, ours: int) -> int:
        """Return a new descriptor in the guest for an open file that was lent."""
        file = self._lending.file(self.guest, ours)
        self.guest.has_signalfd |= file.kind == "signalfd"
        return self.guest.descriptors.add(file)

    def compare_file(
        self, fd: int, other: interface.FrozenProcess, other_fd: int
    ) -> int:
        """Compare the open file at `fd` with another guest's."""
        assert isinstance(other, FrozenProcess)
        ours = id(self.guest.descriptors.get(fd))
        theirs = id(other.guest.descriptors.get(other_fd))
        return (ours > theirs) - (ours < theirs)

    def messages(self, fd: int) -> tuple[tuple[int, bytes], ...]:
        """Return priority and text of each message in the queue at `fd`."""
        ours = self.guest.descriptors.get(fd).fd
        count = queues.attributes(ours).waiting
        return queues.saved(f"/proc/self/fd/{ours}") if count else ()

    def fill_queue(self, fd: int, messages: Sequence[tuple[int, bytes]]) -> None:
        """Put messages into the POSIX message queue at `fd`."""
        ours = self.guest.descriptors.get(fd).fd
        queues.fill(f"/proc/self/fd/{ours}", messages)

    def socket(self, fd: int, *, keep: bool) -> SocketFacts:
        """Return what a socket is, and what waits in it; no connection is kept."""
        del keep
        machine = self.guest.machine
        ours = os.dup(self.guest.descriptors.get(fd).fd)
        facts = self.family.sockets.facts(ours, self.pid, fd)
        record = facts.record
        return facts._replace(
            record=record._replace(
                name=own_name(machine, record.name),
                target=own_name(machine, record.target),
                messages=tuple(
                    one._replace(source=own_name(machine, one.source))
                    for one in record.messages
                ),
            )
        )

    def contents(self, fd: int) -> Contents:
        """Return a descriptor to read a regular file from, and what is data."""
        return opened.contents(self.guest, fd)

    def receive_terminal(self, index: int, flags: int, *, master: bool) -> int:
        """Return a new descriptor in the guest for an end of a pseudo terminal."""
        terminal = self.terminals[index]
        file = terminal.master(flags) if master else terminal.slave(flags)
        return self.guest.descriptors.add(file)

    def entrust(self, path: str, aside: str = "") -> None:
        """Nobody outlives a machine: files stay that a killed one has made."""

    def forget(self, path: str) -> None:
        """There is nothing to forget."""

    def remove(self, path: str) -> None:
        """Remove a file or an empty folder."""
        try:
            os.unlink(path)
        except IsADirectoryError:
            os.rmdir(path)

    def opened_elsewhere(self, fd: int) -> int:
        """Look at nobody else's files."""
        del fd
        return 0

    def set_timer_ticks(self, fd: int, ticks: int) -> None:
        """Set how often a timerfd has ended since it was read."""
        ours = self.guest.descriptors.get(fd).fd
        fcntl.ioctl(ours, _TFD_IOC_SET_TICKS, ticks.to_bytes(8, sys.byteorder))

    def rings(self) -> list[Run]:
        """Return none: there is no io_setup."""
        return []

    def transfers_ended(self) -> bool:
        """Tell that they have: they all end with the call."""
        return True

    def posix_timers(self) -> list[records.PosixTimer]:
        """Return its timers of timer_create in order of id, without their times."""
        return [
            records.PosixTimer(
                number,
                timer.clock,
                timer.notify,
                timer.signal,
                timer.value,
                timer.tid if timer.notify & GENERIC["SIGEV_THREAD_ID"] else 0,
                0,
                0,
            )
            for number, timer in sorted(self.guest.posix_timers.items())
        ]

    def pipe(self, fd: int) -> records.Pipe:
        """Return a pipe's bytes, which are taken out of it and put back."""
        return opened.pipe(self.guest.descriptors.get(fd).fd)

    def file_object(self, identity: Identity) -> tuple[records.SharedMemory, list[Run]]:
        """Return size of shared memory or of a mapped file, and where it has data."""
        backing = self._backing(identity)
        if file := backing.file:
            return _file_object(file.fd)
        shared = backing.shared
        assert shared
        runs: list[Run] = []
        for page in sorted(shared.frames):
            start = page * PAGE
            if runs and runs[-1].end == start:
                runs[-1] = Run(runs[-1].start, start + PAGE)
            else:
                runs.append(Run(start, start + PAGE))
        return records.SharedMemory(shared.size, ()), runs

    def read_object(self, identity: Identity, offset: int, buffer: memoryview) -> None:
        """Read bytes of that memory."""
        backing = self._backing(identity)
        if file := backing.file:
            os.preadv(file.fd, [buffer], offset)
            return
        shared = backing.shared
        assert shared
        view = self.guest.space.ram.view
        for at in range(0, len(buffer), PAGE):
            frame = shared.frames.get((offset + at) // PAGE)
            size = min(PAGE, len(buffer) - at)
            piece = view[frame : frame + size] if frame is not None else bytes(size)
            buffer[at : at + size] = piece

    def _backing(self, identity: Identity) -> Backing:
        """Return what is shared, by the identity that facts told."""
        for _fd, entry in self.guest.descriptors:
            if entry.file.kind != "memfd":
                continue
            memfd = MappedFile(entry.file.fd, entry.file.path, writable=False)
            if (memfd.device, memfd.inode) == identity:
                return Backing(memfd)
        for area in self.guest.space.areas:
            file, shared = area.backing.file, area.backing.shared
            known = (file.device, file.inode) if file else ((0, 0), id(shared))
            if known == identity:
                return area.backing
        raise KeyError(identity)

    # Bulk.

    def present(self, mappings: Sequence[MappingFacts]) -> Iterator[Run]:
        """Yield the private pages that differ from what file or zero give back."""
        for mapping in mappings:
            area = self.guest.space.find(mapping.record.start)
            if area is None or not area.is_private:
                continue
            part = area.cut(mapping.record.start, mapping.record.end)
            for start, end in self.guest.space.dirty_runs(part):
                yield Run(start, end)

    def guards(self, mappings: Sequence[MappingFacts]) -> list[Run]:
        """Return no pages: there is no MADV_GUARD_INSTALL."""
        del mappings
        return []

    def readable_end(self, start: int, end: int) -> int:
        """Return where, from `start` to `end`, a mapping has no file behind it."""
        area = self.guest.space.find(start)
        if area is None or area.backing.file is None:
            return end
        left = area.backing.file.size - area.offset - (start - area.start)
        return min(end, start + max(0, pages_of(left)))

    def call_all(self, calls: Sequence[Call]) -> list[int]:
        """Make calls one after the other until one fails."""
        results: list[int] = []
        for name, args in calls:
            try:
                results.append(self.tasks[0].call(name, *args))
            except RemoteCallError as error:
                return [*results, -error.errno]
        return results

    def empty(self) -> None:
        """Remove every mapping."""
        self.guest.space.clear()

    def own_vdso(self) -> bytes | None:
        """Return None: there is none."""
        return None

    def has_special(self, mapping: records.Mapping) -> bool:
        """Tell that there is no such mapping."""
        del mapping
        return False

    def keep_specials(self) -> int:
        """Have no place for what there is not."""
        return 0

    def place_special(self, mapping: records.Mapping) -> bool:
        """Note where a vdso is to be; there is none of our own to put there."""
        self.guest.vdso.add(mapping)
        return False

    def fill(
        self, fd: int, runs: Iterable[tuple[int, int, int]], wait: Callable[[int], None]
    ) -> None:
        """Copy pages in."""
        for offset, address, size in runs:
            wait(offset + size)
            at = offset
            for piece in self.guest.space.slices(address, size, FORCE | WRITE):
                done = 0
                while done < len(piece):
                    count = os.preadv(fd, [piece[done:]], at + done)
                    if not count:
                        raise RestartError("the context ends before its pages do")
                    done += count
                at += len(piece)

    def create_task(self, tid: int) -> FrozenTask:
        """Make a further thread."""
        machine = self.guest.machine
        thread = machine.add_thread(
            self.guest, tid or machine.new_pid(), self.guest.cpu.new_state()
        )
        return FrozenTask(self, thread)

    @property
    def leader(self) -> FrozenTask:
        """Its main thread, also when that has been dismissed."""
        return self._dismissed or self.tasks[0]

    def dismiss_leader(self, ended: records.EndedLeader) -> None:
        """Let the main thread end before the others."""
        del ended
        self._dismissed = self.tasks[0]
        del self.guest.threads[self._dismissed.tid]

    def end_leader(self) -> None:
        """Nothing is left of it."""

    def set_memory_layout(self, layout: records.MemoryLayout, exe: str) -> None:
        """Set the fields of the mm, and the exe link."""
        self.guest.layout = layout
        self.guest.exe = exe

    def settle(self) -> None:
        """Turn the functions of a saved vdso into plain calls; read the ELF header."""
        self.guest.elf_flags = loader.loaded_flags(self.guest)
        self.guest.vdso.divert(self.guest)


class FrozenMachine:
    """
    See `blcr.host.interface.Frozen`: guests of a machine between two turns.

    Args:
        machine: The machine.
        scope, number: Which guests; see `family.select`.
    """

    def __init__(self, machine: Machine, scope: str = "tree", number: int = 0) -> None:
        self._machine = machine
        guests = family.select(machine, scope, number)
        _refuse_common(guests, machine)
        self._kin = kin = opened.Family(guests)
        self._given = Descriptors()
        self._frozen = [FrozenProcess(guest, kin) for guest in guests]
        self.processes: Sequence[interface.FrozenProcess] = self._frozen
        self.ended: Sequence[records.EndedProcess] = [
            records.EndedProcess(
                child.pid, guest.pid, child.pgid, child.sid, child.comm, child.status
            )
            for guest in guests
            for child in family.children(guest)
            if child.status is not None
        ]
        self.warnings: Sequence[str] = [*_left_out(guests), *_unattached(machine)]

    def sysv(
        self, waits: Container[tuple[str, int]]
    ) -> tuple[tuple[records.Semaphores, ...], tuple[records.MessageQueue, ...]]:
        """Return the semaphores and message queues of the machine, all of them."""
        del waits
        return self._machine.ipc.saved()

    def ourselves(self) -> interface.FrozenProcess:
        """Return what has the descriptors that sockets have to give, as a guest."""
        first = self._frozen[0].guest
        self._given = given = Descriptors()
        for ours in self._kin.sockets.in_flight:
            others = [entry.file for _fd, entry in given]
            file = opened_as(self._machine, ours, others)
            given.set(ours, file or received(first, os.dup(ours)), cloexec=True)
        itself = Guest(self._machine, first.arch, os.getpid(), given, first.space)
        return FrozenProcess(itself, self._kin)

    @property
    def pids(self) -> Sequence[int]:
        """Return the ids of the guests."""
        return [one.pid for one in self.processes]

    def __enter__(self) -> FrozenMachine:
        self.clocks = self._machine.hold_clocks()
        for process in self._frozen:
            process.open()
            for thread in process.guest.threads.values():
                # Where it goes on nobody may know that others have run meanwhile.
                thread.leave_sequence()
        return self

    def __exit__(self, *_: object) -> None:
        for process in self._frozen:
            process.close()
        self._given.leave()
        self._kin.close()
        self._machine.set_clocks_going(from_held=False)

    def take_connections(self, signal: int) -> Mapping[int, SocketFacts]:
        """Return none: none is kept here."""
        del signal
        return {}

    def kill(self, signal: int) -> None:
        """Send a signal, which is met before the next instruction."""
        if signal == GENERIC["SIGKILL"]:
            self._kin.sever()
        for process in self._frozen:
            guest = process.guest
            signals.send(guest, signals.from_outside(guest, signal))


def _file_object(fd: int) -> tuple[records.SharedMemory, list[Run]]:
    """Return size, mode and seals of a file of ours, and where it has data."""
    status = os.fstat(fd)
    try:
        seals = fcntl.fcntl(fd, fcntl.F_GET_SEALS)
    except OSError:
        seals = 0
    file = records.SharedMemory(status.st_size, (), mode=status.st_mode, seals=seals)
    return file, opened.data(fd)


def _refuse_common(guests: Sequence[Guest], machine: Machine) -> None:
    """
    Refuse guests that share what only threads mostly do.

    Raises:
        RefusedError: By clone(2) with CLONE_VM or CLONE_FILES.
        FreezeTimeoutError: One waits for the end of a vfork(2).
    """
    for guest in guests:
        waits = [one.wait for one in guest.threads.values() if one.wait is not None]
        if any(wait.held and wait.result is None for wait in waits):
            raise FreezeTimeoutError(
                f"process {guest.pid} does not stand still: a child that it made by "
                "vfork(2) has not gone on to execve(2) yet"
            )
        for other in machine.guests.values():
            if other is guest or not other.threads:
                continue
            shared = "memory" if other.space is guest.space else ""
            shared = shared or (
                "descriptors" if other.descriptors is guest.descriptors else ""
            )
            if shared:
                raise several.common(guest.pid, other.pid, shared)


def _left_out(guests: Sequence[Guest]) -> Iterator[str]:
    """Yield what a user should know of children that are not saved."""
    for guest in guests:
        children = [one for one in family.children(guest) if one.threads]
        left = [one.pid for one in children if one not in guests]
        yield from several.left_out(guest.pid, left)


def _unattached(machine: Machine) -> Iterator[str]:
    """Yield what a user should know of segments that are not saved."""
    machine.ipc.sweep()
    for segment in machine.ipc.segments.values():
        if not machine.ipc.attached(segment):
            yield (
                f"the System V segment {segment.id} (key {segment.key:#x}), which no "
                "process has attached, is not saved"
            )


def _own_number(name: str, base: int) -> int | None:
    """Return the number in a file of our own in ``/proc``; None: there is none."""
    try:
        with open(f"/proc/self/{name}") as file:
            return int(file.read(), base)
    except (OSError, ValueError):
        return None
