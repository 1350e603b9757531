"""
How an engine is told to be a 64-bit RISC-V CPU with the extensions G and C.

Source: RISC-V privileged architecture, mstatus and table of exceptions; ELF_HWCAP in
arch/riscv/include/asm/elf.h of Linux 6.12.
"""

from __future__ import annotations

from blcr.emulation import Fault, Recipe, any_of

# Floating point on, and its registers to be saved (FS = dirty).
MSTATUS = 3 << 13
# The letters I, M, A, F, D and C.
HWCAP = sum(1 << ord(letter) - ord("A") for letter in "IMAFDC")

_NAMES = """
    ra sp gp tp t0 t1 t2 s0 s1 a0 a1 a2 a3 a4 a5 a6 a7
    s2 s3 s4 s5 s6 s7 s8 s9 s10 s11 t3 t4 t5 t6
""".split()

# Arithmetic, comparison and conversion of single precision: the engine leaves the upper
# half of a register zero where the ISA wants ones (chapter 13.2, NaN boxing), and takes
# a number for one without them.  So fmadd to fnmadd, OP-FP with format S less what only
# moves bits, and fcvt.d.s.
_SINGLE_OPERATIONS = (0, 1, 2, 3, 4, 5, 8, 11, 20, 24, 26)
UNSUPPORTED = any_of(
    "little",
    *((0x0600_007F, opcode) for opcode in (0x43, 0x47, 0x4B, 0x4F)),
    *((0xFE00_007F, number << 27 | 0x53) for number in _SINGLE_OPERATIONS),
    (0xFFF0_007F, 0x4200_0053),
)

RECIPE = Recipe(
    engine="UC_ARCH_RISCV",
    modes=("UC_MODE_RISCV64",),
    constants=("unicorn.riscv_const", "UC_RISCV_REG_"),
    registers={
        "pc": "PC",
        **{name: f"X{i}" for i, name in enumerate(_NAMES, 1)},
        **{f"f{i}": f"F{i}" for i in range(32)},
        "fcsr": "FCSR",
    },
    start={},
    fixed={},
    setup={"MSTATUS": MSTATUS},
    call_exception=8,
    # The engine adds 4 to the pc on every exception.
    faults={
        0: Fault("SIGBUS", "BUS_ADRALN", 4),
        4: Fault("SIGBUS", "BUS_ADRALN", 4),
        6: Fault("SIGBUS", "BUS_ADRALN", 4),
    },
    illegal=Fault("SIGILL", "ILL_ILLOPC", 4),
    # ebreak and c.ebreak.
    breakpoints={
        bytes.fromhex("73 00 10 00"): Fault("SIGTRAP", "TRAP_BRKPT"),
        bytes.fromhex("02 90"): Fault("SIGTRAP", "TRAP_BRKPT"),
    },
    auxv={"AT_HWCAP": HWCAP},
    clone_tls_first=True,
    unsupported=UNSUPPORTED,
    code_unit=2,
)
