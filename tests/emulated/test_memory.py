"""RAM, areas and the page table."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blcr.host.emulated.memory import (
    DIRTY,
    EXECUTE,
    FORCE,
    PAGE,
    READ,
    WRITE,
    AddressSpace,
    Area,
    Backing,
    FileWindow,
    MappedFile,
    Ram,
    SharedObject,
)

LIMIT = 1 << 32
RW = READ | WRITE


def make_space() -> AddressSpace:
    """Return an empty address space on a small RAM."""
    return AddressSpace(Ram(1 << 20, 1 << 20), LIMIT)


@pytest.fixture
def space() -> AddressSpace:
    """Give an empty address space."""
    return make_space()


def test_untouched_memory_reads_as_zero_and_takes_no_frame(space: AddressSpace) -> None:
    """Reading gives zeros from the common frame; a page that was written is dirty."""
    space.add(Area(0x1000, 0x4000, RW))

    assert space.read(0x1FFF, 2) == b"\0\0"
    assert not space.translate(0x1000, READ) & DIRTY

    space.write(0x1FFF, b"ab")

    assert space.read(0x1FFE, 4) == b"\0ab\0"
    assert list(space.dirty_runs(space.areas[0])) == [(0x1000, 0x3000)]


@pytest.mark.parametrize(
    ("protection", "access", "allowed"),
    [
        (READ, READ, True),
        (READ, WRITE, False),
        (READ, EXECUTE, False),
        (WRITE, READ, True),  # no CPU here writes what it cannot read
        (EXECUTE, EXECUTE, True),
        (0, READ, False),
        (0, READ | FORCE, True),
        (0, WRITE | FORCE, True),
    ],
)
def test_protection_decides(
    protection: int, access: int, allowed: bool, space: AddressSpace
) -> None:
    """An access that the protection forbids is refused, unless it is ours."""
    space.add(Area(0x1000, 0x2000, protection))

    assert bool(space.translate(0x1234, access)) == allowed
    assert allowed or space.refusal == ("SIGSEGV", "SEGV_ACCERR")


def test_hole_is_a_mapping_error(space: AddressSpace) -> None:
    """Where nothing is mapped, the guest is told so."""
    assert not space.translate(0x5000, READ)
    assert space.refusal == ("SIGSEGV", "SEGV_MAPERR")
    with pytest.raises(OSError, match="Bad address"):
        space.read(0x5000, 1)


def test_private_file_pages_are_copies(space: AddressSpace, tmp_path: Path) -> None:
    """Writing changes the memory only; beyond the end of the file is SIGBUS."""
    path = tmp_path / "file"
    path.write_bytes(b"x" * 5000)
    with path.open("rb") as stream:
        file = MappedFile(stream.fileno(), str(path), writable=False)
    space.add(Area(0x1000, 0x4000, RW, Backing(file)))

    space.write(0x1000, b"new")

    assert space.read(0x1000, 4) == b"newx"
    assert space.read(0x1000 + 4999, 2) == b"x\0"
    assert path.read_bytes() == b"x" * 5000
    assert list(space.dirty_runs(space.areas[0])) == [(0x1000, 0x2000)]
    assert not space.translate(0x3000, READ)
    assert space.refusal == ("SIGBUS", "BUS_ADRERR")


def test_shared_file_is_the_file(space: AddressSpace, tmp_path: Path) -> None:
    """What is written to memory is in the file, and the other way round."""
    path = tmp_path / "file"
    path.write_bytes(bytes(PAGE))
    with path.open("r+b") as stream:
        file = MappedFile(stream.fileno(), str(path), writable=True)
        window = FileWindow(space.ram, file, 0, PAGE)
        space.add(Area(0x1000, 0x2000, RW, Backing(file, window)))

        space.write(0x1004, b"guest")
        os.pwrite(stream.fileno(), b"host", 100)

    assert path.read_bytes()[4:9] == b"guest"
    assert space.read(0x1000 + 100, 4) == b"host"


def test_shared_object_shows_in_all_its_views(space: AddressSpace) -> None:
    """Two areas of one object are the same memory."""
    shared = SharedObject(space.ram, 0x2000)
    space.add(Area(0x1000, 0x3000, RW, Backing(shared=shared)))
    space.add(Area(0x8000, 0x9000, RW, Backing(shared=shared), offset=0x1000))

    space.write(0x2000, b"both")

    assert space.read(0x8000, 4) == b"both"


def test_moved_pages_keep_what_they_hold(space: AddressSpace) -> None:
    """Moving takes pages along; where they were is nothing."""
    space.add(Area(0x1000, 0x3000, RW))
    space.write(0x1000, b"here")

    space.move(0x1000, 0x3000, 0x10000, 0x4000)

    assert space.read(0x10000, 4) == b"here"
    assert space.find(0x1000) is None
    assert space.find(0x13FFF) is not None


def test_ram_that_is_used_up_is_enomem(space: AddressSpace) -> None:
    """More than RAM can hold is refused; what was given back can be had again."""
    size = space.ram.size
    space.add(Area(0x100000, 0x100000 + size, RW))
    with pytest.raises(OSError, match="Cannot allocate"):
        space.add(Area(0, PAGE, RW))
    space.remove(0x100000, 0x100000 + size)
    space.add(Area(0, PAGE, RW))


def test_stack_grows_down_to_its_limit(space: AddressSpace) -> None:
    """A touch below a stack extends it, but not beyond the limit."""
    space.add(Area(0x8000_0000, 0x8000_2000, RW, grows_down=True))

    assert space.translate(0x8000_0000 - 5 * PAGE, WRITE)
    assert space.find(0x8000_0000 - 5 * PAGE) is not None
    assert not space.translate(0x8000_2000 - space.stack_limit - PAGE, WRITE)


PAGES = 24
RANGES = st.tuples(st.integers(0, PAGES - 1), st.integers(1, 8)).map(
    lambda pair: (pair[0] * PAGE, min(sum(pair), PAGES) * PAGE)
)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("map"), RANGES, st.sampled_from([READ, RW])),
        st.tuples(st.just("unmap"), RANGES, st.just(0)),
        st.tuples(st.just("protect"), RANGES, st.sampled_from([0, READ, RW])),
        st.tuples(st.just("write"), RANGES, st.integers(1, 255)),
    ),
    max_size=30,
)


@given(STEPS)
def test_areas_and_pages_are_as_a_simple_model_has_them(
    steps: list[tuple[str, tuple[int, int], int]],
) -> None:
    """Any sequence of calls leaves each page mapped, protected and filled as told."""
    space = make_space()
    model: dict[int, list[int]] = {}
    for step, (start, end), value in steps:
        pages = range(start // PAGE, end // PAGE)
        if step == "map":
            space.add(Area(start, end, value))
            model.update({page: [value, 0] for page in pages})
        elif step == "unmap":
            space.remove(start, end)
            for page in pages:
                model.pop(page, None)
        elif step == "protect" and all(page in model for page in pages):
            space.protect(start, end, value)
            for page in pages:
                model[page][0] = value
        elif step == "write" and all(page in model for page in pages):
            space.write(start, bytes([value]) * (end - start), WRITE | FORCE)
            for page in pages:
                model[page][1] = value

    for page in range(PAGES):
        area = space.find(page * PAGE)
        assert (area is not None) == (page in model)
        if area is not None:
            assert area.protection == model[page][0]
            held = space.read(page * PAGE, PAGE, READ | FORCE)
            assert held == bytes([model[page][1]]) * PAGE
    assert all(
        a.end <= b.start for a, b in zip(space.areas, space.areas[1:], strict=False)
    )
    assert space.ram.committed == len(model) * PAGE
