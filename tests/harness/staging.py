"""
A Python that another user may run.

Interpreter and packages often lie where only their owner may look.  Where that is so,
they are copied to a place where everybody may.
"""

from __future__ import annotations

import compileall
import functools
import importlib.metadata
import importlib.util
import os
import shutil
import sys
import sysconfig
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from harness.programs import cache_folder

_PACKAGES = ("capstone", "unicorn", "zlib_ng")


class Interpreter(NamedTuple):
    """A Python and what it needs in its environment."""

    executable: Path
    environment: dict[str, str]


@functools.cache
def interpreter(user: int | None) -> Interpreter:
    """Return a Python that imports blcr for that user; None is the caller."""
    if user is None or user == os.getuid() or _everybody_reads_it():
        return Interpreter(Path(sys.executable), {})
    python = _copied_python()
    # An interpreter in a shared library looks for it where only its owner may.
    library = python.parents[1] / "lib"
    return Interpreter(
        python,
        {"PYTHONPATH": str(_copied_packages()), "LD_LIBRARY_PATH": str(library)},
    )


def _everybody_reads_it() -> bool:
    spec = importlib.util.find_spec("blcr")
    assert spec
    assert spec.origin
    places = [Path(sys.executable).resolve(), Path(spec.origin).resolve()]
    folders = [folder for place in places for folder in place.parents]
    return all(folder.stat().st_mode & 0o005 == 0o005 for folder in folders)


def _copied_python() -> Path:
    """Copy interpreter and standard library; they find each other by their places."""
    source = Path(sys.executable).resolve()
    library = Path(sysconfig.get_path("stdlib"))
    target = cache_folder() / f"python-{sys.version_info.major}{sys.version_info.minor}"
    executable = target / "bin" / source.name
    if not executable.exists():
        skipped = shutil.ignore_patterns(
            "site-packages", "test", "tests", "idlelib", "config-*", "ensurepip"
        )
        unfinished = target.with_suffix(f".{os.getpid()}")
        (unfinished / "bin").mkdir(parents=True)
        shutil.copy2(source, unfinished / "bin")
        shutil.copytree(library, unfinished / "lib" / library.name, ignore=skipped)
        for shared in library.parent.glob("libpython*.so*"):
            shutil.copy2(shared, unfinished / "lib")
        unfinished.rename(target)
    return executable


def _copied_packages() -> Path:
    target = cache_folder() / f"packages-{os.getpid()}"
    shutil.rmtree(target, ignore_errors=True)
    copy_packages(target, _PACKAGES)
    return target


def copy_packages(target: Path, others: Sequence[str]) -> None:
    """
    Copy blcr as it is now, its entry points, and other packages to a new folder.

    Compiled: who may not write there would compile all of it at each start.
    """
    target.mkdir()
    for name in ("blcr", "blcr.arch", *others):
        spec = importlib.util.find_spec(name)
        if spec and spec.origin and not spec.submodule_search_locations:
            shutil.copy2(spec.origin, target)
        elif spec and spec.origin:
            folder = target.joinpath(*name.split("."))
            shutil.copytree(Path(spec.origin).parent, folder, dirs_exist_ok=True)
    compileall.compile_dir(target, quiet=1)
    entries = importlib.metadata.distribution("blcr").read_text("entry_points.txt")
    metadata = target / "blcr-0.dist-info"
    metadata.mkdir()
    (metadata / "entry_points.txt").write_text(entries or "")
    (metadata / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: blcr\nVersion: 0\n"
    )


def discard() -> None:
    """Remove what `interpreter` copied for this run."""
    shutil.rmtree(cache_folder() / f"packages-{os.getpid()}", ignore_errors=True)
