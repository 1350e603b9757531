"""
Terminals: ioctl, opening, and who may read and write.

Source: ioctl_tty(2), termios(3), credentials(7); drivers/tty/tty_jobctrl.c and n_tty.c
of Linux 6.12.
"""

from __future__ import annotations

import errno
import fcntl
import os
import struct
import termios as host
from collections.abc import Callable, Mapping

from blcr.host.emulated import family, signals, terminals
from blcr.host.emulated.calls.polling import ready, wait_for
from blcr.host.emulated.calls.table import fail, not_served
from blcr.host.emulated.files import OpenFile
from blcr.host.emulated.tasks import Action, Blocked, Guest, Thread, Wait, signed
from blcr.host.emulated.terminals import Terminal
from blcr.linux import termios
from blcr.linux.constants import GENERIC

_POLLIN = 1
_TENTH_NS = 10**8
_PEER_FLAGS = "O_NONBLOCK O_CLOEXEC O_NOCTTY"


# Opening.


def opened_by(guest: Guest, fd: int, kept: int, flags: int) -> OpenFile | None:
    """
    Return the end of a pseudo terminal that a guest has opened; None: it is none.

    Args:
        guest: Who.
        fd: A descriptor of ours of it.
        kept: Its flags, as F_GETFL shows them.
        flags: With which it was opened.
    """
    file = terminals.opened(guest.machine, fd, kept)
    if file is not None:
        _acquire(guest, file, flags)
    return file


def _acquire(guest: Guest, file: OpenFile, flags: int) -> None:
    """Make what a session's leader has opened its terminal, if it had none."""
    terminal = file.terminal
    if terminal is None or file.is_master or flags & guest.constants["O_NOCTTY"]:
        return
    reads = flags & os.O_ACCMODE != os.O_WRONLY
    if reads and _leads_without(guest) and not terminal.session:
        terminals.give(guest, terminal)


def _leads_without(guest: Guest) -> bool:
    """Tell whether a guest leads a session that has no terminal."""
    has_ours = guest.sid == guest.machine.session and _is_there(guest)
    return guest.sid == guest.pid and not has_ours and not terminals.of_guest(guest)


def _is_there(guest: Guest) -> bool:
    """Tell whether a guest has a terminal of ours among its first descriptors."""
    return any(
        entry.file.kept and os.isatty(entry.file.fd) for _, entry in guest.descriptors
    )


# Job control.


def _require_foreground(thread: Thread, terminal: Terminal, name: str) -> None:
    """
    Check that a guest may use the terminal of its session.

    Args:
        thread: Who wants to.
        terminal: A terminal.
        name: The signal that its group gets if it is in the background.

    Raises:
        OSError: EIO, it is, and nobody could bring it forward.
        Blocked: It is.
    """
    guest = thread.guest
    if terminal.session != guest.sid or terminal.foreground in {0, guest.pgid}:
        return
    number = GENERIC[name]
    action = guest.actions.get(number, Action())
    if thread.mask & signals.bit(number) or action.handler == signals.SIG_IGN:
        if name == "SIGTTIN":
            raise fail(errno.EIO)
        return
    if family.is_orphaned(guest.machine, guest.pgid):
        raise fail(errno.EIO)
    terminals.signal_group(guest.machine, guest.pgid, name)
    # Once more, behind the signal.
    wait = Wait()
    wait.woken = True
    raise Blocked(wait)


def may_write(thread: Thread, file: OpenFile) -> None:
    """Check that a guest may write to its terminal; see `_require_foreground`."""
    terminal = file.terminal
    if terminal is None or file.is_master:
        return
    if terminal.session == thread.guest.sid and terminal.settings().has(
        "lflag", "TOSTOP"
    ):
        _require_foreground(thread, terminal, "SIGTTOU")


def wait_to_read(thread: Thread, file: OpenFile) -> bool:
    """
    Return whether there is something to be read from a terminal, as its settings say.

    With both VMIN and VTIME what has come within that time from the first byte on is
    enough.

    Raises:
        OSError: EAGAIN; EIO, likewise as `_require_foreground`.
        Blocked: The thread has to wait.
    """
    guest = thread.guest
    if file.terminal is not None and not file.is_master:
        _require_foreground(thread, file.terminal, "SIGTTIN")
    now = terminals.settings(file.fd)
    least, tenths = now.character("VMIN"), now.character("VTIME")
    if file.is_master or now.has("lflag", "ICANON"):
        least, tenths = 1, 0
    if ready(file.fd, _POLLIN) and (not tenths or not least):
        return True
    if file.flags & guest.constants["O_NONBLOCK"]:
        if file.terminal is None or file.is_master:
            wait_for(file, _POLLIN, guest)
        # A read of ours does not wait, either, and takes fewer bytes than VMIN.
        return True
    if not tenths:
        if least:
            wait_for(file, _POLLIN, guest)
        return bool(least)
    if least:
        wait_for(file, _POLLIN, guest)
        if _unread(file) >= least:
            return True
    end = thread.deadline(tenths * _TENTH_NS)
    assert end is not None
    if guest.machine.monotonic() >= end:
        return bool(least)
    raise Blocked(Wait(end, () if least else ((file.fd, _POLLIN),)))


def _unread(file: OpenFile) -> int:
    """Return how many bytes can be read."""
    return _number(fcntl.ioctl(file.fd, host.FIONREAD, bytes(4)))


def _number(packed: bytes) -> int:
    return int(struct.unpack("=i", packed)[0])


# ioctl(2).

Command = Callable[[Thread, OpenFile, int], int | None]
"""Gets the argument; None stands for 0."""


def control(thread: Thread, file: OpenFile, request: int, argument: int) -> int:
    """Control a terminal of any kind."""
    names = thread.guest.constants
    for table in (_COMMANDS, _OF_PSEUDO if file.terminal is not None else {}):
        for name, command in table.items():
            if names[name] == request:
                return command(thread, file, argument) or 0
    raise not_served(thread, "ioctl", "T", request)


def _get_settings(thread: Thread, file: OpenFile, address: int) -> None:
    guest = thread.guest
    row = termios.shown(terminals.settings(file.fd), guest.constants)
    fields = guest.structure("termios").fields
    guest.store("termios", address, **{n: v for n, v in row.items() if n in fields})


def _set_settings(request: int) -> Command:
    """Return what sets them at once, behind what is written, or forgetting the rest."""

    def set_(thread: Thread, file: OpenFile, address: int) -> None:
        guest = thread.guest
        wanted = termios.given(guest.fetch("termios", address), guest.constants)
        if file.terminal is not None:
            _require_foreground(thread, file.terminal, "SIGTTOU")
        fcntl.ioctl(file.fd, request, wanted.pack())

    return set_


_SIZE = struct.Struct("=4H")


def _get_size(thread: Thread, file: OpenFile, address: int) -> None:
    size = _SIZE.unpack(fcntl.ioctl(file.fd, host.TIOCGWINSZ, bytes(_SIZE.size)))
    names = ("row", "col", "xpixel", "ypixel")
    thread.guest.store("winsize", address, **dict(zip(names, size, strict=True)))


def _set_size(thread: Thread, file: OpenFile, address: int) -> None:
    row = thread.guest.fetch("winsize", address)
    size = (row[name] for name in ("row", "col", "xpixel", "ypixel"))
    _of(file).resize(_SIZE.pack(*size))


def _of(file: OpenFile) -> Terminal:
    assert file.terminal is not None
    return file.terminal


def _get_group(thread: Thread, file: OpenFile, address: int) -> None:
    guest = thread.guest
    if file.terminal is None:
        os.tcgetpgrp(file.fd)
        guest.store_int(address, guest.machine.foreground)
        return
    _require_own(guest, file)
    guest.store_int(address, file.terminal.foreground)


def _require_own(guest: Guest, file: OpenFile) -> None:
    """Check that a terminal is the guest's own, or that it has the master."""
    if not file.is_master and _of(file).session != guest.sid:
        raise fail(errno.ENOTTY)


def _set_group(thread: Thread, file: OpenFile, address: int) -> None:
    guest, machine = thread.guest, thread.guest.machine
    group = signed(guest.fetch_int(address))
    if file.terminal is None:
        os.tcgetpgrp(file.fd)
        machine.foreground = group
        return
    if file.terminal.session != guest.sid:
        raise fail(errno.ENOTTY)
    _require_foreground(thread, file.terminal, "SIGTTOU")
    if group < 0:
        raise fail(errno.EINVAL)
    members = family.group(machine, group)
    if not members:
        raise fail(errno.ESRCH)
    if members[0].sid != guest.sid:
        raise fail(errno.EPERM)
    file.terminal.foreground = group


def _get_session(thread: Thread, file: OpenFile, address: int) -> None:
    guest = thread.guest
    if file.terminal is None:
        os.tcgetpgrp(file.fd)
        guest.store_int(address, guest.machine.session)
        return
    _require_own(guest, file)
    if not file.terminal.session:
        raise fail(errno.ENOTTY)
    guest.store_int(address, file.terminal.session)


def _make_own(thread: Thread, file: OpenFile, _argument: int) -> None:
    guest, terminal = thread.guest, _of(file)
    if terminal.session == guest.sid == guest.pid:
        return
    if not _leads_without(guest) or terminal.session:
        raise fail(errno.EPERM)
    terminals.give(guest, terminal)


def _give_up(thread: Thread, file: OpenFile, _argument: int) -> None:
    guest = thread.guest
    if file.is_master or _of(file).session != guest.sid:
        raise fail(errno.ENOTTY)
    if guest.sid != guest.pid:
        raise not_served(thread, "ioctl", "T", guest.constants["TIOCNOTTY"])
    terminals.take(guest)


def _open_peer(thread: Thread, file: OpenFile, flags: int) -> int:
    guest = thread.guest
    _require_master(file)
    if flags & ~(guest.bits(_PEER_FLAGS) | os.O_ACCMODE):
        raise fail(errno.EINVAL)
    made = _of(file).slave(flags & (guest.constants["O_NONBLOCK"] | os.O_ACCMODE))
    _acquire(guest, made, flags)
    cloexec = bool(flags & guest.constants["O_CLOEXEC"])
    return guest.descriptors.add(made, cloexec=cloexec)


def _require_master(file: OpenFile) -> None:
    if not file.is_master:
        raise fail(errno.ENOTTY)


def _get_discipline(thread: Thread, _file: OpenFile, address: int) -> None:
    """Tell that it is the usual one, N_TTY."""
    thread.guest.store_int(address, 0)


def _answering(request: int, *, of_master: bool = False) -> Command:
    """Return what stores a number that the kernel tells."""

    def ask(thread: Thread, file: OpenFile, address: int) -> None:
        if of_master and file.terminal is not None:
            _require_master(file)
        packed = fcntl.ioctl(file.fd, request, bytes(4))
        thread.guest.store_int(address, _number(packed))

    return ask


def _telling(request: int) -> Command:
    """Return what tells the kernel a number that is in memory, of a master."""

    def tell(thread: Thread, file: OpenFile, address: int) -> None:
        _require_master(file)
        value = signed(thread.guest.fetch_int(address))
        fcntl.ioctl(file.fd, request, struct.pack("=i", value))

    return tell


def _asking(request: int) -> Command:
    """Return what has the kernel do something, with a number."""

    def do(thread: Thread, file: OpenFile, argument: int) -> None:
        if file.terminal is not None and not file.is_master:
            _require_foreground(thread, file.terminal, "SIGTTOU")
        fcntl.ioctl(file.fd, request, signed(argument))

    return do


_COMMANDS: Mapping[str, Command] = {
    "TCGETS": _get_settings,
    "TCSETS": _set_settings(host.TCSETS),
    "TCSETSW": _set_settings(host.TCSETSW),
    "TCSETSF": _set_settings(host.TCSETSF),
    "TCFLSH": _asking(host.TCFLSH),
    "TCSBRK": _asking(host.TCSBRK),
    "TCSBRKP": _asking(host.TCSBRKP),
    "TCXONC": _asking(host.TCXONC),
    "TIOCGWINSZ": _get_size,
    "TIOCGPGRP": _get_group,
    "TIOCSPGRP": _set_group,
    "TIOCGSID": _get_session,
    "TIOCGETD": _get_discipline,
    "TIOCOUTQ": _answering(host.TIOCOUTQ),
    "TIOCGPTN": _answering(GENERIC["TIOCGPTN"], of_master=True),
}
"""By name, of terminals of any kind."""
_OF_PSEUDO: Mapping[str, Command] = {
    "TIOCSWINSZ": _set_size,
    "TIOCSCTTY": _make_own,
    "TIOCNOTTY": _give_up,
    "TIOCEXCL": _asking(host.TIOCEXCL),
    "TIOCNXCL": _asking(host.TIOCNXCL),
    "TIOCGEXCL": _answering(GENERIC["TIOCGEXCL"]),
    "TIOCSPTLCK": _telling(GENERIC["TIOCSPTLCK"]),
    "TIOCGPTLCK": _answering(GENERIC["TIOCGPTLCK"], of_master=True),
    "TIOCPKT": _telling(host.TIOCPKT),
    "TIOCGPKT": _answering(GENERIC["TIOCGPKT"], of_master=True),
    "TIOCGPTPEER": _open_peer,
}
"""Likewise, of pseudo terminals of guests."""
