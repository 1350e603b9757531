"""
The two signal frames: with siginfo and ucontext, and the old one with a sigcontext.

Both hold an mcontext.  The code that returns is in it, or in the vdso: the kernel takes
no notice of a restorer in the action.  Not in the general registers, but cleared when a
handler starts: fpscr.

Source: arch/powerpc/kernel/signal_32.c and get_sigframe in signal.c;
uapi/asm/ucontext.h and sigcontext.h; __SIGNAL_FRAMESIZE in asm/ptrace.h; Linux 6.12.
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

from .registers import FP_REGS, NT_FPREGSET, NT_PPC_VMX, NT_PRSTATUS, PT_REGS, VMX_REGS
from .stubs import sigreturn
from .syscalls import SYSCALLS

RETURNS = tuple(sigreturn("big", SYSCALLS[n]) for n in ("rt_sigreturn", "sigreturn"))
SA_SIGINFO = 4
MSR_VEC = 0x0200_0000
"""The mcontext holds vector registers."""

# For the stack frame of the handler's caller, and as much as a leaf function may use
# below its stack pointer.
_SIGNAL_FRAME_SIZE = 64
_ABI_GAP = 224

# Four words of which the last is the mask's upper half, signal, handler, lower half,
# pointer to the mcontext.
_SIGCONTEXT = struct.Struct(">12xIIIII")
# uc_flags, uc_link, uc_stack, pointer to the mcontext, uc_sigmask in words.
_UCONTEXT = struct.Struct(">IIIII28xIII132x")
_RT_EXTRA, _SIGINFO_SIZE = 16, 128
# General registers, floating-point ones, code, vector ones.
_MCONTEXT = struct.Struct(">192s264s8s528s")
_CODE_AT = 456


def _mcontext(sets: Mapping[int, bytes], code: bytes) -> bytes:
    """Return an mcontext."""
    general = sets[NT_PRSTATUS]
    floating = sets.get(NT_FPREGSET, bytes(FP_REGS.size or 0))
    vector = b""
    if NT_PPC_VMX in sets:
        msr = PT_REGS.decode(general)["msr"] | MSR_VEC
        general = PT_REGS.encode({"msr": msr}, general)
        # vrsave has the place before vscr, in the same quadword.
        note = sets[NT_PPC_VMX]
        vector = note[:512] + note[528:532] + note[516:528]
    return _MCONTEXT.pack(general, floating, code, vector)


def build(request: FrameRequest) -> Frame:
    """Return the frame and the registers with which the handler starts."""
    old = PT_REGS.decode(request.sets[NT_PRSTATUS])
    upper, lower = request.mask >> 32, request.mask & 0xFFFF_FFFF
    rt = bool(request.flags & SA_SIGINFO)
    code = RETURNS[not rt].code
    context = _mcontext(request.sets, code)
    before = _SIGINFO_SIZE + _UCONTEXT.size if rt else _SIGCONTEXT.size
    frame_at = (request.sp - before - len(context) - _ABI_GAP) & -16
    context_at = frame_at + before
    if rt:
        at = frame_at - _SIGNAL_FRAME_SIZE - _RT_EXTRA
        ucontext_at = frame_at + _SIGINFO_SIZE
        head = request.siginfo + _UCONTEXT.pack(
            0, 0, *request.altstack, context_at, lower, upper
        )
        start = {"gpr4": frame_at, "gpr5": ucontext_at, "gpr6": frame_at}
    else:
        at = frame_at - _SIGNAL_FRAME_SIZE
        head = _SIGCONTEXT.pack(
            upper, request.signal, request.handler, lower, context_at
        )
        start = {"gpr4": frame_at}
    back_chain = old["gpr1"].to_bytes(4, "big").ljust(frame_at - at, b"\0")
    start |= {
        "nip": request.handler,
        "gpr1": at,
        "gpr3": request.signal,
        "link": request.restorer or context_at + _CODE_AT,
        "trap": 0,
        "result": 0,
    }
    start_set = PT_REGS.encode(start, request.sets[NT_PRSTATUS])
    return Frame(at, back_chain + head + context, start_set)


def parse(sets: Mapping[int, bytes], read: ReadMemory, rt: bool) -> Restored:
    """Return what the frame above the stack pointer restores."""
    regs = PT_REGS.decode(sets[NT_PRSTATUS])
    frame_at = regs["gpr1"] + _SIGNAL_FRAME_SIZE
    altstack = None
    if rt:
        ucontext_at = frame_at + _RT_EXTRA + _SIGINFO_SIZE
        fields = _UCONTEXT.unpack(read(ucontext_at, _UCONTEXT.size))
        _, _, *stack, context_at, lower, upper = fields
        altstack = AlternateStack(*stack)
    else:
        upper, _, _, lower, _ = _SIGCONTEXT.unpack(read(frame_at, _SIGCONTEXT.size))
        context_at = frame_at + _SIGCONTEXT.size
    context = read(context_at, _MCONTEXT.size)
    general, floating, _, vector = _MCONTEXT.unpack(context)
    has_vector = PT_REGS.decode(general)["msr"] & MSR_VEC
    after = {"msr": regs["msr"], "trap": 0}
    vrsave = vector[512:516]
    note = vector[:512] + bytes(4) + vector[516:] if has_vector else bytes(528)
    restored = {
        NT_PRSTATUS: PT_REGS.encode(after, general),
        NT_FPREGSET: floating,
        NT_PPC_VMX: (note + vrsave).ljust(VMX_REGS.size or 0, b"\0"),
    }
    return Restored(restored, upper << 32 | lower, altstack)


FRAME = SignalFrame(
    red_zone=0,
    size=_SIGNAL_FRAME_SIZE + _RT_EXTRA + 1312 + _ABI_GAP + 16,
    build=build,
    parse=parse,
    ignores_restorer=True,
)
