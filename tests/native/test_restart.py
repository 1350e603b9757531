"""What cr_restart does around a program: status, signals, copies, refusals."""

from __future__ import annotations

import contextlib
import errno
import os
import pty
import shutil
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

import blcr
from harness import commands, outside, seeds
from harness.programs import build
from harness.subject import Subject, SubjectError

EVERY_USER = pytest.mark.parametrize("user_name", list(commands.users()), indirect=True)
ROOT_ONLY = pytest.mark.skipif(
    os.geteuid() != 0,
    reason="not applicable: an ordinary user restores pids in namespaces",
)
DAMAGED = 22


def _saved(program: str, home: Path, user: int | None, *, kill: bool = True) -> Path:
    """Return a context of a program that waits to be told."""
    with Subject([build(program)], cwd=home, user=user) as subject:
        subject.ready()
        return subject.checkpoint_and_kill() if kill else subject.checkpoint()


def _restarted(path: Path, program: str, user: int | None, *options: str) -> Subject:
    """Return a program that was restarted from a context and waits to be told."""
    return Restarted(path, build(program), user, *options)


class Restarted(Subject):
    """A subject that begins with a restart."""

    def __init__(
        self, path: Path, program: Path, user: int | None, *options: str
    ) -> None:
        args = commands.argv("restart", *options, path, user=user)
        folder = path.parent / f"copy-{os.urandom(4).hex()}"
        folder.mkdir()
        super().__init__(args, cwd=folder, user=user)
        self.executable = str(program)
        try:
            outside.wait_until(self._is_back, "restart")
        except (TimeoutError, SubjectError):
            self.end()
            raise
        self.settle()


@EVERY_USER
@pytest.mark.parametrize("told", [0, 42, -signal.SIGTERM, -signal.SIGKILL])
def test_end_is_mirrored(told: int, user: int | None, home: Path) -> None:
    """cr_restart ends as the program does: same status, same signal."""
    path = _saved("ends_as_told", home, user)

    with _restarted(path, "ends_as_told", user) as subject:
        subject.tell(told)

        assert subject.command.wait(30) == told


@pytest.mark.skipif(os.geteuid() != 0, reason="makes a pid namespace")
def test_child_of_the_first_process_is_no_daemon(home: Path) -> None:
    """In a container that is often a shell, and cr_restart stays for what it began."""
    checkpoint = " ".join(commands.argv("checkpoint", "-f", "context", "--term"))
    restart = " ".join(commands.argv("restart", "--term", "context"))
    inner = f"sleep 60 <&- >&- & {checkpoint} $! && wait; {restart}; exit $?"
    outer = ["unshare", "--pid", "--fork", "--mount-proc", "sh", "-c", inner]

    with commands.popen(outer, user=None, cwd=home) as command:
        _, said = command.communicate()

    assert command.returncode == 128 + signal.SIGTERM, said


@EVERY_USER
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_signals_are_forwarded(number: int, user: int | None, home: Path) -> None:
    """A signal sent to cr_restart reaches the program."""
    path = _saved("ends_as_told", home, user)

    with _restarted(path, "ends_as_told", user) as subject:
        subject.command.send_signal(number)

        assert subject.command.wait(30) == -number


@EVERY_USER
def test_ids_are_the_same(user: int | None, home: Path) -> None:
    """The program sees itself under its old ids."""
    with Subject([build("threads_ids")], cwd=home, user=user) as subject:
        subject.ready()
        old = outside.inner_id(subject.pid)
        subject.restart(subject.checkpoint_and_kill())

        assert outside.inner_id(subject.pid) == old
        subject.tell()
        assert subject.finish().endswith(b"ok\n")


@EVERY_USER
def test_new_ids_beside_the_original(user: int | None, home: Path) -> None:
    """With --no-restore-pid copies run beside the original, each under its own id."""
    with Subject([build("memory_private")], cwd=home, user=user) as original:
        original.ready()
        path = original.checkpoint()
        copies = [
            _restarted(path, "memory_private", user, "--no-restore-pid")
            for _ in range(3)
        ]
        everybody = [original, *copies]

        assert len({subject.pid for subject in everybody}) == len(everybody)
        for subject in everybody:
            subject.tell()
            assert subject.finish().endswith(b"ok\n")
            subject.end()


@EVERY_USER
def test_new_ids_are_known_to_the_c_library(user: int | None, home: Path) -> None:
    """Threads under new ids are still signalled by pthread_kill, and joined."""
    path = _saved("threads_signalled", home, user)
    with _restarted(path, "threads_signalled", user, "--no-restore-pid") as subject:
        subject.tell()

        assert subject.finish().endswith(b"ok\n")


@ROOT_ONLY
def test_taken_pid_is_busy(home: Path) -> None:
    """A pid that is in use is status 16, and its owner is unharmed."""
    with Subject([build("memory_private")], cwd=home) as original:
        original.ready()
        path = original.checkpoint()

        done = commands.call("restart", path, cwd=home)

        assert done.returncode == errno.EBUSY
        assert str(original.pid) in done.stderr
        original.tell()
        assert original.finish().endswith(b"ok\n")


@ROOT_ONLY
def test_copies_of_an_ordinary_user_keep_their_ids(home: Path) -> None:
    """Copies run each in a namespace of its own, all under the old ids."""
    user = commands.ORDINARY_USER
    os.chown(home, user, user)
    path = _saved("threads_ids", home, user)
    copies = [_restarted(path, "threads_ids", user) for _ in range(3)]

    assert len({outside.inner_id(copy.pid) for copy in copies}) == 1
    for copy in copies:
        copy.tell()
        assert copy.finish().endswith(b"ok\n")
        copy.end()


def test_denied_user_namespaces_get_a_message(home: Path) -> None:
    """Where user namespaces are denied the message says what helps, and that works."""
    user = commands.users()["user"]
    if user is not None:
        os.chown(home, user, user)
    path = _saved("memory_private", home, user)
    denied = "echo 0 > /proc/sys/user/max_user_namespaces; exec setpriv"
    wrapped = ["unshare", "--user", "--map-current-user", "--keep-caps", "sh", "-c"]

    def restart(*options: str) -> subprocess.Popen[bytes]:
        args = commands.argv("restart", *options, path, user=user)
        script = (
            f'{denied} --bounding-set=-all --inh-caps=-all --ambient-caps=-all "$@"'
        )
        return commands.popen(
            [*wrapped, script, "sh", *args], user=user, cwd=home, stdin=subprocess.PIPE
        )

    out, errors = restart().communicate(timeout=30)
    assert b"max_user_namespaces" in errors
    assert b"--no-restore-pid" in errors
    out, errors = restart("--no-restore-pid").communicate(b"0\n", timeout=30)
    assert out == b"ok\n", errors


@EVERY_USER
def test_stopped_program_stays_stopped(user: int | None, home: Path) -> None:
    """A program that was stopped is stopped again, until it is told to continue."""
    with Subject([build("memory_private")], cwd=home, user=user) as subject:
        subject.ready()
        os.kill(subject.pid, signal.SIGSTOP)
        outside.wait_until(lambda: _state(subject) == "T", "stopped")
        subject.restart(subject.checkpoint_and_kill())

        outside.wait_until(lambda: _state(subject) == "T", "stopped again")
        command = subject.command.pid
        outside.wait_until(lambda: _state_of(command) == "T", "command stopped, too")
        os.kill(command, signal.SIGCONT)
        subject.tell()
        assert subject.finish().endswith(b"ok\n")


def _state(subject: Subject) -> str:
    return _state_of(subject.pid)


def _state_of(pid: int) -> str:
    return outside.status_of(pid)["State"][0]


@EVERY_USER
def test_missing_file_leaves_nothing(user: int | None, home: Path) -> None:
    """When one resource is gone the restart names it and no process is left."""
    path = _saved("mapping_shared", home, user)
    (home / "shared").unlink()
    before = _living()

    done = commands.call("restart", path, user=user, cwd=home)

    assert done.returncode not in {0, 255}
    assert "shared" in done.stderr
    assert "Traceback" not in done.stderr
    outside.wait_until(lambda: _living() <= before, "nobody left")


def _living() -> set[int]:
    return {pid for pid in outside.descendants(os.getpid()) if outside.exists(pid)}


@EVERY_USER
def test_damage_is_noticed_before_anything_runs(user: int | None, home: Path) -> None:
    """A context cut off, or with a flipped bit, is status 22; nothing is started."""
    path = _saved("memory_private", home, user)
    good = path.read_bytes()
    chance = seeds.generator("damage", user)
    for kind in ("cut", "flip") * 8:
        data = bytearray(good)
        at = chance.randrange(len(data))
        if kind == "cut":
            del data[at:]
        else:
            data[at] ^= 1 << chance.randrange(8)
        path.write_bytes(data)

        done = commands.call("restart", path, user=user, cwd=home)

        assert done.returncode == DAMAGED, f"{kind} at {at}: {done.stderr}"
        assert "Traceback" not in done.stderr
        assert done.stdout == ""


@ROOT_ONLY
def test_damage_is_the_reason_of_what_it_may_lead_to(home: Path) -> None:
    """Nothing else is said of a damaged context, not even that the pid is in use."""
    with Subject([build("memory_private")], cwd=home) as subject:
        subject.ready()
        path = subject.checkpoint()
        with blcr.open_context(path) as reader:
            offset, _address, size = reader.core(subject.pid).runs()[0]
        data = bytearray(path.read_bytes())
        whole = commands.call("restart", path, cwd=home)
        data[offset + size // 2] ^= 1
        path.write_bytes(data)
        damaged = commands.call("restart", path, cwd=home)

    assert whole.returncode == errno.EBUSY, whole.stderr
    assert damaged.returncode == DAMAGED, damaged.stderr


@EVERY_USER
def test_context_through_pipes(user: int | None, home: Path) -> None:
    """A context is written to a descriptor and read from one."""
    with Subject([build("memory_private")], cwd=home, user=user) as subject:
        subject.ready()
        there, back = (
            commands.argv(
                "checkpoint", "--kill", "-F", "1", str(subject.pid), user=user
            ),
            commands.argv("restart", "--no-restore-pid", "-F", "3", user=user),
        )
        script = '"$@" | cat > piped'
        subprocess.run(
            ["sh", "-c", script, "sh", *there],
            cwd=home,
            env=commands.environment(user, home),
            user=user,
            group=user,
            check=True,
            timeout=60,
        )
    script = 'cat piped | { exec 3<&0; echo 0 | "$@"; }'
    done = subprocess.run(
        ["sh", "-c", script, "sh", *back],
        cwd=home,
        env=commands.environment(user, home),
        user=user,
        group=user,
        check=False,
        capture_output=True,
        timeout=60,
    )

    assert done.stdout == b"ok\n", done.stderr


@EVERY_USER
def test_check_starts_nothing(user: int | None, home: Path) -> None:
    """--check says that this machine can, and the pid stays free."""
    path = _saved("memory_private", home, user)

    done = commands.call("restart", "--check", path, user=user, cwd=home)

    assert done.returncode == 0, done.stderr
    assert "ok" not in done.stdout.split()
    with _restarted(path, "memory_private", user) as subject:
        subject.tell()
        assert subject.finish() == b"ok\n"


@EVERY_USER
def test_terminal_goes_on(user: int | None, home: Path) -> None:
    """A program on a terminal goes on in the foreground of that of cr_restart."""
    program = build("terminal")
    first, second = Terminal(), Terminal()
    path = home / "context"
    pid = first.start([program], user, home)
    first.expect(b"ready")
    done = commands.call(
        "checkpoint", "--kill", "-f", path, str(pid), user=user, cwd=home
    )
    assert done.returncode == 0, done.stderr
    os.waitpid(pid, 0)

    pid = second.start(commands.argv("restart", path, user=user), user, home)
    second.say(b"0\n")
    second.expect(b"again")
    second.say(b"\x03")

    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 42, second.heard


class Terminal:
    """A pseudo-terminal with somebody at it."""

    def __init__(self) -> None:
        self.heard = b""
        self.fd = -1

    def start(self, args: Sequence[str | Path], user: int | None, home: Path) -> int:
        """Start something in a session of its own on this terminal; return its pid."""
        words = [str(arg) for arg in args]
        environment = commands.environment(user, home)
        pid, self.fd = pty.fork()
        if pid == 0:
            os.closerange(3, 4096)
            os.chdir(home)
            if user is not None:
                os.fchown(0, user, user)
                os.setgroups([])
                os.setgid(user)
                os.setuid(user)
            os.execve(words[0], words, environment)
        return pid

    def say(self, words: bytes) -> None:
        """Type."""
        os.write(self.fd, words)

    def expect(self, word: bytes) -> None:
        """Wait until the word is on the screen."""

        def is_there() -> bool:
            with_more = os.read(self.fd, 1000)
            self.heard += with_more
            return word in self.heard

        os.set_blocking(self.fd, False)

        def condition() -> bool:
            try:
                return is_there()
            except BlockingIOError:
                return False
            except OSError as error:
                raise SubjectError(f"terminal closed: {self.heard!r}") from error

        outside.wait_until(condition, f"{word!r} after {self.heard!r}")


def test_python_is_not_left_behind(home: Path) -> None:
    """The restarted process is of its own executable, with nothing of ours in it."""
    path = _saved("memory_private", home, None)
    with _restarted(path, "memory_private", None) as subject:
        seen = outside.view(subject.pid)

        assert seen.executable == str(build("memory_private"))
        assert not any("python" in line for line in (*seen.maps, *seen.descriptors))
        subject.tell()
        assert subject.finish() == b"ok\n"


@EVERY_USER
def test_ignored_children_do_not_vanish(user: int | None, home: Path) -> None:
    """Started with SIGCHLD ignored, cr_restart mirrors the end all the same."""
    path = _saved("ends_as_told", home, user)
    args = commands.argv("restart", path, user=user)
    script = 'trap "" CHLD; echo 42 | "$@"; echo $?'

    done = subprocess.run(
        ["bash", "-c", script, "bash", *args],
        cwd=home,
        env=commands.environment(user, home),
        user=user,
        group=user,
        extra_groups=None if user is None else [],
        check=False,
        capture_output=True,
        timeout=60,
    )

    assert done.stdout.endswith(b"42\n"), done.stderr


@EVERY_USER
def test_restarter_stands_for_its_program(user: int | None, home: Path) -> None:
    """cr_checkpoint of cr_restart's pid, and its restart, mean the program."""
    path = _saved("memory_private", home, user)
    with _restarted(path, "memory_private", user) as subject:
        again = home / "again"
        args = ("--kill", "-f", again, str(subject.command.pid))
        done = commands.call("checkpoint", *args, user=user, cwd=home)

        assert done.returncode == 0, done.stderr
        subject.command.wait(30)
    with _restarted(again, "memory_private", user) as subject:
        subject.tell()

        assert subject.finish().endswith(b"ok\n")


@EVERY_USER
def test_killed_restarter_leaves_the_program(user: int | None, home: Path) -> None:
    """SIGKILL of cr_restart leaves what it restarted running."""
    path = _saved("memory_private", home, user)
    with _restarted(path, "memory_private", user) as subject:
        subject.command.kill()
        subject.command.wait()
        subject.tell()
        subject.expect(b"ok\n")


@EVERY_USER
def test_jobs_are_controlled(user: int | None, home: Path) -> None:
    """Ctrl-Z stops the program and the command; fg goes on; bash has the terminal."""
    path = _saved("ends_as_told", home, user)
    restart = " ".join(commands.argv("restart", path, user=user)).encode()
    terminal = Terminal()
    shell = ["/bin/bash", "--norc", "--noprofile", "--noediting", "-i"]
    pid = terminal.start(shell, user, home)
    try:
        terminal.say(restart + b"\n")
        outside.wait_until(lambda: _is_in_front(pid), "in the foreground")
        terminal.say(b"\x1a")
        terminal.expect(b"Stopped")
        terminal.say(b"fg; echo status=$?\n")
        outside.wait_until(lambda: _is_in_front(pid), "again in front")
        terminal.say(b"42\n")
        terminal.expect(b"status=42")
        terminal.say(restart + b" </dev/null & wait; echo waited=$?\n")
        terminal.expect(b"waited=")
        terminal.say(b"exit 7\n")

        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 7, terminal.heard
    finally:
        os.close(terminal.fd)


def _is_in_front(shell: int) -> bool:
    """Tell whether the restarted program waits below the shell and has its terminal."""
    for pid in outside.descendants(shell):
        with contextlib.suppress(OSError, ValueError):
            text = (outside.PROC / str(pid) / "stat").read_text()
            name, _, numbers = text.partition(") ")
            state, _parent, group, _session, _terminal, front, *_ = numbers.split()
            if "(ends_as_told" in name and state == "S" and group == front:
                return True
    return False


def test_descriptors_of_the_restarter_are_kept_back(home: Path) -> None:
    """What whoever starts cr_restart has left open does not reach the program."""
    with Subject([build("memory_private")], cwd=home) as subject:
        subject.ready()
        before = outside.view(subject.pid)
        path = subject.checkpoint_and_kill()
        command = ["bash", "-c", 'exec 9</dev/null; exec "$@"', "bash"]
        subject._start(command + commands.argv("restart", path))
        outside.wait_until(subject._is_back, "restart")

        assert not outside.differences(before, outside.view(subject.pid))
        subject.tell()
        assert subject.finish().endswith(b"ok\n")


@EVERY_USER
def test_executable_whose_name_ends_like_a_deleted_one(
    user: int | None, home: Path
) -> None:
    """It is found again, though the exe link of one that is gone looks the same."""
    program = home / "compute (deleted)"
    shutil.copy(build("compute"), program)
    with Subject([program], cwd=home, user=user) as subject:
        subject.ready()
        subject.restart(subject.checkpoint_and_kill())

        assert Path(f"/proc/{subject.pid}/exe").readlink() == program
        subject.tell()
        assert subject.finish().endswith(b"ok\n")
