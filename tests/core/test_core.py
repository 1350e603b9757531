"""A process as an ELF core: pages in any order, and what other tools make of it."""

from __future__ import annotations

import errno
import os
import re
import shutil
import subprocess
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from blcr import registry
from blcr.architecture import Arch
from blcr.context import core, records
from blcr.context.archive import ContextReader
from blcr.context.container import BLOCK, ContainerReader, ContainerWriter
from blcr.errors import ContextError, TargetError
from harness import contexts
from harness.contexts import PAGE, PID

ARCHS = [registry.get(name) for name in registry.names()]
SPACE = 0x10_0000
"""Where the tests' mappings begin."""


@contextmanager
def saved(
    arch: Arch,
    mappings: tuple[records.Mapping, ...],
    writes: list[contexts.Write],
    present: list[tuple[int, int]] | None = None,
) -> Iterator[core.CoreReader]:
    """Save pages and lend the core that has them."""
    whole = contexts.context(arch)
    process = whole.processes[0]._replace(mappings=mappings)
    with contexts.memory_file() as fd:
        contexts.write(
            fd,
            arch,
            whole._replace(processes=(process,), shared_memory=()),
            writes,
            present=present,
        )
        os.lseek(fd, 0, os.SEEK_SET)
        with ContextReader(fd, "c") as reader:
            reader.verify()
            yield reader.core(PID)


# Pages.


@st.composite
def layouts(draw: st.DrawFn) -> tuple[records.Mapping, ...]:
    """Return mappings of one to five pages, some of them next to each other."""
    mappings, at = [], SPACE
    for _ in range(draw(st.integers(1, 4))):
        at += draw(st.integers(0, 2)) * PAGE
        end = at + draw(st.integers(1, 5)) * PAGE
        mappings.append(records.Mapping(at, end, draw(st.integers(0, 7))))
        at = end
    return tuple(mappings)


@settings(max_examples=100)
@given(
    st.sampled_from(ARCHS),
    layouts(),
    st.lists(st.tuples(st.integers(0, 24), st.integers(1, 6)), max_size=8),
)
def test_pages_in_any_order_read_as_they_were_last(
    arch: Arch, mappings: tuple[records.Mapping, ...], rounds: list[tuple[int, int]]
) -> None:
    """The latest copy counts; pages that are mapped no more are left out."""
    writes = []
    expected: dict[int, int] = {}
    for stamp, (page, count) in enumerate(rounds, start=1):
        start = SPACE + page * PAGE
        writes.append((start, bytes([stamp]) * count * PAGE))
        expected |= dict.fromkeys(range(start, start + count * PAGE, PAGE), stamp)
    mapped = {page for each in mappings for page in range(each.start, each.end, PAGE)}

    with saved(arch, mappings, writes) as process:
        found = {
            page: data[0]
            for page in range(SPACE, SPACE + 40 * PAGE, PAGE)
            if (data := process.read(page, PAGE)) is not None
        }
        runs = process.runs()

    assert found == {page: stamp for page, stamp in expected.items() if page in mapped}
    assert runs == sorted(runs, key=lambda run: run[1])
    assert sum(size for _, _, size in runs) == PAGE * len(found)


def test_contiguous_pages_are_one_segment() -> None:
    """Calls that continue each other make one run."""
    mappings = (records.Mapping(SPACE, SPACE + 8 * PAGE, 3),)
    writes = [(SPACE + index * PAGE, bytes([index]) * PAGE) for index in range(8)]

    with saved(ARCHS[0], mappings, writes) as process:
        assert process.runs() == [(2 * BLOCK, SPACE, 8 * PAGE)]


def test_a_run_is_cut_where_mappings_meet() -> None:
    """Neighbours with other protection have segments of their own."""
    middle = SPACE + PAGE
    mappings = (
        records.Mapping(SPACE, middle, 3),
        records.Mapping(middle, middle + PAGE, 1),
    )

    with saved(ARCHS[0], mappings, [(SPACE, bytes(2 * PAGE))]) as process:
        assert [run[1:] for run in process.runs()] == [(SPACE, PAGE), (middle, PAGE)]


def test_saved_pages_that_are_there_no_more_are_left_out(arch: Arch) -> None:
    """Of pages saved early only those count that there are in the end."""
    mappings = (records.Mapping(SPACE, SPACE + 4 * PAGE, 3),)
    writes = [(SPACE, b"x" * 4 * PAGE)]
    present = [(SPACE, SPACE + PAGE), (SPACE + 2 * PAGE, SPACE + 3 * PAGE)]

    with saved(arch, mappings, writes, present) as process:
        assert [(at, at + size) for _, at, size in process.runs()] == present
        assert process.read(SPACE + PAGE, 1) is None


def test_more_segments_than_the_header_can_count(arch: Arch) -> None:
    """Section header 0 has the number when e_phnum cannot."""
    count = 66_000
    mappings = (records.Mapping(SPACE, SPACE + 2 * count, 3),)
    writes = [(SPACE + 2 * index, b"x") for index in range(count)]

    with saved(arch, mappings, writes) as process:
        assert len(process.runs()) == count


def test_saving_and_finding_runs_takes_linear_time() -> None:
    """A second round over many pages costs about as much as the first."""
    first = [core._Run(2 * index, 1, index) for index in range(40_000)]
    again = [core._Run(2 * index, 1, index) for index in reversed(range(40_000))]

    start = time.perf_counter()
    runs = core._latest([*first, *again])

    assert runs == first
    assert time.perf_counter() - start < 2


def test_a_core_too_large_for_its_class_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Offsets of 32 bits cannot reach beyond 4 GiB; so are too many segments."""
    monkeypatch.setattr(core, "SEGMENT_LIMIT", 3)

    with pytest.raises(TargetError, match="core of process 4711 would have") as caught:
        contexts.sample(ARCHS[0])

    assert caught.value.exit_status == errno.EFBIG


def test_a_claim_of_too_many_segments_costs_nothing(tmp_path: Path) -> None:
    """Four billion program headers are refused before a table is read."""
    arch = ARCHS[0]
    process = contexts.context(arch).processes[0]
    form = core._format(arch.word_size, process.arch.byteorder)
    count = (1 << 32) - 1
    with (tmp_path / "core").open("wb+") as file:
        writer = ContainerWriter(file.fileno())
        member = writer.member("1.core", head=BLOCK)
        member.write(form.section.pack(0, 0, 0, 0, 0, 0, 0, count, 0, 0))
        member.finish(core._head(form, arch.elf_machine, BLOCK, count, BLOCK))
        writer.member("context.json")
        writer.close()
        file.seek(0)
        reader = ContainerReader(file.fileno())
        found = reader.members["1.core"]

        with pytest.raises(ContextError, match="4294967295 segments, more than"):
            core.CoreReader(
                lambda offset, size: reader.read(found.offset + offset, size),
                found.offset,
                found.size,
                process,
            )


# What other tools make of it.


@pytest.fixture
def core_file(arch: Arch, tmp_path: Path) -> Path:
    """The core of the sample, taken out of its context."""
    (tmp_path / "context").write_bytes(contexts.sample(arch))
    with zipfile.ZipFile(tmp_path / "context") as archive:
        return Path(archive.extract("4711.core", tmp_path))


def run(*command: str | Path) -> str:
    """Return what a command prints; it must not fail."""
    if not shutil.which(command[0]):
        pytest.skip(f"not applicable: no {command[0]} here")
    done = subprocess.run(
        command, capture_output=True, text=True, errors="replace", check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_readelf_finds_segments_and_notes(arch: Arch, core_file: Path) -> None:
    """Headers, the address space, and the kernel's notes in the kernel's order."""
    header = run("readelf", "-hW", core_file)
    segments = run("readelf", "-lW", core_file)
    notes = run("readelf", "-nW", core_file)

    assert "CORE (Core file)" in header
    assert f"{arch.layout.byteorder} endian" in header
    loads = [
        tuple(int(word, 16) for word in line.split()[2:6:1])
        for line in segments.splitlines()
        if line.split()[:1] == ["LOAD"]
    ]
    assert [(address, memory) for address, _, _, memory in loads] == [
        (contexts.CODE, 2 * PAGE),
        (contexts.HEAP, PAGE),
        (contexts.HEAP + PAGE, 63 * PAGE),
        (contexts.HEAP + 64 * PAGE, PAGE),
        (contexts.STACK, 15 * PAGE),
        (contexts.STACK + 15 * PAGE, PAGE),
    ]
    assert [size for _, _, size, _ in loads] == [0, PAGE, PAGE, 0, 0, PAGE]
    assert re.findall(r"NT_\w+", notes)[:5] == [
        "NT_PRSTATUS",
        "NT_PRPSINFO",
        "NT_SIGINFO",
        "NT_AUXV",
        "NT_FILE",
    ]
    assert notes.count("NT_PRSTATUS") == 2


def test_notes_have_the_sizes_that_the_kernel_gives_them(
    arch: Arch, core_file: Path
) -> None:
    """The status and the description of a process are as long as in C."""
    notes = run("readelf", "-nW", core_file)
    size_of = {
        name: int(size, 16)
        for size, name in re.findall(r"(0x[0-9a-f]+)\t(NT_\w+)", notes)
    }
    word = arch.word_size
    sizes = {4: {68: (144, 124), 72: (148, 124), 192: (268, 128)}, 8: {}}
    sizes[8] = {216: (336, 136), 256: (376, 136), 272: (392, 136), 384: (504, 136)}

    # binutils' include/elf/external.h and bfd/hosts/x86-64linux.h: i386, ppc, x86-64;
    # bfd/elf32-arm.c, elfnn-riscv.c, elfnn-aarch64.c and elf64-ppc.c.
    expected = sizes[word][arch.gp.size or 0]
    assert (size_of["NT_PRSTATUS"], size_of["NT_PRPSINFO"]) == expected


def test_gdb_reads_threads_memory_and_the_command(arch: Arch, core_file: Path) -> None:
    """A debugger sees each thread once, and the latest copy of a page."""
    examine = f"x/2xb {contexts.HEAP + PAGE - 1}"

    options = ("-batch", "-nx", "-ex", "info threads", "-ex", examine)

    text = run("gdb", *options, "-core", core_file)

    assert re.search(r"0x61\s+0x62", text)
    if "<unavailable>" in text:
        pytest.skip("not applicable: this gdb does not know the architecture")
    for tid in (PID, PID + 1):
        pc = arch.gp.decode(contexts.default_registers(arch, tid)[core.NT_PRSTATUS])[
            arch.pc
        ]
        assert text.count(f"New LWP {tid}") == 1
        assert re.search(rf"LWP {tid} .*{pc:#x}", text)
    assert "Core was generated by `/usr/bin/ex" in text
