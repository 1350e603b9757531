"""
The functions of a kernel's vdso, and code that takes their place.

A program has linked itself to the vdso of the kernel that it began under.  Under
another kernel, or none, its functions read clocks from pages that nobody keeps up to
date: each becomes a plain system call, or a jump to the function of that name in the
vdso that is there now.

Source: vdso(7); elf(5).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping

from blcr.architecture import Arch, filled
from blcr.linux.constants import GENERIC

_PREFIXES = ("__vdso_", "__kernel_")
_ENTRY = "__kernel_vsyscall"
"""Where all system calls of a program enter the kernel, if a vdso has it."""
_DT_STRTAB, _DT_SYMTAB = 5, 6
_SYMBOL_LIMIT = 256


def replacements(
    arch: Arch, image: bytes, present: Mapping[str, int]
) -> Iterator[tuple[int, bytes]]:
    """
    Yield (offset, code) for each function of a vdso that is not this kernel's.

    Args:
        present: Addresses of the functions of the vdso that is there, by name.
    """
    for name, start, _end in functions(arch, image):
        if name.endswith("sigreturn"):
            continue
        code = _jump(arch, present.get(name)) or plain_call(arch, name)
        if name == _ENTRY and arch.gadgets:
            # It would go on in the other vdso; behind these bytes the call is plain.
            code = arch.gadgets.call[0].code
        if code is not None and start + len(code) <= len(image):
            yield start, code


def _jump(arch: Arch, target: int | None) -> bytes | None:
    """Return code that goes to an address; None: that is unknown, or of a way in."""
    stubs = arch.stubs
    if target is None or stubs.jump is None or stubs.jump_target is None:
        return None
    order = arch.layout.byteorder
    return filled(stubs.jump.code, stubs.jump_target, target, order)


def plain_call(arch: Arch, function: str) -> bytes | None:
    """Return the code of the system call that a function of a vdso stands for."""
    stubs, order = arch.stubs, arch.layout.byteorder
    name = function
    for prefix in _PREFIXES:
        name = name.removeprefix(prefix)
    number = arch.syscalls.get(name)
    if name == function or number is None or stubs.fallback is None:
        return None
    if stubs.fallback_number is None or name.endswith("sigreturn"):
        return None
    return filled(stubs.fallback.code, stubs.fallback_number, number, order)


def functions(arch: Arch, image: bytes) -> Iterator[tuple[str, int, int]]:
    """Yield name, start and end of the functions of an image, from its start."""
    order = "<" if arch.layout.byteorder == "little" else ">"
    try:
        yield from _symbols(image, order, wide=arch.word_size == 8)
    except (struct.error, IndexError, ValueError):
        return


def _symbols(image: bytes, order: str, *, wide: bool) -> Iterator[tuple[str, int, int]]:
    (table,) = struct.unpack_from(
        order + ("Q" if wide else "I"), image, 32 if wide else 28
    )
    row_size, count = struct.unpack_from(order + "HH", image, 54 if wide else 42)
    dynamic: dict[int, int] = {}
    for at in range(table, table + row_size * count, row_size):
        if wide:
            kind, _, offset, _, _, size = struct.unpack_from(
                order + "IIQQQQ", image, at
            )
        else:
            kind, offset, _, _, size = struct.unpack_from(order + "IIIII", image, at)
        if kind == GENERIC["PT_DYNAMIC"]:
            words = order + ("qQ" if wide else "iI")
            rows = struct.iter_unpack(words, image[offset : offset + size])
            dynamic = dict(reversed(list(rows)))
    symbols, strings = dynamic.get(_DT_SYMTAB), dynamic.get(_DT_STRTAB)
    if symbols is None or strings is None:
        return
    size = 24 if wide else 16
    for at in range(symbols + size, symbols + _SYMBOL_LIMIT * size, size):
        if at + size > strings > symbols:
            return
        if wide:
            name, info, _, _, value, length = struct.unpack_from(
                order + "IBBHQQ", image, at
            )
        else:
            name, value, length, info, _, _ = struct.unpack_from(
                order + "IIIBBH", image, at
            )
        if info & 15 == 2:
            end = image.index(b"\0", strings + name)
            text = image[strings + name : end].decode("ascii", "replace")
            yield text, value, value + length
