"""Machine code, written as big-endian words; `listing` gives it either byte order."""

from __future__ import annotations

from blcr.architecture import Gadget, Gadgets, Layout, Listing, Registers, Stubs

TRAP = ("7f e0 00 08", "trap")


def listing(byteorder: str, *rows: tuple[str, str]) -> Listing:
    """Return rows of big-endian hex and assembly as code in a byte order."""
    step = 1 if byteorder == "big" else -1
    return Listing(tuple((" ".join(row.split()[::step]), text) for row, text in rows))


def sigreturn(byteorder: str, number: int) -> Listing:
    """Return the code that ends a handler, in a frame or in the vdso."""
    load = (f"38 00 00 {number:02x}", f"li r0, {number:#x}")
    return listing(byteorder, load, ("44 00 00 02", "sc"))


def _enter(regs: Registers, back: int) -> Registers:
    """Return registers with which a function returns to an address."""
    return {**regs, "link": back}


def gadgets(layout: Layout, way_back: Listing) -> Gadgets:
    """
    Return the code to look for.

    So ask the functions of the vdso that tell the time the kernel, and make the errno
    of a call that failed negative.
    """
    call, negate = ("44 00 00 02", "sc"), ("7c 63 00 d0", "neg r3, r3")
    extend, leave = ("7c 63 07 b4", "extsw r3, r3"), ("4e 80 00 20", "blr")
    # With and without a hint that most calls do not fail.
    jumps = ("40 a3 00 08", "bns 0xc"), ("40 e3 00 08", "bns+ 0xc")
    rows = [
        (call, jump, negate, *rest)
        for jump in jumps
        for rest in ((leave,), (extend, leave))
    ]
    return Gadgets(
        call=tuple(Gadget(listing(layout.byteorder, *one).code) for one in rows),
        sigreturn=(way_back.code,),
        enter=_enter,
        home="[vdso]",
    )


def stubs(layout: Layout, *returns: Listing) -> Stubs:
    """Return the stubs, which but for the returns all members of the family share."""
    order = layout.byteorder
    return Stubs(
        call=listing(order, ("44 00 00 02", "sc"), TRAP),
        fallback=listing(
            order,
            ("38 00 00 00", "li r0, 0"),
            ("44 00 00 02", "sc"),
            ("4e 80 00 20", "blr"),
        ),
        fallback_number=(2 if order == "big" else 0, 2),
        returns=returns,
        veil=listing(order, ("60 00 00 00", "nop")),
    )
