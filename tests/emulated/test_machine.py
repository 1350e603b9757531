"""Programs in a machine of ours give the same answers as everywhere."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from harness import load, programs, runner, seeds

SOURCES = Path(__file__).parent / "programs"
CALLS = Path(__file__).with_name("random_calls.py")

# How each fault kills, and signal and si_code in a handler.  Source: sigaction(2).
FAULTS = {
    "jump": (signal.SIGSEGV, "11 1"),
    "read": (signal.SIGSEGV, "11 1"),
    "abort": (signal.SIGABRT, "6 -6"),
    "beyond-file": (signal.SIGBUS, "7 2"),
}

RUN = """
import sys
from blcr.host.emulated.host import HOST
import os
status = HOST.run(sys.argv[2:], env={}, seed=int(sys.argv[1]))
os.kill(os.getpid(), status & 127) if status & 127 else sys.exit(status >> 8)
"""

MIXTURE = "367080 3548.132443595666 1\n"
SIGNALS = "15.491338344867 637018976 3 4711 1\n"
ATOMICS = (
    "12000 20000 325 fffff05ffffff060 1f4000002ee0 28000 4000 4000 184 184 184 184\n"
)
"""What these programs print on any machine; here from x86_64 hardware."""


@pytest.fixture(params=programs.EVERY_ARCH)
def variant(request: pytest.FixtureRequest) -> str:
    """One architecture, as the compilers' names have it."""
    return str(request.param)


def build(name: str, variant: str) -> Path:
    """Return the executable of one of the programs beside this file."""
    return programs.build(name, variant, SOURCES)


def run(program: Path, *args: str, seed: int = 0) -> subprocess.CompletedProcess[str]:
    """Run a program in a machine; its status is mirrored."""
    return subprocess.run(
        [sys.executable, "-c", RUN, str(seed), program, *args],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


@pytest.mark.parametrize("fault", FAULTS)
def test_fault_is_the_signal_it_is_on_hardware(fault: str, variant: str) -> None:
    """A fault kills, or reaches a handler again and again, with the kernel's code."""
    number, told = FAULTS[fault]
    program = build("faults", variant)

    killed, handled = run(program, fault), run(program, fault, "3")

    assert killed.returncode == -number
    assert (handled.returncode, handled.stdout) == (0, f"{told}\n" * 3)


def test_illegal_instruction_is_sigill(variant: str) -> None:
    """What is no instruction is SIGILL."""
    program = build("faults", variant)

    assert run(program, "illegal").returncode == -signal.SIGILL
    assert run(program, "illegal", "3").stdout.startswith("4 ")


def test_division_by_zero_can_be_handled_many_times() -> None:
    """One exception does not make the engine take the next for a double fault."""
    program = build("faults", "x86_64")

    assert run(program, "divide").returncode == -signal.SIGFPE
    assert run(program, "divide", "9").stdout == "8 1\n" * 9


@pytest.mark.parametrize(
    ("variant", "model"), [("arm", "cortex-a15"), ("aarch64", "cortex-a72")]
)
def test_program_has_the_rights_that_it_has_elsewhere(variant: str, model: str) -> None:
    """What instructions it may execute, and the signals that others end with."""
    emulator = shutil.which(f"qemu-{variant}")
    if emulator is None:
        pytest.skip(f"not applicable: qemu-{variant} is not installed")
    program = build("rights", variant)

    here = run(program).stdout

    command: list[str | Path] = [emulator, "-cpu", model, program]
    there = subprocess.run(command, capture_output=True, text=True, check=True)
    assert here == there.stdout


def test_condition_ends_with_its_block() -> None:
    """A translation within Thumb's if-then block does not make the block go on."""
    assert run(build("conditional", "arm")).stdout == "100\n"


def test_signals_arrive_with_real_frames(variant: str) -> None:
    """Handlers of every kind run, and what they interrupt does not notice."""
    assert run(build("signals", variant)).stdout == SIGNALS


def test_threads_pipes_and_timers_together(variant: str) -> None:
    """A mixture of everything has its one right result."""
    assert run(build("mixture", variant)).stdout == MIXTURE


def test_seed_fixes_the_order_of_threads(variant: str) -> None:
    """A race ends the same with one seed, and otherwise with another."""
    program = build("race", variant)

    first, again, other = (run(program, seed=seed).stdout for seed in (1, 1, 2))

    assert first == again
    assert first != other


def test_memory_that_is_not_there_is_refused(variant: str) -> None:
    """Mapping more than there is ends with ENOMEM, and can be taken back."""
    assert run(build("all_memory", variant)).stdout == "1\n"


@pytest.mark.parametrize("name", ["mixture", "signals"])
def test_program_that_moves_all_the_time_does_not_notice(
    name: str, variant: str, tmp_path: Path
) -> None:
    """Registers and memory, taken out and put into a new machine, are all there is."""
    program = build(name, variant)
    script = Path(__file__).parent / "migrating.py"
    turns = "12" if name == "mixture" else "3"

    done = subprocess.run(
        [sys.executable, script, turns, tmp_path, "", program],
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )

    result, moves = done.stdout.splitlines(keepends=True)
    assert result == {"mixture": MIXTURE, "signals": SIGNALS}[name]
    assert int(moves.split()[1]) > 3


def test_no_count_is_lost_between_load_and_store(variant: str, tmp_path: Path) -> None:
    """Threads whose turns end between any two blocks, and that move, count together."""
    script = Path(__file__).parent / "migrating.py"

    done = subprocess.run(
        [sys.executable, script, "100:40", tmp_path, "", build("atomics", variant)],
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )

    result, moves = done.stdout.splitlines(keepends=True)
    assert result == ATOMICS
    assert int(moves.split()[1]) > 3


REFUSED = {("singles", "riscv64"): "does not have the instruction 'fcvt.s."}
"""What the engine gets wrong, so that programs with it are ended instead."""


@pytest.mark.parametrize("name", ["arithmetic", "singles", "conventions", "frames"])
def test_program_prints_what_it_prints_elsewhere(name: str, variant: str) -> None:
    """On this machine's CPU, and on another emulator of the same CPU."""
    program, case = build(name, variant), load(variant)
    compiled = programs.build(name, "x86_64", SOURCES)

    done = run(program)

    if reason := REFUSED.get((name, variant)):
        assert reason in done.stderr
        assert done.returncode == -signal.SIGILL
        return
    expected = subprocess.run([compiled], capture_output=True, text=True, check=True)
    assert done.stdout == expected.stdout
    if name in ("arithmetic", "singles") and (before := runner(case)):
        other = subprocess.run(
            [*before, program], capture_output=True, text=True, check=True
        )
        assert done.stdout == other.stdout


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is not an ELF executable"),
        (b"#!\n", "is a script without an interpreter"),
        (b"\x7fELF", "is not an ELF executable"),
        (b"\x7fELF\2\1\1" + bytes(9), "is cut off or damaged"),
        (
            b"\x7fELF\2\1\1" + bytes(9) + b"\2\0\xf7\0" + bytes(34) + b"8" + bytes(9),
            "no architecture",
        ),
    ],
)
def test_what_is_no_program_is_refused(
    content: bytes, message: str, tmp_path: Path
) -> None:
    """A file that cannot be run is refused in one sentence, before anything runs."""
    path = tmp_path / "program"
    path.write_bytes(content)
    path.chmod(0o755)

    done = subprocess.run(
        [sys.executable, "-m", "blcr.cli.run", "--emulate", path],
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode != 0
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_every_call_has_an_answer(variant: str, tmp_path: Path) -> None:
    """Whatever its arguments, a call fails, waits or is done; it never ends us."""
    seed, count = seeds.generator("calls", variant).randrange(10**6), 2000
    program = programs.build("compute", variant)

    done = subprocess.run(
        [
            sys.executable,
            CALLS,
            program,
            str(seed),
            str(count * (10 if seeds.FULL else 1)),
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )

    assert (done.stderr, done.returncode) == ("", 0)


def test_random_numbers_come_from_the_seed(variant: str) -> None:
    """Of calls, devices and instructions: the same seed, the same; another, others."""
    program = build("randoms", variant)

    first, again, other = (run(program, seed=seed).stdout for seed in (1, 1, 2))

    rows, others = first.splitlines(), other.splitlines()
    assert first == again
    assert len(rows) >= 4
    assert "bad" not in first
    assert not set(rows) & set(others)
