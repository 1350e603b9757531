"""Sockets of guests that lead outside of what is saved."""

from __future__ import annotations

import socket
from pathlib import Path

from harness import commands, seeds
from harness.programs import EVERY_ARCH, build
from harness.subject import Subject

SOURCES = Path(__file__).parent / "programs"
NOT_SUPPORTED = 52
VARIANT = seeds.sample("outside", EVERY_ARCH, 1)[0]


def _save(subject: Subject, context: Path, *options: str) -> tuple[int, str]:
    """Take a checkpoint; return status and messages."""
    words = ("--kmsg-warning", *options, "-f", str(context), str(subject.pid))
    done = commands.call("checkpoint", *words, user=subject.user, cwd=subject.cwd)
    return done.returncode, done.stderr


def test_connection_to_outside_is_refused_or_closed(
    user: int | None, home: Path
) -> None:
    """By name; and where that is asked for, what has arrived is read, and it ends."""
    program = build("connected", VARIANT, SOURCES)
    with socket.create_server(("127.0.0.1", 0)) as server:
        words: list[str | Path] = [program, str(server.getsockname()[1])]
        with Subject(words, cwd=home, user=user, emulated=True) as subject:
            subject.ready()
            end = server.accept()[0]
            end.sendall(b"said before")
            status, said = _save(subject, home / "refused")
            assert status == NOT_SUPPORTED
            assert "is a TCP connection to 127.0.0.1" in said
            assert not (home / "refused").exists()

            context = home / "context"
            status, said = _save(subject, context, "--close-connections", "--kill")
            assert status == 0, said
            assert "a restart finds it closed" in said
            subject.bury()
            end.close()
            subject.restart(context)
            subject.tell()

            assert subject.finish().endswith(b"ok\n")
