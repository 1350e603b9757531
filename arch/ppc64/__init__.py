"""
PowerPC, 64-bit, big-endian.

Programs follow one of two conventions, told by the flags of the ELF header: in ELFv1
(glibc) the address of a function is that of a descriptor, in ELFv2 (musl) its own.
"""

from __future__ import annotations

from blcr.architecture import Arch

from ..ppc import ARCH as OF_32_BITS
from ..ppc.stubs import gadgets, stubs
from .abi import LAYOUT, STRUCTURES, TASK_SIZE
from .registers import portable_state, register_sets
from .signals import frame, return_code, start_function
from .syscalls import CONVENTION, SYSCALLS

ARCH: Arch = OF_32_BITS._replace(
    name="ppc64",
    elf_machine=21,
    layout=LAYOUT,
    task_size=TASK_SIZE,
    register_sets=register_sets("big"),
    syscalls=SYSCALLS,
    begin_call=CONVENTION.begin_call,
    call_result=CONVENTION.call_result,
    set_result=CONVENTION.set_result,
    interrupted_call=CONVENTION.interrupted_call,
    rewind_call=CONVENTION.rewind_call,
    interrupt_call=CONVENTION.interrupt_call,
    frame=frame("big"),
    stubs=stubs(LAYOUT, return_code("big")),
    capstone=("CS_ARCH_PPC", ("CS_MODE_64", "CS_MODE_BIG_ENDIAN")),
    gadgets=gadgets(LAYOUT, return_code("big")),
    structures=STRUCTURES,
    thread_pointer="gpr13",
    portable_state=portable_state,
    start_function=start_function,
    emulation=f"{__name__}.emulation",
)
