"""
ppc.

Sources: syscall(2); <asm/ptrace.h>; Capstone's and Unicorn's constants; Power ISA.
"""

from __future__ import annotations

import capstone

from harness import Case, CStruct

CASE = Case(
    name="ppc",
    target="powerpc-linux-musleabihf",
    machines=frozenset({"ppc"}),
    emulator="qemu-ppc",
    capstone=(capstone.CS_ARCH_PPC, capstone.CS_MODE_32 | capstone.CS_MODE_BIG_ENDIAN),
    elf_machine=20,
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
)
