"""
Threads and futexes.

Source: clone(2), futex(2), set_tid_address(2), get_robust_list(2), set_thread_area(2).
"""

from __future__ import annotations

import errno

from blcr.context.records import RestartableSequence
from blcr.host.emulated.calls.table import call, fail, not_served, timed
from blcr.host.emulated.calls.time import fetch_time, read_clock
from blcr.host.emulated.tasks import Blocked, Ended, Guest, Thread, Wait, signed

_MATCH_ANY = 0xFFFF_FFFF
_OF_TWO = ("FUTEX_REQUEUE", "FUTEX_CMP_REQUEUE", "FUTEX_WAKE_OP")
"""Operations on two words."""
_PROBED = {0x3001, 0x5001, 0x5005}
"""ARCH_CET_STATUS, ARCH_SHSTK_ENABLE and _STATUS: C libraries ask whether they are."""


def set_tls(thread: Thread, tls: int) -> None:
    """Give a thread its thread pointer, in a register or by a descriptor."""
    guest = thread.guest
    if guest.arch.thread_pointer is not None:
        thread.load().set_register(guest.arch.thread_pointer, tls)
    else:
        _set_descriptor(thread, tls)


def _set_descriptor(thread: Thread, address: int) -> int:
    """Set one of the thread's descriptors from a user_desc; return its slot."""
    guest, cpu = thread.guest, thread.load()
    descriptors = cpu.recipe.descriptors
    if descriptors is None or descriptors.encode is None:
        raise fail(errno.ENOSYS)
    row = guest.fetch("user_desc", address)
    rows = list(thread.state.tls or [descriptors.tls_unset] * 3)
    slot = signed(row["entry_number"])
    at = (
        rows.index(descriptors.tls_unset) if slot == -1 else slot - descriptors.tls_slot
    )
    if not 0 <= at < len(rows):
        raise fail(errno.EINVAL)
    rows[at] = (row["base_addr"], row["limit"], row["flags"])
    thread.state.tls = rows
    cpu.reload_descriptors()
    return descriptors.tls_slot + at


@call("set_thread_area")
def set_thread_area(thread: Thread, address: int) -> int:
    """Set a segment descriptor, in a free slot if none is named."""
    try:
        slot = _set_descriptor(thread, address)
    except ValueError:
        raise fail(errno.ESRCH) from None
    thread.guest.store_int(address, slot)
    return 0


@call("set_tls")
def set_tls_call(thread: Thread, tls: int) -> int:
    """Set the thread pointer."""
    set_tls(thread, tls)
    return 0


@call("get_tls")
def get_tls(thread: Thread) -> int:
    """Return the thread pointer."""
    name = thread.guest.arch.thread_pointer
    if name is None:
        raise fail(errno.ENOSYS)
    return thread.load().register(name)


@call("get_thread_area")
def get_thread_area(thread: Thread, address: int) -> int:
    """Look at a segment descriptor."""
    guest = thread.guest
    descriptors = guest.cpu.recipe.descriptors
    if descriptors is None or descriptors.encode is None:
        raise fail(errno.ENOSYS)
    slot = guest.fetch_int(address)
    rows = thread.state.tls or [descriptors.tls_unset] * 3
    at = slot - descriptors.tls_slot
    if not 0 <= at < len(rows):
        raise fail(errno.EINVAL)
    base, limit, flags = rows[at]
    guest.store(
        "user_desc",
        address,
        entry_number=slot,
        base_addr=base,
        limit=limit,
        flags=flags,
    )
    return 0


@call("arch_prctl")
def arch_prctl(thread: Thread, code: int, value: int) -> int:
    """Set or get the registers that only the kernel can."""
    guest, names, cpu = thread.guest, thread.guest.constants, thread.load()
    for name, register in cpu.recipe.prctl_registers.items():
        if code == names[f"ARCH_SET_{name}"]:
            cpu.set_general({register: value})
            return 0
        if code == names[f"ARCH_GET_{name}"]:
            guest.store_int(value, cpu.general()[register], guest.arch.word_size)
            return 0
    if code in _PROBED:
        raise fail(errno.EINVAL)
    raise not_served(thread, "arch_prctl", "ARCH_", code)


@call("set_tid_address")
def set_tid_address(thread: Thread, address: int) -> int:
    """Say which word to clear when the thread ends."""
    thread.clear_child_tid = address
    return thread.tid


@call("set_robust_list")
def set_robust_list(thread: Thread, head: int, size: int) -> int:
    """Say which futexes to release when the thread ends."""
    if size != thread.guest.structure("robust_list_head").size:
        raise fail(errno.EINVAL)
    thread.robust_list = (head, size)
    return 0


@call("get_robust_list")
def get_robust_list(thread: Thread, tid: int, head: int, size: int) -> int:
    """Tell where a thread's list is."""
    guest = thread.guest
    target = guest.threads.get(tid or thread.tid)
    if target is None:
        raise fail(errno.ESRCH)
    at, length = target.robust_list
    guest.store_int(head, at, guest.arch.word_size)
    guest.store_int(
        size, length or guest.structure("robust_list_head").size, guest.arch.word_size
    )
    return 0


@call("rseq")
def rseq(thread: Thread, address: int, size: int, flags: int, signature: int) -> int:
    """Register where the thread says that it must not be interrupted."""
    guest, names = thread.guest, thread.guest.constants
    if flags & names["RSEQ_FLAG_UNREGISTER"]:
        thread.rseq = None
        return 0
    if (
        flags
        or size < guest.structure("rseq").size
        or address % guest.structure("rseq").size
    ):
        raise fail(errno.EINVAL)
    if thread.rseq is not None:
        raise fail(errno.EBUSY)
    # The first two words, cpu_id_start and cpu_id: there is one CPU.
    guest.store_int(address, 0, 8)
    thread.rseq = RestartableSequence(address, size, signature)
    return 0


@call("exit")
def exit_(thread: Thread, code: int) -> None:
    """End the thread."""
    thread.guest.machine.end_thread(thread, code & 0xFF)
    raise Ended


@call("exit_group")
def exit_group(thread: Thread, code: int) -> None:
    """End the process."""
    thread.guest.machine.end_guest(thread.guest, (code & 0xFF) << 8)
    raise Ended


@timed(futex="timespec", futex_time64="timespec64")
def futex(
    thread: Thread,
    unit: str,
    address: int,
    command: int,
    value: int,
    fourth: int,
    second: int,
    third: int,
) -> int:
    """Wait at a word, or wake those who do."""
    guest, names = thread.guest, thread.guest.constants
    futexes = guest.machine.futexes
    operation = command & ~(names["FUTEX_PRIVATE_FLAG"] | names["FUTEX_CLOCK_REALTIME"])
    operation &= 0xFFFF_FFFF
    value &= 0xFFFF_FFFF
    if address % 4:
        raise fail(errno.EINVAL)
    timed = {names["FUTEX_WAIT_BITSET"]}
    if command & names["FUTEX_CLOCK_REALTIME"] and operation not in timed:
        raise not_served(thread, "futex", "FUTEX_", operation, errno.ENOSYS)
    key = futexes.key(guest, address)
    if operation == names["FUTEX_WAIT"]:
        timeout = fetch_time(guest, unit, fourth) if fourth else None
        return _wait(thread, address, value, thread.deadline(timeout), _MATCH_ANY)
    if operation == names["FUTEX_WAIT_BITSET"]:
        end = _absolute(thread, unit, fourth, command)
        return _wait(thread, address, value, end, third & _MATCH_ANY)
    if operation == names["FUTEX_WAKE"]:
        return futexes.wake(key, signed(value))
    if operation == names["FUTEX_WAKE_BITSET"]:
        return futexes.wake(key, signed(value), third & _MATCH_ANY)
    if operation not in {names[name] for name in _OF_TWO}:
        raise not_served(thread, "futex", "FUTEX_", operation, errno.ENOSYS)
    target = futexes.key(guest, second)
    if operation in {names["FUTEX_REQUEUE"], names["FUTEX_CMP_REQUEUE"]}:
        compare = operation == names["FUTEX_CMP_REQUEUE"]
        if compare and guest.fetch_int(address) != third & 0xFFFF_FFFF:
            raise fail(errno.EAGAIN)
        woken = futexes.wake(key, signed(value))
        moved = futexes.requeue(key, target, signed(fourth))
        return woken + (moved if compare else 0)
    holds = _operate(guest, second, third)
    woken = futexes.wake(key, signed(value))
    return woken + (futexes.wake(target, signed(fourth)) if holds else 0)


def _absolute(thread: Thread, unit: str, address: int, command: int) -> int | None:
    """Return the end of a wait until a time, on the monotonic clock."""
    guest = thread.guest
    if not address:
        return None
    if thread.resumed is not None:
        return thread.resumed.until
    end = fetch_time(guest, unit, address)
    if command & guest.constants["FUTEX_CLOCK_REALTIME"]:
        now = read_clock(guest, guest.constants["CLOCK_REALTIME"])
        end += guest.machine.monotonic() - now
    return end


def _wait(thread: Thread, address: int, value: int, end: int | None, bits: int) -> int:
    guest = thread.guest
    futexes = guest.machine.futexes
    futexes.leave(thread)
    if not bits:
        raise fail(errno.EINVAL)
    if guest.fetch_int(address) != value:
        raise fail(errno.EAGAIN)
    if end is not None and guest.machine.monotonic() >= end:
        raise fail(errno.ETIMEDOUT)
    futexes.enter(thread, futexes.key(guest, address), bits)
    raise Blocked(Wait(end))


def _operate(guest: Guest, address: int, code: int) -> bool:
    """Change a word as FUTEX_WAKE_OP codes it; tell whether its comparison holds."""
    operation, comparison = code >> 28 & 0xF, code >> 24 & 0xF
    argument, compared = signed(code >> 12, 12), signed(code, 12)
    if operation & 8:
        argument = 1 << (argument & 31)
    old = guest.fetch_int(address)
    new = {
        0: argument,
        1: old + argument,
        2: old | argument,
        3: old & ~argument,
        4: old ^ argument,
    }.get(operation & 7)
    if new is None or comparison > 5:
        raise fail(errno.ENOSYS)
    guest.store_int(address, new)
    before = signed(old)
    return (
        before == compared,
        before != compared,
        before < compared,
        before <= compared,
        before > compared,
        before >= compared,
    )[comparison]
