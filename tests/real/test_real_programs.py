"""
Real programs, cut at random instants, give what an uninterrupted run gives.

``BLCR_FULL=1`` takes more instants and the sizes that users have; ``BLCR_SEED``
repeats a run.
"""

from __future__ import annotations

import hashlib
import os
import random
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from harness import commands, seeds
from harness.programs import build
from harness.staging import interpreter
from harness.subject import GoneError, Subject

CUTS = 10 if seeds.FULL else 3

FILE_SIZE = int(os.environ.get("BLCR_FILE_SIZE", "200" if seeds.FULL else "20")) << 20
"""Of the file to be compressed, bytes."""

PYTHON = """
import hashlib, threading
results = {}
def work(n):
    digest, number = b"", n + 3
    for i in range(ROUNDS):
        digest = hashlib.sha256(digest + str(number).encode()).digest()
        number = pow(number, 5, (1 << 521) - 1) + i
        table = {k: number % (k + 1) for k in range(50)}
    results[n] = digest.hex(), sum(table.values())
threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
for t in threads: t.start()
for t in threads: t.join()
print(sorted(results.items()))
"""

SQL = """
pragma temp_store = memory;
create table t(a integer primary key, b text, c real);
begin immediate;
insert into t with recursive n(i) as (select 1 union all select i + 1 from n
  where i < ROWS) select i, hex(i * 7919), i / 7.0 from n;
create index tb on t(b);
update t set c = c * 3 where a % 3 = 0;
delete from t where a % 5 = 0;
commit;
select count(*), sum(a), sum(length(b)), round(sum(c), 3) from t;
pragma integrity_check;
"""


class Job(NamedTuple):
    """A program to run: its command line, made in its folder, and its results there."""

    prepare: Callable[[Path, int | None], list[str]]
    results: tuple[str, ...] = ()


def _python(_folder: Path, user: int | None) -> list[str]:
    code = PYTHON.replace("ROUNDS", "200000" if seeds.FULL else "40000")
    return [str(interpreter(user).executable), "-c", code]


def _xz(folder: Path, _user: int | None) -> list[str]:
    chance = random.Random(1)
    words = [chance.randbytes(chance.randrange(2, 12)) for _ in range(5000)]
    with (folder / "file").open("wb") as file:
        while file.tell() < FILE_SIZE:
            file.write(b" ".join(chance.choices(words, k=20000)))
    return [_found("xz"), "-T2", "-3", "--block-size=2MiB", "-k", "file"]


def _sqlite(folder: Path, _user: int | None) -> list[str]:
    rows = "3000000" if seeds.FULL else "600000"
    (folder / "script").write_text(SQL.replace("ROWS", rows))
    return [_found("sqlite3"), "database", ".read script"]


def _c_program(name: str, variant: str, amount: int) -> Job:
    def prepare(_folder: Path, _user: int | None) -> list[str]:
        return [str(build(name, variant)), str(amount * (5 if seeds.FULL else 1))]

    return Job(prepare)


def _found(name: str) -> str:
    path = shutil.which(name)
    if not path:
        pytest.skip(f"not applicable: {name} is not installed")
    return path


JOBS = {
    "python": Job(_python),
    "xz": Job(_xz, ("file.xz",)),
    "sqlite3": Job(_sqlite),
    "musl": _c_program("compute", "musl", 300_000_000),
    "threads-64": _c_program("mixture", "dynamic", 3000),
    "threads-64-m32": _c_program("mixture", "m32", 2500),
}


@pytest.mark.parametrize("user_name", list(commands.users()), indirect=True)
@pytest.mark.parametrize("name", list(JOBS))
def test_cut_run_gives_the_same(name: str, user: int | None, home: Path) -> None:
    """Checkpoint, kill and restart at random instants change no result."""
    job = JOBS[name]
    whole, cut = home / "whole", home / "cut"
    expected, duration_s = _uninterrupted(job, whole, user)
    chance = seeds.generator("real", name, user)
    instants = sorted(chance.uniform(0.02, 0.95) * duration_s for _ in range(CUTS))

    cuts = 0
    with Subject(_prepared(job, cut, user), cwd=cut, user=user) as subject:
        lived_s = 0.0
        for instant in instants:
            if _ends_within(subject, instant - lived_s):
                break
            try:
                path = subject.checkpoint_and_kill()
            except GoneError:
                break
            subject.restart(path)
            lived_s, cuts = instant, cuts + 1
        said = subject.finish(timeout_s=30 + 10 * duration_s)

    assert cuts > 0
    assert _digest(job, cut, said) == expected


def _prepared(job: Job, folder: Path, user: int | None) -> list[str]:
    folder.mkdir()
    args = job.prepare(folder, user)
    if user is not None:
        for path in (folder, *folder.iterdir()):
            os.chown(path, user, user)
    return args


def _uninterrupted(job: Job, folder: Path, user: int | None) -> tuple[str, float]:
    """Return the digest of an undisturbed run's results, and how long it took."""
    args = _prepared(job, folder, user)
    began = time.monotonic()
    with Subject(args, cwd=folder, user=user) as subject:
        said = subject.finish(timeout_s=300)
    return _digest(job, folder, said), time.monotonic() - began


def _digest(job: Job, folder: Path, said: bytes) -> str:
    digest = hashlib.sha256(said)
    for name in job.results:
        digest.update((folder / name).read_bytes())
    return digest.hexdigest()


def _ends_within(subject: Subject, time_s: float) -> bool:
    """Let the program run for a while; tell whether it ended by itself."""
    end = time.monotonic() + time_s
    while time.monotonic() < end:
        if subject.command.poll() is not None:
            return True
        time.sleep(0.002)
    return subject.command.poll() is not None
