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
import sys
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


_PYTHON = f"python{sys.version_info.major}.{sys.version_info.minor}"


class Recipe(NamedTuple):
    """
    How a machine is made.

    Attributes:
        name: What tests call it.
        kernel: Suite and package of the kernel; a ``*`` stands for the version.
        suite: Suite of the root file system.
        qemu: The emulator and its arguments.
        console: The kernel's console.
        architecture: Debian's name of it.
        memory: MiB.
        sums: SHA-256 of ``NAME-vmlinux.xz`` and ``NAME-base.cpio.xz`` among the images,
            for an architecture that Debian has no kernel of; else empty.
    """

    name: str
    kernel: tuple[str, str]
    suite: str
    qemu: tuple[str, ...]
    console: str
    architecture: str = "amd64"
    memory: int = 2048
    sums: tuple[str, str] | tuple[()] = ()


_PC = ("qemu-system-x86_64", "-accel", "tcg,thread=multi", "-cpu", "max", "-smp", "2")

_VIRT = ("-M", "virt", "-smp", "1")
_PSERIES = (
    *(
        "qemu-system-ppc64",
        "-M",
        "pseries,x-vof=on,cap-cfpc=broken,cap-sbbc=broken,cap-ibs=broken",
    ),
    *("-cpu", "power9", "-smp", "1", "-vga", "none"),
)

KERNELS = {
    one.name: one
    for one in (
        Recipe(
            "linux-6.1", ("bookworm", "linux-image-amd64"), "bookworm", _PC, "ttyS0"
        ),
        Recipe("linux-6.12", ("trixie", "linux-image-amd64"), "bookworm", _PC, "ttyS0"),
    )
}
"""Other kernels of this machine's CPU."""

ARCHITECTURES = {
    one.name: one
    for one in (
        Recipe(
            "arm",
            ("bookworm", "linux-image-armmp-lpae"),
            "bookworm",
            ("qemu-system-arm", *_VIRT, "-cpu", "cortex-a15"),
            "ttyAMA0",
            "armhf",
        ),
        Recipe(
            "aarch64",
            ("bookworm", "linux-image-arm64"),
            "bookworm",
            ("qemu-system-aarch64", *_VIRT, "-cpu", "cortex-a57"),
            "ttyAMA0",
            "arm64",
        ),
        Recipe(
            "ppc64le",
            ("bookworm", "linux-image-powerpc64le"),
            "bookworm",
            _PSERIES,
            "hvc0",
            "ppc64el",
        ),
        Recipe(
            "ppc",
            ("", ""),
            "",
            ("qemu-system-ppc", "-M", "mac99,via=pmu", "-cpu", "g4", "-vga", "none"),
            "ttyPZ0",
            memory=768,
            sums=(
                "2f18931f2e4bef5b0e917e95a4b8d20f891614ddde3d0ca9f010300bc30661bb",
                "6b17e91dfd805e7111d0f4817df34a15846494f9cdc75db7982bd34221aa5956",
            ),
        ),
        Recipe(
            "ppc64",
            ("", ""),
            "",
            _PSERIES,
            "hvc0",
            memory=1024,
            sums=(
                "4b8bd3b4d2c7c227bc654ad2f203f0cc2e2b3cfcacf581cad461a3492c4ecaef",
                "b60ef9d407c81285c97a9019eb1e09043859c74ab3f3870c9dc38568b2d96549",
            ),
        ),
    )
}
"""Kernels of other CPUs, by the name of blcr's architecture."""


_BESIDE = Path(__file__).parents[3] / "shared" / "machines"
"""Where given images may be, next to the repository."""


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
    if recipe.sums:
        return _given(recipe)
    made_of = (recipe.kernel, recipe.suite, recipe.architecture, PACKAGES, MODULES)
    text = repr((*made_of, INIT, _PYTHON))
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


def may_be_had(recipe: Recipe) -> bool:
    """Tell whether the images can be made, or are there."""
    return not recipe.sums or all(path.exists() for path in _sources(recipe))


def _sources(recipe: Recipe) -> list[Path]:
    """Return where given images are, kernel first."""
    folder = images() if (images() / f"{recipe.name}-vmlinux.xz").exists() else _BESIDE
    return [folder / f"{recipe.name}-{one}.xz" for one in ("vmlinux", "base.cpio")]


def _given(recipe: Recipe) -> tuple[Path, Path]:
    """
    Unpack given images next to the others.

    Raises:
        MachineError: They are others than the recipe means.
    """
    default = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"))
    key = hashlib.sha256(repr((*recipe.sums, INIT)).encode()).hexdigest()[:12]
    folder = default / "blcr-images" / f"{recipe.name}-{key}"
    if not folder.exists():
        packed = [path.read_bytes() for path in _sources(recipe)]
        if tuple(hashlib.sha256(one).hexdigest() for one in packed) != recipe.sums:
            raise MachineError(f"the images of {recipe.name} are not those expected")
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent) as work:
            made, over = Path(work, "made"), Path(work, "over")
            made.mkdir()
            over.mkdir()
            init = over / "init"
            init.write_text(INIT.replace("bash ", "sh "))
            init.chmod(0o755)
            kernel, root = map(lzma.decompress, packed)
            (made / "kernel").write_bytes(kernel)
            root += bytes(-len(root) % 4)
            (made / "root.cpio").write_bytes(root + _cpio(over))
            made.rename(folder)
    return folder / "kernel", folder / "root.cpio"


def _make(recipe: Recipe, work: Path, made: Path) -> None:
    """Download and unpack a kernel and packages, and write the image."""
    root = work / "root"
    architecture = recipe.architecture
    _debootstrap(architecture, recipe.suite, root, PACKAGES)
    for name in ("doc", "info", "locale", "man"):
        shutil.rmtree(root / "usr" / "share" / name, ignore_errors=True)
    precompile(root / "usr" / "lib" / _PYTHON)
    unpacked = work / "kernel"
    suite, package = recipe.kernel
    _debootstrap(architecture, suite, unpacked, (package,))
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


def precompile(folder: Path) -> None:
    """
    Compile Python modules here, which takes seconds there each time.

    Those of another version's library, or that are not there, are left alone.
    """
    command = [sys.executable, "-m", "compileall", "-q", str(folder)]
    # What is unpacked in a machine is of another time than here.
    command += ["--invalidation-mode", "unchecked-hash"]
    if folder.exists():
        subprocess.run(command, check=True)


def _debootstrap(
    architecture: str, suite: str, folder: Path, packages: Sequence[str]
) -> None:
    """Unpack packages and what they depend on; nothing of them is run."""
    command = ["mmdebstrap", "--mode=root", "--variant=extract", "--quiet"]
    command += [f"--architectures={architecture}"]
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
                shutil.copytree(source, place, dirs_exist_ok=True)
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
        command = [*recipe.qemu, "-m", str(recipe.memory), "-nographic", "-no-reboot"]
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
