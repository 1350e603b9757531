"""
Register sets.

Source: struct user_pt_regs, arch/powerpc/include/uapi/asm/ptrace.h; elf.h there;
arch/powerpc/kernel/ptrace/ptrace-{view,vsx,tm}.c; Linux 6.12.
"""

from __future__ import annotations

from collections.abc import Mapping

from blcr.architecture import RegisterSet

from ..ppc.registers import (
    MSR_UNITS,
    NT_PRSTATUS,
    PT_REGS,
    ByteOrder,
    fp_registers,
    vmx_registers,
)

NT_PPC_VSX, NT_PPC_TAR, NT_PPC_PPR, NT_PPC_DSCR = 0x102, 0x103, 0x104, 0x105
NT_PPC_EBB, NT_PPC_PMU = 0x106, 0x107

# mq's place is softe's, which is the kernel's own; the last fault, too.
_GENERAL = " ".join(row.name for row in PT_REGS.registers).replace("mq", "softe")
_KERNEL_S = "softe dar dsisr result siar sdar sier mmcr2 mmcr0"
_VOLATILE = {"msr": MSR_UNITS} | dict.fromkeys(_KERNEL_S.split(), (1 << 64) - 1)

# The low halves of the VSX registers of which the high ones are the floating-point
# registers, and sets of few.
_OTHERS = {
    NT_PPC_VSX: ("vsx", " ".join(f"vs{i}_low" for i in range(32))),
    NT_PPC_TAR: ("tar", "tar"),
    NT_PPC_PPR: ("ppr", "ppr"),
    NT_PPC_DSCR: ("dscr", "dscr"),
    NT_PPC_EBB: ("ebb", "ebbrr ebbhr bescr"),
    NT_PPC_PMU: ("pmu", "siar sdar sier mmcr2 mmcr0"),
}


def register_sets(byteorder: ByteOrder) -> tuple[RegisterSet, ...]:
    """Return the register sets of a byte order."""

    def doublewords(kind: int, name: str, names: str, owner: str) -> RegisterSet:
        return RegisterSet.in_order(
            name,
            note_type=kind,
            note_owner=owner,
            # Of the general set the last four are unused.
            size=384 if kind == NT_PRSTATUS else 8 * len(names.split()),
            width=8,
            names=names,
            byteorder=byteorder,
            volatile={k: v for k, v in _VOLATILE.items() if k in names.split()},
        )

    return (
        doublewords(NT_PRSTATUS, "gp", _GENERAL, "CORE"),
        fp_registers(byteorder),
        vmx_registers(byteorder),
        *(doublewords(kind, *rows, "LINUX") for kind, rows in _OTHERS.items()),
    )


def portable_state(sets: Mapping[int, bytes]) -> tuple[str, ...]:
    """Return what is in use of that no engine has."""
    lacking = {NT_PPC_DSCR: "the data stream control register"}
    lacking[NT_PPC_EBB] = "event-based branches"
    return tuple(name for kind, name in lacking.items() if any(sets.get(kind, b"")))
