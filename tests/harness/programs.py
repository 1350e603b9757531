"""
Test programs: building those of ``tests/programs`` and listing how to start them.

A program brings itself into one state, says ``ready``, waits for a line, looks at the
state again and says ``ok`` or ``bad: ...``.
"""

from __future__ import annotations

import functools
import hashlib
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path
from typing import NamedTuple

from blcr import registry
from harness import load

SOURCES = Path(__file__).parent.parent / "programs"

_FLAGS = ("-std=gnu11", "-O2", "-g", "-Wall", "-pthread")

_ZIG = (sys.executable, "-m", "ziglang", "cc")

_KERNEL_HEADERS = (
    *("-idirafter", "/usr/include"),
    *("-idirafter", f"/usr/include/{sysconfig.get_config_var('MULTIARCH')}"),
)
"""Where musl's compiler, which has none of its own, finds the kernel's headers."""

COMPILERS: dict[str, tuple[str, ...]] = {
    "dynamic": ("cc",),
    "static": ("cc", "-static"),
    "m32": ("cc", "-m32"),
    "m32-static": ("cc", "-m32", "-static"),
    "musl": ("musl-gcc", "-static", *_KERNEL_HEADERS),
}
"""Compilers of this machine by variant."""

EVERY_ARCH = registry.names()
"""Variants that a package's compiler makes anywhere, one for each architecture."""

_DYNAMIC = "-dynamic"
"""With this behind an architecture's name its programs need an interpreter."""

PREBUILT = Path(os.environ["BLCR_PREBUILT"]) if "BLCR_PREBUILT" in os.environ else None
"""Where the programs are, on machines without compilers: ``PROGRAM-VARIANT``."""

NATIVE_VARIANTS = ("dynamic", "static", "m32", "musl")


class Scenario(NamedTuple):
    """
    A program with arguments.

    Attributes:
        program: Its name, without ``.c``.
        args: What to start it with.
        duration_s: How long it waits by itself; 0: until told.
        remade: Other memory takes the place of files that are gone, and of memory that
            several processes share.
    """

    program: str
    args: tuple[str, ...] = ()
    duration_s: float = 0
    remade: bool = False

    @property
    def name(self) -> str:
        """What tests call it."""
        kind = ("timed",) if self.duration_s else ()
        return "-".join((self.program, *self.args[:1], *kind))

    @property
    def scope(self) -> str:
        """What of it a checkpoint is asked for."""
        return "tree" if self.program.startswith("tree_") else "pid"

    def lasting(self, duration_s: float) -> Scenario:
        """Return the scenario waiting that long, if it waits by itself."""
        if not self.duration_s:
            return self
        args = (self.args[0], str(duration_s), *self.args[2:])
        return self._replace(args=args, duration_s=duration_s)


_TOLERANCE_S = "5"
"""How late a call may end on a busy machine; the bound that tells is the other one."""

_TIMED = {
    "blocked_sleep": "nanosleep nanosleep-rest relative monotonic realtime",
    "blocked_poll": "poll ppoll select pselect epoll_wait epoll_pwait",
    "blocked_futex": "futex sem mutex",
    "blocked_signal": "sigwaitinfo",
}
_ENDLESS = {
    "blocked_poll": "read poll ppoll select pselect epoll_wait epoll_pwait",
    "blocked_futex": "futex sem mutex",
    "blocked_signal": "sigwaitinfo sigsuspend pause",
}
_CHILDREN = "wait waitid flock fcntl msgrcv semop"


def _blocked() -> list[Scenario]:
    scenarios = [
        Scenario(program, (call, "2.5", _TOLERANCE_S), duration_s=2.5)
        for program, calls in _TIMED.items()
        for call in calls.split()
    ]
    scenarios += [
        Scenario(program, (call, "0", _TOLERANCE_S))
        for program, calls in _ENDLESS.items()
        for call in calls.split()
    ]
    scenarios += [Scenario("blocked_child", (call,)) for call in _CHILDREN.split()]
    return scenarios


BLOCKED = tuple(_blocked())
"""Programs waiting in every call that waits."""

_APART = {
    *(
        "blocked_interrupted",
        "blocked_socket",
        "children_told",
        "ends_as_told",
        "mixture",
        "terminal",
    ),
    *("threads_execve", "threads_leaderless", "threads_signalled", "timer_thread"),
    *("asks_itself", "refused_sharing", "relay", "session"),
    *("threads_parted", "timer_orphaned", "tree_random"),
    *("seccomp_filter", "seccomp_shared", "seccomp_sleep", "seccomp_strict"),
    *("mqueue_notifies", "refused_descriptor"),
}
"""Programs that tests of their own start."""

_KINDS = {"memory_locked": "some all future", "tree_clones": "files fs memory all"}
"""What programs of several kinds are started with."""

_REMADE = {"mapping_gone", "tree_shared_memory"}

STATES = tuple(
    Scenario(
        source.stem,
        tuple(kind.split()),
        remade=source.stem in _REMADE,
    )
    for source in sorted(SOURCES.glob("*.c"))
    if source.stem not in _APART and not source.stem.startswith("blocked_")
    for kind in _KINDS.get(source.stem, "").split(" ")
)
"""Programs in all other states."""

SCENARIOS = (*STATES, *BLOCKED)


@functools.cache
def cache_folder() -> Path:
    """Return a folder of our own that every user may read."""
    default = Path(tempfile.gettempdir()) / f"blcr-tests-{os.getuid()}"
    folder = Path(os.environ.get("BLCR_TEST_CACHE", default))
    folder.mkdir(mode=0o755, parents=True, exist_ok=True)
    return folder


def available(variant: str) -> bool:
    """Tell whether this machine can build a variant, or has it."""
    if PREBUILT:
        return (PREBUILT / f"compute-{variant}").exists()
    return _can_build(_compiler(variant))


def _compiler(variant: str) -> tuple[str, ...]:
    """Return the compiler of a variant, with its options."""
    if variant in COMPILERS:
        return COMPILERS[variant]
    name = variant.removesuffix(_DYNAMIC)
    linking = ("-static",) if name == variant else ("-dynamic", "-pie")
    return (*_ZIG, *linking, "-target", load(name).target)


@functools.cache
def _can_build(compiler: tuple[str, ...]) -> bool:
    if not shutil.which(compiler[0]):
        return False
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder, "empty.c")
        source.write_text("int main(void) { return 0; }\n")
        done = subprocess.run(
            [*compiler, source, "-o", source.with_suffix("")],
            capture_output=True,
            check=False,
        )
    return done.returncode == 0


@functools.cache
def build(program: str, variant: str = "dynamic", folder: Path = SOURCES) -> Path:
    """
    Return the executable of a program; built once for each source and compiler.

    Raises:
        subprocess.CalledProcessError: It does not compile; what the compiler said is
            on stderr.
    """
    if PREBUILT:
        return PREBUILT / f"{program}-{variant}"
    source = folder / f"{program}.c"
    command = (*_compiler(variant), *_FLAGS)
    key = hashlib.sha256("\0".join((*command, _version(command[0]))).encode())
    key.update(source.read_bytes())
    for header in sorted({*SOURCES.glob("*.h"), *folder.glob("*.h")}):
        key.update(header.read_bytes())
    target = cache_folder() / f"{program}-{variant}-{key.hexdigest()[:12]}"
    if not target.exists():
        unfinished = target.with_suffix(f".{os.getpid()}")
        subprocess.run([*command, source, "-o", unfinished, "-lm"], check=True)
        unfinished.chmod(0o755)
        unfinished.rename(target)
    return target


@functools.cache
def _version(compiler: str) -> str:
    done = subprocess.run([compiler, "--version"], capture_output=True, check=True)
    return done.stdout.decode()
