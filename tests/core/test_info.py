"""What cr_info shows."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from blcr import registry
from blcr.architecture import Arch
from blcr.cli.info import main
from blcr.context import container, records
from harness import contexts
from harness.contexts import HEAP, PAGE, PID

NT_PRSTATUS = 1
SOME_ARCH = registry.get(registry.names()[0])


def write(path: Path, arch: Arch, context: records.Context, **options: Any) -> Path:  # noqa: ANN401
    """Write a context to a file."""
    with path.open("wb") as file:
        contexts.write(file.fileno(), arch, context, **options)
    return path


def general(arch: Arch, pc: int) -> dict[int, bytes]:
    """Return general registers with that program counter."""
    return {NT_PRSTATUS: arch.gp.encode({arch.pc: pc})}


@pytest.fixture
def sample(arch: Arch, tmp_path: Path) -> Path:
    """A context whose threads are about to run a stub that was saved with the heap."""
    code = arch.stubs.call.code
    return write(
        tmp_path / "context.4711",
        arch,
        contexts.context(arch),
        writes=[(HEAP, code.ljust(PAGE, b"\0"))],
        registers=lambda tid: general(arch, HEAP + tid - PID),
    )


def output(capsys: pytest.CaptureFixture[str], *words: str | Path) -> str:
    """Return what the command prints; it succeeds and does not complain."""
    status = main(list(map(str, words)))

    printed = capsys.readouterr()
    assert (status, printed.err) == (0, "")
    return printed.out


def test_it_shows_the_processes(
    sample: Path, arch: Arch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Program, threads, instructions, calls, memory, descriptors, signals are there."""
    text = output(capsys, sample)

    assert "saved     2023-11-1" in text
    assert f"cpu       {arch.name}, {8 * arch.word_size} bits" in text
    assert f"{PID} example: at {HEAP:#x} in [heap]+0x0" in text
    assert arch.stubs.call.assembly[0] in text
    assert f"waits in nanosleep({HEAP:#x}, 0x0), 1.500 s left" in text
    assert f"{arch.pc:>8} {HEAP:0{2 * arch.word_size}x}" in text
    assert "4096 B saved [heap]" in text
    assert "shared memory 0" in text
    assert "0 inherited rw /dev/pts/0" in text
    assert "3 pipe w 0, 11 of 65536 bytes close-on-exec" in text
    assert f"SIGTERM    handler {contexts.CODE + 16:#x} SA_RESTART" in text
    assert "pending for the process: SIGUSR1" in text


def test_json_has_everything(
    sample: Path, arch: Arch, capsys: pytest.CaptureFixture[str]
) -> None:
    """All fields of the records, registers by name, instructions, sizes."""
    plain = json.loads(output(capsys, "--json", sample))

    (process,) = plain["processes"]
    first, second = process["threads"]
    assert set(records.Context._fields) <= set(plain)
    assert set(records.Process._fields) <= set(process)
    assert first["registers"][arch.gp.name][arch.pc] == first["pc"] == HEAP
    assert first["instruction"] == arch.stubs.call.assembly[0]
    assert second["call"]["time_left"] == 1_500_000_000
    assert [each["saved"] for each in process["mappings"]] == [0, PAGE, 0, 0]


@pytest.mark.parametrize(
    ("option", "first"),
    [
        ("--threads", "threads of 4711: 2"),
        ("--maps", "memory of 4711: 4 mappings"),
        ("--files", "descriptors of 4711: 2"),
        ("--signals", "signals of 4711: 1 actions"),
        ("--all", "format    1.0, written by blcr 0"),
    ],
)
def test_parts_can_be_chosen(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], option: str, first: str
) -> None:
    """An option shows its part alone."""
    path = write(tmp_path / "c", SOME_ARCH, contexts.context(SOME_ARCH))

    lines = output(capsys, option, path).splitlines()

    assert lines[0] == first
    assert ("" in lines) == (option == "--all")


def test_all_shows_every_register(
    arch: Arch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Registers of all sets are there, by name or at least as a number of bytes."""
    path = write(tmp_path / "c", arch, contexts.context(arch))

    text = output(capsys, "--all", path)

    for each in arch.register_sets:
        for register in each.registers:
            assert f" {register.name} " in text
        if not each.registers:
            assert f"registers of note type {each.note_type:#x}" in text


def mapped(path: Path, arch: Arch) -> records.Context:
    """Return a context whose code is mapped from a file and was not saved."""
    status = path.stat()
    context = contexts.context(arch)
    process = context.processes[0]
    code, *others = process.mappings
    code = code._replace(
        path=str(path), offset=0, size=status.st_size, mtime=status.st_mtime_ns
    )
    process = process._replace(mappings=(code, *others))
    return context._replace(processes=(process,))


@pytest.mark.parametrize("changed", [False, True])
def test_code_that_was_not_saved_comes_from_the_file(
    arch: Arch, tmp_path: Path, capsys: pytest.CaptureFixture[str], changed: bool
) -> None:
    """The instruction is the mapped file's, as long as the file is the same."""
    program = tmp_path / "program"
    program.write_bytes(arch.stubs.call.code)
    context = mapped(program, arch)
    path = write(
        tmp_path / "c",
        arch,
        context,
        registers=lambda _tid: general(arch, contexts.CODE),
    )
    if changed:
        program.write_bytes(b"something else")

    text = output(capsys, "--threads", path)

    assert f"at {contexts.CODE:#x} in program+0x0" in text
    assert (arch.stubs.call.assembly[0] in text) == (not changed)


def test_the_command_line_comes_from_the_stack(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Words of the saved stack are shown, with nothing that a terminal acts upon."""
    words = b"example\0--colour=\x1b[31m\0\xff\0"
    context = contexts.context(SOME_ARCH)
    process = context.processes[0]
    memory = process.memory._replace(
        arg_start=contexts.STACK, arg_end=contexts.STACK + len(words)
    )
    path = write(
        tmp_path / "c",
        SOME_ARCH,
        context._replace(processes=(process._replace(memory=memory),)),
        writes=[(contexts.STACK, words.ljust(PAGE, b"\0"))],
    )

    assert "command   example --colour=\\x1b[31m \\xff\n" in output(capsys, path)


def test_an_architecture_that_is_not_installed(
    arch: Arch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What needs no knowledge of it is shown."""
    strange = arch._replace(name="strange", elf_machine=0xFEED)
    path = write(tmp_path / "c", strange, contexts.context(strange))

    text = output(capsys, path)
    (process,) = json.loads(output(capsys, "--json", path))["processes"]

    assert "cpu       strange," in text
    assert "(not installed here)" in text
    assert f"{PID} example: at an unknown place" in text
    assert (
        f"{len(contexts.default_registers(arch, PID)[1])} bytes of registers of note"
        in text
    )
    assert process["threads"][0]["registers"] == {}
    assert set(process["threads"][0]["unknown_registers"]) == {
        f"{each.note_type:#x}" for each in arch.register_sets
    }


def test_damage_is_found_unless_in_a_hurry(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """All checksums are compared; --quick leaves out those of the contents."""
    path = write(tmp_path / "c", SOME_ARCH, contexts.context(SOME_ARCH))
    with path.open("rb+") as file:
        file.seek(2 * container.BLOCK)
        file.write(b"?")

    assert output(capsys, "--quick", "--files", path)
    assert main([str(path)]) == 22
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith(f"cr_info: {path}: member '4711.core' is damaged")


@pytest.mark.parametrize(
    ("words", "status", "message"),
    [
        ([], 255, "one FILE is needed, not 0"),
        (
            ["/nowhere/context"],
            2,
            "/nowhere/context: cannot be read: No such file or directory",
        ),
        (["/"], 21, ": cannot be read: Is a directory"),
        (["/dev/null"], 22, "null: not a context: it is empty"),
    ],
)
def test_failures_have_a_status_and_a_message(
    capsys: pytest.CaptureFixture[str], words: list[str], status: int, message: str
) -> None:
    """One message on standard error, nothing on standard output."""
    assert main(words) == status
    printed = capsys.readouterr()
    assert printed.out == ""
    assert message in printed.err


def test_standard_input_may_be_a_pipe(tmp_path: Path) -> None:
    """A context can be looked at on its way."""
    path = write(tmp_path / "c", SOME_ARCH, contexts.context(SOME_ARCH))

    done = subprocess.run(
        [sys.executable, "-m", "blcr.cli.info", "--json", "-"],
        input=path.read_bytes(),
        capture_output=True,
        env={**os.environ, "PYTHONSAFEPATH": "1"},
        check=False,
    )

    assert done.returncode == 0, done.stderr
    assert json.load(io.BytesIO(done.stdout))["kernel"] == "6.12.0"


def test_sockets_are_shown_with_what_they_lead_to(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Family, type, peer, and how much waits to be read."""
    context = contexts.context(SOME_ARCH)
    process = context.processes[0]
    first = len(context.files)
    ends = [records.OpenFile("socket", "socket:[7]", 2, socket=n) for n in (0, 1)]
    sockets = (
        records.Socket(1, 1, peer=1, messages=(records.SocketMessage(b"abc"),)),
        records.Socket(1, 1, peer=0),
    )
    held = tuple(records.Descriptor(20 + n, first + n, cloexec=False) for n in (0, 1))
    path = write(
        tmp_path / "context.4711",
        SOME_ARCH,
        context._replace(
            files=(*context.files, *ends),
            sockets=sockets,
            processes=(process._replace(descriptors=held),),
        ),
    )

    text = output(capsys, "--files", path)

    assert "20 socket rw socket:[7] 0: Unix stream, connected to 1, 3 bytes to" in text
    assert "21 socket rw socket:[7] 1: Unix stream, connected to 0" in text
