"""x86, also called IA-32 or i386: 32-bit, little-endian."""

from __future__ import annotations

from blcr.architecture import Arch

from .abi import CONSTANTS, CPU_LEVELS, LAYOUT, STRUCTURES
from .registers import REGISTER_SETS
from .signals import FRAME
from .stubs import GADGETS, STUBS
from .syscalls import CONVENTION, SYSCALLS
from .xstate import portable_state

ARCH = Arch(
    name="x86",
    elf_machine=3,
    layout=LAYOUT,
    page_size=4096,
    task_size=0xFFFF_E000,  # on a 64-bit kernel; a 32-bit one ends at 3 GiB
    register_sets=REGISTER_SETS,
    pc=CONVENTION.pc,
    sp="esp",
    result=CONVENTION.result,
    call_number="eax",
    call_args=CONVENTION.args,
    syscalls=SYSCALLS,
    begin_call=CONVENTION.begin_call,
    call_result=CONVENTION.call_result,
    set_result=CONVENTION.set_result,
    interrupted_call=CONVENTION.interrupted_call,
    rewind_call=CONVENTION.rewind_call,
    interrupt_call=CONVENTION.interrupt_call,
    frame=FRAME,
    stubs=STUBS,
    capstone=("CS_ARCH_X86", ("CS_MODE_32",)),
    gadgets=GADGETS,
    redirect_call=CONVENTION.redirect_call,
    structures=STRUCTURES,
    constants=CONSTANTS,
    portable_state=portable_state,
    cpu_levels=CPU_LEVELS,
    emulation=f"{__name__}.emulation",
)
