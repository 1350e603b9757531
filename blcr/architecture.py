"""
What an architecture is: one immutable record of tables and a few pure functions.

Reading order: `Register` and `RegisterSet`, `Layout`, `Listing`, the signal frame,
`Gadgets`, and at the end `Arch`, which is made of all of them.  `None` always means
"this architecture has no such thing".  The records hold no state of any process: a
function gets registers passed in and returns registers.

The records are named tuples and not dataclasses because each command imports them at
its start: a dataclass costs half a millisecond.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Mapping

from blcr.annotations import Literal
from blcr.errors import ArchDefinitionError
from blcr.record import Record

Registers = dict[str, int]
"""Values by the kernel's register names, unsigned."""

ReadMemory = Callable[[int, int], bytes]
"""Read `size` bytes at `address`: ``read(address, size)``."""

INTERRUPTED = frozenset({4, 512, 513, 514, 516})
"""EINTR, ERESTARTSYS, ERESTARTNOINTR, ERESTARTNOHAND, ERESTART_RESTARTBLOCK."""

_CODES = {1: "B", 2: "H", 4: "I", 8: "Q"}


class Register(Record):
    """One register inside its set: where it lies, in bytes from the set's start."""

    name: str
    offset: int
    size: int


class RegisterSet(Record):
    """
    A buffer of registers as PTRACE_GETREGSET gives it and ELF core notes hold it.

    Attributes:
        name: What cr_info calls it, such as ``"gp"``.
        note_type: The kernel's ``NT_*`` number.
        note_owner: The name of the note, ``"CORE"`` or ``"LINUX"``.
        size: Bytes; None where it differs from machine to machine (XSAVE).
        registers: The named parts, in order of offset; may leave gaps.
        byteorder: Of the parts.
        volatile: Bits by register that the kernel changes by itself; they are saved
            and put back but not compared.
        fit: Convert a buffer that another machine saved to one of `size` bytes that
            this machine takes: ``fit(data, size)``.  Raises ArchitectureError naming
            the component that does not fit.  None: sizes must be equal.
        apart: For a set of one word that some kernels do not have among their sets:
            the ptrace request that reads it, and the call by which a thread sets it.
    """

    name: str
    note_type: int
    note_owner: str
    size: int | None
    registers: tuple[Register, ...]
    byteorder: Literal["little", "big"]
    volatile: Mapping[str, int]
    fit: Callable[[bytes, int], bytes] | None
    apart: tuple[int, str] | None
    codec: struct.Struct
    masks: Mapping[str, int]
    """The bits of each register, by name, in order."""
    has_gaps: bool
    """Not all bytes of the set belong to a named register."""

    @classmethod
    def of(
        cls,
        name: str,
        *,
        note_type: int,
        size: int | None,
        registers: Iterable[Register] = (),
        byteorder: Literal["little", "big"] = "little",
        note_owner: str = "LINUX",
        volatile: Mapping[str, int] | None = None,
        fit: Callable[[bytes, int], bytes] | None = None,
        apart: tuple[int, str] | None = None,
    ) -> RegisterSet:
        """Return a set of these rows, checked against each other and the size."""
        rows = tuple(registers)
        volatile = volatile or {}
        codes, at = ["<" if byteorder == "little" else ">"], 0
        for row in rows:
            if row.offset < at:
                raise ArchDefinitionError(
                    f"register set {name}: '{row.name}' at {row.offset} overlaps the "
                    f"one before it, which ends at {at}"
                )
            if row.size not in _CODES:
                raise ArchDefinitionError(
                    f"register set {name}: '{row.name}' has {row.size} bytes"
                )
            codes.append(f"{row.offset - at}x{_CODES[row.size]}")
            at = row.offset + row.size
        if size is not None and at > size:
            raise ArchDefinitionError(
                f"register set {name}: ends at {at}, beyond its size of {size}"
            )
        names = {row.name for row in rows}
        if len(names) != len(rows) or not names >= set(volatile):
            raise ArchDefinitionError(
                f"register set {name}: a name is there twice, or a volatile one is not"
            )
        return cls(
            name,
            note_type,
            note_owner,
            size,
            rows,
            byteorder,
            volatile,
            fit,
            apart,
            struct.Struct("".join(codes)),
            {row.name: (1 << 8 * row.size) - 1 for row in rows},
            sum(row.size for row in rows) != size,
        )

    @classmethod
    def in_order(
        cls,
        name: str,
        *,
        note_type: int,
        size: int,
        width: int,
        names: str,
        byteorder: Literal["little", "big"] = "little",
        note_owner: str = "CORE",
        volatile: Mapping[str, int] | None = None,
        apart: tuple[int, str] | None = None,
    ) -> RegisterSet:
        """Return a set of equally wide registers, in order of the kernel's struct."""
        rows = [Register(n, i * width, width) for i, n in enumerate(names.split())]
        return cls.of(
            name,
            note_type=note_type,
            size=size,
            registers=rows,
            byteorder=byteorder,
            note_owner=note_owner,
            volatile=volatile,
            apart=apart,
        )

    def decode(self, data: bytes) -> Registers:
        """Return the named registers of a buffer of this set."""
        return dict(zip(self.masks, self.codec.unpack_from(data), strict=True))

    def encode(self, regs: Mapping[str, int], data: bytes | None = None) -> bytes:
        """Return `data`, or zeros, with the given registers written into it."""
        if len(regs) == len(self.masks) and not self.has_gaps:
            bits = self.masks.items()
            return self.codec.pack(*[regs[name] & mask for name, mask in bits])
        out = bytearray(bytes(self.size or 0) if data is None else data)
        little = self.byteorder == "little"
        rows = {row.name: row for row in self.registers}
        for name, value in regs.items():
            row = rows[name]
            out[row.offset : row.offset + row.size] = (
                value & ((1 << 8 * row.size) - 1)
            ).to_bytes(row.size, "little" if little else "big")
        return bytes(out)


class Layout(Record):
    """
    How a C compiler of this architecture lays out structures.

    Attributes:
        word_size: Bytes of ``long``, ``size_t`` and pointers.
        byteorder: Of every number.
        align_8: Alignment of 8-byte numbers inside structures: 4 or 8.
    """

    word_size: int
    byteorder: Literal["little", "big"]
    align_8: int = 8


class Listing(Record):
    """Machine code: rows of hex in memory order and assembly as Capstone prints it."""

    rows: tuple[tuple[str, str], ...]

    @property
    def code(self) -> bytes:
        """The bytes of all rows."""
        return b"".join(bytes.fromhex(row[0]) for row in self.rows)

    @property
    def assembly(self) -> tuple[str, ...]:
        """The assembly of all rows."""
        return tuple(row[1] for row in self.rows)


class AlternateStack(Record):
    """A sigaltstack(2): address, ``SS_*`` flags, size in bytes."""

    address: int
    flags: int
    size: int


class FrameRequest(Record):
    """
    What a signal frame shall hold.

    Attributes:
        sp: The frame is built below this address (the caller has left the red zone).
        sets: Register sets by note type, which the return from the signal restores.
        mask: Blocked signals to restore, bit 0 for signal 1.
        altstack: The alternate stack that the frame records.
        signal: Its number.
        siginfo: The 128 bytes of the siginfo, in this architecture's layout.
        handler: The handler's address (of its descriptor, where functions have those).
        flags: The action's ``SA_*`` flags.
        restorer: The address that the handler returns to; 0: code in the frame, where
            the architecture has such.
    """

    sp: int
    sets: Mapping[int, bytes]
    mask: int
    altstack: AlternateStack
    signal: int
    siginfo: bytes
    handler: int
    flags: int
    restorer: int


class Frame(Record):
    """
    A signal frame, ready to be written.

    Attributes:
        address: Where its first byte belongs, the stack pointer of the handler.
        data: Its bytes.
        registers: The general registers with which the handler starts, encoded.
        sets: Other register sets with which it starts, where they change.
    """

    address: int
    data: bytes
    registers: bytes
    sets: Mapping[int, bytes] = {}


class Restored(Record):
    """What a return from a signal handler puts back."""

    sets: Mapping[int, bytes]
    mask: int
    altstack: AlternateStack | None


class SignalFrame(Record):
    """
    The frame that the kernel puts on a stack for a handler, to build and to parse.

    Attributes:
        red_zone: Bytes below the stack pointer that a program may use.
        size: Upper bound of a frame's bytes without the extended register state.
        build: The frame for a request.
        parse: The state that ``rt_sigreturn`` (`rt` true) or ``sigreturn`` restores,
            from the register sets at the call and a way to read memory.
        ignores_restorer: No handler returns to the restorer of its action.
    """

    red_zone: int
    size: int
    build: Callable[[FrameRequest], Frame]
    parse: Callable[[Mapping[int, bytes], ReadMemory, bool], Restored]
    ignores_restorer: bool = False


class Gadget(Record):
    """
    Code found in a program: system call, then return, or on to `Gadgets.sigreturn`.

    Attributes:
        code: Its bytes.
        pops: Words that it takes from the stack between call and return.
    """

    code: bytes
    pops: int = 0


class Gadgets(Record):
    """
    Code that programs of this architecture contain, for injection without harm.

    Attributes:
        call: Ways to make a system call and then return to the address on the stack,
            best first.
        sigreturn: Code that calls ``rt_sigreturn``, best first.
        pop_number: Code that takes the call number from the stack and returns; with a
            call gadget it stands in for a missing `sigreturn`.  None: not possible.
        enter: ``(regs, back)``: the registers with which a call gadget goes on at
            `back`, which is not on the stack then.  None: it returns to what is there.
        home: A part of the path of the mapping to search first.
        read_clock: Instructions with which a vdso reads the CPU's clock.  Empty: it is
            not known whether a thread that stands in a vdso has done so.
    """

    call: tuple[Gadget, ...]
    sigreturn: tuple[bytes, ...]
    pop_number: bytes | None = None
    enter: Callable[[Registers, int], Registers] | None = None
    home: str = "libc"
    read_clock: tuple[bytes, ...] = ()


class InterruptedCall(Record):
    """
    A system call that a stop interrupted, as the registers show it.

    Attributes:
        number: The call's number (``restart_syscall`` where the kernel has put that).
        args: Its six arguments.
        error: The positive code: EINTR (4) or ERESTARTSYS (512), ERESTARTNOINTR (513),
            ERESTARTNOHAND (514), ERESTART_RESTARTBLOCK (516).
    """

    number: int
    args: tuple[int, ...]
    error: int


Place = tuple[int, int] | tuple[int, int, int]
"""Where in code a number goes: offset and width in bytes, and bits to shift it by."""


def filled(
    code: bytes, place: Place, number: int, order: Literal["little", "big"]
) -> bytes:
    """Return code with a number in a place that was zero."""
    at, width, *shifts = place
    before = int.from_bytes(code[at : at + width], order)
    word = (before | number << sum(shifts)).to_bytes(width, order)
    return code[:at] + word + code[at + width :]


class Stubs(Record):
    """
    Code that blcr writes into tasks of its own making.  Addresses: position-free.

    Attributes:
        call: One system call from the registers, then a trap.
        batch: System calls one after the other, each from eight words at the stack
            pointer: the number, in whose place the result comes, the error negative;
            six arguments; where the eight words of the call are that follows a failure.
            It does not end by itself.  None: calls are made one at a time.
        fallback: The plain call that stands in for a vdso function, the number
            to be filled in; then a return.
        fallback_number: The place of that number in `fallback`, which is zero there.
        jump: From the beginning of a C function to another one, whose address is to be
            filled in at the place `jump_target`.
        returns: What a handler returns to whose action has no restorer: the call
            ``rt_sigreturn`` and, where there are frames without siginfo, ``sigreturn``,
            as the kernel's vdso has them.  Empty: the frame holds the code.
        veil: What does nothing, and stands before each of these where there is no real
            vdso: unwinders know them, but expect its unwind tables beside.
        state: Registers that this code wants to be so, whatever ran there before.
    """

    call: Listing
    batch: Listing | None = None
    fallback: Listing | None = None
    fallback_number: Place | None = None
    jump: Listing | None = None
    jump_target: Place | None = None
    returns: tuple[Listing, ...] = ()
    veil: Listing = Listing(())
    state: Registers = {}  # noqa: RUF012  nobody changes it


def call_table(text: str) -> dict[str, int]:
    """Return number by name of calls in order of number; a number starts a new run."""
    calls, number = {}, 0
    for word in text.split():
        if word.isdecimal():
            number = int(word)
        else:
            calls[word] = number
            number += 1
    return calls


def constant_table(text: str) -> dict[str, int]:
    """Return value by name, given as ``NAME=value``; lines with ``#`` are comments."""
    return {
        name: int(value, 0)
        for line in text.splitlines()
        if not line.lstrip().startswith("#")
        for name, _, value in (word.partition("=") for word in line.split())
    }


class Arch(Record):
    """
    One architecture.  Field order is the order in which to fill it in.

    Attributes:
        name: What ``uname -m`` says, or the family's name.
        elf_machine: ``EM_*``.
        layout: Word size, byte order, alignment.
        page_size: Smallest page in bytes.
        task_size: End of the address space that programs can use.
        register_sets: What to save of each thread; the first is the general one.
        pc, sp, result: Roles of registers of the general set.
        thread_pointer: The TLS register, in whichever set has it.
        call_number, call_args: Registers of a system call about to be made.
        syscalls: Number by name: those that blcr uses or serves.
        begin_call: ``(regs, number, args)``: registers that make the call when run at a
            system-call instruction, whatever call they were in before.
        call_result: The result: negative errno, or the value.
        set_result: ``(regs, result)``: registers as after a call that returned so.
        interrupted_call: The call that these registers of a stopped thread were in,
            or None.
        rewind_call: ``(regs, call)``: the pc back on the instruction, number and
            arguments in place again.
        interrupt_call: ``(regs, number, error)``: from a rewound state, the state in
            which the kernel resumes a call interrupted with that error.
        redirect_call: ``(regs, number, args)``: from registers of a thread stopped at
            the entry of a call, those with which it makes another one; None: threads
            with seccomp filters are refused.
        goes_back: The kernel goes back to the instruction of an interrupted call before
            anybody sees the thread stopped: no registers say then how it ended, and
            what they say of it later changes nothing.  Behind a call it does not take
            all of them.
        frame: The signal frame.
        gadgets: Code to look for in programs; None: no injection.
        stubs: Code of ours.
        structures: Structures of the kernel that differ here from ``blcr.linux``.
        constants: Constants that differ here.
        start_function: ``(address, base, elf_flags, read)``: the general registers,
            beside the stack pointer, with which a function begins that is known by
            `address`, in a program with these flags in its ELF header; `base` is added
            to what has not been relocated.  None: the address is the pc.
        portable_state: Names of features that saved register sets have in use and that
            an engine for the baseline of this architecture does not offer.
        cpu_levels: For ``cr_run --cpu``: environment by level name.
        emulation: The module in this folder that tells an engine how to be this CPU,
            as an absolute import path; plain data.
        capstone: ``(CS_ARCH_*, CS_MODE_*)`` names for the disassembler.
    """

    name: str
    elf_machine: int
    layout: Layout
    page_size: int
    task_size: int
    register_sets: tuple[RegisterSet, ...]
    pc: str
    sp: str
    result: str
    call_number: str
    call_args: tuple[str, ...]
    syscalls: Mapping[str, int]
    begin_call: Callable[[Registers, int, tuple[int, ...]], Registers]
    call_result: Callable[[Registers], int]
    set_result: Callable[[Registers, int], Registers]
    interrupted_call: Callable[[Registers], InterruptedCall | None]
    rewind_call: Callable[[Registers, InterruptedCall], Registers]
    interrupt_call: Callable[[Registers, int, int], Registers]
    frame: SignalFrame
    stubs: Stubs
    capstone: tuple[str, tuple[str, ...]]
    gadgets: Gadgets | None = None
    goes_back: bool = False
    redirect_call: Callable[[Registers, int, tuple[int, ...]], Registers] | None = None
    structures: Mapping[str, str] = {}
    constants: Mapping[str, int] = {}
    thread_pointer: str | None = None
    start_function: Callable[[int, int, int, ReadMemory], Registers] | None = None
    portable_state: Callable[[Mapping[int, bytes]], tuple[str, ...]] | None = None
    cpu_levels: Mapping[str, Mapping[str, str]] = {}
    emulation: str | None = None

    @property
    def gp(self) -> RegisterSet:
        """The general registers."""
        return self.register_sets[0]

    @property
    def word_size(self) -> int:
        """Bytes of an address."""
        return self.layout.word_size

    def set_of(self, note_type: int) -> RegisterSet | None:
        """Return the register set of that note type, or None."""
        for register_set in self.register_sets:
            if register_set.note_type == note_type:
                return register_set
        return None

    def set_with(self, register: str) -> RegisterSet:
        """
        Return the register set that has a register.

        Raises:
            KeyError: None has it.
        """
        for register_set in self.register_sets:
            if any(row.name == register for row in register_set.registers):
                return register_set
        raise KeyError(register)

    def syscall_name(self, number: int) -> str | None:
        """Return the name of a call number, or None if the table lacks it."""
        for name, value in self.syscalls.items():
            if value == number:
                return name
        return None


def check(arch: Arch) -> None:
    """
    Check that the roles name registers: those of calls ones of the general set.

    Raises:
        ArchDefinitionError: One does not; the message names it.
    """
    names = {row.name for row in arch.gp.registers}
    roles = {arch.pc, arch.sp, arch.result, arch.call_number, *arch.call_args}
    if arch.thread_pointer:
        all_names = {row.name for each in arch.register_sets for row in each.registers}
        roles |= {arch.thread_pointer} - all_names
    if unknown := roles - names:
        raise ArchDefinitionError(f"{arch.name}: no register '{min(unknown)}'")
    numbers = list(arch.syscalls.values())
    if len(numbers) != len(set(numbers)):
        raise ArchDefinitionError(f"{arch.name}: a system call number is there twice")
