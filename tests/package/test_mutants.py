"""The tests of architectures notice small errors."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from every_arch import test_registers, test_signals, test_stubs, test_syscalls

from blcr.architecture import Arch, Listing, RegisterSet
from harness import Case

MODULES = (test_registers, test_stubs, test_syscalls, test_signals)
SA_SIGINFO, EINTR = 4, 4


def another_machine(arch: Arch) -> Arch:
    """The number of another architecture in ELF headers."""
    return arch._replace(elf_machine=arch.elf_machine + 1)


def swapped_arguments(arch: Arch) -> Arch:
    """The second and third argument of a call in each other's registers."""
    first, second, third, *rest = arch.call_args
    names = {second: third, third: second}

    def begin_call(
        regs: dict[str, int], number: int, args: tuple[int, ...]
    ) -> dict[str, int]:
        made = arch.begin_call(regs, number, args)
        return {name: made[names.get(name, name)] for name in made}

    return arch._replace(call_args=(first, third, second, *rest), begin_call=begin_call)


def swapped_numbers(arch: Arch) -> Arch:
    """Two calls under each other's numbers."""
    calls = arch.syscalls
    swapped = {"munmap": calls["mprotect"], "mprotect": calls["munmap"]}
    return arch._replace(syscalls={**calls, **swapped})


def another_byte(arch: Arch) -> Arch:
    """One bit of machine code the other way round."""
    (code, assembly), *rest = arch.stubs.call.rows
    flipped = bytes.fromhex(code)[:-1] + bytes([bytes.fromhex(code)[-1] ^ 1])
    call = Listing(((flipped.hex(" "), assembly), *rest))
    return arch._replace(stubs=arch.stubs._replace(call=call))


def no_failures(arch: Arch) -> Arch:
    """The error flag of a call overlooked."""
    return arch._replace(call_result=lambda regs: regs[arch.result])


def short_rewind(arch: Arch) -> Arch:
    """The pc one byte behind the instruction."""

    def rewind_call(regs: dict[str, int], call: Any) -> dict[str, int]:  # noqa: ANN401
        made = arch.rewind_call(regs, call)
        return {**made, arch.pc: made[arch.pc] + 1}

    return arch._replace(rewind_call=rewind_call)


def swapped_registers(arch: Arch) -> Arch:
    """Two registers of the general set in each other's places."""
    first, second, *rest = arch.gp.registers
    rows = [first._replace(name=second.name), second._replace(name=first.name), *rest]
    gp = RegisterSet.of(
        arch.gp.name,
        note_type=arch.gp.note_type,
        size=arch.gp.size,
        registers=rows,
        byteorder=arch.gp.byteorder,
    )
    return arch._replace(register_sets=(gp, *arch.register_sets[1:]))


def forgotten_mask(arch: Arch) -> Arch:
    """A return from a signal that unblocks everything."""

    def parse(*args: Any) -> Any:  # noqa: ANN401
        return arch.frame.parse(*args)._replace(mask=0)

    return arch._replace(frame=arch.frame._replace(parse=parse))


MUTANTS = [
    another_machine,
    swapped_arguments,
    swapped_numbers,
    another_byte,
    no_failures,
    short_rewind,
    swapped_registers,
    forgotten_mask,
]


@pytest.mark.parametrize("mutant", MUTANTS)
def test_some_test_fails(
    arch: Arch, case: Case, mutant: Callable[[Arch], Arch]
) -> None:
    """Of the tests that pass for the architecture, one fails for the mutant."""
    assert next(failures(arch, case), None) is None

    assert next(failures(mutant(arch), case), None) is not None


def failures(arch: Arch, case: Case) -> Iterator[str]:
    """Yield the names of the tests that fail, the others having passed."""
    regs = {row.name: 0x1000 + 16 * i for i, row in enumerate(arch.gp.registers)}
    given: dict[str, object] = {"arch": arch, "case": case, "regs": regs}
    given |= {"flags": SA_SIGINFO, "seed": 1, "error": EINTR}
    for check in checks():
        wanted = inspect.signature(check).parameters
        try:
            check(**{name: given[name] for name in wanted})
        except AssertionError:
            yield check.__name__
        except pytest.skip.Exception:
            continue


def checks() -> Iterator[Callable[..., None]]:
    """Yield the tests that look at one architecture."""
    for module in MODULES:
        for name, check in vars(module).items():
            if (
                name.startswith("test_")
                and "arch" in inspect.signature(check).parameters
            ):
                yield check
