"""
Who a process is: users, groups, capabilities.

Guests are what we are, and can become nobody else; asking to be what one is succeeds.

Source: credentials(7), capabilities(7), the manual pages of the calls.
"""

from __future__ import annotations

import errno
import os

from blcr.host.emulated.calls.table import call, fail
from blcr.host.emulated.tasks import Thread, signed

_CAPABILITY_VERSION = 0x2008_0522
"""_LINUX_CAPABILITY_VERSION_3: two words of each set."""


@call("getuid", "getuid32", "geteuid", "geteuid32")
def getuid(_thread: Thread) -> int:
    """Return whose the process is."""
    return os.getuid()


@call("getgid", "getgid32", "getegid", "getegid32")
def getgid(_thread: Thread) -> int:
    """Return of which group the process's owner is."""
    return os.getgid()


@call("getresuid", "getresuid32")
def getresuid(thread: Thread, real: int, effective: int, saved: int) -> int:
    """Tell whose the process is, three times."""
    for address in (real, effective, saved):
        thread.guest.store_int(address, os.getuid())
    return 0


@call("getresgid", "getresgid32")
def getresgid(thread: Thread, real: int, effective: int, saved: int) -> int:
    """Tell of which group the process's owner is, three times."""
    for address in (real, effective, saved):
        thread.guest.store_int(address, os.getgid())
    return 0


@call("getgroups", "getgroups32")
def getgroups(thread: Thread, count: int, result: int) -> int:
    """Tell the supplementary groups."""
    groups = os.getgroups()
    if count:
        if count < len(groups):
            raise fail(errno.EINVAL)
        for i, group in enumerate(groups):
            thread.guest.store_int(result + 4 * i, group)
    return len(groups)


def _become(own: int, *wanted: int) -> int:
    """Succeed where every id is our own, or -1 for no change."""
    if any(signed(one) not in {-1, own} for one in wanted):
        raise fail(errno.EPERM)
    return 0


@call("setuid", "setuid32")
def setuid(_thread: Thread, uid: int) -> int:
    """Become a user."""
    return _become(os.getuid(), uid)


@call("setgid", "setgid32")
def setgid(_thread: Thread, gid: int) -> int:
    """Become a member of a group."""
    return _become(os.getgid(), gid)


@call("setreuid", "setreuid32")
def setreuid(_thread: Thread, real: int, effective: int) -> int:
    """Become a user."""
    return _become(os.getuid(), real, effective)


@call("setregid", "setregid32")
def setregid(_thread: Thread, real: int, effective: int) -> int:
    """Become a member of a group."""
    return _become(os.getgid(), real, effective)


@call("setresuid", "setresuid32")
def setresuid(_thread: Thread, real: int, effective: int, saved: int) -> int:
    """Become a user."""
    return _become(os.getuid(), real, effective, saved)


@call("setresgid", "setresgid32")
def setresgid(_thread: Thread, real: int, effective: int, saved: int) -> int:
    """Become a member of a group."""
    return _become(os.getgid(), real, effective, saved)


@call("setgroups", "setgroups32")
def setgroups(thread: Thread, count: int, groups: int) -> int:
    """Set the supplementary groups, which cannot change."""
    if count > len(os.getgroups()):
        raise fail(errno.EPERM)
    wanted = {thread.guest.fetch_int(groups + 4 * i) for i in range(count)}
    if wanted != set(os.getgroups()):
        raise fail(errno.EPERM)
    return 0


@call("setfsuid", "setfsuid32")
def setfsuid(_thread: Thread, _uid: int) -> int:
    """Tell as whom files are used; it cannot change."""
    return os.getuid()


@call("setfsgid", "setfsgid32")
def setfsgid(_thread: Thread, _gid: int) -> int:
    """Tell as of which group files are used; it cannot change."""
    return os.getgid()


@call("capget")
def capget(thread: Thread, header: int, data: int) -> int:
    """Tell the capabilities: none, whoever we are."""
    guest = thread.guest
    version = guest.fetch_int(header)
    if version != _CAPABILITY_VERSION:
        guest.store_int(header, _CAPABILITY_VERSION)
        if data:
            raise fail(errno.EINVAL)
        return 0
    if data:
        guest.space.write(data, bytes(24))
    return 0


@call("chroot", "mount", "umount2", "pivot_root", "sethostname", "setdomainname")
def chroot(_thread: Thread) -> int:
    """Refuse what needs privileges over the system."""
    raise fail(errno.EPERM)


@call("unshare", "setns")
def unshare(_thread: Thread) -> int:
    """Refuse namespaces."""
    raise fail(errno.EPERM)
