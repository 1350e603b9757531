"""
How an engine is told to be an ARMv7-A CPU with VFPv4 and NEON.

Source: ARM Architecture Reference Manual ARMv7-A; exceptions as QEMU numbers them
(target/arm/cpu.h, EXCP_*); the kernel's helpers for programs:
arch/arm/kernel/entry-armv.S and Documentation/arch/arm/kernel_user_helpers.rst;
uapi/asm/hwcap.h; Linux 6.12.
"""

from __future__ import annotations

from blcr.architecture import Listing
from blcr.emulation import Fault, Recipe

from .registers import IF_THEN, THUMB, USER_MODE
from .signals import RESTORED

# Coprocessors 10 and 11 for everybody, and EN in fpexc.
CPACR = 0xF << 20
FPEXC = 1 << 30
# HALF THUMB FAST_MULT VFP EDSP NEON VFPv3 TLS VFPv4 IDIVA IDIVT VFPD32 LPAE.
HWCAP = 0x1F_B0D6

_BARRIER = ("5b f0 7f f5", "dmb ish")
_RETURN = ("1e ff 2f e1", "bx lr")

# Where programs that were made for any ARM CPU find them, in the page at 0xffff0000.
_HELPERS = {
    # cmpxchg64.
    0xF60: (
        ("f0 00 2d e9", "push {r4, r5, r6, r7}"),
        ("d0 40 c0 e1", "ldrd r4, r5, [r0]"),
        ("d0 60 c1 e1", "ldrd r6, r7, [r1]"),
        _BARRIER,
        ("9f 0f b2 e1", "ldrexd r0, r1, [r2]"),
        ("04 30 30 e0", "eors r3, r0, r4"),
        ("05 30 31 00", "eorseq r3, r1, r5"),
        ("96 3f a2 01", "strexdeq r3, r6, r7, [r2]"),
        ("01 00 33 03", "teqeq r3, #1"),
        ("f9 ff ff 0a", "beq #0x10"),
        _BARRIER,
        ("00 00 73 e2", "rsbs r0, r3, #0"),
        ("f0 00 bd e8", "pop {r4, r5, r6, r7}"),
        _RETURN,
    ),
    # memory_barrier.
    0xFA0: (_BARRIER, _RETURN),
    # cmpxchg, which ends in memory_barrier.
    0xFC0: (
        _BARRIER,
        ("9f 3f 92 e1", "ldrex r3, [r2]"),
        ("00 30 53 e0", "subs r3, r3, r0"),
        ("91 3f 82 01", "strexeq r3, r1, [r2]"),
        ("01 00 33 03", "teqeq r3, #1"),
        ("fa ff ff 0a", "beq #4"),
        ("00 00 73 e2", "rsbs r0, r3, #0"),
        ("ef ff ff ea", "b #0xffffffe0"),
    ),
    # get_tls.
    0xFE0: (("70 0f 1d ee", "mrc p15, #0, r0, c13, c0, #3"), _RETURN),
    # How many helpers there are: a number.
    0xFFC: (("05 00 00 00", "andeq r0, r0, r5"),),
}

_BREAKPOINT = Fault("SIGTRAP", "TRAP_BRKPT")

RECIPE = Recipe(
    engine="UC_ARCH_ARM",
    modes=("UC_MODE_ARM",),
    constants=("unicorn.arm_const", "UC_ARM_REG_"),
    registers={
        **{f"r{i}": f"R{i}" for i in range(13)},
        "sp": "SP",
        "lr": "LR",
        "pc": "PC",
        "cpsr": "CPSR",
        **{f"d{i}": f"D{i}" for i in range(32)},
        "fpscr": "FPSCR",
        "tp": "C13_C0_3",
    },
    start={"cpsr": USER_MODE},
    chosen={"cpsr": RESTORED},
    fixed={"orig_r0": 0},
    setup={"C1_C0_2": CPACR, "FPEXC": FPEXC, "CPSR": USER_MODE},
    call_exception=2,
    odd_code=("cpsr", THUMB),
    passing=("CPSR", IF_THEN),
    faults={
        3: Fault("SIGBUS", "BUS_ADRALN"),
        4: Fault("SIGBUS", "BUS_ADRALN"),
        7: _BREAKPOINT,
    },
    illegal=Fault("SIGILL", "ILL_ILLOPC"),
    breakpoints={
        bytes.fromhex("f0 01 f0 e7"): _BREAKPOINT,
        bytes.fromhex("01 de"): _BREAKPOINT,
        bytes.fromhex("f0 f7 00 a0"): _BREAKPOINT,
    },
    # yield and wfe, under any condition, and in Thumb code of both widths.
    pauses=(
        *(bytes((hint, 0xF0, 0x20, 16 * i + 3)) for hint in (1, 2) for i in range(15)),
        *(bytes.fromhex(code) for code in ("10 bf", "20 bf")),
        *(bytes.fromhex(code) for code in ("af f3 01 80", "af f3 02 80")),
    ),
    page_size=4096,
    helpers={at: Listing(rows) for at, rows in _HELPERS.items()},
    auxv={"AT_HWCAP": HWCAP, "AT_HWCAP2": 0},
    platform="v7l",
    machine="armv7l",
    clone_tls_first=True,
)
