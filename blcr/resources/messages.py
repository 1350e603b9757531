"""
POSIX message queues, which are empty: messages cannot be looked at without taking them.

One that is there is opened, and otherwise made.

Source: mq_overview(7), mq_open(3), mq_unlink(3).
"""

from __future__ import annotations

import errno
import os
from functools import partial

from blcr import remote
from blcr.context import records
from blcr.errors import RemoteCallError
from blcr.linux import structures
from blcr.resources.opening import Opening


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
        fd = remote.call(opening.task, "mq_open", name, flags | exclusive, mode, packed)
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
        if count := attributes.unpack(now.data)["curmsgs"]:
            opening.notice(
                f"the message queue '{file.path}' (descriptor {target}) has {count} "
                "messages that it had not"
            )
        return fd
    remote.call(opening.task, "fchmod", fd, mode)
    if unlinked:
        remote.call(opening.task, "mq_unlink", name)
        made[file.inode] = opening.process.lend(fd)
    else:
        opening.undo.append(partial(remote.call, opening.task, "mq_unlink", name))
    return fd
