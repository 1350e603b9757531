"""
A process of ours that takes away what a restart has made, if that dies before its end.

The kernel kills processes whose tracer dies, but not those that were let go already,
and it leaves files and System V objects alone.  So somebody who outlives the restarter
knows of them, until all processes have been let go.  To that one the end of a socket
says that nobody holds the other end any more.

Source: pidfd_open(2), signal(7).
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import pickle
import signal
import socket

from blcr.annotations import NoReturn
from blcr.host.native import namespaces

_ROOM = 1 << 16
_IPC_RMID = 0
_NAME = "cr_caretaker"

_libc = ctypes.CDLL(None, use_errno=True)


class Caretaker:
    """
    The caretaker, from outside: told before something is made.

    It is born outside of all namespaces of the restart.
    """

    def __init__(self) -> None:
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._pid = os.fork()
        if self._pid == 0:
            try:
                _Will(theirs).wait()
            finally:
                os._exit(0)
        theirs.close()

    def note(self, what: str, *args: object) -> None:
        """Have it know something: the name of a method of `_Will`."""
        with contextlib.suppress(OSError):
            # Without it a restart goes on as well.
            self._socket.send(pickle.dumps((what, *args)))

    def dismiss(self) -> None:
        """Everything lives: nothing is to be taken away."""
        self.note("dismiss")
        self.close()

    def close(self) -> None:
        """Have it take away all that it knows of, unless it was dismissed; wait."""
        if self._pid:
            self._socket.close()
            os.waitpid(self._pid, 0)
            self._pid = 0


class _Will:
    """What is to be done when nobody is there any more."""

    def __init__(self, theirs: socket.socket) -> None:
        # Whoever waits for an end of a pipe of ours is not to wait for this process.
        own = os.dup2(theirs.fileno(), 0)
        os.closerange(1, os.sysconf("SC_OPEN_MAX"))
        self._socket = socket.socket(fileno=own)
        self._processes: list[int] = []
        self._files: dict[str, str] = {}
        self._objects: list[tuple[str, int]] = []

    def wait(self) -> None:
        """Listen until told to go, or nobody tells any more; then execute the will."""
        # What ends the restarter's process group is not to end this one.
        os.setsid()
        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        namespaces.set_own_name(_NAME)
        while data := self._socket.recv(_ROOM):
            what, *args = pickle.loads(data)
            getattr(self, what)(*args)
        self._execute()

    def process(self, pid: int) -> None:
        """Note a process."""
        with contextlib.suppress(OSError):
            self._processes.append(os.pidfd_open(pid))

    def file(self, path: str, aside: str) -> None:
        """Note a file, and what is to take its place; empty: nothing."""
        self._files[path] = aside

    def keep(self, path: str) -> None:
        """Forget a file."""
        self._files.pop(path, None)

    def object(self, kind: str, number: int) -> None:
        """Note a System V object."""
        self._objects.append((kind, number))

    def dismiss(self) -> NoReturn:
        """End without doing anything."""
        os._exit(0)

    def _execute(self) -> None:
        for process in self._processes:
            with contextlib.suppress(OSError):
                signal.pidfd_send_signal(process, signal.SIGKILL)
        for path, aside in reversed(self._files.items()):
            with contextlib.suppress(OSError):
                if aside:
                    # Nothing is aside yet: then nothing is in its place.
                    os.rename(aside, path)
                else:
                    remove(path)
        for kind, number in self._objects:
            first = (number, 0) if kind == "sem" else (number,)
            getattr(_libc, f"{kind}ctl")(*first, _IPC_RMID, None)


def remove(path: str) -> None:
    """Remove a file or an empty folder."""
    try:
        os.unlink(path)
    except IsADirectoryError:
        os.rmdir(path)
