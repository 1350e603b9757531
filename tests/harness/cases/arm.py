"""
arm.

Sources: syscall(2); <asm/ptrace.h>; Procedure Call Standard for the Arm Architecture;
Capstone's and Unicorn's constants.
"""

from __future__ import annotations

from random import Random

import capstone

from harness import Case, CStruct
from harness.planting import Bank, Planting, named

NT_ARM_VFP = 0x400
ALL = (1 << 32) - 1


def scramble(note: int, data: bytes, rng: Random) -> bytes:
    """Fill the registers, but not the status word behind them."""
    assert note == NT_ARM_VFP
    return rng.randbytes(32 * 8) + data[32 * 8 :]


PLANTING = Planting(
    banks=(
        Bank(
            named(*(f"r{i}" for i in range(12)), "lr"),
            4,
            "ldr {r}, [{base}, #{at}]",
            "str {r}, [{base}, #{at}]",
            frozenset({"lr", *(f"r{i}" for i in range(4, 12))}),
        ),
        Bank(
            named(*(f"d{i}" for i in range(32))),
            8,
            "vldr {r}, [{base}, #{at}]",
            "vstr {r}, [{base}, #{at}]",
            frozenset(f"d{i}" for i in range(8, 16)),
        ),
    ),
    sp="sp",
    argument="r0",
    move="mov {to}, {of}",
    save_sp="str sp, [{base}, #{at}]",
    load_sp="ldr sp, [{base}, #{at}]",
    spin="1: ldr r12, [sp]; subs r12, r12, #1; str r12, [sp]; bne 1b",
    leave="bx lr",
    enter=".arm; .fpu neon",
)


CASE = Case(
    name="arm",
    target="arm-linux-musleabihf",
    machines=frozenset({"armv7l", "armv8l"}),
    emulator="qemu-arm",
    capstone=(capstone.CS_ARCH_ARM, capstone.CS_MODE_ARM),
    elf_machine=40,
    headers=(),
    call_number="r7",
    call_args=("r0", "r1", "r2", "r3", "r4", "r5"),
    result="r0",
    structs={
        "gp": CStruct(
            "asm/ptrace.h",
            "struct pt_regs",
            {
                **{f"r{i}": f"ARM_r{i}" for i in range(11)},
                "r11": "ARM_fp",
                "r12": "ARM_ip",
                **{name: f"ARM_{name}" for name in ("sp", "lr", "pc", "cpsr")},
                "orig_r0": "ARM_ORIG_r0",
            },
        ),
    },
    failed={"r0": (1 << 32) - 2},
    returned={"r0": 5},
    interrupted={
        "pc": 0x1004,
        "cpsr": 0x10,
        "r7": 7,
        "orig_r0": 1,
        "r0": (1 << 32) - 512,
        "r1": 2,
        "r2": 3,
        "r3": 4,
        "r4": 5,
        "r5": 6,
    },
    old_frames=True,
    return_pop=(0, 0),
    handler_args=("r0", "r1", "r2"),
    return_address="lr",
    stack_offset=0,
    free={
        **{f"r{i}": ALL for i in range(13)},
        "sp": ALL,
        "lr": ALL,
        "cpsr": 0xF80F_0000,  # N, Z, C, V, Q and GE
    },
    scramble=scramble,
    extended={NT_ARM_VFP: (slice(0, 256),)},
    forever=bytes.fromhex("fe ff ff ea"),
    # Without length and stride of vectors, and what only older CPUs have.
    bits={"fpscr": 0xFFC0_009F},
    # Unpredictable in most places.
    open=r"\bpc\b",
    planting=PLANTING,
)
