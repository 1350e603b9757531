"""RISC-V, 64-bit, little-endian, with the extensions G and C."""

from __future__ import annotations

from blcr.architecture import Arch

from .abi import LAYOUT, STRUCTURES
from .registers import REGISTER_SETS, portable_state
from .signals import FRAME
from .stubs import STUBS
from .syscalls import (
    ARGS,
    SYSCALLS,
    begin_call,
    call_result,
    interrupt_call,
    interrupted_call,
    rewind_call,
    set_result,
)

ARCH = Arch(
    name="riscv64",
    elf_machine=243,
    layout=LAYOUT,
    page_size=4096,
    # What programs get that do not ask for more, with tables of four levels (Sv48).
    task_size=1 << 47,
    register_sets=REGISTER_SETS,
    pc="pc",
    sp="sp",
    result="a0",
    call_number="a7",
    call_args=ARGS,
    syscalls=SYSCALLS,
    begin_call=begin_call,
    call_result=call_result,
    set_result=set_result,
    interrupted_call=interrupted_call,
    rewind_call=rewind_call,
    interrupt_call=interrupt_call,
    frame=FRAME,
    stubs=STUBS,
    capstone=("CS_ARCH_RISCV", ("CS_MODE_RISCV64", "CS_MODE_RISCVC")),
    structures=STRUCTURES,
    thread_pointer="tp",
    portable_state=portable_state,
    emulation=f"{__name__}.emulation",
)
