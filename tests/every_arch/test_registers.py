"""Register sets against the kernel's headers, and there and back again."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from blcr import registry
from blcr.architecture import Arch, RegisterSet, check
from harness import Case, headers


def test_roles_name_registers(arch: Arch) -> None:
    """The definition does not contradict itself."""
    check(arch)


def test_identity_is_that_of_elf(arch: Arch, case: Case) -> None:
    """The registry finds the architecture by what an ELF header has."""
    found = registry.find(case.elf_machine, arch.word_size, arch.layout.byteorder)

    assert found.name == arch.name
    assert arch.elf_machine == case.elf_machine


def test_registers_lie_where_the_kernel_puts_them(arch: Arch, case: Case) -> None:
    """Offsets and sizes equal offsetof and sizeof in the kernel's header."""
    for register_set in arch.register_sets:
        if not (struct := case.structs.get(register_set.name)):
            continue
        claims = []
        for register in register_set.registers:
            member = struct.members.get(register.name, register.name)
            offset = f"__builtin_offsetof({struct.type}, {member})"
            claims.append(f"{offset} == {register.offset}")

        found = headers.complaints(arch.name, [struct.header], claims)

        assert found == ""


ENCODABLE = [
    (name, register_set)
    for name in registry.names()
    for register_set in registry.get(name).register_sets
]


@given(data=st.data())
def test_what_is_encoded_is_decoded(data: st.DataObject) -> None:
    """Decoding undoes encoding, and bytes that belong to no register stay."""
    _, register_set = data.draw(st.sampled_from(ENCODABLE))
    size = register_set.size or 576
    before = data.draw(st.binary(min_size=size, max_size=size))
    regs = data.draw(_values(register_set))

    encoded = register_set.encode(regs, before)

    assert register_set.decode(encoded) == {**register_set.decode(before), **regs}
    assert register_set.encode(register_set.decode(before), encoded) == before


def _values(register_set: RegisterSet) -> st.SearchStrategy[dict[str, int]]:
    return st.fixed_dictionaries(
        {},
        optional={
            row.name: st.integers(0, (1 << 8 * row.size) - 1)
            for row in register_set.registers
        },
    )
