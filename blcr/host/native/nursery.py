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
import os
import pickle
import resource
import signal
import socket
import struct
from collections.abc import Callable

from blcr.annotations import Any, NoReturn
from blcr.context import records
from blcr.errors import BlcrError, RestartError
from blcr.host.native import namespaces

_CREDENTIALS = struct.Struct("=3i")
_ANSWER = 1 << 16

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
    """

    def __init__(self, place: records.Process | records.EndedProcess) -> None:
        self.place = place
        self.outer_pid = self.pid = 0
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

    Attributes:
        stand_ins: Of the living processes, in their order.
        warnings: Which ties could not be rebuilt.
    """

    def __init__(self, context: records.Context, fork: Fork, become: Become) -> None:
        self._fork = fork
        self._become = become
        self.stand_ins = [StandIn(one) for one in context.processes]
        self._all = [*self.stand_ins, *(StandIn(one) for one in context.ended)]
        self._by_pid = {one.place.pid: one for one in self._all}
        self.warnings: list[str] = []

    def bear(self, *, own_session: bool) -> None:
        """
        Have all of them born, by their parents.

        Args:
            own_session: The first one leads a session, if it did.

        Raises:
            BlcrError: An id is in use, or may not be chosen.
        """
        children: dict[int, list[int]] = {}
        for index, one in enumerate(self._all):
            children.setdefault(one.place.ppid, []).append(index)
        for index, one in enumerate(self.stand_ins):
            if not one.outer_pid:
                self._bear_here(index)
            place = one.place
            leads = place.sid == place.pid and (index > 0 or own_session)
            later = []
            for child in children.get(place.pid, ()):
                sid = self._all[child].place.sid
                if leads and sid not in (place.sid, self._all[child].place.pid):
                    # It was born before its parent had a session of its own.
                    self._bear_below(one, child)
                else:
                    later.append(child)
            if leads:
                one.ask("lead session")
            for child in later:
                self._bear_below(one, child)
        for one in self._all:
            one.theirs.close()

    def _bear_here(self, index: int) -> None:
        """Have one born whose parent is not among them."""
        if self._fork(self._all[index].place.pid) == 0:
            self._live(index)
        self._greet(index)

    def _bear_below(self, parent: StandIn, index: int) -> None:
        """Have one born by the stand-in of its parent."""
        parent.ask("bear", index)
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
        """
        root = self._all[0].place
        if first is not None:
            self._join(self._all[0], first)
        groups: dict[int, list[StandIn]] = {}
        for one in self._all[1:]:
            if one.place.pgid != root.pgid:
                groups.setdefault(one.place.pgid, []).append(one)
            elif first is not None:
                self._join(one, first or self._all[0].pid)
        for number, members in groups.items():
            leader = self._by_pid.get(number)
            if leader is None:
                leader = members[0]
                self.warnings.append(
                    f"process group {number} has lost its leader and is now "
                    f"{leader.pid}"
                )
            if leader.place.sid != leader.place.pid:
                self._join(leader, 0)
            for one in members:
                if one is not leader:
                    self._join(one, leader.pid)

    def _join(self, one: StandIn, group: int) -> None:
        if not one.ask("join group", group):
            self.warnings.append(
                f"process {one.place.pid} cannot be put into its process group "
                f"{one.place.pgid}"
            )

    def end_those_that_have(self) -> None:
        """End the processes that have ended already: only their parents may ask."""
        for one in self._all[len(self.stand_ins) :]:
            assert isinstance(one.place, records.EndedProcess)
            one.tell("end", one.place.comm, one.place.status)
            one.close()

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
            elif what == "lead session":
                os.setsid()
            elif what == "join group":
                return _joined(*args)
            elif what == "end":
                _end(*args)
        except BlcrError as error:
            return error
        except OSError as error:
            return RestartError(f"{what}: {error}", status=error.errno or 1)
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
