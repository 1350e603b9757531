"""PowerPC, 32-bit, big-endian."""

from __future__ import annotations

from blcr.architecture import Arch

from .abi import CONSTANTS, LAYOUT, STRUCTURES
from .registers import REGISTER_SETS
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
    name="ppc",
    elf_machine=20,
    layout=LAYOUT,
    page_size=4096,
    task_size=0xC000_0000,
    register_sets=REGISTER_SETS,
    pc="nip",
    sp="gpr1",
    result="gpr3",
    call_number="gpr0",
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
    capstone=("CS_ARCH_PPC", ("CS_MODE_32", "CS_MODE_BIG_ENDIAN")),
    structures=STRUCTURES,
    constants=CONSTANTS,
    thread_pointer="gpr2",
    emulation=f"{__name__}.emulation",
)
