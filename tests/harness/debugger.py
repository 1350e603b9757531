"""
A program under qemu-user, held by its debugger stub before its first instruction.

Source: the remote serial protocol, appendix E of "Debugging with GDB".
"""

from __future__ import annotations

import itertools
import os
import re
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

_serial = itertools.count()
_PIECE = 0x400
"""Bytes that surely fit into a packet."""
_SIGNALS = {10: signal.SIGBUS, 12: signal.SIGSYS}
"""By the protocol's numbers, which are not this kernel's."""
_ESCAPED = {b"}\x03": b"#", b"}\x04": b"$", b"}]": b"}", b"}\n": b"*"}


class Place(NamedTuple):
    """A register: its number in the protocol, and its size in bytes."""

    number: int
    size: int


class Debugger:
    """One process, from entering the block to leaving it."""

    def __init__(
        self,
        command: Sequence[str | Path],
        byteorder: Literal["little", "big"],
    ) -> None:
        self.byteorder: Literal["little", "big"] = byteorder
        self._path = f"{tempfile.gettempdir()}/blcr-{os.getpid()}-{next(_serial)}"
        self._process = subprocess.Popen(
            [command[0], "-g", self._path, *command[1:]],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self._socket = socket.socket(socket.AF_UNIX)
        self._data = b""

    def __enter__(self) -> Debugger:
        for _ in range(1000):
            try:
                self._socket.connect(self._path)
                break
            except OSError:
                time.sleep(0.01)
        self._ask("qSupported:xmlRegisters=i386,arm")
        self.registers = self._described()
        """By the debugger's names."""
        self.together = self._first_ones(len(self._ask("g")) // 2)
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()
        self._socket.close()
        Path(self._path).unlink(missing_ok=True)

    def read(self) -> dict[str, int]:
        """Return all registers."""
        data = bytes.fromhex(self._ask("g").decode())
        found, at = {}, 0
        for name, (number, size) in self.registers.items():
            if name in self.together:
                value, at = data[at : at + size], at + size
            else:
                value = bytes.fromhex(self._ask(f"p{number:x}").decode())
            found[name] = int.from_bytes(value, self.byteorder)
        return found

    def write(self, values: Mapping[str, int]) -> None:
        """Set registers; all of those that are transferred together must be given."""
        data = {
            name: value.to_bytes(self.registers[name].size, self.byteorder).hex()
            for name, value in values.items()
        }
        together = "".join(data.pop(name) for name in self.together)
        assert self._ask(f"G{together}") == b"OK"
        for name, value in data.items():
            question = f"P{self.registers[name].number:x}={value}"
            assert self._ask(question) == b"OK", name

    def read_memory(self, address: int, size: int) -> bytes:
        """Return memory."""
        pieces = [
            self._ask(f"m{at:x},{min(_PIECE, address + size - at):x}")
            for at in range(address, address + size, _PIECE)
        ]
        return bytes.fromhex(b"".join(pieces).decode())

    def write_memory(self, address: int, data: bytes) -> None:
        """Change memory."""
        for at in range(0, len(data), _PIECE):
            piece = data[at : at + _PIECE]
            question = f"M{address + at:x},{len(piece):x}:{piece.hex()}"
            assert self._ask(question) == b"OK"

    def step(self) -> int:
        """Execute one instruction and return the signal that stopped it: 5, a trap."""
        number = int(self._ask("s")[1:3], 16)
        return _SIGNALS.get(number, number)

    def _described(self) -> dict[str, Place]:
        found: dict[str, Place] = {}
        number = 0
        for part in re.findall(r'href="([^"]+)"', self._description("target.xml")):
            for tag in re.findall("<reg [^>]*>", self._description(part)):
                given = dict(re.findall(r'(\w+)="([^"]*)"', tag))
                number = int(given.get("regnum", number))
                answer = self._ask(f"p{number:x}")
                size = int(given["bitsize"]) // 8
                if len(answer) == 2 * size:
                    found[given["name"]] = Place(number, size)
                elif not answer.startswith(b"E"):
                    continue  # QEMU 7.2 describes control registers that it lacks
                number += 1
        return found

    def _first_ones(self, size: int) -> list[str]:
        """Return the registers that are transferred together, in so many bytes."""
        names = []
        for name, place in self.registers.items():
            if size < place.size:
                break
            names.append(name)
            size -= place.size
        return names

    def _description(self, name: str) -> str:
        data, more = b"", True
        while more:
            question = f"qXfer:features:read:{name}:{len(data):x},ffb"
            answer = self._ask(question)
            for escaped, meant in _ESCAPED.items():
                answer = answer.replace(escaped, meant)
            more = answer[:1] == b"m"
            data += answer[1:]
        return data.decode()

    def _ask(self, question: str) -> bytes:
        data = question.encode()
        self._socket.sendall(b"$%s#%02x" % (data, sum(data) % 256))
        return self._answer()

    def _answer(self) -> bytes:
        while True:
            start = self._data.find(b"$")
            end = self._data.find(b"#", start)
            if start >= 0 and 0 <= end <= len(self._data) - 3:
                answer = self._data[start + 1 : end]
                self._data = self._data[end + 3 :]
                self._socket.sendall(b"+")
                return answer
            part = self._socket.recv(1 << 16)
            assert part, "the emulator has ended"
            self._data += part
