"""x86-64, also called amd64: long mode, little-endian."""

from __future__ import annotations

from blcr.architecture import Arch

from ..x86.xstate import portable_state
from .abi import CONSTANTS, CPU_LEVELS, LAYOUT, STRUCTURES
from .registers import REGISTER_SETS
from .signals import FRAME
from .stubs import GADGETS, STUBS
from .syscalls import CONVENTION, SYSCALLS, set_result

ARCH = Arch(
    name="x86_64",
    elf_machine=62,
    layout=LAYOUT,
    page_size=4096,
    task_size=0x7FFF_FFFF_F000,
    register_sets=REGISTER_SETS,
    pc=CONVENTION.pc,
    sp="rsp",
    result=CONVENTION.result,
    call_number="rax",
    call_args=CONVENTION.args,
    syscalls=SYSCALLS,
    begin_call=CONVENTION.begin_call,
    call_result=CONVENTION.call_result,
    set_result=set_result,
    interrupted_call=CONVENTION.interrupted_call,
    rewind_call=CONVENTION.rewind_call,
    interrupt_call=CONVENTION.interrupt_call,
    frame=FRAME,
    stubs=STUBS,
    capstone=("CS_ARCH_X86", ("CS_MODE_64",)),
    gadgets=GADGETS,
    redirect_call=CONVENTION.redirect_call,
    structures=STRUCTURES,
    constants=CONSTANTS,
    thread_pointer="fs_base",
    portable_state=portable_state,
    cpu_levels=CPU_LEVELS,
    emulation=f"{__name__}.emulation",
)
