"""
riscv64.

Sources: syscall(2); <asm/ptrace.h>; RISC-V psABI; Capstone's and Unicorn's constants.
"""

from __future__ import annotations

from random import Random

import capstone

from harness import Case, CStruct
from harness.planting import Bank, Planting, named

NT_PRFPREG, NT_RISCV_VECTOR = 2, 0x901
ALL = (1 << 64) - 1
FREE = """
    ra t0 t1 t2 s0 s1 a0 a1 a2 a3 a4 a5 a6 a7
    s2 s3 s4 s5 s6 s7 s8 s9 s10 s11 t3 t4 t5 t6
"""


def scramble(note: int, data: bytes, rng: Random) -> bytes:
    """Fill the floating-point registers, and leave the vector ones alone."""
    if note == NT_RISCV_VECTOR:
        return data
    assert note == NT_PRFPREG
    return rng.randbytes(32 * 8) + data[32 * 8 :]


KEPT = "s0 s1 s2 s3 s4 s5 s6 s7 s8 s9 s10 s11"
PLANTING = Planting(
    banks=(
        Bank(
            named(*FREE.replace("t0", "gp tp").split()),
            8,
            "ld {r}, {at}({base})",
            "sd {r}, {at}({base})",
            frozenset({"ra", "gp", "tp", *KEPT.split()}),
        ),
        Bank(
            named(*(f"f{i}" for i in range(32))),
            8,
            "fld {r}, {at}({base})",
            "fsd {r}, {at}({base})",
            frozenset(f"f{i}" for i in (8, 9, *range(18, 28))),
        ),
    ),
    sp="sp",
    argument="a0",
    move="mv {to}, {of}",
    save_sp="sd sp, {at}({base})",
    load_sp="ld sp, {at}({base})",
    spin="1: ld t0, 0(sp); addi t0, t0, -1; sd t0, 0(sp); bnez t0, 1b",
    leave="ret",
)


CASE = Case(
    name="riscv64",
    target="riscv64-linux-musl",
    machines=frozenset({"riscv64"}),
    emulator="qemu-riscv64",
    capstone=(
        capstone.CS_ARCH_RISCV,
        capstone.CS_MODE_RISCV64 | capstone.CS_MODE_RISCVC,
    ),
    elf_machine=243,
    headers=(),
    call_number="a7",
    call_args=("a0", "a1", "a2", "a3", "a4", "a5"),
    result="a0",
    structs={
        "gp": CStruct("asm/ptrace.h", "struct user_regs_struct", {}),
        "fp": CStruct(
            "asm/ptrace.h",
            "struct __riscv_d_ext_state",
            {f"f{i}": f"f[{i}]" for i in range(32)},
        ),
        "vector": CStruct("asm/ptrace.h", "struct __riscv_v_regset_state", {}),
    },
    failed={"a0": ALL - 1},
    returned={"a0": 5},
    interrupted={
        "pc": 0x1004,
        "a7": 7,
        "a0": (1 << 64) - 512,
        "a1": 2,
        "a2": 3,
        "a3": 4,
        "a4": 5,
        "a5": 6,
    },
    old_frames=False,
    return_pop=(0, 0),
    handler_args=("a0", "a1", "a2"),
    return_address="ra",
    stack_offset=0,
    free=dict.fromkeys(FREE.split(), ALL),
    scramble=scramble,
    extended={NT_PRFPREG: (slice(0, 256),)},
    forever=bytes.fromhex("6f 00 00 00"),
    # Quadruple precision, linux-user/riscv/signal.c.
    emulator_lacks=256,
    bits={"fcsr": 0xFF},
    shows_interrupted=False,
    model=(),
    # Counters, and what the debugger cannot see of a trap.
    open=r"^(rd|csr|.*\.?ebreak)",
    planting=PLANTING,
)
