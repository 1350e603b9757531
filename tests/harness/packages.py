"""
Programs of Debian's for any architecture, out of their packages.

apt resolves, downloads and verifies, with lists and a status of its own, so that it
needs neither root nor a foreign architecture on this machine; nothing of a package is
run.  What a set of packages unpacks to is kept below ``XDG_CACHE_HOME``.
"""

from __future__ import annotations

import functools
import hashlib
import os
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Sequence
from pathlib import Path

SUITE = "bookworm"

MIRROR = "http://deb.debian.org/debian"
"""Where this machine's apt knows no mirror of Debian's."""

MERGED = ("bin", "lib", "lib64", "sbin")
"""Folders that are one with those below ``/usr``, as in every installation."""

KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")

PROGRAMS = (
    "bash",
    "busybox-static",
    "coreutils",
    "gzip",
    "mawk",
    "python3-minimal",
    "sed",
    "sqlite3",
)
"""What the tests run; the C library and others come along as dependencies."""

DEBIAN = {
    "aarch64": "arm64",
    "arm": "armhf",
    "ppc64le": "ppc64el",
    "x86": "i386",
    "x86_64": "amd64",
}
"""Debian's names by ours, of the architectures that it has."""


def available() -> bool:
    """Tell whether this machine has what fetching takes, but for a network."""
    return all(map(shutil.which, ("apt-get", "dpkg-deb"))) and KEYRING.exists()


def cache_folder() -> Path:
    """Return where unpacked packages are kept."""
    default = Path.home() / ".cache"
    return Path(os.environ.get("XDG_CACHE_HOME", default)) / "blcr-packages"


@functools.cache
def sysroot(architecture: str, packages: Sequence[str] = PROGRAMS) -> Path:
    """
    Return a folder with packages and all that they depend on, fetched once.

    Args:
        architecture: Debian's name, such as ``armhf``; see `DEBIAN`.

    Raises:
        subprocess.CalledProcessError: A tool failed; stderr has what it said.
    """
    parts = (SUITE, "relative links", *MERGED, *packages)
    key = hashlib.sha256("\0".join(parts).encode()).hexdigest()[:12]
    folder = cache_folder() / f"{SUITE}-{architecture}-{key}"
    if not folder.exists():
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent) as work:
            made = Path(work, "root")
            for archive in _download(Path(work), architecture, packages):
                _run("dpkg-deb", "--extract", archive, made)
            _merge(made)
            _keep_inside(made)
            made.chmod(0o755)
            _put_in_place(made, folder)
    return folder


@functools.cache
def source(package: str) -> Path:
    """
    Return the folder with the source of a package as its authors made it.

    Raises:
        subprocess.CalledProcessError: A tool failed; stderr has what it said.
    """
    folder = cache_folder() / f"{SUITE}-source-{package}"
    if not folder.exists():
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent) as work:
            apt = _apt(Path(work), "amd64", "deb-src")
            _run(*apt, "source", "--download-only", package, inside=Path(work))
            (archive,) = Path(work).glob("*.orig.tar.*[!c]")
            made = Path(work, "made")
            with tarfile.open(archive) as tar:
                tar.extractall(made, filter="data")
            (top,) = made.iterdir()
            _put_in_place(top, folder)
    return folder


def _merge(made: Path) -> None:
    """Make one of folders that Debian's installer makes one of."""
    for name in MERGED:
        if (made / name).exists():
            inside = made / "usr" / name
            shutil.copytree(made / name, inside, symlinks=True, dirs_exist_ok=True)
            shutil.rmtree(made / name)
            (made / name).symlink_to(f"usr/{name}")


def _keep_inside(root: Path) -> None:
    """Make absolute links relative, for programs that know no other root."""
    for folder, folders, files in os.walk(root):
        for name in (*folders, *files):
            link = Path(folder, name)
            if link.is_symlink() and link.readlink().is_absolute():
                target = root / link.readlink().relative_to("/")
                link.unlink()
                link.symlink_to(os.path.relpath(target, folder))


def _put_in_place(made: Path, folder: Path) -> None:
    """Rename; another test run may have been quicker."""
    try:
        made.rename(folder)
    except OSError:
        if not folder.exists():
            raise


def _download(work: Path, architecture: str, packages: Sequence[str]) -> list[Path]:
    """Return the packages' archives, verified, in alphabetical order."""
    apt = _apt(work, architecture, "deb")
    apt += ["--yes", "--no-install-recommends", "--download-only"]
    _run(*apt, "install", *packages)
    return sorted((work / "cache/archives").glob("*.deb"))


def _apt(work: Path, architecture: str, kind: str) -> list[str]:
    """Return how apt is called with lists of its own, which it has fetched."""
    places = {"Dir::Etc": "etc", "Dir::State": "state", "Dir::Cache": "cache"}
    for name in ("etc/preferences.d", "state/lists/partial", "cache/archives/partial"):
        (work / name).mkdir(parents=True)
    status = work / "status"
    status.touch()
    listed = f"{kind} [signed-by={KEYRING}] {_mirror()} {SUITE} main\n"
    (work / "etc/sources.list").write_text(listed)
    options = {key: str(work / name) for key, name in places.items()} | {
        "Dir::State::status": str(status),
        "APT::Architecture": architecture,
        "APT::Architectures": architecture,
        "APT::Sandbox::User": "",  # else root's downloads want a world-readable folder
        "Acquire::Languages": "none",
        "Acquire::Retries": "3",
    }
    apt = ["apt-get", "--quiet"]
    apt += [word for key, value in options.items() for word in ("-o", f"{key}={value}")]
    _run(*apt, "update")
    return apt


def _mirror() -> str:
    """Return the mirror that this machine uses."""
    known = _run(
        "apt-get",
        "indextargets",
        "--format",
        "$(REPO_URI)",
        "Origin: Debian",
        "Label: Debian",
    ).split()
    return known[0] if known else MIRROR


def _run(*command: str | Path, inside: Path | None = None) -> str:
    """
    Run a command and return what it said.

    Raises:
        subprocess.CalledProcessError: It failed.
    """
    return subprocess.run(
        command,
        cwd=inside,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    ).stdout
