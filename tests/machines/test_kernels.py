"""
Other kernels of this machine's CPU, in machines under QEMU.

The tests of the native host run there as here; and what was saved here goes on there.
"""

from __future__ import annotations

import shutil
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness import machines, seeds, staging
from harness.programs import STATES, build
from harness.subject import Subject

TESTS = Path(__file__).parents[1]

TIMEOUT_S = 900

NEEDED = (
    "capstone",
    "pytest",
    "_pytest",
    "pluggy",
    "iniconfig",
    "packaging",
    "py",
    "pygments",
    "pytest_timeout",
)

VARIANTS = ("dynamic", "static", "musl")
"""Those of which the machines have the libraries."""

COUNT = 8
"""Of the programs that run in a machine, which is slow."""

OPTIONS = (
    "-q",
    "--junitxml=/host/junit.xml",
    # Plugins are found by what installing writes, which the machine lacks.
    "-p pytest_timeout",
    "-p no:cacheprovider",
)

pytestmark = [
    pytest.mark.skipif(
        not all(map(shutil.which, ("qemu-system-x86_64", "mmdebstrap", "cpio"))),
        reason="not applicable: qemu-system-x86_64, mmdebstrap or cpio is missing",
    ),
    pytest.mark.timeout(2 * TIMEOUT_S),
]


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Blcr and what its tests need, as a folder for PYTHONPATH."""
    target = tmp_path_factory.mktemp("packages") / "site"
    staging.copy_packages(target, NEEDED)
    return target


@pytest.fixture(scope="module")
def prebuilt(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The programs, compiled here."""
    folder = tmp_path_factory.mktemp("programs")
    for variant in VARIANTS:
        for program in [one.program for one in STATES]:
            shutil.copy2(build(program, variant), folder / f"{program}-{variant}")
    yield folder
    shutil.rmtree(folder)


@pytest.mark.parametrize("name", list(machines.RECIPES))
def test_native_host_on_another_kernel(
    name: str, package: Path, prebuilt: Path, tmp_path: Path
) -> None:
    """A sample of the programs keeps its state there, as root's and as a user's."""
    # What waits for a second by itself is over before a machine so slow has saved it.
    names = [one.program for one in seeds.sample(name, STATES, COUNT)]
    names.append("yama")
    files = [
        (package, "site"),
        (prebuilt, "programs"),
        (TESTS / "harness", "tests/harness"),
        (TESTS / "programs", "tests/programs"),
        (TESTS / "native", "tests/native"),
        (TESTS / "conftest.py", "tests/conftest.py"),
        (TESTS.parent / "pyproject.toml", "pyproject.toml"),
    ]
    script = "\n".join(
        (
            "export PYTHONPATH=/job/site BLCR_PREBUILT=/job/programs",
            f"export BLCR_SEED={seeds.SEED}",
            "chmod -R a+rX /job",
            f"python3 -m pytest {' '.join(OPTIONS)} -k '{' or '.join(names)}' "
            "tests/native/test_programs.py tests/native/test_yama.py",
        )
    )
    with machines.job(files, script) as job:
        status = machines.run(
            machines.RECIPES[name], job, tmp_path, timeout_s=TIMEOUT_S
        )

    said = (tmp_path / "output").read_text(errors="replace")
    assert status == 0, said[-20_000:]
    suite = next(ET.parse(tmp_path / "junit.xml").iter("testsuite"))
    assert int(suite.attrib["tests"]) - int(suite.attrib["skipped"]) >= COUNT


@pytest.mark.parametrize("name", list(machines.RECIPES))
def test_restart_on_another_kernel(
    name: str, package: Path, tmp_path: Path, home: Path
) -> None:
    """A context saved here goes on there, with the vdso of that kernel."""
    program = build("clock_vdso", "musl")
    with Subject([program], cwd=home) as subject:
        subject.ready()
        context = subject.checkpoint_and_kill()
    files = [(package, "site"), (context, "context")]
    script = (
        "export PYTHONPATH=/job/site\n"
        f"mkdir -p {program.parent} {home} && cp /host/program {program} && cd {home}\n"
        "echo 0 | python3 -m blcr.cli.restart /job/context\n"
    )
    shutil.copy2(program, tmp_path / "program")
    with machines.job(files, script) as job:
        status = machines.run(
            machines.RECIPES[name], job, tmp_path, timeout_s=TIMEOUT_S
        )

    said = (tmp_path / "output").read_text(errors="replace")
    assert (status, said.split("\n")[-2]) == (0, "ok"), said
