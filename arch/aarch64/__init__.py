"""AArch64, ARM with 64 bits, little-endian."""

from __future__ import annotations

from blcr.architecture import Arch

from .abi import CONSTANTS, LAYOUT
from .registers import REGISTER_SETS, portable_state
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
    name="aarch64",
    elf_machine=183,
    layout=LAYOUT,
    page_size=4096,
    task_size=1 << 48,
    register_sets=REGISTER_SETS,
    pc="pc",
    sp="sp",
    result="x0",
    call_number="x8",
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
    capstone=("CS_ARCH_ARM64", ("CS_MODE_ARM",)),
    gadgets=GADGETS,
    goes_back=True,
    constants=CONSTANTS,
    thread_pointer="tp",
    portable_state=portable_state,
    emulation=f"{__name__}.emulation",
)
