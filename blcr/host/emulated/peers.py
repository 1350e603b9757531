"""
Which guests are at the other ends of Unix sockets, as SO_PEERCRED tells it.

To the kernel they are all this process, so it is noted who makes pairs, listens and
connects.

Source: unix(7); net/unix/af_unix.c, Linux 6.12.
"""

from __future__ import annotations

import os

from blcr.host import sockets

_FEW = 4096
"""Up to how many are remembered though they may be gone."""


class Peers:
    """Guests by what they have done to sockets, which are known by their inodes."""

    def __init__(self) -> None:
        self._others: dict[int, int] = {}
        self._callers: dict[int, int] = {}
        self._listeners: dict[bytes, int] = {}
        self._most = _FEW

    def paired(self, pid: int, *fds: int) -> None:
        """Note who has made two that are connected."""
        for fd in fds:
            self._note(self._others, fd, pid)

    def listens(self, pid: int, fd: int, name: bytes) -> None:
        """Note who lets others connect to a name."""
        self._note(self._others, fd, pid)
        self._listeners[name] = pid

    def connected(self, pid: int, fd: int, name: bytes) -> None:
        """Note who has connected a socket to a name."""
        self._note(self._callers, fd, pid)
        self._note(self._others, fd, self._listeners.get(name, 0))

    def accepted(self, fd: int) -> None:
        """Note whose connection was taken, while that is known."""
        self._note(self._others, fd, self._caller(fd))

    def of(self, fd: int) -> int:
        """Return the guest at the other end; 0: none that is known."""
        inode = os.fstat(fd).st_ino
        if inode not in self._others:
            self.accepted(fd)
        return self._others[inode]

    def _caller(self, fd: int) -> int:
        """Return who has connected to a socket that was accepted."""
        try:
            other = sockets.peer_of(os.fstat(fd).st_ino)
        except OSError:
            return 0
        return self._callers.get(other, 0)

    def _note(self, table: dict[int, int], fd: int, pid: int) -> None:
        table[os.fstat(fd).st_ino] = pid
        if len(table) > self._most:
            living = {_inode(name) for name in os.listdir("/proc/self/fd")}
            for each in (self._others, self._callers):
                for inode in [one for one in each if one not in living]:
                    del each[inode]
            self._most = 2 * len(living) + _FEW


def _inode(name: str) -> int:
    try:
        return os.fstat(int(name)).st_ino
    except OSError:
        return 0
