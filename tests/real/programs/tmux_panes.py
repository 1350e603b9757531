"""
tmux with three panes and somebody who looks at them.

A shell computes and prints in the first one, in the second a pager is paged through, in
the third an interactive bash has jobs in the background and is typed to.  In the end
the screens are told, without what only tmux itself decides about.  The first argument
says how much is computed, the second names the pager,
the third is what to type to see a line.
"""

import atexit
import fcntl
import os
import pty
import struct
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Callable
from pathlib import Path

ROUNDS, PAGER, JUMP = int(sys.argv[1]), *sys.argv[2:]
SERVER = ["tmux", "-S", "socket", "-f", "/dev/null", "-D"]
TMUX = ["tmux", "-N", "-S", "socket"]
COUNTING = """
x=7; for ((i = 0; i < {}; i++)); do
    x=$(( (x * 31 + i) % 1000003 )); (( i % 1000 )) || echo "$i $x"
done; echo "counted $x"; exec sleep 1000
"""
TURNS = ROUNDS // 1500
ANSWERING_S = 60


def tmux(*words: str) -> str:
    """Give a command to the server."""
    done = subprocess.run([*TMUX, *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, (words, done)
    return done.stdout


def screen(pane: int) -> list[str]:
    """Return what is on a screen."""
    text = tmux("capture-pane", "-p", "-t", f"all.{pane}")
    return [line.rstrip() for line in text.rstrip().split("\n")]


def await_screen(pane: int, holds: Callable[[list[str]], object]) -> list[str]:
    """Wait until something holds for a screen; return it."""
    end = time.monotonic() + ANSWERING_S
    while not holds(lines := screen(pane)):
        if time.monotonic() > end:
            raise SystemExit(f"pane {pane} shows {lines}")
        time.sleep(0.02)
    return lines


def answer(text: str, last: str) -> list[str]:
    """
    Type a line in the shell, and wait until this is what it has said last.

    A shell that is restarted is told again of jobs that are stopped, and says so.
    """
    tmux("send-keys", "-t", "all.2", "-l", text)
    tmux("send-keys", "-t", "all.2", "Enter")
    lines = await_screen(2, lambda lines: last in lines and lines[-1] == "P")
    at = lines.index(last)
    return lines[max(0, at - 2) : at + 1]


def await_text(number: int) -> None:
    """Wait until the pager shows a page that begins with this line."""
    top, below = (f"line {number + n} of the text" for n in (0, 12))

    def is_shown(lines: list[str]) -> bool:
        return lines[0].startswith(top) and any(
            line.startswith(below) for line in lines
        )

    await_screen(1, is_shown)


def look(
    seen: bytearray,
) -> tuple[subprocess.Popen[bytes], int, threading.Thread]:
    """Have a client on a terminal of ours; a thread notes what it is shown."""
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("=4H", 50, 100, 0, 0))

    def read() -> None:
        while True:
            try:
                seen.extend(os.read(master, 65536))
            except OSError:
                return

    client = subprocess.Popen(
        [*TMUX, "attach"],
        stdin=slave,
        stdout=slave,
        start_new_session=True,
        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
        env={**os.environ, "TERM": "xterm"},
    )
    os.close(slave)
    thread = threading.Thread(target=read, daemon=True)
    thread.start()
    return client, master, thread


with Path("text").open("w") as file:
    file.writelines(f"line {n} of the text {n * n % 1009}\n" for n in range(2000))
Path("counting").write_text(COUNTING.format(ROUNDS))
server = subprocess.Popen(SERVER, stdout=subprocess.DEVNULL)
atexit.register(server.kill)
while subprocess.run(
    [*TMUX, "show-options", "-g"], capture_output=True, check=False
).returncode:
    assert server.poll() is None
    time.sleep(0.01)
tmux("new-session", "-d", "-s", "all", "-x", "100", "-y", "50", "exec bash counting")
tmux("split-window", "-t", "all.0", f"exec {PAGER} text")
tmux("split-window", "-t", "all.1", "exec bash --norc --noprofile -i")
tmux("select-layout", "-t", "all", "even-vertical")
seen = bytearray()
client, master, thread = look(seen)

await_text(0)
await_screen(2, lambda lines: "bash" in lines[-1])
answer("PS1=P'\n'; PS1=P; clear; echo on", "on")
answer("sleep 1000 & sleep 2000 & echo two", "two")
tmux("send-keys", "-t", "all.2", "fg %2", "Enter")
await_screen(2, lambda lines: lines[-1] == "sleep 2000")
while screen(2)[-1] != "P":
    # It says so before the job has the terminal.
    tmux("send-keys", "-t", "all.2", "C-z")
    time.sleep(0.1)
answers = []
for turn in range(TURNS):
    # Up and down.
    number = turn * 1237 % 1900
    tmux("send-keys", "-t", "all.1", "-l", JUMP.format(number + 1))
    await_text(number)
    answers.append(answer(f"clear; jobs; echo turn {turn}", f"turn {turn}"))
answers.append(answer("kill %1; wait %1; clear; jobs; echo last", "last"))
answers.append(answer("kill -CONT %2; kill %2; wait; clear; jobs; echo none", "none"))
counted = await_screen(0, lambda lines: lines[-1].startswith("counted"))
os.write(master, b"\x02d")
assert client.wait() == 0
thread.join()
assert b"[detached (from session all)]" in seen, seen[-300:]
tmux("kill-server")
assert server.wait() == 0
sys.stdout.write(f"{answers}\n{counted}\n")
