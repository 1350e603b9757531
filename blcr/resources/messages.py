"""
POSIX message queues.

One that is there is opened, and gets its messages if it is empty; otherwise it is made.

Source: mq_overview(7), mq_open(3), mq_unlink(3).
"""

from __future__ import annotations

import errno
import os
from functools import partial

from blcr import remote
from blcr.context import records
from blcr.errors import RemoteCallError, RestartError
from blcr.linux import structures
from blcr.resources.opening import Opening

_OWN = 0o600


def open_queue(opening: Opening, target: int, file: records.OpenFile) -> int:
    """Open a message queue; one that had no name any more loses it again."""
    known, made = opening.known, opening.sharing.message_queues
    most, size, unlinked = file.state[0]
    flags = file.flags & (known["O_ACCMODE"] | known["O_NONBLOCK"])
    if unlinked and file.inode in made:
        return opening.process.receive(made[file.inode])
    name = file.path.removeprefix("/")
    attributes = structures.of(opening.process.arch, "mq_attr")
    packed = attributes.pack(maxmsg=most, msgsize=size)
    try:
        exclusive = known["O_CREAT"] | known["O_EXCL"]
        mode = file.mode & 0o777
        # To be filled it has to be open to its owner.
        fd = remote.call(
            opening.task, "mq_open", name, flags | exclusive, mode | _OWN, packed
        )
    except RemoteCallError as error:
        if unlinked or error.errno != errno.EEXIST:
            raise opening.error(
                f"the message queue '{file.path}' of descriptor {target} cannot be "
                f"made: {os.strerror(error.errno)}",
                error,
            ) from error
        fd = remote.call(opening.task, "mq_open", name, flags, 0, 0)
        now = remote.Out(attributes.size)
        remote.call(opening.task, "mq_getsetattr", fd, 0, now)
        _refill(opening, target, file, fd, attributes.unpack(now.data)["curmsgs"])
        return fd
    if _saved(opening, file):
        _fill(opening, target, file, fd)
    remote.call(opening.task, "fchmod", fd, mode)
    if unlinked:
        remote.call(opening.task, "mq_unlink", name)
        made[file.inode] = opening.process.lend(fd)
    else:
        opening.undo.append(partial(remote.call, opening.task, "mq_unlink", name))
    return fd


def _refill(
    opening: Opening, target: int, file: records.OpenFile, fd: int, count: int
) -> None:
    """Fill a queue that was there, and has so many messages."""
    saved = len(_saved(opening, file))
    if file.inode in opening.sharing.opened_queues or count == saved:
        return
    if count == 0:
        _fill(opening, target, file, fd)
        return
    opening.notice(
        f"the message queue '{file.path}' (descriptor {target}) has {count} messages "
        f"instead of {saved}"
    )


def _fill(opening: Opening, target: int, file: records.OpenFile, fd: int) -> None:
    """
    Put the saved messages into a queue.

    Raises:
        RestartError: That is not permitted.
    """
    opening.sharing.opened_queues.add(file.inode)
    try:
        opening.process.fill_queue(fd, _saved(opening, file))
    except OSError as error:
        raise RestartError(
            f"process {opening.record.pid}: the message queue '{file.path}' of "
            f"descriptor {target} cannot get its messages: {error.strerror}",
            status=error.errno or errno.EIO,
        ) from error


def notify(opening: Opening) -> None:
    """Have queues tell the process of their messages again."""
    arch = opening.process.arch
    done = set()
    for descriptor in opening.record.descriptors:
        file = opening.context.files[descriptor.file]
        if not file.notifies or file.inode in done:
            continue
        pid, how, signal, value = file.notifies
        if pid != opening.record.pid:
            continue
        event = structures.of(arch, "sigevent")
        packed = event.pack(notify=how, signo=signal, value=value)
        remote.call(opening.task, "mq_notify", descriptor.fd, packed)
        done.add(file.inode)


def _saved(opening: Opening, file: records.OpenFile) -> tuple[tuple[int, bytes], ...]:
    """Return the messages of a queue."""
    queues = (one for one in opening.context.files if one.kind == file.kind)
    alike = (one for one in queues if one.inode == file.inode)
    return next((one.messages for one in alike if one.messages), ())
