"""Files that others have changed since: grown, shrunk, replaced, locked, gone."""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from blcr.errors import HostError
from blcr.host.native.process import NativeTask
from harness import checkpointer, commands
from harness.programs import build
from harness.subject import Subject

REFUSED_STATUS = 52

EVERY_USER = pytest.mark.parametrize("user_name", list(commands.users()), indirect=True)


@pytest.fixture
def subject(user: int | None, home: Path) -> Iterator[Subject]:
    """A program that holds `plain`, `appended` and `read`, each 10 bytes, open."""
    with Subject([build("file_kept")], cwd=home, user=user) as started:
        started.ready()
        yield started


def _sizes(home: Path) -> list[int]:
    return [(home / name).stat().st_size for name in ("plain", "appended", "read")]


def _grow(home: Path) -> None:
    for name in ("plain", "appended", "read"):
        with (home / name).open("ab") as file:
            file.write(b"more")


def _finish(subject: Subject) -> None:
    subject.tell()
    assert subject.finish().endswith(b"ok\n")


@EVERY_USER
def test_grown_file_is_cut_back(subject: Subject, home: Path) -> None:
    """One that is open for writing is, but not to append; the message says so."""
    path = subject.checkpoint_and_kill()
    _grow(home)

    subject.restart(path)

    assert _sizes(home) == [10, 14, 14]
    assert "was cut back; --keep-grown" in subject.errors()
    _finish(subject)


def test_grown_file_is_kept_on_request(subject: Subject, home: Path) -> None:
    """With --keep-grown no file is changed."""
    path = subject.checkpoint_and_kill()
    _grow(home)

    subject.restart(path, "--keep-grown")

    assert _sizes(home) == [14, 14, 14]
    assert subject.errors() == ""
    _finish(subject)


@EVERY_USER
def test_grown_file_of_others_is_kept(subject: Subject, home: Path) -> None:
    """One that somebody else has open stays as long as it is, with a message."""
    path = subject.checkpoint_and_kill()
    _grow(home)

    with (home / "plain").open("rb") as file:
        user = subject.user
        other = subprocess.Popen(["sleep", "60"], stdin=file, user=user, group=user)
    try:
        subject.restart(path)
    finally:
        other.kill()
        other.wait()

    assert f"process {other.pid} has it open" in subject.errors()
    assert _sizes(home) == [14, 14, 14]
    _finish(subject)


def test_longer_file_of_the_same_name_is_kept(subject: Subject, home: Path) -> None:
    """Another file than the saved one is not cut, and the user is told of it."""
    path = subject.checkpoint_and_kill()
    (home / "new").write_bytes(b"another, longer file")
    (home / "new").rename(home / "plain")

    subject.restart(path)

    assert (home / "plain").read_bytes() == b"another, longer file"
    assert "not cut back: it is not the file that was saved" in subject.errors()
    subject.end()


@EVERY_USER
def test_shrunk_and_replaced_files_get_a_message(subject: Subject, home: Path) -> None:
    """The program runs, and the user is told of both."""
    path = subject.checkpoint_and_kill()
    os.truncate(home / "read", 3)
    (home / "new").write_bytes(b"other file")
    if subject.user is not None:
        os.chown(home / "new", subject.user, subject.user)
    (home / "new").rename(home / "plain")

    subject.restart(path)

    said = subject.errors()
    assert "has shrunk from 10 to 3 bytes" in said
    assert "was replaced by another file" in said
    subject.end()


@EVERY_USER
def test_missing_file_is_named(subject: Subject, home: Path) -> None:
    """Process, descriptor, path and way out are in the message; nothing is left."""
    path = subject.checkpoint_and_kill()
    (home / "read").unlink()

    done = commands.call("restart", path, user=subject.user, cwd=home)

    assert done.returncode == errno.ENOENT
    assert f"'{home}/read' of descriptor 5" in done.stderr
    assert "--relocate" in done.stderr


def test_forbidden_file_is_named(home: Path) -> None:
    """A file that may not be opened any more is an error that says what helps."""
    user = commands.ORDINARY_USER if os.geteuid() == 0 else None
    if user is None:
        pytest.skip("not applicable: root has to take the permission away")
    os.chown(home, user, user)
    with Subject([build("file_kept")], cwd=home, user=user) as subject:
        subject.ready()
        path = subject.checkpoint_and_kill()
    os.chown(home / "read", 0, 0)
    (home / "read").chmod(0o600)

    done = commands.call("restart", path, user=user, cwd=home)

    assert done.returncode == errno.EACCES
    assert f"'{home}/read' of descriptor 5" in done.stderr


@EVERY_USER
def test_taken_lock_is_named(user: int | None, home: Path) -> None:
    """A lock that somebody else has meanwhile is an error, and nobody is left."""
    with Subject([build("file_locks")], cwd=home, user=user) as subject:
        subject.ready()
        path = subject.checkpoint_and_kill()
    with (home / "whole").open("r+b") as file:
        fcntl.flock(file, fcntl.LOCK_EX)

        done = commands.call("restart", path, user=user, cwd=home)

    assert done.returncode == errno.EAGAIN
    assert f"flock lock on '{home}/whole'" in done.stderr
    assert "held by somebody else" in done.stderr


@EVERY_USER
def test_saved_files_are_put_back(subject: Subject, home: Path) -> None:
    """What the program writes to is as it was; what it reads is left to others."""
    path = subject.checkpoint_and_kill("--save-files")
    inode = (home / "appended").stat().st_ino
    _grow(home)
    (home / "plain").write_bytes(b"something else")
    (home / "appended").write_bytes(b"0123456789")

    subject.restart(path)

    assert (home / "plain").read_bytes() == b"0123456789"
    assert (home / "appended").stat().st_ino == inode
    assert (home / "read").read_bytes() == b"0123456789more"
    assert sorted(one.name for one in home.glob(".*")) == []
    _finish(subject)
    assert (home / "plain").read_bytes() == b"0123456789!"


@EVERY_USER
def test_leftover_of_a_killed_restart(subject: Subject, home: Path) -> None:
    """Names that are taken are left alone, and others are found."""
    path = subject.checkpoint_and_kill("--save-files")
    (home / "plain").write_bytes(b"something else")
    leftovers = [
        home / f".plain.{subject.pid}{end}" for end in (".new", ".0.new", ".1.new")
    ]
    for leftover in leftovers:
        leftover.write_bytes(b"half")

    subject.restart(path)

    assert (home / "plain").read_bytes() == b"0123456789"
    assert set(home.glob(".*")) == set(leftovers)
    assert [one.read_bytes() for one in leftovers] == [b"half"] * 3
    _finish(subject)


@EVERY_USER
def test_longest_names(subject: Subject, home: Path) -> None:
    """A name of our own fits where that of the file just does, in bytes."""
    plain, read = home / ("\N{EURO SIGN}" * 85), home / ("\N{POUND SIGN}" * 127)
    (home / "plain").rename(plain)
    (home / "read").rename(read)
    read.unlink()
    path = subject.checkpoint_and_kill("--save-files")
    plain.write_bytes(b"something else")
    read.write_bytes(b"somebody else's")

    subject.restart(path)

    assert plain.read_bytes() == b"0123456789"
    assert read.read_bytes() == b"somebody else's"
    _finish(subject)


def test_file_written_over_keeps_its_lock(home: Path) -> None:
    """Where no file can be made beside it, the old one is written to, and locked."""
    user = commands.ORDINARY_USER if os.geteuid() == 0 else None
    if user is not None:
        os.chown(home, user, user)
    with Subject([build("file_locks")], cwd=home, user=user) as subject:
        subject.ready()
        path = subject.checkpoint_and_kill("--save-files")
        (home / "posix").write_bytes(b"changed")
        inode = (home / "posix").stat().st_ino
        # For what the restarted one says.
        (home / "stderr-1").touch()
        home.chmod(0o555)
        try:
            subject.restart(path, "--no-restore-pid")
        finally:
            home.chmod(0o755)

        assert (home / "posix").read_bytes() == b""
        assert (home / "posix").stat().st_ino == inode
        _finish(subject)


@EVERY_USER
def test_saved_files_need_nothing(user: int | None, home: Path) -> None:
    """Folders and files that are gone are made again."""
    folder = home / "above" / "below"
    folder.mkdir(parents=True)
    if user is not None:
        os.chown(folder, user, user)
        os.chown(folder.parent, user, user)
    program = build("file_kept")
    shell = ["/bin/sh", "-c", f"cd above/below && exec {program}"]
    with Subject(shell, cwd=home, user=user) as subject:
        subject.ready()
        path = subject.checkpoint_and_kill("--save-files")
        shutil.rmtree(folder.parent)

        subject.restart(path)

        assert [one.read_bytes() for one in sorted(folder.iterdir())] == [
            b"0123456789"
        ] * 3
        _finish(subject)


@EVERY_USER
@pytest.mark.parametrize(
    "program", ["file_kept", "file_unlinked", "fifo", "inotify", "cwd_umask"]
)
def test_files_are_relocated(program: str, user: int | None, home: Path) -> None:
    """Open files, watches, pipes and the working directory are found elsewhere."""
    old, new = home / "old", home / "new"
    old.mkdir()
    if user is not None:
        os.chown(old, user, user)
    shell = ["/bin/sh", "-c", f"cd old && exec {build(program)}"]
    with Subject(shell, cwd=home, user=user) as subject:
        subject.ready()
        path = subject.checkpoint_and_kill()
        old.rename(new)

        subject.restart(path, f"--relocate={old}={new}")

        assert not old.exists()
        assert (Path("/proc") / str(subject.pid) / "cwd").readlink().parts[
            : len(new.parts)
        ] == new.parts
        if program != "cwd_umask":
            _finish(subject)


@EVERY_USER
def test_failed_restart_puts_nothing_back(user: int | None, home: Path) -> None:
    """Files are as they were found, and none was added."""
    with Subject([build("file_locks")], cwd=home, user=user) as subject:
        subject.ready()
        path = subject.checkpoint_and_kill("--save-files")
    (home / "posix").write_bytes(b"changed")
    (home / "ofd").unlink()
    before = sorted(home.iterdir())
    with (home / "whole").open("r+b") as file:
        fcntl.flock(file, fcntl.LOCK_EX)

        done = commands.call("restart", path, user=user, cwd=home)

    assert done.returncode == errno.EAGAIN
    assert sorted(home.iterdir()) == before
    assert (home / "posix").read_bytes() == b"changed"


def test_unwatchable_folder_changes_nothing(home: Path) -> None:
    """What cannot be watched any more is found before a file is cut back."""
    user = commands.ORDINARY_USER if os.geteuid() == 0 else None
    if user is not None:
        os.chown(home, user, user)
    with Subject([build("inotify")], cwd=home, user=user) as subject:
        subject.ready()
        path = subject.checkpoint_and_kill()
    (home / "watched" / "file").write_bytes(b"grown")
    (home / "watched").chmod(0o300)

    done = commands.call("restart", "--no-restore-pid", path, user=user, cwd=home)

    (home / "watched").chmod(0o700)
    assert done.returncode == errno.EACCES
    assert "(inotify) watches, cannot be watched" in done.stderr
    assert (home / "watched" / "file").read_bytes() == b"grown"


def test_missing_root_changes_nothing(home: Path) -> None:
    """A root directory that is gone is found before a file is cut back."""
    if os.geteuid() != 0:
        pytest.skip("not applicable: only root may have another root directory")
    program = f"exec 5>log; printf 12345 >&5; exec {build('root_directory')}"
    with Subject(["/bin/sh", "-c", program], cwd=home) as subject:
        subject.ready()
        path = subject.checkpoint_and_kill()
    shutil.rmtree(home / "root")
    (home / "log").write_bytes(b"12345more")

    done = commands.call("restart", path, cwd=home)

    assert done.returncode == errno.ENOENT
    assert "its root directory" in done.stderr
    assert (home / "log").read_bytes() == b"12345more"


def test_refused_registers_change_nothing(home: Path) -> None:
    """Registers that this CPU does not take are found before a file is cut back."""
    program = f"exec 5>log; printf 12345 >&5; exec {build('memory_private')}"
    with Subject(["/bin/sh", "-c", program], cwd=home) as subject:
        subject.ready()
        path = subject.checkpoint_and_kill()
    (home / "log").write_bytes(b"12345more")

    def refused(*_: object) -> None:
        raise HostError("made up")

    def prepare() -> None:
        setattr(NativeTask, "set_register_set", refused)  # noqa: B010

    status = checkpointer.wait(checkpointer.fork_restart(path, prepare))

    assert status == checkpointer.FAILED_WELL
    assert (home / "log").read_bytes() == b"12345more"


REFUSED = {
    "io_uring": "io_uring",
    "userfaultfd": "userfaultfd",
    "fanotify": "fanotify",
    "mqueue": "message queue that notifies",
    "pidfd": "outside",
    "perf": "perf_event",
    "bpf": "bpf",
    "inotify": "were not read",
    "folder": "deleted",
    "epoll": "which was descriptor 4",
}
"""What the message says of each; a kernel that has no such thing is passed over."""


@pytest.mark.parametrize("kind", list(REFUSED))
def test_refused_descriptor_is_named(kind: str, user: int | None, home: Path) -> None:
    """What cannot be saved is refused with its descriptor and its kind."""
    with Subject([build("refused_descriptor"), kind], cwd=home, user=user) as subject:
        subject.expect(b"\n")
        if b"ready" in subject.output:
            subject.settle()

            done = commands.call("checkpoint", str(subject.pid), user=user, cwd=home)

            assert done.returncode == REFUSED_STATUS
            assert "descriptor 3" in done.stderr
            assert REFUSED[kind] in done.stderr
            subject.tell()
        assert subject.finish().endswith(b"ok\n")
