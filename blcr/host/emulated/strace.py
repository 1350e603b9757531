"""
System calls as strace(1) prints them: one line each, arguments decoded where simple.

Strings and names of what comes in are read before the call is made, since it may
replace the memory; what it stores is read after it.
"""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Callable
from functools import cache

from blcr.annotations import TYPE_CHECKING
from blcr.linux.constants import GENERIC

if TYPE_CHECKING:
    from blcr.host.emulated.cpu import Call
    from blcr.host.emulated.tasks import Guest, Thread

_SHOWN = 32
_ERRORS = 4095
_SMALL = 1 << 16

# Kinds of arguments: fd, dirfd, path, int, ptr, oct, signal; data and out, whose size
# is the argument behind, or the result; flags of a prefix with a bar, or one value.
_SIGNATURES = """
    open path O|open oct
    openat dirfd path O|open oct
    creat path oct
    close fd
    read fd out int
    write fd data int
    pread64 fd out int int
    pwrite64 fd data int int
    readv fd ptr int
    writev fd ptr int
    lseek fd int SEEK
    stat path ptr
    lstat path ptr
    fstat fd ptr
    stat64 path ptr
    lstat64 path ptr
    fstat64 fd ptr
    newfstatat dirfd path ptr AT|
    fstatat64 dirfd path ptr AT|
    statx dirfd path AT| ptr ptr
    access path int
    faccessat dirfd path int
    faccessat2 dirfd path int AT|
    readlink path out int
    readlinkat dirfd path out int
    getcwd out int
    chdir path
    fchdir fd
    mkdir path oct
    mkdirat dirfd path oct
    rmdir path
    unlink path
    unlinkat dirfd path ptr
    rename path path
    renameat dirfd path dirfd path
    link path path
    symlink path path
    chmod path oct
    truncate path int
    ftruncate fd int
    dup fd
    dup2 fd fd
    dup3 fd fd O|
    fcntl fd F int
    fcntl64 fd F int
    ioctl fd ptr ptr
    mmap ptr int PROT| MAP| fd int
    mmap2 ptr int PROT| MAP| fd int
    mprotect ptr int PROT|
    munmap ptr int
    brk ptr
    madvise ptr int MADV
    execve path ptr ptr
    exit int
    exit_group int
    wait4 int ptr W| ptr
    kill int signal
    tkill int signal
    tgkill int int signal
    rt_sigaction signal ptr ptr int
    getdents64 fd ptr int
    pipe2 ptr O|
    socket AF SOCK int
    connect fd ptr int
    bind fd ptr int
    sendto fd data int int ptr int
    recvfrom fd out int int ptr ptr
    umask oct
    clock_gettime CLOCK ptr
    clock_gettime64 CLOCK ptr
    clock_nanosleep CLOCK int ptr ptr
    epoll_wait fd ptr int int
    setpgid int int
    arch_prctl ARCH ptr
    getrandom ptr int GRND|
"""

Shown = list["str | Callable[[int], str]"]
"""Arguments as text, or what makes the text when the result is known."""


@cache
def _signatures() -> dict[str, list[str]]:
    rows = (line.split() for line in _SIGNATURES.splitlines() if line.strip())
    return {name: kinds for name, *kinds in rows}


def arguments(thread: Thread, name: str, count: int, call: Call) -> Shown:
    """Return the arguments of a call that is about to be made."""
    guest = thread.guest
    kinds = _signatures().get(name) or ["any"] * count
    return [
        _argument(guest, kind, i, call.args)
        for i, kind in enumerate(kinds[: len(call.args)])
    ]


def write(thread: Thread, name: str, shown: Shown, result: int | None) -> None:
    """Print the line of a call that has returned; None: it does not."""
    told = 0 if result is None else result
    texts = [part if isinstance(part, str) else part(told) for part in shown]
    others = len(thread.guest.machine.guests) > 1 or len(thread.guest.threads) > 1
    pid = f"[pid {thread.tid}] " if others else ""
    line = f"{pid}{name}({', '.join(texts)}) = {_result(result)}\n"
    sys.stderr.write(line)


def _result(result: int | None) -> str:
    if result is None:
        return "?"
    if -_ERRORS <= result < 0:
        name = errno.errorcode.get(-result, str(-result))
        return f"-1 {name} ({os.strerror(-result)})"
    return str(result) if result < _SMALL << 8 else f"{result:#x}"


def _argument(
    guest: Guest, kind: str, i: int, args: tuple[int, ...]
) -> str | Callable[[int], str]:
    value, names = args[i], guest.constants
    number = _signed(value)
    if kind in {"fd", "int"}:
        return str(number)
    if kind == "dirfd":
        return "AT_FDCWD" if number == names["AT_FDCWD"] else str(number)
    if kind == "oct":
        return f"{value & 0o7777:#o}".replace("0o", "0")
    if kind == "path":
        return _text(guest, value)
    if kind == "data":
        return _data(guest, value, args[i + 1])
    if kind == "out":
        return lambda result: (
            _data(guest, value, result) if result > 0 else f"{value:#x}"
        )
    if kind == "signal":
        return _named("SIG", number) if number else "0"
    if kind == "ptr" or (kind == "any" and value >= _SMALL and number >= 0):
        return f"{value:#x}" if value else "NULL"
    if kind == "any":
        return str(number)
    prefix, is_set, rest = kind.partition("|")
    if not is_set:
        return _named(f"{prefix}_", number)
    return _flags(guest, prefix, value & 0xFFFF_FFFF, accessed=rest == "open")


def _signed(value: int) -> int:
    """Return a word, of whichever width, as the int that it most likely is."""
    low = value & 0xFFFF_FFFF
    if value >> 32 in {0, 0xFFFF_FFFF} and low >> 31:
        return low - (1 << 32)
    return value


def _text(guest: Guest, address: int) -> str:
    if not address:
        return "NULL"
    try:
        return _quoted(guest.space.read_string(address))
    except OSError:
        return f"{address:#x}"


def _data(guest: Guest, address: int, size: int) -> str:
    try:
        text = _quoted(guest.space.read(address, min(size, _SHOWN)))
    except OSError:
        return f"{address:#x}"
    return text + ("..." if size > _SHOWN else "")


def _quoted(data: bytes) -> str:
    """Return bytes as a string of C."""
    text = data.decode("latin-1").encode("unicode_escape").decode()
    return '"' + text.replace('"', '\\"') + '"'


def _named(prefix: str, value: int) -> str:
    for name, number in GENERIC.items():
        if number == value and name.startswith(prefix):
            return name
    return str(value)


def _flags(guest: Guest, prefix: str, value: int, *, accessed: bool) -> str:
    """Return the names of bits that are set, the rest as a number."""
    names, found, left = guest.constants, [], value
    if accessed:
        found.append(("O_RDONLY", "O_WRONLY", "O_RDWR", "O_ACCMODE")[value & 3])
        left &= ~3
    start = prefix if prefix == "W" else f"{prefix}_"
    fitting = [(bits, name) for name, bits in names.items() if name.startswith(start)]
    # What stands for several bits comes before those that it has.
    ordered = sorted(fitting, key=lambda row: (-row[0].bit_count(), row[0]))
    for bits, name in ordered:
        if bits > 0 and left & bits == bits and not (accessed and bits <= 3):
            found.append(name)
            left &= ~bits
    if left or not found:
        found.append(f"{left:#x}" if left else "0")
    return "|".join(found)
