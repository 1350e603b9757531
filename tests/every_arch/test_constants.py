"""Constants against the kernel's headers."""

from __future__ import annotations

from blcr.architecture import Arch
from blcr.linux import constants
from harness import headers

HEADERS = """
    asm/errno.h asm/signal.h asm/fcntl.h asm/mman.h asm/ioctls.h asm/auxvec.h
    linux/sched.h linux/futex.h linux/prctl.h linux/eventpoll.h linux/stat.h
    linux/wait.h linux/memfd.h linux/time.h linux/poll.h linux/resource.h linux/mman.h
    linux/auxvec.h linux/personality.h linux/elf.h linux/fcntl.h linux/openat2.h
    linux/termios.h
""".split()

LIBRARY = {"NSIG", "SIGRTMAX"}
"""For the C library the headers have another value, or half of a definition."""


def test_constants_are_those_of_the_headers(arch: Arch) -> None:
    """All that the headers define has the value here that it has there."""
    values = constants.of(arch)
    defined = headers.macros(arch.name, HEADERS).keys()
    names = sorted((values.keys() & defined) - LIBRARY)

    # The highest bit of an int is its sign in C, and a flag here.
    claims = [
        f"(long long)({name}) == {values[name]} || (unsigned)({name}) == {values[name]}"
        for name in names
    ]

    assert headers.complaints(arch.name, HEADERS, claims) == ""
    assert len(names) > 500


def test_only_differences_are_an_architecture_s_own(arch: Arch) -> None:
    """A constant that is the same as the generic one is not repeated."""
    repeated = constants.GENERIC.items() & arch.constants.items()

    assert not repeated
