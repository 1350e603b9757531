"""What a siginfo says does not depend on the architecture that says it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blcr import registry
from blcr.linux import siginfo, structures

# Signal, code, and the members of siginfo_t that sigaction(2) says are valid.
KINDS = [
    (10, 0, {"pid", "uid"}),
    (10, -6, {"pid", "uid", "value"}),
    (34, -1, {"pid", "uid", "value"}),
    (14, -2, {"tid", "overrun", "value"}),
    (17, 1, {"pid", "uid", "status", "utime", "stime"}),
    (11, 1, {"addr"}),
    (7, 2, {"addr"}),
    (29, 1, {"band", "fd"}),
    (29, -5, {"band", "fd"}),
    (40, 6, {"band", "fd"}),
    (31, 1, {"call_addr", "syscall", "arch"}),
    (13, 128, {"pid", "uid"}),
    (11, 128, {"pid", "uid"}),
]
WIDE = registry.find(62, 8, "little")
NARROW = [registry.find(3, 4, "little"), registry.find(20, 4, "big")]


@pytest.mark.parametrize(("signal", "code", "members"), KINDS)
def test_members_are_those_of_the_manual(
    signal: int, code: int, members: set[str]
) -> None:
    """The structure has the members that are valid for the signal and code."""
    fields = structures.of(WIDE, siginfo.layout(signal, code)).fields

    assert {name for name in fields if not name.startswith("_")} == members | {
        *("signo", "errno", "code"),
    }


@given(kind=st.sampled_from(KINDS), value=st.integers(0, 2**31 - 9))
def test_nothing_is_lost_on_the_way_to_32_bits_and_back(
    kind: tuple[int, int, set[str]], value: int
) -> None:
    """Numbers that fit arrive, in whatever layout and byte order."""
    signal, code, members = kind
    layout = structures.of(WIDE, siginfo.layout(signal, code))
    values = {name: value + i for i, name in enumerate(sorted(members))}
    info = layout.pack(signo=signal, errno=5, code=code, **values)

    for arch in NARROW:
        there = siginfo.convert(info, WIDE, arch)
        assert siginfo.convert(there, arch, WIDE) == info
