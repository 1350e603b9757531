"""
x86_64.

Sources: syscall(2); <sys/user.h>; Capstone's and Unicorn's constants; signal(7).
"""

from __future__ import annotations

import re
from functools import partial
from random import Random

import capstone

from harness import Case, CStruct
from harness.planting import Bank, Planting, named

NT_X86_XSTATE = 0x202
ARITHMETIC_FLAGS = 0x8D5
LEGACY, AVX = slice(0, 416), slice(576, 832)


def scramble(note: int, data: bytes, rng: Random) -> bytes:
    """Fill the x87, SSE and AVX parts of an XSAVE image (Intel SDM 1, 13.4)."""
    assert note == NT_X86_XSTATE
    out = bytearray(data)
    out[0:2] = (0x037F | rng.randrange(4) << 10).to_bytes(2, "little")
    out[2:4] = (rng.randrange(8) << 11).to_bytes(2, "little")
    out[4:5] = rng.randbytes(1)
    out[24:28] = (0x1F80 | rng.randrange(4) << 13).to_bytes(4, "little")
    for at in range(32, 160, 16):
        out[at : at + 10] = rng.randbytes(10)
    out[160:416] = rng.randbytes(256)
    out[512] |= 3
    if out[464] & 4:  # XCR0 as ptrace shows it
        out[512] |= 4
        out[AVX] = rng.randbytes(256)
    return bytes(out)


PLANTING = Planting(
    banks=(
        Bank(
            named(
                *"rax rbx rcx rdx rsi rdi rbp r8 r9 r10 r11 r12 r13 r14 r15".split(),
                prefix="%",
            ),
            8,
            "mov {at}({base}), {r}",
            "mov {r}, {at}({base})",
            frozenset("%rbx %rbp %r12 %r13 %r14 %r15".split()),
        ),
        Bank(
            tuple((f"%xmm{i}", (f"xmm{i}_low", f"xmm{i}_high")) for i in range(16)),
            16,
            "movups {at}({base}), {r}",
            "movups {r}, {at}({base})",
        ),
    ),
    sp="%rsp",
    argument="%rdi",
    move="mov {of}, {to}",
    save_sp="mov %rsp, {at}({base})",
    load_sp="mov {at}({base}), %rsp",
    spin="1: decq (%rsp); jnz 1b",
    leave="ret",
)


_MAPS = ("", "0f", "0f", "0f", "0f 38", "0f 3a")
_PREFIX = re.compile(rb"[\x26\x2e\x36\x3e\x40-\x4f\x64-\x67\xf0\xf2\xf3]")


def instruction(rng: Random, *, rex: bool = False) -> bytes:
    """Return random code, evenly from all maps of opcodes, VEX and EVEX included."""
    if rng.random() < 0.1:
        return rng.choice((b"\xc5", b"\xc4\xe2", b"\xc4\xe3", b"\x62\xf1")) + (
            rng.randbytes(12)
        )
    prefix = rng.choice((b"", b"", b"\x66", b"\xf2", b"\xf3"))
    if rex and rng.random() < 0.5:
        prefix += bytes([0x40 + rng.randrange(16)])
    code = bytes.fromhex(rng.choice(_MAPS)) + rng.randbytes(12)
    return prefix + (b"\x90" if _PREFIX.match(code) else code)


# What is not deterministic, what the manual leaves undefined, and what works on the
# x87 and MMX registers, the control registers or descriptors.
OPEN = (
    r"^(f|rd|cpuid|pause|x|emms|s[gil]dt|str|smsw|lsl|lar|ver|pushf|popf|lahf|sahf|movhlps)"
    r"|^bswap ([a-d]x|[sb]p|[sd]i|r\d+w)$|\bmm\d|\[cdefgs]s\b"
)

CASE = Case(
    name="x86_64",
    target="x86_64-linux-musl",
    machines=frozenset({"x86_64"}),
    emulator="qemu-x86_64",
    capstone=(capstone.CS_ARCH_X86, capstone.CS_MODE_64),
    elf_machine=62,
    headers=("asm/prctl.h",),
    call_number="rax",
    call_args=("rdi", "rsi", "rdx", "r10", "r8", "r9"),
    result="rax",
    structs={
        "gp": CStruct("sys/user.h", "struct user_regs_struct", {}),
        "xstate": CStruct(
            "asm/sigcontext.h",
            "struct _xstate",
            {
                **{name: f"fpstate.{name}" for name in ("cwd", "swd", "twd", "fop")},
                "mxcsr": "fpstate.mxcsr",
                **{
                    f"xmm{i}_{half}": f"fpstate.xmm_space[{4 * i + at}]"
                    for i in range(16)
                    for at, half in ((0, "low"), (2, "high"))
                },
                "xcr0": "fpstate.sw_reserved",
                "xstate_bv": "xstate_hdr.xfeatures",
            },
        ),
    },
    failed={"rax": (1 << 64) - 2},
    returned={"rax": 5},
    interrupted={
        "rip": 0x1002,
        "orig_rax": 7,
        "rax": (1 << 64) - 512,
        "rdi": 1,
        "rsi": 2,
        "rdx": 3,
        "r10": 4,
        "r8": 5,
        "r9": 6,
    },
    old_frames=False,
    return_pop=(8, 8),
    handler_args=("rdi", "rsi", "rdx"),
    return_address="",
    stack_offset=8,
    free={
        **dict.fromkeys(
            "r8 r9 r10 r11 r12 r13 r14 r15 rdi rsi rbp rbx rdx rax rcx rsp".split(),
            (1 << 64) - 1,
        ),
        "eflags": ARITHMETIC_FLAGS,
    },
    scramble=scramble,
    extended={NT_X86_XSTATE: (LEGACY, AVX)},
    forever=bytes.fromhex("eb fe"),
    planting=PLANTING,
    code=partial(instruction, rex=True),
    open=OPEN,
    unfixed="mxcsr",
)
