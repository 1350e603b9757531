"""A restart that dies or fails at any step leaves no process behind."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from blcr import open_context
from blcr.errors import HostError
from blcr.host.native import namespaces, ptrace
from blcr.linux import addresses
from harness import checkpointer, commands, outside, seeds
from harness.checkpointer import (
    ENDED,
    FAILED_BADLY,
    FAILED_WELL,
    KILLED,
    LESS,
    THROUGH,
)
from harness.programs import build
from harness.subject import Subject

_THREADS_AT_MOST = 8
"""Of the programs here."""
_LAST_REQUESTS = 10 * _THREADS_AT_MOST
"""Those behind the putting back of files: for ids, limits, our page, and to let go."""

Hook = Callable[[checkpointer.Request], checkpointer.Request]


KINDS = (
    "aio_contexts",
    "epoll_nested",
    "file_leases",
    "file_locks",
    "inotify",
    "mapping_shared",
    "memory_file",
    "memory_locked",
    "pipe_half_full",
    "process_controls",
    "scheduling",
    "signal_queued",
    "sock_pairs",
    "terminal_pair",
    "thread_folders",
    "timer_posix",
    "timerfd",
)
"""
Programs, each with another kind of state to be rebuilt, and that leave their files as
they are, so that one context serves again and again."""

TREES = ("sock_named", "tree_clones:all", "tree_pipe")
"""
Likewise with names that anybody sees, or of several processes; of which none waits for
ever for one that was ended behind its release.
"""


@pytest.fixture(
    params=[
        *("memory_private", "threads_ids"),
        *seeds.sample("steps", KINDS, 2),
        *seeds.sample("steps of trees", TREES, 1),
    ]
)
def context(request: pytest.FixtureRequest, home: Path) -> Path:
    """The context of a program that waits to be told."""
    program, *args = request.param.split(":")
    with Subject([build(program), *args], cwd=home) as subject:
        subject.ready()
        return subject.checkpoint_and_kill("--save-files")


class Belongings:
    """Files and other objects that a restart may leave behind."""

    def __init__(self, context: Path) -> None:
        self._context = context
        with open_context(context) as saved:
            every = saved.context
        self.of_several = len(every.processes) > 1
        self._objects = {
            *(("shm", one.ipc.id) for one in every.shared_memory if one.ipc),
            *(("sem", one.ipc.id) for one in every.semaphores),
            *(("msg", one.ipc.id) for one in every.message_queues),
        }

        # Those whose files were there; others have left theirs behind.
        names = (addresses.path(one.name) for one in every.sockets if one.file)
        self._sockets = {context.parent / name for name in names if name}
        self._saved = _files(context.parent)

    def tidied(self) -> list[object]:
        """Remove what a program that has ended leaves, and return the rest."""
        for path in self._sockets:
            path.unlink(missing_ok=True)
        outside.remove_objects(self._objects)
        return self.now()

    def rolled_back(self) -> list[object]:
        """Return what is there once a restart has put its files back."""
        sockets, _, objects = self.now()
        return [sockets, self._saved, objects]

    def now(self) -> list[object]:
        """Return all that there is."""
        folder = self._context.parent
        sockets = sorted(path.name for path in folder.iterdir() if path.is_socket())
        return [sockets, _files(folder), outside.objects() & self._objects]


@pytest.fixture
def belongings(context: Path) -> Belongings:
    """Those of the context."""
    return Belongings(context)


def _restart(context: Path, hook: Hook) -> int:
    """Restart under a hook; how it ended."""
    return _restart_prepared(context, checkpointer.hooked(hook))


def _restart_prepared(context: Path, prepare: Callable[[], None]) -> int:
    """Restart after some preparation; how it ended."""
    return checkpointer.wait(checkpointer.fork_restart(context, prepare))


def _files(folder: Path) -> dict[str, bytes]:
    """Return what is in a folder, but for what the tests themselves put there."""
    return {
        path.name: path.read_bytes()
        for path in folder.iterdir()
        if path.is_file() and not path.name.startswith(("context", "stderr"))
    }


@pytest.fixture
def nobody_left() -> Callable[[], bool]:
    """A predicate: all processes that were started since are gone."""
    before = set(outside.descendants(os.getpid()))

    def is_true() -> bool:
        found = set(outside.descendants(os.getpid())) - before
        # A namespace lives on as long as there is a zombie of it.
        for pid in found:
            if not outside.exists(pid) and outside.is_own_child(pid):
                os.waitpid(pid, os.WNOHANG)
        return not set(outside.descendants(os.getpid())) - before

    return is_true


def test_killed_at_every_step(
    context: Path, belongings: Belongings, nobody_left: Callable[[], bool]
) -> None:
    """SIGKILL before the n-th request takes what was made so far along."""
    status, n, chance = KILLED, 0, seeds.generator("restart dies")
    before = belongings.tidied()
    while status == KILLED:
        n = checkpointer.next_step(n, chance)
        status = _restart(context, checkpointer.die_at(n))
        outside.wait_until(nobody_left, f"nobody left after step {n}", timeout_s=30)
        if status == KILLED:
            assert belongings.now() == before, f"step {n}"

    assert status == THROUGH
    assert n > 3


@pytest.mark.parametrize(
    ("hook", "expected"),
    [
        (
            partial(
                checkpointer.fail_at, error=ptrace.RequestError(errno.EIO, "made up")
            ),
            {THROUGH, FAILED_WELL},
        ),
        (checkpointer.end_at, {THROUGH, FAILED_WELL, ENDED}),
    ],
    ids=["refused", "gone"],
)
def test_every_step_failing(
    context: Path,
    hook: Callable[[int], Hook],
    expected: set[int],
    belongings: Belongings,
    nobody_left: Callable[[], bool],
) -> None:
    """
    A failing n-th request is one of our errors, and nothing is left.

    Only while the program is let go may its own end be the end of a restart, and may
    files be as they were saved.
    """
    chance, n, through, ended, late = seeds.generator("restart fails"), 0, 0, 0, 0
    while through < 3:
        before = belongings.tidied()
        rolled_back = belongings.rolled_back()
        n = checkpointer.next_step(n, chance)
        status = _restart(context, hook(n))
        # Of several processes another one may be the one that says so.
        noticed = status == FAILED_BADLY and ENDED in expected and belongings.of_several
        assert status in expected or noticed, f"step {n}"
        outside.wait_until(nobody_left, f"nobody left after step {n}", timeout_s=30)
        if status == FAILED_WELL and belongings.now() != before:
            assert belongings.now() == rolled_back, f"step {n}"
            late += 1
        through = through + 1 if status == THROUGH else 0
        ended += status in {ENDED, FAILED_BADLY}
    assert ended <= _THREADS_AT_MOST
    assert late <= _LAST_REQUESTS


def test_every_call_failing(
    context: Path, belongings: Belongings, nobody_left: Callable[[], bool]
) -> None:
    """A failing n-th call in the program's name leaves no process and no file."""
    chance, n, status = seeds.generator("calls fail"), 0, FAILED_WELL
    failed = 0
    while status != THROUGH or n < failed + 3:
        # Without some calls a restart goes through, and the program writes.
        before = belongings.tidied()
        n = checkpointer.next_step(n, chance)
        status = _restart_prepared(context, checkpointer.failing_calls(n))
        assert status in {THROUGH, FAILED_WELL, LESS}, f"step {n}"
        outside.wait_until(nobody_left, f"nobody left after step {n}")
        if status == FAILED_WELL:
            failed = n
            assert belongings.now() == before, f"step {n}"

    assert failed > 3


def test_files_are_rolled_back_or_left_alone(
    home: Path, nobody_left: Callable[[], bool]
) -> None:
    """
    A restart that fails has not touched the files that it would have put back.

    Only while the program is let go may they be as they were saved.
    """
    with Subject([build("file_kept")], cwd=home) as subject:
        subject.ready()
        context = subject.checkpoint_and_kill("--save-files")
    saved = {**_files(home), "plain": b"0123456789"}
    chance, n, through, late = seeds.generator("files fail"), 0, 0, 0
    while through < 3:
        n = checkpointer.next_step(n, chance)
        (home / "plain").write_bytes(b"changed")
        before = _files(home)
        hook = checkpointer.fail_at(n, ptrace.RequestError(errno.EIO, "made up"))
        status = _restart(context, hook)
        assert status in {THROUGH, FAILED_WELL}, f"step {n}"
        outside.wait_until(nobody_left, f"nobody left after step {n}")
        through = through + 1 if status == THROUGH else 0
        if status == FAILED_WELL:
            now = _files(home)
            assert now.keys() == before.keys(), f"step {n}"
            # Several files take their places one after the other.
            mixed = {
                name for name in now if now[name] not in (before[name], saved[name])
            }
            assert not mixed, f"step {n}: {mixed}"
            late += now != before
    assert late <= _LAST_REQUESTS


@pytest.mark.parametrize("user_name", commands.users(), indirect=True)
def test_killed_command(
    user: int | None, home: Path, nobody_left: Callable[[], bool]
) -> None:
    """SIGKILL of cr_restart at any instant leaves all of the program, or nothing."""
    with Subject([build("threads_ids")], cwd=home, user=user) as subject:
        subject.ready()
        context = subject.checkpoint_and_kill()
    chance = seeds.generator("command killed", user)
    told = home / "told"
    told.write_bytes(b"0\n")
    words = commands.argv("restart", context, user=user)
    for _ in range(200 if seeds.FULL else 12):
        with told.open("rb") as line:
            command = commands.popen(words, user=user, cwd=home, stdin=line)
        time.sleep(chance.uniform(0, 0.4))
        command.kill()
        said, errors = command.communicate()
        outside.wait_until(nobody_left, "nobody left")
        assert (said, errors) in {(b"", b""), (b"ok\n", b"")}


def test_rights_that_a_namespace_lacks(
    monkeypatch: pytest.MonkeyPatch, nobody_left: Callable[[], bool]
) -> None:
    """A user namespace without the rights it needs is an error at once, no hanging."""

    def denied(path: str, _text: str) -> None:
        raise PermissionError(errno.EPERM, "made up", path)

    monkeypatch.setattr(namespaces, "_write", denied)

    with pytest.raises(HostError, match="--no-restore-pid"):
        namespaces.enter_new(0, 0)

    assert nobody_left()
