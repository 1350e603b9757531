"""
ppc64.

Sources: syscall(2); <asm/ptrace.h>; Documentation/arch/powerpc/syscall64-abi.rst;
64-bit ELF V2 ABI specification; Capstone's and Unicorn's constants; Power ISA.
"""

from __future__ import annotations

from random import Random

import capstone

from harness import Case, CStruct
from harness.planting import power_pc

NT_PRFPREG, NT_PPC_VMX, NT_PPC_VSX = 2, 0x100, 0x102
WORD = (1 << 64) - 1


def scramble(note: int, data: bytes, rng: Random) -> bytes:
    """Fill the registers, but not the status words behind them."""
    registers = {NT_PRFPREG: 32 * 8, NT_PPC_VMX: 32 * 16, NT_PPC_VSX: 32 * 8}[note]
    return rng.randbytes(registers) + data[registers:]


CASE = Case(
    name="ppc64",
    target="powerpc64-linux-musl",
    machines=frozenset({"ppc64"}),
    emulator="qemu-ppc64",
    capstone=(capstone.CS_ARCH_PPC, capstone.CS_MODE_64 | capstone.CS_MODE_BIG_ENDIAN),
    elf_machine=21,
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
    old_frames=False,
    return_pop=(128, 128),
    handler_args=("gpr3", "gpr4", "gpr5"),
    return_address="link",
    stack_offset=0,
    forever=bytes.fromhex("48 00 00 00"),
    free={
        **{f"gpr{i}": WORD for i in range(32) if i != 13},  # 13: TLS
        "ctr": WORD,
        "link": WORD,
        "ccr": (1 << 32) - 1,
        "xer": 0xE000_007F,
    },
    # QEMU's linux-user/ppc/signal.c: a smaller gap, and a return that pops nothing but
    # finds the frame beyond the caller's and 16 bytes.
    emulator_lacks=512 - 288,
    emulator_pop=-16,
    bits={"ccr": (1 << 32) - 1, "fpscr": 0},
    scramble=scramble,
    extended={
        NT_PRFPREG: (slice(0, 256),),
        NT_PPC_VMX: (slice(0, 512),),
        NT_PPC_VSX: (slice(0, 256),),
    },
    model=("-cpu", "power9"),
    # Scalar results leave the other half of a VSX register undefined.
    open="^(lxs|xs)",
    # The engine does not note exceptions of VSX in its status flags.
    unfixed=r"vs\d+_low|fpscr",
    planting=power_pc(8, vectors=("high", "low"), vsx=True),
)
