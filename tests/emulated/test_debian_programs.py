"""
Debian's programs for every architecture that it has, with their own C library.

Each runs in a machine of ours, and in one after the other: it is saved, its machine
thrown away, and it goes on in the next.  What it says is computed by Python here.
"""

from __future__ import annotations

import hashlib
import random
import sqlite3
import subprocess
import sys
import zlib
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest
from _pytest.mark import ParameterSet

from blcr import registry
from harness import packages, seeds

MIGRATING = Path(__file__).parent / "migrating.py"

MOVES = 3

pytestmark = pytest.mark.skipif(
    not packages.available(), reason="not applicable: this machine has no apt"
)


class Job(NamedTuple):
    """
    A program at work.

    Attributes:
        program: Its path in the packages.
        args: With ``FILE`` for a file of words.
        expected: What it says, from the words.
        turns: After how many turns it moves.
    """

    program: str
    args: tuple[str, ...]
    expected: Callable[[bytes], bytes]
    turns: int


PYTHON = """
import hashlib
digest, number = b"", 3
for i in range(60):
    digest = hashlib.sha256(digest + str(number).encode()).digest()
    number = pow(number, 5, (1 << 521) - 1) + i
table = {k: number % 1000003 % (k + 1) ** 0.5 for k in range(50)}
print(digest.hex(), round(sum(table.values()), 6))
"""

SQL = """
create table t(a integer primary key, b text, c real);
insert into t with recursive n(i) as (select 1 union all select i + 1 from n
  where i < 3000) select i, hex(i * 7919), i / 8.0 from n;
create index tb on t(b);
update t set c = c * 3 where a % 3 = 0;
delete from t where a % 5 = 0;
select count(*), sum(a), sum(length(b)), sum(c), min(b) from t;
"""

BASH = """
x=7
for ((i = 0; i < 1500; i++)); do
    x=$(( (x * 31 + i) % 1000003 ))
    a[x % 500]="${a[x % 500]:0:20}$i"
done
echo $x ${#a[@]} ${a[x % 500]}
"""

JOBS_OF_BASH = """
coproc next { while read a; do echo $((a + 1)); done; }
x=1
for ((i = 0; i < 40; i++)); do
    echo $x >&${next[1]}
    read x <&${next[0]}
done
(exit 3) & failed=$!
numbers() { for ((i = 0; i < 60; i++)); do echo $i; done; }
while read a; do echo $((a * 2)); done < <(numbers) |
    { while read a; do s=$((s + a)); done; echo $s; } & wait $!
wait $failed
echo $? $x
exec {next[1]}>&-
wait $next_PID
echo $?
"""

FAMILY = """
import os
ends = []
for k in range(4):
    mine, theirs = os.pipe()
    if not os.fork():
        number = sum(i * i % (k + 7) for i in range(6000))
        os.write(theirs, b"%d" % number)
        os._exit(k)
    os.close(theirs)
    ends.append(mine)
print([int(os.read(end, 20)) for end in ends])
print(sorted(os.WEXITSTATUS(os.wait()[1]) for _ in ends))
"""

SCRIPT = """
tr ' ' '\\n' < FILE | sort | uniq -c | sort -rn | head -n 3 | while read n w; do
    echo $((n * 2)) $w
done
md5sum < FILE
gzip -c < FILE | gunzip | awk '{ n += NF } END { print n }'
"""


def _run_here(code: str) -> bytes:
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, check=True
    ).stdout


def _query(_words: bytes) -> bytes:
    base = sqlite3.connect(":memory:")
    *statements, query = (part for part in SQL.split(";") if part.strip())
    for statement in statements:
        base.execute(statement)
    row = base.execute(query).fetchone()
    base.close()
    return "|".join(map(str, row)).encode() + b"\n"


def _loop(_words: bytes) -> bytes:
    x, cells = 7, dict[int, str]()
    for i in range(1500):
        x = (x * 31 + i) % 1000003
        cells[x % 500] = cells.get(x % 500, "")[:20] + str(i)
    return f"{x} {len(cells)} {cells[x % 500]}\n".encode()


def _report(words: bytes) -> bytes:
    counts = Counter(words.split())
    ranked = sorted(counts.items(), key=lambda row: (row[1], row[0]), reverse=True)
    lines = [f"{2 * count} {word.decode()}" for word, count in ranked[:3]]
    lines += [f"{hashlib.md5(words).hexdigest()}  -", str(counts.total())]
    return "".join(f"{line}\n" for line in lines).encode()


def _lengths(words: bytes) -> bytes:
    return f"{sum(len(word) ** 0.5 for word in words.split()):.6f}\n".encode()


AWK = '{ for (i = 1; i <= NF; i++) s += sqrt(length($i)) } END { printf "%.6f\\n", s }'

JOBS = {
    "python": Job(
        "usr/bin/python3", ("-S", "-c", PYTHON), lambda _: _run_here(PYTHON), 6
    ),
    "sqlite": Job("usr/bin/sqlite3", (":memory:", SQL), _query, 8),
    "bash": Job("bin/bash", ("-c", BASH), _loop, 8),
    "awk": Job("usr/bin/mawk", (AWK, "FILE"), _lengths, 4),
    "gzip": Job("bin/gzip", ("-c", "FILE"), lambda words: words, 4),
    "sort": Job(
        "bin/busybox",
        ("sort", "FILE"),
        lambda words: b"".join(sorted(words.splitlines(keepends=True))),
        2,
    ),
    "shell": Job("bin/busybox", ("sh", "-c", SCRIPT), _report, 20),
    "jobs": Job("bin/bash", ("-c", JOBS_OF_BASH), lambda _: b"3540\n3 41\n0\n", 20),
    "family": Job(
        "usr/bin/python3", ("-S", "-c", FAMILY), lambda _: _run_here(FAMILY), 6
    ),
}


def _cases() -> list[ParameterSet]:
    names = [name for name in packages.DEBIAN if name in registry.names()]
    return [
        pytest.param(name, job, id=f"{job}-{name}")
        for name in names
        for job in seeds.sample(f"debian {name}", list(JOBS), 2)
    ]


@pytest.mark.parametrize(("variant", "name"), _cases())
def test_program_gives_the_right_result(
    variant: str, name: str, tmp_path: Path
) -> None:
    """What it says is right, wherever it has been meanwhile."""
    job = JOBS[name]
    words = _words()
    (tmp_path / "words").write_bytes(words)
    args = [arg.replace("FILE", str(tmp_path / "words")) for arg in job.args]
    root = packages.sysroot(packages.DEBIAN[variant])
    before: list[str | Path] = [MIGRATING, str(job.turns), tmp_path, root]

    done = subprocess.run(
        [sys.executable, *before, root / job.program, *args],
        env={"PATH": "/bin:/usr/bin", "LC_ALL": "C"},
        capture_output=True,
        check=False,
        timeout=200,
    )

    assert (done.stderr, done.returncode) == (b"", 0)
    said, _, moved = done.stdout.rstrip(b"\n").rpartition(b"moved ")
    assert int(moved.split()[0]) >= MOVES
    if name == "gzip":
        said = zlib.decompress(said, wbits=31)
    assert said == job.expected(words)


def _words() -> bytes:
    chance = random.Random(1)
    lines = (
        " ".join(f"w{int(chance.expovariate(0.05))}x" for _ in range(8))
        for _ in range(4000)
    )
    return "".join(f"{line}\n" for line in lines).encode()
