"""
The ioctls of userfaultfd, and how its descriptor comes from one process to another.

Source: userfaultfd(2), ioctl_userfaultfd(2), pidfd_getfd(2);
include/uapi/linux/userfaultfd.h, Linux 6.12.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import struct

from blcr.host.native.process import own_arch

USER_MODE_ONLY = 1
"""The flag without which only the privileged get one."""

API = 0xAA
FEATURE_PAGEFAULT_FLAG_WP = 1 << 0
FEATURE_WP_ASYNC = 1 << 15
"""The kernel itself takes the protection off as a page is written, and notes it."""

UFFDIO_API = 0xC018AA3F
UFFDIO_REGISTER = 0xC020AA00
UFFDIO_UNREGISTER = 0x8010AA01
UFFDIO_COPY = 0xC028AA03
UFFDIO_MOVE = 0xC028AA05
MODE_MISSING = 1
MODE_WP = 2

PIDFD_THREAD = os.O_EXCL
"""A pidfd of one thread, with that thread's own descriptors (Linux 6.9)."""

_libc = ctypes.CDLL(None, use_errno=True)


def control(fd: int, code: int, *words: int) -> bool:
    """Make an ioctl with a structure of 64-bit words; False: the kernel refused."""
    try:
        fcntl.ioctl(fd, code, bytearray(struct.pack(f"={len(words)}Q", *words)))
    except OSError:
        return False
    return True


def taken(pid: int, fd: int, flags: int = 0) -> int:
    """
    Return a duplicate of a descriptor of a process; -1: the kernel says no.

    With `PIDFD_THREAD` as flags it is a thread's.
    """
    try:
        pidfd = os.pidfd_open(pid, flags)
    except OSError:
        return -1
    try:
        number = ctypes.c_long(own_arch().syscalls["pidfd_getfd"])
        result: int = _libc.syscall(number, pidfd, fd, 0)
        return result
    finally:
        os.close(pidfd)
