"""The commands: options, contradictions, exit statuses; no process is touched."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import blcr.engine.checkpoint
import blcr.engine.restart
from blcr.cli import checkpoint, restart, run
from blcr.cli.options import CHECKPOINT, COMMANDS, RUN, BadUsageError, parse
from blcr.errors import (
    BlcrError,
    BusyError,
    ContextError,
    NoSuchProcessError,
    RestartError,
    TracedError,
)

MISUSED = 255


class Engine:
    """Stands in for the engine: remembers what it was asked for."""

    def __init__(self) -> None:
        self.asked: dict[str, Any] = {}
        self.error: Exception | None = None
        self.warning = ""
        self.status = 0
        self.interrupt = 0

    def checkpoint(self, pid: int, target: Any, **options: Any) -> Any:  # noqa: ANN401
        """Write a context of one byte."""
        self.asked = {"pid": pid, **options}
        if self.warning:
            options["warn"](self.warning)
        if self.error:
            raise self.error
        os.write(target.fd, b"c")
        if self.interrupt:
            os.kill(os.getpid(), self.interrupt)
        target.commit()
        return blcr.engine.checkpoint.CheckpointResult((pid,), 1, 2.0, 3.0, "host")

    def restart(self, fd: int, name: str, **options: Any) -> int:  # noqa: ANN401
        """Return the status that is wanted."""
        self.asked = {"name": name, "bytes": os.read(fd, 100), **options}
        if self.error:
            raise self.error
        options["running"]()
        return self.status


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Engine:
    """An engine that touches nothing, in an empty folder."""
    stand_in = Engine()
    monkeypatch.setattr("blcr.engine.checkpoint.checkpoint", stand_in.checkpoint)
    monkeypatch.setattr("blcr.engine.restart.restart", stand_in.restart)
    monkeypatch.chdir(tmp_path)
    return stand_in


@pytest.fixture
def context(engine: Engine, tmp_path: Path) -> str:
    """A file for the engine to be given."""
    del engine
    Path(tmp_path, "context").write_bytes(b"content")
    return "context"


# The command line.


def test_short_options_may_be_joined() -> None:
    """The last one of them may have an argument, which may follow at once."""
    arguments = parse(CHECKPOINT, ["-vTffile", "-t", "5", "-qS9", "47"])

    assert [one.option.spellings[0] for one in arguments.options] == [
        *("-v", "-T", "-f", "-t", "-q", "-S")
    ]
    assert arguments.last("destination") == "file"
    assert arguments.last("signal") == "9"
    assert arguments.operands == ("47",)


def test_long_options_may_be_abbreviated() -> None:
    """What is unambiguous is enough."""
    arguments = parse(CHECKPOINT, ["--sig=9", "--sess", "--bac", "--kmsg-w", "47"])

    assert arguments.last("signal") == "9"
    assert arguments.last("scope") == "sid"
    assert arguments.last("policy") == "backup"
    assert arguments.last("messages") == "warning"


def test_an_optional_argument_needs_the_equals_sign() -> None:
    """The next word is an operand."""
    arguments = parse(CHECKPOINT, ["--backup", "47"])

    assert arguments.operands == ("47",)
    assert parse(CHECKPOINT, ["--backup=old"]).last("policy") == "old"


def test_operands_may_stand_before_options() -> None:
    """As getopt_long has it, but for cr_run, whose program has options of its own."""
    assert parse(CHECKPOINT, ["47", "--term"]).last("signal") == "TERM"
    assert parse(RUN, ["ls", "--emulate"]).operands == ("ls", "--emulate")
    assert parse(RUN, ["--", "--emulate"]).operands == ("--emulate",)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--nosuch"], "unknown option '--nosuch'"),
        (["-x"], "unknown option '-x'"),
        (["--no"], "option '--no' is ambiguous"),
        (["--file"], "option '--file' needs an argument"),
        (["-f"], "option '-f' needs an argument"),
        (["--tree=1"], "option '--tree' takes no argument"),
    ],
)
def test_mistakes_are_named(words: list[str], message: str) -> None:
    """The message says which word is wrong."""
    with pytest.raises(BadUsageError, match=message):
        parse(CHECKPOINT, words)


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.name)
def test_no_flag_is_there_twice(command: Any) -> None:  # noqa: ANN401
    """A spelling means one thing."""
    flags = [flag for option in command.options() for flag in option.spellings]

    assert len(flags) == len(set(flags))


@pytest.mark.parametrize("body", [checkpoint.main, restart.main, run.main])
def test_help_and_version_are_printed(
    body: Callable[[list[str]], int], capsys: pytest.CaptureFixture[str]
) -> None:
    """They go to standard output and are no failure."""
    assert body(["--help"]) == 0
    assert capsys.readouterr().out.startswith("usage: cr_")
    assert body(["--version"]) == 0
    assert " version " in capsys.readouterr().out


# cr_checkpoint.


def test_a_tree_is_saved_to_a_file_of_its_number(engine: Engine) -> None:
    """The defaults are BLCR's."""
    assert checkpoint.main(["4711"]) == 0

    assert Path("context.4711").read_bytes() == b"c"
    wanted = {"pid": 4711, "guest": 0, "scope": "tree", "signal": 0, "timeout_s": 10.0}
    assert engine.asked.items() >= wanted.items()


def test_options_reach_the_engine(engine: Engine) -> None:
    """The last one of a kind wins."""
    words = ["-T", "-p", "--kill", "--term", "-t", "2.5", "-f", "file", "47:11"]

    assert checkpoint.main(words) == 0

    assert Path("file").exists()
    wanted = {"pid": 47, "guest": 11, "scope": "pid", "signal": 15, "timeout_s": 2.5}
    assert engine.asked.items() >= wanted.items()


@pytest.mark.parametrize(
    ("words", "status"),
    [
        ([], MISUSED),
        (["1", "2"], MISUSED),
        (["0"], MISUSED),
        (["-7"], MISUSED),
        (["no"], MISUSED),
        (["--nosuch", "7"], MISUSED),
        (["-F", "no", "7"], MISUSED),
        (["-t", "no", "7"], MISUSED),
        (["-t", "-1", "7"], errno.EINVAL),
        (["-S", "99", "7"], errno.EINVAL),
        (["-S", "65", "7"], errno.EINVAL),
        (["-S", "0", "7"], errno.EINVAL),
        (["-S", "-1", "7"], errno.EINVAL),
        (["-d", "folder", "7"], errno.EINVAL),
        (["-f", "a", "-F", "1", "7"], errno.EINVAL),
        (["-f", "a", "-f", "b", "7"], errno.EINVAL),
        (["-F", "99", "7"], errno.EBADF),
        (["-f", "/", "7"], errno.EISDIR),
        (["-f", "no/file", "7"], errno.ENOENT),
        (["--ptraced-allow", "7"], 52),
        (["--ptracer-skip", "7"], 52),
    ],
)
def test_what_cannot_be_done_is_not_begun(
    engine: Engine, words: list[str], status: int, capsys: pytest.CaptureFixture[str]
) -> None:
    """The exit status is BLCR's, the message one line that says who speaks."""
    assert checkpoint.main(words) == status

    assert engine.asked == {}
    assert capsys.readouterr().err.startswith("cr_checkpoint: ")
    assert list(Path.cwd().iterdir()) == []


def test_save_none_takes_the_others_back(engine: Engine) -> None:
    """The options add up from there."""
    words = ["--save-all", "--save-none", "--save-exe", "--save-shared", "7"]
    assert checkpoint.main(words) == 0
    assert engine.asked["wanted"] == ("exe", "shared")


def test_a_failure_leaves_the_older_context(
    engine: Engine, capsys: pytest.CaptureFixture[str]
) -> None:
    """The status is the error's, the message names the process."""
    Path("context.7").write_bytes(b"old")
    engine.error = NoSuchProcessError("there is no process 7")

    assert checkpoint.main(["7"]) == errno.ESRCH

    assert Path("context.7").read_bytes() == b"old"
    assert capsys.readouterr().err == "cr_checkpoint: there is no process 7\n"
    assert [path.name for path in Path.cwd().iterdir()] == ["context.7"]


def test_quiet_is_quiet(engine: Engine, capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing is printed on standard error, not even why."""
    engine.error = NoSuchProcessError("there is no process 7")
    engine.warning = "something may be missed"

    assert checkpoint.main(["-q", "--kmsg-warning", "7"]) == errno.ESRCH

    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("option", "on_success", "on_failure"),
    [("none", False, False), ("error", False, True), ("warning", True, True)],
)
def test_warnings_are_shown_when_wanted(
    engine: Engine,
    capsys: pytest.CaptureFixture[str],
    option: str,
    on_success: bool,
    on_failure: bool,
) -> None:
    """The options that were the kernel module's govern them."""
    engine.warning = "something may be missed"

    assert checkpoint.main([f"--kmsg-{option}", "7"]) == 0
    assert ("- something may be missed\n" in capsys.readouterr().err) == on_success
    engine.error = BusyError("process 7 is in another checkpoint")
    assert checkpoint.main([f"--kmsg-{option}", "7"]) == errno.EBUSY
    assert ("- something may be missed\n" in capsys.readouterr().err) == on_failure


def test_a_traced_process_may_be_skipped(engine: Engine) -> None:
    """Then nothing is left, which is the failure."""
    engine.error = TracedError("process 7 is traced by 8")

    assert checkpoint.main(["7"]) == 56
    assert checkpoint.main(["--ptraced-skip", "7"]) == errno.ESRCH


def test_results_are_told_as_json(
    engine: Engine, capsys: pytest.CaptureFixture[str]
) -> None:
    """Success and failure alike."""
    assert checkpoint.main(["--json", "7"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["pids"], told["size"], told["file"]) == ([7], 1, "context.7")

    engine.error = NoSuchProcessError("there is no process 7")
    assert checkpoint.main(["--json", "7"]) == errno.ESRCH
    assert json.loads(capsys.readouterr().out) == {
        "error": "there is no process 7",
        "status": 3,
    }


@pytest.mark.parametrize(
    ("words", "status"), [(["--json", "2147483647"], errno.ESRCH), (["--help"], 1)]
)
def test_nobody_needs_to_read_what_is_told(words: list[str], status: int) -> None:
    """A pipe that is closed at its other end brings no traceback."""
    reading, writing = os.pipe()
    os.close(reading)
    command = [sys.executable, "-m", "blcr.cli.checkpoint", *words]

    done = subprocess.run(command, stdout=writing, stderr=subprocess.PIPE, text=True)
    os.close(writing)

    assert done.returncode == status
    assert "Traceback" not in done.stderr
    assert "Broken" not in done.stderr


def test_a_signal_to_end_leaves_nothing_behind(engine: Engine) -> None:
    """The status is a shell's for that signal; the signal's action is put back."""
    engine.interrupt = signal.SIGTERM

    with pytest.raises(SystemExit) as raised:
        checkpoint.main(["7"])

    assert raised.value.code == 128 + signal.SIGTERM
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
    assert list(Path.cwd().iterdir()) == []


def test_a_mistake_of_ours_is_no_traceback(
    engine: Engine, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is named as such; developers get the traceback."""
    engine.error = ZeroDivisionError("oh")

    assert checkpoint.main(["7"]) == 1
    assert "mistake in cr_checkpoint itself" in capsys.readouterr().err
    with pytest.raises(ZeroDivisionError):
        checkpoint.main(["--traceback", "7"])


# cr_restart.


def test_a_context_is_restarted_under_its_pids(engine: Engine, context: str) -> None:
    """The defaults are BLCR's."""
    assert restart.main([context]) == 0

    wanted = {
        "name": context,
        "bytes": b"content",
        "restore_pid": True,
        "restore_pgid": False,
        "restore_sid": False,
        "signal": 0,
        "host": None,
        "relocate": [],
    }
    assert engine.asked.items() >= wanted.items()


def test_restart_options_reach_the_engine(engine: Engine, context: str) -> None:
    """A descriptor is read from its offset."""
    fd = os.open(context, os.O_RDONLY)
    os.read(fd, 3)
    words = ["--no-restore-pid", "--restore-pgid", "--freeze", "-F", str(fd)]

    assert restart.main([*words, "--relocate", r"/a\=b/=/c", "--reloc=/d=/d"]) == 0
    os.close(fd)

    wanted = {
        "bytes": b"tent",
        "restore_pid": False,
        "restore_pgid": True,
        "signal": signal.SIGSTOP,
        "relocate": [("/a=b", "/c")],
    }
    assert engine.asked.items() >= wanted.items()


@pytest.mark.parametrize(
    ("words", "status"),
    [
        ([], MISUSED),
        (["no"], MISUSED),
        (["--nosuch", "context"], MISUSED),
        (["-F", "99"], MISUSED),
        (["context", "context"], errno.EINVAL),
        (["-f", "context", "context"], errno.EINVAL),
        (["-d", "folder"], errno.EINVAL),
        (["/"], errno.EISDIR),
        (["--relocate", "a=b", "context"], errno.EINVAL),
        (["--relocate", "/a", "context"], errno.EINVAL),
        (["--relocate=/a=/b"] * 17 + ["context"], errno.EINVAL),
        (["--sysroot", "/", "context"], errno.EINVAL),
        (["--memory", "1G", "context"], errno.EINVAL),
        (["--emulate", "--memory", "much", "context"], MISUSED),
        (["--emulate", "--memory", "1K", "context"], errno.EINVAL),
        (["--emulate", "--tasks", "0", "context"], errno.EINVAL),
        (["--omit-always", "context"], 52),
    ],
)
def test_what_cannot_be_restarted_is_not_begun(
    engine: Engine, context: str, words: list[str], status: int
) -> None:
    """The exit status is BLCR's."""
    del context

    assert restart.main(words) == status
    assert engine.asked == {}


def test_the_exit_status_is_mirrored(engine: Engine, context: str) -> None:
    """It is that of the first process."""
    engine.status = 5 << 8

    assert restart.main([context]) == 5


def test_a_deadly_signal_is_mirrored(
    engine: Engine, context: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The command sends it to itself."""
    sent: list[tuple[int, int]] = []
    monkeypatch.setattr(os, "kill", lambda *args: sent.append(args))
    monkeypatch.setattr("resource.setrlimit", lambda *_: None)
    engine.status = signal.SIGKILL

    assert restart.main([context]) == 128 + signal.SIGKILL
    assert sent == [(os.getpid(), signal.SIGKILL)]


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (BusyError("pid 7 is taken"), "temp"),
        (RestartError("no '/file'", status=errno.ENOENT), "env"),
        (ContextError("it is damaged"), "perm"),
    ],
)
def test_a_failure_runs_the_command_of_its_class(
    engine: Engine,
    context: str,
    error: Exception,
    kind: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Its status replaces ours, and the message is dropped."""
    engine.error = error
    kinds = ("args", "temp", "env", "perm")
    hooks = [f"--run-on-fail-{one}=exit {n}" for n, one in enumerate(kinds, 40)]

    assert restart.main([*hooks, context]) == 40 + kinds.index(kind)
    assert restart.main(["--run-on-failure=exit 9", context]) == 9
    assert restart.main(["--run-on-failure=true", context]) != 0
    assert capsys.readouterr().err == f"cr_restart: {error}\n"


def test_a_context_not_there_is_a_mistake_in_the_arguments(engine: Engine) -> None:
    """Its class is that of usage."""
    del engine

    assert restart.main(["--run-on-fail-args=exit 9", "nosuch"]) == 9
    assert restart.main(["--run-on-fail-perm=exit 9", "nosuch"]) == MISUSED


def test_success_runs_its_command(engine: Engine, context: str) -> None:
    """If that fails, its status is ours."""
    engine.status = 5 << 8

    assert restart.main(["--run-on-success=touch done", context]) == 5
    assert Path("done").exists()
    assert restart.main(["--run-on-success=exit 9", context]) == 9


def test_a_restart_is_told_as_json(
    engine: Engine, context: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """As soon as the processes run, before they end."""
    engine.status = 5 << 8

    assert restart.main(["--json", context]) == 5
    assert json.loads(capsys.readouterr().out) == {"file": context, "warnings": []}


# cr_run.


@pytest.mark.parametrize(
    ("words", "status"),
    [
        ([], MISUSED),
        (["nosuch"], 127),
        (["/etc/passwd"], 126),
        (["--omit", "true"], 52),
        (["--sysroot", "/", "true"], errno.EINVAL),
        (["--strace", "true"], errno.EINVAL),
        (["--seed", "1", "true"], errno.EINVAL),
        (["--emulate", "--seed", "no", "true"], MISUSED),
        (["--tasks", "9", "true"], errno.EINVAL),
        (["--emulate", "--memory", "1KM", "true"], MISUSED),
        (["--emulate", "--memory", "9M", "true"], errno.EINVAL),
        (["--emulate", "--tasks", "few", "true"], MISUSED),
        (["--cpu", "nosuch", "true"], errno.EINVAL),
    ],
)
def test_a_program_that_cannot_be_started(words: list[str], status: int) -> None:
    """The exit status is a shell's, or that of the mistake."""
    assert run.main(words) == status


def test_a_program_is_not_told_to_ignore_signals() -> None:
    """What Python ignores is as if a shell had started the program."""
    run_it = [sys.executable, "-m", "blcr.cli.run"]
    show = ["grep", "SigIgn", "/proc/self/status"]
    said = subprocess.run([*run_it, *show], capture_output=True, check=True).stdout

    ignored = int(said.split()[1], 16)
    assert not ignored & (1 << signal.SIGPIPE - 1 | 1 << signal.SIGXFSZ - 1)


def test_every_error_has_a_status_of_one_byte() -> None:
    """Exit statuses are errors modulo 256."""
    assert all(0 < one.exit_status < 256 for one in _errors(BlcrError))


def _errors(base: type[BlcrError]) -> list[type[BlcrError]]:
    found = [base]
    for one in base.__subclasses__():
        found += _errors(one)
    return found
