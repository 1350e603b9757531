"""
Bringing a tree of processes into the world, each as a child of its own parent.

For every process there is a stand-in first, a copy of this one: that of a parent forks
those of its children, does what it is told, and at last becomes the program.  What a
process is given by its birth, and can change only itself, is settled between them:
parent, session, process group; and those that have ended end again.

A stand-in is told by messages through a socket of its own, and answers; the kernel says
who has answered, by its id here.  The program keeps the socket until it is complete:
open files that several processes share come through it.

Source: fork(2), credentials(7), unix(7) for SCM_CREDENTIALS and SCM_RIGHTS.
"""

from __future__ import annotations

import contextlib
import errno
import os
import pickle
import resource
import signal
import socket
import struct
import time
from collections.abc import Callable, Mapping

from blcr.annotations import Any, NoReturn
from blcr.context import records
from blcr.errors import BlcrError, BusyError, RestartError
from blcr.host.native import namespaces, procfs
from blcr.host.terminals import Terminals

_CREDENTIALS = struct.Struct("=3i")
_ANSWER = 1 << 16
_INIT = 1
_PR_SET_PDEATHSIG = 1
_LOOK_S = 0.0005

Fork = Callable[[int], int]
"""Make a process with a saved id, or another one; as `os.fork`."""
Become = Callable[[int, socket.socket], None]
"""Become the program of the process at an index; returns if that fails."""


class StandIn:
    """
    The stand-in of one process, from outside.

    Attributes:
        outer_pid: Its id here; 0: not born yet.
        pid: Its id as it sees it itself.
        socket: Our end of what it is told through.
        session: Whose session it was born into: a saved id; 0: ours.
    """

    def __init__(self, place: records.Process | records.EndedProcess) -> None:
        self.place = place
        self.outer_pid = self.pid = self.session = 0
        self.socket, self.theirs = socket.socketpair(
            socket.AF_UNIX, socket.SOCK_SEQPACKET
        )
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)

    def tell(self, what: str, *args: object) -> None:
        """Tell it to do something."""
        with contextlib.suppress(BrokenPipeError):
            self.socket.send(pickle.dumps((what, *args)))

    def ask(self, what: str, *args: object) -> object:
        """
        Likewise, and return its answer.

        Raises:
            BlcrError: It could not.
        """
        self.tell(what, *args)
        return self.answer()

    def answer(self) -> object:
        """
        Return the next answer.

        Raises:
            BlcrError: The answer is that.
        """
        room = socket.CMSG_SPACE(_CREDENTIALS.size)
        try:
            data, ancillary, _flags, _address = self.socket.recvmsg(_ANSWER, room)
        except ConnectionError:
            # It has left unread what it was told.
            data, ancillary = b"", []
        if not data:
            raise RestartError(f"process {self.place.pid}: its stand-in has ended")
        for _level, _kind, content in ancillary:
            self.outer_pid = _CREDENTIALS.unpack(content)[0]
        said: object = pickle.loads(data)
        if isinstance(said, BlcrError):
            raise said
        return said

    def close(self) -> None:
        """Have no more to do with it."""
        self.socket.close()


class Nursery:
    """
    The stand-ins of all processes of a context.

    Args:
        context: The records.
        fork: Makes a process.
        become: Makes a stand-in the program.
        terminals: Those of their sessions.
        same_ids: `fork` gives the saved ids.

    Attributes:
        stand_ins: Of the living processes, in their order.
        warnings: Which ties could not be rebuilt.
    """

    def __init__(
        self,
        context: records.Context,
        fork: Fork,
        become: Become,
        terminals: Terminals,
        *,
        same_ids: bool,
    ) -> None:
        self._fork = fork
        self._become = become
        self._terminals = terminals
        self._same_ids = same_ids
        self._own_session = False
        self.stand_ins = [StandIn(one) for one in context.processes]
        self._all = [*self.stand_ins, *(StandIn(one) for one in context.ended)]
        self._by_pid = {one.place.pid: one for one in self._all}
        self.warnings: list[str] = []
        self._founded: list[tuple[StandIn, int]] = []
        """Process groups without a leader, and who had them made."""

    def bear(self, *, own_session: bool) -> None:
        """
        Have all of them born, by their parents.

        Args:
            own_session: The first one leads a session, if it did.

        Raises:
            BlcrError: An id is in use, or may not be chosen.
        """
        self._own_session = own_session
        family = {one.place.pid for one in self.stand_ins}
        children: dict[int, list[int]] = {}
        orphans: dict[int, list[int]] = {}
        born: list[int] = []
        for index, one in enumerate(self._all):
            place = one.place
            if place.ppid in family:
                children.setdefault(place.ppid, []).append(index)
            elif place.sid in family and place.sid != place.pid:
                orphans.setdefault(place.sid, []).append(index)
            else:
                self._bear_here(index)
                born.append(index)
        for index in born:
            one = self._all[index]
            pid, below = one.place.pid, children.get(one.place.pid, [])
            if self._leads(one):
                # They were born before their parent had a session of its own.
                before = [
                    child
                    for child in below
                    if self._all[child].place.sid
                    not in (pid, self._all[child].place.pid)
                ]
                for child in before:
                    self._bear_below(one, child)
                one.ask("lead session")
                one.session = pid
                if pid in self._terminals.leaders:
                    one.ask("take terminal", self._terminals.leaders[pid])
            for child in below:
                if not self._all[child].outer_pid:
                    self._bear_below(one, child)
            for orphan in orphans.get(pid, ()):
                self._bear_below(one, orphan, "bear orphan")
            born += below
            born += orphans.get(pid, [])
        for index, one in enumerate(self._all):
            one.ask("have no others", index)
            one.theirs.close()
        root = self._all[0].place.sid
        for one in self.stand_ins:
            if one.place.sid not in (one.session, root if not one.session else 0):
                self.warnings.append(
                    f"session {one.place.sid} of process {one.place.pid} has lost its "
                    "leader, and cannot be made again"
                )

    def _leads(self, one: StandIn) -> bool:
        """Tell whether one is to lead a session."""
        place = one.place
        return place.sid == place.pid and (one is not self._all[0] or self._own_session)

    def _bear_here(self, index: int) -> None:
        """Have one born whose parent is not among them."""
        place = self._all[index].place
        if index and place.ppid == _INIT:
            self._bear_orphan(index)
        elif self._fork(place.pid) == 0:
            self._live(index)
        self._greet(index)

    def _bear_orphan(self, index: int) -> None:
        """Have one born by a process that ends at once, so that init adopts it."""
        pid = namespaces.clone()
        if pid:
            os.waitpid(pid, 0)
            return
        one = self._all[index]
        try:
            if self._fork(one.place.pid) == 0:
                self._live(index)
        except BlcrError as error:
            one.theirs.send(pickle.dumps(error))
        finally:
            os._exit(0)

    def _bear_below(self, parent: StandIn, index: int, how: str = "bear") -> None:
        """Have one born by the stand-in of its parent, or of its session's leader."""
        parent.ask(how, index)
        self._all[index].session = parent.session
        self._greet(index)

    def _greet(self, index: int) -> None:
        pid = self._all[index].answer()
        assert isinstance(pid, int)
        self._all[index].pid = pid

    def group(self, first: int | None) -> None:
        """
        Put them into their process groups.

        Args:
            first: That of the first process: 0, one of its own; None: it stays in ours.

        Raises:
            RestartError: The first process cannot be put into that.
        """
        root = self._all[0].place
        if first is not None and not self._enter_or_found(self._all[0], first):
            raise RestartError(
                f"process {root.pid} cannot be put into its process group {first}, "
                "which is in use or in another session; restart without "
                "--restore-pgid",
                status=errno.EBUSY,
            )
        groups: dict[int, list[StandIn]] = {}
        for one in self._all[1:]:
            if one.place.pgid != root.pgid:
                groups.setdefault(one.place.pgid, []).append(one)
            elif first is not None:
                self._join(one, first or self._all[0].pid)
        for number, members in groups.items():
            self._make_group(number, members)
        for member, number in self._founded:
            member.ask("dismiss founder", number)
        for pid, index in self._terminals.leaders.items():
            # 0: none, or one outside of the pid namespace, as ours may be.
            saved = self._terminals.foreground[index]
            members = [one for one in self._all if saved and one.place.pgid == saved]
            if members and self._leads(self._by_pid[pid]):
                self._by_pid[pid].ask("bring forward", members[0].ask("tell group"))

    def _make_group(self, number: int, members: list[StandIn]) -> None:
        """Make a process group with the number that it had, if that can be."""
        leader = self._by_pid.get(number)
        if leader is None and self._found(members[0], number):
            group = number
        else:
            if leader is None:
                leader = members[0]
                self.warnings.append(
                    f"process group {number} has lost its leader and is now "
                    f"{leader.pid}"
                )
            group = leader.pid
            if leader.place.sid != leader.place.pid:
                self._join(leader, 0)
        for one in members:
            if one is not leader:
                self._join(one, group)

    def _join(self, one: StandIn, group: int) -> None:
        if not one.ask("join group", group):
            self.warnings.append(
                f"process {one.place.pid} cannot be put into its process group "
                f"{one.place.pgid}"
            )

    def _enter_or_found(self, one: StandIn, group: int) -> bool:
        """Put one into a group (0: of its own) that there is, or that it makes."""
        if one.ask("join group", group):
            return True
        return self._found(one, group) and bool(one.ask("join group", group))

    def _found(self, member: StandIn, number: int) -> bool:
        """
        Make the group of a leader that has ended.

        A child of one of its members leads it for as long as others come in.
        """
        if not (self._same_ids and number and member.ask("found group", number)):
            return False
        self._founded.append((member, number))
        return True

    def end_those_that_have(self) -> None:
        """End the processes that have ended already: only their parents may ask."""
        for one in self._all[len(self.stand_ins) :]:
            assert isinstance(one.place, records.EndedProcess)
            one.tell("end", one.place.comm, one.place.status)
            one.close()
        for one in self._all[len(self.stand_ins) :]:
            while procfs.stat(one.outer_pid).state not in "ZX":
                time.sleep(_LOOK_S)

    @property
    def pids(self) -> Mapping[int, int]:
        """By saved id that of each of them, as it sees it itself."""
        return {one.place.pid: one.pid for one in self._all}

    def close(self) -> None:
        """Have no more to do with any."""
        for one in self._all:
            one.close()

    # Being a stand-in.

    def _live(self, index: int) -> NoReturn:
        """Do what one is told."""
        try:
            for one in self._all:
                one.socket.close()
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            own = self._all[index].theirs
            own.send(pickle.dumps(os.getpid()))
            while data := own.recv(_ANSWER):
                what, *args = pickle.loads(data)
                if what == "become":
                    self._become(index, own)
                else:
                    own.send(pickle.dumps(self._do(what, *args)))
        finally:
            os._exit(127)

    def _do(self, what: str, *args: Any) -> object:  # noqa: ANN401
        """Do one thing, and return the answer."""
        try:
            if what == "bear":
                (index,) = args
                if self._fork(self._all[index].place.pid) == 0:
                    self._live(index)
            elif what == "bear orphan":
                self._bear_orphan(*args)
            elif what == "lead session":
                os.setsid()
            elif what == "take terminal":
                self._terminals.take(*args)
            elif what == "bring forward":
                self._terminals.bring_forward(*args)
            elif what == "tell group":
                return os.getpgrp()
            elif what == "join group":
                return _joined(*args)
            elif what == "found group":
                return self._has_founded(*args)
            elif what == "dismiss founder":
                os.kill(args[0], signal.SIGKILL)
                os.waitpid(args[0], 0)
            elif what == "have no others":
                # The end of one of them is to show.
                (index,) = args
                for other in {*range(len(self._all))} - {index}:
                    self._all[other].theirs.close()
            elif what == "end":
                _end(*args)
        except BlcrError as error:
            return error
        except OSError as error:
            return RestartError(f"{what}: {error}", status=error.errno or 1)
        return True

    def _has_founded(self, number: int) -> bool:
        """Have a child that leads a process group; False: its number is taken."""
        parent = os.getpid()
        try:
            pid = self._fork(number)
        except BusyError:
            return False
        if pid == 0:
            with contextlib.suppress(OSError):
                namespaces.call("prctl", _PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
            if os.getppid() == parent:
                signal.pause()
            os._exit(0)
        os.setpgid(pid, pid)
        return True


def _joined(group: int) -> bool:
    """Enter a process group, or make one (0); tell whether that worked."""
    try:
        os.setpgid(0, group)
    except OSError:
        return os.getpgrp() == (group or os.getpid())
    return True


def _end(comm: str, status: int) -> NoReturn:
    """End as a process did."""
    namespaces.set_own_name(comm)
    if os.WIFSIGNALED(status):
        # Its core is dumped already, where it was.
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        number = os.WTERMSIG(status)
        if number != signal.SIGKILL:
            signal.signal(number, signal.SIG_DFL)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, [number])
        os.kill(os.getpid(), number)
    os._exit(os.WEXITSTATUS(status))
