"""
What cannot be checkpointed is refused with BLCR's statuses, and nothing is touched.

Source: ``docs/man/cr_checkpoint.1``.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from blcr.context.target import Target
from blcr.engine.checkpoint import checkpoint
from blcr.errors import NoSuchProcessError
from blcr.host.native import ptrace
from harness import commands, outside
from harness.programs import build
from harness.subject import Subject

NO_SUCH_PROCESS = 3
NOT_PERMITTED = 1
NOT_SUPPORTED = 52
TRACED = 56

PF_KTHREAD = 0x00200000
"""Source: include/linux/sched.h, Linux 6.12."""

ROOT_ONLY = pytest.mark.skipif(
    os.geteuid() != 0, reason="not applicable: needs processes of two users"
)


@pytest.fixture(params=list(commands.users()))
def user_name(request: pytest.FixtureRequest) -> str:
    """Every user in turn."""
    return str(request.param)


@pytest.fixture
def target(home: Path) -> Iterator[Path]:
    """A context that is there already, and must be there afterwards, alone."""
    target = home / "context"
    target.write_bytes(b"older")
    yield target
    assert target.read_bytes() == b"older"
    assert [path.name for path in home.glob("*context*")] == ["context"]


def _status(pid: int, target: Path, user: int | None) -> int:
    """Return how a checkpoint ends that must say why on one line."""
    done = commands.call(
        "checkpoint", "-f", target, str(pid), user=user, cwd=target.parent
    )
    assert "Traceback" not in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1, done.stderr
    return done.returncode


def test_missing_process(target: Path, user: int | None) -> None:
    """A pid that nobody has is status 3."""
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()

    assert _status(child.pid, target, user) == NO_SUCH_PROCESS


def test_zombie(target: Path, user: int | None) -> None:
    """A process that has ended but was not waited for is status 3."""
    with commands.popen(["true"], user=user, cwd=target.parent) as child:
        outside.wait_until(lambda: not outside.exists(child.pid), "zombie")

        assert _status(child.pid, target, user) == NO_SUCH_PROCESS


@ROOT_ONLY
def test_somebody_elses_process(target: Path, home: Path) -> None:
    """Another user's process is status 1, and unharmed."""
    home.chmod(0o777)
    with Subject([build("compute")], cwd=home) as subject:
        subject.ready()

        status = _status(subject.pid, target, commands.ORDINARY_USER)

        assert status == NOT_PERMITTED
        subject.tell()
        assert subject.finish().endswith(b"ok\n")


def test_kernel_thread(target: Path, user: int | None) -> None:
    """A kernel thread is status 1."""
    pid = _kernel_thread()
    if not pid:
        pytest.skip("not applicable: no kernel thread to be seen here")

    assert _status(pid, target, user) == NOT_PERMITTED


def _kernel_thread() -> int:
    for entry in outside.PROC.iterdir():
        if entry.name.isdigit():
            fields = (entry / "stat").read_text().rpartition(")")[2].split()
            if int(fields[6]) & PF_KTHREAD:
                return int(entry.name)
    return 0


def test_init(target: Path, user: int | None) -> None:
    """Process 1 is status 52 for root, 1 for others."""
    expected = NOT_SUPPORTED if user is None and os.geteuid() == 0 else NOT_PERMITTED

    assert _status(1, target, user) == expected


def test_traced_process(target: Path, user: int | None, home: Path) -> None:
    """A process that a debugger holds is status 56, and stays with it."""
    with Subject([build("compute")], cwd=home, user=user) as subject:
        subject.ready()
        ptrace.seize(subject.pid)

        assert _status(subject.pid, target, user) == TRACED

        assert outside.is_traced(subject.pid)
        ptrace.interrupt(subject.pid)
        ptrace.wait(subject.pid)
        ptrace.detach(subject.pid)
        subject.tell()
        assert subject.finish().endswith(b"ok\n")


def test_deleted_folder_is_refused_by_name(
    target: Path, user: int | None, home: Path
) -> None:
    """A working directory that is gone is named at the checkpoint, not at a restart."""
    code = "import os; os.mkdir('x'); os.chdir('x'); os.rmdir('../x')"
    python = commands.argv("checkpoint", user=user)[0]
    code += "; print('ready'); input()"
    with Subject([python, "-uc", code], cwd=home, user=user) as subject:
        subject.ready()

        done = commands.call(
            "checkpoint", "-f", target, str(subject.pid), user=user, cwd=home
        )

        assert done.returncode == NOT_SUPPORTED
        assert "working directory" in done.stderr


@pytest.mark.parametrize(
    ("way", "what"),
    [
        ("files", "has descriptors of its own"),
        ("fs", "threads share a working directory of their own"),
    ],
)
def test_parted_thread_is_refused_by_name(
    way: str, what: str, target: Path, user: int | None, home: Path
) -> None:
    """Threads that do not share everything would come back sharing it."""
    with Subject([build("threads_parted"), way], cwd=home, user=user) as subject:
        subject.ready()

        done = commands.call(
            "checkpoint", "-f", target, str(subject.pid), user=user, cwd=home
        )

        assert done.returncode == NOT_SUPPORTED
        assert what in done.stderr
        subject.tell()
        assert subject.finish().endswith(b"ok\n")


@pytest.mark.parametrize("kind", ["mount", "uts", "ipc", "net", "cgroup"])
def test_namespace_is_refused_by_name(
    kind: str, target: Path, user: int | None, home: Path
) -> None:
    """Names that were saved in another one would mean something else at a restart."""
    alone = ["unshare", f"--{kind}"]
    if user is not None or os.geteuid() != 0:
        # In a user namespace, whose capabilities an execve takes away again.
        alone.insert(1, "--user")
    command = [*alone, "sh", "-c", "echo ready; read line"]
    with Subject(command, cwd=home, user=user) as subject:
        subject.ready()

        done = commands.call(
            "checkpoint", "-f", target, str(subject.pid), user=user, cwd=home
        )

        assert done.returncode == NOT_SUPPORTED
        assert f"another {kind}" in done.stderr.replace("network", "net").lower()


def test_namespace_of_a_restart_is_accepted(user: int | None, home: Path) -> None:
    """An ordinary user's program has one once it was restarted."""
    with Subject([build("compute")], cwd=home, user=user) as subject:
        subject.ready()
        subject.restart(subject.checkpoint_and_kill())

        subject.restart(subject.checkpoint_and_kill())

        subject.tell()
        assert subject.finish().endswith(b"ok\n")


def test_shared_namespace_is_accepted(home: Path) -> None:
    """A checkpointer that is in the program's namespaces may save it."""
    (home / "context").unlink(missing_ok=True)
    checkpoint = " ".join(commands.argv("checkpoint", "-f", "context"))
    inner = f"sleep 60 <&- >&- 2>&- & {checkpoint} --term $!"
    flags = ["--mount", "--uts", "--ipc", "--net", "--cgroup"]
    if os.geteuid() != 0:
        flags.append("--user")

    with commands.popen(
        ["unshare", *flags, "sh", "-c", inner], user=None, cwd=home
    ) as command:
        _, said = command.communicate()

    assert (command.returncode, said) == (0, b"")
    assert (home / "context").stat().st_size


SOCKETS = {
    "waiting": (
        "l = socket.create_server(('127.0.0.1', 0)); "
        "s = socket.create_connection(l.getsockname()); s.send(b'x')"
    ),
    "netlink": (
        "s = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0); "
        "s.send(bytes.fromhex('11000000120001030000000000000000') + bytes(4))"
    ),
    "unix": "s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[2])",
    "unsaid": (
        "l = socket.socket(socket.AF_UNIX); l.bind('l'); l.listen(); "
        "s = socket.socket(socket.AF_UNIX); s.connect('l'); s.send(b'x')"
    ),
    "urgent": (
        "l = socket.create_server(('127.0.0.1', 0)); "
        "s = socket.create_connection(l.getsockname()); "
        "t = l.accept()[0]; s.send(b'!', socket.MSG_OOB)"
    ),
}
"""Sockets that are not saved, in Python; told the port and path of one outside."""


@pytest.mark.parametrize("made", SOCKETS.values(), ids=SOCKETS.keys())
def test_socket_is_refused_by_name(
    target: Path, user: int | None, home: Path, made: str
) -> None:
    """A descriptor that cannot be saved is named, with status 52, and is unharmed."""
    code = f"import socket, sys; {made}; print('ready'); input(); print('ok')"
    python = commands.argv("checkpoint", user=user)[0]
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        socket.socket(socket.AF_UNIX) as outside_server,
    ):
        path = home / "outside"
        outside_server.bind(str(path))
        outside_server.listen()
        path.chmod(0o777)
        words = [python, "-uc", code, str(server.getsockname()[1]), str(path)]
        with Subject(words, cwd=home, user=user) as subject:
            subject.ready()

            done = commands.call(
                "checkpoint", "-f", target, str(subject.pid), user=user, cwd=home
            )

            assert done.returncode == NOT_SUPPORTED
            assert "socket" in done.stderr or "TCP connection" in done.stderr
            assert str(subject.pid) in done.stderr
            subject.tell()
            assert subject.finish().endswith(b"ok\n")


def test_process_that_ends_as_it_is_frozen(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kernel says no as it does to a stranger; the answer is that it has ended."""
    seize = ptrace.seize
    with Subject([build("compute")], cwd=home) as subject:
        subject.ready()

        def end_before(tid: int, options: int = 0) -> None:
            os.kill(tid, signal.SIGKILL)
            os.waitid(os.P_PID, tid, os.WEXITED | os.WNOWAIT)
            seize(tid, options)

        monkeypatch.setattr(ptrace, "seize", end_before)
        with (
            Target(home / "context", sync=False) as target,
            pytest.raises(NoSuchProcessError, match="has ended"),
        ):
            checkpoint(subject.pid, target)
