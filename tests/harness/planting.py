"""
A function in assembly that loads every register from memory, spins, and stores them.

``plant(buffer)``: the stack pointer goes to the buffer, whose first word counts down
the spins.  What is loaded lies `IN` bytes behind its start, what is stored `size` bytes
behind that.  Registers that a caller needs are put aside meanwhile.

A case describes its registers as the assembler and as blcr call them; nothing here
comes from blcr.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

IN = 64


class Bank(NamedTuple):
    """
    Registers of one sort.

    Attributes:
        registers: As the assembler calls them, and what blcr calls their parts in order
            of address.
        size: Bytes of each.
        load, store: Instructions, with ``{r}`` for the register, ``{base}`` for the one
            that points into the buffer, and ``{at}`` for the offset.
        kept: Those that belong to the caller.
    """

    registers: tuple[tuple[str, tuple[str, ...]], ...]
    size: int
    load: str
    store: str
    kept: frozenset[str] = frozenset()


class Planting(NamedTuple):
    """
    How the registers of an architecture are loaded and stored.

    Attributes:
        banks: All that a program may use but the stack pointer and a scratch register.
        sp: The stack pointer.
        argument: The register with the function's argument, after `enter`.
        move: An instruction, with ``{to}`` and ``{of}``.
        save_sp, load_sp: As in `Bank`.
        spin: Counts the word at the stack pointer down to zero.
        leave: Returns.
        enter: What comes before all.
        flags: For the compiler.
    """

    banks: tuple[Bank, ...]
    sp: str
    argument: str
    move: str
    save_sp: str
    load_sp: str
    spin: str
    leave: str
    enter: str = ""
    flags: tuple[str, ...] = ()

    def places(self) -> Iterator[tuple[Bank, str, tuple[str, ...], int]]:
        """Yield all registers, and where each lies behind the start of all."""
        at = 0
        for bank in self.banks:
            at = -(-at // bank.size) * bank.size
            for register, names in bank.registers:
                yield bank, register, names, at
                at += bank.size

    @property
    def size(self) -> int:
        """Bytes of all registers."""
        end = max(at + bank.size for bank, _, _, at in self.places())
        return -(-end // 16) * 16

    def parts(self) -> dict[str, tuple[int, int]]:
        """Return offset and size of each part by blcr's name."""
        return {
            name: (at + i * bank.size // len(names), bank.size // len(names))
            for bank, _, names, at in self.places()
            for i, name in enumerate(names)
        }

    def assembly(self) -> str:
        """Return the function."""
        places = list(self.places())
        kept = [(bank, r) for bank, r, _, _ in places if r in bank.kept]
        aside = IN + 2 * self.size
        save = [(bank, r, aside + 16 * i) for i, (bank, r) in enumerate(kept, 1)]
        lines = [".text", ".globl plant", "plant:", self.enter]
        for bank, r, at in save:
            lines.append(bank.store.format(r=r, at=at, base=self.argument))
        lines.append(self.save_sp.format(at=aside, base=self.argument))
        lines.append(self.move.format(to=self.sp, of=self.argument))
        for bank, r, _, at in places:
            lines.append(bank.load.format(r=r, at=IN + at, base=self.sp))
        lines.append(self.spin)
        for bank, r, _, at in places:
            out = IN + self.size + at
            lines.append(bank.store.format(r=r, at=out, base=self.sp))
        lines.append(self.move.format(to=self.argument, of=self.sp))
        for bank, r, at in save:
            lines.append(bank.load.format(r=r, at=at, base=self.argument))
        lines += [self.load_sp.format(at=aside, base=self.argument), self.leave]
        return "\n".join(lines) + "\n"


def named(*registers: str, prefix: str = "") -> tuple[tuple[str, tuple[str, ...]], ...]:
    """Return registers that blcr calls as the assembler does, with a prefix less."""
    return tuple((f"{prefix}{name}", (name,)) for name in registers)


def power_pc(word: int, *, vectors: tuple[str, str], vsx: bool) -> Planting:
    """
    Return what the family of PowerPC has in common.

    Args:
        word: Bytes of a general register.
        vectors: What blcr calls the halves of a vector register, in order of address.
        vsx: Load the registers of that unit, the first halves of which are those for
            floating point.
    """
    load, store = ("lwz", "stw") if word == 4 else ("ld", "std")
    kept = frozenset(map(str, (2, *range(13, 32))))
    floating = Bank(
        tuple((str(i), (f"fpr{i}",)) for i in range(32)),
        8,
        "lfd {r}, {at}({base})",
        "stfd {r}, {at}({base})",
        frozenset(map(str, range(14, 32))),
    )
    if vsx:
        floating = Bank(
            tuple((str(i), (f"fpr{i}", f"vs{i}_low")) for i in range(32)),
            16,
            "li 0, {at}; lxvd2x {r}, {base}, 0",
            "li 0, {at}; stxvd2x {r}, {base}, 0",
            frozenset(map(str, range(14, 32))),
        )
    return Planting(
        banks=(
            Bank(
                tuple((str(i), (f"gpr{i}",)) for i in range(2, 32)),
                word,
                f"{load} {{r}}, {{at}}({{base}})",
                f"{store} {{r}}, {{at}}({{base}})",
                kept,
            ),
            Bank(
                (("ctr", ("ctr",)), ("lr", ("link",))),
                word,
                f"{load} 0, {{at}}({{base}}); mt{{r}} 0",
                f"mf{{r}} 0; {store} 0, {{at}}({{base}})",
                frozenset({"lr"}),
            ),
            floating,
            Bank(
                tuple(
                    (str(i), tuple(f"vr{i}_{h}" for h in vectors)) for i in range(32)
                ),
                16,
                "li 0, {at}; lvx {r}, {base}, 0",
                "li 0, {at}; stvx {r}, {base}, 0",
                frozenset(map(str, range(20, 32))),
            ),
        ),
        sp="1",
        argument="3",
        move="mr {to}, {of}",
        save_sp=f"{store} 1, {{at}}({{base}})",
        load_sp=f"{load} 1, {{at}}({{base}})",
        spin=f"1: {load} 0, 0(1); addic. 0, 0, -1; {store} 0, 0(1); bne 1b",
        leave="blr",
        flags=("-maltivec", "-mvsx") if vsx else ("-maltivec",),
    )
