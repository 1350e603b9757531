"""Where contexts are written: nothing is lost, whatever fails."""

from __future__ import annotations

import errno
import fcntl
import os
import stat
from pathlib import Path

import pytest

from blcr.context.target import Policy, Target
from blcr.errors import BusyError, TargetError

OLD, NEW = b"the old context", b"new"


class FailedOnPurposeError(Exception):
    """What goes wrong while a context is written."""


def write(target: Target) -> None:
    """Write a context."""
    with target:
        os.write(target.fd, NEW)
        target.commit()


def write_half(target: Target) -> None:
    """Fail while writing a context."""
    with target:
        os.write(target.fd, NEW[:1])
        raise FailedOnPurposeError


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A context's name in an empty folder."""
    return tmp_path / "context.4711"


@pytest.mark.parametrize("policy", ["atomic", "backup", "clobber", "noclobber"])
def test_a_new_file_is_there_as_a_whole_and_private(path: Path, policy: Policy) -> None:
    """Every policy makes a file where there is none, readable by its owner alone."""
    write(Target(path, policy=policy))

    assert path.read_bytes() == NEW
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("policy", ["atomic", "clobber"])
def test_an_older_file_is_replaced(path: Path, policy: Policy) -> None:
    """The new context stands in its place, longer ones leave nothing behind."""
    path.write_bytes(OLD)

    write(Target(path, policy=policy))

    assert path.read_bytes() == NEW
    assert list(path.parent.iterdir()) == [path]


def test_backups_are_numbered(path: Path) -> None:
    """The first number that is free is taken."""
    path.write_bytes(OLD)
    first = path.with_name("context.4711.~1~")
    first.write_bytes(b"older still")

    write(Target(path, policy="backup"))

    assert path.read_bytes() == NEW
    assert first.read_bytes() == b"older still"
    assert path.with_name("context.4711.~2~").read_bytes() == OLD


def test_a_backup_gets_the_name_asked_for(path: Path, tmp_path: Path) -> None:
    """It replaces what has that name."""
    path.write_bytes(OLD)
    kept = tmp_path / "kept"
    kept.write_bytes(b"older still")

    write(Target(path, policy="backup", backup=kept))

    assert (path.read_bytes(), kept.read_bytes()) == (NEW, OLD)


def test_noclobber_refuses_a_file_that_is_there(path: Path) -> None:
    """The exit status is EEXIST, the file as before."""
    path.write_bytes(OLD)

    with pytest.raises(TargetError, match="file exists") as raised:
        write(Target(path, policy="noclobber"))

    assert raised.value.exit_status == errno.EEXIST
    assert path.read_bytes() == OLD


@pytest.mark.parametrize("policy", ["atomic", "backup"])
def test_failure_leaves_the_older_file(path: Path, policy: Policy) -> None:
    """The old context is untouched, and of the new one nothing is left."""
    path.write_bytes(OLD)

    with pytest.raises(FailedOnPurposeError):
        write_half(Target(path, policy=policy))

    assert path.read_bytes() == OLD
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("policy", ["atomic", "backup", "clobber", "noclobber"])
def test_failure_leaves_no_part_of_a_new_file(path: Path, policy: Policy) -> None:
    """Half a context is removed."""
    with pytest.raises(FailedOnPurposeError):
        write_half(Target(path, policy=policy))

    assert list(path.parent.iterdir()) == []


@pytest.mark.parametrize("policy", ["atomic", "backup", "clobber"])
def test_failure_before_writing_changes_nothing(path: Path, policy: Policy) -> None:
    """A process that is not there costs nobody an older context."""
    path.write_bytes(OLD)

    with pytest.raises(FailedOnPurposeError), Target(path, policy=policy):
        raise FailedOnPurposeError

    assert path.read_bytes() == OLD
    assert list(path.parent.iterdir()) == [path]


def test_a_clobbered_file_is_gone_after_a_failure(path: Path) -> None:
    """Nobody takes half a context for a whole one."""
    path.write_bytes(OLD)

    with pytest.raises(FailedOnPurposeError):
        write_half(Target(path, policy="clobber"))

    assert not path.exists()


def test_clobber_unlinks_what_cannot_be_written(path: Path) -> None:
    """A file without write permission is replaced."""
    path.write_bytes(OLD)
    path.chmod(0o400)

    write(Target(path, policy="clobber"))

    assert path.read_bytes() == NEW


@pytest.mark.parametrize("policy", ["atomic", "backup", "clobber"])
def test_a_folder_is_no_target(tmp_path: Path, policy: Policy) -> None:
    """The exit status is EISDIR."""
    with pytest.raises(TargetError, match="is a directory") as raised:
        write(Target(tmp_path, policy=policy))

    assert raised.value.exit_status == errno.EISDIR


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    """The exit status is ENOENT."""
    with pytest.raises(TargetError, match="no/context: no such file") as raised:
        write(Target(tmp_path / "no" / "context"))

    assert raised.value.exit_status == errno.ENOENT


def test_a_read_only_file_system_is_no_target() -> None:
    """The errno of the system is the exit status: /proc takes no new files."""
    with pytest.raises(TargetError) as raised:
        write(Target(Path("/proc/context")))

    assert raised.value.exit_status in {errno.ENOENT, errno.EACCES, errno.EROFS}


def test_a_file_of_two_names_is_not_written_over(path: Path) -> None:
    """The exit status is EMLINK: the other name's owner did not ask for it."""
    path.write_bytes(OLD)
    path.with_name("other").hardlink_to(path)

    with pytest.raises(TargetError, match="other names") as raised:
        write(Target(path, policy="clobber"))

    assert raised.value.exit_status == errno.EMLINK
    assert path.read_bytes() == OLD


def test_replacing_one_of_two_names_leaves_the_other(path: Path) -> None:
    """A rename changes no other name of the old file."""
    path.write_bytes(OLD)
    other = path.with_name("other")
    other.hardlink_to(path)

    write(Target(path))

    assert (path.read_bytes(), other.read_bytes()) == (NEW, OLD)


def test_a_link_stays_a_link(path: Path, tmp_path: Path) -> None:
    """What it points to is replaced."""
    real = tmp_path / "real"
    real.write_bytes(OLD)
    path.symlink_to(real)

    write(Target(path))

    assert path.is_symlink()
    assert real.read_bytes() == NEW


def test_a_full_disk_shows_when_writing() -> None:
    """The exit status is ENOSPC; the device is written to as it is."""
    target = Target(Path("/dev/full"))

    with target, pytest.raises(OSError, match="No space") as raised:
        os.write(target.fd, NEW)

    assert target.failure(raised.value).exit_status == errno.ENOSPC
    assert str(target.failure(raised.value)) == "/dev/full: no space left on device"
    assert stat.S_ISCHR(Path("/dev/full").stat().st_mode)


def test_the_null_device_is_a_target() -> None:
    """A context may be thrown away."""
    write(Target(Path("/dev/null")))

    assert stat.S_ISCHR(Path("/dev/null").stat().st_mode)


def test_a_fifo_gets_the_context(path: Path) -> None:
    """It is opened directly and stays what it is."""
    os.mkfifo(path)
    reading = os.open(path, os.O_RDONLY | os.O_NONBLOCK)

    write(Target(path))
    read = os.read(reading, 100)
    os.close(reading)

    assert read == NEW
    assert path.is_fifo()


def test_a_fifo_without_reader_is_refused(path: Path) -> None:
    """The exit status is ENXIO, as BLCR opens it without waiting."""
    os.mkfifo(path)

    with pytest.raises(TargetError, match="nobody") as raised:
        write(Target(path))

    assert raised.value.exit_status == errno.ENXIO


def test_a_descriptor_is_written_from_its_offset(path: Path) -> None:
    """What stands before belongs to the caller, and so does the descriptor."""
    fd = os.open(path, os.O_WRONLY | os.O_CREAT)
    os.write(fd, b"header ")

    write(Target(fd=fd))
    os.close(fd)

    assert path.read_bytes() == b"header " + NEW


def test_a_descriptor_keeps_what_was_written(path: Path) -> None:
    """The file is not removed on failure: it is the caller's."""
    fd = os.open(path, os.O_WRONLY | os.O_CREAT)

    with pytest.raises(FailedOnPurposeError):
        write_half(Target(fd=fd))
    os.close(fd)

    assert path.exists()


def test_a_descriptor_must_be_writable(path: Path) -> None:
    """The exit status is EBADF, also for one that is not open."""
    path.write_bytes(OLD)
    fd = os.open(path, os.O_RDONLY)

    with pytest.raises(TargetError) as read_only:
        write(Target(fd=fd))
    os.close(fd)
    with pytest.raises(TargetError) as closed:
        write(Target(fd=fd))

    assert read_only.value.exit_status == closed.value.exit_status == errno.EBADF
    assert path.read_bytes() == OLD


def test_what_a_killed_checkpoint_left_is_written_over(path: Path) -> None:
    """A stale temporary file is no obstacle."""
    path.with_name(".context.4711.tmp").write_bytes(b"left by somebody killed")

    write(Target(path))

    assert path.read_bytes() == NEW
    assert list(path.parent.iterdir()) == [path]


def test_two_checkpoints_do_not_mix(path: Path) -> None:
    """The second is refused with EBUSY while the first is writing, which ends well."""
    with Target(path) as first:
        os.write(first.fd, NEW)
        with pytest.raises(BusyError) as raised:
            write(Target(path))
        first.commit()

    assert raised.value.exit_status == errno.EBUSY
    assert path.read_bytes() == NEW


def test_a_target_is_not_inherited(path: Path) -> None:
    """The descriptor is closed when another program is executed."""
    with Target(path) as target:
        flags = fcntl.fcntl(target.fd, fcntl.F_GETFD)

    assert flags & fcntl.FD_CLOEXEC
