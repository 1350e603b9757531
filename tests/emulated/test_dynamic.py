"""Programs that need another file to run: an interpreter, libraries, a shell."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from harness import programs

SOURCES = Path(__file__).parent / "programs"


def run(*args: str | Path) -> subprocess.CompletedProcess[str]:
    """Run ``cr_run --emulate`` with these arguments."""
    return subprocess.run(
        [sys.executable, "-m", "blcr.cli.run", "--emulate", *args],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def interpreter_of(program: Path) -> str:
    """Return the path that a dynamic executable names (its only such string)."""
    data = program.read_bytes()
    at = data.index(b"/lib/ld-")
    return data[at : data.index(b"\0", at)].decode()


@pytest.mark.parametrize("variant", programs.EVERY_ARCH)
def test_interpreter_is_loaded_from_the_sysroot(variant: str, tmp_path: Path) -> None:
    """An interpreter finds the program beside it, and what it needs to know of it."""
    program = programs.build("race", f"{variant}-dynamic", SOURCES)
    path = interpreter_of(program)
    inside = tmp_path / path.lstrip("/")
    inside.parent.mkdir(parents=True)
    shutil.copy(programs.build("interpreter", variant, SOURCES), tmp_path / "linker")
    inside.symlink_to("/linker")

    done = run("--sysroot", tmp_path, program, "argument")

    assert (done.stdout, done.stderr) == ("2 argument 1 1\n", "")


@pytest.mark.parametrize("variant", ["dynamic", "m32"])
def test_program_runs_with_the_libraries_of_this_machine(variant: str) -> None:
    """The C library of this machine loads, with threads and signals."""
    if not programs.available(variant):
        pytest.skip(f"not applicable: no compiler for {variant}")
    program = programs.build("mixture", variant, SOURCES)

    done, native = (
        run(program),
        subprocess.run([program], capture_output=True, text=True, check=True),
    )

    assert (done.stdout, done.stderr) == (native.stdout, "")


@pytest.mark.parametrize(
    ("args", "result"),
    [
        (["/bin/true"], ""),
        (["/bin/echo", "hello"], "hello\n"),
        ([sys.executable, "-S", "-c", "print(sum(range(9)))"], "36\n"),
    ],
)
def test_programs_of_this_machine_run(args: list[str], result: str) -> None:
    """What is installed here runs as it is."""
    done = run(*args)

    assert (done.returncode, done.stdout) == (0, result)


def test_missing_interpreter_is_named(tmp_path: Path) -> None:
    """A program without its libraries is refused, with the way out."""
    program = programs.build("race", "ppc-dynamic", SOURCES)

    done = run("--sysroot", tmp_path, program)

    assert done.returncode != 0
    assert "needs the interpreter '/lib/ld-musl-powerpc.so.1'" in done.stderr
    assert "--sysroot" in done.stderr


def test_interpreter_of_another_architecture_is_refused(tmp_path: Path) -> None:
    """A sysroot for another architecture is noticed before anything runs."""
    program = programs.build("race", "ppc-dynamic", SOURCES)
    inside = tmp_path / interpreter_of(program).lstrip("/")
    inside.parent.mkdir()
    shutil.copy(programs.build("interpreter", "x86", SOURCES), inside)

    done = run("--sysroot", tmp_path, program)

    assert done.returncode != 0
    assert "is of architecture ppc, its interpreter" in done.stderr


def test_script_is_run_by_its_first_line(tmp_path: Path) -> None:
    """A script's interpreter gets its argument, the script and the rest."""
    script = tmp_path / "script"
    script.write_text("#! /bin/echo  one two \nnot read\n")
    script.chmod(0o755)

    assert run(script, "three").stdout == f"one two {script} three\n"


def test_what_a_program_asked_for_in_vain_is_listed(tmp_path: Path) -> None:
    """A call that is not served is named once, when the program has ended."""
    source = tmp_path / "strange.py"
    source.write_text(
        "import ctypes, os\n"
        "libc = ctypes.CDLL(None, use_errno=True)\n"
        "assert libc.acct(None) == libc.acct(None) == -1\n"
        "print(os.strerror(ctypes.get_errno()))\n"
    )

    done = run(sys.executable, "-S", source)

    assert done.stdout == "Function not implemented\n"
    assert done.stderr == "system calls that are not served: acct\n"


def test_calls_are_shown_as_strace_does(tmp_path: Path) -> None:
    """Each call is a line with its arguments in words, and errors by name."""
    path = tmp_path / "file"
    path.write_text("some text\n")

    lines = run("--strace", "/bin/cat", path, tmp_path / "missing").stderr.splitlines()

    opened = next(line for line in lines if f'"{path}"' in line)
    assert opened.startswith(f'openat(AT_FDCWD, "{path}", O_RDONLY')
    fd = opened.rpartition(" = ")[2]
    assert any(
        line.startswith(f'read({fd}, "some text\\n", ') and line.endswith(") = 10")
        for line in lines
    )
    assert 'write(1, "some text\\n", 10) = 10' in lines
    missing = next(line for line in lines if f'"{tmp_path}/missing"' in line)
    assert missing.endswith(") = -1 ENOENT (No such file or directory)")
    assert "exit_group(1) = ?" in lines
    assert any("PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS" in _ for _ in lines)
