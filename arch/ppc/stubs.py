"""Machine code, written as big-endian words; `listing` gives it either byte order."""

from __future__ import annotations

from blcr.architecture import Layout, Listing, Stubs

TRAP = ("7f e0 00 08", "trap")


def listing(byteorder: str, *rows: tuple[str, str]) -> Listing:
    """Return rows of big-endian hex and assembly as code in a byte order."""
    step = 1 if byteorder == "big" else -1
    return Listing(tuple((" ".join(row.split()[::step]), text) for row, text in rows))


def sigreturn(byteorder: str, number: int) -> Listing:
    """Return the code that ends a handler, in a frame or in the vdso."""
    load = (f"38 00 00 {number:02x}", f"li r0, {number:#x}")
    return listing(byteorder, load, ("44 00 00 02", "sc"))


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
