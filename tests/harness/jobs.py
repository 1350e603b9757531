"""
Real programs at real work, for tests that cut them.

Each takes a second or two; ``BLCR_FULL=1`` gives them the sizes that users have.
"""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from harness import seeds
from harness.programs import SOURCES, build
from harness.staging import interpreter

OWN = SOURCES.parent / "real" / "programs"
"""Programs of our own that have no state to judge, but much of it in use."""

FILE_SIZE = int(os.environ.get("BLCR_FILE_SIZE", "500" if seeds.FULL else "20")) << 20
"""Of the file to be compressed, bytes."""

PYTHON = """
import hashlib, threading
results = {}
def work(n):
    digest, number = b"", n + 3
    for i in range(ROUNDS):
        digest = hashlib.sha256(digest + str(number).encode()).digest()
        number = pow(number, 5, (1 << 521) - 1) + i
        table = {k: number % (k + 1) for k in range(50)}
    results[n] = digest.hex(), sum(table.values())
threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
for t in threads: t.start()
for t in threads: t.join()
print(sorted(results.items()))
"""

NUMPY = """
import threading
import numpy as np
results = {}
def work(n):
    chance = np.random.default_rng(n)
    a = chance.standard_normal((300, 300))
    for i in range(ROUNDS):
        a = np.tanh(a @ a.T / 300 + chance.standard_normal((300, 300)))
        a = np.sort(a, axis=0) if i % 10 == 9 else a
    results[n] = float(np.linalg.norm(a)), a.tobytes()[:16].hex()
threads = [threading.Thread(target=work, args=(n,)) for n in range(3)]
for t in threads: t.start()
for t in threads: t.join()
print(sorted(results.items()))
"""

SQL = """
pragma temp_store = memory;
create table t(a integer primary key, b text, c real);
begin immediate;
insert into t with recursive n(i) as (select 1 union all select i + 1 from n
  where i < ROWS) select i, hex(i * 7919), i / 7.0 from n;
create index tb on t(b);
update t set c = c * 3 where a % 3 = 0;
delete from t where a % 5 = 0;
commit;
select count(*), sum(a), sum(length(b)), round(sum(c), 3) from t;
pragma integrity_check;
"""

PERL = r"""
my (%h, $x); $x = 7;
for my $i (1 .. ROUNDS) {
    $x = ($x * 31 + $i) % 1000003;
    $h{$x % 5000} = substr($h{$x % 5000} . chr(65 + $i % 26), -100);
}
my $s = 0;
$s = ($s * 131 + length($h{$_}) + ord($h{$_})) % 1000003 for sort keys %h;
print "$x $s\n";
"""

BASH = """
x=7
for ((i = 0; i < ROUNDS; i++)); do
    x=$(( (x * 31 + i) % 1000003 ))
    a[x % 500]="${a[x % 500]:0:20}$i"
done
echo $x ${#a[@]} ${a[3]}
"""

AWK = """
BEGIN {
    x = 7
    for (i = 0; i < ROUNDS; i++) {
        x = (x * 31 + i) % 1000003
        a[x % 5000] = substr(a[x % 5000] i, 1, 60)
    }
    for (i = 0; i < 5000; i++) s = (s * 131 + length(a[i]) + a[i] % 7) % 1000003
    print x, s
}
"""

JAVA = """
import java.util.ArrayList;
public class Job {
    public static void main(String[] args) {
        ArrayList<byte[]> kept = new ArrayList<>();
        long h = 7;
        for (int i = 0; i < ROUNDS; i++) {
            byte[] block = new byte[1024];
            for (int j = 0; j < block.length; j++) {
                h = h * 31 + j + i;
                block[j] = (byte) h;
            }
            kept.add(block);
            if (kept.size() > 5000) kept.remove((int) ((h >>> 1) % kept.size()));
        }
        long s = 0;
        for (byte[] block : kept) for (byte b : block) s = s * 131 + b;
        System.out.println(h + " " + s);
    }
}
"""

NODE = """
let h = 7n
const kept = new Map()
for (let i = 0; i < ROUNDS; i++) {
    h = (h * 31n + BigInt(i)) % 1000000007n
    kept.set(i % 5000, [h, i, "x".repeat(i % 50)])
}
let s = 0n
for (const [k, v] of kept) s = (s * 131n + v[0] + BigInt(k)) % 1000000007n
console.log(h.toString(), s.toString())
"""


PIPELINES = """
make_rows() {
    for ((i = 0; i < ROUNDS; i++)); do
        echo "$(( (i * 7919) % 1000003 )) word$(( i % 977 )) $(( i * i % 10007 ))"
    done
}
make_rows | sort -n | tee sorted |
    awk '{ n[$2] += $1 } END { for (w in n) print w, n[w] }' | LC_ALL=C sort > sums
while read -r word sum; do
    [[ $word == *7 ]] && echo "$word $(( sum % 1009 ))"
done < sums | LC_ALL=C sort -k2n -k1 | xz -1 -c > picked.xz
for part in 1 2 3; do
    (xz -2 -c sorted | tee sorted.$part.xz | cksum > sum.$part) &
done
wait
cat sum.1 sum.2 sum.3
xz -dc picked.xz | paste -s -d ' ' | cut -c 1-60
"""

POOL = """
import hashlib, multiprocessing, sys
def work(task):
    n, rounds = task
    digest = str(n).encode()
    for i in range(rounds):
        digest = hashlib.sha256(digest * 20).digest()
    return n, digest.hex()
def main():
    multiprocessing.set_start_method(sys.argv[1])
    counter = multiprocessing.Value("q", 0)
    total = hashlib.sha256()
    with multiprocessing.Pool(4, initializer=begin, initargs=(counter,)) as pool:
        tasks = [(n, ROUNDS) for n in range(300)]
        for n, text in pool.imap(counted, tasks, chunksize=2):
            total.update(f"{n} {text}".encode())
    print(total.hexdigest(), counter.value)
def begin(value):
    global counter
    counter = value
def counted(task):
    with counter.get_lock():
        counter.value += task[0]
    return work(task)
if __name__ == "__main__":
    main()
"""

PARENT = """
import java.io.*;
import java.util.*;
public class Parent {
    public static void main(String[] args) throws Exception {
        String script = "read x; i=0; while [ $i -lt ROUNDS ];"
            + " do x=$(( (x * 31 + i) % 1000003 )); i=$((i + 1)); done; echo $x";
        long sum = 0;
        for (int round = 0; round < 4; round++) {
            List<Process> children = new ArrayList<>();
            for (int n = 0; n < 3; n++) {
                Process child = new ProcessBuilder("sh", "-c", script).start();
                Writer to = new OutputStreamWriter(child.getOutputStream());
                to.write(n + round * 3 + "\\n");
                to.close();
                children.add(child);
            }
            for (Process child : children) {
                BufferedReader from = new BufferedReader(
                    new InputStreamReader(child.getInputStream()));
                sum = (sum * 131 + Long.parseLong(from.readLine())) % 1000000007L;
                if (child.waitFor() != 0) throw new IOException("a child failed");
            }
        }
        System.out.println(sum);
    }
}
"""

REDIS = """
import os, random, socket, subprocess, time
path = os.path.abspath("redis")
with socket.socket() as probe:
    probe.bind(("127.0.0.1", 0))
    port = probe.getsockname()[1]
words = ["redis-server", "--port", str(port), "--unixsocket", path, "--save", ""]
server = subprocess.Popen(words, stdout=subprocess.DEVNULL)
class Client:
    def __init__(self, family, address):
        while True:
            self.socket = socket.socket(family)
            try:
                self.socket.connect(address)
                break
            except OSError:
                self.socket.close()
                time.sleep(0.01)
        self.answers = self.socket.makefile("rb")
    def call(self, *words):
        words = [str(word).encode() for word in words]
        parts = b"".join(b"$%d\\r\\n%s\\r\\n" % (len(word), word) for word in words)
        self.socket.sendall(b"*%d\\r\\n" % len(words) + parts)
        line = self.answers.readline()
        if line[:1] == b"$":
            return self.answers.read(int(line[1:]) + 2)[:-2]
        return line[1:-2]
one = Client(socket.AF_UNIX, path)
other = Client(socket.AF_INET, ("127.0.0.1", port))
chance, wanted = random.Random(1), {}
for n in range(ROUNDS):
    key = chance.randrange(500)
    value = chance.randbytes(chance.randrange(1, 2000)).hex()
    assert one.call("SET", key, value) == b"OK"
    wanted[key] = value
    assert other.call("INCR", "n") == str(n + 1).encode()
    one, other = other, one
for key, value in wanted.items():
    assert one.call("GET", key) == value.encode()
server.terminate()
server.wait()
print(len(wanted), "values as they were written")
"""

NGINX = """
import hashlib, http.client, os, random, socket, subprocess, time
with socket.socket() as probe:
    probe.bind(("127.0.0.1", 0))
    port = probe.getsockname()[1]
with open("configuration", "w") as file:
    file.write(
        f"worker_processes 3; daemon off; pid pid; error_log stderr;"
        f"events {{ worker_connections 64; }} http {{ access_log off;"
        f"server {{ listen 127.0.0.1:{port}; root {os.getcwd()}/files; }}"
    )
    for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"):
        file.write(f"{kind}_temp_path {kind};")
    file.write("}")
os.mkdir("files")
chance = random.Random(1)
for n in range(20):
    with open(f"files/{n}", "wb") as file:
        file.write(chance.randbytes(chance.randrange(300_000)))
words = ["nginx", "-p", os.getcwd(), "-c", "configuration", "-e", "stderr"]
server = subprocess.Popen(words)
def connect():
    while True:
        try:
            made = http.client.HTTPConnection("127.0.0.1", port)
            made.connect()
            return made
        except ConnectionRefusedError:
            time.sleep(0.01)
kept, total = connect(), hashlib.sha256()
for n in range(ROUNDS):
    used = kept if n % 3 else connect()
    used.request("GET", f"/{chance.randrange(20)}")
    answer = used.getresponse()
    total.update(b"%d" % answer.status + answer.read())
    if used is not kept:
        used.close()
    elif n % 900 == 898:
        kept.close()
        kept = connect()
server.terminate()
server.wait()
print(total.hexdigest())
"""

AGENT = """
set -e
ssh-keygen -q -t ed25519 -N "" -f key
ssh-agent -D -a "$PWD/agent" >/dev/null &
until [ -S agent ]; do sleep 0.01; done
export SSH_AUTH_SOCK=$PWD/agent
ssh-add -q key
for n in $(seq ROUNDS); do
    ssh-add -T key.pub
    ssh-add -L | cmp - key.pub
done
kill %1
echo "as agreed"
"""


class Job(NamedTuple):
    """
    A program to run.

    Attributes:
        prepare: Makes its input in a folder, and returns its command line.
        results: Files there that are its results, besides what it prints.
        refuses: The user (of `commands.users`) that cannot run it; empty: none.
        sampled: One user, by chance, does in a short run.
    """

    prepare: Callable[[Path, int | None], list[str]]
    results: tuple[str, ...] = ()
    refuses: str = ""
    sampled: bool = False


def _rounds(text: str, few: int) -> str:
    """Return the text with its number of rounds."""
    return text.replace("ROUNDS", str(few * (5 if seeds.FULL else 1)))


def _python(text: str, few: int) -> Callable[[Path, int | None], list[str]]:
    def prepare(_folder: Path, user: int | None) -> list[str]:
        return [str(interpreter(user).executable), "-c", _rounds(text, few)]

    return prepare


def _numpy(folder: Path, user: int | None) -> list[str]:
    pytest.importorskip("numpy", reason="not applicable: numpy is not installed")
    return _python(NUMPY, 250)(folder, user)


def _text(path: Path) -> None:
    """Write words that compress somewhat."""
    chance = random.Random(1)
    words = [chance.randbytes(chance.randrange(2, 12)) for _ in range(5000)]
    with path.open("wb") as file:
        while file.tell() < FILE_SIZE:
            file.write(b" ".join(chance.choices(words, k=20000)))


def _compressor(name: str, *args: str) -> Callable[[Path, int | None], list[str]]:
    def prepare(folder: Path, _user: int | None) -> list[str]:
        _text(folder / "file")
        return [_found(name), *args, "-k", "file"]

    return prepare


def _sqlite(folder: Path, _user: int | None) -> list[str]:
    rows = "3000000" if seeds.FULL else "600000"
    (folder / "script").write_text(SQL.replace("ROWS", rows))
    return [_found("sqlite3"), "database", ".read script"]


def _script(
    name: str, option: str, text: str, few: int
) -> Callable[[Path, int | None], list[str]]:
    def prepare(folder: Path, _user: int | None) -> list[str]:
        (folder / "script").write_text(_rounds(text, few))
        return [_found(name), *option.split(), "script"]

    return prepare


def _java(folder: Path, _user: int | None) -> list[str]:
    (folder / "Job.java").write_text(_rounds(JAVA, 400_000))
    subprocess.run([_found("javac"), "Job.java"], cwd=folder, check=True)
    return [_found("java"), "-cp", ".", "Job"]


def _java_children(folder: Path, _user: int | None) -> list[str]:
    (folder / "Parent.java").write_text(_rounds(PARENT, 200_000))
    subprocess.run([_found("javac"), "Parent.java"], cwd=folder, check=True)
    return [_found("java"), "-cp", ".", "Parent"]


def _pool(method: str) -> Callable[[Path, int | None], list[str]]:
    """Return how a pool of processes works that are born by this method."""

    def prepare(folder: Path, user: int | None) -> list[str]:
        (folder / "pool.py").write_text(_rounds(POOL, 20_000))
        return [str(interpreter(user).executable), "pool.py", method]

    return prepare


def _make(folder: Path, _user: int | None) -> list[str]:
    """Build a program of many sources, four compilers at a time."""
    chance = random.Random(5)
    names = [f"part{n}" for n in range(24 * (5 if seeds.FULL else 1))]
    for name in names:
        lines = (
            f"static unsigned {name}_{k}(unsigned a) {{ for (int i = 0; i < 9; i++)"
            f" a = a * {chance.randrange(3, 99, 2)} ^ a >> {k % 16 + 1}; return a; }}\n"
            for k in range(60)
        )
        calls = "".join(f" s += {name}_{k}(s);" for k in range(60))
        text = "".join(lines) + f"unsigned {name}(unsigned s) {{{calls} return s; }}\n"
        (folder / f"{name}.c").write_text(text)
    (folder / "main.c").write_text(
        "#include <stdio.h>\n"
        + "".join(f"unsigned {name}(unsigned);\n" for name in names)
        + "int main(void) { unsigned s = 7;"
        + "".join(f" s = {name}(s);" for name in names)
        + ' printf("%u\\n", s); return 0; }\n'
    )
    (folder / "Makefile").write_text(
        f"OBJECTS = main.o {' '.join(name + '.o' for name in names)}\n"
        "all: program\n\t@./program\n"
        "program: $(OBJECTS)\n\t@gcc -o $@ $(OBJECTS)\n"
        "%.o: %.c\n\t@gcc -O2 -c -o $@ $<\n"
    )
    return [_found("make"), "-j4", "--no-print-directory"]


def _cc1(folder: Path, _user: int | None) -> list[str]:
    """Compile a file of many functions, with the compiler proper."""
    chance = random.Random(2)
    with (folder / "file.c").open("w") as file:
        for n in range(500 * (5 if seeds.FULL else 1)):
            file.write(
                f"int f{n}(int a, int *b) {{ int s = {n};"
                f" for (int i = 0; i < a; i++) s = s * {chance.randrange(3, 99)} +"
                f" b[i % {chance.randrange(1, 9)}] / (i + 1);"
                f" return s ^ {chance.randrange(1 << 30)}; }}\n"
            )
    done = subprocess.run(
        [_found("gcc"), "-print-prog-name=cc1"],
        capture_output=True,
        text=True,
        check=True,
    )
    return [done.stdout.strip(), "-quiet", "-O2", "file.c", "-o", "file.s"]


def _esbuild(folder: Path, _user: int | None) -> list[str]:
    """Bundle modules by goroutines, which signals preempt."""
    chance = random.Random(3)
    count = 100 * (5 if seeds.FULL else 1)
    for n in range(count):
        lines = (
            f"export const f{n}_{k} = (a: number, b: string): number => {{ let s = {k};"
            f" for (const c of b) s = (s * {chance.randrange(3, 99)} + a) % "
            f"{chance.randrange(1 << 20)}; return s > {k} ? s : f{n}_{k // 2}(a, b) }}"
            for k in range(500)
        )
        (folder / f"module{n}.ts").write_text("\n".join(lines) + "\n")
    (folder / "all.ts").write_text(
        "".join(f"export * from './module{n}'\n" for n in range(count))
    )
    words = "--bundle --minify --sourcemap --log-level=error --outfile=all.js"
    return [_found("esbuild"), "all.ts", "--format=esm", *words.split()]


def _ruff(folder: Path, _user: int | None) -> list[str]:
    """Check modules by the threads of rayon; what is found comes in order."""
    chance = random.Random(4)
    ruff = pytest.importorskip("ruff", reason="not applicable: ruff is not installed")
    for n in range(60 * (5 if seeds.FULL else 1)):
        lines = (
            f"def f{k}(a, b=[]):\n    import os\n    x = {chance.randrange(1 << 20)}\n"
            f"    return [b[i] for i in range(len(a)) if a[i] == None or i != {k}]\n"
            for k in range(400)
        )
        (folder / f"module{n}.py").write_text("\n".join(lines))
    words = "check --no-cache --isolated --select=ALL --exit-zero --quiet"
    words += " --output-format=concise --output-file=found"
    shutil.copy2(ruff.find_ruff_bin(), folder / "ruff")
    return [str(folder / "ruff"), *words.split(), "."]


def _redis(folder: Path, user: int | None) -> list[str]:
    _found("redis-server")
    return _python(REDIS, 40_000)(folder, user)


def _nginx(folder: Path, user: int | None) -> list[str]:
    _found("nginx")
    return _python(NGINX, 8000)(folder, user)


def _own_script(
    name: str, few: int, *words: str
) -> Callable[[Path, int | None], list[str]]:
    """Run a Python program of ours; its first argument is an amount."""

    def prepare(folder: Path, user: int | None) -> list[str]:
        # Another user may not read our folders.
        script = shutil.copy(OWN / name, folder)
        amount = str(few * (5 if seeds.FULL else 1))
        return [str(interpreter(user).executable), str(script), amount, *words]

    return prepare


def _postgres(folder: Path, user: int | None) -> list[str]:
    """Load PostgreSQL; who makes the database has to have a name."""
    programs = _postgres_programs()
    with tempfile.TemporaryDirectory() as name:
        owner = None if user is None else "nobody"
        if owner:
            shutil.chown(name, owner)
        words = [
            str(programs / "initdb"),
            "-N",
            "-A",
            "trust",
            "-U",
            "load",
            "-D",
            name,
        ]
        subprocess.run(words, check=True, stdout=subprocess.DEVNULL, user=owner)
        # The server wants its folder closed to others.
        data = shutil.copytree(name, folder / "data")
    for path in (data, *data.rglob("*")):
        if user is not None:
            os.lchown(path, user, user)
    return _own_script("postgres_load.py", 100, str(programs))(folder, user)


def _postgres_programs() -> Path:
    """Return the folder with the server, which is not in the path everywhere."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    if not found:
        pytest.skip("not applicable: PostgreSQL is not installed")
    return found[-1].parent


def _tmux(pager: str, jump: str) -> Callable[[Path, int | None], list[str]]:
    def prepare(folder: Path, user: int | None) -> list[str]:
        _found("tmux")
        _found(pager.split()[0])
        script = _own_script("tmux_panes.py", 120_000, pager, jump)
        return script(folder, user)

    return prepare


def _xterm(folder: Path, user: int | None) -> list[str]:
    _found("Xvfb")
    _found("xterm")
    return _own_script("xterm_shown.py", 100_000)(folder, user)


def _mpi(flavour: str, few: int, *options: str) -> Job:
    """Run processes that pass messages, by one of the implementations of MPI."""

    def prepare(folder: Path, _user: int | None) -> list[str]:
        compiler = _found(f"mpicc.{flavour}")
        source = OWN / "mpi_ring.c"
        subprocess.run([compiler, "-O2", "-o", folder / "ring", source], check=True)
        rounds = str(few * (5 if seeds.FULL else 1))
        return [_found(f"mpirun.{flavour}"), *options, "./ring", rounds]

    return Job(prepare, sampled=True)


def _agent(folder: Path, user: int | None) -> list[str]:
    _found("ssh-agent")
    return _script("bash", "", AGENT, 60)(folder, user)


def _c_program(
    name: str, variant: str, *amounts: int, folder: Path = SOURCES, times: int = 5
) -> Job:
    def prepare(_folder: Path, _user: int | None) -> list[str]:
        times_here = times if seeds.FULL else 1
        words = [str(amount * times_here) for amount in amounts]
        return [str(build(name, variant, folder)), *words]

    return Job(prepare)


def _found(name: str) -> str:
    path = shutil.which(name)
    if not path:
        pytest.skip(f"not applicable: {name} is not installed")
    return path


JOBS = {
    "python": Job(_python(PYTHON, 40_000)),
    "numpy": Job(_numpy, refuses="user"),
    "xz": Job(_compressor("xz", "-T2", "-1", "--block-size=2MiB"), ("file.xz",)),
    "gzip": Job(_compressor("gzip", "-5", "-n"), ("file.gz",)),
    "sqlite3": Job(_sqlite),
    "perl": Job(_script("perl", "", PERL, 2_000_000)),
    "bash": Job(_script("bash", "", BASH, 150_000)),
    "awk": Job(_script("awk", "-f", AWK, 2_000_000)),
    "java": Job(_java),
    "node": Job(_script("node", "", NODE, 3_000_000)),
    "cc1": Job(_cc1, ("file.s",)),
    "musl": _c_program("compute", "musl", 300_000_000),
    "threads-64": _c_program("mixture", "dynamic", 3000),
    "threads-64-m32": _c_program("mixture", "m32", 2500),
    "pipelines": Job(
        _script("bash", "", PIPELINES, 100_000),
        ("sorted", "sums", "picked.xz", *(f"sorted.{n}.xz" for n in (1, 2, 3))),
    ),
    "make": Job(_make),
    "pool-fork": Job(_pool("fork")),
    "pool-spawn": Job(_pool("spawn")),
    "java-children": Job(_java_children),
    "esbuild": Job(_esbuild, ("all.js", "all.js.map")),
    "ruff": Job(_ruff, ("found",)),
    "redis": Job(_redis),
    "nginx": Job(_nginx, sampled=True),
    "openmpi": _mpi(
        "openmpi", 200_000, "-n", "4", "--oversubscribe", "--allow-run-as-root"
    ),
    "mpich": _mpi("mpich", 800_000, "-n", "2"),
    "tmux-less": Job(_tmux("less", "{}g"), sampled=True),
    "tmux-vim": Job(_tmux("vim -u NONE", "{}Gzt"), sampled=True),
    "xterm": Job(_xterm, ("shown",), sampled=True),
    # The server refuses to run as root.
    "postgres": Job(_postgres, refuses="root"),
    # The agent lets nobody but root look at it.
    "ssh-agent": Job(_agent, refuses="user"),
    "vectors": _c_program("vector_rounds", "dynamic", 60_000_000, folder=OWN),
    "mappings-2000": _c_program("mappings_walk", "dynamic", 150_000, folder=OWN),
    "memory": _c_program(
        "memory_walk", "dynamic", 256, 2_000_000, folder=OWN, times=16
    ),
}
