"""The registry: entry points of any installed package, and nothing imported in vain."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from blcr import registry
from blcr.architecture import Arch
from blcr.errors import ArchDefinitionError, ArchitectureError, HostError

PLUGIN = """
from blcr import registry
ARCH = registry.get({base!r})._replace(name="strange", elf_machine=4711)
WRONG = ARCH._replace(pc="nosuch")
"""
ENTRY_POINTS = """
[console_scripts]
strange = strange:main

[blcr.arch]
strange = strange:ARCH
wrong=strange:WRONG

[blcr.elf]
4711-{bits}-{order} = strange:ARCH
4712-{bits}-{order} = strange:ARCH

[blcr.host]
strange = nosuch.module:HOST
"""


@pytest.fixture
def plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Arch:
    """An architecture from another distribution, installed beside ours."""
    base = registry.get(registry.names()[0])
    (tmp_path / "strange.py").write_text(PLUGIN.format(base=base.name))
    folder = tmp_path / "strange-1.0.dist-info"
    folder.mkdir()
    layout = {"bits": 8 * base.word_size, "order": base.layout.byteorder}
    (folder / "entry_points.txt").write_text(ENTRY_POINTS.format(**layout))
    monkeypatch.syspath_prepend(tmp_path)
    for function in (registry.get, registry.find, registry._announced):
        function.cache_clear()
        monkeypatch.delitem(sys.modules, "strange", raising=False)
    return base


@pytest.fixture(autouse=True)
def _forget() -> object:
    """Let no test see another's packages."""
    yield
    for function in (registry.get, registry.find, registry._announced):
        function.cache_clear()


def test_another_package_announces_an_architecture(plugin: Arch) -> None:
    """By entry point alone."""
    assert "strange" in registry.names()
    assert registry.get("strange").elf_machine == 4711
    found = registry.find(4711, plugin.word_size, plugin.layout.byteorder)
    assert found.name == "strange"


@pytest.mark.usefixtures("plugin")
def test_an_architecture_is_checked_when_it_is_loaded() -> None:
    """The message names it and what is wrong."""
    with pytest.raises(ArchDefinitionError, match="strange: no register 'nosuch'"):
        registry.get("wrong")


def test_a_wrong_identity_is_noticed(plugin: Arch) -> None:
    """What is announced and what is there must agree."""
    with pytest.raises(ArchDefinitionError, match="strange: announced as ELF 4712"):
        registry.find(4712, plugin.word_size, plugin.layout.byteorder)


def test_an_unknown_architecture_is_named() -> None:
    """With those that are known; the exit status is BLCR's for a wrong one."""
    with pytest.raises(ArchitectureError, match="'nosuch' is not installed; known: "):
        registry.get("nosuch")
    with pytest.raises(ArchitectureError, match="machine 4711, 32 bits, big-endian"):
        registry.find(4711, 4, "big")


@pytest.mark.usefixtures("plugin")
def test_a_host_that_lacks_a_module_is_passed_over() -> None:
    """Asked for by name it is an error."""
    assert "strange" not in {host.name for host in registry.hosts()}
    with pytest.raises(HostError, match=r"'strange' cannot be used: .*nosuch"):
        registry.host("strange")


def test_only_what_is_asked_for_is_imported() -> None:
    """Neither the other architectures nor the machinery of packaging."""
    names = registry.names()
    code = (
        "import sys; from blcr import registry; registry.get(sys.argv[1]);"
        "print(*sys.modules)"
    )

    loaded = [
        {
            module.split(".")[2]
            for module in subprocess.run(
                [sys.executable, "-c", code, name],
                capture_output=True,
                text=True,
                check=True,
            ).stdout.split()
            if module.startswith("blcr.arch.")
        }
        for name in names
    ]

    assert all(name in one for name, one in zip(names, loaded, strict=True))
    assert any(len(one) == 1 for one in loaded)
