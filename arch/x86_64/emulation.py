"""
How an engine is told to be an x86-64 CPU, in user mode.

Source: as for 32 bits; calling convention of the System V psABI.
"""

from __future__ import annotations

from blcr.architecture import Listing
from blcr.emulation import Descriptors, Entry, Recipe, Transfer

from ..x86.emulation import (
    BLANK_STATE,
    CHOSEN_FLAGS,
    DESCRIPTORS,
    EFLAGS,
    FAULTS,
    FPU_SETUP,
    ILLEGAL,
    PERFORMED,
    PREFIXES,
    PRIVILEGED,
    UNSUPPORTED_OPCODES,
    VISIBLE_FLAGS,
    random_numbers,
)
from ..x86.xstate import NT_X86_XSTATE

USER_CS, USER_DS = 0x33, 0x2B

# General registers by number; those of 32 bits clear the upper half.
_LOW = "RAX RCX RDX RBX RSP RBP RSI RDI"
_HIGH = " ".join(f"R{i}" for i in range(8, 16))
_REX = bytes(range(0x40, 0x50))


def unsupported(code: bytes) -> bool:
    """Tell whether the engine gets an instruction wrong: see there for 32 bits."""
    code = code.lstrip(PREFIXES)
    if code[:1] in {b"\xc4", b"\xc5", b"\x62"}:
        return True
    return code.lstrip(_REX).startswith(UNSUPPORTED_OPCODES)


RECIPE = Recipe(
    engine="UC_ARCH_X86",
    modes=("UC_MODE_64",),
    constants=("unicorn.x86_const", "UC_X86_REG_"),
    registers={
        name: name.upper()
        for name in """
            r15 r14 r13 r12 rbp rbx r11 r10 r9 r8 rax rcx rdx rsi rdi rip rsp
            fs_base gs_base eflags
        """.split()
    },
    start={"eflags": EFLAGS},
    fixed={
        "orig_rax": (1 << 64) - 1,
        "cs": USER_CS,
        "ss": USER_DS,
        "ds": 0,
        "es": 0,
        "fs": 0,
        "gs": 0,
    },
    setup=FPU_SETUP,
    visible=VISIBLE_FLAGS,
    call_exception=None,
    call_instruction="UC_X86_INS_SYSCALL",
    call_state=("eflags", "rcx", "r11"),
    faults=FAULTS,
    illegal=ILLEGAL,
    transfers=(
        Transfer(
            NT_X86_XSTATE,
            0,
            BLANK_STATE,
            save=Listing(
                (("48 0f ae 07", "fxsave64 ptr [rdi]"), ("cc", "int3")),
            ),
            load=Listing(
                (("48 0f ae 0f", "fxrstor64 ptr [rdi]"), ("cc", "int3")),
            ),
            base="RDI",
        ),
    ),
    auxv={"AT_HWCAP": 0x0783_FBFF, "AT_HWCAP2": 0},
    platform="x86_64",
    descriptors=Descriptors("GDTR", DESCRIPTORS),
    entry=Entry(
        Listing((("48 cf", "iretq"), ("cc", "int3"))),
        2,
        ("pc", USER_CS, EFLAGS, "sp", USER_DS),
    ),
    prctl_registers={"FS": "fs_base", "GS": "gs_base"},
    unsupported=unsupported,
    performed={
        **PERFORMED,
        **random_numbers(
            *(("", 32, _LOW), ("41", 32, _HIGH), ("48", 64, _LOW), ("49", 64, _HIGH)),
            *(("66", 16, _LOW), ("66 41", 16, _HIGH)),
        ),
    },
    chosen={"eflags": CHOSEN_FLAGS},
    privileged=PRIVILEGED,
    budget=Listing(
        (
            ("48 ff 09", "dec qword ptr [rcx]"),
            ("78 01", "js 6"),
            ("c3", "ret"),
            ("ff 61 08", "jmp qword ptr [rcx + 8]"),
        )
    ),
)
