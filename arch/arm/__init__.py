"""ARM, 32-bit, little-endian, EABI; programs may mix ARM and Thumb code."""

from __future__ import annotations

from blcr.architecture import Arch

from .abi import CONSTANTS, LAYOUT, STRUCTURES
from .registers import REGISTER_SETS, start_function
from .signals import FRAME
from .stubs import GADGETS, STUBS
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
    name="arm",
    elf_machine=40,
    layout=LAYOUT,
    page_size=4096,
    task_size=0xFFFF_0000,  # on a 64-bit kernel; a 32-bit one ends below 3 GiB
    register_sets=REGISTER_SETS,
    pc="pc",
    sp="sp",
    result="r0",
    call_number="r7",
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
    capstone=("CS_ARCH_ARM", ("CS_MODE_ARM",)),
    gadgets=GADGETS,
    goes_back=True,
    structures=STRUCTURES,
    constants=CONSTANTS,
    thread_pointer="tp",
    start_function=start_function,
    emulation=f"{__name__}.emulation",
)
