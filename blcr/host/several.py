"""What every host says of several processes that are saved together."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from blcr.errors import RefusedError


def left_out(pid: int, children: Iterable[int]) -> Iterator[str]:
    """Yield a warning if children of a process are not saved with it."""
    if shown := ", ".join(map(str, children)):
        yield (
            f"process {pid} has children that are not saved ({shown}); restarted, it "
            "finds them gone"
        )


def common(one: int, other: int, what: str) -> RefusedError:
    """Return why two processes are refused that share what mostly but threads do."""
    return RefusedError(
        max(one, other),
        f"shares its {what} with process {min(one, other)} (vfork, or clone with "
        "CLONE_VM, CLONE_FILES or CLONE_FS)",
        hint="try again if that was a vfork, which lasts until the execve",
    )
