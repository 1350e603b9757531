"""
The signal frame: a ucontext, code that returns, and a siginfo.

The kernel takes no notice of a restorer in the action.  Where a handler is called
through a descriptor, `start_function` follows it.

Source: arch/powerpc/kernel/signal_64.c, start_thread in process.c; uapi/asm/ucontext.h
and sigcontext.h; Linux 6.12.  The code in the frame is that of Linux before 5.9.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping

from blcr.architecture import (
    AlternateStack,
    Frame,
    FrameRequest,
    Listing,
    ReadMemory,
    Registers,
    Restored,
    SignalFrame,
)

from ..ppc.registers import NT_FPREGSET, NT_PPC_VMX, NT_PRSTATUS, ByteOrder
from ..ppc.signals import MSR_VEC, SA_SIGINFO, floating_point
from ..ppc.stubs import listing, sigreturn
from .registers import NT_PPC_VSX, register_sets
from .syscalls import SYSCALLS

MSR_VSX = 0x0080_0000
"""The frame holds the low halves of VSX registers."""

# For the frame of the handler's caller, and at least as much as a leaf function may use
# below its stack pointer.
_CALLER, _ABI_GAP = 128, 512

# uc_flags, uc_link, uc_stack, uc_sigmask; then the sigcontext: signal, handler, mask,
# pointer to the registers, these, floating-point ones, pointer to the vector ones,
# which are aligned to 16 in the room that they have.
_UCONTEXT = "QQQI4xQQ120x32xI4xQQQ384s264sQ808s"
_SIGCONTEXT_AT, _VECTORS_AT = 168, 888
# Two unused words, code, pointers to siginfo and ucontext, siginfo.
_REST = "16x24sQQ128s"


def return_code(byteorder: ByteOrder) -> Listing:
    """Return the code that ends a handler, in a frame or in the vdso."""
    pop = listing(byteorder, ("38 21 00 80", "addi r1, r1, 0x80"))
    return Listing(pop.rows + sigreturn(byteorder, SYSCALLS["rt_sigreturn"]).rows)


def start_here(
    address: int, _base: int, _elf_flags: int, _read: ReadMemory
) -> Registers:
    """Return the registers with which a function of ELFv2 begins."""
    return {"nip": address, "gpr12": address}


def start_function(
    address: int, base: int, elf_flags: int, read: ReadMemory
) -> Registers:
    """Return the registers with which a function of either convention begins."""
    if elf_flags & 3 == 2:
        return start_here(address, base, elf_flags, read)
    entry, toc = struct.unpack(">QQ", read(address, 16))
    return {"nip": entry + base, "gpr2": toc + base}


def frame(byteorder: ByteOrder) -> SignalFrame:
    """Return how frames of a byte order are built and parsed."""
    general = register_sets(byteorder)[0]
    order = ">" if byteorder == "big" else "<"
    ucontext, rest = struct.Struct(order + _UCONTEXT), struct.Struct(order + _REST)
    size = ucontext.size + rest.size
    code = return_code(byteorder).code

    def build(request: FrameRequest) -> Frame:
        """Return the frame and the registers with which the handler starts."""
        sets, handler = request.sets, request.handler
        old = general.decode(sets[NT_PRSTATUS])
        at = (request.sp - size - _ABI_GAP) & -16
        info_at, vectors_at = at + size - 128, at + _VECTORS_AT + 15 & -16
        msr = old["msr"] & ~MSR_VSX | (MSR_VEC if NT_PPC_VMX in sets else 0)
        msr |= MSR_VSX if NT_PPC_VSX in sets else 0
        vectors = bytes(vectors_at - at - _VECTORS_AT)
        vectors += sets.get(NT_PPC_VMX, bytes(544)) + sets.get(NT_PPC_VSX, b"")
        data = old["gpr1"].to_bytes(8, byteorder).ljust(_CALLER, b"\0")
        data += ucontext.pack(
            *(0, 0, *request.altstack, request.mask, request.signal, handler),
            *(request.mask, at + _SIGCONTEXT_AT + 64),
            general.encode({"msr": msr}, sets[NT_PRSTATUS]),
            *(sets.get(NT_FPREGSET, b""), vectors_at, vectors),
        )
        data += rest.pack(code, info_at, at, request.siginfo)
        start = dict.fromkeys(("nip", "ctr", "gpr12"), handler)
        start |= {"gpr1": at - _CALLER, "trap": 0, "result": 0}
        start |= {"gpr3": request.signal, "gpr4": at + _SIGCONTEXT_AT}
        start["link"] = request.restorer or at + ucontext.size + 16
        if request.flags & SA_SIGINFO:
            start |= {"gpr4": info_at, "gpr5": at, "gpr6": at}
        registers = general.encode(start, sets[NT_PRSTATUS])
        return Frame(at - _CALLER, data, registers, floating_point(sets))

    def parse(sets: Mapping[int, bytes], read: ReadMemory, _rt: bool) -> Restored:
        """Return what the frame at the stack pointer restores."""
        regs = general.decode(sets[NT_PRSTATUS])
        fields = ucontext.unpack(read(regs["gpr1"], ucontext.size))
        _, _, *stack, mask, _, _, _, _, saved, floating, vectors_at, _ = fields
        msr = general.decode(saved)["msr"]
        vectors, low_halves = bytes(544), bytes(256)
        if vectors_at:
            vectors = read(vectors_at, 544)
            if not msr & MSR_VEC:
                vectors = bytes(528) + vectors[528:]
            if msr & MSR_VSX:
                low_halves = read(vectors_at + 544, 256)
        restored = {
            NT_PRSTATUS: general.encode({"msr": regs["msr"], "trap": 0}, saved),
            NT_FPREGSET: floating,
            NT_PPC_VMX: vectors,
            NT_PPC_VSX: low_halves,
        }
        return Restored(restored, mask, AlternateStack(*stack))

    bound = _CALLER + size + _ABI_GAP + 16
    return SignalFrame(0, bound, build, parse, ignores_restorer=True)
