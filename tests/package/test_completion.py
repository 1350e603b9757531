"""What shells complete of the commands' arguments."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "docs" / "completions"

ASK = """
source "$1"; shift
COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1))
"_$1" "$1" "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD-1]}"
printf '%s\\n' "${COMPREPLY[@]}"
"""


def completed(cwd: Path, *words: str) -> set[str]:
    """Return what bash offers for the last of some words."""
    script = FOLDER / "bash" / words[0]
    done = subprocess.run(
        ["bash", "--norc", "-c", ASK, "bash", script, *words],
        cwd=cwd,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr == ""
    return set(done.stdout.split())


def test_bash_offers_options(tmp_path: Path) -> None:
    """Those that begin as the word does."""
    offered = completed(tmp_path, "cr_restart", "--restore-")

    assert offered == {"--restore-pid", "--restore-pgid", "--restore-sid"}


@pytest.mark.parametrize("words", [["--file", "cont"], ["-f", "cont"], ["cont"]])
def test_bash_offers_files(tmp_path: Path, words: list[str]) -> None:
    """Where a context is asked for."""
    (tmp_path / "context.7").touch()
    (tmp_path / "other").touch()

    assert completed(tmp_path, "cr_restart", *words) == {"context.7"}


def test_bash_offers_files_behind_an_equals_sign(tmp_path: Path) -> None:
    """It takes the sign for a word of its own."""
    (tmp_path / "context.7").touch()

    assert completed(tmp_path, "cr_restart", "--file", "=", "c") == {"context.7"}
    assert completed(tmp_path, "cr_restart", "--file", "=") == {"context.7"}


def test_bash_offers_processes(tmp_path: Path) -> None:
    """Those of the user."""
    pid = str(os.getpid())

    assert pid in completed(tmp_path, "cr_checkpoint", pid[:1])


def test_bash_offers_programs(tmp_path: Path) -> None:
    """What could be started."""
    assert "sleep" in completed(tmp_path, "cr_run", "slee")


@pytest.mark.parametrize("shell", ["zsh", "fish"])
@pytest.mark.parametrize("name", ["cr_checkpoint", "cr_info", "cr_restart", "cr_run"])
def test_other_shells_understand_it(shell: str, name: str) -> None:
    """The files are without mistakes of grammar."""
    if not shutil.which(shell):
        pytest.skip(f"not applicable: {shell} is not installed")
    path = FOLDER / shell / {"zsh": f"_{name}", "fish": f"{name}.fish"}[shell]

    done = subprocess.run(
        [shell, "-n", path], capture_output=True, text=True, check=False
    )

    assert (done.returncode, done.stderr) == (0, "")
