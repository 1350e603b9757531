"""
aarch64.

Sources: syscall(2); <asm/ptrace.h>; Procedure Call Standard for the Arm 64-bit
Architecture; Capstone's and Unicorn's constants.
"""

from __future__ import annotations

from random import Random

import capstone

from harness import Case, CStruct
from harness.planting import Bank, Planting, named

NT_PRFPREG, NT_ARM_SVE = 2, 0x405
ALL = (1 << 64) - 1


def scramble(note: int, data: bytes, rng: Random) -> bytes:
    """Fill the registers, but not the status words behind them, nor scalable ones."""
    if note == NT_ARM_SVE:
        return b""
    assert note == NT_PRFPREG
    return rng.randbytes(32 * 16) + data[32 * 16 :]


PLANTING = Planting(
    banks=(
        Bank(
            named(*(f"x{i}" for i in range(31) if i != 16)),
            8,
            "ldr {r}, [{base}, #{at}]",
            "str {r}, [{base}, #{at}]",
            frozenset(f"x{i}" for i in (18, *range(19, 31))),
        ),
        Bank(
            tuple((f"q{i}", (f"v{i}_low", f"v{i}_high")) for i in range(32)),
            16,
            "ldr {r}, [{base}, #{at}]",
            "str {r}, [{base}, #{at}]",
            frozenset(f"q{i}" for i in range(8, 16)),
        ),
    ),
    sp="sp",
    argument="x0",
    move="mov {to}, {of}",
    save_sp="mov x16, sp; str x16, [{base}, #{at}]",
    load_sp="ldr x16, [{base}, #{at}]; mov sp, x16",
    spin="1: ldr x16, [sp]; subs x16, x16, #1; str x16, [sp]; b.ne 1b",
    leave="ret",
)


CASE = Case(
    name="aarch64",
    target="aarch64-linux-musl",
    machines=frozenset({"aarch64"}),
    emulator="qemu-aarch64",
    capstone=(capstone.CS_ARCH_ARM64, capstone.CS_MODE_ARM),
    elf_machine=183,
    headers=(),
    call_number="x8",
    call_args=("x0", "x1", "x2", "x3", "x4", "x5"),
    result="x0",
    structs={
        "gp": CStruct(
            "asm/ptrace.h",
            "struct user_pt_regs",
            {f"x{i}": f"regs[{i}]" for i in range(31)},
        ),
        "fp": CStruct(
            "asm/ptrace.h",
            "struct user_fpsimd_state",
            {
                f"v{i}_{half}": f"vregs[{i}]) + ({8 * place}"
                for i in range(32)
                for place, half in enumerate(("low", "high"))
            },
        ),
    },
    failed={"x0": ALL - 1},
    returned={"x0": 5},
    interrupted={
        "pc": 0x1004,
        "x8": 7,
        "x0": (1 << 64) - 512,
        "x1": 2,
        "x2": 3,
        "x3": 4,
        "x4": 5,
        "x5": 6,
    },
    old_frames=False,
    return_pop=(0, 0),
    handler_args=("x0", "x1", "x2"),
    return_address="x30",
    stack_offset=0,
    free={
        **{f"x{i}": ALL for i in range(31)},
        "sp": ALL,
        "pstate": 0xF000_0000,  # N, Z, C and V
    },
    scramble=scramble,
    extended={NT_PRFPREG: (slice(0, 512),)},
    forever=bytes.fromhex("00 00 00 14"),
    bits={"pstate": 0xF000_0000, "fpsr": 0x0800_009F, "fpcr": 0x07F7_0000},
    shows_interrupted=False,
    planting=PLANTING,
)
