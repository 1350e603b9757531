"""Which Linux this is."""

from __future__ import annotations

import os
from functools import cache

from blcr.architecture import Arch

_WIDE_KIB = 1 << 22
"""What 32 bits can address."""


@cache
def version() -> tuple[int, int]:
    """Return the first two numbers of its release."""
    major, minor = os.uname().release.split("-")[0].split(".")[:2]
    return int(major), int(minor)


@cache
def has_several_nodes() -> bool:
    """Tell whether there may be more than one NUMA node."""
    try:
        with open("/sys/devices/system/node/possible", encoding="ascii") as file:
            return file.read().strip() != "0"
    except OSError:
        return False


_paged: dict[str, Arch] = {}


def paged(arch: Arch) -> Arch:
    """Return an architecture with pages as large as this kernel's."""
    page = os.sysconf("SC_PAGE_SIZE")
    if arch.page_size == page:
        return arch
    return _paged.setdefault(arch.name, arch._replace(page_size=page))


@cache
def word_size() -> int:
    """
    Return the bytes of the kernel's own words, which programs may have fewer of.

    A kernel of 64 bits keeps more room for its own mappings than others have at all.

    Source: VmallocTotal in proc_meminfo(5).
    """
    with open("/proc/meminfo", encoding="ascii") as file:
        rows = dict(line.split(":") for line in file)
    return 8 if int(rows["VmallocTotal"].split()[0]) >= _WIDE_KIB else 4


def like(arch: Arch) -> Arch:
    """Return an architecture with the kernel's words: so some structures are."""
    if arch.word_size == word_size():
        return arch
    layout = arch.layout._replace(word_size=word_size(), align_8=8)
    return arch._replace(layout=layout)
