"""
Programs that cross between the native and the emulated host, and those that do not.

The ledger: what is refused, and how it is said.  It only shrinks: a program in it that
crosses after all fails its test, and `REASONS` may only become less.  The page
``docs/support.md`` is made of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from harness import commands
from harness.programs import SCENARIOS, Scenario, build
from harness.subject import Subject

CROSSING = {"static": "x86-64-v2", "musl": "x86-64-v2", "m32-static": "i686"}
"""CPU levels for native programs that shall be restarted anywhere, by variant."""

TO_EMULATED: Mapping[str, str] = {
    "aio_contexts": "aio",
    "aio_transfers": "aio",
    "calls_caught": "dispatch",
    "credentials": "credentials",
    "file_leases": "lease",
    "file_owner": "owner",
    "memory_droppable": "droppable",
    "memory_guarded": "guards",
    "memory_policies": "policy",
    "process_modes": "controls",
    "registers_vector": "uses AVX",
    "root_directory": "root",
    "thread_folders": "folders",
    "tree_clones": "clone",
    "sock_netlink": "netlink_socket",
}
"""By program or scenario: the kind of the record that the emulated host lacks."""

TO_NATIVE: Mapping[str, str] = {
    "aio_contexts": "not served: io_setup",
    "aio_transfers": "not served: io_setup",
    "credentials": "not served: prctl(PR_SET_KEEPCAPS)",
    "file_leases": "not served: fcntl(F_SETLEASE)",
    "file_owner": "not served: fcntl(F_SETOWN_EX)",
    "process_modes": "not served: prctl(PR_SET_THP_DISABLE)",
    "sock_netlink": "is a socket of family AF_NETLINK",
    "thread_folders": "unshare(CLONE_FS)",
    "tree_clones": "clone with CLONE_",
}
"""Likewise: what it asks the emulated host for in vain, or what cannot be saved."""

REASONS = 22
"""How many different things are refused."""

OF_ROOT = frozenset({"credentials", "root_directory"})
"""Programs whose state only root gets into."""

IN_VDSO = "clock_vdso"
"""A program that may be caught in code of a kernel that is not there any more."""

CROSSED = tuple(scenario for scenario in SCENARIOS if scenario.program != IN_VDSO)
"""Programs that cross, or are refused."""


def run(
    scenario: Scenario, variant: str, user: int | None, home: Path, *, emulated: bool
) -> bytes:
    """
    Start a program on a host, and let it go on on the other until it ends natively.

    Returns:
        What it has said.

    Raises:
        SubjectError: It, or a command, did not do what it should; says what was said.
    """
    scenario = scenario.lasting(4)
    program = build(scenario.program, variant)
    args: list[str | Path] = [program, *scenario.args]
    if not emulated:
        level = CROSSING[variant]
        args = [*commands.argv("run", "--cpu", level, *args, user=user)]
    with Subject(args, cwd=home, user=user, emulated=emulated) as subject:
        subject.executable = str(program)
        subject.ready()
        # It ends natively: what has to be computed again is so quickly.
        for there in (False,) if emulated else (True, False):
            path = subject.checkpoint_and_kill()
            subject.emulated = there
            subject.restart(path)
        if not scenario.duration_s:
            subject.tell()
        return subject.finish()


def refusal(scenario: Scenario, *, emulated: bool) -> str | None:
    """Return how a program is refused that starts on a host, or None."""
    table = TO_NATIVE if emulated else TO_EMULATED
    return table.get(scenario.program) or table.get(scenario.name)


def report() -> str:
    """Return the table of all programs, in Markdown."""
    rows = [
        "| program | native → emulated | emulated → native |",
        "|---|---|---|",
    ]
    programs = {scenario.program for scenario in CROSSED}
    for program in sorted({*programs, *TO_EMULATED, *TO_NATIVE}):
        cells = (
            f"refused: {table[program]}" if program in table else "yes"
            for table in (TO_EMULATED, TO_NATIVE)
        )
        rows.append(f"| {program} | {' | '.join(cells)} |")
    rows.append(f"| {IN_VDSO} | yes, at most instants | yes |")
    return "\n".join(rows) + "\n"
