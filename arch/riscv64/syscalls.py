"""
System calls made with ``ecall``: number in a7, a negative errno or the value in a0.

The kernel rewinds an interrupted call before anybody can see the thread stopped, and
what the first argument was is in no register set until then: so registers alone never
tell that a thread is in a call.

Source: arch_do_signal_or_restart in arch/riscv/kernel/signal.c, syscall.h and
uapi/asm/unistd.h there; Linux 6.12.
"""

from __future__ import annotations

from blcr.architecture import InterruptedCall, Registers
from blcr.linux.unistd import GENERIC_CALLS

INSTRUCTION_SIZE = 4
MAX_ERRNO = 4095
ARGS = ("a0", "a1", "a2", "a3", "a4", "a5")
MASK = (1 << 64) - 1

SYSCALLS = {**GENERIC_CALLS, "riscv_hwprobe": 258, "riscv_flush_icache": 259}


def begin_call(regs: Registers, number: int, args: tuple[int, ...]) -> Registers:
    """Return registers that make the call."""
    values = {name: arg & MASK for name, arg in zip(ARGS, args, strict=False)}
    return {**regs, **values, "a7": number}


def call_result(regs: Registers) -> int:
    """Return the result: a negative errno, or the value."""
    value = regs["a0"]
    return value - (1 << 64) if value >= (1 << 64) - MAX_ERRNO else value


def set_result(regs: Registers, result: int) -> Registers:
    """Return registers as after a call."""
    return {**regs, "a0": result & MASK}


def interrupted_call(regs: Registers) -> InterruptedCall | None:  # noqa: ARG001
    """Return None: a stopped thread stands before its call, or behind it for good."""
    return None


def rewind_call(regs: Registers, call: InterruptedCall) -> Registers:
    """Return registers about to make the call again."""
    back = {**regs, "pc": regs["pc"] - INSTRUCTION_SIZE}
    return begin_call(back, call.number, call.args)


def interrupt_call(regs: Registers, number: int, error: int) -> Registers:
    """Return registers as the kernel has them before it resumes a rewound call."""
    inside = {**regs, "pc": regs["pc"] + INSTRUCTION_SIZE, "a7": number}
    return set_result(inside, -error)
