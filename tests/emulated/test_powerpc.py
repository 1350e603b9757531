"""What only PowerPC has: work for the kernel, two ways to call it, descriptors."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from harness import load, packages, programs

SOURCES = Path(__file__).parent / "programs"

# Signals and codes: arch/powerpc/kernel/traps.c, emulate_instruction and
# program_check_exception; EBADF is 9.
SAID = """\
version 0 0
trap 5 1
conditional 5 1
machine state 4 5
supervisor register 4 5
illegal 4 1
misaligned 7 1
pid 1
no descriptor -9
rounding 1 1
"""

E_FLAGS = 48
"""Offset in the header of a 64-bit ELF file, <elf.h>."""


def run(*args: str | Path) -> subprocess.CompletedProcess[str]:
    """Run a program in a machine of ours."""
    return subprocess.run(
        [sys.executable, "-m", "blcr.cli.run", "--emulate", *args],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


@pytest.mark.parametrize("variant", ["ppc", "ppc64", "ppc64le"])
def test_kernel_does_what_the_cpu_leaves_to_it(variant: str) -> None:
    """Instructions that are emulated, privileged, or calls by ``scv``."""
    done = run(programs.build("powerpc", variant, SOURCES))

    assert (done.stdout, done.stderr) == (SAID, "")


def test_functions_are_known_by_descriptors(tmp_path: Path) -> None:
    """In ELFv1 the entry and handlers get address and TOC from a descriptor."""
    program = tmp_path / "descriptor"
    source = SOURCES / "descriptor.s"
    compiler = [sys.executable, "-m", "ziglang", "cc", "-target", load("ppc64").target]
    subprocess.run(
        [*compiler, "-nostdlib", "-static", "-o", program, source], check=True
    )
    with program.open("r+b") as file:
        file.seek(E_FLAGS)
        file.write((1).to_bytes(4, "big"))

    done = run(program)

    assert (done.stdout, done.stderr, done.returncode) == ("begin\nhandle\n", "", 0)


@pytest.mark.parametrize(
    ("package", "triplet"),
    [
        ("libc6-powerpc-cross", "powerpc-linux-gnu"),
        ("libc6-ppc64-cross", "powerpc64-linux-gnu"),
    ],
)
@pytest.mark.skipif(
    not packages.available(), reason="not applicable: this machine has no apt"
)
def test_debian_s_c_library_says_what_it_is(package: str, triplet: str) -> None:
    """Big-endian, with an interpreter; the one with 64 bits knows descriptors."""
    root = packages.sysroot("amd64", (package,)) / "usr" / triplet

    done = run("--sysroot", root, root / "lib" / "libc.so.6")

    assert done.stdout.startswith("GNU C Library (Debian GLIBC 2.36")
    assert (done.stderr, done.returncode) == ("", 0)
