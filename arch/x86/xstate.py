"""
The XSAVE image: x87, SSE and every later kind of register in one buffer.

Machines differ in which components they have and, without AVX-512 or with, in where
those lie; the size tells which of the layouts it is.  A component that holds its
initial value is as good as absent.

Source: Intel SDM volume 1, chapter 13; CPUID leaf 0xD of Intel and AMD machines;
arch/x86/kernel/fpu/{regset,signal,xstate}.c and struct _fpx_sw_bytes in
arch/x86/include/uapi/asm/sigcontext.h, Linux 6.12.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping

from blcr.architecture import ReadMemory, Register, RegisterSet
from blcr.errors import ArchitectureError

NT_FPREGSET = 2
NT_X86_XSTATE = 0x202

LEGACY_SIZE = 512
HEADER_SIZE = 64
BASELINE_SIZE = LEGACY_SIZE + HEADER_SIZE
BASELINE = 0b11
"""XSTATE_BV bits of x87 and SSE."""

SOFTWARE = struct.Struct("<IIQI28x")
"""At SOFTWARE_AT of a frame: magic, size with the end's magic, features, size."""
SOFTWARE_AT = 464
MAGIC1, MAGIC2 = 0x46505853, 0x46505845
SIZE_LIMIT = 1 << 16

# In the same place the kernel puts XCR0 for a debugger; behind it the header begins.
_HEADER = struct.Struct("<Q40xQ56x")

_NAMES = {
    2: "AVX",
    3: "MPX bounds",
    4: "MPX configuration",
    5: "AVX-512 mask",
    6: "AVX-512",
    7: "AVX-512 upper",
    9: "protection key",
    17: "AMX configuration",
    18: "AMX",
    19: "APX",
}
# Offset and size by bit.
_AVX = {2: (576, 256)}
_INTEL = {
    **_AVX,
    3: (960, 64),
    4: (1024, 64),
    5: (1088, 64),
    6: (1152, 512),
    7: (1664, 1024),
    9: (2688, 8),
    17: (2752, 64),
    18: (2816, 8192),
    19: (960, 128),  # on CPUs without MPX
}
_AMD = {**_AVX, 9: (832, 8)}
_AMD_AVX512 = {**_AVX, 5: (832, 64), 6: (896, 512), 7: (1408, 1024), 9: (2432, 8)}
_LAYOUTS = {840: _AMD, 2432: _AMD_AVX512, 2440: _AMD_AVX512}

_PROTECTION_KEY = 9
# Linux starts every program with all keys but the first one closed.
_DEFAULT_KEYS = (0x5555_5554).to_bytes(8, "little")


def _layout(size: int) -> dict[int, tuple[int, int]]:
    """Return the components of an image of that size."""
    rows = _LAYOUTS.get(size, _INTEL)
    return {bit: (at, n) for bit, (at, n) in rows.items() if at + n <= size}


def _in_use(data: bytes) -> dict[int, bytes]:
    """
    Return the components beyond the baseline that differ from their initial values.

    Raises:
        ArchitectureError: The image has a component unknown here, or is cut off.
    """
    if len(data) < BASELINE_SIZE:
        raise ArchitectureError(f"register state of {len(data)} bytes is cut off")
    _, present = _HEADER.unpack_from(data, SOFTWARE_AT)
    layout, used = _layout(len(data)), {}
    for bit in range(BASELINE.bit_length(), 64):
        if not present >> bit & 1:
            continue
        if bit not in layout:
            raise ArchitectureError(f"unknown register state: XSAVE component {bit}")
        at, size = layout[bit]
        value = data[at : at + size]
        default = bit == _PROTECTION_KEY and value == _DEFAULT_KEYS
        if any(value) and not default:
            used[bit] = value
    return used


def fit(data: bytes, size: int) -> bytes:
    """
    Convert an image to the layout of a machine whose images have `size` bytes.

    Raises:
        ArchitectureError: A component in use has no place there.
    """
    used, layout = _in_use(data), _layout(size)
    _, present = _HEADER.unpack_from(data, SOFTWARE_AT)
    out = bytearray(data[:LEGACY_SIZE].ljust(size, b"\0"))
    features = present & BASELINE
    for bit, value in used.items():
        if bit not in layout:
            raise ArchitectureError(
                f"the program has {_NAMES[bit]} registers in use, which this CPU lacks"
            )
        at = layout[bit][0]
        out[at : at + len(value)] = value
        features |= 1 << bit
    _HEADER.pack_into(out, SOFTWARE_AT, features | BASELINE, features)
    return bytes(out)


def portable_state(sets: Mapping[int, bytes]) -> tuple[str, ...]:
    """Return the names of components in use beyond x87 and SSE."""
    image = sets.get(NT_X86_XSTATE)
    return tuple(_NAMES[bit] for bit in _in_use(image)) if image else ()


XSTATE = RegisterSet.of(
    "xstate",
    note_type=NT_X86_XSTATE,
    size=None,
    registers=[
        Register("cwd", 0, 2),
        Register("swd", 2, 2),
        Register("twd", 4, 2),
        Register("fop", 6, 2),
        Register("mxcsr", 24, 4),
        *(
            Register(f"xmm{i}_{half}", 160 + 16 * i + 8 * place, 8)
            for i in range(16)
            for place, half in enumerate(("low", "high"))
        ),
        Register("xcr0", SOFTWARE_AT, 8),
        Register("xstate_bv", LEGACY_SIZE, 8),
    ],
    fit=fit,
)

INITIAL = XSTATE.encode({"cwd": 0x37F, "mxcsr": 0x1F80}, bytes(BASELINE_SIZE))
"""What a program starts with."""


def to_frame(sets: Mapping[int, bytes]) -> bytes:
    """Return what a signal frame has of an XSAVE image or, without one, of FXSAVE's."""
    image = sets.get(NT_X86_XSTATE)
    if image is None:
        legacy = sets.get(NT_FPREGSET, INITIAL)
        return legacy[:SOFTWARE_AT].ljust(LEGACY_SIZE, b"\0")
    available, present = _HEADER.unpack_from(image, SOFTWARE_AT)
    out = bytearray(image)
    end = MAGIC2.to_bytes(4, "little")
    SOFTWARE.pack_into(
        out,
        SOFTWARE_AT,
        MAGIC1,
        len(image) + len(end),
        available | present | BASELINE,
        len(image),
    )
    # The kernel marks these present always: a 32-bit frame has the x87 twice.
    out[LEGACY_SIZE : LEGACY_SIZE + 8] = (present | BASELINE).to_bytes(8, "little")
    return bytes(out) + end


def from_frame(read: ReadMemory, address: int) -> bytes:
    """Return the XSAVE image that a return from the signal loads; none at address 0."""
    if not address:
        return INITIAL
    legacy = read(address, LEGACY_SIZE)
    magic, extended, available, size = SOFTWARE.unpack_from(legacy, SOFTWARE_AT)
    # Whatever is wrong with the extended part, the kernel loads the legacy one alone.
    whole = magic == MAGIC1 and BASELINE_SIZE <= size <= min(extended, SIZE_LIMIT)
    if not whole or read(address + size, 4) != MAGIC2.to_bytes(4, "little"):
        image = bytearray(legacy.ljust(BASELINE_SIZE, b"\0"))
        _HEADER.pack_into(image, SOFTWARE_AT, BASELINE, BASELINE)
        return bytes(image)
    image = bytearray(read(address, size))
    present = int.from_bytes(image[LEGACY_SIZE : LEGACY_SIZE + 8], "little")
    _HEADER.pack_into(image, SOFTWARE_AT, available, present & available)
    return bytes(image)
