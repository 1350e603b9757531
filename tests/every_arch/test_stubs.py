"""Machine code against the disassembler."""

from __future__ import annotations

from blcr.architecture import Arch, filled
from harness import Case, disassemble


def test_hex_is_the_assembly_beside_it(arch: Arch, case: Case) -> None:
    """The hex column disassembles to the assembly column."""
    stubs = arch.stubs

    for stub in (
        *(stubs.call, stubs.batch, stubs.fallback, stubs.jump, stubs.veil),
        *stubs.returns,
    ):
        if stub is not None:
            assert disassemble(case, stub.code) == stub.assembly


def test_one_instruction_in_a_row(arch: Arch, case: Case) -> None:
    """Each row of hex is one instruction."""
    rows = arch.stubs.call.rows + (arch.stubs.fallback or arch.stubs.call).rows

    counts = {len(disassemble(case, bytes.fromhex(code))) for code, _ in rows}

    assert counts == {1}


def test_the_call_number_is_where_it_is_said_to_be(arch: Arch, case: Case) -> None:
    """A number written into the fallback shows as an instruction's operand."""
    stub, place = arch.stubs.fallback, arch.stubs.fallback_number
    assert stub is not None
    assert place is not None

    code = filled(stub.code, place, 0x123, arch.layout.byteorder)
    changed = set(disassemble(case, code)) - set(stub.assembly)

    assert [row.rpartition(" ")[2].lstrip("#") for row in changed] == ["0x123"]


def test_handlers_return_by_calls(arch: Arch) -> None:
    """Each way back from a handler is a call, that with siginfo first."""
    numbers = [arch.syscalls.get(name) for name in ("rt_sigreturn", "sigreturn")]

    for listing, number in zip(arch.stubs.returns, numbers, strict=False):
        *_, load, call = listing.assembly
        assert int(load.rpartition(" ")[2].lstrip("#"), 0) == number
        assert call == arch.stubs.call.assembly[0]


def test_the_target_is_where_it_is_said_to_be(arch: Arch, case: Case) -> None:
    """An address written into the jump shows as an instruction's operand."""
    stub, place = arch.stubs.jump, arch.stubs.jump_target
    if stub is None or place is None:
        return

    code = filled(stub.code, place, 0x1234, arch.layout.byteorder)
    changed = set(disassemble(case, code)) - set(stub.assembly)

    assert [row.rpartition(" ")[2] for row in changed] == ["0x1234"]


def test_gadgets_call_and_return(arch: Arch, case: Case) -> None:
    """A call gadget is the call's instruction, its pops and a return."""
    if arch.gadgets is None or arch.gadgets.enter:
        return
    instruction = arch.stubs.call.assembly[0]

    for gadget in arch.gadgets.call:
        first, *pops, last = disassemble(case, gadget.code)
        assert first == instruction
        assert last == "ret"
        assert len(pops) == gadget.pops
        assert all(row.startswith("pop ") for row in pops)


def test_gadgets_call_and_leave_the_stack_alone(arch: Arch, case: Case) -> None:
    """A gadget that returns to a register makes the call and touches no memory."""
    if arch.gadgets is None or arch.gadgets.enter is None:
        return
    call = arch.stubs.call.assembly[0].split()[0]

    for gadget in arch.gadgets.call:
        first, *others = (row.split()[0] for row in disassemble(case, gadget.code))
        assert first == call
        assert not {one[:2] for one in others} & {"ld", "st", "lw", "lb", "pu", "po"}


def test_sigreturn_gadgets_make_that_call(arch: Arch, case: Case) -> None:
    """A sigreturn gadget loads the number of rt_sigreturn and makes the call."""
    if arch.gadgets is None:
        return
    number = hex(arch.syscalls["rt_sigreturn"])

    for code in arch.gadgets.sigreturn:
        *_, load, call = disassemble(case, code)
        assert load.replace("#", "").endswith(f", {number}")
        assert call.split()[0] == arch.stubs.call.assembly[0].split()[0]
