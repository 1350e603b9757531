"""
System calls made with ``svc``: number in x8, a negative errno or the value in x0.

The kernel goes back to the instruction before a tracer can look at a thread that it has
stopped, and the first argument, which the result has replaced, is in no register set.
So registers never tell of a call that was interrupted.

Source: do_signal in arch/arm64/kernel/signal.c; asm/syscall.h; Linux 6.12.
"""

from __future__ import annotations

from blcr.architecture import InterruptedCall, Registers
from blcr.linux.unistd import GENERIC_CALLS

INSTRUCTION_SIZE = 4
MAX_ERRNO = 4095
ARGS = ("x0", "x1", "x2", "x3", "x4", "x5")
MASK = (1 << 64) - 1

SYSCALLS = {**GENERIC_CALLS, "renameat": 38}


def begin_call(regs: Registers, number: int, args: tuple[int, ...]) -> Registers:
    """Return registers that make the call."""
    values = {name: arg & MASK for name, arg in zip(ARGS, args, strict=False)}
    return {**regs, **values, "x8": number}


def call_result(regs: Registers) -> int:
    """Return the result: a negative errno, or the value, which is not negative."""
    value = regs["x0"]
    return value - MASK - 1 if value > MASK - MAX_ERRNO else value


def set_result(regs: Registers, result: int) -> Registers:
    """Return registers as after a call."""
    return {**regs, "x0": result & MASK}


def interrupted_call(regs: Registers) -> InterruptedCall | None:  # noqa: ARG001
    """Return None: a stopped thread stands before its call, or behind it for good."""
    return None


def rewind_call(regs: Registers, call: InterruptedCall) -> Registers:
    """Return registers about to make the call again."""
    back = {**regs, "pc": regs["pc"] - INSTRUCTION_SIZE}
    return begin_call(back, call.number, call.args)


def interrupt_call(regs: Registers, number: int, error: int) -> Registers:
    """Return registers as a rewound call leaves them that ends with this error."""
    inside = {**regs, "pc": regs["pc"] + INSTRUCTION_SIZE, "x8": number}
    return set_result(inside, -error)
