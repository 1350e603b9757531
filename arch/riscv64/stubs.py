"""Machine code."""

from __future__ import annotations

from blcr.architecture import Listing, Stubs

SIGRETURN = Listing(
    (
        ("93 08 b0 08", "addi a7, zero, 0x8b"),
        ("73 00 00 00", "ecall"),
    )
)

STUBS = Stubs(
    call=Listing(
        (
            ("73 00 00 00", "ecall"),
            ("73 00 10 00", "ebreak"),
        )
    ),
    fallback=Listing(
        (
            ("93 08 00 00", "mv a7, zero"),
            ("73 00 00 00", "ecall"),
            ("67 80 00 00", "ret"),
        )
    ),
    # The upper twelve bits of the first instruction.
    fallback_number=(2, 2, 4),
    returns=(SIGRETURN,),
)
