"""
Pseudo terminals of guests.

Each is one of the kernel's that we run on, which so does what a line discipline does.
But to the kernel no session has it as its terminal: who is in its foreground, and gets
signals from its keys, or may not read, is the machine's to say.  An end of ours never
waits.

Source: pty(7), tty_ioctl(4), termios(3); drivers/tty/n_tty.c, tty_io.c and
tty_jobctrl.c of Linux 6.12.
"""

from __future__ import annotations

import errno
import fcntl
import os
import select
import termios as host
import time

from blcr.annotations import TYPE_CHECKING
from blcr.host import terminals
from blcr.host.emulated import family, signals
from blcr.host.emulated.files import OpenFile
from blcr.linux import termios
from blcr.linux.constants import GENERIC
from blcr.linux.termios import Settings

if TYPE_CHECKING:
    from blcr.host.emulated.machine import Machine
    from blcr.host.emulated.tasks import Guest

_KEYS = {"VINTR": "SIGINT", "VQUIT": "SIGQUIT", "VSUSP": "SIGTSTP"}
_SEVEN_BITS = 0x7F
_TAKEN_S, _LOOK_S = 0.02, 0.0002
"""How long the kernel may take to look at what was typed."""


class Terminal:
    """
    A pseudo terminal.

    Attributes:
        number: As in its path.
        session: Whose terminal it is; 0: nobody's.
        foreground: The process group in its foreground; 0: none.
    """

    def __init__(self, machine: Machine, master: int) -> None:
        self._machine = machine
        self._master = master
        self._slaves: list[int] = []
        """Descriptors of ours of its other end."""
        self._quoted = False
        """What is typed next is no key with a meaning."""
        self.number = terminals.number_of(master)
        self.session = self.foreground = 0
        machine.terminals[self.number] = self

    # Its ends.

    def master(self, flags: int) -> OpenFile:
        """Return its master, the only one, with flags of a guest."""
        file = OpenFile(self._master, "pty", "/dev/ptmx", flags)
        file.terminal, file.is_master = self, True
        return file

    def slave(self, flags: int) -> OpenFile:
        """Open its other end, with flags of a guest."""
        return self.opened(
            terminals.open_peer(self._master, flags & os.O_ACCMODE), flags
        )

    def opened(self, fd: int, flags: int) -> OpenFile:
        """Return its other end, which is open as a descriptor of ours."""
        os.set_inheritable(fd, False)
        os.set_blocking(fd, False)
        file = OpenFile(fd, "pty", f"/dev/pts/{self.number}", flags)
        file.terminal = self
        self._slaves.append(fd)
        return file

    def closed(self, file: OpenFile) -> None:
        """Note that nobody has an end any more; without a master it is gone."""
        if not file.is_master:
            self._slaves.remove(file.fd)
            return
        del self._machine.terminals[self.number]
        leader = self._machine.guests.get(self.session)
        if leader is not None:
            leader.left_foreground = self.foreground
            for name in ("SIGHUP", "SIGCONT"):
                signals.send(leader, signals.from_kernel(leader, GENERIC[name]))
        self.session = self.foreground = 0

    # What passes.

    def write(self, file: OpenFile, data: bytes) -> int:
        """
        Write to an end; return how many bytes it has taken.

        Raises:
            OSError: EAGAIN, it has no room; EIO, the other end is closed.
        """
        if not file.is_master:
            return os.write(file.fd, data)
        done = 0
        while done < len(data):
            end, name = self._next_key(data, done)
            try:
                count = os.write(file.fd, data[done:end])
            except BlockingIOError:
                if not done:
                    raise
                break
            done += count
            if done < end:
                break
            if name:
                self._press(name)
        return done

    def _next_key(self, data: bytes, start: int) -> tuple[int, str]:
        """Return behind which of the bytes typed a signal comes, and which; or all."""
        now = self.settings()
        if not now.has("lflag", "ISIG") or now.has("lflag", "EXTPROC"):
            self._quoted = False
            return len(data), ""
        keys = {now.character(place): name for place, name in _KEYS.items()}
        # What is disabled has this value.
        keys.pop(0, None)
        quotes = now.has("lflag", "ICANON") and now.has("lflag", "IEXTEN")
        for at in range(start, len(data)):
            typed = data[at]
            if now.has("iflag", "ISTRIP"):
                typed &= _SEVEN_BITS
            if self._quoted:
                self._quoted = False
            elif typed in keys:
                return at + 1, keys[typed]
            elif quotes and typed and typed == now.character("VLNEXT"):
                self._quoted = True
        return len(data), ""

    def _press(self, name: str) -> None:
        """Send the signal of a key to the foreground, once the kernel has seen it."""
        if not self.foreground:
            return
        if self._slaves and not self.settings().has("lflag", "NOFLSH"):
            # It drops what is there: not what is written in answer to the signal.
            look = select.poll()
            look.register(self._slaves[0], select.POLLIN)
            end = time.monotonic() + _TAKEN_S
            while look.poll(0) and time.monotonic() < end:
                time.sleep(_LOOK_S)
        self.signal(name)

    def signal(self, name: str) -> None:
        """Send a signal to the process group in the foreground."""
        signal_group(self._machine, self.foreground, name)

    # What it is like.

    def settings(self) -> Settings:
        """Return its settings."""
        return settings(self._master)

    def resize(self, packed: bytes) -> None:
        """Set its size; the foreground is told if it is another one."""
        before = fcntl.ioctl(self._master, host.TIOCGWINSZ, bytes(len(packed)))
        fcntl.ioctl(self._master, host.TIOCSWINSZ, packed)
        if before != packed:
            self.signal("SIGWINCH")


def under_way(machine: Machine) -> tuple[bool, list[Guest]]:
    """Return whether something typed was not read, and who has yet to read a master."""
    typed, readers = False, []
    for guest in machine.guests.values() if machine.terminals else ():
        for _fd, entry in guest.descriptors:
            file = entry.file
            if file.terminal is None or not terminals.unread(file.fd):
                continue
            if file.is_master:
                readers.append(guest)
            else:
                typed = True
    return typed, readers


def settings(ours: int) -> Settings:
    """
    Return the settings of a terminal.

    Raises:
        OSError: ENOTTY, it is none.
    """
    return Settings.unpack(fcntl.ioctl(ours, host.TCGETS, bytes(termios.SIZE)))


def of_guest(guest: Guest) -> Terminal | None:
    """Return the pseudo terminal of a guest's session."""
    found = guest.machine.terminals.values()
    return next((one for one in found if one.session == guest.sid), None)


def signal_group(machine: Machine, group: int, name: str) -> None:
    """Send a signal of the kernel's to a process group; 0: to none."""
    for guest in family.group(machine, group) if group else ():
        signals.send(guest, signals.from_kernel(guest, GENERIC[name]))


def give(guest: Guest, terminal: Terminal) -> None:
    """Make a terminal that of the session that a guest leads."""
    terminal.session, terminal.foreground = guest.sid, guest.pgid


def take(guest: Guest) -> None:
    """Take its terminal from the session of a guest, which ends or wants that."""
    terminal, group = of_guest(guest), guest.left_foreground
    guest.left_foreground = 0
    is_end = guest.status is not None
    if terminal is not None:
        group = terminal.foreground
        terminal.session = terminal.foreground = 0
    signal_group(guest.machine, group, "SIGHUP")
    if terminal is None or not is_end:
        signal_group(guest.machine, group, "SIGCONT")


def multiplexed(machine: Machine, master: int, flags: int) -> OpenFile:
    """Return the file that a guest gets that has opened ``/dev/ptmx``."""
    os.set_blocking(master, False)
    return Terminal(machine, master).master(flags)


def opened(machine: Machine, fd: int, flags: int) -> OpenFile | None:
    """Return what a guest has opened by name; None: no terminal of guests."""
    device = os.fstat(fd).st_rdev
    place = os.major(device), os.minor(device)
    if place == terminals.MULTIPLEXER:
        return multiplexed(machine, fd, flags)
    if place[0] == terminals.SLAVE_MAJOR and place[1] in machine.terminals:
        return machine.terminals[place[1]].opened(fd, flags)
    return None


def own(guest: Guest, flags: int) -> OpenFile | None:
    """
    Return ``/dev/tty``; None: that is ours.

    Raises:
        OSError: ENXIO, the guest's session has no terminal.
    """
    terminal = of_guest(guest)
    if terminal is None:
        if guest.sid == guest.machine.session:
            return None
        raise OSError(errno.ENXIO, os.strerror(errno.ENXIO))
    file = terminal.slave(flags)
    file.kind, file.path = "device", "/dev/tty"
    return file
