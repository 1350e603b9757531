"""Machine code."""

from __future__ import annotations

from blcr.architecture import Gadget, Gadgets, Listing, Stubs

from ..x86.abi import READ_CLOCK

STUBS = Stubs(
    call=Listing(
        (
            ("0f 05", "syscall"),
            ("cc", "int3"),
        )
    ),
    batch=Listing(
        (
            ("48 8b 04 24", "mov rax, qword ptr [rsp]"),
            ("48 8b 7c 24 08", "mov rdi, qword ptr [rsp + 8]"),
            ("48 8b 74 24 10", "mov rsi, qword ptr [rsp + 0x10]"),
            ("48 8b 54 24 18", "mov rdx, qword ptr [rsp + 0x18]"),
            ("4c 8b 54 24 20", "mov r10, qword ptr [rsp + 0x20]"),
            ("4c 8b 44 24 28", "mov r8, qword ptr [rsp + 0x28]"),
            ("4c 8b 4c 24 30", "mov r9, qword ptr [rsp + 0x30]"),
            ("0f 05", "syscall"),
            ("48 89 04 24", "mov qword ptr [rsp], rax"),
            ("48 3d 01 f0 ff ff", "cmp rax, -0xfff"),
            ("73 06", "jae 0x36"),
            ("48 83 c4 40", "add rsp, 0x40"),
            ("eb ca", "jmp 0"),
            ("48 8b 64 24 38", "mov rsp, qword ptr [rsp + 0x38]"),
            ("eb c3", "jmp 0"),
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
    read_clock=READ_CLOCK,
)
