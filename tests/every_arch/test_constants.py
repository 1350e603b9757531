"""An architecture's own constants against the kernel's headers."""

from __future__ import annotations

from blcr.architecture import Arch
from blcr.linux import constants
from harness import Case, headers

HEADERS = """
    asm/errno.h asm/fcntl.h asm/mman.h asm/auxvec.h linux/termios.h linux/inotify.h
    asm/socket.h linux/timerfd.h
""".split()


def test_own_constants_are_those_of_the_headers(arch: Arch, case: Case) -> None:
    """All of them are defined there, with the same values."""
    claims = [f"({name}) == {value}" for name, value in arch.constants.items()]

    assert headers.complaints(arch.name, [*HEADERS, *case.headers], claims) == ""


def test_only_differences_are_an_architecture_s_own(arch: Arch) -> None:
    """A constant that is the same as the generic one is not repeated."""
    repeated = constants.GENERIC.items() & arch.constants.items()

    assert not repeated
