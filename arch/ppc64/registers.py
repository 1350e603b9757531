"""
Register sets.

Source: struct user_pt_regs, arch/powerpc/include/uapi/asm/ptrace.h; elf.h there;
arch/powerpc/kernel/ptrace/ptrace-{view,vsx,tm}.c; Linux 6.12.
"""

from __future__ import annotations

from collections.abc import Mapping

from blcr.architecture import RegisterSet

from ..ppc.registers import (
    GPRS,
    MSR_UNITS,
    NT_PRSTATUS,
    ByteOrder,
    fp_registers,
    vmx_registers,
)

NT_PPC_VSX, NT_PPC_TAR, NT_PPC_PPR, NT_PPC_DSCR = 0x102, 0x103, 0x104, 0x105
NT_PPC_EBB, NT_PPC_PMU = 0x106, 0x107

ALL = 0xFFFF_FFFF_FFFF_FFFF

# Beside the low halves of the first 32 VSX registers, the high ones of which are the
# floating-point registers, sets of a few 64-bit registers.
_OTHERS = {
    NT_PPC_VSX: ("vsx", " ".join(f"vs{i}_low" for i in range(32))),
    NT_PPC_TAR: ("tar", "tar"),
    NT_PPC_PPR: ("ppr", "ppr"),
    NT_PPC_DSCR: ("dscr", "dscr"),
    NT_PPC_EBB: ("ebb", "ebbrr ebbhr bescr"),
    NT_PPC_PMU: ("pmu", "siar sdar sier mmcr2 mmcr0"),
}


def _general(byteorder: ByteOrder) -> RegisterSet:
    return RegisterSet.in_order(
        "gp",
        note_type=NT_PRSTATUS,
        size=384,  # 48 words, the last four unused
        width=8,
        names=f"{GPRS} nip msr orig_gpr3 ctr link xer ccr softe trap dar dsisr result",
        byteorder=byteorder,
        # softe is the kernel's own; the last fault, too.
        volatile={
            "msr": MSR_UNITS,
            **dict.fromkeys(("softe", "dar", "dsisr", "result"), ALL),
        },
    )


def register_sets(byteorder: ByteOrder) -> tuple[RegisterSet, ...]:
    """Return the register sets of a byte order."""
    return (
        _general(byteorder),
        fp_registers(byteorder),
        vmx_registers(byteorder),
        *(
            RegisterSet.in_order(
                name,
                note_type=note_type,
                note_owner="LINUX",
                size=8 * len(names.split()),
                width=8,
                names=names,
                byteorder=byteorder,
                # What the performance monitor counts goes on by itself.
                volatile=dict.fromkeys(names.split(), ALL) if name == "pmu" else {},
            )
            for note_type, (name, names) in _OTHERS.items()
        ),
    )


def portable_state(sets: Mapping[int, bytes]) -> tuple[str, ...]:
    """Return what is in use of that no engine has."""
    lacking = {NT_PPC_DSCR: "the data stream control register"}
    lacking[NT_PPC_EBB] = "event-based branches"
    return tuple(name for kind, name in lacking.items() if any(sets.get(kind, b"")))
