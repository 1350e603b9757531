"""
Register sets.

Source: struct user_regs_struct, arch/x86/include/asm/user_64.h in Linux 6.12.
"""

from __future__ import annotations

from blcr.architecture import RegisterSet

from ..x86.registers import NT_PRSTATUS, RESUME_FLAG
from ..x86.xstate import XSTATE

USER_REGS = RegisterSet.in_order(
    "gp",
    note_type=NT_PRSTATUS,
    size=216,
    width=8,
    names="""
        r15 r14 r13 r12 rbp rbx r11 r10
        r9 r8 rax rcx rdx rsi rdi orig_rax
        rip cs eflags rsp ss fs_base gs_base
        ds es fs gs
    """,
    volatile={"eflags": RESUME_FLAG},
)

REGISTER_SETS = (USER_REGS, XSTATE)
