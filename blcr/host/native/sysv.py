"""
System V objects: what there is of them, and making them anew under their ids.

Segments are those that the processes have attached.  Of semaphores and message queues
nothing shows who uses them but the process that did so last; where the processes have
an IPC namespace, made by a restart of ours, all in it is theirs.

Source: sysvipc(7), proc_sysvipc(5), msgrcv(2) for MSG_COPY, proc_sys_kernel(5);
ipc_idr_alloc in ipc/util.c, Linux 6.12, for ``*_next_id``.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import struct
from collections.abc import Callable, Container, Mapping, Sequence

from blcr.annotations import Any
from blcr.context import records
from blcr.errors import BusyError, RefusedError, RestartError
from blcr.host.native import namespaces, procfs
from blcr.host.native.caretaker import Caretaker

_IPC_CREAT, _IPC_EXCL, _IPC_NOWAIT = 0o1000, 0o2000, 0o4000
_IPC_RMID, _IPC_SET, _IPC_STAT = 0, 1, 2
_MSG_COPY = 0o40000
_GETALL, _GETPID, _SETALL = 13, 11, 17
_DESTROYED = 0o1000
"""SHM_DEST: the segment goes with its last attachment."""
_DS_SIZE = 256
_UID, _MODE, _QBYTES = 4, 20, 88
"""Where struct msqid_ds and its kin have uid and gid, mode, and the queue's limit: as
asm-generic has it where a word has 64 bits."""
_LONG = struct.calcsize("=q")

_NEXT = "/proc/sys/kernel/{}_next_id"

_libc = ctypes.CDLL(None, use_errno=True)

Row = Mapping[str, int]


def segments(pid: int) -> dict[int, records.SharedMemory]:
    """Return the shared memory segments that a process sees, by id."""
    rows: dict[int, Row] = _within(pid, lambda: _rows("shm"))
    return {
        number: records.SharedMemory(
            row["size"],
            (),
            "sysv",
            mode=row["perms"],
            ipc=records.IpcObject(number, row["key"], row["uid"], row["gid"]),
        )
        for number, row in rows.items()
    }


Used = tuple[tuple[records.Semaphores, ...], tuple[records.MessageQueue, ...]]


def used(pids: Sequence[int], waits: Container[tuple[str, int]]) -> Used:
    """
    Return the semaphores and message queues that processes use.

    Args:
        pids: The processes, as we see them.
        waits: ``"sem"`` or ``"msg"`` and the id of objects that they wait for.

    Raises:
        RefusedError: A queue has messages that may not be looked at.
    """
    alone = not procfs.shares_objects(pids[0])

    def look() -> Used:
        semaphores, queues = [], []
        for number, row in _rows("sem").items():
            count = row["nsems"]
            known = alone or ("sem", number) in waits
            if known or any(_asked(number, n, _GETPID) in pids for n in range(count)):
                values = (ctypes.c_ushort * count)()
                if _libc.semctl(number, 0, _GETALL, values) < 0:
                    raise _unreadable(pids[0], "semaphores", number)
                semaphores.append(
                    records.Semaphores(_object(row), row["perms"], tuple(values))
                )
        for number, row in _rows("msg").items():
            known = alone or ("msg", number) in waits
            if known or row["lspid"] in pids or row["lrpid"] in pids:
                queues.append(_queue(pids[0], row))
        return tuple(semaphores), tuple(queues)

    found: Used = _within(pids[0], look)
    return found


def _queue(pid: int, row: Row) -> records.MessageQueue:
    """Return a message queue with its messages, which stay in it."""
    number, size = row["id"], row["cbytes"]
    room = ctypes.create_string_buffer(_LONG + size)
    messages = []
    for index in range(row["qnum"]):
        flags = _MSG_COPY | _IPC_NOWAIT
        length = _libc.msgrcv(number, room, size, ctypes.c_long(index), flags)
        if length < 0:
            raise _unreadable(pid, "a message queue", number)
        (kind,) = struct.unpack_from("=q", room.raw)
        messages.append((kind, room.raw[_LONG : _LONG + length]))
    stat = _stat("msg", number)
    (limit,) = struct.unpack_from("=Q", stat, _QBYTES)
    return records.MessageQueue(_object(row), row["perms"], limit, tuple(messages))


def _unreadable(pid: int, what: str, number: int) -> RefusedError:
    """Return the error for an object that may not be looked at."""
    reason = os.strerror(ctypes.get_errno())
    return RefusedError(
        pid, f"uses {what} (System V, id {number}) that cannot be read: {reason}"
    )


def _object(row: Row) -> records.IpcObject:
    return records.IpcObject(row["id"], row["key"], row["uid"], row["gid"])


def _asked(number: int, index: int, command: int) -> int:
    """Return what semctl(2) says of one semaphore."""
    return int(_libc.semctl(number, index, command))


def _rows(kind: str) -> dict[int, Row]:
    """Return the objects of a kind by id, each with the columns of its table."""
    try:
        with open(f"/proc/sysvipc/{kind}") as file:
            head, *lines = file.read().splitlines()
    except OSError:
        return {}
    key, _number, *others = head.split()
    names = [key, "id", *others]
    found: dict[int, Row] = {}
    for line in lines:
        words = line.split()
        values = dict(zip(names, map(int, words), strict=True))
        values["perms"] = int(words[names.index("perms")], 8)
        found[values["id"]] = values
    return found


def _within(pid: int, look: Callable[[], object]) -> Any:  # noqa: ANN401
    """Call a function in the IPC namespace of a process, by a child if need be."""
    if procfs.shares_objects(pid):
        return look()
    import pickle

    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            if procfs.link(pid, "ns/user") != procfs.link(os.getpid(), "ns/user"):
                _enter(pid, "user", namespaces.CLONE_NEWUSER)
            _enter(pid, "ipc", namespaces.CLONE_NEWIPC)
            said: object = look()
        except BaseException as error:
            said = error
        try:
            with open(writer, "wb") as file:
                file.write(pickle.dumps(said))
        finally:
            os._exit(0)
    os.close(writer)
    with open(reader, "rb") as file:
        data = file.read()
    os.waitpid(child, 0)
    found = pickle.loads(data)
    if isinstance(found, BaseException):
        raise found
    return found


def _enter(pid: int, name: str, kind: int) -> None:
    """Enter a namespace of a process."""
    with open(f"/proc/{pid}/ns/{name}") as file:
        namespaces.call("setns", file.fileno(), kind)


def needs_namespace(context: records.Context) -> bool:
    """Tell whether there are objects, whose ids not everybody may choose."""
    segments = any(one.kind == "sysv" for one in context.shared_memory)
    return segments or bool(context.semaphores or context.message_queues)


class Making:
    """
    The System V objects of a context, made anew in our IPC namespace.

    Those that are there yet, and that nobody has attached, are taken as they are.

    Attributes:
        segments: Ids by index of the shared memory.
        warnings: What is not as it was.
        caretaker: Knows of what is made; None: that goes with its namespace.

    Raises:
        BusyError: An id or a key is somebody else's.
        RestartError: An id cannot be chosen.
    """

    def __init__(self, context: records.Context) -> None:
        self.caretaker: Caretaker | None = None
        self.segments: dict[int, int] = {}
        self.warnings: list[str] = []
        self._context = context
        self._made: list[tuple[str, int]] = []
        self._doomed: list[int] = []

    def make(self) -> None:
        """Make them; messages and values come with `finish`."""
        for index, one in enumerate(self._context.shared_memory):
            if one.kind == "sysv" and one.ipc:
                number = self._segment(one, one.ipc)
                self.segments[index] = number
                if one.mode & _DESTROYED:
                    self._doomed.append(number)
        for semaphores in self._context.semaphores:
            count, mode = len(semaphores.values), semaphores.mode
            self._find("sem", semaphores.ipc, mode, {"nsems": count}, count)
            for pid, number, by in semaphores.undo:
                self.warnings.append(
                    f"process {pid} does not add {by} to semaphore {number} of the set "
                    f"{semaphores.ipc.id} any more when it ends (SEM_UNDO)"
                )
        for queue in self._context.message_queues:
            self._find("msg", queue.ipc, queue.mode, {})

    def finish(self) -> None:
        """Give them values and messages, now that nothing else can go wrong."""
        for semaphores in self._context.semaphores:
            values = (ctypes.c_ushort * len(semaphores.values))(*semaphores.values)
            namespaces.call("semctl", semaphores.ipc.id, 0, _SETALL, values)
        for queue in self._context.message_queues:
            number = queue.ipc.id
            for _ in range(_rows("msg")[number]["qnum"]):
                room = ctypes.create_string_buffer(1 << 16)
                namespaces.call(
                    "msgrcv", number, room, 1 << 16, ctypes.c_long(0), _IPC_NOWAIT
                )
            for kind, data in queue.messages:
                packed = struct.pack("=q", kind) + data
                namespaces.call("msgsnd", number, packed, len(data), _IPC_NOWAIT)
        for number in self._doomed:
            namespaces.call("shmctl", number, _IPC_RMID, None)

    def remove(self) -> None:
        """Remove what was made, after a failure."""
        for kind, number in self._made:
            _control(kind, number, _IPC_RMID, None)
        self._made = []

    def _segment(self, one: records.SharedMemory, ipc: records.IpcObject) -> int:
        # That of a destroyed one is of no use to anybody.
        loose = bool(one.mode & _DESTROYED) and not ipc.key
        alike = {"size": one.size, "nattch": 0}
        return self._find("shm", ipc, one.mode, alike, one.size, loose=loose)

    def _find(
        self,
        kind: str,
        ipc: records.IpcObject,
        mode: int,
        alike: Row,
        *size: int,
        loose: bool = False,
    ) -> int:
        """
        Return an object's id: one that is there and alike, or a new one.

        Args:
            kind: ``"shm"``, ``"sem"`` or ``"msg"``.
            ipc: What it was.
            mode: Its permissions.
            alike: Columns that one to be taken must have.
            size: Argument of the call that makes it.
            loose: Another id will do.
        """
        there = _rows(kind).get(ipc.id)
        if there is not None:
            wanted = {**alike, "key": ipc.key, "uid": ipc.uid}
            if any(there[name] != value for name, value in wanted.items()):
                raise self._busy(kind, ipc)
            return ipc.id
        with contextlib.suppress(OSError), open(_NEXT.format(kind), "w") as file:
            file.write(str(ipc.id))
        if self.caretaker:
            self.caretaker.note("object", kind, ipc.id)
        flags = _IPC_CREAT | _IPC_EXCL | mode & 0o777
        key = ctypes.c_int(ipc.key)
        try:
            number = namespaces.call(
                f"{kind}get", key, *map(ctypes.c_size_t, size), flags
            )
        except FileExistsError as error:
            raise self._busy(kind, ipc) from error
        self._made.append((kind, number))
        if self.caretaker and number != ipc.id:
            self.caretaker.note("object", kind, number)
        if number != ipc.id and not loose:
            raise RestartError(
                f"the id {ipc.id} of a System V object ({kind}) cannot be given again; "
                "restart as root, or without --no-restore-pid"
            )
        self._own(kind, number, ipc, mode)
        return number

    def _busy(self, kind: str, ipc: records.IpcObject) -> BusyError:
        return BusyError(
            f"the System V object ({kind}) with id {ipc.id} and key {ipc.key:#x} is in "
            "use by somebody else; see ipcs(1)"
        )

    def _own(self, kind: str, number: int, ipc: records.IpcObject, mode: int) -> None:
        """Give an object its owner, and a queue its limit."""
        data = bytearray(_stat(kind, number))
        struct.pack_into("=II", data, _UID, ipc.uid, ipc.gid)
        struct.pack_into("=I", data, _MODE, mode & 0o777)
        for queue in self._context.message_queues if kind == "msg" else ():
            if queue.ipc is ipc:
                struct.pack_into("=Q", data, _QBYTES, queue.capacity)
        if _control(kind, number, _IPC_SET, bytes(data)) < 0:
            self.warnings.append(
                f"the System V object ({kind}) {number} cannot be given to user "
                f"{ipc.uid} with its limits: {os.strerror(ctypes.get_errno())}"
            )


def _stat(kind: str, number: int) -> bytes:
    """Return what IPC_STAT says of an object."""
    room = ctypes.create_string_buffer(_DS_SIZE)
    _control(kind, number, _IPC_STAT, room)
    return room.raw


def _control(kind: str, number: int, command: int, data: object) -> int:
    """Make the call by which objects of a kind are controlled."""
    first = (number, 0) if kind == "sem" else (number,)
    return int(getattr(_libc, f"{kind}ctl")(*first, command, data))
