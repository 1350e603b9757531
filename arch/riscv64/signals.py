"""
The signal frame: the siginfo, the ucontext with registers of both kinds.

A handler returns to the vdso: there is no restorer in an action.  The kernel appends
the vector registers of a thread that uses them.  We do not, for our frames are those of
the emulated CPU, which has none.

Source: struct rt_sigframe in arch/riscv/kernel/signal.c; uapi/asm/sigcontext.h and
ucontext.h; Linux 6.12.
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

from .registers import FP_REGS, NT_PRFPREG, NT_PRSTATUS, USER_REGS

_SIGINFO_SIZE = 128
# uc_flags, uc_link, uc_stack, uc_sigmask; room for more signals, and up to 16 bytes.
_HEAD = struct.Struct("<QQQi4xQQ128x")
# General registers and floating-point ones, these in the room that quadruple precision
# takes, at whose end zeros are a header that says that nothing follows.
_CONTEXT = struct.Struct("<256s264s")
_REST = bytes(264)
_SIZE = _SIGINFO_SIZE + _HEAD.size + _CONTEXT.size + len(_REST)


def build(request: FrameRequest) -> Frame:
    """Return the frame and the registers with which the handler starts."""
    at = (request.sp - _SIZE) & -16
    ucontext_at = at + _SIGINFO_SIZE
    general = request.sets[NT_PRSTATUS]
    floating = request.sets.get(NT_PRFPREG, bytes(FP_REGS.size or 0))
    head = _HEAD.pack(0, 0, *request.altstack, request.mask)
    start = {
        "pc": request.handler,
        "ra": request.restorer,
        "sp": at,
        "a0": request.signal,
        "a1": at,
        "a2": ucontext_at,
    }
    data = request.siginfo + head + _CONTEXT.pack(general, floating)
    return Frame(at, data + _REST, USER_REGS.encode(start, general))


def parse(sets: Mapping[int, bytes], read: ReadMemory, rt: bool) -> Restored:  # noqa: ARG001
    """Return what the frame at the stack pointer restores; there is only one kind."""
    ucontext_at = USER_REGS.decode(sets[NT_PRSTATUS])["sp"] + _SIGINFO_SIZE
    _, _, *altstack, mask = _HEAD.unpack(read(ucontext_at, _HEAD.size))
    context = read(ucontext_at + _HEAD.size, _CONTEXT.size)
    general, floating = _CONTEXT.unpack(context)
    restored = {NT_PRSTATUS: general, NT_PRFPREG: floating}
    return Restored(restored, mask, AlternateStack(*altstack))


FRAME = SignalFrame(red_zone=0, size=_SIZE + 16, build=build, parse=parse)
