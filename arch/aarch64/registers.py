"""
Register sets.

The set of masks for authenticated pointers (NT_ARM_PAC_MASK) is not among them: it is
the same for all, and nobody can set it.

Source: struct user_pt_regs, user_fpsimd_state, user_sve_header, user_pac_address_keys
and user_pac_generic_keys in arch/arm64/include/uapi/asm/ptrace.h; the regsets in
arch/arm64/kernel/ptrace.c; Linux 6.12.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping

from blcr.architecture import Register, RegisterSet
from blcr.errors import ArchitectureError

NT_PRSTATUS = 1
NT_PRFPREG = 2
NT_ARM_TLS = 0x401
NT_ARM_SYSTEM_CALL = 0x404
NT_ARM_SVE = 0x405
NT_ARM_PACA_KEYS = 0x407
NT_ARM_PACG_KEYS = 0x408

NO_CALL = 0xFFFF_FFFF
"""In the register of the system call: none is to be resumed."""

_GENERAL = " ".join(f"x{i}" for i in range(31))

USER_REGS = RegisterSet.in_order(
    "gp",
    note_type=NT_PRSTATUS,
    size=272,
    width=8,
    names=f"{_GENERAL} sp pc pstate",
)

FP_REGS = RegisterSet.of(
    "fp",
    note_type=NT_PRFPREG,
    note_owner="CORE",
    size=528,
    registers=[
        *(
            Register(f"v{i}_{half}", 16 * i + 8 * place, 8)
            for i in range(32)
            for place, half in enumerate(("low", "high"))
        ),
        Register("fpsr", 512, 4),
        Register("fpcr", 516, 4),
    ],
)

TLS_REGS = RegisterSet.in_order(
    "tls", note_type=NT_ARM_TLS, note_owner="LINUX", size=16, width=8, names="tp tp2"
)

CALL_REGS = RegisterSet.in_order(
    "call",
    note_type=NT_ARM_SYSTEM_CALL,
    note_owner="LINUX",
    size=4,
    width=4,
    names="call",
)

# Size of the data, of the largest one, vector length now and at most, flags.
_SVE = struct.Struct("<IIHHH2x")
_SVE_IN_USE = 1


def _fit_sve(data: bytes, size: int) -> bytes:
    """Return scalable vectors for a CPU that may have shorter ones, if they are so."""
    if not _uses_sve(data):
        return data
    used, _, length, _, _ = _SVE.unpack_from(data)
    if used > size:
        raise ArchitectureError(f"this CPU has no SVE registers of {length} bytes")
    return data[:used]


def _uses_sve(data: bytes) -> bool:
    return len(data) >= _SVE.size and bool(_SVE.unpack_from(data)[-1] & _SVE_IN_USE)


# In another state than SVE's own it holds what `FP_REGS` does.
SVE_REGS = RegisterSet.of("sve", note_type=NT_ARM_SVE, size=None, fit=_fit_sve)

PAC_KEYS = RegisterSet.of("pac", note_type=NT_ARM_PACA_KEYS, size=64)
PAC_GENERIC_KEY = RegisterSet.of("pac_generic", note_type=NT_ARM_PACG_KEYS, size=16)

REGISTER_SETS = (
    *(USER_REGS, FP_REGS, TLS_REGS, CALL_REGS),
    *(SVE_REGS, PAC_KEYS, PAC_GENERIC_KEY),
)


def portable_state(sets: Mapping[int, bytes]) -> tuple[str, ...]:
    """Return the features in use that not all CPUs have."""
    found = []
    if _uses_sve(sets.get(NT_ARM_SVE, b"")):
        found.append("SVE")
    if any(sets.get(NT_ARM_PACA_KEYS, b"")) or any(sets.get(NT_ARM_PACG_KEYS, b"")):
        found.append("pointer authentication")
    return tuple(found)
