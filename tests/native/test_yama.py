"""Kernels that let only ancestors trace, as far as others can play one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from blcr.context.target import Target
from blcr.engine.checkpoint import checkpoint
from blcr.errors import NotPermittedError
from blcr.host.native import ptrace, yama
from blcr.host.native.host import HOST
from harness.programs import build
from harness.subject import Subject


@pytest.fixture
def scope(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file in which the kernel tells its restriction."""
    path = tmp_path / "ptrace_scope"
    monkeypatch.setattr(yama, "SCOPE", str(path))
    return path


@pytest.mark.parametrize(
    ("number", "advice"),
    [(1, "start the program with cr_run"), (2, "CAP_SYS_PTRACE"), (3, "next boot")],
)
def test_a_refusal_says_what_helps(
    number: int, advice: str, scope: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It names the sysctl, and what who may not change it can do."""

    def refuse(tid: int, _options: int = 0) -> None:
        raise NotPermittedError(f"thread {tid} may not be traced")

    scope.write_text(f"{number}\n")
    monkeypatch.setattr(ptrace, "seize", refuse)
    with Subject([build("compute")], cwd=home) as subject:
        subject.ready()
        with (
            Target(home / "context", sync=False) as target,
            pytest.raises(
                NotPermittedError, match=f"ptrace_scope is {number}.*{advice}"
            ),
        ):
            checkpoint(subject.pid, target)


@pytest.mark.parametrize(("text", "asked"), [(None, 0), ("0\n", 0), ("1\n", 1)])
def test_programs_are_opened_where_that_is_needed(
    text: str | None, asked: int, scope: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What cr_run does before it becomes the program: PR_SET_PTRACER_ANY."""
    calls: list[tuple[int, int]] = []

    class Libc:
        def prctl(self, option: int, value: Any, *_: int) -> int:  # noqa: ANN401
            calls.append((option, value.value))
            return 0

    if text is not None:
        scope.write_text(text)
    monkeypatch.setattr(yama, "_libc", Libc())

    HOST.admit()

    assert calls == [(0x59616D61, -1)] * asked
