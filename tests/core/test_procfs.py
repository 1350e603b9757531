"""What /proc says on machines that are not at hand."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from blcr.context.records import MemoryPolicy
from blcr.errors import NoSuchProcessError
from blcr.host.native import held, mappings, procfs, tracking
from blcr.host.native.process import NativeProcess, NativeTask, own_arch

# As Linux 6.12 prints it, on a CPU with protection keys.
SMAPS = b"""\
7f0000000000-7f0000001000 rw-p 00000000 00:00 0
Size:                  4 kB
THPeligible:           0
ProtectionKey:         3
VmFlags: rd wr mr mw me ac
7f0000002000-7f0000003000 --xp 00000000 00:00 0
ProtectionKey:         1
VmFlags: ex mr mw me ac
7f0000004000-7f0000005000 rw-p 00000000 00:00 0
ProtectionKey:         0
VmFlags: rd wr mr mw me ac
"""


def test_protection_keys_are_those_of_smaps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each mapping has its key, whoever has given it that."""
    monkeypatch.setattr(procfs, "read", lambda _pid, _name: SMAPS)

    found = mappings.facts(os.getpid(), procfs.ranges(4711))

    assert [one.record.key for one in found] == [3, 1, 0]
    assert not any(one.refused for one in found)


@pytest.mark.parametrize(
    ("line", "policy"),
    [
        ("5577bfe30000 default file=/usr/bin/cat mapped=2 N0=2", None),
        ("5577bfe30000 local file=/usr/bin/cat", MemoryPolicy(4, ())),
        ("5577bfe30000 prefer:1 file=/usr/bin/cat", MemoryPolicy(1, ((1, 1),))),
        ("00400000 bind=static:0-1,3 anon=1", MemoryPolicy(0x8002, ((0, 1), (3, 3)))),
        (
            "00400000 interleave=relative|balancing:0 anon=1",
            MemoryPolicy(0x6003, ((0, 0),)),
        ),
        ("00400000 prefer (many):0-7 anon=1", MemoryPolicy(5, ((0, 7),))),
        ("00400000 weighted interleave:0 anon=1", MemoryPolicy(6, ((0, 0),))),
    ],
)
def test_memory_policies(
    line: str,
    policy: MemoryPolicy | None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A NUMA policy is what mpol_to_str in mm/mempolicy.c makes of it."""
    text = tmp_path / "numa_maps"
    text.write_text(line + " kernelpagesize_kB=4\n")
    opened = os.open
    monkeypatch.setattr(os, "open", lambda _path, flags: opened(text, flags))

    assert procfs.memory_policy(4711, 4711) == policy


def test_shadow_stack_keeps_calls_away(monkeypatch: pytest.MonkeyPatch) -> None:
    """No frame is put onto the stack of a thread that has one; it is refused."""
    text = procfs.read(os.getpid(), "status") + b"x86_Thread_features:\tshstk wrss \n"
    monkeypatch.setattr(procfs, "read", lambda _pid, _name: text)
    process = NativeProcess(os.getpid(), own_arch())
    process.can_inject = True
    process.tasks = [NativeTask(process, os.getpid())]

    assert not process.tasks[0].can_call
    assert "shadow stack" in process._refused(procfs.status(os.getpid()))
    assert "shadow stack" in tracking._obstacle(os.getpid())
    process.close()


def test_returns_in_a_mapped_path(monkeypatch: pytest.MonkeyPatch) -> None:
    """They are as good as any byte but the newline, and end no line."""
    text = (
        b"1000-3000 r--p 00000000 08:01 4711   /a\rb c\r\r\n"
        b"KernelPageSize:        4 kB\nTHPeligible:           1\n"
    )
    monkeypatch.setattr(procfs, "read", lambda _pid, _name: text)

    assert procfs.page_sizes(4711) == {0x1000: 4096}
    assert procfs.may_be_huge(4711, 0x2000)


def test_process_that_is_ending_is_no_kernel_thread(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It has given up its memory, and is not a zombie yet."""
    read = procfs.read

    def without_memory(pid: int, name: str) -> bytes:
        text = read(pid, name)
        return text.replace(b"VmSize", b"Other") if name == "status" else text

    monkeypatch.setattr(procfs, "read", without_memory)

    with pytest.raises(NoSuchProcessError, match="is ending"):
        held.check(os.getpid())
