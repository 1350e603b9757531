"""What is wrong with a machine is said so that its user can mend it."""

from __future__ import annotations

import errno
import os
import subprocess
from pathlib import Path

import pytest

from blcr.host.native import ptrace
from harness import checkpointer, commands, outside
from harness.programs import build
from harness.subject import Subject

EVERY_USER = pytest.mark.parametrize("user_name", commands.users(), indirect=True)

NT_X86_XSTATE = 0x202
SSE_ONLY = 576
"""Bytes of an XSAVE image without further components."""


def _saved(program: str, home: Path, user: int | None) -> Path:
    """Return a context, whose files are gone."""
    with Subject([build(program)], cwd=home, user=user) as subject:
        subject.ready()
        context = subject.checkpoint_and_kill("--save-files")
    for path in home.iterdir():
        if path.is_file() and path != context:
            path.unlink()
    return context


@EVERY_USER
@pytest.mark.parametrize(
    ("program", "limit", "status"),
    [
        ("descriptors_many", "-n 100", errno.EMFILE),
        ("terminal_pair", "-n 9", errno.EMFILE),
        ("file_kept", "-f 0", errno.EFBIG),
        ("signal_queued", "-i 0", errno.EAGAIN),
        ("timer_posix", "-i 0", errno.EAGAIN),
    ],
)
def test_limit_that_is_too_low(
    program: str, limit: str, status: int, user: int | None, home: Path
) -> None:
    """The message names the limit as the shell does, and nothing is left."""
    context = _saved(program, home, user)
    before = set(outside.descendants(os.getpid()))
    words = commands.argv("restart", "--no-restore-pid", context, user=user)

    shell = ["bash", "-c", f'ulimit {limit}; exec "$@"', "bash"]
    restart = commands.popen([*shell, *words], user=user, cwd=home)
    _said, errors = restart.communicate(timeout=60)

    assert restart.returncode == status, errors
    assert f"ulimit {limit[:2]}" in errors.decode().replace("-Hn", "-n")
    assert len(errors.splitlines()) == 1
    outside.wait_until(
        lambda: set(outside.descendants(os.getpid())) <= before, "nobody left"
    )


def test_cpu_that_lacks_a_feature(
    home: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """The message names the process, what its registers hold, and how to start it."""
    if " avx " not in Path("/proc/cpuinfo").read_text():
        pytest.skip("not applicable: this CPU has no more than SSE")
    with Subject([build("registers_vector")], cwd=home) as subject:
        subject.ready()
        context = subject.checkpoint_and_kill()
    register_set = ptrace.register_set

    def smaller(tid: int, note_type: int) -> bytes | None:
        data = register_set(tid, note_type)
        if note_type == NT_X86_XSTATE and data:
            return data[:SSE_ONLY]
        return data

    def prepare() -> None:
        setattr(ptrace, "register_set", smaller)  # noqa: B010

    status = checkpointer.wait(checkpointer.fork_restart(context, prepare))
    said = capfd.readouterr().err

    assert status == checkpointer.FAILED_WELL
    assert f"process {subject.pid}" in said
    assert "AVX" in said
    assert "cr_run --cpu" in said


@EVERY_USER
def test_library_that_has_changed(user: int | None, home: Path) -> None:
    """The message names the process, the file, and the options that help."""
    program = home / "program"
    program.write_bytes(build("memory_private").read_bytes())
    program.chmod(0o755)
    with Subject([program], cwd=home, user=user) as subject:
        subject.ready()
        context = subject.checkpoint_and_kill()
    data = program.read_bytes()
    program.unlink()
    program.write_bytes(data + b"more")
    program.chmod(0o755)

    done = commands.call("restart", context, user=user, cwd=home)

    assert done.returncode != 0
    for word in (f"process {subject.pid}", str(program), "--relocate", "--save-exe"):
        assert word in done.stderr


@EVERY_USER
def test_many_copies_at_once(user: int | None, home: Path) -> None:
    """Copies of one context that are started at the same time do not meet."""
    with Subject([build("threads_signalled")], cwd=home, user=user) as subject:
        subject.ready()
        context = subject.checkpoint_and_kill()
    option = [] if user is not None else ["--no-restore-pid"]
    words = commands.argv("restart", *option, context, user=user)

    copies = [
        commands.popen(words, user=user, cwd=home, stdin=subprocess.PIPE)
        for _ in range(8)
    ]
    ends = [copy.communicate(b"0\n", timeout=60) for copy in copies]

    assert ends == [(b"ok\n", b"")] * len(copies)
    assert {copy.returncode for copy in copies} == {0}
