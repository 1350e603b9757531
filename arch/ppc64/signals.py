"""
The signal frame: a ucontext, code that returns, and a siginfo.

The address to return to is that of the code, in the frame or in the vdso: the kernel
takes no notice of a restorer in the action.  Where a handler is called through a
descriptor, `start_function` follows it.

Source: arch/powerpc/kernel/signal_64.c; start_thread in process.c;
uapi/asm/ucontext.h and sigcontext.h; __SIGNAL_FRAMESIZE in asm/ptrace.h; Linux 6.12.
The code is that of Linux before 5.9, which unwinders find in a frame.
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
from ..ppc.signals import MSR_VEC, SA_SIGINFO
from ..ppc.stubs import listing, sigreturn
from .registers import NT_PPC_VSX, register_sets
from .syscalls import SYSCALLS

MSR_VSX = 0x0080_0000
"""The frame holds the low halves of VSX registers."""

# For the frame of the handler's caller, and at least as much as a leaf function may use
# below its stack pointer.
_CALLER = 128
_ABI_GAP = 512

# uc_flags, uc_link, uc_stack, uc_sigmask; then of the sigcontext the signal, handler,
# mask and pointer to the registers.
_HEAD = "QQQI4xQQ120x32xI4xQQQ"
# General registers, floating-point ones, pointer to the vector ones; these, with room
# to align them to 16; two unused words; code; pointers to siginfo and ucontext.
_CONTEXT_AT = 40 + 128 + 64
_VECTORS_AT = _CONTEXT_AT + 384 + 264 + 8
_CODE_AT = _VECTORS_AT + 808 + 16
_SIGINFO_AT = _CODE_AT + 24 + 16
_SIZE = _SIGINFO_AT + 128


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


def return_code(byteorder: ByteOrder) -> Listing:
    """Return the code that ends a handler, in a frame or in the vdso."""
    end = sigreturn(byteorder, SYSCALLS["rt_sigreturn"])
    pop = listing(byteorder, ("38 21 00 80", "addi r1, r1, 0x80"))
    return Listing(pop.rows + end.rows)


def unwinding(byteorder: ByteOrder) -> bytes:
    """Return what tells unwinders that the code is not in the frame."""
    return bytes(20) + (-21 * 8).to_bytes(8, byteorder, signed=True)


def frame(byteorder: ByteOrder) -> SignalFrame:
    """Return how frames of a byte order are built and parsed."""
    general, floating, *_ = register_sets(byteorder)
    order = ">" if byteorder == "big" else "<"
    head = struct.Struct(order + _HEAD)
    code = return_code(byteorder).code

    def build(request: FrameRequest) -> Frame:
        """Return the frame and the registers with which the handler starts."""
        sets = request.sets
        old = general.decode(sets[NT_PRSTATUS])
        frame_at = (request.sp - _SIZE - _ABI_GAP) & -16
        vectors_at = frame_at + _VECTORS_AT + 15 & -16
        msr = old["msr"] & ~MSR_VSX
        if NT_PPC_VMX in sets:
            msr |= MSR_VEC
        if NT_PPC_VSX in sets:
            msr |= MSR_VSX
        data = bytearray(_SIZE)
        head.pack_into(
            *(data, 0, 0, 0, *request.altstack, request.mask),
            *(request.signal, request.handler, request.mask, frame_at + _CONTEXT_AT),
        )
        parts = {
            _CONTEXT_AT: general.encode({"msr": msr}, sets[NT_PRSTATUS]),
            _CONTEXT_AT + 384: sets.get(NT_FPREGSET, b""),
            _VECTORS_AT - 8: vectors_at.to_bytes(8, byteorder),
            vectors_at - frame_at: sets.get(NT_PPC_VMX, b""),
            vectors_at - frame_at + 544: sets.get(NT_PPC_VSX, b""),
            _CODE_AT: code,
            _SIGINFO_AT - 16: (frame_at + _SIGINFO_AT).to_bytes(8, byteorder),
            _SIGINFO_AT - 8: frame_at.to_bytes(8, byteorder),
            _SIGINFO_AT: request.siginfo,
        }
        for at, part in parts.items():
            data[at : at + len(part)] = part
        start = {
            "nip": request.handler,
            "ctr": request.handler,
            "gpr12": request.handler,
            "gpr1": frame_at - _CALLER,
            "gpr3": request.signal,
            "gpr4": frame_at + _CONTEXT_AT - 64,
            "link": request.restorer or frame_at + _CODE_AT,
            "trap": 0,
            "result": 0,
        }
        if request.flags & SA_SIGINFO:
            start |= {
                "gpr4": frame_at + _SIGINFO_AT,
                "gpr5": frame_at,
                "gpr6": frame_at,
            }
        caller = old["gpr1"].to_bytes(8, byteorder).ljust(_CALLER, b"\0")
        registers = general.encode(start, sets[NT_PRSTATUS])
        return Frame(frame_at - _CALLER, caller + data, registers)

    def parse(sets: Mapping[int, bytes], read: ReadMemory, _rt: bool) -> Restored:
        """Return what the frame at the stack pointer restores."""
        regs = general.decode(sets[NT_PRSTATUS])
        frame_at = regs["gpr1"]
        _, _, *stack, mask, _, _, _, _ = head.unpack(read(frame_at, head.size))
        general_data = read(frame_at + _CONTEXT_AT, 384)
        pointer = read(frame_at + _VECTORS_AT - 8, 8)
        vectors_at = int.from_bytes(pointer, byteorder)
        msr = general.decode(general_data)["msr"]
        restored = {
            NT_PRSTATUS: general.encode({"msr": regs["msr"], "trap": 0}, general_data),
            NT_FPREGSET: read(frame_at + _CONTEXT_AT + 384, floating.size or 0),
            NT_PPC_VMX: bytes(544),
            NT_PPC_VSX: bytes(256),
        }
        if vectors_at:
            vector_data = read(vectors_at, 544)
            if not msr & MSR_VEC:
                vector_data = bytes(528) + vector_data[528:]
            restored[NT_PPC_VMX] = vector_data
            if msr & MSR_VSX:
                restored[NT_PPC_VSX] = read(vectors_at + 544, 256)
        return Restored(restored, mask, AlternateStack(*stack))

    return SignalFrame(
        red_zone=0,
        size=_CALLER + _SIZE + _ABI_GAP + 16,
        build=build,
        parse=parse,
        ignores_restorer=True,
    )
