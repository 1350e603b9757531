"""
System calls in the name of a running program, without harm.

Nothing of the program's code is changed.  Its pc is pointed at a system-call
instruction that it contains already, and its stack pointer at a hand-made signal frame
whose return address leads to the program's own ``rt_sigreturn``.  If the checkpointer
dies at that instant the thread makes the one call, returns into ``rt_sigreturn``, and
the kernel restores every register, floating point included.  With the checkpointer
alive the registers are put back by ptrace before the frame is used.

The order of the writes is what makes it safe:

1. the frame, into memory that the program does not use;
2. the general registers: from here on the thread is in the frame's care;
3. the signal mask, everything blocked (the frame has the old one);
4. the call, and a stop *behind* it that the kernel takes for a signal's, so that a call
   in which the thread was blocked is resumed as after any signal;
5. the signal mask, and last the registers.

The last step comes when nothing more is asked for: between its calls a thread stays in
the care of its frame.
"""

from __future__ import annotations

import signal
from collections.abc import Sequence

from blcr.architecture import AlternateStack, Arch, FrameRequest, Gadget, Registers
from blcr.errors import RefusedError, RemoteCallError, TaskGoneError
from blcr.host.interface import SCRATCH_SIZE, Call
from blcr.host.native import mappings, procfs, ptrace
from blcr.host.native.memory import Memory
from blcr.record import Record

ALL_SIGNALS = (1 << 64) - 1
_ALIGNMENT = 64
NO_ALTERNATE_STACK = AlternateStack(0, 0, 0)
"""Too small to be taken by rt_sigreturn, which then leaves the present one alone."""

_STACK_RESERVE = 32 << 10
"""Bytes between the bottom of the main stack and its pointer that must be free."""

_CHUNK = 256 << 10
"""Bytes of code that are searched at a time; a C library has all of it early."""

_MAX_ERRNO = 4095

_SA_SIGINFO = 4
_SA_RESTORER = 0x04000000


class Way(Record):
    """
    The code that a program offers.

    Attributes:
        call: Address of a system-call instruction that a return follows.
        gadget: What it is.
        back: Words on the stack above the words that the gadget pops, the last of them
            in the place of the frame's return address.
        code: What was found, by address.
    """

    call: int
    gadget: Gadget
    back: tuple[int, ...]
    code: tuple[tuple[int, bytes], ...]

    def is_there(self, memory: Memory) -> bool:
        """Tell whether a program that has run since still has that code."""
        try:
            return all(memory.read(at, len(code)) == code for at, code in self.code)
        except OSError:
            return False


def is_returning(arch: Arch, way: Way, memory: Memory, data: bytes) -> bool:
    """
    Tell whether a thread is on its way back through a frame that was not removed.

    Whoever built it died a moment ago.  Another frame would lie in the same place.

    Args:
        data: The thread's general registers.
    """
    regs = arch.gp.decode(data)
    pc, sp = regs[arch.pc], regs[arch.sp]
    if not any(at <= pc <= at + len(code) for at, code in way.code):
        return False
    enter = arch.gadgets.enter if arch.gadgets else None
    if enter:
        return enter(regs, way.back[-1]) == regs
    head = _head(arch, way)
    try:
        return head in memory.read(sp - len(head), 2 * len(head))
    except OSError:
        return False


def go_on_returning(tid: int) -> None:
    """
    Let a thread come to where it enters or leaves a system call.

    Raises:
        TaskGoneError: It was killed.
    """
    ptrace.request(ptrace.PTRACE_SYSCALL, tid)
    while (stop := ptrace.wait(tid)) and stop.signal != signal.SIGTRAP | 0x80:
        passed = 0 if stop.event == ptrace.PTRACE_EVENT_STOP else stop.signal
        ptrace.request(ptrace.PTRACE_SYSCALL, tid, 0, passed)


def _head(arch: Arch, way: Way) -> bytes:
    """Return what lies between the stack pointer at a call and the frame."""
    words = (0,) * way.gadget.pops + way.back
    order = arch.layout.byteorder
    return b"".join(word.to_bytes(arch.word_size, order) for word in words)


def find_way(
    arch: Arch, memory: Memory, ranges: list[procfs.Range], number: int
) -> Way | None:
    """
    Search a program's code for a way to call and to return, or None.

    Args:
        number: Of ``rt_sigreturn``, for a program without code that calls it.
    """
    if arch.gadgets is None:
        return None
    calls: dict[Gadget, int] = {}
    returns: dict[bytes, int] = {}
    pop = 0
    for part in ranges:
        if "x" not in part.permissions or part.path in mappings.OUTSIDE:
            continue
        for start in range(part.start, part.end, _CHUNK):
            try:
                code = memory.read(start, min(part.end - start, _CHUNK + 16))
            except OSError:
                break
            for gadget in arch.gadgets.call:
                if gadget not in calls and (at := code.find(gadget.code)) >= 0:
                    calls[gadget] = start + at
            for pattern in arch.gadgets.sigreturn:
                if pattern not in returns and (at := code.find(pattern)) >= 0:
                    returns[pattern] = start + at
            if not pop and arch.gadgets.pop_number:
                at = code.find(arch.gadgets.pop_number)
                pop = start + at if at >= 0 else 0
            if calls and returns:
                break
        if calls and returns:
            break
    if not calls:
        return None
    gadget = next(g for g in arch.gadgets.call if g in calls)
    call = (calls[gadget], gadget.code)
    for pattern in arch.gadgets.sigreturn:
        if pattern in returns:
            back = returns[pattern]
            return Way(call[0], gadget, (back,), (call, (back, pattern)))
    plain = next((g for g in calls if not g.pops), None)
    if pop and plain and arch.gadgets.pop_number:
        back = calls[plain]
        found = (call, (pop, arch.gadgets.pop_number), (back, plain.code))
        return Way(call[0], gadget, (pop, number, back), found)
    return None


class Area:
    """
    Memory of the program that it does not use, lent to one injection at a time.

    Args:
        memory: The address space.
        start: The lowest address.
        end: Behind the highest one; frames are built below it.
    """

    def __init__(self, memory: Memory, start: int, end: int) -> None:
        self.start = start
        self.end = end
        self._memory = memory
        self._before = memory.read(start, end - start)
        self._holds: Injection | None = None

    def lend(self, injection: Injection, address: int, data: bytes) -> None:
        """Write the frame of an injection, if another one's is there."""
        if self._holds is not injection:
            if self._holds:
                self._holds.finish()
            self._memory.write(address, data)
            self._holds = injection

    def divided(self, count: int) -> list[Area]:
        """Return parts of equal size, to be used and given back before the whole is."""
        size = (self.end - self.start) // count & -_ALIGNMENT
        starts = range(self.start, self.start + count * size, size)
        return [Area(self._memory, start, start + size) for start in starts]

    def write(self, address: int, data: bytes) -> None:
        """Write something beside the frame."""
        self._memory.write(address, data)

    def give_back(self) -> None:
        """Put the bytes back that were there, unless a thread has to pass the frame."""
        if self._holds:
            self._holds.finish()
        if self._holds and not self._holds.in_care:
            self._memory.write(self.start, self._before)
            self._holds = None


def find_area(
    arch: Arch,
    memory: Memory,
    ranges: list[procfs.Range],
    main_sp: int | None,
    size: int,
) -> Area | None:
    """
    Find room for a frame where nothing can be alive.

    First the bottom of the main stack: the kernel gave it to the main thread, so what
    lies far below its pointer is nobody's, while below the pointer of any other stack
    there may be another stack.  Where that pointer is elsewhere, as in a coroutine or
    once the main thread has ended, nothing tells how far down the stack is in use, and
    only a bottom that has never been written to will do.  Where recursion has gone down
    to it, the end of the heap, if that has never been written to.

    Args:
        main_sp: The main thread's stack pointer; None if it has ended.
        size: Bytes of frames.
    """
    need = SCRATCH_SIZE + size + 4096
    for part in ranges:
        if part.path != "[stack]":
            continue
        elsewhere = main_sp is None or not part.start <= main_sp < part.end
        limit = part.end
        if main_sp is not None and not elsewhere:
            limit = main_sp - arch.frame.red_zone
        if limit - part.start < max(need + 4096, _STACK_RESERVE):
            continue
        if not (elsewhere and any(memory.read(part.start, need))):
            return Area(memory, part.start, part.start + need)
    for part in ranges:
        if part.path == "[heap]" and part.end - part.start > 2 * need:
            tail = memory.read(part.end - need, need)
            if not any(tail):
                return Area(memory, part.end - need, part.end)
    return None


class Injection:
    """
    One stopped thread, borrowed for calls in its name.

    Args:
        tid: The thread.
        arch: Its architecture.
        way, area: Where to do it.
        sets: All its register sets; the general one as it shall be found if the
            checkpointer dies: about to make again the call in which it was blocked.
        put_back: The general set to put back.
        mask: Its signal mask.
        filtered: It has seccomp filters, which are suspended as long as it is traced.
    """

    def __init__(
        self,
        tid: int,
        arch: Arch,
        way: Way,
        area: Area,
        sets: dict[int, bytes],
        put_back: bytes,
        mask: int,
        *,
        filtered: bool = False,
    ) -> None:
        self._filtered = filtered
        self._wanted: Call = "", ()
        self._tid = tid
        self._arch = arch
        self._enter = arch.gadgets.enter if arch.gadgets else None
        self._area = area
        self._way = way
        self._put_back = put_back
        self._mask = mask
        self.in_care = False
        """The thread's registers lead into the frame, which so has to stay."""
        self._is_behind = False
        """It is in care, and stands behind a call."""
        self.scratch = area.start
        self._sets = sets
        self._sp, self._bytes = self._frame(area.end, sets, mask)
        above = way.gadget.pops + len(way.back)
        if self._enter:
            above = 0
        self._returned_sp = self._sp + above * arch.word_size
        """The stack pointer once the frame's return address has been used."""
        self._base = arch.gp.decode(put_back)

    def call(self, pid: int, name: str, args: tuple[int, ...]) -> int:
        """
        Make one call that does not block.

        Raises:
            RemoteCallError: It failed.
            TaskGoneError: The thread was killed meanwhile.
        """
        self.begin(name, args)
        self.await_call()
        self.make_call()
        result = self.result()
        if -_MAX_ERRNO <= result < 0:
            raise RemoteCallError(pid, name, -result)
        return result

    def begin(self, name: str, args: tuple[int, ...]) -> None:
        """Let the thread run to a call; up to step 4."""
        goes_on, self._is_behind = self.in_care, False
        self._wanted = name, args
        if self._filtered:
            self._enter_return()
        else:
            self.enter(name, args)
        if not goes_on:
            ptrace.set_signal_mask(self._tid, ALL_SIGNALS)
        ptrace.request(ptrace.PTRACE_SYSCALL, self._tid)

    def await_call(self) -> None:
        """Wait until the thread has come to the call."""
        self._await(system_call=True)
        if self._filtered:
            self._redirect(*self._wanted)

    def enter(self, name: str, args: tuple[int, ...]) -> None:
        """Hand the thread to its frame, about to make a call; steps 1 and 2."""
        self._area.lend(self, self._sp, self._bytes)
        regs = self.about_to(name, args, self._sp)
        self.in_care = True
        general = self._arch.gp.encode(regs, self._put_back)
        ptrace.set_register_set(self._tid, self._arch.gp.note_type, general)

    def _enter_return(self) -> None:
        """
        Hand the thread to its frame, about to return from the signal.

        Filters that let no other call pass let that one: if the checkpointer dies, it
        puts everything back.
        """
        arch = self._arch
        self._area.lend(self, self._sp, self._bytes)
        regs = self.about_to("rt_sigreturn", (), self._returned_sp)
        self.in_care = True
        general = arch.gp.encode(regs, self._put_back)
        ptrace.set_register_set(self._tid, arch.gp.note_type, general)

    def _redirect(self, name: str, args: tuple[int, ...]) -> None:
        """
        Have a thread at that call make another one.

        From here until the kernel has passed by the filters they would judge the call
        if the checkpointer died.
        """
        arch, tid = self._arch, self._tid
        assert arch.redirect_call is not None
        data = ptrace.register_set(tid, arch.gp.note_type)
        if data is None:
            raise TaskGoneError(f"thread {tid} ended while it was held")
        regs = arch.redirect_call(arch.gp.decode(data), arch.syscalls[name], args)
        regs[arch.sp] = self._sp
        general = arch.gp.encode(regs, data)
        ptrace.interrupt(tid)
        ptrace.set_register_set(tid, arch.gp.note_type, general)

    def leave(self) -> int:
        """Take the thread, in a call, to the stop behind it; return the result."""
        self.make_call()
        result = self.result()
        self.put_back()
        return result

    def make_call(self) -> None:
        """Let the thread make the call, and ask it to stop behind it."""
        if not self._filtered:
            ptrace.interrupt(self._tid)
        ptrace.resume(self._tid)

    def result(self) -> int:
        """Wait for the stop behind the call, and return what that came to."""
        arch = self._arch
        self._await(system_call=False)
        self._is_behind = True
        after = ptrace.register_set(self._tid, arch.gp.note_type)
        if after is None:
            raise TaskGoneError(f"thread {self._tid} ended while it was held")
        return arch.call_result(arch.gp.decode(after))

    def finish(self) -> None:
        """Make the thread what it was, if it stands behind a call."""
        if self._is_behind:
            self.put_back()

    def put_back(self) -> None:
        """Make the thread what it was; step 5."""
        self._is_behind = False
        ptrace.set_signal_mask(self._tid, self._mask)
        note = self._arch.gp.note_type
        ptrace.set_register_set(self._tid, note, self._put_back)
        self.in_care = False

    def about_to(self, name: str, args: tuple[int, ...], sp: int) -> Registers:
        """Return registers about to make a call, with a stack to return to."""
        arch = self._arch
        regs = arch.begin_call(self._base, arch.syscalls[name], args)
        regs[arch.pc], regs[arch.sp] = self._way.call, sp
        return self._enter(regs, self._way.back[-1]) if self._enter else regs

    def last_stack(self) -> int:
        """
        Write the stack of a thread that ends as soon as it returns from a call.

        It lies below this injection's frame, and the area is large enough for it.

        Returns:
            The stack pointer with which that thread makes its call.
        """
        regs = self.about_to("exit", (0,), self._sp)
        general = self._arch.gp.encode(regs, self._put_back)
        sets = {**self._sets, self._arch.gp.note_type: general}
        sp, data = self._frame(self._sp, sets, ALL_SIGNALS)
        self._area.write(sp, data)
        return sp

    def _frame(self, sp: int, sets: dict[int, bytes], mask: int) -> tuple[int, bytes]:
        """Return address and bytes of a stack whose frame restores `sets`."""
        arch, way = self._arch, self._way
        frame = arch.frame.build(
            FrameRequest(
                sp=sp,
                sets=sets,
                mask=mask,
                altstack=NO_ALTERNATE_STACK,
                signal=signal.SIGCONT,
                siginfo=bytes(ptrace.SIGINFO_SIZE),
                handler=0,
                flags=_SA_SIGINFO | _SA_RESTORER,
                restorer=way.back[-1],
            )
        )
        # The frame begins with the last of these words, its return address.
        head = _head(arch, way)[: -arch.word_size]
        return frame.address - len(head), head + frame.data

    def _await(self, *, system_call: bool) -> None:
        """Wait for the stop at the call, or behind it."""
        while True:
            stop = ptrace.wait(self._tid)
            assert stop is not None
            if stop.event == ptrace.PTRACE_EVENT_STOP:
                if not system_call:
                    return
                ptrace.request(ptrace.PTRACE_SYSCALL, self._tid)
            elif stop.signal == signal.SIGTRAP | 0x80:
                if system_call:
                    return
                ptrace.resume(self._tid)
            else:
                # SIGSTOP gets past a full mask.  Delivered now, it stops the process
                # once it is let go; with a later request it would be lost.
                again = ptrace.PTRACE_SYSCALL if system_call else ptrace.PTRACE_CONT
                ptrace.request(again, self._tid, 0, stop.signal)


def call_together(
    injections: Sequence[Injection], calls: Sequence[Sequence[Call]]
) -> list[list[int]]:
    """
    Make calls in the name of several threads, which run at the same time.

    Between its calls a thread stays in the care of its frame.

    Args:
        injections: Into the threads, each with an area of its own.
        calls: Names and arguments, for each thread as many.

    Returns:
        Their results, errors negative.
    """
    results: list[list[int]] = [[] for _ in injections]
    for step in zip(*calls, strict=True):
        for injection, (name, args) in zip(injections, step, strict=True):
            injection.begin(name, args)
        for injection in injections:
            injection.await_call()
            injection.make_call()
        for injection, found in zip(injections, results, strict=True):
            found.append(injection.result())
    for injection in injections:
        injection.put_back()
    return results


def refuse(pid: int) -> RefusedError:
    """Return the error for a program without a way or without room."""
    return RefusedError(
        pid,
        "has no code or no stack through which it could be asked about itself without "
        "harm",
    )
