"""
How an engine is told to be an architecture's CPU: the recipe, as plain data.

`Arch.emulation` is the import path of a module with a constant ``RECIPE``.  Engine
constants are given by name, so that describing a CPU imports no engine.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from blcr.annotations import Literal
from blcr.architecture import Listing, Registers
from blcr.record import Record


class Fault(Record):
    """
    The signal that an exception of the CPU becomes.

    Attributes:
        signal: Its name.
        code: Name of the ``si_code``.
        step: Bytes by which the engine has moved the pc on that the kernel has not.
    """

    signal: str
    code: str
    step: int = 0


Explain = Callable[[bytes, Registers], Fault | Registers]


class Transfer(Record):
    """
    A part of a register set that only code on the CPU itself can save and load.

    Attributes:
        note_type: The register set.
        offset: Where in the set the part begins, in bytes.
        blank: The part before it is saved; what the code does not write stays so.
        save: Code that stores the part at the address in `base`, then traps.
        load: Code that loads it from there, then traps.
        base: An engine register.
        clobbers: Engine registers that the code changes besides.
    """

    note_type: int
    offset: int
    blank: bytes
    save: Listing
    load: Listing
    base: str
    clobbers: tuple[str, ...] = ()


class Descriptors(Record):
    """
    A table of segment descriptors in memory.

    Attributes:
        register: The engine register that holds its address and size.
        table: 8-byte descriptors by slot.
        selectors: What is loaded from it: the engine register and its first value by
            the name of a general register.
        tls_slot: The first of the slots that a thread can set.
        tls_note_type: The register set of those: for each its slot, base, limit, flags.
        tls_unset: Base, limit and flags of a slot that is not set.
        encode: A thread's descriptor from base, limit and flags.
    """

    register: str
    table: Mapping[int, int]
    selectors: Mapping[str, tuple[str, int]] = {}
    tls_slot: int = 0
    tls_note_type: int | None = None
    tls_unset: tuple[int, int, int] = (0, 0, 0)
    encode: Callable[[int, int, int], int] | None = None


class Performed(Record):
    """
    An instruction that is carried out in place of the engine.

    Attributes:
        registers: Those of the engine's that it uses, up to 16 bytes each.
        function: Their values after it from those before, behind which comes a random
            number if there is one.
        random_bits: Of that number, which the machine's seed fixes.
    """

    registers: tuple[str, ...]
    function: Callable[[list[int]], tuple[int, ...]]
    random_bits: int = 0


class Entry(Record):
    """
    How the CPU gets into user mode: code run on a stack of these words.

    Attributes:
        code: The return from an exception, and at its target a trap.
        target: Offset of that trap in the code.
        words: The stack; ``"pc"`` and ``"sp"`` are filled in.
    """

    code: Listing
    target: int
    words: tuple[int | str, ...]


def any_of(
    byteorder: Literal["little", "big"], *patterns: tuple[int, int]
) -> Callable[[bytes], bool]:
    """Return what tells whether the first 4 bytes, masked, equal a value."""

    def matches(code: bytes) -> bool:
        word = int.from_bytes(code[:4], byteorder)
        return any(word & mask == value for mask, value in patterns)

    return matches


class Recipe(Record):
    """
    One CPU.

    Attributes:
        engine, modes: ``UC_ARCH_*`` and ``UC_MODE_*``.
        constants: The engine's module of names, and the prefix of its registers.
        registers: Engine register by the name in a register set; empty: the upper half
            of the one before.
        start: General registers that are not zero when a program starts.
        visible: Of registers in which the engine shows more than they hold: bits that
            are kept, and bits that are always set.
        fixed: Values of registers that are not the program's to choose.
        setup: What engine registers are set to before anything runs.
        call_state: General registers, besides number, arguments, pc and result, that
            the architecture's `set_result` looks at, and besides the result that it
            changes.
        odd_code: A general register and its bit that says that the engine wants odd
            addresses of code, for instructions of another kind.  Setting the pc sets
            the bit, too, so that the register is to be set after that.
        call_exception: The exception that a system call raises; None: see next.
        call_instruction: The instruction that the engine hooks as system call.
        noted: What the kernel notes of a call in general registers that the engine does
            not have, and that the architecture's functions look at.
        illegal_calls: Instructions of 4 bytes that make a system call though the engine
            takes them for illegal, and what the kernel notes of those.
        faults: By exception number; others are illegal instructions.
        illegal: What an illegal instruction becomes.
        explained: By exception number what the kernel makes of the instruction of 4
            bytes that raised it: a fault, or the general registers after it, from
            those before, where it does the CPU's work.
        breakpoints: What instructions become, by their bytes, that the engine takes for
            illegal ones and the kernel does not.
        pauses: Instructions, by their bytes, behind which the engine stops as at an
            illegal one: others may go first.
        transfers: Parts of register sets beyond the engine's interface.
        ignored_bits: Those of addresses of data at which the CPU does not look.
        passing: An engine register and its bits that tell of the instruction under way
            only.  The engine forgets to clear them when it has asked for a translation.
        addressed: Bytes of memory that the engine can address; 0: all.
        page_size: Of the engine, in bytes, where it has smaller pages; 0: it has none.
        helpers: Code of the kernel's that programs call, by offset in the page behind
            their address space.
        auxv: Further entries of the auxiliary vector by name.
        platform: AT_PLATFORM.
        machine: What uname(2) says; None: the architecture's name.
        system: System registers that are set besides, as the engine's register
            ``CP_REG`` takes them: crn, crm, op0, op1, op2 and the value.
        descriptors, entry: For CPUs with segments.
        prctl_registers: Registers of arch_prctl(2), by what follows ``ARCH_SET_``.
        clone_tls_first: Whether clone(2) has the thread pointer before the child's tid.
        vdso_patches: Pairs of old and new code, equally long, for a vdso from another
            kernel: ways into the kernel that the engine does not have.
        unsupported: Whether an instruction, given as its bytes, is one that the engine
            gets wrong without a word.
        performed: Of those, by all their bytes, what is carried out nevertheless.
        code_unit: Bytes of which the length of each instruction is a multiple.
        chosen: Of general registers that a program may only choose some bits of: those.
        privileged: Instructions that the engine would carry out in user mode, and the
            exception that they raise on hardware.
        budget: As host: code of a C function (engine, address, size, cell) that takes
            one from the 8-byte cell and, when it falls below zero, jumps to the
            address in the next cell.
    """

    engine: str
    modes: tuple[str, ...]
    constants: tuple[str, str]
    registers: Mapping[str, str]
    start: Mapping[str, int]
    fixed: Mapping[str, int]
    setup: Mapping[str, int]
    call_exception: int | None
    faults: Mapping[int, Fault]
    illegal: Fault
    call_state: tuple[str, ...] = ()
    call_instruction: str | None = None
    noted: Mapping[str, int] = {}
    illegal_calls: Mapping[bytes, Mapping[str, int]] = {}
    explained: Mapping[int, Explain] = {}
    odd_code: tuple[str, int] | None = None
    breakpoints: Mapping[bytes, Fault] = {}
    pauses: tuple[bytes, ...] = ()
    ignored_bits: int = 0
    passing: tuple[str, int] | None = None
    addressed: int = 0
    page_size: int = 0
    helpers: Mapping[int, Listing] = {}
    transfers: tuple[Transfer, ...] = ()
    auxv: Mapping[str, int] = {}
    platform: str | None = None
    machine: str | None = None
    system: tuple[tuple[int, ...], ...] = ()
    descriptors: Descriptors | None = None
    entry: Entry | None = None
    visible: Mapping[str, tuple[int, int]] = {}
    prctl_registers: Mapping[str, str] = {}
    clone_tls_first: bool = False
    vdso_patches: tuple[tuple[bytes, bytes], ...] = ()
    unsupported: Callable[[bytes], bool] | None = None
    performed: Mapping[bytes, Performed] = {}
    code_unit: int = 1
    chosen: Mapping[str, int] = {}
    privileged: tuple[tuple[str, int], ...] = ()
    budget: Listing | None = None
