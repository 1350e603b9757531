"""Machine code."""

from __future__ import annotations

from blcr.architecture import Listing, Stubs

STUBS = Stubs(
    call=Listing(
        (
            ("44 00 00 02", "sc"),
            ("7f e0 00 08", "trap"),
        )
    ),
    fallback=Listing(
        (
            ("38 00 00 00", "li r0, 0"),
            ("44 00 00 02", "sc"),
            ("4e 80 00 20", "blr"),
        )
    ),
    fallback_number=(2, 2),
)

# What the kernel leaves in a frame where there is no vdso.
SIGRETURN = Listing(
    (
        ("38 00 00 77", "li r0, 0x77"),
        ("44 00 00 02", "sc"),
    )
)
RT_SIGRETURN = Listing(
    (
        ("38 00 00 ac", "li r0, 0xac"),
        ("44 00 00 02", "sc"),
    )
)
