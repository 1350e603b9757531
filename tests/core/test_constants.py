"""Constants against the kernel's headers."""

from __future__ import annotations

from blcr.architecture import Arch
from blcr.linux import constants, structures
from harness import headers

HEADERS = """
    asm/errno.h linux/termios.h linux/signal.h linux/fcntl.h linux/stat.h linux/fs.h
    linux/mman.h linux/memfd.h linux/openat2.h linux/close_range.h linux/sched.h
    linux/resource.h linux/futex.h linux/time.h linux/timerfd.h linux/poll.h
    linux/eventpoll.h linux/eventfd.h linux/signalfd.h linux/prctl.h linux/auxvec.h
    linux/wait.h linux/elf.h linux/personality.h linux/random.h linux/rseq.h
    linux/membarrier.h linux/kcmp.h linux/ioprio.h linux/inotify.h linux/capability.h
    linux/securebits.h linux/seccomp.h asm/socket.h
""".split()

# What no header for programs has; include/linux/errno.h, include/asm-generic/signal.h.
INTERNAL = {
    "ERESTARTSYS": 512,
    "ERESTARTNOINTR": 513,
    "ERESTARTNOHAND": 514,
    "ERESTART_RESTARTBLOCK": 516,
    "NSIG": 64,
    "SIGRTMAX": 64,
}

# Locks of files over 2 GiB have commands of their own where a word has 32 bits.
LOCKS_32 = {"F_GETLK64", "F_SETLK64", "F_SETLKW64"}


def test_constants_are_those_of_the_kernel(arch: Arch) -> None:
    """Every generic name has the value that the kernel's headers give it here."""
    table = constants.of(arch)
    left_out = {*INTERNAL, *(LOCKS_32 if arch.word_size == 8 else ())}
    if "restorer" not in structures.of(arch, "sigaction").fields:
        left_out.add("SA_RESTORER")
    claims = [f"({n}) == ({table[n]})" for n in constants.GENERIC if n not in left_out]

    found = headers.complaints(arch.name, HEADERS, claims)

    assert found == ""


def test_internal_constants_are_those_of_the_kernel() -> None:
    """What no header for programs has is right, too."""
    assert constants.GENERIC.items() >= INTERNAL.items()


def test_an_architecture_has_its_own_values(arch: Arch) -> None:
    """Its constants hide the generic ones, which they leave alone."""
    own = arch._replace(constants={"EDEADLOCK": 4711})

    assert constants.of(own)["EDEADLOCK"] == 4711
    assert constants.GENERIC["EDEADLOCK"] == 35
