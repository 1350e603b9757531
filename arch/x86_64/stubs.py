"""Machine code."""

from __future__ import annotations

from blcr.architecture import Gadget, Gadgets, Listing, Stubs

STUBS = Stubs(
    call=Listing(
        (
            ("0f 05", "syscall"),
            ("cc", "int3"),
        )
    ),
    # The fourth argument of a C function is not where the kernel wants it.
    fallback=Listing(
        (
            ("49 89 ca", "mov r10, rcx"),
            ("b8 00 00 00 00", "mov eax, 0"),
            ("0f 05", "syscall"),
            ("c3", "ret"),
        )
    ),
    fallback_number=(4, 4),
    jump=Listing(
        (
            ("48 b8 00 00 00 00 00 00 00 00", "movabs rax, 0"),
            ("ff e0", "jmp rax"),
        )
    ),
    jump_target=(2, 8),
)

GADGETS = Gadgets(
    call=(Gadget(bytes.fromhex("0f 05 c3")),),
    sigreturn=(
        bytes.fromhex("48 c7 c0 0f 00 00 00 0f 05"),  # glibc
        bytes.fromhex("b8 0f 00 00 00 0f 05"),  # musl, Go
    ),
    pop_number=bytes.fromhex("58 c3"),
)
