"""
Register sets.

The vector registers are described, so that they are saved where a thread has used them:
as long as they are not, the kernel has no such set to show.  A call leaves nothing in
them.

Source: struct user_regs_struct, __riscv_d_ext_state and __riscv_v_regset_state,
arch/riscv/include/uapi/asm/ptrace.h; the regset tables in kernel/ptrace.c; Linux 6.12.
"""

from __future__ import annotations

from collections.abc import Mapping

from blcr.architecture import Register, RegisterSet

NT_PRSTATUS = 1
NT_PRFPREG = 2
NT_RISCV_VECTOR = 0x901

USER_REGS = RegisterSet.in_order(
    "gp",
    note_type=NT_PRSTATUS,
    size=256,
    width=8,
    names="""
        pc ra sp gp tp t0 t1 t2 s0 s1 a0 a1 a2 a3 a4 a5 a6 a7
        s2 s3 s4 s5 s6 s7 s8 s9 s10 s11 t3 t4 t5 t6
    """,
)

FP_REGS = RegisterSet.of(
    "fp",
    note_type=NT_PRFPREG,
    note_owner="CORE",
    size=264,
    registers=[
        *(Register(f"f{i}", 8 * i, 8) for i in range(32)),
        Register("fcsr", 256, 4),
    ],
)

# 32 registers of vlenb bytes each follow; machines differ in that.
VECTOR_REGS = RegisterSet.of(
    "vector",
    note_type=NT_RISCV_VECTOR,
    size=None,
    registers=[
        Register(name, 8 * i, 8)
        for i, name in enumerate("vstart vl vtype vcsr vlenb".split())
    ],
)

REGISTER_SETS = (USER_REGS, FP_REGS, VECTOR_REGS)


def portable_state(sets: Mapping[int, bytes]) -> tuple[str, ...]:
    """Return what the register sets have in use beyond the extensions G and C."""
    return ("vector registers",) if NT_RISCV_VECTOR in sets else ()
