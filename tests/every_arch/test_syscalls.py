"""System calls: numbers against the headers, conventions against syscall(2)."""

from __future__ import annotations

import re

import pytest

from blcr.architecture import Arch, InterruptedCall, Registers
from harness import Case, headers

ENOENT = 2
ERESTARTSYS = 512
EINTR = 4
NUMBER = 7
ARGS = (1, 2, 3, 4, 5, 6)


@pytest.fixture
def regs(arch: Arch) -> Registers:
    """Registers, each with a value of its own."""
    return {
        row.name: 0x1000 + 16 * place for place, row in enumerate(arch.gp.registers)
    }


def shown(case: Case, error: int) -> InterruptedCall | None:
    """Return what can be told from the registers of a thread stopped in the call."""
    return InterruptedCall(NUMBER, ARGS, error) if case.shows_interrupted else None


def test_numbers_are_those_of_the_headers(arch: Arch) -> None:
    """Every call that the compiler's headers know is in the table, and right."""
    defined = headers.macros(arch.name, ["asm/unistd.h"])
    plain = re.compile(r"\d+|\(__NR_SYSCALL_BASE \+ (\d+)\)")  # the base is 0
    numbers = {
        name.removeprefix("__NR_"): int(found[1] or found[0])
        for name, value in defined.items()
        if name.startswith("__NR_")
        and name != "__NR_SYSCALL_BASE"
        and (found := plain.fullmatch(value))
    }

    assert numbers.items() <= arch.syscalls.items()
    assert len(numbers) > 300


def test_a_call_begins_as_the_manual_says(
    arch: Arch, case: Case, regs: Registers
) -> None:
    """Number and arguments are in their registers, everything else is as before."""
    begun = arch.begin_call(regs, NUMBER, ARGS)

    expected = dict(zip(case.call_args, ARGS, strict=True)) | {case.call_number: NUMBER}
    assert begun.items() >= expected.items()
    assert begun[arch.pc] == regs[arch.pc]
    assert begun[arch.sp] == regs[arch.sp]
    assert arch.call_number == case.call_number
    assert arch.call_args == case.call_args


def test_negative_arguments_are_cut_to_a_word(arch: Arch, regs: Registers) -> None:
    """-1 is a word of ones."""
    begun = arch.begin_call(regs, NUMBER, (-1,))

    assert begun[arch.call_args[0]] == (1 << 8 * arch.word_size) - 1


def test_a_call_just_begun_is_no_interrupted_one(arch: Arch, case: Case) -> None:
    """Registers that were inside a call are in none after another has begun."""
    stopped = dict.fromkeys(arch.gp.decode(bytes(arch.gp.size or 0)), 0)
    stopped.update(case.interrupted)

    begun = arch.begin_call(stopped, NUMBER, ARGS)

    assert arch.interrupted_call(begun) is None


def test_failure_is_a_negative_errno(arch: Arch, case: Case, regs: Registers) -> None:
    """What the kernel leaves after a failure is read as such, and made so."""
    assert arch.call_result({**regs, **case.failed}) == -ENOENT
    made = arch.set_result(regs, -ENOENT)

    assert arch.call_result(made) == -ENOENT
    assert made[case.result] == case.failed[case.result]


def test_success_is_the_value(arch: Arch, case: Case, regs: Registers) -> None:
    """What the kernel leaves after a success is read as such, and made so."""
    assert arch.call_result({**regs, **case.returned}) == 5
    made = arch.set_result({**regs, **case.failed}, 5)

    assert arch.call_result(made) == 5


def test_an_address_is_no_failure(arch: Arch, regs: Registers) -> None:
    """The highest page that mmap can return is a value."""
    address = arch.task_size - arch.page_size

    assert arch.call_result(arch.set_result(regs, address)) == address


def test_a_stopped_call_is_recognised(arch: Arch, case: Case, regs: Registers) -> None:
    """Number, arguments and code of an interrupted call are found if they show."""
    call = arch.interrupted_call({**regs, **case.interrupted})

    assert call == shown(case, ERESTARTSYS)


def test_a_finished_call_is_not_interrupted(
    arch: Arch, case: Case, regs: Registers
) -> None:
    """A call that failed or returned for good is none to resume."""
    inside = {**regs, **case.interrupted}

    assert arch.interrupted_call({**inside, **case.failed}) is None
    assert arch.interrupted_call({**inside, **case.returned}) is None


def test_a_rewound_call_is_made_again(arch: Arch, case: Case, regs: Registers) -> None:
    """The pc is on the instruction, number and arguments are in place."""
    stopped = {**regs, **case.interrupted}

    rewound = arch.rewind_call(stopped, InterruptedCall(NUMBER, ARGS, ERESTARTSYS))

    assert rewound[arch.pc] == 0x1000
    assert tuple(rewound[name] for name in case.call_args) == ARGS
    assert rewound[case.call_number] == NUMBER
    assert arch.interrupted_call(rewound) is None


@pytest.mark.parametrize("error", [EINTR, 512, 513, 514, 516])
def test_interrupting_undoes_rewinding(
    arch: Arch, case: Case, regs: Registers, error: int
) -> None:
    """From a rewound state back into the call, and rewound once more."""
    stopped = {**regs, **case.interrupted}
    rewound = arch.rewind_call(stopped, InterruptedCall(NUMBER, ARGS, error))

    inside = arch.interrupt_call(rewound, NUMBER, error)

    assert arch.interrupted_call(inside) == shown(case, error)
    assert inside[arch.pc] == stopped[arch.pc]
    again = arch.rewind_call(inside, InterruptedCall(NUMBER, ARGS, error))
    kept = {name for name in rewound if not name.startswith("orig_")}
    assert {n: again[n] for n in kept} == {n: rewound[n] for n in kept}


def test_a_call_is_redirected_at_its_entry(
    arch: Arch, case: Case, regs: Registers
) -> None:
    """In the middle of one call the kernel finds number and arguments of another."""
    if arch.redirect_call is None:
        return
    inside = {**regs, **case.interrupted}

    redirected = arch.redirect_call(inside, NUMBER + 1, ARGS[::-1])

    failed = arch.set_result(redirected, -EINTR)
    assert arch.interrupted_call(failed) == InterruptedCall(
        NUMBER + 1, ARGS[::-1], EINTR
    )
