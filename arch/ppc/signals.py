"""
The two signal frames: with siginfo and ucontext, and the old one with a sigcontext.

Both hold an mcontext.  The code that returns is in it, or in the vdso: the kernel takes
no notice of a restorer in the action.

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

from .registers import NT_FPREGSET, NT_PPC_VMX, NT_PRSTATUS, PT_REGS
from .stubs import sigreturn
from .syscalls import SYSCALLS

RETURNS = tuple(sigreturn("big", SYSCALLS[n]) for n in ("rt_sigreturn", "sigreturn"))
SA_SIGINFO = 4
MSR_VEC = 0x0200_0000
"""The mcontext holds vector registers."""

# For the stack frame of the handler's caller, more of that for a frame with siginfo,
# and as much as a leaf function may use below its stack pointer.
_CALLER, _RT_EXTRA, _ABI_GAP = 64, 16, 224

# Four words of which the last is the mask's upper half, signal, handler, lower half,
# pointer to the mcontext.
_SIGCONTEXT = struct.Struct(">12xIIIII")
# uc_flags, uc_link, uc_stack, pointer to the mcontext, uc_sigmask in words.
_UCONTEXT = struct.Struct(">IIIII28xIII132x")
_SIGINFO_SIZE = 128
# General registers, floating-point ones, code; vector ones, vrsave before vscr.
_MCONTEXT = struct.Struct(">192s264s8s512s4s12s")
_CODE_AT = 456


def floating_point(sets: Mapping[int, bytes]) -> Mapping[int, bytes]:
    """Return the register set with which a handler starts: status and modes cleared."""
    data = sets.get(NT_FPREGSET, b"")
    return {NT_FPREGSET: data[:256] + bytes(8)} if any(data[256:]) else {}


def build(request: FrameRequest) -> Frame:
    """Return the frame and the registers with which the handler starts."""
    sets, rt = request.sets, bool(request.flags & SA_SIGINFO)
    old = PT_REGS.decode(sets[NT_PRSTATUS])
    upper, lower = request.mask >> 32, request.mask & 0xFFFF_FFFF
    before = _SIGINFO_SIZE + _UCONTEXT.size if rt else _SIGCONTEXT.size
    frame_at = (request.sp - before - _MCONTEXT.size - _ABI_GAP) & -16
    context_at, at = frame_at + before, frame_at - _CALLER - rt * _RT_EXTRA
    start = {"gpr4": frame_at}
    if rt:
        ucontext = (0, 0, *request.altstack, context_at, lower, upper)
        head = request.siginfo + _UCONTEXT.pack(*ucontext)
        start |= {"gpr5": frame_at + _SIGINFO_SIZE, "gpr6": frame_at}
    else:
        words = (upper, request.signal, request.handler, lower, context_at)
        head = _SIGCONTEXT.pack(*words)
    vectors = sets.get(NT_PPC_VMX, bytes(544))
    msr = old["msr"] | (MSR_VEC if NT_PPC_VMX in sets else 0)
    context = _MCONTEXT.pack(
        PT_REGS.encode({"msr": msr}, sets[NT_PRSTATUS]),
        *(sets.get(NT_FPREGSET, b""), RETURNS[not rt].code),
        *(vectors, vectors[528:532], vectors[516:528]),
    )
    start |= {"nip": request.handler, "gpr1": at, "gpr3": request.signal}
    start |= {"link": request.restorer or context_at + _CODE_AT, "trap": 0, "result": 0}
    back_chain = old["gpr1"].to_bytes(4, "big").ljust(frame_at - at, b"\0")
    registers = PT_REGS.encode(start, sets[NT_PRSTATUS])
    return Frame(at, back_chain + head + context, registers, floating_point(sets))


def parse(sets: Mapping[int, bytes], read: ReadMemory, rt: bool) -> Restored:
    """Return what the frame above the stack pointer restores."""
    regs = PT_REGS.decode(sets[NT_PRSTATUS])
    frame_at, altstack = regs["gpr1"] + _CALLER, None
    if rt:
        ucontext_at = frame_at + _RT_EXTRA + _SIGINFO_SIZE
        fields = _UCONTEXT.unpack(read(ucontext_at, _UCONTEXT.size))
        _, _, *stack, context_at, lower, upper = fields
        altstack = AlternateStack(*stack)
    else:
        upper, _, _, lower, _ = _SIGCONTEXT.unpack(read(frame_at, _SIGCONTEXT.size))
        context_at = frame_at + _SIGCONTEXT.size
    context = _MCONTEXT.unpack(read(context_at, _MCONTEXT.size))
    general, floating, _, vectors, vrsave, vscr = context
    if not PT_REGS.decode(general)["msr"] & MSR_VEC:
        vectors, vscr = bytes(512), bytes(12)
    restored = {
        NT_PRSTATUS: PT_REGS.encode({"msr": regs["msr"], "trap": 0}, general),
        NT_FPREGSET: floating,
        NT_PPC_VMX: vectors + bytes(4) + vscr + vrsave + bytes(12),
    }
    return Restored(restored, upper << 32 | lower, altstack)


_SIZE = _CALLER + _RT_EXTRA + 1312 + _ABI_GAP + 16  # 1312: what has a structure
FRAME = SignalFrame(0, _SIZE, build, parse, ignores_restorer=True)
