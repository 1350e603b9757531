"""
Machine code, all of it ARM.

Source: ARM Architecture Reference Manual ARMv7-A; the undefined instruction that is a
breakpoint: arch/arm/kernel/ptrace.c; what handlers return to: sigreturn_codes.S there;
Linux 6.12.
"""

from __future__ import annotations

from blcr.architecture import Listing, Stubs

_CALL = ("00 00 00 ef", "svc #0")

RT_SIGRETURN = Listing((("ad 70 a0 e3", "mov r7, #0xad"), _CALL))
SIGRETURN = Listing((("77 70 a0 e3", "mov r7, #0x77"), _CALL))

STUBS = Stubs(
    call=Listing((_CALL, ("f0 01 f0 e7", "udf #0x10"))),
    fallback=Listing(
        (
            ("04 70 2d e5", "str r7, [sp, #-4]!"),
            ("00 70 00 e3", "movw r7, #0"),
            _CALL,
            ("04 70 9d e4", "pop {r7}"),
            ("1e ff 2f e1", "bx lr"),
        )
    ),
    # The lower twelve bits of the second instruction.
    fallback_number=(4, 4),
    returns=(RT_SIGRETURN, SIGRETURN),
)
