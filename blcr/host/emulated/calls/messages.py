"""
POSIX message queues, which are the kernel's that we run on.

Who is told of a message that comes (mq_notify) is the machine's to say, for messages
of its guests: to the kernel all that they do is done by us.

Source: mq_overview(7), mq_open(3), mq_send(3), mq_receive(3), mq_notify(3),
mq_getattr(3); ipc/mqueue.c of Linux 6.12.
"""

from __future__ import annotations

import errno
import os
import time

from blcr.host import queues
from blcr.host.emulated import signals
from blcr.host.emulated.calls.table import call, fail, not_served, only, timed
from blcr.host.emulated.calls.time import fetch_time
from blcr.host.emulated.files import Notification, OpenFile, to_host_flags
from blcr.host.emulated.locks import Key, key_of
from blcr.host.emulated.tasks import Blocked, Guest, Thread, Wait, signed
from blcr.linux.constants import GENERIC

_OPENING = "O_WRONLY O_RDWR O_CREAT O_EXCL O_NONBLOCK O_CLOEXEC O_LARGEFILE"
_POLLIN, _POLLOUT = 1, 4
_MODES = 0o7777
_LAST_SIGNAL = 64


def _queue(thread: Thread, fd: int, unwanted: int) -> OpenFile:
    """Return a queue that is not open with some access only; EBADF for all else."""
    file = thread.guest.descriptors.get(signed(fd))
    if file.kind != "mqueue" or file.flags & os.O_ACCMODE == unwanted:
        raise fail(errno.EBADF)
    return file


@call("mq_open")
def mq_open(thread: Thread, name: int, flags: int, mode: int, attributes: int) -> int:
    """Open a queue, or make one."""
    guest, names = thread.guest, thread.guest.constants
    only(thread, "mq_open", "O_", flags, _OPENING)
    label, new = guest.path(name), None
    if attributes and flags & names["O_CREAT"]:
        row = guest.fetch("mq_attr", attributes)
        new = row["maxmsg"], row["msgsize"]
    host = to_host_flags(names, flags) | os.O_NONBLOCK
    fd = queues.open_queue(label, host, mode & _MODES & ~guest.umask, new)
    os.set_inheritable(fd, False)
    kept = flags & (os.O_ACCMODE | guest.bits("O_NONBLOCK O_LARGEFILE"))
    return guest.descriptors.add(
        OpenFile(fd, "mqueue", f"/{label}", kept), cloexec=True
    )


@call("mq_unlink")
def mq_unlink(thread: Thread, name: int) -> int:
    """Take a queue's name from it."""
    queues.unlink(thread.guest.path(name))
    return 0


@call("mq_getsetattr")
def mq_getsetattr(thread: Thread, fd: int, new: int, old: int) -> int:
    """Tell what a queue is like, and set whether it is waited for."""
    guest, waits = thread.guest, thread.guest.constants["O_NONBLOCK"]
    file, wanted = _queue(thread, fd, -1), 0
    if new:
        wanted = guest.fetch("mq_attr", new)["flags"]
        if wanted & ~waits:
            raise fail(errno.EINVAL)
    before = file.flags & waits
    if new:
        file.flags = file.flags & ~waits | wanted
    if old:
        found = queues.attributes(file.fd)
        values = {"maxmsg": found.most, "msgsize": found.size, "curmsgs": found.waiting}
        guest.store("mq_attr", old, flags=before, **values)
    return 0


@timed(mq_timedsend="timespec", mq_timedsend_time64="timespec64")
def mq_timedsend(
    thread: Thread,
    unit: str,
    fd: int,
    address: int,
    size: int,
    priority: int,
    end: int,
) -> int:
    """Put a message into a queue as soon as there is room, or until some time."""
    guest = thread.guest
    limit = fetch_time(guest, unit, end) if end else None
    file = _queue(thread, fd, os.O_RDONLY)
    before = queues.attributes(file.fd)
    if size > before.size:
        raise fail(errno.EMSGSIZE)
    data = guest.space.read(address, size)
    try:
        queues.send_one(file.fd, priority & 0xFFFF_FFFF, data)
    except BlockingIOError:
        raise _waiting(thread, file, _POLLOUT, limit) from None
    if not before.waiting:
        _tell(guest, key_of(file))
    return 0


@timed(mq_timedreceive="timespec", mq_timedreceive_time64="timespec64")
def mq_timedreceive(
    thread: Thread,
    unit: str,
    fd: int,
    address: int,
    size: int,
    priority: int,
    end: int,
) -> int:
    """Take the first message from a queue, as soon as there is one."""
    guest = thread.guest
    limit = fetch_time(guest, unit, end) if end else None
    file = _queue(thread, fd, os.O_WRONLY)
    longest = queues.attributes(file.fd).size
    if size < longest:
        raise fail(errno.EMSGSIZE)
    try:
        found, data = queues.receive_one(file.fd, longest)
    except BlockingIOError:
        raise _waiting(thread, file, _POLLIN, limit) from None
    if priority:
        guest.store_int(priority, found)
    guest.space.write(address, data)
    return len(data)


def _waiting(
    thread: Thread, file: OpenFile, events: int, limit: int | None
) -> OSError | Blocked:
    """Return that a call has to wait, or why it fails instead."""
    guest, until = thread.guest, None
    if file.flags & guest.constants["O_NONBLOCK"]:
        return fail(errno.EAGAIN)
    if limit is not None:
        left = limit - time.time_ns()
        if left <= 0:
            return fail(errno.ETIMEDOUT)
        until = guest.machine.monotonic() + left
    wait = Wait(until, ((file.fd, events),))
    wait.place = ("mqueue", key_of(file), events)
    return Blocked(wait)


# Being told of a message.


@call("mq_notify")
def mq_notify(thread: Thread, fd: int, event: int) -> int:
    """Ask to be told once when a message comes into the empty queue, or not to be."""
    guest, names = thread.guest, thread.guest.constants
    wanted = None
    if event:
        row = guest.fetch("sigevent", event)
        notify = row["notify"]
        if notify == names["SIGEV_THREAD"]:
            raise not_served(thread, "mq_notify", "SIGEV_", notify)
        if notify not in {names["SIGEV_SIGNAL"], names["SIGEV_NONE"]} or (
            notify == names["SIGEV_SIGNAL"] and not 0 <= row["signo"] <= _LAST_SIGNAL
        ):
            raise fail(errno.EINVAL)
        wanted = Notification(guest.pid, notify, row["signo"], row["value"])
    key = key_of(_queue(thread, fd, -1))
    found = notified(guest, key)
    if wanted is not None:
        if found is not None:
            raise fail(errno.EBUSY)
        guest.descriptors.notifications[key] = wanted
    elif found is not None and found[1].pid == guest.pid:
        del guest.descriptors.notifications[key]
    return 0


def notified(guest: Guest, key: Key) -> tuple[Guest, Notification] | None:
    """Return which guest of a machine is told of a queue's messages, and how."""
    for one in guest.machine.guests.values():
        found = one.descriptors.notifications.get(key)
        if found is not None and found.pid == one.pid:
            return one, found
    return None


def _tell(sender: Guest, key: Key) -> None:
    """Tell who has asked for that that a message has come, if nobody waits for it."""
    found = notified(sender, key)
    place = ("mqueue", key, _POLLIN)
    waits = any(
        thread.wait is not None and thread.wait.place == place
        for thread in sender.machine.threads()
    )
    if found is None or waits:
        return
    guest, wanted = found
    del guest.descriptors.notifications[key]
    if wanted.notify == GENERIC["SIGEV_SIGNAL"] and wanted.signal:
        info = guest.structure("siginfo_rt").pack(
            signo=wanted.signal,
            code=GENERIC["SI_MESGQ"],
            pid=sender.pid,
            uid=os.getuid(),
            value=wanted.value,
        )
        signals.send(guest, info)
