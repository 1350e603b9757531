"""
Who a program is and what it may: ids, capabilities, securebits, root directory.

Ids and capabilities are facts that outsiders see.  A process is made with rights that
the program need not have, so its own are the last that it gets.  What the restarter
lacks it cannot give: an ordinary user's program gets that user's ids and, in the end,
no capabilities.

Source: credentials(7), capabilities(7), chroot(2); security/commoncap.c, Linux 6.12.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from blcr import remote
from blcr.context import records
from blcr.errors import RemoteCallError, RestartError
from blcr.host.interface import NewProcess, Task
from blcr.linux import constants, structures

_HIDDEN_GROUP = 65534
"""What stands for the groups that a user namespace does not know."""
_SETS = ("inheritable", "permitted", "effective", "bounding", "ambient")


def enter_root(task: Task, record: records.Process) -> None:
    """
    Set the root directory.

    Raises:
        RestartError: It is another one, and the right to set it is missing.
    """
    if record.root == task.process.facts().root:
        return
    try:
        remote.call(task, "chroot", record.root)
    except RemoteCallError as error:
        raise RestartError(
            f"process {record.pid}: its root directory '{record.root}' cannot be set "
            f"again: {error}; restart as root, or without --no-restore-pid",
            status=error.errno,
        ) from error


def try_root(task: Task, record: records.Process) -> None:
    """
    Set the root directory and go back, while nothing has been changed yet.

    Raises:
        RestartError: As `enter_root`.
    """
    if record.root == task.process.facts().root:
        return
    known = constants.of(task.process.arch)
    flags = known["O_PATH"] | known["O_DIRECTORY"] | known["O_CLOEXEC"]
    here = known["AT_FDCWD"]
    root, cwd = (remote.call(task, "openat", here, at, flags, 0) for at in ("/", "."))
    enter_root(task, record)
    task.call("fchdir", root)
    remote.call(task, "chroot", ".")
    task.call("fchdir", cwd)
    for fd in (root, cwd):
        task.call("close", fd)


def rebuild(process: NewProcess, record: records.Process) -> list[str]:
    """Give every thread its rights; return what could not be, a clause for each."""
    losses = list(_other_groups(process.facts().groups, record.groups))
    pairs = [*zip(process.tasks, record.threads, strict=True)]
    if record.ended_leader:
        # Who may send it signals depends on the ids of the main thread.
        pairs.append((process.leader, record.threads[0]))
    for task, thread in pairs:
        present = task.facts().credentials
        if present is None:
            losses += _other_ids(process, record)
            continue
        saved = thread.credentials or _plain(present, record)
        if saved == present and not record.controls.securebits:
            continue
        builder = _Builder(task, present, _granted(saved, process.grants))
        builder.build(record.controls.securebits)
        losses += builder.losses
        losses += _differences(saved, task.facts().credentials or present)
    return losses


def _other_ids(process: NewProcess, record: records.Process) -> Iterator[str]:
    """Yield what is not as it was where a host has no rights to be set."""
    facts = process.facts()
    for name, old, new in (
        ("user ids", record.uids, facts.uids),
        ("group ids", record.gids, facts.gids),
    ):
        if old != new:
            yield f"{name} {text(new)} instead of {text(old)}"


def _other_groups(present: Sequence[int], saved: Sequence[int]) -> Iterator[str]:
    """Yield what is not as it was; in a user namespace groups cannot be told."""
    if set(present) != set(saved) and _HIDDEN_GROUP not in present:
        yield f"groups {text(present)} instead of {text(saved)}"


def _plain(
    present: records.Credentials, record: records.Process
) -> records.Credentials:
    """Return what a context without credentials stands for: root's or nobody's."""
    if not record.uids[1] and not present.uids[1]:
        return present
    return present._replace(inheritable=0, permitted=0, effective=0, ambient=0)


def _granted(saved: records.Credentials, grants: int) -> records.Credentials:
    """Return the part of what was saved that the restarter may give."""
    return saved._replace(
        permitted=saved.permitted & grants,
        effective=saved.effective & grants,
        ambient=saved.ambient & grants,
    )


def _differences(
    saved: records.Credentials, present: records.Credentials
) -> Iterator[str]:
    """Yield what is not as it was, a clause for each."""
    for name, old, new in (
        ("user ids", saved.uids, present.uids),
        ("group ids", saved.gids, present.gids),
    ):
        if old != new:
            yield f"{name} {text(new)} instead of {text(old)}"
    for name in _SETS:
        wanted, got = getattr(saved, name), getattr(present, name)
        if wanted != got:
            yield f"{name} capabilities {got:#x} instead of {wanted:#x}"


class _Builder:
    """One thread on its way from one set of rights to another."""

    def __init__(
        self, task: Task, present: records.Credentials, wanted: records.Credentials
    ) -> None:
        self.losses: list[str] = []
        self._task = task
        self._now = present
        self._wanted = wanted
        self._known = constants.of(task.process.arch)

    def build(self, securebits: int) -> None:
        """Set everything; the capabilities that this takes are given up last."""
        now, wanted = self._now, self._wanted
        if now.uids[:3] != wanted.uids[:3] or now.gids[:3] != wanted.gids[:3]:
            self._set_ids()
        if wanted.inheritable & ~now.inheritable or wanted.ambient & ~now.ambient:
            inheritable = now.inheritable | wanted.inheritable & now.permitted
            self._set_capabilities(now.permitted, now.permitted, inheritable)
        self._set_ambient()
        self._drop_bounding()
        self._set_securebits(securebits)
        self._set_file_system_ids()
        self._set_capabilities(
            wanted.permitted & now.permitted,
            wanted.effective & now.permitted,
            wanted.inheritable & (now.permitted | now.inheritable),
        )

    def _prctl(self, *args: int) -> bool:
        """Make a call that may be denied; tell whether it was not."""
        try:
            self._task.call("prctl", *args, *[0] * (5 - len(args)))
        except RemoteCallError:
            return False
        return True

    def _set_ids(self) -> None:
        """Set real, effective and saved ids; capabilities survive."""
        self._prctl(self._known["PR_SET_KEEPCAPS"], 1)
        try:
            self._task.call(self._call("setresgid"), *self._wanted.gids[:3])
            self._task.call(self._call("setresuid"), *self._wanted.uids[:3])
        except RemoteCallError:
            # Told as a difference.
            return
        now = self._now
        self._set_capabilities(now.permitted, now.permitted, now.inheritable)

    def _call(self, name: str) -> str:
        """Return the variant of a call that takes ids of 32 bits."""
        wide = f"{name}32"
        return wide if wide in self._task.process.arch.syscalls else name

    def _set_file_system_ids(self) -> None:
        """Set the ids that file accesses go by; the calls do not tell failure."""
        for name, ids in (("uid", self._wanted.uids), ("gid", self._wanted.gids)):
            if ids[3] != ids[1]:
                self._task.call(self._call(f"setfs{name}"), ids[3])

    def _set_ambient(self) -> None:
        known, wanted = self._known, self._wanted.ambient
        for number in _numbers(wanted & ~self._now.ambient):
            raising = known["PR_CAP_AMBIENT_RAISE"]
            self._prctl(known["PR_CAP_AMBIENT"], raising, number)
        for number in _numbers(self._now.ambient & ~wanted & self._wanted.permitted):
            lowering = known["PR_CAP_AMBIENT_LOWER"]
            self._prctl(known["PR_CAP_AMBIENT"], lowering, number)

    def _drop_bounding(self) -> None:
        for number in _numbers(self._now.bounding & ~self._wanted.bounding):
            if not self._prctl(self._known["PR_CAPBSET_DROP"], number):
                # Without CAP_SETPCAP none can be; told as a difference.
                return

    def _set_securebits(self, wanted: int) -> None:
        known = self._known
        present = self._task.call("prctl", known["PR_GET_SECUREBITS"], 0, 0, 0, 0)
        keep = known["SECBIT_KEEP_CAPS"]
        if (present ^ wanted) & keep:
            self._prctl(known["PR_SET_KEEPCAPS"], int(wanted & keep > 0))
            present ^= keep
        if present != wanted and not self._prctl(known["PR_SET_SECUREBITS"], wanted):
            self.losses.append(f"securebits {present:#x} instead of {wanted:#x}")

    def _set_capabilities(
        self, permitted: int, effective: int, inheritable: int
    ) -> None:
        arch = self._task.process.arch
        head = structures.of(arch, "cap_header").pack(
            version=self._known["_LINUX_CAPABILITY_VERSION_3"]
        )
        data = structures.of(arch, "cap_data")
        halves = (
            data.pack(
                effective=effective >> shift,
                permitted=permitted >> shift,
                inheritable=inheritable >> shift,
            )
            for shift in (0, 32)
        )
        remote.call(self._task, "capset", head, b"".join(halves))


def _numbers(bits: int) -> list[int]:
    """Return the numbers of the bits that are set."""
    return [number for number in range(bits.bit_length()) if bits >> number & 1]


def text(numbers: Iterable[int]) -> str:
    """Return ids as a person reads them."""
    return "/".join(map(str, numbers))
