"""
What was saved goes on where nothing of it is: another root directory, other libraries.

That has a Python with blcr, and in the place of the C library something else.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import sysconfig
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness import commands, seeds, staging
from harness.jobs import JOBS
from harness.subject import Subject

ENTER = """
import ctypes, os, sys
root, home, user, *words = sys.argv[1:]
libc = ctypes.CDLL(None, use_errno=True)

def check(result):
    if result:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))

NEWNS, REC, PRIVATE, BIND, DETACH = 0x20000, 0x4000, 1 << 18, 0x1000, 2
PIVOT_ROOT = 155
check(libc.unshare(NEWNS))
check(libc.mount(None, b"/", None, REC | PRIVATE, None))
check(libc.mount(root.encode(), root.encode(), None, BIND | REC, None))
os.chdir(root)
check(libc.mount(b"proc", b"proc", b"proc", 0, None))
check(libc.mount(b"/dev", b"dev", None, BIND | REC, None))
check(libc.syscall(PIVOT_ROOT, b".", b"old"))
check(libc.umount2(b"/old", DETACH))
os.chdir(home)
if user:
    os.setgroups([])
    os.setresgid(*[int(user)] * 3)
    os.setresuid(*[int(user)] * 3)
inside = {"HOME": home, "PYTHONHOME": "/py", "PYTHONPATH": "/py/site", "PATH": "/"}
os.execve(words[0], words, inside)
"""
"""Runs words in another root, in a folder there, as a user."""

OTHER = "This is no library.\n"

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0, reason="not applicable: only root can have another root"
)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A root directory with nothing but Python and blcr."""
    folder = tmp_path_factory.mktemp("other") / "root"
    for name in ("proc", "dev", "old", "tmp", "py"):
        (folder / name).mkdir(parents=True)
    (folder / "tmp").chmod(0o1777)
    for parent in (folder, *list(folder.parents)[:3]):
        parent.chmod(0o755)
    python = folder / "py" / "bin" / "python"
    python.parent.mkdir()
    shutil.copy2(Path(sys.executable).resolve(), python)
    library = Path(sysconfig.get_path("stdlib"))
    skipped = shutil.ignore_patterns("site-packages", "test", "tests", "__pycache__")
    shutil.copytree(library, folder / "py/lib" / library.name, ignore=skipped)
    staging.copy_packages(folder / "py/site", ("zlib_ng",))
    binaries = [python, *(folder / "py/lib" / library.name).rglob("*.so")]
    for path in {one for binary in binaries for one in _libraries(binary)}:
        shutil.copy2(path, folder / "py" / "lib" / path.name)
        other = folder / str(path.parent)[1:]
        other.mkdir(parents=True, exist_ok=True)
        (other / path.name).write_text(OTHER)
    yield folder
    shutil.rmtree(folder)


def _libraries(binary: Path) -> list[Path]:
    """Return the libraries that a program, or another library, is linked with."""
    done = subprocess.run(["ldd", binary], capture_output=True, text=True, check=False)
    return [Path(found) for found in re.findall(r"(/\S+) \(0x", done.stdout)]


def _argv(root: Path, cwd: Path, user: int | None, *words: str) -> list[str]:
    """Return what starts ``cr_restart`` in there."""
    loader = next((root / "py/lib").glob("ld-linux*"))
    inside = [f"/py/lib/{loader.name}", "--library-path", "/py/lib", "/py/bin/python"]
    inside += ["-m", "blcr.cli.restart", *words]
    return [sys.executable, "-c", ENTER, str(root), str(cwd), str(user or ""), *inside]


@pytest.mark.parametrize(
    "name", seeds.sample("other root", ["gzip", "perl", "sqlite3"], 2)
)
@pytest.mark.parametrize("user_name", commands.users(), indirect=True)
def test_context_alone_is_enough(
    name: str, user: int | None, home: Path, root: Path
) -> None:
    """Libraries, executable, open files, all of them come out of the context."""
    job, whole, cut = JOBS[name], home / "whole", home / "cut"
    for folder in (whole, cut):
        folder.mkdir()
        args = job.prepare(folder, user)
        for path in (folder, *folder.iterdir()):
            shutil.chown(path, user or 0, user or 0)
    began = time.monotonic()
    with Subject(args, cwd=whole, user=user) as subject:
        expected = subject.finish()
    duration_s = time.monotonic() - began

    chance = seeds.generator("other root", name, user)
    with Subject(args, cwd=cut, user=user) as subject:
        time.sleep(chance.uniform(0.1, 0.5) * duration_s)
        context = subject.checkpoint_and_kill("--save-all", "--save-files")
    there = root / str(cut)[1:]
    there.mkdir(parents=True)
    for folder in (there, there.parent):
        shutil.chown(folder, user or 0, user or 0)
    shutil.move(context, there / "context")
    shutil.rmtree(cut)
    done = subprocess.run(
        _argv(root, cut, user, "context"),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
        timeout=300,
    )

    assert (done.returncode, done.stdout) == (0, expected), done.stderr
    for result in job.results:
        assert (there / result).read_bytes() == (whole / result).read_bytes()
