"""
Reading and writing the memory of a process.

`process_vm_readv` is fast and honours protections; ``/proc/PID/mem`` does not, and so
reads what a program has locked away from itself.

Source: process_vm_readv(2), proc_pid_mem(5).
"""

from __future__ import annotations

import array
import ctypes
import os
from collections.abc import Sequence

from blcr.errors import HostError, TaskGoneError
from blcr.host.interface import Run
from blcr.host.native.ptrace import IOVec

_IOV_MAX = 1024
"""Places that one call reads from: UIO_MAXIOV in linux/uio.h."""

_libc = ctypes.CDLL(None, use_errno=True)
_readv = _libc.process_vm_readv
_readv.argtypes = [
    ctypes.c_int,
    ctypes.c_void_p,
    ctypes.c_ulong,
    ctypes.c_void_p,
    ctypes.c_ulong,
    ctypes.c_ulong,
]
_readv.restype = ctypes.c_ssize_t


class AccessError(HostError, OSError):
    """Memory of a process could not be read or written; `errno` says why."""


class Memory:
    """The address space of a process, open for reading and writing by address."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._fd = -1
        self._local = IOVec()
        self._remote = IOVec()
        self._addresses = (
            ctypes.addressof(self._local),
            ctypes.addressof(self._remote),
        )

    def _file(self) -> int:
        """Open ``mem`` at the first use; after an execve it has to be opened anew."""
        if self._fd < 0:
            self._fd = os.open(f"/proc/{self._pid}/mem", os.O_RDWR | os.O_CLOEXEC)
        return self._fd

    def close(self) -> None:
        """Give up the descriptor."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def read(self, address: int, size: int) -> bytes:
        """Return `size` bytes; EIO where nothing is mapped."""
        buffer = bytearray(size)
        self.read_into(address, memoryview(buffer))
        return bytes(buffer)

    def read_into(self, address: int, buffer: memoryview) -> None:
        """Fill a buffer from `address` on."""
        size = len(buffer)
        local = (ctypes.c_char * size).from_buffer(buffer)
        self._local.base, self._local.size = ctypes.addressof(local), size
        self._remote.base, self._remote.size = address, size
        done = _readv(self._pid, self._addresses[0], 1, self._addresses[1], 1, 0)
        if done == size:
            return
        done = max(done, 0)
        while done < size:
            try:
                got = os.preadv(self._file(), [buffer[done:]], address + done)
            except OSError as error:
                raise self._error("read", address + done, error) from error
            if not got:
                raise TaskGoneError(f"process {self._pid} has ended")
            done += got

    def read_runs(self, runs: Sequence[Run], buffer: memoryview) -> None:
        """Fill a buffer from several places, one behind the other."""
        done = 0
        for first in range(0, len(runs), _IOV_MAX):
            part = runs[first : first + _IOV_MAX]
            size = sum(end - start for start, end in part)
            target = buffer[done : done + size]
            if len(part) == 1 or self._read_together(part, target) < size:
                self._read_apart(part, target)
            done += size

    def _read_together(self, runs: Sequence[Run], buffer: memoryview) -> int:
        """Read with a single call; return how many bytes that was good for."""
        places = array.array("L")
        for start, end in runs:
            places.extend((start, end - start))
        local = (ctypes.c_char * len(buffer)).from_buffer(buffer)
        self._local.base, self._local.size = ctypes.addressof(local), len(buffer)
        return int(
            _readv(
                self._pid,
                self._addresses[0],
                1,
                places.buffer_info()[0],
                len(runs),
                0,
            )
        )

    def _read_apart(self, runs: Sequence[Run], buffer: memoryview) -> None:
        """Read with a call for each run, whatever the protection of the pages."""
        done = 0
        for start, end in runs:
            self.read_into(start, buffer[done : done + end - start])
            done += end - start

    def write(self, address: int, data: bytes | memoryview) -> None:
        """Write, whatever the protection of the pages."""
        view = memoryview(data)
        while view:
            try:
                done = os.pwrite(self._file(), view, address)
            except OSError as error:
                raise self._error("written", address, error) from error
            address, view = address + done, view[done:]

    def _error(self, what: str, address: int, error: OSError) -> AccessError:
        """Return what went wrong, in a sentence."""
        return AccessError(
            error.errno,
            f"process {self._pid}: its memory at {address:#x} cannot be {what}: "
            f"{error.strerror}",
        )
