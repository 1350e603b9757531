"""
The signal frame: a return address, the ucontext, the siginfo, the XSAVE image.

Source: arch/x86/kernel/signal_64.c, get_sigframe in signal.c; struct rt_sigframe in
asm/sigframe.h; uapi/asm/sigcontext.h and ucontext.h; Linux 6.12.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping

from blcr.architecture import (
    AlternateStack,
    Frame,
    FrameRequest,
    ReadMemory,
    Restored,
    SignalFrame,
)

from ..x86.registers import NT_PRSTATUS
from ..x86.signals import CLEARED_FLAGS, RESTORED_FLAGS, UC_FP_XSTATE
from ..x86.xstate import NT_X86_XSTATE, from_frame, to_frame
from .registers import USER_REGS

USER_CS = 0x33
UC_SIGCONTEXT_SS, UC_STRICT_RESTORE_SS = 2, 4

# Return address, uc_flags, uc_link, uc_stack.
_HEAD = struct.Struct("<QQQQi4xQ")
_CONTEXT_REGISTERS = """
    r8 r9 r10 r11 r12 r13 r14 r15
    rdi rsi rbp rbx rdx rax rcx rsp rip eflags
""".split()
# These, cs, gs, fs, ss, err, trapno, oldmask, cr2, fpstate; then uc_sigmask.
_CONTEXT = struct.Struct("<18Q4H4QQ64xQ")
_UCONTEXT_AT = 8
_SIGINFO_AT = _HEAD.size + _CONTEXT.size
_SIZE = _SIGINFO_AT + 128


def build(request: FrameRequest) -> Frame:
    """Return the frame and the registers with which the handler starts."""
    regs = USER_REGS.decode(request.sets[NT_PRSTATUS])
    extended = to_frame(request.sets)
    extended_at = (request.sp - len(extended)) & -64
    at = ((extended_at - _SIZE) & -16) - 8
    xstate = UC_FP_XSTATE if NT_X86_XSTATE in request.sets else 0
    head = _HEAD.pack(
        request.restorer,
        xstate | UC_SIGCONTEXT_SS | UC_STRICT_RESTORE_SS,
        0,
        *request.altstack,
    )
    context = _CONTEXT.pack(
        *(regs[name] for name in _CONTEXT_REGISTERS),
        *(regs["cs"] & 0xFFFF, 0, 0, regs["ss"] & 0xFFFF),
        *(0, 0, request.mask, 0),
        extended_at,
        request.mask,
    )
    frame = (head + context + request.siginfo).ljust(extended_at - at, b"\0")
    start = {
        "rip": request.handler,
        "rsp": at,
        "rdi": request.signal,
        "rsi": at + _SIGINFO_AT,
        "rdx": at + _UCONTEXT_AT,
        "rax": 0,
        "orig_rax": -1,
        "cs": USER_CS,
        "eflags": regs["eflags"] & ~CLEARED_FLAGS,
    }
    start_set = USER_REGS.encode(start, request.sets[NT_PRSTATUS])
    return Frame(at, frame + extended, start_set)


def parse(sets: Mapping[int, bytes], read: ReadMemory, rt: bool) -> Restored:  # noqa: ARG001
    """Return what the frame at the stack pointer restores; there is only one kind."""
    regs = USER_REGS.decode(sets[NT_PRSTATUS])
    # The handler's return has taken the first word.
    data = read(regs["rsp"] - 8, _SIGINFO_AT)
    _, _, _, *altstack = _HEAD.unpack_from(data)
    values = _CONTEXT.unpack_from(data, _HEAD.size)
    count = len(_CONTEXT_REGISTERS)
    after = dict(zip(_CONTEXT_REGISTERS, values[:count], strict=True))
    cs, _, _, ss, _, _, _, _, extended_at, mask = values[count:]
    kept = regs["eflags"] & ~RESTORED_FLAGS
    after["eflags"] = after["eflags"] & RESTORED_FLAGS | kept
    after |= {"cs": cs | 3, "ss": ss | 3, "orig_rax": -1}
    restored = {
        NT_PRSTATUS: USER_REGS.encode(after, sets[NT_PRSTATUS]),
        NT_X86_XSTATE: from_frame(read, extended_at),
    }
    return Restored(restored, mask, AlternateStack(*altstack))


FRAME = SignalFrame(red_zone=128, size=_SIZE + 512 + 128, build=build, parse=parse)
