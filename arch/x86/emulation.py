"""
How an engine is told to be a 32-bit x86 CPU, in user mode on a flat memory.

Source: Intel SDM volume 3, chapters 3.4 and 6.15; descriptor numbers as a 64-bit Linux
6.12 gives them to 32-bit processes (arch/x86/include/asm/segment.h).
"""

from __future__ import annotations

import struct
from functools import partial

from blcr.architecture import Listing
from blcr.emulation import Descriptors, Entry, Fault, Performed, Recipe, Transfer

from . import x87
from .registers import NT_386_TLS
from .xstate import BASELINE, BASELINE_SIZE, NT_X86_XSTATE, SOFTWARE_AT

USER_CS, USER_DS = 0x23, 0x2B
EFLAGS = 0x202
# Behind some instructions (cmpxchg8b) the engine shows a result in the place of flags,
# and would take to single steps when that is written back.  Those that say something
# are right: the arithmetic ones and the direction.
VISIBLE_FLAGS = {"eflags": (0xCD5, EFLAGS)}
# CF, PF, AF, ZF, SF, TF, DF, OF, RF and AC, as for a return from a handler.
CHOSEN_FLAGS = 0x5_0DD5
# Without rights to ports they are general protection faults; `ins` and `outs`, too.
PRIVILEGED = (("UC_X86_INS_IN", 13), ("UC_X86_INS_OUT", 13))

# Base 0, limit 4 GiB.  DPL 3: 32-bit code, data, 64-bit code; DPL 0: data.
DESCRIPTORS = {
    4: 0x00CF_FB00_0000_FFFF,
    5: 0x00CF_F300_0000_FFFF,
    6: 0x00AF_FB00_0000_FFFF,
    7: 0x00CF_9300_0000_FFFF,
}


def encode_descriptor(base: int, limit: int, flags: int) -> int:
    """
    Return the descriptor that set_thread_area(2) makes of a user_desc.

    Flags, from bit 0: seg_32bit, contents (2), read_exec_only, limit_in_pages,
    seg_not_present, useable.
    """
    if not base and not limit and flags & 0x38 == 0x28:
        return 0
    contents, not_present = flags >> 1 & 3, flags >> 5 & 1
    kind = 1 | (~flags >> 3 & 1) << 1 | contents << 2
    access = kind | 0x70 | (not_present ^ 1) << 7
    granularity = (flags & 1) << 2 | (flags >> 4 & 1) << 3 | (flags >> 6 & 1)
    return (
        limit & 0xFFFF
        | (base & 0xFF_FFFF) << 16
        | access << 40
        | (limit >> 16 & 15) << 48
        | granularity << 52
        | base >> 24 << 56
    )


PREFIXES = b"\x26\x2e\x36\x3e\x64\x65\x66\x67\xf2\xf3"

# phadd and phsub, which read what they have written already where both operands are one
# register; pcmpestri and pcmpestrm, which crash the engine when a length is -2^31;
# extrq and insertq; fprem and fprem1, which it rounds; rdrand and rdseed, which no seed
# fixes.
UNSUPPORTED_OPCODES = tuple(
    bytes.fromhex(code)
    for code in (
        *("0f 38 01", "0f 38 02", "0f 38 03", "0f 38 05", "0f 38 06", "0f 38 07"),
        *("0f 3a 60", "0f 3a 61", "0f 78", "0f 79", "d9 f8", "d9 f5"),
        *(f"0f c7 {last:02x}" for last in range(0xF0, 0x100)),
    )
)
PERFORMED = {
    bytes.fromhex("d9 f8"): Performed(x87.REGISTERS, x87.fprem),
    bytes.fromhex("d9 f5"): Performed(x87.REGISTERS, x87.fprem1),
}
_NUMBERED = "EAX ECX EDX EBX ESP EBP ESI EDI"
_CARRY, _ARITHMETIC = 1, 0x8D5


def random_number(values: list[int], *, changed: int) -> tuple[int, ...]:
    """Return the registers after ``rdrand`` or ``rdseed``, which never lack numbers."""
    flags, register, number = values
    flags = flags & ~_ARITHMETIC | _CARRY
    return flags, register & ~changed | number


def random_numbers(*forms: tuple[str, int, str]) -> dict[bytes, Performed]:
    """
    Return ``rdrand`` and ``rdseed`` of all registers.

    Args:
        forms: Prefixes, how many bits they make it, and the registers by their number.
    """
    return {
        bytes.fromhex(f"{prefixes} 0f c7 {first + i:02x}"): Performed(
            ("EFLAGS", register),
            partial(random_number, changed=(1 << (16 if bits == 16 else 64)) - 1),
            random_bits=bits,
        )
        for prefixes, bits, registers in forms
        for i, register in enumerate(registers.split())
        for first in (0xF0, 0xF8)
    }


def unsupported(code: bytes) -> bool:
    """
    Tell whether the engine gets an instruction wrong.

    Besides some opcodes those are VEX and EVEX prefixes: the engine runs many of them,
    on 128 bits, wrongly.  In 32-bit code the same bytes are ``les``, ``lds`` and
    ``bound`` unless the next byte says register.
    """
    code = code.lstrip(PREFIXES)
    if code.startswith(UNSUPPORTED_OPCODES):
        return True
    return len(code) > 1 and code[0] in {0xC4, 0xC5, 0x62} and code[1] >= 0xC0


FAULTS = {
    0: Fault("SIGFPE", "FPE_INTDIV"),
    1: Fault("SIGTRAP", "TRAP_TRACE"),
    3: Fault("SIGTRAP", "SI_KERNEL"),
    4: Fault("SIGSEGV", "SI_KERNEL"),
    5: Fault("SIGSEGV", "SI_KERNEL"),
    6: Fault("SIGILL", "ILL_ILLOPN"),
    8: Fault("SIGSEGV", "SI_KERNEL"),
    11: Fault("SIGBUS", "SI_KERNEL"),
    12: Fault("SIGBUS", "SI_KERNEL"),
    13: Fault("SIGSEGV", "SI_KERNEL"),
    16: Fault("SIGFPE", "FPE_FLTINV"),
    17: Fault("SIGBUS", "BUS_ADRALN"),
    19: Fault("SIGFPE", "FPE_FLTINV"),
}
ILLEGAL = Fault("SIGILL", "ILL_ILLOPN")

# The tags of an empty stack: the engine does not look at them, hardware does.
FPU_SETUP = {"FPCW": 0x37F, "FPTAG": 0xFFFF, "MXCSR": 0x1F80}

# The image of the x87 and SSE state that fxsave leaves free to us: which features the
# system has enabled, for debuggers, and which are in use.
BLANK_STATE = (bytes(SOFTWARE_AT) + struct.pack("<Q40xQ", BASELINE, BASELINE)).ljust(
    BASELINE_SIZE, b"\0"
)

# __kernel_vsyscall with sysenter, or syscall: without these it goes on to int 0x80.
_INT_80 = bytes.fromhex("cd 80")
VDSO_PATCHES = tuple(
    (bytes.fromhex(code) + _INT_80, b"\x90" * 4 + _INT_80)
    for code in ("89 e5 0f 34", "89 cd 0f 05")
)

RECIPE = Recipe(
    engine="UC_ARCH_X86",
    modes=("UC_MODE_32",),
    constants=("unicorn.x86_const", "UC_X86_REG_"),
    registers={
        name: name.upper()
        for name in "ebx ecx edx esi edi ebp eax eip eflags esp".split()
    },
    start={"eflags": EFLAGS},
    fixed={"orig_eax": 0xFFFF_FFFF, "cs": USER_CS, "ss": USER_DS},
    setup=FPU_SETUP,
    visible=VISIBLE_FLAGS,
    call_exception=0x80,
    faults=FAULTS,
    illegal=ILLEGAL,
    transfers=(
        Transfer(
            NT_X86_XSTATE,
            0,
            BLANK_STATE,
            save=Listing((("0f ae 07", "fxsave [edi]"), ("cc", "int3"))),
            load=Listing((("0f ae 0f", "fxrstor [edi]"), ("cc", "int3"))),
            base="EDI",
        ),
    ),
    # What CPUID leaf 1 of the engine's CPU would say of x87, TSC, CX8, CMOV, SSE2.
    auxv={"AT_HWCAP": 0x0783_FBFF, "AT_HWCAP2": 0},
    platform="i686",
    machine="i686",
    descriptors=Descriptors(
        "GDTR",
        DESCRIPTORS,
        # With the stack segment of reset, iretd would cut esp to 16 bits.
        selectors={
            "ss": ("SS", 7 << 3),
            "ds": ("DS", USER_DS),
            "es": ("ES", USER_DS),
            "fs": ("FS", 0),
            "gs": ("GS", 0),
        },
        tls_slot=12,
        tls_note_type=NT_386_TLS,
        # read_exec_only and seg_not_present, as the kernel shows an empty one.
        tls_unset=(0, 0, 0x28),
        encode=encode_descriptor,
    ),
    entry=Entry(
        Listing((("cf", "iretd"), ("cc", "int3"))),
        1,
        ("pc", USER_CS, EFLAGS, "sp", USER_DS),
    ),
    vdso_patches=VDSO_PATCHES,
    unsupported=unsupported,
    performed={
        **PERFORMED,
        **random_numbers(("", 32, _NUMBERED), ("66", 16, _NUMBERED)),
    },
    chosen={"eflags": CHOSEN_FLAGS},
    privileged=PRIVILEGED,
    clone_tls_first=True,
)
