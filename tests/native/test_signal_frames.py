"""
Signal frames against a kernel: it makes some to be parsed, and loads some of ours.

Where the machine cannot run an architecture's programs, a user-mode emulator's
imitation of the kernel has to do.
"""

from __future__ import annotations

import random
import struct
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from blcr.architecture import AlternateStack, Arch, Frame, FrameRequest, Restored
from harness import Case, build, runner

SOURCE = Path(__file__).with_name("signal_frames.c")

SIGILL = 4
SA_SIGINFO = 4
GENERAL = 1  # NT_PRSTATUS


class Kernel:
    """A program that has the kernel make frames, and load them."""

    def __init__(self, arch: Arch, case: Case, command: list[str], *, rt: bool) -> None:
        self.arch = arch
        self.rt = rt
        self.pop = case.return_pop[not rt]
        emulated = case.emulator_pop is not None and runner(case)
        self.way = case.emulator_pop or 0 if emulated else self.pop
        self.header = struct.Struct(
            "<QQQ" if arch.layout.byteorder == "little" else ">QQQ"
        )
        self.process = subprocess.Popen(
            command if rt else [*command, "old"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        self.at, self.top, self.place = 0, 0, 0

    def frame(self) -> Restored:
        """Return what we read from the frame that the kernel has just made."""
        assert self.process.stdout is not None
        header = self.process.stdout.read(self.header.size)
        self.at, size, self.place = self.header.unpack(header)
        data = self.process.stdout.read(size)
        self.top = self.at + size

        def read(address: int, size: int) -> bytes:
            assert self.at <= address
            assert address + size <= self.at + len(data)
            return data[address - self.at : address - self.at + size]

        arch = self.arch
        sets = {GENERAL: arch.gp.encode({arch.sp: self.at + self.pop})}
        return arch.frame.parse(sets, read, self.rt)

    def load(self, frame: Frame) -> None:
        """Have the kernel return from a handler through this frame."""
        assert self.process.stdin is not None
        header = self.header.pack(
            frame.address, len(frame.data), frame.address + self.way
        )
        self.process.stdin.write(header + frame.data)
        self.process.stdin.flush()


def request(kernel: Kernel, state: Restored, *, sp: int) -> FrameRequest:
    """Ask for a frame of that state, such as the program's kernel makes."""
    return FrameRequest(
        sp=sp,
        sets=state.sets,
        mask=state.mask,
        altstack=state.altstack or AlternateStack(0, 0, 0),
        signal=SIGILL,
        siginfo=bytes(128),
        handler=0,
        flags=SA_SIGINFO if kernel.rt else 0,
        restorer=0,
    )


@pytest.fixture
def program(
    arch: Arch, case: Case, tmp_path_factory: pytest.TempPathFactory
) -> list[str]:
    """The program, and how it is run here."""
    before = runner(case)
    if before is None:
        pytest.skip(f"not applicable: nothing here runs programs of {arch.name}")
    path = tmp_path_factory.getbasetemp() / f"signal_frames.{arch.name}"
    if not path.exists():
        build(case, SOURCE, path)
    return [*before, str(path)]


@pytest.fixture(params=["rt", "old"])
def kernel(
    request: pytest.FixtureRequest, arch: Arch, case: Case, program: list[str]
) -> Iterator[Kernel]:
    """A program that stands in the handler of its first signal."""
    rt = request.param == "rt"
    if not rt and not case.old_frames:
        pytest.skip(f"not applicable: {arch.name} has one kind of frame")
    kernel = Kernel(arch, case, program, rt=rt)
    with kernel.process:
        yield kernel
        kernel.process.kill()


def test_a_frame_of_the_kernel_is_read(kernel: Kernel, arch: Arch) -> None:
    """Registers of the interrupted program, its mask and its alternate stack."""
    restored = kernel.frame()

    regs = arch.gp.decode(restored.sets[GENERAL])
    assert 0 < regs[arch.pc] < arch.task_size
    assert 0 < regs[arch.sp] < arch.task_size
    assert regs[arch.sp] % 4 == 0
    assert restored.mask == 0
    if kernel.rt:
        assert restored.altstack is not None
        assert restored.altstack.size == 65536
        assert restored.altstack.address < kernel.at


def test_our_frame_lies_where_the_kernel_s_does(
    kernel: Kernel, arch: Arch, case: Case
) -> None:
    """The same state at the same stack gives a frame at the same address."""
    state = kernel.frame()

    built = arch.frame.build(request(kernel, state, sp=kernel.top))

    lacking = case.emulator_lacks if runner(case) else 0
    assert hex(built.address + lacking) == hex(kernel.at)


@pytest.mark.parametrize("seed", range(5))
def test_the_kernel_loads_our_frame(
    kernel: Kernel, arch: Arch, case: Case, seed: int
) -> None:
    """Every register that was in the frame is in the program afterwards."""
    first = kernel.frame()
    rng = random.Random(seed)
    mask = 1 << 9 | 1 << 40
    regs = arch.gp.decode(first.sets[GENERAL])
    for name, bits in case.free.items():
        regs[name] = regs[name] & ~bits | rng.getrandbits(64) & bits
    sets = {
        GENERAL: arch.gp.encode(regs),
        **{note: case.scramble(note, first.sets[note], rng) for note in case.extended},
    }
    state = Restored(sets, mask, first.altstack)
    sp = kernel.place + 65536 - 16 * seed

    kernel.load(arch.frame.build(request(kernel, state, sp=sp)))
    second = kernel.frame()

    assert second.mask == mask
    assert second.altstack == first.altstack
    found = arch.gp.decode(second.sets[GENERAL])
    assert {n: hex(found[n]) for n in case.free} == {n: hex(regs[n]) for n in case.free}
    assert found[arch.pc] == regs[arch.pc]
    for note, parts in case.extended.items():
        for part in parts:
            assert second.sets[note][part].hex() == sets[note][part].hex()
