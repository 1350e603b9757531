"""What the package says of itself."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import blcr
from blcr import registry

ROOT = Path(__file__).parents[2]
CONFIG = tomllib.loads((ROOT / "pyproject.toml").read_text())
ENTRY_POINTS = CONFIG["project"]["entry-points"]


def test_every_package_is_listed() -> None:
    """Packages are named one by one: discovery does not see the mapped folder."""
    folders = {
        path.parent for top in ("arch", "blcr") for path in ROOT.glob(f"{top}/**/*.py")
    }
    names = {".".join(path.relative_to(ROOT).parts) for path in folders}

    listed = set(CONFIG["tool"]["setuptools"]["packages"])

    assert listed == {re.sub(r"^arch\b", "blcr.arch", name) for name in names}


def test_every_arch_folder_is_announced() -> None:
    """Under its own name, which is also the record's."""
    folders = {init.parent.name for init in ROOT.glob("arch/*/__init__.py")}
    announced = ENTRY_POINTS["blcr.arch"]

    assert folders == {
        one.partition(":")[0].rpartition(".")[2] for one in announced.values()
    }
    assert all(registry.get(name).name == name for name in announced)


def test_every_architecture_is_found_by_what_elf_says_of_it() -> None:
    """Each name has an identity, and the identity leads to it."""
    for name in registry.names():
        arch = registry.get(name)
        found = registry.find(arch.elf_machine, arch.word_size, arch.layout.byteorder)
        assert found is arch
    assert len(ENTRY_POINTS["blcr.elf"]) == len(ENTRY_POINTS["blcr.arch"])


def test_every_architecture_has_an_environment() -> None:
    """``tox -e NAME`` tests one architecture."""
    text = (ROOT / "tox.ini").read_text()
    (listed,) = re.findall(r"^\[testenv:\{(.*)\}\]$", text, re.MULTILINE)

    assert set(registry.names()) <= set(listed.split(","))


def test_hosts_have_their_names() -> None:
    """An entry point is called as the host calls itself."""
    announced = ENTRY_POINTS["blcr.host"]

    assert {host.name for host in registry.hosts()} == announced.keys()


def test_the_version_is_there_once() -> None:
    """It is read from the package."""
    assert CONFIG["project"]["dynamic"] == ["version"]
    assert re.fullmatch(r"\d+\.\d+\.\d+(\.dev\d+)?", blcr.__version__)


def test_the_documentation_is_in_step() -> None:
    """What is made of the code is made of this code; docs/generate.py mends it."""
    done = subprocess.run(
        [sys.executable, ROOT / "docs" / "generate.py", "--check"],
        capture_output=True,
        text=True,
        check=False,
    )

    assert (done.returncode, done.stderr) == (0, "")


def test_links_between_documents_lead_somewhere() -> None:
    """A file that a document names exists."""
    link = re.compile(r"`((?:blcr|docs|tests|arch)/[\w./-]+\.\w+)`")
    missing = [
        (path.name, name)
        for path in [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")]
        for name in link.findall(path.read_text())
        if "NAME" not in name and not (ROOT / name).exists()
    ]

    assert missing == []


def test_commands_start_without_what_they_do_not_need() -> None:
    """What costs tens of milliseconds is imported by those that need it."""
    slow = {
        "argparse",
        "capstone",
        "dataclasses",
        "importlib.metadata",
        "inspect",
        "pathlib",
        "re",
        "socket",
        "subprocess",
        "threading",
        "unicorn",
        "zlib_ng",
    }
    native = "blcr.engine.checkpoint, blcr.host.native.freeze, blcr.host.native.host"
    code = f"import sys, blcr.cli.checkpoint, {native}; print(*sys.modules)"

    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )

    assert slow & set(done.stdout.split()) == set()


def test_a_source_tree_is_whole() -> None:
    """Whoever starts Python in a clone has all of the package, installed or not."""
    done = subprocess.run(
        [sys.executable, "-S", "-c", "import blcr.arch; print(blcr.arch.__path__)"],
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
    )

    assert done.stdout.strip() == str([str(ROOT / "blcr" / "arch")])
