"""Memory that takes more than a program: of the machine, or of a second file."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from harness import commands, modes, outside
from harness.programs import Scenario, build
from harness.subject import Subject

EVERY_USER = pytest.mark.parametrize("user_name", list(commands.users()), indirect=True)
HUGE_PAGES = Path("/proc/sys/vm/nr_hugepages")
REFUSED = 52


@pytest.fixture
def huge_pages() -> Iterator[None]:
    """Have the machine set some huge pages aside, more than the program needs."""
    if os.geteuid() != 0 or not HUGE_PAGES.exists():
        pytest.skip("kernel: only root sets huge pages aside")
    before = HUGE_PAGES.read_text()
    HUGE_PAGES.write_text(str(int(before) + 6))
    yield
    HUGE_PAGES.write_text(before)


@EVERY_USER
@pytest.mark.parametrize("mode", ["none", "continue", "restart"])
@pytest.mark.parametrize("variant", ["dynamic", "m32"])
@pytest.mark.usefixtures("huge_pages")
def test_huge_pages(mode: str, variant: str, user: int | None, home: Path) -> None:
    """Pages of hugetlbfs come back as such."""
    modes.run(Scenario("memory_huge_pages"), variant, mode, user, home)


def _own_copy(home: Path, program: str, user: int | None) -> Path:
    """Return a copy of a program that belongs to the user."""
    copy = home / program
    shutil.copy2(build(program), copy)
    if user is not None:
        os.chown(copy, user, user)
    return copy


@EVERY_USER
@pytest.mark.parametrize("variant", ["dynamic", "static", "m32"])
def test_everything_mapped_is_in_the_context(
    variant: str, user: int | None, home: Path
) -> None:
    """With --save-all a program goes on where its executable is gone."""
    program = home / "program"
    shutil.copy2(build("mapping_shared", variant), program)
    with Subject([program], cwd=home, user=user) as subject:
        subject.ready()
        path = subject.checkpoint_and_kill("--save-all")
        program.unlink()
        (home / "shared").unlink()
        for _ in range(2):
            subject.restart(path)
            assert "program" in str((outside.PROC / f"{subject.pid}/exe").readlink())
            path = subject.checkpoint_and_kill()
        subject.restart(path)
        subject.tell()

        assert subject.finish().endswith(b"ok\n")


@EVERY_USER
@pytest.mark.parametrize(
    "change",
    [
        lambda path: path.unlink(),
        lambda path: path.write_bytes(b"x" * path.stat().st_size),
    ],
    ids=["gone", "written"],
)
def test_open_file_and_its_mapping_are_put_back_as_one(
    change: Callable[[Path], object], user: int | None, home: Path
) -> None:
    """With --save-all --save-files a mapped file that is open, too, is rolled back."""
    with Subject([build("mapping_shared")], cwd=home, user=user) as subject:
        subject.ready()
        path = subject.checkpoint_and_kill("--save-all", "--save-files")
        change(home / "shared")
        subject.restart(path)
        subject.tell()

        assert subject.finish().endswith(b"ok\n")
        assert b"before" in (home / "shared").read_bytes()


@EVERY_USER
def test_saved_executable_that_is_there_is_the_exe_link(
    user: int | None, home: Path
) -> None:
    """A set-uid program is born from a seed, and has its exe link again."""
    program = _own_copy(home, "memory_private", user)
    program.chmod(0o4755)
    with Subject([program], cwd=home, user=user) as subject:
        subject.ready()
        subject.restart(subject.checkpoint_and_kill())

        assert (outside.PROC / f"{subject.pid}/exe").readlink() == program
        subject.tell()
        assert subject.finish().endswith(b"ok\n")


@EVERY_USER
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda path: path.write_bytes(path.read_bytes() + b"!"), "bytes and had"),
        (lambda path: path.unlink(), "cannot be opened: No such file"),
        (lambda path: os.utime(path, (1, 1)), ""),
    ],
    ids=["grown", "gone", "touched"],
)
def test_changed_executable_is_named(
    change: Callable[[Path], object], message: str, user: int | None, home: Path
) -> None:
    """Another size is an error with a way out, another time of the same build none."""
    program = _own_copy(home, "memory_private", user)
    with Subject([program], cwd=home, user=user) as subject:
        subject.ready()
        path = subject.checkpoint_and_kill()
        change(program)

        if message:
            done = commands.call("restart", path, user=user, cwd=home)
            checked = commands.call("restart", "--check", path, user=user, cwd=home)
            assert done.returncode == errno.ENOENT
            for said in (done.stderr, checked.stdout + checked.stderr):
                assert f"'{program}'" in said
                assert message in said
                assert "--save-exe" in said
        else:
            subject.restart(path)
            subject.tell()
            assert subject.finish().endswith(b"ok\n")


@EVERY_USER
def test_changed_data_is_named(user: int | None, home: Path) -> None:
    """A privately mapped file that was written to since is an error, unless saved."""
    with Subject([build("mapping_private")], cwd=home, user=user) as subject:
        subject.ready()
        saved = subject.checkpoint("--save-private")
        path = subject.checkpoint_and_kill()
        mapped = home / "mapped"
        before = mapped.read_bytes()
        mapped.write_bytes(b"x" * len(before))

        done = commands.call("restart", path, user=user, cwd=home)

        assert done.returncode == errno.ENOENT
        assert "has been written to since" in done.stderr
        assert "--save-private" in done.stderr
        mapped.write_bytes(before)
        subject.restart(saved)
        subject.tell()
        assert subject.finish().endswith(b"ok\n")


@EVERY_USER
def test_missing_shared_file_is_replaced_by_its_copy(
    user: int | None, home: Path
) -> None:
    """A small shared mapped file that is gone is no obstacle; a message names it."""
    with Subject([build("memory_spare")], cwd=home, user=user) as subject:
        subject.ready()
        path = subject.checkpoint_and_kill()
        (home / "spare").unlink()
        subject.restart(path, "--kmsg-warning")
        subject.tell()

        assert subject.finish().endswith(b"ok\n")
        assert "'" + str(home / "spare") + "'" in subject.errors()


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("secret", "secret memory (memfd_secret)"),
        ("sealed", "a sealed mapping (mseal)"),
        ("perf", "[perf_event]"),
    ],
)
def test_what_cannot_be_saved_is_named(kind: str, name: str, home: Path) -> None:
    """The program is refused with a name for its memory, and runs on."""
    program = build("refused_memory", folder=Path(__file__).parent)
    with Subject([program, kind], cwd=home) as subject:
        subject.ready()
        done = commands.call("checkpoint", "-f", home / "c", str(subject.pid), cwd=home)
        if b"none" in subject.output:
            pytest.skip(f"kernel: has no {name}")

        assert done.returncode == REFUSED
        assert name in done.stderr
        subject.tell()
        assert subject.finish().endswith(b"ok\n")
