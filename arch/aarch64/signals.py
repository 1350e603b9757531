"""
The signal frame: siginfo, ucontext, and above it a frame record for unwinders.

Behind the general registers in the ucontext is a list of contexts, each with a magic
number and its size: floating point always, others of CPUs that have more.  One of them
may say that the list goes on elsewhere.

Source: arch/arm64/kernel/signal.c; uapi/asm/sigcontext.h and ucontext.h; Linux 6.12.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping

from blcr.architecture import (
    AlternateStack,
    Frame,
    FrameRequest,
    ReadMemory,
    Restored,
    SignalFrame,
)

from .registers import FP_REGS, NT_PRFPREG, NT_PRSTATUS, USER_REGS

SA_SIGINFO = 4

RESTORED = 0xF300_1C00
"""In pstate: N, Z, C, V, TCO, DIT, SSBS and BTYPE, which a return takes."""
BRANCH_TYPE = 0xC00
TAG_CHECK_OVERRIDE = 0x200_0000
"""In pstate: with these bits off a handler starts."""

FPSIMD_MAGIC = 0x4650_8001
EXTRA_MAGIC = 0x4558_5401

_SIGINFO_SIZE = 128
# uc_flags, uc_link, uc_stack, uc_sigmask with room for more signals; fault address,
# general registers.
_UCONTEXT = struct.Struct("<QQQi4xQQ120x 8xQ272s8x")
_RESERVED = 4096
_HEAD = struct.Struct("<II")
# fpsr and fpcr come before the registers.
_FPSIMD = struct.Struct("<IIII512s")
_EXTRA = struct.Struct("<8xQI12x")
_RECORD = struct.Struct("<QQ")
_SIZE = _SIGINFO_SIZE + _UCONTEXT.size + _RESERVED


def build(request: FrameRequest) -> Frame:
    """Return the frame and the registers with which the handler starts."""
    general = request.sets[NT_PRSTATUS]
    regs = USER_REGS.decode(general)
    record_at = (request.sp & -16) - _RECORD.size
    at = record_at - _SIZE
    siginfo = request.siginfo if request.flags & SA_SIGINFO else bytes(_SIGINFO_SIZE)
    head = _UCONTEXT.pack(0, 0, *request.altstack, request.mask, 0, general)
    floating = request.sets.get(NT_PRFPREG, bytes(FP_REGS.size or 0))
    status = FP_REGS.decode(floating)
    contexts = _FPSIMD.pack(
        *(FPSIMD_MAGIC, _FPSIMD.size, status["fpsr"], status["fpcr"]), floating[:512]
    )
    data = siginfo + head + contexts.ljust(_RESERVED, b"\0")
    data += _RECORD.pack(regs["x29"], regs["x30"])
    start = {
        "pc": request.handler,
        "sp": at,
        "x0": request.signal,
        "x29": record_at,
        "x30": request.restorer,
        "pstate": regs["pstate"] & ~(BRANCH_TYPE | TAG_CHECK_OVERRIDE),
    }
    if request.flags & SA_SIGINFO:
        start |= {"x1": at, "x2": at + _SIGINFO_SIZE}
    return Frame(at, data, USER_REGS.encode(start, general))


def parse(sets: Mapping[int, bytes], read: ReadMemory, rt: bool) -> Restored:  # noqa: ARG001
    """
    Return what the frame at the stack pointer restores; there is only one kind.

    Raises:
        ValueError: Its list of contexts is damaged, or lacks floating point.
    """
    at = USER_REGS.decode(sets[NT_PRSTATUS])["sp"] + _SIGINFO_SIZE
    _, _, *stack, mask, _, general = _UCONTEXT.unpack(read(at, _UCONTEXT.size))
    pstate = USER_REGS.decode(general)["pstate"] & RESTORED
    floating = None
    for magic, data in _contexts(read, at + _UCONTEXT.size, _RESERVED):
        if magic == FPSIMD_MAGIC and len(data) == _FPSIMD.size:
            _, _, fpsr, fpcr, vectors = _FPSIMD.unpack(data)
            floating = vectors + _HEAD.pack(fpsr, fpcr) + bytes(8)
    if floating is None:
        raise ValueError("no floating-point state in a signal frame")
    restored = {
        NT_PRSTATUS: USER_REGS.encode({"pstate": pstate}, general),
        NT_PRFPREG: floating,
    }
    return Restored(restored, mask, AlternateStack(*stack))


def _contexts(read: ReadMemory, at: int, room: int) -> Iterator[tuple[int, bytes]]:
    """Yield magic number and bytes of each context, those elsewhere included."""
    while room >= _HEAD.size:
        magic, size = _HEAD.unpack(read(at, _HEAD.size))
        if not magic and not size:
            return
        if size < _HEAD.size or size > room or size % 16:
            raise ValueError("a damaged list of contexts in a signal frame")
        data = read(at, size)
        yield magic, data
        at, room = at + size, room - size
        if magic == EXTRA_MAGIC:
            at, room = _EXTRA.unpack(data)


FRAME = SignalFrame(
    red_zone=0, size=_SIZE + _RECORD.size + 16, build=build, parse=parse
)
