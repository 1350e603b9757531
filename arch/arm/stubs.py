"""
Machine code, all of it ARM.

Source: ARM Architecture Reference Manual ARMv7-A; the undefined instruction that is a
breakpoint: arch/arm/kernel/ptrace.c; what handlers return to: sigreturn_codes.S there;
Linux 6.12.
"""

from __future__ import annotations

from blcr.architecture import Gadget, Gadgets, Listing, Registers, Stubs

from .registers import FLAGS, IF_THEN, THUMB, USER_MODE

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
    # Programs may begin in Thumb code.
    state={"cpsr": USER_MODE},
)

# In the page that the kernel shows to every program: the call, in the code for frames
# without siginfo, then that in Thumb, which as ARM code is a call made if "less or
# equal", then the code for frames with siginfo.  Calls have their number in r7 and,
# for kernels that know the older convention, in the instruction, too.
_KERNEL_RT_SIGRETURN = Listing(
    (
        ("ad 70 a0 e3", "mov r7, #0xad"),
        ("ad 00 90 ef", "svc #0x9000ad"),
    )
)
_KERNEL_CALL = Listing(
    (
        ("77 00 90 ef", "svc #0x900077"),
        ("77 27 00 df", "svcle #0x2777"),
        *_KERNEL_RT_SIGRETURN.rows,
    )
)


def _enter(regs: Registers, _back: int) -> Registers:
    """Return registers of ARM code for which nothing is less or equal."""
    return {**regs, "cpsr": regs["cpsr"] & ~(FLAGS | IF_THEN | THUMB)}


GADGETS = Gadgets(
    call=(Gadget(_KERNEL_CALL.code),),
    sigreturn=(_KERNEL_RT_SIGRETURN.code,),
    enter=_enter,
    home="[sigpage]",
)
