"""The layers: imports go one way, and the core knows no architecture and no host."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from blcr import registry

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "blcr"

# From the bottom to the top; a module imports from its own layer and those below.
LAYERS = (
    {"blcr.annotations", "blcr.errors", "blcr.record"},
    {
        "blcr.architecture",
        "blcr.context",
        "blcr.emulation",
        "blcr.host.inet",
        "blcr.host.interface",
        "blcr.host.queues",
        "blcr.host.runs",
        "blcr.host.runtime",
        "blcr.host.several",
        "blcr.host.sockets",
        "blcr.host.terminals",
        "blcr.linux",
        "blcr.registry",
        "blcr.remote",
    },
    {"blcr.resources"},
    {"blcr.engine"},
    {"blcr.cli", "blcr.demo"},
)

# The package itself is its public interface, and holds the version.
API = "blcr"


def modules(folder: Path) -> list[Path]:
    """Return the Python files below a folder."""
    return sorted(folder.rglob("*.py"))


def identified(path: Path) -> str:
    """Return how a test calls a file."""
    return str(path.relative_to(ROOT))


def name_of(path: Path) -> str:
    """Return the module in a file."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imported(path: Path) -> Iterator[str]:
    """Yield the absolute names that a file imports, also inside functions."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            assert node.module is not None
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                yield whole if is_module(whole) else node.module


def is_module(name: str) -> bool:
    """Tell whether that is a module of ours, and not something inside one."""
    path = ROOT.joinpath(*name.split("."))
    return path.with_suffix(".py").exists() or path.is_dir()


def layer_of(name: str) -> int | None:
    """Return the layer of a module, or None outside the core."""
    for number, layer in enumerate(LAYERS):
        if any(name == one or name.startswith(f"{one}.") for one in layer):
            return number
    return None


CORE = [path for path in modules(PACKAGE) if layer_of(name_of(path)) is not None]
OUTSIDE_HOSTS = [path for path in modules(PACKAGE) if path.parts[-3] != "host"]
OUTSIDE_HOSTS = [path for path in OUTSIDE_HOSTS if "host" not in path.parts]


def test_every_module_has_a_layer() -> None:
    """A new folder is put into the list."""
    hosts = {path for path in modules(PACKAGE / "host") if path not in CORE}
    unknown = set(modules(PACKAGE)) - set(CORE) - hosts - {PACKAGE / "__init__.py"}

    assert not unknown


@pytest.mark.parametrize("path", CORE, ids=identified)
def test_imports_go_down(path: Path) -> None:
    """A module imports from its own layer and those below, and no host."""
    own = layer_of(name_of(path))
    assert own is not None
    names = [one for one in imported(path) if one.split(".")[0] == "blcr" != one]

    wrong = [one for one in names if (layer_of(one) or 0) > own]
    strange = [one for one in names if layer_of(one) is None]

    assert (wrong, strange) == ([], [])


@pytest.mark.parametrize("path", modules(ROOT / "arch"), ids=identified)
def test_architectures_import_the_record_and_no_more(path: Path) -> None:
    """Records to fill in, errors, its family, and numbers that many have in common."""
    names = [one for one in imported(path) if one.split(".")[0] == "blcr"]

    allowed = {"blcr.annotations", "blcr.architecture", "blcr.emulation"}
    allowed |= {"blcr.errors", "blcr.record"}
    assert {*names} <= allowed | {"blcr.linux.unistd"}


@pytest.mark.parametrize("host", ["native", "emulated"])
def test_hosts_know_nothing_of_each_other(host: str) -> None:
    """A host imports what lies below the engine's commands, and itself."""
    names = {one for path in modules(PACKAGE / "host" / host) for one in imported(path)}
    wrong = {
        one
        for one in names
        if one.startswith("blcr.")
        and not one.startswith(f"blcr.host.{host}")
        and (layer_of(one) is None or one.startswith("blcr.cli"))
    }

    assert not wrong


@pytest.mark.parametrize("path", OUTSIDE_HOSTS, ids=identified)
def test_the_core_names_no_architecture_and_no_host(path: Path) -> None:
    """Neither in an identifier nor in a string; documentation may give examples."""
    tree = ast.parse(path.read_text())
    hosts = {host.name for host in registry.hosts()} | {"native", "emulated"}
    archs = re.compile(
        rf"(?<![a-z0-9])({'|'.join(registry.names())})(?![a-z0-9])", re.IGNORECASE
    )

    words = [one for one in _words(tree) if archs.search(one) or one in hosts]

    assert words == []


def _words(tree: ast.Module) -> Iterator[str]:
    """Yield identifiers and strings, documentation left out."""
    documentation = {
        id(node.value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            if id(node) not in documentation:
                yield node.value
        elif isinstance(node, ast.Name):
            yield node.id
        elif isinstance(node, ast.Attribute):
            yield node.attr
        elif isinstance(node, (ast.FunctionDef, ast.ClassDef, ast.arg, ast.alias)):
            yield node.name if not isinstance(node, ast.arg) else node.arg


@pytest.mark.parametrize("path", OUTSIDE_HOSTS, ids=identified)
def test_the_core_uses_no_foreign_functions(path: Path) -> None:
    """Only a host calls C."""
    assert "ctypes" not in {one.split(".")[0] for one in imported(path)}
