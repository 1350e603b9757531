"""
Machine code.

Source: Arm Architecture Reference Manual for A-profile; __kernel_rt_sigreturn in
arch/arm64/kernel/vdso/sigreturn.S; Linux 6.12.
"""

from __future__ import annotations

from blcr.architecture import Listing, Stubs

_CALL = ("01 00 00 d4", "svc #0")

STUBS = Stubs(
    call=Listing((_CALL, ("00 00 20 d4", "brk #0"))),
    fallback=Listing((("08 00 80 d2", "mov x8, #0"), _CALL, ("c0 03 5f d6", "ret"))),
    # Sixteen bits of the first instruction.
    fallback_number=(0, 4, 5),
    returns=(Listing((("68 11 80 d2", "mov x8, #0x8b"), _CALL)),),
)
