"""
Real programs, cut at random instants, give what an uninterrupted run gives.

``BLCR_FULL=1`` takes more instants and the sizes that users have; ``BLCR_SEED``
repeats a run.
"""

from __future__ import annotations

import hashlib
import os
import time
from pathlib import Path

import pytest

from harness import commands, seeds
from harness.jobs import JOBS, Job
from harness.subject import GoneError, Subject, SubjectError

CUTS = 10 if seeds.FULL else 3

PASSING = (
    "not accepted yet",
    "under way",
    "other end is outside",
    "bytes that were not read",
)
"""
What nobody can see from outside of a connection or a terminal, and is refused for as
long.
"""
TRIES = 5


def _users(name: str, job: Job) -> list[str]:
    """Return who runs a job here."""
    able = [user for user in commands.users() if user != job.refuses]
    return seeds.sample(f"real users {name}", able, 1) if job.sampled else able


CASES = [(name, user) for name, job in JOBS.items() for user in _users(name, job)]


@pytest.mark.timeout(3000 if seeds.FULL else 300)
@pytest.mark.parametrize(("name", "user_name"), CASES, indirect=["user_name"])
def test_cut_run_gives_the_same(name: str, user: int | None, home: Path) -> None:
    """Checkpoint, kill and restart at random instants change no result."""
    job = JOBS[name]
    whole, cut = home / "whole", home / "cut"
    expected, duration_s = _uninterrupted(job, whole, user)
    chance = seeds.generator("real", name, user)
    # The first one comes early: the next run may be quicker.
    instants = [chance.uniform(0.02, 0.3) * duration_s]
    instants += [chance.uniform(0.02, 0.95) * duration_s for _ in range(CUTS - 1)]
    instants.sort()

    cuts = 0
    with Subject(_prepared(job, cut, user), cwd=cut, user=user) as subject:
        lived_s = 0.0
        for instant in instants:
            if _ends_within(subject, instant - lived_s):
                break
            try:
                path = _saved(subject)
            except GoneError:
                break
            subject.restart(path)
            path.unlink()
            lived_s, cuts = instant, cuts + 1
        said = subject.finish(timeout_s=30 + 10 * duration_s)

    assert cuts > 0
    assert _digest(job, cut, said) == expected


def _saved(subject: Subject) -> Path:
    """Save and kill a program, at the next instant if what it does now forbids it."""
    for _ in range(TRIES):
        try:
            return subject.checkpoint_and_kill()
        except SubjectError as error:
            if not any(word in str(error) for word in PASSING):
                raise
            time.sleep(0.01)
    return subject.checkpoint_and_kill()


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
        said = subject.finish(timeout_s=1000)
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
