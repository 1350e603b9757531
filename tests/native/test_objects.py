"""Files without a name, where there are many of them."""

from __future__ import annotations

import contextlib
import os
import sys
from pathlib import Path

import pytest

from blcr.host.native import objects
from blcr.host.native.memory import Memory
from harness import commands
from harness.subject import Subject

MANY = 100


def test_many_are_looked_for_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many there are, each descriptor is looked at once."""
    seen: list[object] = []
    look = os.stat

    def counted(path: str) -> os.stat_result:
        seen.append(path)
        return look(path)

    with contextlib.ExitStack() as stack:
        made = [os.memfd_create(str(n)) for n in range(MANY)]
        for n, fd in enumerate(made):
            stack.callback(os.close, fd)
            os.truncate(fd, n)
        stats = [os.fstat(fd) for fd in made]
        memory = Memory(os.getpid())
        stack.callback(memory.close)
        table = objects.Objects(os.getpid(), memory, [])
        stack.callback(table.close)
        monkeypatch.setattr(os, "stat", counted)

        sizes = [
            table.facts(((os.major(s.st_dev), os.minor(s.st_dev)), s.st_ino))[0].size
            for s in stats
        ]

        monkeypatch.undo()
    assert sizes == list(range(MANY))
    assert len(seen) == len(set(seen))


def test_more_than_our_limit(home: Path, user: int | None) -> None:
    """What a program holds open does not have to fit our own soft limit."""
    program = f"import os; made = [os.memfd_create('m') for _ in range({MANY})]; "
    program += "print('ready', flush=True); input(); print('ok', flush=True)"
    with Subject([sys.executable, "-S", "-c", program], cwd=home, user=user) as subject:
        subject.ready()
        checkpoint = commands.argv("checkpoint", str(subject.pid), user=user)
        limited = ["/bin/sh", "-c", f'ulimit -Sn {MANY // 2}; exec "$@"', "sh"]

        done = commands.popen([*limited, *checkpoint], user=user, cwd=home)
        _said, errors = done.communicate(timeout=commands.TIMEOUT_S)

        assert (done.returncode, errors) == (0, b"")
        subject.tell()
        assert subject.finish().endswith(b"ok\n")
