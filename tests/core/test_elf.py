"""What is read of ELF files, and the seed that is made."""

from __future__ import annotations

import struct

from hypothesis import given
from hypothesis import strategies as st

from blcr import registry
from blcr.linux import elf

# A header of 64 bytes with one program header, a note at 0x78: elf(5).
_NOTE = struct.pack("<3I", 4, 3, 3) + b"GNU\0\x01\xab\xff\0"
_FILE = (
    b"\x7fELF\2\1\1".ljust(16, b"\0")
    + struct.pack("<2HI3QI6H", 3, 62, 1, 0, 64, 0, 0, 64, 56, 1, 0, 0, 0)
    + struct.pack("<2I6Q", 4, 4, 0x78, 0x78, 0x78, len(_NOTE), len(_NOTE), 4)
    + _NOTE
)


def test_build_id_is_found() -> None:
    """It is the description of the note of type 3 by GNU."""
    assert elf.build_id(_FILE) == "01abff"
    assert elf.identity(_FILE) == (62, 8, "little")


@given(st.integers(0, len(_FILE) - 1), st.binary(max_size=8), st.integers(0, 200))
def test_damaged_file_has_some_build_id_or_none(
    at: int, other: bytes, size: int
) -> None:
    """Whatever is in a file is no reason to fail."""
    damaged = (_FILE[:at] + other + _FILE[at + len(other) :])[:size]

    assert isinstance(elf.build_id(damaged), str)
    assert isinstance(elf.identity(damaged), tuple)


def test_seed_is_an_executable_of_its_architecture() -> None:
    """One page, with an entry inside it and a stack that is not executable."""
    for name in registry.names():
        arch = registry.get(name)
        seed = elf.seed(arch)
        order = "<" if arch.layout.byteorder == "little" else ">"
        word = "Q" if arch.word_size == 8 else "I"
        kind, machine, _version, entry = struct.unpack_from(
            f"{order}2HI{word}", seed, 16
        )

        assert len(seed) == arch.page_size
        assert (kind, machine) == (2, arch.elf_machine)
        assert elf.identity(seed) == (
            arch.elf_machine,
            arch.word_size,
            arch.layout.byteorder,
        )
        assert seed[entry % arch.page_size :].startswith(arch.stubs.call.code)
