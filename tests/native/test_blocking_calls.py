"""The table of waiting calls against the running kernel."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from blcr.linux.blocking import CALLS

SOURCE = Path(__file__).with_name("waiting_calls.c")

# Calls that 64-bit kernels have; of semop, semtimedop speaks.
NAMES = sorted(
    name
    for name in CALLS
    if "time64" not in name and name not in {"_newselect", "semop"}
)


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A program that makes one waiting call and tells how it ended."""
    path = tmp_path_factory.mktemp("waiting") / "waiting_calls"
    subprocess.run(["gcc", "-o", path, SOURCE], check=True)
    return path


@pytest.mark.parametrize("name", NAMES)
def test_a_stop_does_to_the_call_what_the_table_says(program: Path, name: str) -> None:
    """It fails with EINTR, and time is written back, just if the row says so."""
    child = subprocess.Popen([program, name], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    child.stdout.readline()
    _wait_for_state(child.pid, "S")
    time.sleep(0.05)  # of the 400 ms that the call waits

    os.kill(child.pid, signal.SIGSTOP)
    _wait_for_state(child.pid, "T")
    os.kill(child.pid, signal.SIGCONT)
    code, written = map(int, child.communicate(timeout=10)[0].split())

    assert (code == errno.EINTR) == (CALLS[name].after == "fails")
    assert bool(written) == (CALLS[name].left is not None)


def _wait_for_state(pid: int, state: str) -> None:
    deadline = time.monotonic() + 5
    status = Path(f"/proc/{pid}/stat")
    while status.read_text().rpartition(")")[2].split()[0] != state:
        assert time.monotonic() < deadline, f"the program is not in state {state}"
        time.sleep(0.005)
