"""Which processes a request means, and those that ask for their own checkpoint."""

from __future__ import annotations

import contextlib
import errno
import os
import shlex
import signal
import subprocess
from pathlib import Path

import pytest

import blcr
from harness import commands, outside
from harness.programs import build
from harness.subject import Subject

EVERY_USER = pytest.mark.parametrize("user_name", list(commands.users()), indirect=True)

NOT_SUPPORTED = 52

SCRIPT = """
trap 'told=yes' CHLD
echo begun
seq 1000 | (sleep 0.01; cat) | tail -1
%s $$
echo status $? ${told:-no}
read line
sleep 0.01
echo "$line" | tr a-z A-Z
"""


def _command(scope: str, path: Path, user: int | None) -> str:
    """Return the words of a checkpoint up to the id."""
    args = commands.argv("checkpoint", f"--{scope}", "--nosync", "-f", path, user=user)
    return shlex.join(args)


def _cut(subject: Subject, context: Path) -> None:
    """Kill a program that has asked for its checkpoint, and restart it."""
    for pid in (*outside.descendants(subject.pid), subject.pid):
        os.kill(pid, signal.SIGKILL)
    subject.bury()
    subject.words = b""
    subject.restart(context)


@EVERY_USER
@pytest.mark.parametrize("how", ["system", "sigsuspend", "sigwaitinfo", "ignored"])
def test_program_has_itself_saved(how: str, user: int | None, home: Path) -> None:
    """The command is left out, and has ended well for whoever waits for it."""
    path = home / "context"
    command = f"exec {_command('tree', path, user)} %d"
    with Subject([build("asks_itself"), how, command], cwd=home, user=user) as subject:
        subject.expect(b"asked\n")
        _cut(subject, path)
        subject.output = b""
        subject.expect(b"asked\n")
        subject.tell()

        assert subject.finish().endswith(b"ok\n")


@EVERY_USER
@pytest.mark.parametrize("shell", ["sh", "bash"])
@pytest.mark.parametrize("scope", ["tree", "pid"])
def test_script_saves_itself(
    scope: str, shell: str, user: int | None, home: Path
) -> None:
    """A shell script goes on behind the command, with its status 0."""
    script, path = home / "script", home / "context"
    script.write_text(SCRIPT % _command(scope, path, user))
    with Subject([shell, script], cwd=home, user=user) as subject:
        subject.expect(b"begun\n1000\nstatus 0 yes\n")
        subject.executable = str(Path(f"/proc/{subject.pid}/exe").readlink())
        _cut(subject, path)
        subject.output = b""
        subject.expect(b"status 0 yes\n")
        assert subject.command.stdin
        subject.command.stdin.write(b"more\n")
        subject.command.stdin.flush()

        assert subject.finish() == b"status 0 yes\nMORE\n"


@EVERY_USER
def test_processes_appear_and_end_meanwhile(user: int | None, home: Path) -> None:
    """Of a relay of processes there is always exactly one that has the baton."""
    with Subject([build("relay")], cwd=home, user=user) as subject:
        subject.ready()
        for _ in range(10):
            subject.checkpoint()
        for _ in range(4):
            subject.restart(subject.checkpoint_and_kill())
        subject.tell()

        assert subject.finish().endswith(b"ok\n")


def _bury(pids: list[int]) -> None:
    """Bury what has become ours."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        with contextlib.suppress(ChildProcessError):
            os.waitpid(pid, 0)


def _session(number: int) -> list[int]:
    """Return the processes of a session."""
    return [
        int(path.name)
        for path in Path("/proc").iterdir()
        if path.name.isdecimal() and _in_session(int(path.name), number)
    ]


def _in_session(pid: int, number: int) -> bool:
    with contextlib.suppress(ProcessLookupError):
        return os.getsid(pid) == number
    return False


@EVERY_USER
@pytest.mark.parametrize("cycles", [1, 3])
def test_session_is_kept(cycles: int, user: int | None, home: Path) -> None:
    """With a group whose leader has ended, an orphan, and nobody of other sessions."""
    with Subject([build("session")], cwd=home, user=user) as subject:
        subject.ready()
        apart = int(subject.output.split(b"apart ")[1].split()[0])
        for _ in range(cycles):
            members = _session(os.getsid(subject.pid))
            assert len(members) == 3
            subject.strays |= {*members, apart}
            path = subject.checkpoint_and_kill("--sid")
            _bury([apart, *(pid for pid in members if pid != subject.pid)])
            subject.restart(path, "--restore-sid", "--restore-pgid")
        subject.tell()

        assert subject.finish().endswith(b"heard 3\nok\n")


def _saved(path: Path) -> list[int]:
    """Return the processes in a context."""
    with blcr.open_context(path) as reader:
        return [process.pid for process in reader.context.processes]


@EVERY_USER
def test_process_with_children(user: int | None, home: Path) -> None:
    """A whole tree is meant if nothing else is said; ``--pid`` saves the one alone."""
    with Subject([build("blocked_child"), "wait"], cwd=home, user=user) as subject:
        subject.ready()
        children = outside.descendants(subject.pid)

        saved = [_saved(subject.checkpoint(*options)) for options in ((), ("--pid",))]

        assert saved == [[subject.pid, *children], [subject.pid]]
        subject.tell()
        assert subject.finish().endswith(b"ok\n")


@EVERY_USER
def test_children_that_are_left_out_are_named(user: int | None, home: Path) -> None:
    """Only who looks for them would notice otherwise."""
    with Subject([build("blocked_child"), "wait"], cwd=home, user=user) as subject:
        subject.ready()
        path, pid = subject.next_context(), str(subject.pid)
        options = ("--pid", "--kmsg-warning", "-f", path)
        done = commands.call("checkpoint", *options, pid, user=user, cwd=home)

        (child,) = outside.descendants(subject.pid)
        assert f"has children that are not saved ({child})" in done.stderr
        subject.tell()
        assert subject.finish().endswith(b"ok\n")


@pytest.mark.parametrize(
    ("option", "user_name"),
    [
        # In a namespace of its own a user gets any group again.
        *[("--restore-pgid", name) for name in commands.users() if name == "root"],
        *[("--restore-sid", name) for name in commands.users()],
    ],
    indirect=["user_name"],
)
def test_what_cannot_be_given_again_is_an_error(
    option: str, user: int | None, home: Path
) -> None:
    """A group or a session that others have."""
    with Subject([build("memory_private")], cwd=home, user=user) as subject:
        subject.ready()
        path = subject.checkpoint_and_kill()

    done = subprocess.run(
        commands.argv("restart", option, path, user=user),
        cwd=home,
        env=commands.environment(user, home),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
        text=True,
        user=user,
        start_new_session=True,
    )

    assert done.returncode in (errno.EPERM, errno.EBUSY)
    assert option in done.stderr


@pytest.mark.skipif(os.geteuid() != 0, reason="makes a pid namespace")
@pytest.mark.parametrize("option", ["--restore-pgid", "--restore-sid"])
def test_what_had_no_number_cannot_be_given_again(option: str, home: Path) -> None:
    """A program's group and session may be outside of its pid namespace."""
    checkpoint = " ".join(commands.argv("checkpoint", "-f", "context", "--term"))
    restart = " ".join(commands.argv("restart", option, "context"))
    inner = f"sleep 60 <&- >&- & {checkpoint} $! && wait; exec {restart}"
    outer = ["unshare", "--pid", "--fork", "--mount-proc", "sh", "-c", inner]

    with commands.popen(outer, user=None, cwd=home) as command:
        _, said = command.communicate()

    assert command.returncode in (errno.EPERM, errno.EBUSY)
    assert option in said.decode()


@EVERY_USER
@pytest.mark.parametrize(
    ("kind", "what"),
    [
        ("program", "shares its working directory, root and umask with process"),
        ("program", "but is another program"),
        ("session", "but is in another session"),
        ("children", "and has children that do not"),
        ("vfork", "a child that it made by vfork(2) has not gone on to execve(2) yet"),
    ],
)
def test_what_only_threads_share_is_refused_by_name(
    kind: str, what: str, user: int | None, home: Path
) -> None:
    """And nothing becomes of the processes."""
    with Subject([build("refused_sharing"), kind], cwd=home, user=user) as subject:
        subject.ready()
        path, pid = subject.next_context(), str(subject.pid)
        options = ("--time", "0.5", "-f", path)
        done = commands.call("checkpoint", *options, pid, user=user, cwd=home)

        assert done.returncode in (errno.EBUSY, NOT_SUPPORTED)
        assert what in done.stderr
        assert not path.exists()
        subject.tell()
        assert subject.finish().endswith(b"ok\n")


@EVERY_USER
@pytest.mark.parametrize(
    ("kind", "status", "what"),
    [
        ("files", 0, "shares its descriptors with process"),
        ("vm", NOT_SUPPORTED, "shares its memory with process"),
    ],
)
def test_what_is_shared_with_others_is_told(
    kind: str, status: int, what: str, user: int | None, home: Path
) -> None:
    """One process alone is saved with a warning, or not if others change its memory."""
    with Subject([build("refused_sharing"), kind], cwd=home, user=user) as subject:
        subject.ready()
        path, pid = subject.next_context(), str(subject.pid)
        options = ("--kmsg-warning", "--pid", "-f", path)
        done = commands.call("checkpoint", *options, pid, user=user, cwd=home)

        assert (done.returncode, path.exists()) == (status, not status)
        assert what in done.stderr
        subject.tell()
        assert subject.finish().endswith(b"ok\n")
