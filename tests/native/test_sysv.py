"""System V objects whose ids or keys are taken, and restarts that fail."""

from __future__ import annotations

import errno
import os
import subprocess
from pathlib import Path

import pytest

import blcr
from blcr.context import records
from harness import commands
from harness.programs import build
from harness.subject import Subject

ROOT_ONLY = pytest.mark.skipif(
    os.geteuid() != 0,
    reason="not applicable: an ordinary user restores ids in namespaces",
)


def _saved(home: Path, user: int | None) -> tuple[Path, records.Context]:
    """Return a context of a program that had objects, which are gone as well."""
    with Subject([build("tree_sysv")], cwd=home, user=user) as subject:
        subject.ready()
        path = subject.checkpoint_and_kill()
    with blcr.open_context(path) as reader:
        context = reader.context
    _remove(context)
    return path, context


def _remove(context: records.Context) -> None:
    """Remove the objects of a context."""
    (segment,) = (one.ipc for one in context.shared_memory if one.ipc and one.ipc.key)
    (semaphores,), (queue,) = context.semaphores, context.message_queues
    words = f"ipcrm -m {segment.id} -s {semaphores.ipc.id} -q {queue.ipc.id}"
    subprocess.run(words.split(), check=True)


def _there() -> list[list[str]]:
    """Return all objects by type, key and id."""
    found: list[list[str]] = []
    for name in ("shm", "sem", "msg"):
        lines = Path(f"/proc/sysvipc/{name}").read_text().splitlines()[1:]
        found += [[name, *line.split()[:2]] for line in lines]
    return found


@ROOT_ONLY
def test_objects_are_those_of_the_program(home: Path) -> None:
    """No others are saved, and none but the attached segments."""
    before = _there()
    _path, context = _saved(home, None)

    assert sorted(one.kind for one in context.shared_memory) == ["sysv", "sysv"]
    assert [one.values for one in context.semaphores] == [(0, 0, 7)]
    kinds = [(kind, text) for kind, text in context.message_queues[0].messages]
    assert kinds == [(5, b"five"), (2, b"second"), (9, b"")]
    assert _there() == before


@ROOT_ONLY
def test_failed_restart_leaves_no_object(home: Path) -> None:
    """What was made is removed when a process cannot be rebuilt."""
    path, _context = _saved(home, None)
    before = _there()

    done = commands.call("restart", "--relocate", f"{home}=/nowhere", path, cwd=home)

    assert done.returncode == errno.ENOENT, done.stderr
    assert "'/nowhere'" in done.stderr
    assert _there() == before


@ROOT_ONLY
def test_key_of_another_is_busy(home: Path) -> None:
    """An object with the key, which is not the program's, is left alone."""
    path, context = _saved(home, None)
    key = context.message_queues[0].ipc.key
    made = subprocess.run(
        ["perl", "-e", f"print msgget({key}, 01600)"],
        check=True,
        capture_output=True,
        text=True,
    )
    try:
        done = commands.call("restart", path, cwd=home)

        assert done.returncode == errno.EBUSY
        assert f"key {key:#x} is in use" in done.stderr
    finally:
        subprocess.run(["ipcrm", "-q", made.stdout], check=True)


@ROOT_ONLY
def test_ids_that_cannot_be_chosen_are_an_error(home: Path) -> None:
    """Without a namespace an ordinary user gets what number there is."""
    user = commands.ORDINARY_USER
    os.chown(home, user, user)
    path, _context = _saved(home, user)
    before = _there()

    done = commands.call("restart", "--no-restore-pid", path, user=user, cwd=home)

    assert done.returncode == errno.EPERM
    assert "without --no-restore-pid" in done.stderr
    assert _there() == before
