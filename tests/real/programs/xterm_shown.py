"""
An xterm on the display of an Xvfb, in which a shell computes and prints.

In the end what the display shows is kept in the file "shown".  The first argument says
how much is computed.
"""

import atexit
import os
import subprocess
import sys
import time
from pathlib import Path

ROUNDS = int(sys.argv[1])
COUNTING = f"""
x=7; for ((i = 0; i < {ROUNDS}; i++)); do
    x=$(( (x * 31 + i) % 1000003 ))
    (( i % 500 )) || echo -e "\\e[3$((i / 500 % 8))m$i $x"
done
# What is asked is answered when all before it has been drawn.
stty -echo; printf '\\e[6n'; read -rs -d R place; echo "${{place#*[}}" >place
mv place drawn; read -r line
"""

shown, number = os.pipe()
words = ["-screen", "0", "600x400x24", "-fbdir", ".", "-displayfd", str(number)]
server = subprocess.Popen(["Xvfb", *words, "-nolisten", "tcp"], pass_fds=[number])
atexit.register(server.kill)
os.close(number)
with os.fdopen(shown) as line:
    display = line.readline().strip()
Path("counting").write_text(COUNTING)
words = ["-display", f":{display}", "-geometry", "90x30+0+0", "-fn", "fixed"]
xterm = subprocess.Popen(["xterm", *words, "-e", "bash", "counting"])
while not Path("drawn").exists():
    assert xterm.poll() is None
    assert server.poll() is None
    time.sleep(0.01)
Path("shown").write_bytes(Path("Xvfb_screen0").read_bytes())
sys.stdout.write(Path("drawn").read_text())
xterm.terminate()
xterm.wait()
server.terminate()
server.wait()
