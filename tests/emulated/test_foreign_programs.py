"""
Debian's programs for other CPUs: saved, killed and restarted by the commands.

Each tells of its steps, is cut in the middle of some of them, and says in the end what
it says under QEMU.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from blcr import registry
from harness import load, packages, seeds
from harness.subject import Subject

pytestmark = pytest.mark.skipif(
    not packages.available(), reason="not applicable: this machine has no apt"
)

STEPS, CUTS = 6, 3

PYTHON = f"""
import hashlib, struct
total, words, digest = 0.0, {{}}, b""
for step in range({STEPS}):
    print("go", step, input(), flush=True)
    for i in range(2000):
        digest = hashlib.sha1(digest + struct.pack(">i", i)).digest()
        words[digest[:1]] = words.get(digest[:1], 0) + i / 7
    total += sum(words.values()) ** 0.5
    print("step", step, digest.hex(), round(total, 6), flush=True)
"""

BASH = f"""
declare -A seen
trap 'caught=$((caught + 1))' USR1
for ((step = 0; step < {STEPS}; step++)); do
    read word
    echo go $step $word
    for ((i = 0; i < 400; i++)); do
        x=$(( (x * 1103515245 + 12345) & 0x7fffffff ))
        seen[$((x % 97))]+=${{x:0:1}}
    done
    kill -USR1 $$
    echo step $step $x ${{#seen[@]}} $caught ${{seen[5]}}
done
"""

AWK = f"""
BEGIN {{
    for (step = 0; step < {STEPS}; step++) {{
        getline word
        print "go", step, word; fflush()
        for (i = 0; i < 3000; i++) {{
            s += i / 7 * step
            a[i % 50] = a[i % 50] i % 7
        }}
        printf "step %d %.9f %d\\n", step, s, length(a[step]); fflush()
    }}
}}
"""

JOBS = {
    "python": ("usr/bin/python3", "-S", "-c", PYTHON),
    "bash": ("bin/bash", "-c", BASH),
    "awk": ("usr/bin/mawk", "-W", "interactive", AWK),
    "busybox": ("bin/busybox", "awk", AWK),
}
"""Each does a step for each line that it reads, and says so before and after."""

VARIANTS = [name for name in packages.DEBIAN if name in registry.names()]

CHOICES = [(variant, job) for variant in VARIANTS for job in JOBS]


@pytest.mark.parametrize(("variant", "job"), seeds.sample("foreign", CHOICES, 4))
def test_restarted_program_says_what_it_says_elsewhere(
    variant: str, job: str, home: Path
) -> None:
    """Cut in the middle of steps, it misses and repeats nothing."""
    emulator = shutil.which(load(variant).emulator)
    if emulator is None:
        pytest.skip(f"not applicable: {load(variant).emulator} is not installed")
    root = packages.sysroot(packages.DEBIAN[variant])
    path, *args = JOBS[job]
    command = [str(root / path), *args]
    there = [emulator, "-L", str(root), *command]
    told = b"0\n" * STEPS
    expected = subprocess.run(there, input=told, capture_output=True, check=True)
    cuts = seeds.generator(variant, job).sample(range(STEPS - 1), CUTS)

    with Subject(["--sysroot", root, *command], cwd=home, emulated=True) as subject:
        for step in range(STEPS):
            subject.tell()
            subject.expect(f"go {step} ".encode(), timeout_s=60)
            if step in cuts:
                context = subject.checkpoint_and_kill()
                subject.restart(context, "--sysroot", str(root))
            subject.expect(f"step {step} ".encode(), timeout_s=60)

        assert subject.finish() == expected.stdout
