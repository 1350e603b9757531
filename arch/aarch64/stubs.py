"""
Machine code.

Source: Arm Architecture Reference Manual for A-profile; __kernel_rt_sigreturn in
arch/arm64/kernel/vdso/sigreturn.S; Linux 6.12.
"""

from __future__ import annotations

from blcr.architecture import Gadget, Gadgets, Listing, Registers, Stubs

_CALL = ("01 00 00 d4", "svc #0")
_RETURN = ("c0 03 5f d6", "ret")
_RT_SIGRETURN = Listing((("68 11 80 d2", "mov x8, #0x8b"), _CALL))

STUBS = Stubs(
    call=Listing((_CALL, ("00 00 20 d4", "brk #0"))),
    fallback=Listing((("08 00 80 d2", "mov x8, #0"), _CALL, _RETURN)),
    # Sixteen bits of the first instruction.
    fallback_number=(0, 4, 5),
    returns=(_RT_SIGRETURN,),
)


def _enter(regs: Registers, back: int) -> Registers:
    """Return registers with which a function returns to an address."""
    return {**regs, "x30": back}


GADGETS = Gadgets(
    call=(
        # C libraries have it at the end of what cannot fail.
        Gadget(Listing((_CALL, _RETURN)).code),
        # The vdso's, which does not come back where the CPU checks signed addresses.
        Gadget(Listing((_CALL, ("bf 23 03 d5", "autiasp"), _RETURN)).code),
    ),
    sigreturn=(_RT_SIGRETURN.code,),
    enter=_enter,
)
