"""
Register sets of 32-bit processes.

Source: struct user_regs_struct, arch/x86/include/asm/user_32.h; struct user_desc,
arch/x86/include/uapi/asm/ldt.h; Linux 6.12.
"""

from __future__ import annotations

from blcr.architecture import Register, RegisterSet

from .xstate import XSTATE

NT_PRSTATUS = 1
NT_386_TLS = 0x200

RESUME_FLAG = 1 << 16

USER_REGS = RegisterSet.in_order(
    "gp",
    note_type=NT_PRSTATUS,
    size=68,
    width=4,
    names="""
        ebx ecx edx esi edi ebp eax
        ds es fs gs
        orig_eax eip cs eflags esp ss
    """,
    volatile={"eflags": RESUME_FLAG},
)

# The three descriptors of set_thread_area(2), in which gs usually finds the TLS.
TLS = RegisterSet.of(
    "tls",
    note_type=NT_386_TLS,
    size=48,
    registers=[
        Register(f"{field}{slot}", 16 * slot + 4 * place, 4)
        for slot in range(3)
        for place, field in enumerate(("entry", "base", "limit", "flags"))
    ],
)

REGISTER_SETS = (USER_REGS, XSTATE, TLS)
