"""Machine code of 32-bit processes."""

from __future__ import annotations

from blcr.architecture import Gadget, Gadgets, Listing, Stubs

from .abi import READ_CLOCK

# What the vdso has, and the kernel leaves in a frame for debuggers to recognise it by.
SIGRETURN = Listing(
    (
        ("58", "pop eax"),
        ("b8 77 00 00 00", "mov eax, 0x77"),
        ("cd 80", "int 0x80"),
    )
)
RT_SIGRETURN = Listing(
    (
        ("b8 ad 00 00 00", "mov eax, 0xad"),
        ("cd 80", "int 0x80"),
    )
)

STUBS = Stubs(
    call=Listing(
        (
            ("cd 80", "int 0x80"),
            ("cc", "int3"),
        )
    ),
    batch=Listing(
        (
            ("8b 04 24", "mov eax, dword ptr [esp]"),
            ("8b 5c 24 04", "mov ebx, dword ptr [esp + 4]"),
            ("8b 4c 24 08", "mov ecx, dword ptr [esp + 8]"),
            ("8b 54 24 0c", "mov edx, dword ptr [esp + 0xc]"),
            ("8b 74 24 10", "mov esi, dword ptr [esp + 0x10]"),
            ("8b 7c 24 14", "mov edi, dword ptr [esp + 0x14]"),
            ("8b 6c 24 18", "mov ebp, dword ptr [esp + 0x18]"),
            ("cd 80", "int 0x80"),
            ("89 04 24", "mov dword ptr [esp], eax"),
            ("3d 01 f0 ff ff", "cmp eax, 0xfffff001"),
            ("73 05", "jae 0x2c"),
            ("83 c4 20", "add esp, 0x20"),
            ("eb d4", "jmp 0"),
            ("8b 64 24 1c", "mov esp, dword ptr [esp + 0x1c]"),
            ("eb ce", "jmp 0"),
        )
    ),
    # A C function: arguments on the stack, ebx, esi and edi to be preserved.
    fallback=Listing(
        (
            ("53", "push ebx"),
            ("56", "push esi"),
            ("57", "push edi"),
            ("8b 5c 24 10", "mov ebx, dword ptr [esp + 0x10]"),
            ("8b 4c 24 14", "mov ecx, dword ptr [esp + 0x14]"),
            ("8b 54 24 18", "mov edx, dword ptr [esp + 0x18]"),
            ("8b 74 24 1c", "mov esi, dword ptr [esp + 0x1c]"),
            ("8b 7c 24 20", "mov edi, dword ptr [esp + 0x20]"),
            ("b8 00 00 00 00", "mov eax, 0"),
            ("cd 80", "int 0x80"),
            ("5f", "pop edi"),
            ("5e", "pop esi"),
            ("5b", "pop ebx"),
            ("c3", "ret"),
        )
    ),
    fallback_number=(24, 4),
    jump=Listing(
        (
            ("b8 00 00 00 00", "mov eax, 0"),
            ("ff e0", "jmp eax"),
        )
    ),
    jump_target=(1, 4),
    returns=(RT_SIGRETURN, SIGRETURN),
)

GADGETS = Gadgets(
    call=(
        Gadget(bytes.fromhex("cd 80 c3")),
        # The end of the vdso's __kernel_vsyscall.
        Gadget(bytes.fromhex("cd 80 5d 5a 59 c3"), pops=3),
    ),
    sigreturn=(RT_SIGRETURN.code,),
    pop_number=bytes.fromhex("58 c3"),
    read_clock=READ_CLOCK,
)
