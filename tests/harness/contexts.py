"""Small contexts, made by hand, for tests of the file format."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial

from blcr.architecture import Arch
from blcr.context import records
from blcr.context.archive import ContextReader, ContextWriter

PID = 4711
PAGE = 4096

CODE = 0x40_0000
HEAP = 0x50_0000
STACK = 0x7EFF_0000

Write = tuple[int, bytes]
"""Pages to be saved: address and contents."""

WRITES: tuple[Write, ...] = (
    (HEAP, b"a" * 2 * PAGE),
    (STACK + 15 * PAGE, b"s" * PAGE),
    (HEAP + PAGE, b"b" * PAGE),
)


def context(arch: Arch) -> records.Context:
    """Return the records of one process with two threads."""
    process = records.Process(
        pid=PID,
        ppid=1,
        pgid=PID,
        sid=PID,
        arch=records.Identity(
            arch.name, arch.elf_machine, arch.word_size, arch.layout.byteorder
        ),
        exe="/usr/bin/ex\udce4mple",
        cwd="/tmp",
        root="/",
        umask=0o022,
        personality=0,
        memory=records.MemoryLayout(
            *(CODE,) * 2, *(HEAP,) * 4, *(STACK,) * 5, bytes(4 * arch.word_size)
        ),
        mappings=(
            records.Mapping(
                CODE, CODE + 2 * PAGE, 5, offset=PAGE, path="/usr/bin/ex\udce4mple"
            ),
            records.Mapping(HEAP, HEAP + 64 * PAGE, 3, special="heap"),
            records.Mapping(HEAP + 64 * PAGE, HEAP + 65 * PAGE, 3, True, object=0),
            records.Mapping(STACK, STACK + 16 * PAGE, 3, special="stack"),
        ),
        actions=(records.SignalAction(15, CODE + 16, 0x1000_0000, CODE + 32, 1 << 9),),
        pending=((10).to_bytes(4, arch.layout.byteorder) + bytes(124),),
        descriptors=(
            records.Descriptor(0, 0, cloexec=False),
            records.Descriptor(3, 1, cloexec=True),
        ),
        threads=(
            records.Thread(PID, "example", 0),
            records.Thread(
                PID + 1,
                "worker",
                1 << 33,
                altstack=records.AlternateStack(HEAP, 0, 8192),
                call=records.BlockedCall("nanosleep", (HEAP, 0), 1_500_000_000),
            ),
        ),
        uids=(1000, 1000, 1000),
        gids=(100, 100, 100),
        groups=(100, 101),
    )
    return records.Context(
        format=(records.FORMAT_MAJOR, records.FORMAT_MINOR),
        requires=(),
        program="blcr 0",
        host="test",
        kernel="6.12.0",
        clocks=records.Clocks(1_700_000_000_000_000_000, 5, 6),
        namespace=False,
        files=(
            records.OpenFile("inherited", "/dev/pts/0", 2, terminal=True),
            records.OpenFile("pipe", "", 1, pipe=0),
        ),
        pipes=(records.Pipe(65536, b"in the pipe"),),
        shared_memory=(records.SharedMemory(PAGE, ((0, 16), (2048, 16))),),
        processes=(process,),
    )


def default_registers(arch: Arch, tid: int) -> dict[int, bytes]:
    """Return register sets whose bytes say whose they are."""
    return {
        each.note_type: bytes((tid + at) & 255 for at in range(each.size or 832))
        for each in arch.register_sets
    }


def write(
    fd: int,
    arch: Arch,
    context: records.Context,
    writes: Sequence[Write] = WRITES,
    registers: Callable[[int], dict[int, bytes]] | None = None,
    present: Sequence[tuple[int, int]] | None = None,
) -> None:
    """Write a context of one process with `writes` saved, and these registers."""
    (process,) = context.processes
    of_thread = registers or partial(default_registers, arch)
    with ContextWriter(fd) as writer:
        core = writer.core(f"{process.pid}.core", arch)
        for address, data in writes:
            core.pages(address, data)
        core.finish(
            process,
            [(thread, of_thread(thread.tid)) for thread in process.threads],
            present=present,
        )
        for index, memory in enumerate(context.shared_memory):
            shared = writer.shared(index)
            for start, size in memory.runs:
                shared.write(bytes([start & 255]) * size)
        writer.finish(context)


@contextmanager
def memory_file(data: bytes = b"") -> Iterator[int]:
    """Lend a file that lives in memory, at its beginning."""
    fd = os.memfd_create("context")
    try:
        os.write(fd, data)
        os.lseek(fd, 0, os.SEEK_SET)
        yield fd
    finally:
        os.close(fd)


def sample(arch: Arch) -> bytes:
    """Return a whole context."""
    with memory_file() as fd:
        write(fd, arch, context(arch))
        return os.pread(fd, 1 << 24, 0)


def read(data: bytes) -> records.Context:
    """Check a context from end to end, as a restart does, and return its records."""
    with memory_file(data) as fd, ContextReader(fd, "context.4711") as reader:
        reader.verify()
        return reader.context
