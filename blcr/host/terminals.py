"""
Pseudo terminals: what those have who hold their masters, and making them anew.

A session's terminal is inherited by birth, so a pseudo terminal is there before the
processes are.  It is made here, with its old number where that is free; the processes
get their ends from us.  A guest's terminal is one of this kernel, too, of which its
machine has the ends.

Source: pty(7), ioctl_tty(2), ioctl_pipe(2), credentials(7).
"""

from __future__ import annotations

import fcntl
import os
import select
import signal
import struct
import termios

from blcr.context import records

SLAVE_MAJOR = 136
"""Of pseudo terminals; the minor number is theirs."""
NAMED_MAJORS = {4, 204}
"""Consoles and serial lines, which are the same for everybody."""
MULTIPLEXER = 5, 2
CONTROLLING_TERMINAL = 5, 0
"""Source: Documentation/admin-guide/devices.txt."""

_MULTIPLEXER = "/dev/ptmx"
_TERMIOS_SIZE = 36
"""Of the kernel's struct termios, on all architectures of this host."""
_FLAGS = os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC
_TIOCGPTN, _TIOCGPKT, _TIOCGEXCL = 0x8004_5430, 0x8004_5438, 0x8004_5440
_TIOCSPTLCK, _TIOCGPTPEER, _TIOCGSID = 0x4004_5431, 0x5441, 0x5429
"""Source: asm-generic/ioctls.h; Python has no names for them."""
_ATTEMPTS = 64
"""How many terminals to open to get at the one with a number."""


def settings(ours: int) -> tuple[int, ...]:
    """Return the bytes of struct termios."""
    return tuple(fcntl.ioctl(ours, termios.TCGETS, bytes(_TERMIOS_SIZE)))


def master_state(
    ours: int, index: int, session: int, group: int
) -> tuple[tuple[int, ...], ...]:
    """
    Return the state of a pseudo terminal, asked through its master.

    Args:
        ours: The master.
        index: Its number.
        session: Whose terminal it is, as its processes see it; 0: nobody's.
        group: Its process group in the foreground likewise.
    """
    size = struct.unpack("=4H", fcntl.ioctl(ours, termios.TIOCGWINSZ, bytes(8)))
    packets, exclusive = (_asked(ours, what) for what in (_TIOCGPKT, _TIOCGEXCL))
    return ((index, 1), settings(ours), size, (packets, exclusive, session, group))


def session_of(ours: int) -> int:
    """Return the session whose terminal a master's is, as we see it; 0: none."""
    return _asked(ours, _TIOCGSID)


def foreground_of(ours: int) -> int:
    """Return the process group in the foreground of a terminal likewise."""
    return _asked(ours, termios.TIOCGPGRP)


def number_of(master: int) -> int:
    """Return the number of a master's terminal."""
    return _asked(master, _TIOCGPTN)


def unread(ours: int) -> str:
    """Return why an end is refused: bytes in it cannot be copied; empty: it is not."""
    # What is under way to it arrives before that tells.
    look = select.poll()
    look.register(ours, select.POLLIN)
    look.poll(0)
    count = _asked(ours, termios.FIONREAD)
    return f"a pseudo terminal with {count} bytes that were not read" if count else ""


def open_peer(master: int, flags: int = os.O_RDWR) -> int:
    """Open the other end, with that access and those status flags."""
    # O_CLOEXEC would stay with the open file, wherever that is sent.
    return fcntl.ioctl(master, _TIOCGPTPEER, os.O_NOCTTY | flags)


def _asked(ours: int, request: int) -> int:
    """Return what an ioctl says; 0 where it says nothing."""
    try:
        return int(struct.unpack("=i", fcntl.ioctl(ours, request, bytes(4)))[0])
    except OSError:
        return 0


class Terminals:
    """
    The pseudo terminals of a context, made anew; all descriptors are ours.

    Attributes:
        leaders: The number of its terminal by a session's leader.
        foreground: By number the process group in the foreground; 0: none.
        notices: What is not as it was.
    """

    def __init__(self, context: records.Context, *, as_root: bool) -> None:
        self.leaders: dict[int, int] = {}
        self.foreground: dict[int, int] = {}
        self.notices: list[str] = []
        self._masters: dict[int, int] = {}
        self._slaves: dict[int, int] = {}
        self._exclusive: list[int] = []
        self._own = 0
        for number, file in enumerate(context.files):
            if file.kind == "pty" and file.state[0][1]:
                uid = _owner(context, number) if as_root else -1
                self._make(file, uid)

    def _make(self, file: records.OpenFile, uid: int) -> None:
        """Make one with its settings; `uid` owns it (-1: we)."""
        (index, _is_master), modes, size, *rest = file.state
        master = self._masters[index] = _opened(index)
        fcntl.fcntl(master, fcntl.F_SETFL, file.flags & os.O_NONBLOCK)
        fcntl.ioctl(master, _TIOCSPTLCK, bytes(4))
        # While there is no other end it reports a hang-up.
        slave = self._slaves[index] = self.peer(index)
        if uid >= 0:
            os.fchown(slave, uid, -1)
        fcntl.ioctl(master, termios.TCSETS, bytes(modes))
        fcntl.ioctl(master, termios.TIOCSWINSZ, struct.pack("=4H", *size))
        packets, exclusive, session, group = rest[0] if rest else (0, 0, 0, 0)
        if packets:
            fcntl.ioctl(master, termios.TIOCPKT, struct.pack("=i", 1))
        if exclusive:
            self._exclusive.append(slave)
        if session:
            self.leaders[session] = index
            self.foreground[index] = group
        number = number_of(master)
        if number != index:
            self.notices.append(
                f"the terminal /dev/pts/{index} is /dev/pts/{number} now"
            )

    @property
    def indices(self) -> list[int]:
        """The numbers that they had."""
        return list(self._masters)

    def master(self, index: int) -> int:
        """Return the master of the terminal that had a number."""
        return self._masters[index]

    def peer(self, index: int, flags: int = os.O_RDWR) -> int:
        """Open the other end: see `open_peer`; the caller closes it."""
        return open_peer(self._masters[index], flags)

    # By the leader of a session.

    def take(self, index: int) -> None:
        """Make one the terminal of the session that this process leads."""
        self._own = self.peer(index)
        fcntl.ioctl(self._own, termios.TIOCSCTTY, 0)

    def bring_forward(self, group: int) -> None:
        """Make a process group the foreground one of that."""
        # Whoever is in the background is stopped for this.
        signal.signal(signal.SIGTTOU, signal.SIG_IGN)
        os.tcsetpgrp(self._own, group)

    def close(self) -> None:
        """Leave the terminals to the processes."""
        for slave in self._exclusive:
            fcntl.ioctl(slave, termios.TIOCEXCL)
        for fd in (*self._slaves.values(), *self._masters.values()):
            os.close(fd)
        self._slaves, self._masters, self._exclusive = {}, {}, []


def _opened(wanted: int) -> int:
    """Return a new master, if possible with that number: the lowest ones are free."""
    lower: list[int] = []
    try:
        for _ in range(_ATTEMPTS):
            master = os.open(_MULTIPLEXER, _FLAGS)
            number = number_of(master)
            if number == wanted:
                return master
            lower.append(master)
            if number > wanted:
                break
        return lower.pop(0)
    finally:
        for master in lower:
            os.close(master)


def _owner(context: records.Context, file: int) -> int:
    """Return the user who holds an open file."""
    return next(
        process.uids[1]
        for process in context.processes
        if any(one.file == file for one in process.descriptors)
    )
