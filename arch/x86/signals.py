"""
The two signal frames of 32-bit processes: with siginfo and ucontext, and the old one.

The x87 state lies before the XSAVE image a second time, as FSAVE writes it, and a
return takes it from there.

Source: arch/x86/kernel/signal_32.c; struct sigframe_ia32 and rt_sigframe_ia32 in
asm/sigframe.h; convert_from_fxsr and convert_to_fxsr in arch/x86/kernel/fpu/regset.c;
struct _fpstate_32 and sigcontext_32 in uapi/asm/sigcontext.h; Linux 6.12.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping

from blcr.architecture import (
    AlternateStack,
    Frame,
    FrameRequest,
    ReadMemory,
    Registers,
    Restored,
    SignalFrame,
)

from .registers import NT_PRSTATUS, USER_REGS
from .stubs import RT_SIGRETURN, SIGRETURN
from .xstate import NT_X86_XSTATE, from_frame, to_frame

SA_SIGINFO = 4
UC_FP_XSTATE = 1

CLEARED_FLAGS = 0x1_0500
"""RF, DF and TF: a handler starts without."""
RESTORED_FLAGS = 0x5_0DD5
"""The flags that a program may change itself; others stay as the kernel has them."""

_CONTEXT_REGISTERS = "gs fs es ds edi esi ebp esp ebx edx ecx eax".split()
# These, trapno, err, eip, cs, eflags, esp again, ss, fpstate, oldmask, cr2.
_CONTEXT = struct.Struct("<22I")
# Return address, signal, sigcontext, an unused FPU state, upper half of the mask.
_OLD_HEAD = struct.Struct("<II")
_OLD = struct.Struct(f"<8s{_CONTEXT.size}s624xI")
# Return address, signal, pointers to siginfo and ucontext.
_RT_HEAD = struct.Struct("<IIII")
# That, siginfo, uc_flags, uc_link, uc_stack, sigcontext, uc_sigmask.
_RT = struct.Struct(f"<16s128sIIIiI{_CONTEXT.size}sQ")
_SIGINFO_AT, _UCONTEXT_AT = 16, 144

# Control, status and tag word, instruction, its selector and opcode, operand, its
# selector, eight registers, the status word again, and 0: an FXSAVE image follows.
_FSAVE = struct.Struct("<7I80sHH")
# The head of FXSAVE: control, status, abridged tag word, opcode, instruction, operand.
_FXSAVE = struct.Struct("<HHBxHQQ")
_ST_AT = range(32, 160, 16)
_VALID, _ZERO, _SPECIAL, _EMPTY = range(4)


def _tag(register: bytes) -> int:
    """Return the two bits that describe a register's value."""
    exponent = int.from_bytes(register[8:10], "little") & 0x7FFF
    significand = int.from_bytes(register[:8], "little")
    if exponent == 0 and significand == 0:
        return _ZERO
    normal = 0 < exponent < 0x7FFF and significand >> 63
    return _VALID if normal else _SPECIAL


def _fsave(image: bytes, cs: int, ds: int) -> bytes:
    """Return the x87 state of an FXSAVE image in FSAVE's layout."""
    control, status, tags, opcode, instruction, operand = _FXSAVE.unpack_from(image)
    stack = [image[at : at + 10] for at in _ST_AT]
    top, full = status >> 11 & 7, 0xFFFF_0000
    for i in range(8):
        tag = _tag(stack[(i - top) & 7]) if tags >> i & 1 else _EMPTY
        full |= tag << 2 * i
    return _FSAVE.pack(
        control | 0xFFFF_0000,
        status | 0xFFFF_0000,
        full,
        instruction & 0xFFFF_FFFF,
        cs & 0xFFFF | opcode << 16,
        operand & 0xFFFF_FFFF,
        ds | 0xFFFF_0000,
        b"".join(stack),
        status,
        0,
    )


def _with_fsave(image: bytes, saved: bytes) -> bytes:
    """Return an FXSAVE or XSAVE image with the x87 state of FSAVE's."""
    control, status, full, instruction, cs, operand, _, stack, _, _ = _FSAVE.unpack(
        saved
    )
    tags = sum((full >> 2 * i & 3 != _EMPTY) << i for i in range(8))
    out = bytearray(image)
    _FXSAVE.pack_into(
        out,
        0,
        *(control & 0xFFFF, status & 0xFFFF, tags, cs >> 16),
        *(instruction, operand),
    )
    for i, at in enumerate(_ST_AT):
        out[at : at + 10] = stack[10 * i : 10 * i + 10]
    return bytes(out)


def build(request: FrameRequest) -> Frame:
    """Return the frame and the registers with which the handler starts."""
    regs = USER_REGS.decode(request.sets[NT_PRSTATUS])
    rt = bool(request.flags & SA_SIGINFO)
    extended = to_frame(request.sets)
    extended_at = (request.sp - len(extended)) & -64
    saved_at = extended_at - _FSAVE.size
    code = (RT_SIGRETURN if rt else SIGRETURN).code
    frame = _RT if rt else _OLD
    at = ((saved_at - frame.size - 8 + 4) & -16) - 4
    restorer = request.restorer or at + frame.size
    context = _context(regs, saved_at, request.mask)
    if rt:
        start = {"ecx": at + _UCONTEXT_AT, "edx": at + _SIGINFO_AT}
        head = _RT_HEAD.pack(restorer, request.signal, start["edx"], start["ecx"])
        xstate = UC_FP_XSTATE if NT_X86_XSTATE in request.sets else 0
        stack = request.altstack
        data = _RT.pack(head, request.siginfo, xstate, 0, *stack, context, request.mask)
    else:
        start = {"ecx": 0, "edx": 0}
        head = _OLD_HEAD.pack(restorer, request.signal)
        data = _OLD.pack(head, context, request.mask >> 32)
    start |= {
        "eip": request.handler,
        "esp": at,
        "eax": request.signal,
        "orig_eax": -1,
        "eflags": regs["eflags"] & ~CLEARED_FLAGS,
    }
    data = (data + code).ljust(saved_at - at, b"\0")
    data += _fsave(extended, regs["cs"], regs["ds"]) + extended
    return Frame(at, data, USER_REGS.encode(start, request.sets[NT_PRSTATUS]))


def _context(regs: Registers, saved_at: int, mask: int) -> bytes:
    """Return the sigcontext."""
    return _CONTEXT.pack(
        *(regs[name] for name in _CONTEXT_REGISTERS),
        *(0, 0, regs["eip"], regs["cs"], regs["eflags"], regs["esp"], regs["ss"]),
        *(saved_at, mask & 0xFFFF_FFFF, 0),
    )


def parse(sets: Mapping[int, bytes], read: ReadMemory, rt: bool) -> Restored:
    """Return what the frame behind the stack pointer restores."""
    regs = USER_REGS.decode(sets[NT_PRSTATUS])
    if rt:
        # The handler's return has taken the first word, ...
        data = read(regs["esp"] - 4, _RT.size)
        *_, sp, flags, size, context, mask = _RT.unpack(data)
        altstack = AlternateStack(sp, flags, size)
    else:
        # ... the restorer the second.
        _, context, upper = _OLD.unpack(read(regs["esp"] - 8, _OLD.size))
        altstack = None
    *values, _, _, eip, cs, eflags, _, ss, saved_at, old_mask, _ = _CONTEXT.unpack(
        context
    )
    if not rt:
        mask = upper << 32 | old_mask
    after = dict(zip(_CONTEXT_REGISTERS, values, strict=True))
    eflags = eflags & RESTORED_FLAGS | regs["eflags"] & ~RESTORED_FLAGS
    after |= {"eip": eip, "cs": cs & 0xFFFF | 3, "ss": ss & 0xFFFF | 3}
    after |= {"eflags": eflags, "orig_eax": -1}
    restored = {
        NT_PRSTATUS: USER_REGS.encode(after, sets[NT_PRSTATUS]),
        NT_X86_XSTATE: _extended(read, saved_at),
    }
    return Restored(restored, mask, altstack)


def _extended(read: ReadMemory, saved_at: int) -> bytes:
    """Return the XSAVE image to load, with the x87 state that lies before it."""
    if not saved_at:
        return from_frame(read, 0)
    image = from_frame(read, saved_at + _FSAVE.size)
    return _with_fsave(image, read(saved_at, _FSAVE.size))


FRAME = SignalFrame(
    red_zone=0,
    size=_OLD.size + _FSAVE.size + 512 + 128,
    build=build,
    parse=parse,
)
