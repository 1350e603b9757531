"""Settings of terminals, as each architecture has them."""

from __future__ import annotations

import fcntl
import os
import pty
import termios as host

from hypothesis import given
from hypothesis import strategies as st

from blcr import registry
from blcr.architecture import Arch
from blcr.linux import constants, termios
from blcr.linux.constants import GENERIC
from blcr.linux.termios import Settings

# asm-generic/termbits.h: B0 to B38400, B57600 to B4000000.
SPEEDS = st.sampled_from([*range(16), *range(0x1001, 0x1010), GENERIC["BOTHER"]])
FLAGS = st.integers(0, 0xFFFF_FFFF)
TRANSLATED = 17
"""Control characters that have names."""


@given(
    words=st.tuples(FLAGS, FLAGS, FLAGS, FLAGS),
    speeds=st.tuples(SPEEDS, SPEEDS),
    characters=st.binary(min_size=TRANSLATED, max_size=TRANSLATED),
    name=st.sampled_from(registry.names()),
)
def test_settings_come_back(
    words: tuple[int, int, int, int],
    speeds: tuple[int, int],
    characters: bytes,
    name: str,
) -> None:
    """What an architecture is shown of settings means the same when it is given."""
    names = constants.of(registry.get(name))
    row = dict(zip(("iflag", "oflag", "cflag", "lflag"), words, strict=True))
    row["cflag"] &= ~(GENERIC["CBAUD"] | GENERIC["CBAUD"] << 16)
    row["cflag"] |= speeds[0] | speeds[1] << 16
    known = termios.given(
        {**row, "line": 3, "cc": characters.ljust(19, b"\0")}, GENERIC
    )

    shown = termios.shown(known, names)

    assert termios.given(shown, names) == known
    assert Settings.unpack(known.pack()) == known


def test_new_terminal_is_shown(arch: Arch) -> None:
    """What a new terminal is like, by the names of each architecture."""
    master, slave = pty.openpty()
    try:
        packed = fcntl.ioctl(slave, host.TCGETS, bytes(termios.SIZE))
    finally:
        os.close(master)
        os.close(slave)
    names = constants.of(arch)

    row = termios.shown(Settings.unpack(packed), names)

    # termios(3), and init_termios of drivers/tty/tty_io.c.
    assert row["ispeed"] == row["ospeed"] == 38400
    wanted = "ISIG ICANON ECHO ECHOE ECHOK ECHOCTL ECHOKE IEXTEN".split()
    assert row["lflag"] == sum(names[one] for one in wanted)
    assert row["iflag"] == names["ICRNL"] | names["IXON"]
    assert row["oflag"] == names["OPOST"] | names["ONLCR"]
    assert row["cc"][names["VSUSP"]] == ord("Z") - 64
    assert row["cc"][names["VMIN"]] == 1
