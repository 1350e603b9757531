"""
The XSAVE image: moved from one machine's layout to another's, or refused.

Offsets are those that CPUID leaf 0xD gives on the machines named, from their makers'
manuals: Intel SDM 1, 13.5; AMD APM 2, 11.5.
"""

from __future__ import annotations

import pytest

from blcr import registry
from blcr.errors import ArchitectureError

NT_X86_XSTATE = 0x202
BASELINE, AVX_ONLY, ZEN3, ZEN4, SKYLAKE = 576, 832, 840, 2440, 2696
UPPER_YMM = bytes(range(256))
DEFAULT_KEYS = (0x5555_5554).to_bytes(8, "little")

ARCH = registry.get("x86_64")


def fit(data: bytes, size: int) -> bytes:
    """Convert an image to one of that size."""
    xstate = ARCH.set_of(NT_X86_XSTATE)
    assert xstate is not None
    assert xstate.fit is not None
    return xstate.fit(data, size)


def in_use(data: bytes) -> tuple[str, ...]:
    """Return what an image has in use beyond the baseline."""
    assert ARCH.portable_state is not None
    return ARCH.portable_state({NT_X86_XSTATE: data})


def image(size: int, parts: dict[tuple[int, int], bytes]) -> bytes:
    """Return an image with registers and with parts by bit and offset."""
    out = bytearray(size)
    out[:416] = bytes(i % 251 for i in range(416))
    out[512] = 3
    for (bit, at), data in parts.items():
        out[at : at + len(data)] = data
        out[512 + bit // 8] |= 1 << bit % 8
    return bytes(out)


def test_the_baseline_fits_everywhere() -> None:
    """x87 and SSE alone go to any machine and back."""
    before = image(SKYLAKE, {})

    small = fit(before, BASELINE)
    back = fit(small, SKYLAKE)

    assert len(small) == BASELINE
    assert small[:416] == before[:416]
    assert back[:464] + back[512:] == before[:464] + before[512:]


@pytest.mark.parametrize("size", [AVX_ONLY, ZEN3, ZEN4, SKYLAKE])
def test_avx_goes_to_every_machine_with_it(size: int) -> None:
    """The upper halves lie in the same place on all machines."""
    after = fit(image(ZEN4, {(2, 576): UPPER_YMM}), size)

    assert after[576:832] == UPPER_YMM
    assert after[512] == 7


def test_components_move_between_makers() -> None:
    """AVX-512 and the protection keys have other offsets on the other machine."""
    upper, keys = bytes([9]) * 1024, bytes([1, 2, 3, 4, 0, 0, 0, 0])
    there = image(SKYLAKE, {(7, 1664): upper, (9, 2688): keys})

    here = fit(there, ZEN4)

    assert here[1408:2432] == upper
    assert here[2432:2440] == keys
    assert here[512:514] == bytes([0x83, 2])
    assert fit(here, SKYLAKE)[512:] == there[512:]


def test_what_has_no_place_is_refused_by_name() -> None:
    """A component in use that the machine lacks is an error that names it."""
    with pytest.raises(ArchitectureError, match="AVX registers"):
        fit(image(ZEN4, {(2, 576): UPPER_YMM}), BASELINE)


def test_initial_values_are_not_in_use() -> None:
    """Zeros, and the keys that every program starts with, may be left behind."""
    before = image(ZEN3, {(2, 576): bytes(256), (9, 832): DEFAULT_KEYS})

    after = fit(before, BASELINE)

    assert after[512] == 3
    assert in_use(before) == ()


def test_what_is_in_use_is_named() -> None:
    """Everything beyond x87 and SSE is listed."""
    before = image(SKYLAKE, {(2, 576): UPPER_YMM, (5, 1088): b"1"})

    assert in_use(before) == ("AVX", "AVX-512 mask")


@pytest.mark.parametrize("bad", [b"", bytes(575)])
def test_a_cut_off_image_is_refused(bad: bytes) -> None:
    """An image shorter than its header is an error, not a crash."""
    with pytest.raises(ArchitectureError):
        fit(bad, SKYLAKE)


def test_an_unknown_component_is_refused() -> None:
    """A bit without a known place is an error that names it."""
    with pytest.raises(ArchitectureError, match="component 40"):
        fit(image(SKYLAKE, {(40, 600): b""}), ZEN4)
