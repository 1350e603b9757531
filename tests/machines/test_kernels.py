"""
Other kernels of this machine's CPU, in machines under QEMU.

The tests of the native host run there as here; and what was saved here goes on there.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness import commands, machines, seeds, staging
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

COUNT = 8 if seeds.FULL else 2
"""Of the programs that run in a machine, which is slow."""

NOT_THERE = {
    # Terabytes are looked through page by page, and no semaphore mode is told.
    "linux-6.1": {"memory_sparse", "eventfd"},
    "linux-6.12": set[str](),
}
"""What these kernels lack for a program; see the known limits."""

PATIENCE = 5

KERNELS = list(machines.KERNELS) if seeds.FULL else list(machines.KERNELS)[:1]
"""The sample's is the one that lacks the most."""

CONTEXTS = (("clock_vdso", "musl"), ("compute", "dynamic"))
"""What crosses from kernel to kernel, in the midst of the vdso and of computing."""

SAVE = """
import shutil, sys
from pathlib import Path
from harness.subject import Subject
name, home = sys.argv[1], Path(sys.argv[2])
home.mkdir()
with Subject([f"/job/{name}"], cwd=home) as subject:
    subject.ready()
    context = subject.checkpoint_and_kill("--save-all", "--save-files")
    shutil.copy(context, f"/host/{name}")
"""

OPTIONS = (
    "-q",
    "--junitxml=/host/junit.xml",
    # Plugins are found by what installing writes, which the machine lacks.
    "-p pytest_timeout",
    "-p no:cacheprovider",
    "-o timeout=600",
)

pytestmark = [
    pytest.mark.skipif(
        "CI" not in os.environ
        and not all(map(shutil.which, ("qemu-system-x86_64", "mmdebstrap", "cpio"))),
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
        for program in {
            "compute",
            *(one for name in KERNELS for one in _sampled(name)),
        }:
            shutil.copy2(build(program, variant), folder / f"{program}-{variant}")
    yield folder
    shutil.rmtree(folder)


def _sampled(name: str) -> list[str]:
    """Return programs for a kernel, with one that not every CPU can run."""
    known = [one for one in STATES if one.program not in NOT_THERE[name]]
    chosen = [one.program for one in seeds.sample(name, known, COUNT)]
    return [*dict.fromkeys(("memory_keys", *chosen))]


@pytest.mark.parametrize("name", KERNELS)
def test_native_host_on_another_kernel(
    name: str, package: Path, prebuilt: Path, tmp_path: Path
) -> None:
    """A sample of the programs keeps its state there, as root's and as a user's."""
    # What waits for a second by itself is over before a machine so slow has saved it.
    names = [*_sampled(name), "yama"]
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
            f"export BLCR_SEED={seeds.SEED} BLCR_PATIENCE={PATIENCE}",
            "chmod -R a+rX /job",
            f"python3 -m pytest {' '.join(OPTIONS)} -k '{' or '.join(names)}' "
            "tests/native/test_programs.py tests/native/test_yama.py",
        )
    )
    with machines.job(files, script) as job:
        status = machines.run(
            machines.KERNELS[name], job, tmp_path, timeout_s=TIMEOUT_S
        )

    said = (tmp_path / "output").read_text(errors="replace")
    assert status == 0, said[-20_000:]
    suite = next(ET.parse(tmp_path / "junit.xml").iter("testsuite"))
    assert int(suite.attrib["tests"]) - int(suite.attrib["skipped"]) >= COUNT


@pytest.mark.parametrize("name", KERNELS)
def test_restart_on_another_kernel(
    name: str, package: Path, tmp_path: Path, home: Path
) -> None:
    """What is saved here goes on there, by its context alone."""
    files, lines = [(package, "site")], ["export PYTHONPATH=/job/site"]
    for program, variant in CONTEXTS:
        folder = home / program
        folder.mkdir()
        # That machine's CPU has less than this one's.
        words = commands.argv("run", "--cpu", "x86-64-v2", build(program, variant))
        with Subject(words, cwd=folder) as subject:
            subject.ready()
            context = subject.checkpoint_and_kill("--save-all", "--save-files")
        files.append((context, program))
        lines.append(
            f"mkdir -p {folder}; (cd {folder}; echo 0 | python3 -m blcr.cli.restart "
            f"/job/{program}) || exit"
        )
    with machines.job(files, "\n".join(lines)) as job:
        status = machines.run(
            machines.KERNELS[name], job, tmp_path, timeout_s=TIMEOUT_S
        )

    said = (tmp_path / "output").read_text(errors="replace")
    assert (status, said.count("ok\n")) == (0, len(CONTEXTS)), said


@pytest.mark.parametrize("name", KERNELS)
def test_context_of_another_kernel(
    name: str, package: Path, tmp_path: Path, home: Path
) -> None:
    """What is saved there goes on here, by its context alone."""
    files = [(package, "site"), (TESTS / "harness", "tests/harness")]
    files += [(build(*one), one[0]) for one in CONTEXTS]
    (tmp_path / "save.py").write_text(SAVE)
    script = "\n".join(
        (
            "export PYTHONPATH=/job/site:/job/tests",
            *(
                f"python3 /host/save.py {program} {home}-{program} || exit"
                for program, _ in CONTEXTS
            ),
        )
    )
    with machines.job(files, script) as job:
        status = machines.run(
            machines.KERNELS[name], job, tmp_path, timeout_s=TIMEOUT_S
        )
    assert status == 0, (tmp_path / "output").read_text(errors="replace")

    for program, _ in CONTEXTS:
        Path(f"{home}-{program}").mkdir()
        restart = commands.argv("restart", "--no-restore-pid", tmp_path / program)
        done = subprocess.run(restart, input=b"0\n", capture_output=True, check=False)
        shutil.rmtree(f"{home}-{program}")
        assert done.stdout == b"ok\n", done
