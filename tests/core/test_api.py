"""What ``import blcr`` offers, without any process."""

from __future__ import annotations

import errno
import inspect
import pickle
import subprocess
import sys
from pathlib import Path

import pytest

import blcr
from blcr import errors
from blcr.architecture import Arch
from harness import contexts

FUNCTIONS = (blcr.checkpoint, blcr.restart, blcr.open_context)

ERRORS = {
    name: value
    for name, value in vars(errors).items()
    if isinstance(value, type) and issubclass(value, errors.BlcrError)
}


def test_every_error_is_exported() -> None:
    """A caller needs no other module to catch what can happen."""
    exported = {name: getattr(blcr, name) for name in blcr.__all__}

    assert exported.items() >= ERRORS.items()
    assert exported.keys() - ERRORS.keys() == {"checkpoint", "open_context", "restart"}


@pytest.mark.parametrize("function", FUNCTIONS, ids=lambda one: one.__name__)
def test_every_argument_is_documented_and_typed(function: object) -> None:
    """The docstring has each of them, and what can be raised."""
    assert callable(function)
    document = inspect.getdoc(function) or ""
    parameters = inspect.signature(function).parameters

    missing = [one for one in parameters if f"\n    {one}: " not in document]

    assert missing == []
    assert "Raises:" in document
    assert set(function.__annotations__) == {*parameters, "return"}


def test_import_is_light() -> None:
    """Neither engine nor host is imported before it is needed."""
    code = "import sys, blcr; print(*(n for n in sys.modules if n.startswith('blcr')))"
    done = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True
    )

    assert set(done.stdout.split()) == {"blcr", "blcr.annotations", "blcr.errors"}


def test_errors_can_be_sent() -> None:
    """An error arrives in another process with its message and its facts."""
    error = blcr.RefusedError(4711, "has a socket", hint="close it")

    arrived = pickle.loads(pickle.dumps(error))

    assert type(arrived) is blcr.RefusedError
    assert str(arrived) == "process 4711: has a socket; close it"
    assert (arrived.pid, arrived.what, arrived.hint) == (
        4711,
        "has a socket",
        "close it",
    )


def test_no_such_process(tmp_path: Path) -> None:
    """A pid that nobody has is refused, and no file is left."""
    child = subprocess.Popen(["true"])
    child.wait()

    with pytest.raises(blcr.NoSuchProcessError):
        blcr.checkpoint(child.pid, tmp_path / "context")

    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("function", [blcr.restart, blcr.open_context])
def test_missing_file(function: object, tmp_path: Path) -> None:
    """A file that is not there is a ContextError with its errno."""
    assert callable(function)

    with pytest.raises(blcr.ContextError, match="nothing") as caught:
        function(str(tmp_path / "nothing"))

    assert caught.value.exit_status == errno.ENOENT


@pytest.mark.parametrize("function", [blcr.restart, blcr.open_context])
def test_damaged_file(function: object, tmp_path: Path) -> None:
    """What is no context is a ContextError, also from the other process."""
    path = tmp_path / "context"
    path.write_bytes(b"no context at all")
    assert callable(function)

    with pytest.raises(blcr.ContextError, match="context"):
        function(path)


def test_open_file_is_read_from_its_position(arch: Arch, tmp_path: Path) -> None:
    """A caller's own bytes may stand before and behind a context."""
    path = tmp_path / "file"
    path.write_bytes(b"before" + contexts.sample(arch) + b"behind")

    with path.open("rb") as file:
        assert file.read(6) == b"before"
        with blcr.open_context(file) as reader:
            pid = reader.context.processes[0].pid
        assert file.read() == b"behind"

    assert pid == contexts.PID
