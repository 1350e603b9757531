"""TCP connections to somebody who is not saved."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import functools
import os
import signal
import socket
import sys
import termios
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from harness import commands, outside
from harness.subject import Subject, SubjectError

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0, reason="not applicable: only root may repair connections"
)

PIDFD_GETFD, TCP_REPAIR = 438, 19
"""Of asm-generic/unistd.h, linux/tcp.h."""
LINE = b"a line from the program\n"

PROGRAM = """
import socket, sys
one = socket.create_connection((sys.argv[5], int(sys.argv[1])))
one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, int(sys.argv[2]))
one.setblocking(False)
written = 0
for _ in range(int(sys.argv[3])):
    try:
        written += one.send(b"x" * 10000)
    except BlockingIOError:
        break
one.setblocking(True)
if sys.argv[4] == "half":
    one.shutdown(socket.SHUT_WR)
name = one.getsockname()
print("ready", flush=True)
input()
print(one.getsockname() == name, one.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
print(one.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR), written, flush=True)
told = one.makefile("rb")
print(told.readline(), told.readline(), flush=True)
if sys.argv[4] != "half":
    one.sendall(b"a line from the program\\n")
print(told.readline(), one.recv(1), flush=True)
"""


TRIES = 5


def again_if_reset(test: Callable[..., None]) -> Callable[..., None]:
    """
    Repeat a test whose peer was reset.

    Whatever it sends or acknowledges while nobody has the connection has the kernel
    answer so, and on a busy machine that may be late.
    """

    @functools.wraps(test)
    def repeated(*args: object, **kwargs: object) -> None:
        for left in reversed(range(TRIES)):
            try:
                return test(*args, **kwargs)
            except ConnectionResetError:
                if not left:
                    raise
        return None

    return repeated


@contextlib.contextmanager
def connected(
    home: Path,
    reuse: int = 0,
    blocks: int = 0,
    half: str = "",
    host: str = "127.0.0.1",
) -> Iterator[tuple[Subject, socket.socket]]:
    """Give a program, and the other end of its connection."""
    python = commands.argv("checkpoint")[0]
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.create_server((host, 0), family=family) as server:
        port = server.getsockname()[1]
        words = [python, "-c", PROGRAM, *map(str, (port, reuse, blocks, half, host))]
        with Subject(words, cwd=home) as subject:
            subject.ready()
            end, _name = server.accept()
            with end:
                end.settimeout(20)
                end.sendall(b"said before\n")
                yield subject, end


def talk(subject: Subject, end: socket.socket, *, half: bool = False) -> list[bytes]:
    """Have both say and hear all; return what the program has heard, and the bytes."""
    subject.tell()
    subject.expect(b"\n")
    end.sendall(b"said afterwards\n")
    heard = b""
    while not (heard.endswith(LINE) or half):
        heard += end.recv(1 << 20) or pytest.fail("it has ended")
    while half and (more := end.recv(1 << 20)):
        heard += more
    end.sendall(b"and farewell\n")
    end.shutdown(socket.SHUT_WR)
    said = subject.finish().splitlines()
    assert (said[-2], said[-1]) == (
        b"b'said before\\n' b'said afterwards\\n'",
        b"b'and farewell\\n' b''",
    )
    return [*said[-4:-2], heard]


@pytest.mark.parametrize("reuse", [0, 1])
@again_if_reset
def test_connection_goes_on_where_it_was(home: Path, reuse: int) -> None:
    """Killed and restarted, the program and its peer notice nothing."""
    with connected(home, reuse) as (subject, end):
        path = subject.checkpoint_and_kill()
        subject.restart(path)

        assert talk(subject, end) == [b"True 1", b"%d 0" % reuse, LINE]


@again_if_reset
def test_program_that_runs_on_keeps_its_connection(home: Path) -> None:
    """A checkpoint leaves it as it is, and says what may become of it."""
    with connected(home, 1) as (subject, end):
        subject.checkpoint()

        assert talk(subject, end) == [b"True 1", b"1 0", LINE]


@again_if_reset
def test_bytes_under_way_both_ways_arrive(home: Path) -> None:
    """What neither end has read is there, each byte once."""
    with connected(home, blocks=10_000) as (subject, end):
        path = subject.checkpoint_and_kill()
        subject.restart(path)

        name, numbers, heard = talk(subject, end)

        count = int(numbers.split()[1])
        assert count > 1_000_000
        assert (name, heard) == (b"True 1", b"x" * count + LINE)


@pytest.mark.parametrize("blocks", [0, 10_000])
@again_if_reset
def test_half_closed_connection_stays_so(home: Path, blocks: int) -> None:
    """The program says nothing more, and hears on."""
    with connected(home, blocks=blocks, half="half") as (subject, end):
        path = subject.checkpoint_and_kill()
        subject.restart(path)

        _name, numbers, heard = talk(subject, end, half=True)

        assert heard == b"x" * int(numbers.split()[1])


@again_if_reset
def test_failed_restart_leaves_no_trace(home: Path) -> None:
    """The other end hears nothing of it, and a later restart does."""
    with connected(home) as (subject, end):
        path = subject.checkpoint_and_kill()
        good = path.read_bytes()
        damaged = bytearray(good)
        damaged[len(good) // 2] ^= 1
        path.write_bytes(damaged)
        failed = commands.call("restart", path, cwd=home)
        assert failed.returncode
        path.write_bytes(good)

        subject.restart(path)

        assert talk(subject, end)[2] == LINE


@again_if_reset
def test_connection_that_somebody_has_is_an_error(home: Path) -> None:
    """That is the program itself here, which runs on."""
    with connected(home) as (subject, end):
        path = subject.checkpoint()

        done = commands.call("restart", "--no-restore-pid", path, cwd=home)

        assert (done.returncode, "or taken" in done.stderr) == (
            errno.EADDRNOTAVAIL,
            True,
        ), done.stderr
        assert talk(subject, end)[2] == LINE


@again_if_reset
def test_ordinary_user_is_told_what_it_takes(home: Path) -> None:
    """Nothing is started, unless it is to do without."""
    user = commands.ORDINARY_USER
    with connected(home) as (subject, _end):
        path = subject.checkpoint_and_kill()
        os.chown(home, user, user)
        path.chmod(0o644)

        refused = commands.call("restart", path, user=user, cwd=home)

        assert refused.returncode
        assert "which take root (CAP_NET_ADMIN)" in refused.stderr


@again_if_reset
def test_restart_does_without_connections_if_asked_to(home: Path) -> None:
    """What had come is there, then the end."""
    with connected(home) as (subject, end):
        path = subject.checkpoint_and_kill()
        end.close()

        subject.restart(path, "--close-connections")

        subject.tell()
        subject.expect(b"b'said before\\n' b''\n")


@pytest.mark.parametrize("how", ["killed", "failed"])
@again_if_reset
def test_interrupted_checkpoint_gives_the_connection_back(home: Path, how: str) -> None:
    """It was taken already: the context is being written to a pipe, which is full."""
    with connected(home, 1) as (subject, end):
        reader, writer = os.pipe()
        command = commands.popen(
            commands.argv("checkpoint", "--kill", "-F", "1", str(subject.pid)),
            user=None,
            cwd=home,
            stdout=writer,
        )
        os.close(writer)
        with command:
            room = fcntl.fcntl(reader, fcntl.F_GETPIPE_SZ)
            outside.wait_until(lambda: unread(reader) == room, "written")
            assert is_repaired(subject.pid)
            if how == "killed":
                command.kill()
                command.wait()
            os.close(reader)
        assert command.returncode
        outside.wait_until(lambda: not is_repaired(subject.pid), "given back")

        assert talk(subject, end) == [b"True 1", b"1 0", LINE]


def unread(fd: int) -> int:
    """Return how many bytes wait to be read."""
    found = fcntl.ioctl(fd, termios.FIONREAD, bytes(4))
    return int.from_bytes(found, sys.byteorder)


@contextlib.contextmanager
def borrowed(pid: int) -> Iterator[socket.socket]:
    """Give a socket that is a process's, too; pidfd_getfd(2)."""
    holder = os.pidfd_open(pid)
    links = (outside.PROC / str(pid) / "fd").iterdir()
    number = next(int(one.name) for one in links if "socket" in str(one.readlink()))
    fd = ctypes.CDLL(None).syscall(PIDFD_GETFD, holder, number, 0)
    os.close(holder)
    with socket.socket(fileno=fd) as one:
        yield one


def is_repaired(pid: int) -> bool:
    """Tell whether the socket of a process is in repair mode (TCP_REPAIR)."""
    with borrowed(pid) as one:
        return bool(one.getsockopt(socket.IPPROTO_TCP, TCP_REPAIR))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1])
@again_if_reset
def test_any_signal_that_ends_it_is_quiet(home: Path, number: int) -> None:
    """Also where it is not SIGKILL that ends the program."""
    with connected(home) as (subject, end):
        path = subject.checkpoint(f"--signal={number}")
        subject.bury()
        subject.restart(path)

        assert talk(subject, end)[2] == LINE


SERVER = """
import os, socket, sys
server = socket.create_server(("::", 0), family=socket.AF_INET6, dualstack_ipv6=True)
print(server.getsockname()[1], flush=True)
ends = [server.accept()[0] for _ in range(2)]
child = os.fork()
print("ready", flush=True) if child else None
for which, end in enumerate(ends):
    if which == bool(child):
        said = end.recv(100)
        end.sendall(said.upper())
if child:
    assert os.wait() == (child, 0)
    server.accept()[0].sendall(b"another")
"""


@again_if_reset
def test_server_of_two_processes_goes_on_serving(home: Path) -> None:
    """Of both families, with the port that it listens at."""
    python = commands.argv("checkpoint")[0]
    with Subject([python, "-c", SERVER], cwd=home) as subject:
        subject.expect(b"\n")
        port = int(subject.output)
        with (
            socket.create_connection(("127.0.0.1", port)) as four,
            socket.create_connection(("::1", port)) as six,
        ):
            subject.ready()
            path = subject.checkpoint_and_kill()
            subject.restart(path)

            for end, name in ((four, b"four"), (six, b"six")):
                end.settimeout(20)
                end.sendall(name)
                assert end.recv(100) == name.upper()
            with socket.create_connection(("::1", port)) as new:
                assert new.recv(100) == b"another"
        subject.finish()


@pytest.mark.parametrize(("blocks", "host"), [(0, "::1"), (10_000, "127.0.0.1")])
@again_if_reset
def test_connection_that_the_other_end_has_ended_stays_so(
    home: Path, blocks: int, host: str
) -> None:
    """The program reads what has come, then the end, and is heard on."""
    with connected(home, blocks=blocks, host=host) as (subject, end):
        end.sendall(b"said afterwards\nand farewell\n")
        end.shutdown(socket.SHUT_WR)
        path = subject.checkpoint_and_kill()
        subject.restart(path)

        subject.tell()
        heard = b""
        while not heard.endswith(LINE):
            heard += end.recv(1 << 20) or pytest.fail("it has ended")
        _name, numbers, *said = subject.finish().splitlines()[-4:]
        assert heard == b"x" * int(numbers.split()[1]) + LINE
        assert said == [
            b"b'said before\\n' b'said afterwards\\n'",
            b"b'and farewell\\n' b''",
        ]


@again_if_reset
def test_connection_that_both_have_ended_is_refused(home: Path) -> None:
    """It can be had as a closed one."""
    with connected(home, blocks=10_000, half="half") as (subject, end):
        end.shutdown(socket.SHUT_WR)
        with pytest.raises(SubjectError, match="both ends have ended it; have the"):
            subject.checkpoint()

        subject.checkpoint("--close-connections")


@again_if_reset
def test_connection_that_another_process_has_is_refused(home: Path) -> None:
    """It cannot be taken from that."""
    with connected(home) as (subject, _end):
        me = os.getpid()
        with borrowed(subject.pid) as one:
            assert one
            with pytest.raises(SubjectError, match=f"process {me} has, too"):
                subject.checkpoint("--kill")


def test_ordinary_user_is_refused_a_connection_by_name(home: Path) -> None:
    """As one may not look at it; --close-connections is offered."""
    python = commands.argv("checkpoint", user=commands.ORDINARY_USER)[0]
    os.chown(home, commands.ORDINARY_USER, commands.ORDINARY_USER)
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        words = [python, "-c", PROGRAM, str(port), "0", "0", "", "127.0.0.1"]
        with Subject(words, cwd=home, user=commands.ORDINARY_USER) as subject:
            subject.ready()

            with pytest.raises(SubjectError, match=f"port {port}.*--close-connections"):
                subject.checkpoint()


@again_if_reset
def test_other_end_that_speaks_meanwhile_is_reset(home: Path) -> None:
    """The kernel does that while nobody has the connection; the program is told."""
    with connected(home) as (subject, end):
        path = subject.checkpoint_and_kill()
        end.sendall(b"too early\n")
        with pytest.raises(ConnectionResetError):
            end.recv(1)

        subject.restart(path)

        subject.tell()
        with pytest.raises(SubjectError, match="status 1"):
            subject.finish()
