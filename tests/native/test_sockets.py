"""Sockets that lead outside, and names that are taken meanwhile."""

from __future__ import annotations

import errno
import socket
from pathlib import Path

import pytest

from harness import commands
from harness.programs import build
from harness.subject import Subject, SubjectError

NOT_SUPPORTED = 52

OUTSIDE = """
import socket, sys
one = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
other = socket.socket(socket.AF_UNIX)
other.connect(sys.argv[2])
print("ready")
input()
for each in (one, other):
    print(each.recv(100), each.recv(100))
    try:
        each.sendall(b"x" * 9)
        each.sendall(b"x" * 9)
    except (BrokenPipeError, ConnectionResetError):
        print("closed")
"""


@pytest.fixture(params=list(commands.users()))
def user_name(request: pytest.FixtureRequest) -> str:
    """Every user in turn."""
    return str(request.param)


def test_connections_that_lead_outside_are_closed_where_asked(
    user: int | None, home: Path
) -> None:
    """What has arrived is read, then they have ended; a warning says so before."""
    python = commands.argv("checkpoint", user=user)[0]
    name = home / "outside"
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        socket.socket(socket.AF_UNIX) as other,
    ):
        other.bind(str(name))
        other.listen()
        name.chmod(0o777)
        words = [python, "-uc", OUTSIDE, str(server.getsockname()[1]), str(name)]
        with Subject(words, cwd=home, user=user) as subject:
            subject.ready()
            ends = [server.accept()[0], other.accept()[0]]
            for end in ends:
                end.sendall(b"said before")
            context = home / "context"

            done = commands.call(
                *("checkpoint", "--close-connections", "--kmsg-warning"),
                *("-f", context, "--kill", str(subject.pid)),
                user=user,
                cwd=home,
            )

            assert done.returncode == 0
            assert done.stderr.count("a restart finds it closed") == len(ends)
            subject.bury()
            for end in ends:
                end.close()
            subject.restart(context)
            subject.tell()
            said = subject.finish().decode().splitlines()
            assert said[-4:] == 2 * ["b'said before' b''", "closed"]


UNACCEPTED = """
import socket, sys
family, name = (
    (socket.AF_INET, ("127.0.0.1", 0)) if sys.argv[1] == "tcp"
    else (socket.AF_UNIX, "server")
)
server = socket.socket(family)
server.bind(name)
server.listen()
print(server.getsockname()[1], flush=True)
client = socket.socket(family)
client.connect(server.getsockname())
if "sent" in sys.argv:
    client.sendall(b"x")
print("ready", flush=True)
input()
if "sent" in sys.argv:
    assert server.accept()[0].recv(9) == b"x"
print("ok")
"""


@pytest.mark.parametrize("kind", ["tcp", "unix"])
def test_what_was_sent_before_it_is_accepted_is_refused_by_name(
    kind: str, user: int | None, home: Path
) -> None:
    """Only who accepts a connection gets to see it, so nobody may in its place."""
    python = commands.argv("checkpoint", user=user)[0]
    with Subject([python, "-c", UNACCEPTED, kind, "sent"], cwd=home, user=user) as one:
        one.ready()
        words = ("--time", "3", "-f", home / "context", str(one.pid))

        done = commands.call("checkpoint", *words, user=user, cwd=home)

        assert done.returncode == NOT_SUPPORTED
        assert "has sent something and is not accepted yet" in done.stderr
        one.tell()
        assert one.finish().endswith(b"ok\n")


def test_connection_from_outside_to_be_accepted_is_refused_by_name(
    user: int | None, home: Path
) -> None:
    """Among others that are from inside, which could be kept."""
    python = commands.argv("checkpoint", user=user)[0]
    with Subject([python, "-c", UNACCEPTED, "tcp"], cwd=home, user=user) as subject:
        subject.ready()
        port = int(subject.output.split()[0])
        with socket.create_connection(("127.0.0.1", port)):
            words = ("--time", "3", "-f", home / "context", str(subject.pid))

            done = commands.call("checkpoint", *words, user=user, cwd=home)

        assert done.returncode == NOT_SUPPORTED
        assert "2 connections to be accepted, of which 1 are" in done.stderr
        subject.tell()
        assert subject.finish().endswith(b"ok\n")


@pytest.fixture
def named(home: Path, user: int | None) -> Subject:
    """A program that has sockets with names."""
    return Subject([build("sock_named")], cwd=home, user=user)


def test_name_that_somebody_listens_at_is_an_error(named: Subject, home: Path) -> None:
    """Nothing of theirs is touched, and nothing of ours is left."""
    with named as subject:
        subject.ready()
        path = subject.checkpoint_and_kill()
        (home / "server").unlink()
        with socket.socket(socket.AF_UNIX) as theirs:
            theirs.bind(str(home / "server"))
            theirs.listen()

            with pytest.raises(
                SubjectError, match=f"status {errno.EADDRINUSE}.*in use"
            ):
                subject.restart(path)

            with socket.socket(socket.AF_UNIX) as client:
                client.connect(str(home / "server"))
        assert not list(home.glob("*.blcr"))


def test_file_in_place_of_a_socket_is_an_error(named: Subject, home: Path) -> None:
    """It stays what it is."""
    with named as subject:
        subject.ready()
        path = subject.checkpoint_and_kill()
        (home / "server").unlink()
        (home / "server").write_text("other")

        with pytest.raises(SubjectError, match="'server' is in use, or another file"):
            subject.restart(path)

        assert (home / "server").read_text() == "other"


def test_what_took_the_place_of_an_unlinked_name_stays(
    named: Subject, home: Path
) -> None:
    """A name that led nowhere any more is there for an instant only."""
    with named as subject:
        subject.ready()
        path = subject.checkpoint_and_kill()
        (home / "lost").write_text("other")

        subject.restart(path)

        assert (home / "lost").read_text() == "other"
        (home / "lost").unlink()
        subject.tell()
        assert subject.finish().endswith(b"ok\n")
