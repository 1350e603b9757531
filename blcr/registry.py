"""
Finds architectures and hosts, which packages announce by entry points.

Three groups: ``blcr.arch`` has architectures by name, ``blcr.elf`` the same ones by
what an ELF header says of them (``"20-32-big"``: e_machine, bits, byte order), and
``blcr.host`` hosts.  Only what is asked for is imported.

The entry points are read from the files that installers write, not through
`importlib.metadata`, whose import alone costs a command 20 ms.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Iterator
from contextlib import suppress
from functools import cache

from blcr import architecture
from blcr.annotations import TYPE_CHECKING, cast
from blcr.errors import ArchDefinitionError, ArchitectureError, HostError

if TYPE_CHECKING:
    from blcr.architecture import Arch
    from blcr.host.interface import Host

ARCH_GROUP = "blcr.arch"
ELF_GROUP = "blcr.elf"
HOST_GROUP = "blcr.host"

_STANDARD_LIBRARY = os.path.dirname(os.__file__)


def names() -> tuple[str, ...]:
    """Return the names of all architectures."""
    return tuple(sorted(_announced()[ARCH_GROUP]))


@cache
def get(name: str) -> Arch:
    """
    Return the architecture of that name.

    Raises:
        ArchitectureError: There is none.
        ArchDefinitionError: It contradicts itself.
    """
    target = _announced()[ARCH_GROUP].get(name)
    if target is None:
        raise ArchitectureError(
            f"architecture '{name}' is not installed; known: {', '.join(names())}"
        )
    return _arch(target)


@cache
def find(machine: int, word_size: int, byteorder: str) -> Arch:
    """
    Return the architecture that an ELF header describes.

    Args:
        machine: ``e_machine``.
        word_size: Bytes of an address: 4 or 8.
        byteorder: ``"little"`` or ``"big"``.

    Raises:
        ArchitectureError: There is none.
        ArchDefinitionError: It contradicts itself or its entry point.
    """
    identity = f"{machine}-{8 * word_size}-{byteorder}"
    target = _announced()[ELF_GROUP].get(identity)
    if target is None:
        raise ArchitectureError(
            f"no architecture is installed for ELF machine {machine}, "
            f"{8 * word_size} bits, {byteorder}-endian; known: {', '.join(names())}"
        )
    arch = _arch(target)
    if (arch.elf_machine, arch.layout.word_size, arch.layout.byteorder) != (
        machine,
        word_size,
        byteorder,
    ):
        raise ArchDefinitionError(f"{arch.name}: announced as ELF {identity}")
    return arch


def hosts() -> Iterator[Host]:
    """
    Yield the hosts in the order of their names, which is that in which to ask them.

    A host whose modules are not installed is passed over.
    """
    for name in sorted(_announced()[HOST_GROUP]):
        try:
            yield host(name)
        except HostError:
            continue


def host(name: str) -> Host:
    """
    Return the host of that name.

    Raises:
        HostError: There is none, or one of its modules is missing.
    """
    known = _announced()[HOST_GROUP]
    if name not in known:
        raise HostError(f"host '{name}' is not installed; known: {', '.join(known)}")
    try:
        return cast("Host", _load(known[name]))
    except ModuleNotFoundError as error:
        raise HostError(f"host '{name}' cannot be used: {error}") from error


@cache
def _arch(target: str) -> Arch:
    arch = cast("Arch", _load(target))
    architecture.check(arch)
    return arch


def _load(target: str) -> object:
    module, _, attribute = target.partition(":")
    return getattr(importlib.import_module(module), attribute)


@cache
def _announced() -> dict[str, dict[str, str]]:
    """
    Return targets (``module:attribute``) by group and name; earlier folders win.

    Source: "Entry points specification", packaging.python.org.
    """
    found: dict[str, dict[str, str]] = {
        group: {} for group in (ARCH_GROUP, ELF_GROUP, HOST_GROUP)
    }
    for text in _entry_point_files():
        section: dict[str, str] = {}
        for line in text.splitlines():
            name, equals, target = (part.strip() for part in line.partition("="))
            if name.startswith("["):
                section = found.get(name.strip("[]"), {})
            elif equals:
                section.setdefault(name, target)
    return found


def _entry_point_files() -> Iterator[str]:
    for folder in sys.path:
        if folder == _STANDARD_LIBRARY:
            # It is large, and nobody installs there.
            continue
        with suppress(OSError), os.scandir(folder or ".") as entries:
            for entry in entries:
                # An egg-info is what building leaves in a source tree.
                if entry.name.endswith((".dist-info", ".egg-info")):
                    with (
                        suppress(OSError),
                        open(
                            f"{entry.path}/entry_points.txt", encoding="utf-8"
                        ) as file,
                    ):
                        yield file.read()
