"""``cr_info``: show what is in a context file."""

from __future__ import annotations

import binascii
import os
import struct
import sys
import time
from collections.abc import Iterable, Iterator, Sequence

from blcr.annotations import TYPE_CHECKING, Any
from blcr.cli import main as common
from blcr.cli.messages import Progress
from blcr.cli.options import INFO, Arguments, BadUsageError
from blcr.linux import constants

if TYPE_CHECKING:
    from blcr.architecture import Arch
    from blcr.cli.inspection import ProcessView, ThreadView
    from blcr.context import records
    from blcr.context.archive import ContextReader

STANDARD_INPUT = "-"

SECTIONS = ("threads", "maps", "files", "signals")

_FILE_FLAGS = (
    "O_APPEND O_NONBLOCK O_DSYNC O_DIRECT O_NOATIME O_PATH O_DIRECTORY".split()
)
_ACTION_FLAGS = """
    SA_NOCLDSTOP SA_NOCLDWAIT SA_SIGINFO SA_ONSTACK SA_RESTART SA_NODEFER SA_RESETHAND
""".split()


_FAMILIES = {1: "Unix", 2: "IPv4", 10: "IPv6", 16: "netlink"}
_SOCKET_TYPES = {1: "stream", 2: "datagrams", 3: "raw", 5: "packets"}
"""Source: linux/socket.h, linux/net.h."""

_USUAL = {"oom_score_adj": 0, "coredump_filter": 0x33}
"""What a kernel sets unless it is told otherwise."""


def main(words: Sequence[str] | None = None) -> int:
    """Run the command and return its exit status."""
    return common.run(INFO, _info, words)


def _info(arguments: Arguments) -> int:
    if len(arguments.operands) != 1:
        raise BadUsageError(f"one FILE is needed, not {len(arguments.operands)}")
    from blcr.context.archive import ContextReader, open_context

    progress = Progress(arguments)
    name = arguments.operands[0]
    with (
        ContextReader(0, "standard input")
        if name == STANDARD_INPUT
        else open_context(name) as reader
    ):
        if not arguments.has("quick"):
            with progress:
                reader.verify(
                    lambda done, total: progress.advance("checking", done, total)
                )
        if arguments.has("json"):
            import json

            print(json.dumps(describe(reader), indent=2))
            return 0
        # Names from the saved process may hold anything.
        if hasattr(sys.stdout, "reconfigure"):
            sys.stdout.reconfigure(errors="backslashreplace")
        for line in _lines(reader, arguments):
            print(line)
    return 0


# As JSON.


def describe(reader: ContextReader) -> dict[str, Any]:
    """
    Return everything about a context as plain values for JSON.

    The fields are those of the records, with what `blcr.cli.inspection` finds besides:
    ``command`` of processes, ``saved`` of mappings, and ``registers``, ``pc``,
    ``place``, ``instruction`` of threads.
    """
    from blcr.cli.inspection import ProcessView

    described: dict[str, Any] = _plain(reader.context)
    described["size"] = reader.size
    for process, plain in zip(
        reader.context.processes, described["processes"], strict=True
    ):
        view = ProcessView(reader, process)
        plain["command"] = view.command()
        for mapping, saved in zip(plain["mappings"], view.saved(), strict=True):
            mapping["saved"] = saved
        for thread, row in zip(view.threads(), plain["threads"], strict=True):
            row["pc"] = thread.pc
            row["place"] = thread.place
            row["instruction"] = thread.instruction
            row["registers"] = thread.registers
            row["unknown_registers"] = {
                f"{kind:#x}": data.hex() for kind, data in thread.unknown.items()
            }
    return described


def _plain(value: object) -> Any:  # noqa: ANN401
    """Return records as objects, all fields included, and bytes as base64."""
    if isinstance(value, bytes):
        return binascii.b2a_base64(value, newline=False).decode("ascii")
    if isinstance(value, tuple):
        if hasattr(value, "_asdict"):
            return {name: _plain(each) for name, each in value._asdict().items()}
        return [_plain(each) for each in value]
    return value


# As text.


def _lines(reader: ContextReader, arguments: Arguments) -> Iterator[str]:
    """Yield the lines to print, a blank one between two sections."""
    from blcr.cli.inspection import ProcessView

    every = arguments.has("all")
    chosen = [] if every else [name for name in SECTIONS if arguments.has(name)]
    blocks: list[Iterator[str]] = []
    if not chosen:
        blocks.append(_summary(reader))
    for process in reader.context.processes:
        view = ProcessView(reader, process)
        sections = {
            "threads": _threads(view, every=every),
            "maps": _mappings(view),
            "files": _descriptors(view, reader.context),
            "signals": _signals(view),
        }
        if not chosen:
            blocks.append(_identity(view))
        blocks += [sections[name] for name in chosen or SECTIONS]
    for index, block in enumerate(blocks):
        if index:
            yield ""
        yield from block


def _summary(reader: ContextReader) -> Iterator[str]:
    context = reader.context
    major, minor = context.format
    yield f"format    {major}.{minor}, written by {_shown(context.program)}"
    yield f"saved     {_moment(context.clocks.realtime)}"
    yield f"on        Linux {_shown(context.kernel)}, {_shown(context.host)} host"
    yield f"size      {_size(reader.size)}"
    if context.namespace:
        yield "pids      of a namespace that a restart had made"


def _identity(view: ProcessView) -> Iterator[str]:
    """Yield what a process is."""
    record, identity = view.record, view.record.arch
    state = ", stopped" if record.stopped else ""
    yield f"process {record.pid}{state}"
    yield f"  command   {' '.join(map(_shown, view.command()))}"
    yield f"  program   {_shown(record.exe)}"
    yield (
        f"  cpu       {_shown(identity.name)}, {8 * identity.word_size} bits, "
        f"{identity.byteorder}-endian" + ("" if view.arch else " (not installed here)")
    )
    yield f"  parent    {record.ppid}, group {record.pgid}, session {record.sid}"
    if record.clone:
        shared = ", ".join(map(_shown, record.clone.shares))
        yield f"  shares    {shared} with process {record.clone.origin}"
    yield f"  user      {record.uids[0]}, group {record.gids[0]}"
    yield f"  folder    {_shown(record.cwd)}, umask {record.umask:03o}"
    yield from _settings(view)
    mapped = sum(each.end - each.start for each in record.mappings)
    yield f"  memory    {_size(mapped)} mapped, {_size(sum(view.saved()))} saved"


def _settings(view: ProcessView) -> Iterator[str]:
    """Yield limits, and what has been set for the process otherwise."""
    from blcr.resources import limits

    record = view.record
    known = constants.of(view.arch) if view.arch else constants.GENERIC
    finite = [
        f"{limits.name_of(number, known).removeprefix('RLIMIT_')} {limits.text(each)}"
        for number, each in enumerate(record.limits)
        if each != (limits.INFINITY, limits.INFINITY)
    ]
    for index in range(0, len(finite), 4):
        yield f"  {'' if index else 'limits':<9} {', '.join(finite[index : index + 4])}"
    held = record.threads[0].credentials if record.threads else None
    sets = {"permitted", "effective", "inheritable", "ambient"}
    rights = held._asdict().items() if held else ()
    if shown := [f"{name} {bits:#x}" for name, bits in rights if name in sets and bits]:
        yield f"  rights    {', '.join(shown)}"
    if controls := settings(record.controls):
        yield f"  settings  {', '.join(controls)}"


def settings(controls: records.Controls) -> list[str]:
    """Return what is not the default, by name."""
    plain = {**type(controls)()._asdict(), **_USUAL}
    return [
        f"{name} {value}"
        for name, value in controls._asdict().items()
        if value is not None and value != plain[name]
    ]


def _threads(view: ProcessView, *, every: bool) -> Iterator[str]:
    """Yield threads: where each goes on, in which call it waits, its registers."""
    from blcr.resources import scheduling

    yield f"threads of {view.record.pid}: {len(view.record.threads)}"
    for thread in view.threads():
        record = thread.record
        where = "at an unknown place" if thread.pc is None else f"at {thread.pc:#x}"
        place = f" in {_shown(thread.place)}" if thread.place else ""
        yield f"  {record.tid} {_shown(record.comm)}: {where}{place}"
        if thread.instruction:
            yield f"    {thread.instruction}"
        if record.call:
            yield f"    waits in {_call(record.call)}"
        if record.scheduling and (set_up := scheduling.unusual(record.scheduling)):
            yield f"    {', '.join(set_up)}"
        if record.blocked_signals:
            blocked = _signal_names(_numbers(record.blocked_signals), view.arch)
            yield f"    blocks {blocked}"
        yield from _registers(view, thread, every=every)


def _registers(view: ProcessView, thread: ThreadView, *, every: bool) -> Iterator[str]:
    """Yield the general registers in columns, and all others on request."""
    digits = 2 * view.record.arch.word_size
    for index, values in enumerate(thread.registers.values()):
        if index == 0 or every:
            yield from _columns(
                f"{name:>8} {value:0{digits}x}" for name, value in values.items()
            )
    for kind, data in thread.unknown.items():
        if every or not thread.registers:
            yield f"    {len(data)} bytes of registers of note type {kind:#x}"


def _columns(cells: Iterable[str]) -> Iterator[str]:
    row: list[str] = []
    for cell in cells:
        if row and 4 + sum(map(len, row)) + len(row) + len(cell) > 88:
            yield "    " + " ".join(row)
            row = []
        row.append(cell)
    if row:
        yield "    " + " ".join(row)


def _call(call: records.BlockedCall) -> str:
    """Return a call as strace(1) shows it, with the time that is left of it."""
    text = f"{_shown(call.name)}({', '.join(f'{each:#x}' for each in call.args)})"
    if call.time_left is not None:
        text += f", {call.time_left / 1e9:.3f} s left"
    return text


def _mappings(view: ProcessView) -> Iterator[str]:
    """Yield the address space, as /proc/PID/maps has it, with what was saved."""
    yield f"memory of {view.record.pid}: {len(view.record.mappings)} mappings"
    width = max((len(f"{each.end:x}") for each in view.record.mappings), default=0)
    for mapping, saved in zip(view.record.mappings, view.saved(), strict=True):
        bits = zip("rwx", (1, 2, 4), strict=True)
        access = "".join(c if mapping.protection & bit else "-" for c, bit in bits)
        what = mapping.path or mapping.name
        if mapping.object >= 0:
            what = f"shared memory {mapping.object}"
        if not what and mapping.special:
            what = f"[{mapping.special}]"
        yield (
            f"  {mapping.start:0{width}x}-{mapping.end:0{width}x} "
            f"{access}{'s' if mapping.shared else 'p'} "
            f"{_size(mapping.end - mapping.start):>9} "
            f"{_size(saved) + ' saved' if saved else '':>15} {_shown(what)}"
        ).rstrip()


def _descriptors(view: ProcessView, context: records.Context) -> Iterator[str]:
    """Yield descriptors and the open files that they refer to."""
    yield f"descriptors of {view.record.pid}: {len(view.record.descriptors)}"
    known = constants.of(view.arch) if view.arch else {}
    for descriptor in view.record.descriptors:
        file = context.files[descriptor.file]
        parts = [file.kind, ("r", "w", "rw", "")[file.flags & 3], _shown(file.path)]
        if file.kind in ("file", "directory"):
            parts.append(f"at {file.offset}")
        if file.pipe >= 0:
            pipe = context.pipes[file.pipe]
            parts.append(f"{file.pipe}, {len(pipe.data)} of {pipe.capacity} bytes")
        if file.socket >= 0:
            parts.append(_socket(context, file.socket))
        parts += [name for name in _FILE_FLAGS if file.flags & known.get(name, 0)]
        if descriptor.cloexec:
            parts.append("close-on-exec")
        sharing = [
            str(each.fd)
            for each in view.record.descriptors
            if each.file == descriptor.file and each.fd != descriptor.fd
        ]
        if sharing:
            parts.append(f"shared with {', '.join(sharing)}")
        yield f"  {descriptor.fd:>3} {' '.join(filter(None, parts))}"


def _socket(context: records.Context, index: int) -> str:
    """Return what a socket is, to which other one it leads, and what waits in it."""
    socket = context.sockets[index]
    family = _FAMILIES.get(socket.family, f"family {socket.family}")
    kind = _SOCKET_TYPES.get(socket.type, f"type {socket.type}")
    parts = [f"{index}: {family} {kind}"]
    if socket.state != "open":
        parts.append(socket.state)
    if socket.peer >= 0:
        parts.append(f"connected to {socket.peer}")
    if socket.connection:
        parts.append("connected to one outside")
    if waiting := sum(len(one.data) for one in socket.messages):
        parts.append(f"{waiting} bytes to be read")
    return ", ".join(parts)


def _signals(view: ProcessView) -> Iterator[str]:
    """Yield signal actions that are not the default, pending signals and timers."""
    record, arch = view.record, view.arch
    known = constants.of(arch) if arch else constants.GENERIC
    actions = [each for each in record.actions if each.handler or each.flags]
    yield f"signals of {record.pid}: {len(actions)} actions"
    for action in actions:
        parts = [f"{_signal_names([action.signal], arch):<10}"]
        parts.append({0: "default", 1: "ignored"}.get(action.handler, ""))
        if action.handler > 1:
            parts.append(f"handler {action.handler:#x}")
        parts += [name for name in _ACTION_FLAGS if action.flags & known[name]]
        if action.mask:
            parts.append(f"blocks {_signal_names(_numbers(action.mask), arch)}")
        yield "  " + " ".join(filter(None, parts))
    order = "<i" if record.arch.byteorder == "little" else ">i"
    queues = [("the process", record.pending)]
    queues += [(f"thread {each.tid}", each.pending) for each in record.threads]
    for whose, queue in queues:
        if queue:
            numbers = [struct.unpack(order, each[:4])[0] for each in queue]
            yield f"  pending for {whose}: {_signal_names(numbers, arch)}"
    for timer in record.timers:
        yield (
            f"  interval timer {timer.which}: {timer.value / 1e9:.3f} s left, "
            f"then every {timer.interval / 1e9:.3f} s"
        )
    for each in record.posix_timers:
        yield (
            f"  timer {each.id} of clock {each.clock}: {each.value / 1e9:.3f} s left, "
            f"then every {each.interval / 1e9:.3f} s"
        )


def _numbers(mask: int) -> list[int]:
    """Return the signals of a mask."""
    return [bit + 1 for bit in range(64) if mask >> bit & 1]


def _signal_names(numbers: Iterable[int], arch: Arch | None) -> str:
    """Return the names of signals."""
    known = constants.of(arch) if arch else constants.GENERIC
    names = {
        number: name
        for name, number in known.items()
        if name.startswith("SIG") and name.isalnum() and name != "SIGRTMAX"
    }
    return " ".join(names.get(each, f"signal {each}") for each in numbers)


def _moment(realtime: int) -> str:
    """Return a time in ns since 1970 as a person reads it."""
    try:
        return time.strftime("%Y-%m-%d %H:%M:%S %z", time.localtime(realtime // 10**9))
    except (OverflowError, OSError, ValueError):
        return f"{realtime} ns after 1970"


def _size(count: int) -> str:
    """Return a number of bytes as a person reads it."""
    if count < 10 * 1024:
        return f"{count} B"
    for unit in ("KiB", "MiB", "GiB"):
        count = round(count / 1024)
        if count < 10 * 1024:
            return f"{count} {unit}"
    return f"{round(count / 1024)} TiB"


def _shown(text: str) -> str:
    """Return a name with everything replaced that a terminal would act upon."""
    decoded = os.fsencode(text).decode("utf-8", "backslashreplace")
    return "".join(
        each if each.isprintable() else each.encode("unicode_escape").decode()
        for each in decoded
    )


if __name__ == "__main__":
    sys.exit(main())
