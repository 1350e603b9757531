"""
Register sets.

Source: struct pt_regs, arch/powerpc/include/uapi/asm/ptrace.h; elf_gregset_t in elf.h
there; Linux 6.12.
"""

from __future__ import annotations

from blcr.architecture import Register, RegisterSet

NT_PRSTATUS = 1
NT_FPREGSET = 2
NT_PPC_VMX = 0x100

ALL = 0xFFFF_FFFF
# Whether the thread has used the floating-point, vector and VSX units, and the
# floating-point exception mode: the kernel's own business, it ignores what is written.
MSR_UNITS = 0x0280_2900

_GPRS = " ".join(f"gpr{i}" for i in range(32))

PT_REGS = RegisterSet.in_order(
    "gp",
    note_type=NT_PRSTATUS,
    size=192,  # 48 words, the last four unused
    width=4,
    names=f"{_GPRS} nip msr orig_gpr3 ctr link xer ccr mq trap dar dsisr result",
    byteorder="big",
    # The last fault; the kernel has no way to set them.
    volatile={"msr": MSR_UNITS, "mq": ALL, "dar": ALL, "dsisr": ALL, "result": ALL},
)

FP_REGS = RegisterSet.in_order(
    "fp",
    note_type=NT_FPREGSET,
    size=264,
    width=8,
    names=" ".join(f"fpr{i}" for i in range(32)) + " fpscr",
    byteorder="big",
)

# 32 quadwords, then vscr in the last word of one and vrsave in the first of another.
VMX_REGS = RegisterSet.of(
    "vmx",
    note_type=NT_PPC_VMX,
    size=544,
    registers=[
        *(
            Register(f"vr{i}_{half}", 16 * i + 8 * place, 8)
            for i in range(32)
            for place, half in enumerate(("high", "low"))
        ),
        Register("vscr", 524, 4),
        Register("vrsave", 528, 4),
    ],
    byteorder="big",
)

REGISTER_SETS = (PT_REGS, FP_REGS, VMX_REGS)
