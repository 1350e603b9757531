"""
PostgreSQL under load by clients that know what the server has acknowledged.

Each client inserts rows, updates and deletes some, in transactions of which it gives up
every fifth.  When all have ended, so does the server; a second one has to have exactly
what was acknowledged.  The first argument is the number of transactions of each client,
the second the folder with the executables.
"""

import random
import subprocess
import sys
import threading
from pathlib import Path

CLIENTS = 3
SETTINGS = {
    "listen_addresses": "",
    "unix_socket_directories": str(Path.cwd()),
    "shared_buffers": "8MB",
    "max_connections": "20",
    "checkpoint_timeout": "30",
    "max_parallel_workers_per_gather": "2",
    "min_parallel_table_scan_size": "0",
    "parallel_setup_cost": "0",
}


class Client:
    """A psql that answers line by line."""

    def __init__(self) -> None:
        words = [f"{PROGRAMS}/psql", "-X", "-q", "-A", "-t", "-h", str(Path.cwd())]
        pipe = subprocess.PIPE
        self._psql = subprocess.Popen(
            [*words, "-U", "load", "-v", "ON_ERROR_STOP=1", "postgres"],
            stdin=pipe,
            stdout=pipe,
            text=True,
            bufsize=1,
        )

    def ask(self, text: str) -> list[str]:
        """Return the lines of the answer."""
        assert self._psql.stdin
        assert self._psql.stdout
        self._psql.stdin.write(f"{text};\n\\echo done\n")
        lines: list[str] = []
        for line in self._psql.stdout:
            if line == "done\n":
                return lines
            lines.append(line.rstrip("\n"))
        raise SystemExit(f"psql has ended in {text}")

    def close(self) -> None:
        """Have it end."""
        self._psql.communicate()
        assert self._psql.returncode == 0


def serve() -> subprocess.Popen[bytes]:
    """Start a server and wait until it answers."""
    settings = [f"--{name}={value}" for name, value in SETTINGS.items()]
    with Path("log").open("ab") as log:
        words = [f"{PROGRAMS}/postgres", "-D", "data", *settings]
        server = subprocess.Popen(words, stdout=log, stderr=log)
    while (
        "accepting"
        not in subprocess.run(
            [f"{PROGRAMS}/pg_isready", "-h", str(Path.cwd()), "-U", "load"],
            stdout=subprocess.PIPE,
            text=True,
            check=False,
        ).stdout.partition(" - ")[2]
    ):
        assert server.poll() is None, Path("log").read_text()
    return server


def load(number: int, wanted: dict[int, str]) -> None:
    """Change rows, and note what has been acknowledged."""
    client, chance = Client(), random.Random(number)
    for n in range(TRANSACTIONS):
        mine = dict(wanted)
        client.ask("begin")
        for k in range(3):
            key = number + CLIENTS * (3 * n + k)
            mine[key] = chance.randbytes(chance.randrange(1, 200)).hex()
            client.ask(f"insert into rows values ({key}, '{mine[key]}')")
        for key in chance.sample(sorted(mine), 2):
            mine[key] = mine[key][::-1]
            client.ask(f"update rows set text = reverse(text) where key = {key}")
        gone = chance.choice(sorted(mine))
        del mine[gone]
        client.ask(f"delete from rows where key = {gone}")
        if n % 5 == 4:
            client.ask("rollback")
            continue
        client.ask("commit")
        wanted.clear()
        wanted.update(mine)
        if n % 50 == 0:
            (sums,) = client.ask(f"{OWN} where key % {CLIENTS} = {number}")
            assert int(sums.split("|")[0]) == len(mine)
    client.close()


OWN = "select count(*), sum(length(text)) from rows"
TRANSACTIONS, PROGRAMS = int(sys.argv[1]), Path(sys.argv[2])

server = serve()
first = Client()
first.ask("create table rows (key integer primary key, text text)")
first.close()
kept: list[dict[int, str]] = [{} for _ in range(CLIENTS)]
threads = [
    threading.Thread(target=load, args=(number, wanted))
    for number, wanted in enumerate(kept)
]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
server.terminate()
assert server.wait() == 0
server = serve()
last = Client()
rows = last.ask("select key, text from rows order by key")
last.close()
server.terminate()
assert server.wait() == 0
everything = {key: text for wanted in kept for key, text in wanted.items()}
assert rows == [f"{key}|{everything[key]}" for key in sorted(everything)]
sys.stdout.write(f"{len(rows)} rows as acknowledged, {sum(map(len, rows))} bytes\n")
