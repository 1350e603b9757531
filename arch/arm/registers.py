"""
Register sets.

Source: struct pt_regs, user_vfp and ARM_VFPREGS_SIZE in arch/arm/include; the regsets
in arch/arm64/kernel/ptrace.c, where there is one for the thread pointer (a 32-bit
kernel shows it by PTRACE_GET_THREAD_AREA only); Linux 6.12.
"""

from __future__ import annotations

from blcr.architecture import ReadMemory, Register, Registers, RegisterSet

NT_PRSTATUS = 1
NT_ARM_VFP = 0x400
NT_ARM_TLS = 0x401
PTRACE_GET_THREAD_AREA = 22

THUMB = 0x20
"""T in cpsr: code is Thumb."""
USER_MODE = 0x10
"""The mode in cpsr."""
FLAGS = 0xF800_0000
"""N, Z, C, V and Q in cpsr."""
IF_THEN = 0x0600_FC00
"""The state of an IT block in cpsr."""

_GENERAL = " ".join(f"r{i}" for i in range(13))

USER_REGS = RegisterSet.in_order(
    "gp",
    note_type=NT_PRSTATUS,
    size=72,
    width=4,
    names=f"{_GENERAL} sp lr pc cpsr orig_r0",
)

VFP_REGS = RegisterSet.of(
    "vfp",
    note_type=NT_ARM_VFP,
    size=260,
    registers=[
        *(Register(f"d{i}", 8 * i, 8) for i in range(32)),
        Register("fpscr", 256, 4),
    ],
)

TLS_REGS = RegisterSet.in_order(
    "tls",
    note_type=NT_ARM_TLS,
    size=4,
    width=4,
    names="tp",
    note_owner="LINUX",
    apart=(PTRACE_GET_THREAD_AREA, "set_tls"),
)

REGISTER_SETS = (USER_REGS, VFP_REGS, TLS_REGS)


def kind_of(address: int) -> int:
    """Return T for the address of a function: an odd one is that of Thumb code."""
    return THUMB if address & 1 else 0


def start_function(
    address: int, _base: int, _elf_flags: int, _read: ReadMemory
) -> Registers:
    """Return the registers with which a function begins."""
    return {"pc": address & ~1, "cpsr": USER_MODE | kind_of(address)}
