"""Signal frames: built as handlers expect them, and read back."""

from __future__ import annotations

from random import Random

import pytest

from blcr.architecture import AlternateStack, Arch, Frame, FrameRequest, ReadMemory
from harness import Case

NT_PRSTATUS, NT_FPREGSET, NT_X86_XSTATE = 1, 2, 0x202
SA_SIGINFO = 4
HANDLER, RESTORER, TOP = 0x1234_5670, 0x1111_2220, 0x2000_0000
MASK = 0x8000_0000_0000_0401
KINDS = pytest.mark.parametrize("flags", [SA_SIGINFO, 0], ids=["rt", "old"])


def request(arch: Arch, case: Case, flags: int, seed: int = 0) -> FrameRequest:
    """Ask for a frame with every register set filled at random."""
    rng = Random(seed)
    sets = {}
    for register_set in arch.register_sets:
        note = register_set.note_type
        if register_set.size is None:
            blank = bytearray(576)
            blank[464] = 3  # x87 and SSE, and no more
            sets[note] = case.scramble(note, bytes(blank), rng)
        else:
            rows = register_set.registers
            values = {row.name: rng.getrandbits(8 * row.size) for row in rows}
            sets[note] = register_set.encode(values)
    return FrameRequest(
        sp=TOP - 16 * seed - 4,
        sets=sets,
        mask=MASK,
        altstack=AlternateStack(0x7000_0000, 0, 0x4000),
        signal=10,
        siginfo=rng.randbytes(128),
        handler=HANDLER,
        flags=flags,
        restorer=RESTORER,
    )


def memory(frame: Frame) -> ReadMemory:
    """Return a way to read the frame, and nothing beside it."""

    def read(address: int, size: int) -> bytes:
        at = address - frame.address
        assert at >= 0
        assert at + size <= len(frame.data)
        return frame.data[at : at + size]

    return read


def test_a_handler_gets_signal_siginfo_and_context(arch: Arch, case: Case) -> None:
    """Its three arguments, its address, its stack and where it returns to."""
    wanted = request(arch, case, SA_SIGINFO)

    frame = arch.frame.build(wanted)

    regs, read = arch.gp.decode(frame.registers), memory(frame)
    signal, siginfo, context = (regs[name] for name in case.handler_args)
    assert signal == wanted.signal
    assert read(siginfo, 128) == wanted.siginfo
    assert frame.address < context < wanted.sp
    assert regs[arch.pc] == HANDLER
    assert regs[arch.sp] == frame.address
    assert regs[arch.sp] % 16 == case.stack_offset
    word = read(frame.address, arch.word_size)
    on_stack = int.from_bytes(word, arch.layout.byteorder)
    assert regs.get(case.return_address, on_stack) == RESTORER


@KINDS
def test_a_frame_ends_below_the_given_address(
    arch: Arch, case: Case, flags: int
) -> None:
    """Nothing at or above it is written, and not much more than promised below."""
    wanted = request(arch, case, flags)

    frame = arch.frame.build(wanted)

    extended = len(wanted.sets.get(NT_X86_XSTATE, b""))
    assert frame.address + len(frame.data) <= wanted.sp
    assert wanted.sp - frame.address <= arch.frame.size + extended


@KINDS
@pytest.mark.parametrize("seed", range(20))
def test_a_return_restores_what_was_put_in(
    arch: Arch, case: Case, flags: int, seed: int
) -> None:
    """Registers, mask and alternate stack come back as they were."""
    wanted = request(arch, case, flags, seed)
    rt = bool(flags) or not case.old_frames
    frame = arch.frame.build(wanted)

    sp = frame.address + case.return_pop[not rt]
    sets = {NT_PRSTATUS: arch.gp.encode({arch.sp: sp}, frame.registers)}
    restored = arch.frame.parse(sets, memory(frame), rt)

    before = arch.gp.decode(wanted.sets[NT_PRSTATUS])
    after = arch.gp.decode(restored.sets[NT_PRSTATUS])
    for name, bits in case.free.items():
        assert after[name] & bits == before[name] & bits, name
    assert after[arch.pc] == before[arch.pc]
    assert arch.interrupted_call(after) is None
    assert restored.mask == MASK
    assert restored.altstack == (wanted.altstack if rt else None)
    for note in restored.sets.keys() - {NT_PRSTATUS}:
        assert restored.sets[note].hex() == wanted.sets[note].hex()


@KINDS
def test_without_a_restorer_the_frame_brings_the_code(
    arch: Arch, case: Case, flags: int
) -> None:
    """Where actions need no restorer, the return address is in the frame."""
    if not case.old_frames and not arch.frame.ignores_restorer:
        pytest.skip(f"not applicable: {arch.name} demands a restorer")

    frame = arch.frame.build(request(arch, case, flags)._replace(restorer=0))

    regs = arch.gp.decode(frame.registers)
    word = memory(frame)(frame.address, arch.word_size)
    on_stack = int.from_bytes(word, arch.layout.byteorder)
    code = memory(frame)(regs.get(case.return_address, on_stack), 12)
    call = "rt_sigreturn" if flags or not case.old_frames else "sigreturn"
    instruction = bytes.fromhex(arch.stubs.call.rows[0][0])
    assert instruction in code
    assert arch.syscalls[call] in code
