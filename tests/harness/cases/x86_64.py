"""
x86_64.

Sources: syscall(2); <sys/user.h>; Capstone's and Unicorn's constants; signal(7).
"""

from __future__ import annotations

import capstone

from harness import Case, CStruct

CASE = Case(
    name="x86_64",
    target="x86_64-linux-musl",
    machines=frozenset({"x86_64"}),
    emulator="qemu-x86_64",
    capstone=(capstone.CS_ARCH_X86, capstone.CS_MODE_64),
    elf_machine=62,
    call_number="rax",
    call_args=("rdi", "rsi", "rdx", "r10", "r8", "r9"),
    result="rax",
    structs={
        "gp": CStruct("sys/user.h", "struct user_regs_struct", {}),
        "xstate": CStruct(
            "asm/sigcontext.h",
            "struct _xstate",
            {
                **{name: f"fpstate.{name}" for name in ("cwd", "swd", "twd", "fop")},
                "mxcsr": "fpstate.mxcsr",
                **{
                    f"xmm{i}_{half}": f"fpstate.xmm_space[{4 * i + at}]"
                    for i in range(16)
                    for at, half in ((0, "low"), (2, "high"))
                },
                "xcr0": "fpstate.sw_reserved",
                "xstate_bv": "xstate_hdr.xfeatures",
            },
        ),
    },
    failed={"rax": (1 << 64) - 2},
    returned={"rax": 5},
    interrupted={
        "rip": 0x1002,
        "orig_rax": 7,
        "rax": (1 << 64) - 512,
        "rdi": 1,
        "rsi": 2,
        "rdx": 3,
        "r10": 4,
        "r8": 5,
        "r9": 6,
    },
    old_frames=False,
    return_pop=(8, 8),
)
