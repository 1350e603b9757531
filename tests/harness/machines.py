"""
Whole machines under QEMU: other kernels, with a Python and what a job brings along.

A base image is a kernel of Debian's and a root file system of Debian's packages, made
once for each recipe and kept.  A job is a folder that is appended to it; its ``run.sh``
runs as root, and what it leaves in ``/host`` comes back.
"""

from __future__ import annotations

import hashlib
import lzma
import os
import re
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

MIRROR = "http://deb.debian.org/debian"

PACKAGES = (
    "python3",
    "bash",
    "busybox-static",
    "coreutils",
    "dash",
    "libc-bin",
    "mount",
    "procps",
    "sqlite3",
    "util-linux",
    "xz-utils",
)

MODULES = (
    "virtio",
    "virtio_ring",
    "virtio_pci_legacy_dev",
    "virtio_pci_modern_dev",
    "virtio_pci",
    "netfs",
    "fscache",
    "9pnet",
    "9pnet_virtio",
    "9p",
)
"""In the order in which they need each other; a kernel may have some built in."""

INIT = """#!/bin/busybox sh
export PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
mkdir -p /dev/pts /dev/shm /host
mount -t devpts pts /dev/pts
mount -t tmpfs -o mode=1777 shm /dev/shm
mount -t tmpfs -o mode=1777 tmp /tmp
for module in /modules/*; do busybox insmod $module; done
mount -t 9p -o trans=virtio,version=9p2000.L,msize=262144 host /host
busybox ip link set lo up
bash /job/run.sh </dev/null >/host/output 2>&1
echo "JOB-EXIT $?"
sync
busybox poweroff -f
"""


class Recipe(NamedTuple):
    """
    How a machine is made.

    Attributes:
        name: What tests call it.
        kernel: Suite and package of the kernel; a ``*`` stands for the version.
        suite: Suite of the root file system.
        qemu: The emulator and its arguments.
        console: The kernel's console.
    """

    name: str
    kernel: tuple[str, str]
    suite: str
    qemu: tuple[str, ...]
    console: str


_PC = ("qemu-system-x86_64", "-accel", "tcg,thread=multi", "-cpu", "max", "-smp", "2")

RECIPES = {
    one.name: one
    for one in (
        Recipe(
            "linux-6.1", ("bookworm", "linux-image-amd64"), "bookworm", _PC, "ttyS0"
        ),
        Recipe("linux-6.12", ("trixie", "linux-image-amd64"), "bookworm", _PC, "ttyS0"),
    )
}


class MachineError(AssertionError):
    """A machine did not come up, or its job did not end."""


def images() -> Path:
    """Return the folder in which images are kept: ``BLCR_IMAGES``, or a cache."""
    default = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"))
    return Path(os.environ.get("BLCR_IMAGES", default / "blcr-images"))


def image(recipe: Recipe) -> tuple[Path, Path]:
    """
    Return kernel and initial root file system, made unless they are there.

    Raises:
        subprocess.CalledProcessError: A tool failed; stderr has what it said.
    """
    text = repr((recipe.kernel, recipe.suite, PACKAGES, MODULES, INIT))
    key = hashlib.sha256(text.encode()).hexdigest()[:12]
    folder = images() / f"{recipe.name}-{key}"
    if not folder.exists():
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent) as work:
            made = Path(work) / "made"
            made.mkdir()
            _make(recipe, Path(work), made)
            made.rename(folder)
    return folder / "kernel", folder / "root.cpio"


def _make(recipe: Recipe, work: Path, made: Path) -> None:
    """Download and unpack a kernel and packages, and write the image."""
    root = work / "root"
    _debootstrap(recipe.suite, root, PACKAGES)
    for name in ("doc", "info", "locale", "man"):
        shutil.rmtree(root / "usr" / "share" / name, ignore_errors=True)
    unpacked = work / "kernel"
    _debootstrap(recipe.kernel[0], unpacked, (recipe.kernel[1],))
    kernels = sorted((unpacked / "boot").glob("vmlinu*"))
    shutil.copy(kernels[-1], made / "kernel")
    (root / "modules").mkdir()
    for number, name in enumerate(MODULES):
        for path in (unpacked / "usr" / "lib", unpacked / "lib"):
            for found in path.glob(f"modules/*/kernel/**/{name}.ko*"):
                data = found.read_bytes()
                plain = lzma.decompress(data) if found.suffix == ".xz" else data
                (root / "modules" / f"{number:02}-{name}.ko").write_bytes(plain)
    init = root / "init"
    init.write_text(INIT)
    init.chmod(0o755)
    with (made / "root.cpio").open("wb") as archive:
        archive.write(_cpio(root))


def _debootstrap(suite: str, folder: Path, packages: Sequence[str]) -> None:
    """Unpack packages and what they depend on; nothing of them is run."""
    command = ["mmdebstrap", "--mode=root", "--variant=extract", "--quiet"]
    command += [f"--include={','.join(packages)}", suite, str(folder), MIRROR]
    subprocess.run(command, check=True)


def _cpio(folder: Path) -> bytes:
    """Return an archive as the kernel unpacks it, all of it root's."""
    names = subprocess.run(
        ["find", ".", "-mindepth", "1"], cwd=folder, check=True, capture_output=True
    ).stdout
    done = subprocess.run(
        ["cpio", "--create", "--format=newc", "--owner=0:0", "--quiet"],
        cwd=folder,
        input=names,
        check=True,
        capture_output=True,
    )
    # Archives may follow each other at multiples of four.
    return done.stdout + bytes(-len(done.stdout) % 4)


@contextmanager
def job(files: Sequence[tuple[Path, str]], script: str) -> Iterator[Path]:
    """
    Put a job together.

    Args:
        files: Files or folders, and where they go below ``/job``.
        script: What to run; the folder is the current one.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name, "job")
        folder.mkdir()
        for source, target in files:
            place = folder / target
            place.parent.mkdir(parents=True, exist_ok=True)
            if source.is_dir():
                skipped = shutil.ignore_patterns("__pycache__")
                shutil.copytree(source, place, ignore=skipped, dirs_exist_ok=True)
            else:
                shutil.copy2(source, place)
        (folder / "run.sh").write_text(f"cd /job\n{script}\n")
        yield Path(name)


def run(recipe: Recipe, folder: Path, shared: Path, *, timeout_s: float) -> int:
    """
    Boot a machine with a job, and return how that ended.

    Args:
        folder: Of the job.
        shared: What the machine has as ``/host``; the job's output is put there, too.
        timeout_s: After which the machine is switched off.

    Raises:
        MachineError: It did not come up, or its job did not end; says what was seen.
    """
    kernel, root = image(recipe)
    with tempfile.NamedTemporaryFile(suffix=".cpio") as initrd:
        initrd.write(root.read_bytes() + _cpio(folder))
        initrd.flush()
        share = f"local,path={shared},mount_tag=host,security_model=none"
        command = [*recipe.qemu, "-m", "2048", "-nographic", "-no-reboot"]
        command += ["-nodefaults", "-serial", "stdio", "-virtfs", share]
        command += ["-kernel", str(kernel), "-initrd", initrd.name]
        # On a busy machine the emulated timer may come too late for the kernel's check.
        words = f"console={recipe.console} panic=-1 quiet no_timer_check"
        command += ["-append", words]
        try:
            done = subprocess.run(
                command,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=timeout_s,
                check=False,
            )
            said = done.stdout + done.stderr
        except subprocess.TimeoutExpired as error:
            said = error.stdout or b""
    ended = re.search(rb"JOB-EXIT (\d+)", said)
    output = shared / "output"
    if not ended:
        text = output.read_text(errors="replace")[-4000:] if output.exists() else ""
        raise MachineError(
            f"{recipe.name}: no end of the job after {shlex.join(command)}: "
            f"{said.decode(errors='replace')[-4000:]}\n{text}"
        )
    return int(ended.group(1))
