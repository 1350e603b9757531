"""PowerPC, 32-bit, big-endian."""

from __future__ import annotations

from blcr.architecture import Arch

from .abi import CONSTANTS, LAYOUT, STRUCTURES
from .registers import REGISTER_SETS
from .signals import FRAME, RETURNS
from .stubs import gadgets, stubs
from .syscalls import ARGS, CONVENTION, SYSCALLS

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
    begin_call=CONVENTION.begin_call,
    call_result=CONVENTION.call_result,
    set_result=CONVENTION.set_result,
    interrupted_call=CONVENTION.interrupted_call,
    rewind_call=CONVENTION.rewind_call,
    interrupt_call=CONVENTION.interrupt_call,
    frame=FRAME,
    stubs=stubs(LAYOUT, *RETURNS),
    capstone=("CS_ARCH_PPC", ("CS_MODE_32", "CS_MODE_BIG_ENDIAN")),
    gadgets=gadgets(LAYOUT, RETURNS[0]),
    structures=STRUCTURES,
    constants=CONSTANTS,
    thread_pointer="gpr2",
    emulation=f"{__name__}.emulation",
)
