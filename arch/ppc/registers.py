"""
Register sets.

Source: struct pt_regs, arch/powerpc/include/uapi/asm/ptrace.h; elf_gregset_t in elf.h
there; Linux 6.12.
"""

from __future__ import annotations

from blcr.annotations import Literal
from blcr.architecture import Register, RegisterSet

ByteOrder = Literal["little", "big"]

NT_PRSTATUS, NT_FPREGSET, NT_PPC_VMX = 1, 2, 0x100

# Whether the thread has used the floating-point, vector and VSX units, and the
# floating-point exception mode: the kernel's own business, it ignores what is written.
MSR_UNITS = 0x0280_2900

GPRS = " ".join(f"gpr{i}" for i in range(32))
FPRS = " ".join(f"fpr{i}" for i in range(32))

PT_REGS = RegisterSet.in_order(
    "gp",
    note_type=NT_PRSTATUS,
    size=192,  # 48 words, the last four unused
    width=4,
    names=f"{GPRS} nip msr orig_gpr3 ctr link xer ccr mq trap dar dsisr result",
    byteorder="big",
    # The last fault; the kernel has no way to set them.
    volatile={
        "msr": MSR_UNITS,
        **dict.fromkeys(("mq", "dar", "dsisr", "result"), 0xFFFF_FFFF),
    },
)


def fp_registers(byteorder: ByteOrder) -> RegisterSet:
    """Return the floating-point registers, the same with all word sizes."""
    names = f"{FPRS} fpscr"
    return RegisterSet.in_order(
        "fp", note_type=NT_FPREGSET, size=264, width=8, names=names, byteorder=byteorder
    )


def vmx_registers(byteorder: ByteOrder) -> RegisterSet:
    """
    Return the vector registers, as ``stvx`` stores them.

    After 32 quadwords vscr is the least significant word of one, and vrsave the first
    word of another.
    """
    halves = ("high", "low") if byteorder == "big" else ("low", "high")
    rows = [
        Register(f"vr{i}_{half}", 16 * i + 8 * place, 8)
        for i in range(32)
        for place, half in enumerate(halves)
    ]
    vscr = Register("vscr", 524 if byteorder == "big" else 512, 4)
    rows += [vscr, Register("vrsave", 528, 4)]
    return RegisterSet.of(
        "vmx", note_type=NT_PPC_VMX, size=544, registers=rows, byteorder=byteorder
    )


REGISTER_SETS = (PT_REGS, fp_registers("big"), vmx_registers("big"))
