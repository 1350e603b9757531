"""
The two signal frames: a ucontext, and before it, for handlers that want it, a siginfo.

Behind the registers lies the state of the floating-point unit.  A handler that has no
restorer returns to code that is at the frame's end, too, and in memory that the kernel
shows to every program.  Not in the general registers, but cleared when a handler
starts: length and stride of vectors in fpscr.

Source: arch/arm/kernel/signal.c; vfp_preserve_user_clear_hwstate in
arch/arm/vfp/vfpmodule.c; asm/ucontext.h, asm/user.h; uapi/asm/sigcontext.h; Linux 6.12.
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

from .registers import (
    NT_ARM_VFP,
    NT_PRSTATUS,
    USER_MODE,
    USER_REGS,
    VFP_REGS,
    kind_of,
)
from .stubs import RT_SIGRETURN, SIGRETURN

SA_SIGINFO = 4

CLEARED = 0xFF00_FE20
"""In cpsr: the flags, IT, E and T, without which a handler starts."""
RESTORED = 0xFFFF_FE20
"""In cpsr: the bits that a return from a handler takes."""

VFP_MAGIC = 0x5646_5001
VFP_ENABLED = 0x4000_0000
"""EN in fpexc, which lies in the frame behind the registers."""
OLD_FRAME = 0x5AC3_C35A
"""In the uc_flags of a frame without siginfo, for debuggers."""

_SIGINFO_SIZE = 128
_CONTEXT_REGISTERS = [*(row.name for row in USER_REGS.registers[:16]), "cpsr"]
# uc_flags, uc_link, uc_stack; trap number, error code, mask, registers, fault address;
# uc_sigmask with room for more signals; magic, size, registers, exception registers.
_UCONTEXT = struct.Struct("<IIIiI 3I17II Q120x II264sIII4x 224x")
_CODE_SIZE = 16
_SIZE = _UCONTEXT.size + _CODE_SIZE
_VFP_SIZE = 288


def build(request: FrameRequest) -> Frame:
    """Return the frame and the registers with which the handler starts."""
    general = request.sets[NT_PRSTATUS]
    regs = USER_REGS.decode(general)
    vfp = request.sets.get(NT_ARM_VFP, bytes(VFP_REGS.size or 0))
    rt = bool(request.flags & SA_SIGINFO)
    before = _SIGINFO_SIZE if rt else 0
    at = (request.sp - before - _SIZE) & -8
    stack = request.altstack if rt else AlternateStack(0, 0, 0)
    ucontext = _UCONTEXT.pack(
        *(0 if rt else OLD_FRAME, 0, *stack),
        *(0, 0, request.mask & 0xFFFF_FFFF),
        *(regs[name] for name in _CONTEXT_REGISTERS),
        *(0, request.mask),
        *(VFP_MAGIC, _VFP_SIZE, vfp, VFP_ENABLED, 0, 0),
    )
    code = (RT_SIGRETURN if rt else SIGRETURN).code
    data = request.siginfo[:before] + ucontext + code.ljust(_CODE_SIZE, b"\0")
    start = {
        "r0": request.signal,
        "sp": at,
        "lr": request.restorer or at + before + _UCONTEXT.size,
        "pc": request.handler & ~1,
        "cpsr": regs["cpsr"] & ~CLEARED | kind_of(request.handler),
    }
    if rt:
        start |= {"r1": at, "r2": at + before}
    return Frame(at, data, USER_REGS.encode(start, general))


def parse(sets: Mapping[int, bytes], read: ReadMemory, rt: bool) -> Restored:
    """
    Return what the frame at the stack pointer restores.

    Raises:
        ValueError: There is no floating-point state where it should be.
    """
    at = USER_REGS.decode(sets[NT_PRSTATUS])["sp"] + (_SIGINFO_SIZE if rt else 0)
    fields = _UCONTEXT.unpack(read(at, _UCONTEXT.size))
    (_, _, *stack), registers = fields[:5], fields[8:25]
    mask, magic, size, vfp, *_ = fields[26:]
    if (magic, size) != (VFP_MAGIC, _VFP_SIZE):
        raise ValueError("no floating-point state in a signal frame")
    after = dict(zip(_CONTEXT_REGISTERS, registers, strict=True))
    after["cpsr"] = after["cpsr"] & RESTORED | USER_MODE
    restored = {
        NT_PRSTATUS: USER_REGS.encode(after, sets[NT_PRSTATUS]),
        NT_ARM_VFP: vfp[: VFP_REGS.size],
    }
    return Restored(restored, mask, AlternateStack(*stack) if rt else None)


FRAME = SignalFrame(
    red_zone=0, size=_SIGINFO_SIZE + _SIZE + 8, build=build, parse=parse
)
