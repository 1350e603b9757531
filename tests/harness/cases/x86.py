"""
x86.

Sources: syscall(2); <sys/user.h>; Capstone's and Unicorn's constants; signal(7).
"""

from __future__ import annotations

import capstone

from harness import Case, CStruct
from harness.cases.x86_64 import (
    ARITHMETIC_FLAGS,
    AVX,
    LEGACY,
    NT_X86_XSTATE,
    OPEN,
    instruction,
    scramble,
)
from harness.planting import Bank, Planting, named

PLANTING = Planting(
    banks=(
        Bank(
            named(*"eax ebx ecx edx esi edi ebp".split(), prefix="%"),
            4,
            "mov {at}({base}), {r}",
            "mov {r}, {at}({base})",
            frozenset("%ebx %esi %edi %ebp".split()),
        ),
        Bank(
            tuple((f"%xmm{i}", (f"xmm{i}_low", f"xmm{i}_high")) for i in range(8)),
            16,
            "movups {at}({base}), {r}",
            "movups {r}, {at}({base})",
        ),
    ),
    sp="%esp",
    argument="%eax",
    move="mov {of}, {to}",
    save_sp="mov %esp, {at}({base})",
    load_sp="mov {at}({base}), %esp",
    spin="1: decl (%esp); jnz 1b",
    leave="ret",
    enter="mov 4(%esp), %eax",
)


CASE = Case(
    name="x86",
    target="x86-linux-musl",
    machines=frozenset({"x86_64", "i386", "i486", "i586", "i686"}),
    emulator="qemu-i386",
    capstone=(capstone.CS_ARCH_X86, capstone.CS_MODE_32),
    elf_machine=3,
    headers=(),
    call_number="eax",
    call_args=("ebx", "ecx", "edx", "esi", "edi", "ebp"),
    result="eax",
    structs={
        "gp": CStruct(
            "sys/user.h",
            "struct user_regs_struct",
            {name: f"x{name}" for name in ("ds", "es", "fs", "gs", "cs", "ss")},
        ),
        "tls": CStruct(
            "asm/ldt.h",
            "struct { struct user_desc d[3]; }",
            {
                f"{ours}{slot}": f"d[{slot}].{theirs}"
                for slot in range(3)
                for ours, theirs in (
                    ("entry", "entry_number"),
                    ("base", "base_addr"),
                    ("limit", "limit"),
                    # Bit fields have no address.
                    ("flags", "limit) + sizeof(int"),
                )
            },
        ),
    },
    failed={"eax": (1 << 32) - 2},
    returned={"eax": 5},
    interrupted={
        "eip": 0x1002,
        "orig_eax": 7,
        "eax": (1 << 32) - 512,
        "ebx": 1,
        "ecx": 2,
        "edx": 3,
        "esi": 4,
        "edi": 5,
        "ebp": 6,
    },
    old_frames=True,
    return_pop=(4, 8),
    handler_args=("eax", "edx", "ecx"),
    return_address="",
    stack_offset=12,
    free={
        **dict.fromkeys("edi esi ebp esp ebx edx ecx eax".split(), (1 << 32) - 1),
        "eflags": ARITHMETIC_FLAGS,
    },
    scramble=scramble,
    extended={NT_X86_XSTATE: (LEGACY, AVX)},
    forever=bytes.fromhex("eb fe"),
    planting=PLANTING,
    code=instruction,
    open=OPEN,
    # The engine does not note exceptions of SSE in its status flags.
    unfixed="mxcsr",
)
