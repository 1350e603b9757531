"""Timeouts of waiting calls: read from arguments, and put into them."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blcr import registry
from blcr.architecture import Arch, Layout, ReadMemory
from blcr.linux import blocking

ADDRESS = 0x4000
POINTER = {"nanosleep": 0, "clock_nanosleep": 2, "futex": 3, "ppoll": 2, "select": 4}
"""Which argument points to the timeout, from the manual pages."""


def wide(layout: Layout = Layout(8, "little")) -> Arch:  # noqa: B008 - immutable
    """Return an architecture of which only the layout is of interest."""
    return registry.get(registry.names()[0])._replace(layout=layout, structures={})


def memory(**at: bytes) -> ReadMemory:
    """Return a way to read what lies at ``a`` (0x4000) and at ``b`` (0x5000)."""
    places = {ADDRESS: at.get("a", b""), 0x5000: at.get("b", b"")}
    return lambda address, size: places[address][:size]


def call(**args: int) -> tuple[int, ...]:
    """Return six arguments, those of the given positions not zero."""
    return tuple(args.get(f"a{number}", 0) for number in range(6))


@pytest.mark.parametrize(
    ("first", "after"), [(1, "fails"), (4, "fails"), (1 << 16 | 4, "fails"), (12, None)]
)
def test_what_ipc_stands_for(first: int, after: str | None) -> None:
    """Its first argument says it, below a version; msgrcv is made again by itself."""
    found = blocking.waiting("ipc", call(a0=first))

    assert (found.after if found else None) == after


@pytest.mark.parametrize("name", ["nanosleep", "clock_nanosleep", "futex", "ppoll"])
def test_a_timespec_is_read_from_memory(name: str) -> None:
    """Two words, seconds and nanoseconds."""
    args = call(**{f"a{POINTER[name]}": ADDRESS})

    asked = blocking.timeout(wide(), name, args, memory(a=struct.pack("<qq", 2, 5)))

    assert asked == 2_000_000_005


def test_select_counts_microseconds() -> None:
    """A timeval, here of a big-endian machine with 32 bits."""
    read = memory(a=struct.pack(">ii", 2, 5))

    asked = blocking.timeout(wide(Layout(4, "big")), "select", call(a4=ADDRESS), read)

    assert asked == 2_000_005_000


@pytest.mark.parametrize("layout", [Layout(4, "little"), Layout(4, "big")])
@pytest.mark.parametrize("rest", [0, 0x7B00_0000, -1])
def test_the_newer_calls_of_32_bits_have_64_bits(layout: Layout, rest: int) -> None:
    """Their timespec is the same everywhere, but half of the nanoseconds is padding."""
    sign = "<" if layout.byteorder == "little" else ">"
    read = memory(a=struct.pack(f"{sign}qq", 2, 5 + (rest << 32)))
    arch = wide(layout)

    asked = blocking.timeout(arch, "ppoll_time64", call(a2=ADDRESS), read)

    assert asked == 2_000_000_005


@pytest.mark.parametrize(
    ("argument", "asked"),
    [(1500, 1_500_000_000), (0, 0), (0xFFFF_FFFF, None), (0xABCD_FFFF_FFFF, None)],
)
def test_poll_counts_milliseconds(argument: int, asked: int | None) -> None:
    """A negative int is no limit; what is above its 32 bits does not count."""
    assert blocking.timeout(wide(), "poll", call(a2=argument), memory()) == asked


def test_no_pointer_is_no_limit() -> None:
    """A call without timeout waits for ever, one that has none does as well."""
    assert blocking.timeout(wide(), "futex", call(), memory()) is None
    assert blocking.timeout(wide(), "semop", call(), memory()) is None
    assert blocking.timeout(wide(), "read", call(), memory()) is None


@pytest.mark.parametrize(
    ("name", "args"),
    [
        ("clock_nanosleep", call(a1=1, a2=ADDRESS)),  # TIMER_ABSTIME
        ("futex", call(a1=9, a3=ADDRESS)),  # FUTEX_WAIT_BITSET
        ("futex", call(a1=0x189, a3=ADDRESS)),  # the same, private, CLOCK_REALTIME
        ("futex", call(a1=6, a3=ADDRESS)),  # FUTEX_LOCK_PI
    ],
)
def test_a_time_of_a_clock_is_no_duration(name: str, args: tuple[int, ...]) -> None:
    """Made again with the same arguments, the call ends when it should."""
    assert blocking.timeout(wide(), name, args, memory()) is None
    assert blocking.time_left(wide(), name, args, memory()) is None


def test_a_private_futex_waits_for_a_duration() -> None:
    """FUTEX_WAIT is relative, whatever its options."""
    read = memory(a=struct.pack("<qq", 1, 0))

    for operation in (0, 0x80, 0x180):
        args = call(a1=operation, a3=ADDRESS)
        assert blocking.timeout(wide(), "futex", args, read) == 10**9


def test_sleep_tells_the_time_left_where_it_is_asked_to() -> None:
    """Behind the second argument of nanosleep, if there is one."""
    read = memory(a=struct.pack("<qq", 9, 0), b=struct.pack("<qq", 3, 7))
    asked, silent = call(a0=ADDRESS, a1=0x5000), call(a0=ADDRESS)

    assert blocking.time_left(wide(), "nanosleep", asked, read) == 3_000_000_007
    assert blocking.time_left(wide(), "nanosleep", silent, read) is None
    assert blocking.time_left(wide(), "poll", call(a2=100), read) is None


@given(
    name=st.sampled_from(sorted(blocking.CALLS.keys() - {"semop"})),
    layout=st.sampled_from(
        [Layout(8, "little"), Layout(4, "big"), Layout(4, "little")]
    ),
    ns=st.integers(0, 10**15),
)
def test_a_shortened_timeout_is_what_was_meant(
    name: str, layout: Layout, ns: int
) -> None:
    """Put into the arguments and read again it is the same, rounded up."""
    arch = wide(layout)
    before = call()

    args, data = blocking.with_timeout(arch, name, before, ns, ADDRESS)
    read = blocking.timeout(arch, name, args, memory(a=data))

    assert read is not None
    assert 0 <= read - ns < 10**6
    assert sum(old != new for old, new in zip(before, args, strict=True)) <= 1
