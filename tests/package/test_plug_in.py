"""An architecture from a package of its own, found by its entry points alone."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from harness import programs

MACHINE = 0x7070
"""An ELF machine that nobody has."""

RECORD = f'''
"""A family's member that differs in its name."""

from blcr import registry

ARCH = registry.get("riscv64")._replace(name="toy", elf_machine={MACHINE})
'''
ENTRY_POINTS = f"""
[blcr.arch]
toy = toy_architecture:ARCH

[blcr.elf]
{MACHINE}-64-little = toy_architecture:ARCH
"""


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """Return an environment in which the package is installed, in a folder."""
    package = tmp_path / "packages" / "toy_architecture"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text(RECORD)
    metadata = tmp_path / "packages" / "toy_architecture-1.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: toy-architecture\nVersion: 1\n"
    )
    (metadata / "entry_points.txt").write_text(ENTRY_POINTS)
    folders = (str(tmp_path / "packages"), os.environ.get("PYTHONPATH", ""))
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(filter(None, folders)),
        "XDG_RUNTIME_DIR": str(tmp_path),
    }


@pytest.fixture
def program(tmp_path: Path) -> Path:
    """Return a program for that machine."""
    data = bytearray(programs.build("jump_buffers", "riscv64").read_bytes())
    data[18:20] = MACHINE.to_bytes(2, "little")
    path = tmp_path / "program"
    path.write_bytes(data)
    path.chmod(0o755)
    return path


def command(name: str, *args: str | Path) -> list[str]:
    """Return what starts ``cr_NAME``."""
    return [sys.executable, "-m", f"blcr.cli.{name}", *map(str, args)]


def test_without_the_package_the_machine_is_unknown(program: Path) -> None:
    """The program is refused by what its header says."""
    done = subprocess.run(
        command("run", "--emulate", program),
        capture_output=True,
        text=True,
        check=False,
    )

    assert f"no architecture is installed for ELF machine {MACHINE}" in done.stderr


def test_programs_run_are_saved_and_go_on(
    environment: dict[str, str], program: Path, tmp_path: Path
) -> None:
    """With the package they are emulated, saved, described and restarted."""
    context = tmp_path / "context"

    with subprocess.Popen(
        command("run", "--emulate", program),
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    ) as machine:
        assert machine.stdout is not None
        assert machine.stdout.readline() == b"ready\n"
        saving = command("checkpoint", "--kill", "-f", context, str(machine.pid))
        subprocess.run(saving, env=environment, check=True)
        machine.wait()
    told = subprocess.run(
        command("info", context), env=environment, capture_output=True, check=True
    )
    done = subprocess.run(
        command("restart", "--emulate", context),
        env=environment,
        input=b"\n",
        capture_output=True,
        check=False,
    )

    assert b"toy" in told.stdout
    assert (done.stdout, done.stderr) == (b"ok\n", b"")
