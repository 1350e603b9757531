"""
ppc.

Sources: syscall(2); <asm/ptrace.h>; Capstone's and Unicorn's constants; Power ISA.
"""

from __future__ import annotations

from random import Random

import capstone

from harness import Case, CStruct
from harness.planting import power_pc

NT_PRFPREG = 2


def scramble(note: int, data: bytes, rng: Random) -> bytes:
    """Fill the registers, but not the status word behind them."""
    assert note == NT_PRFPREG
    return rng.randbytes(32 * 8) + data[32 * 8 :]


CASE = Case(
    name="ppc",
    target="powerpc-linux-musleabihf",
    machines=frozenset({"ppc"}),
    emulator="qemu-ppc",
    capstone=(capstone.CS_ARCH_PPC, capstone.CS_MODE_32 | capstone.CS_MODE_BIG_ENDIAN),
    elf_machine=20,
    headers=(),
    call_number="gpr0",
    call_args=("gpr3", "gpr4", "gpr5", "gpr6", "gpr7", "gpr8"),
    result="gpr3",
    structs={
        "gp": CStruct(
            "asm/ptrace.h",
            "struct pt_regs",
            {f"gpr{i}": f"gpr[{i}]" for i in range(32)},
        ),
    },
    failed={"gpr3": 2, "ccr": 0x1000_0000},
    returned={"gpr3": 5, "ccr": 0},
    interrupted={
        "nip": 0x1004,
        "gpr0": 7,
        "orig_gpr3": 1,
        "gpr3": 512,
        "gpr4": 2,
        "gpr5": 3,
        "gpr6": 4,
        "gpr7": 5,
        "gpr8": 6,
        "ccr": 0x1000_0000,
        "trap": 0xC00,
    },
    old_frames=True,
    return_pop=(0, 0),
    handler_args=("gpr3", "gpr4", "gpr5"),
    return_address="link",
    stack_offset=0,
    free={
        **{f"gpr{i}": (1 << 32) - 1 for i in range(32) if i != 2},  # 2: TLS
        "ctr": (1 << 32) - 1,
        "link": (1 << 32) - 1,
        "ccr": (1 << 32) - 1,
        "xer": 0xE000_007F,
    },
    scramble=scramble,
    # The vector registers are in qemu's frames, but not marked as the kernel does it.
    extended={NT_PRFPREG: (slice(0, 256),)},
    # Some of its bits are the sum of others.
    bits={"fpscr": 0},
    forever=bytes.fromhex("48 00 00 00"),
    # The engine's, with AltiVec.
    model=("-cpu", "7457a_v1.2"),
    planting=power_pc(4, vectors=("high", "low"), vsx=False),
)
