"""
The native host on kernels of other CPUs, in machines under QEMU.

The tests of the native host run there as here, with programs that are compiled here,
and by commands that are forks of the tests' Python, whose start takes seconds there.
"""

from __future__ import annotations

import shutil
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from harness import machines, programs, seeds, staging

TESTS = Path(__file__).parents[1]

TIMEOUT_S = 10_800 if seeds.FULL else 900

NEEDED = (
    "pytest",
    "_pytest",
    "pluggy",
    "iniconfig",
    "packaging",
    "py",
    "pygments",
    "pytest_timeout",
)

ALWAYS = ("registers_vector", "threads_local")
"""What each architecture keeps in its own way."""

OTHERS = tuple(
    """
    compute cwd_umask directory_position environment fifo file_offsets fpu_control
    jump_buffers limits mapping_private memory_private memory_shared pipe_full
    pipe_half_full registers_general rseq_section signal_actions signal_handlers_nested
    signal_mask signal_pending signal_queued signal_stack_in_use threads_mutex timerfd
    tree_pipe
    """.split()
)
"""Programs seen to pass; in a run that is not full some by chance."""

COUNT = 1
PATIENCE = 10

OPTIONS = (
    "-q",
    "--junitxml=/host/junit.xml",
    # Plugins are found by what installing writes, which the machine lacks.
    "-p pytest_timeout",
    "-p no:cacheprovider",
    "-o timeout=900",
)

pytestmark = pytest.mark.timeout(2 * TIMEOUT_S)


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(
            one.name,
            id=f"native-{one.name}",
            marks=[
                pytest.mark.skipif(
                    not all(map(shutil.which, (one.qemu[0], "mmdebstrap", "cpio"))),
                    reason=f"not applicable: {one.qemu[0]}, mmdebstrap or cpio is "
                    "missing",
                ),
                pytest.mark.skipif(
                    not machines.may_be_had(one),
                    reason=f"not implemented: making the images of {one.name}, which "
                    "are not in BLCR_IMAGES",
                ),
            ],
        )
        for one in machines.ARCHITECTURES.values()
    ],
)
def test_native_host_on_another_cpu(name: str, tmp_path: Path) -> None:
    """Programs keep their state there, as root's and as a user's."""
    names = [*ALWAYS, *seeds.sample(f"machine-{name}", OTHERS, COUNT)]
    site, prebuilt, shared = (tmp_path / one for one in ("site", "programs", "host"))
    staging.copy_packages(site, NEEDED)
    machines.precompile(site)
    prebuilt.mkdir()
    shared.mkdir()
    for program in {"compute", *names}:
        shutil.copy2(programs.build(program, name), prebuilt / f"{program}-musl")
    files = [
        (site, "site"),
        (prebuilt, "programs"),
        (TESTS / "harness", "tests/harness"),
        (TESTS / "programs", "tests/programs"),
        (TESTS / "native", "tests/native"),
        (TESTS / "conftest.py", "tests/conftest.py"),
        (TESTS.parent / "pyproject.toml", "pyproject.toml"),
    ]
    script = "\n".join(
        (
            "export PYTHONPATH=/job/site BLCR_PREBUILT=/job/programs BLCR_FORKS=1",
            f"export BLCR_SEED={seeds.SEED} BLCR_PATIENCE={PATIENCE}",
            f"export BLCR_FULL={int(seeds.FULL)}",
            "chmod -R a+rX /job",
            f"python3 -m pytest {' '.join(OPTIONS)} -k '{' or '.join(names)}' "
            "tests/native/test_programs.py",
        )
    )
    with machines.job(files, script) as job:
        status = machines.run(
            machines.ARCHITECTURES[name], job, shared, timeout_s=TIMEOUT_S
        )

    said = (shared / "output").read_text(errors="replace")
    assert status == 0, said[-20_000:]
    suite = next(ET.parse(shared / "junit.xml").iter("testsuite"))
    assert int(suite.attrib["tests"]) - int(suite.attrib["skipped"]) >= len(names)
