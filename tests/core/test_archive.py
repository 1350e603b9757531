"""The context file as a whole: where it stands, what opens it, what damage does."""

from __future__ import annotations

import errno
import io
import json
import os
import shutil
import subprocess
import sys
import threading
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from blcr import registry
from blcr.architecture import Arch
from blcr.context import checksum, codec, container, records
from blcr.context.archive import ContextReader, ContextWriter, open_context
from blcr.errors import ContextError, ContextVersionError, TargetError
from harness import contexts

SOME_ARCH = registry.get(registry.names()[0])
SAMPLE = contexts.sample(SOME_ARCH)


# Where it stands.


def test_a_context_reads_as_it_was_written(arch: Arch) -> None:
    """Records, pages, registers and shared memory come back."""
    with (
        contexts.memory_file(contexts.sample(arch)) as fd,
        ContextReader(fd, "c") as reader,
    ):
        reader.verify()
        offset, size = reader.shared(0)
        process = reader.core(contexts.PID)
        shared = os.pread(reader.fd, size, offset)

        assert reader.context == contexts.context(arch)
        assert shared == b"\0" * 32
        assert process.read(contexts.HEAP, 2 * contexts.PAGE) == (
            b"a" * contexts.PAGE + b"b" * contexts.PAGE
        )
        assert process.read(contexts.HEAP + contexts.PAGE, contexts.PAGE + 1) is None
        for tid in (contexts.PID, contexts.PID + 1):
            assert process.register_sets(tid) == contexts.default_registers(arch, tid)
        for at, address, _ in process.runs():
            assert at % container.BLOCK % contexts.PAGE == 0
            assert os.pread(reader.fd, 8, at) == process.read(address, 8)


def test_it_starts_at_the_offset_and_ends_where_it_ends() -> None:
    """Two contexts, a caller's bytes before, between and behind them, share a file."""
    first = contexts.context(SOME_ARCH)
    second = first._replace(kernel="second")
    with contexts.memory_file() as fd:
        os.write(fd, b"before")
        contexts.write(fd, SOME_ARCH, first)
        os.write(fd, b"between")
        contexts.write(fd, SOME_ARCH, second)
        os.write(fd, b"behind")

        os.lseek(fd, len(b"before"), os.SEEK_SET)
        assert ContextReader(fd, "c").context == first
        assert os.read(fd, 7) == b"between"
        reader = ContextReader(fd, "c")
        reader.verify()
        assert reader.context == second
        assert reader.end == os.lseek(fd, 0, os.SEEK_CUR)
        assert os.read(fd, 99) == b"behind"


def test_it_overwrites_what_is_in_a_file_and_no_more() -> None:
    """A context written into the middle of a file leaves the rest of it."""
    with contexts.memory_file(b"x" * (len(SAMPLE) + 100)) as fd:
        os.lseek(fd, 50, os.SEEK_SET)

        contexts.write(fd, SOME_ARCH, contexts.context(SOME_ARCH))

        assert os.pread(fd, 1 << 24, 0) == b"x" * 50 + SAMPLE + b"x" * 50


def test_a_file_opened_to_append_gets_the_same_bytes(tmp_path: Path) -> None:
    """What cannot be rewritten in place is not."""
    path = tmp_path / "log"
    path.write_bytes(b"before")
    fd = os.open(path, os.O_WRONLY | os.O_APPEND)
    try:
        contexts.write(fd, SOME_ARCH, contexts.context(SOME_ARCH))
    finally:
        os.close(fd)

    assert path.read_bytes() == b"before" + SAMPLE


def test_a_pipe_carries_a_context_and_what_follows_it() -> None:
    """Writer and reader of a pipe need no seeking, and take no byte too many."""
    source, target = os.pipe()

    def send() -> None:
        contexts.write(target, SOME_ARCH, contexts.context(SOME_ARCH))
        os.write(target, b"behind")
        os.close(target)

    sender = threading.Thread(target=send)
    sender.start()
    try:
        with ContextReader(source, "pipe") as reader:
            reader.verify()
            assert reader.context == contexts.context(SOME_ARCH)
            assert os.pread(reader.fd, 99, reader.end) == b""
        assert os.read(source, 99) == b"behind"
    finally:
        sender.join()
        os.close(source)


def test_a_pipe_gets_nothing_of_a_context_that_is_given_up() -> None:
    """Leaving the block early sends no byte."""
    source, target = os.pipe()

    with ContextWriter(target) as writer:
        writer.core("1.core", SOME_ARCH).pages(0, bytes(contexts.PAGE))

    os.close(target)
    assert os.read(source, 1) == b""
    os.close(source)


def test_an_unfinished_context_is_not_one() -> None:
    """A checkpoint that was killed leaves nothing that could be restarted."""
    with contexts.memory_file() as fd:
        with ContextWriter(fd) as writer:
            writer.core("1.core", SOME_ARCH).pages(0, bytes(contexts.PAGE))
        os.lseek(fd, 0, os.SEEK_SET)

        with pytest.raises(ContextError, match=r"c: member '1\.core' was never fini"):
            ContextReader(fd, "c")


# What opens it.


def test_zip_tools_open_it(tmp_path: Path) -> None:
    """Info-ZIP and Python's zipfile find the members and their checksums in order."""
    path = tmp_path / "context.4711"
    path.write_bytes(SAMPLE)

    with zipfile.ZipFile(path) as archive:
        assert archive.namelist() == ["4711.core", "shared/0", "context.json"]
        assert archive.testzip() is None
        assert json.loads(archive.read("context.json"))["kernel"] == "6.12.0"
    if not shutil.which("unzip"):
        pytest.skip("not applicable: no unzip here")
    done = subprocess.run(["unzip", "-t", path], capture_output=True, check=False)
    assert done.returncode == 0, done.stderr


def test_zipfile_opens_the_last_of_two_contexts() -> None:
    """Offsets count from the context's own first byte, which tools allow for."""
    with zipfile.ZipFile(io.BytesIO(b"before" + SAMPLE)) as archive:
        assert archive.testzip() is None


@given(st.binary(max_size=99), st.binary(max_size=99))
def test_checksums_of_parts_combine(first: bytes, second: bytes) -> None:
    """The sum of a whole follows from the sums of its parts."""
    whole = zlib.crc32(first + second)

    assert checksum.crc32(second, checksum.crc32(first)) == whole
    assert checksum.combine(zlib.crc32(first), zlib.crc32(second), len(second)) == whole


def test_checksums_without_the_faster_library(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where it is not installed, zlib takes its place."""
    large = b"large" * (1 << 18)
    with_it = checksum.crc32(large)
    monkeypatch.setitem(sys.modules, "zlib_ng.zlib_ng", None)
    checksum._fastest.cache_clear()
    try:
        assert checksum._fastest() is zlib.crc32
        assert checksum.crc32(large) == with_it == zlib.crc32(large)
    finally:
        checksum._fastest.cache_clear()


# What damage does.


def refused(data: bytes) -> str:
    """Return the message with which a damaged context is refused."""
    with pytest.raises(ContextError) as caught:
        contexts.read(data)
    message = str(caught.value)
    assert message.startswith("context.4711: ")
    return message


@pytest.mark.parametrize(
    ("data", "finding"),
    [
        (b"", "it is empty"),
        (b"P", "it begins with b'P'"),
        (b"hello, world\n" * 9999, "it begins with b'hello, world"),
        (b"\x7fELF" + bytes(99999), "it begins with b'\\x7fELF"),
    ],
)
def test_what_is_no_context_is_called_so(data: bytes, finding: str) -> None:
    """Other files are told apart from damaged contexts."""
    assert refused(data).startswith(f"context.4711: not a context: {finding}")


def test_another_zip_archive_is_no_context() -> None:
    """A ZIP archive is not enough."""
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        archive.writestr("context.json", "{}" * 99999)

    assert refused(data.getvalue()).endswith(
        "not a context: it is another kind of ZIP archive, or damaged"
    )


def test_a_missing_file_and_a_folder_have_the_systems_status(tmp_path: Path) -> None:
    """What cannot be opened or read is a ContextError with the errno."""
    with pytest.raises(ContextError, match="No such file") as missing:
        open_context(tmp_path / "none")
    with pytest.raises(ContextError) as folder:
        open_context(tmp_path)

    assert missing.value.exit_status == errno.ENOENT
    assert folder.value.exit_status == errno.EISDIR


def interesting_offsets() -> Iterator[int]:
    """Yield the offsets of bytes that mean something, in the sample."""
    with contexts.memory_file(SAMPLE) as fd, ContextReader(fd, "c") as reader:
        members = list(reader._members.values())
    for member in members:
        header = member.offset - container.BLOCK
        yield from range(header, header + 100)
        yield from range(member.offset, member.offset + 64)
        yield from range(member.offset + member.size - 100, member.offset + member.size)
    yield from range(members[-1].offset + members[-1].size, len(SAMPLE))


def test_any_flipped_byte_is_noticed() -> None:
    """Each byte of headers and directory, and others here and there, is checked."""
    with contexts.memory_file(SAMPLE) as fd:
        for at in [*interesting_offsets(), *range(0, len(SAMPLE), 997)]:
            os.pwrite(fd, bytes([SAMPLE[at] ^ (1 << at % 8)]), at)
            os.lseek(fd, 0, os.SEEK_SET)

            with (
                pytest.raises(ContextError),
                ContextReader(fd, "context.4711") as reader,
            ):
                reader.verify()

            os.pwrite(fd, SAMPLE[at : at + 1], at)


def test_a_cut_anywhere_is_noticed() -> None:
    """A file that ends early is refused, whatever its length."""
    with contexts.memory_file(SAMPLE) as fd:
        cuts = {*interesting_offsets(), *range(0, len(SAMPLE), 997)}
        for length in sorted(cuts, reverse=True):
            os.truncate(fd, length)
            os.lseek(fd, 0, os.SEEK_SET)

            with pytest.raises(ContextError):
                ContextReader(fd, "context.4711")


def test_messages_name_the_member() -> None:
    """A cut file and a damaged page are described by where they are."""
    damaged = bytearray(SAMPLE)
    damaged[2 * container.BLOCK + 5] ^= 1

    assert "member '4711.core' ends at byte" in refused(SAMPLE[: 2 * container.BLOCK])
    assert "member '4711.core' is damaged: its checksum is" in refused(bytes(damaged))


# What hostile contents do: all checksums are right.


def rebuilt(replace: Callable[[str, bytes], bytes | None]) -> bytes:
    """Return the sample with other contents of its members; None leaves one out."""
    with zipfile.ZipFile(io.BytesIO(SAMPLE)) as archive, contexts.memory_file() as fd:
        writer = container.ContainerWriter(fd)
        for name in archive.namelist():
            data = replace(name, archive.read(name))
            if data is not None:
                writer.member(name).write(data)
        writer.close()
        return os.pread(fd, 1 << 24, 0)


def with_records(**changes: Any) -> bytes:  # noqa: ANN401
    """Return the sample with other fields in its records."""

    def replace(name: str, data: bytes) -> bytes:
        if name != "context.json":
            return data
        return json.dumps(json.loads(data) | changes).encode()

    return rebuilt(replace)


def with_process(**changes: Any) -> bytes:  # noqa: ANN401
    """Return the sample with other fields in the record of its process."""
    process = json.loads(codec.encode(contexts.context(SOME_ARCH)))["processes"][0]
    return with_records(processes=[process | changes])


THREAD = {"tid": contexts.PID, "comm": "x", "blocked_signals": 0}


def with_clone(shares: list[str], **changes: Any) -> bytes:  # noqa: ANN401
    """Return the sample with a second process, which shares something with it."""
    process = json.loads(codec.encode(contexts.context(SOME_ARCH)))["processes"][0]
    own: dict[str, Any] = {"pid": 9, "threads": [THREAD | {"tid": 9}], "locks": []}
    clone = {"origin": contexts.PID, "shares": shares, "signal": 17}
    own |= {"descriptors": [], "mappings": []}
    own["clone"] = clone | {one: changes.pop(one) for one in clone if one in changes}
    return with_records(processes=[process, process | own | changes])


def test_rebuilding_changes_nothing() -> None:
    """The way in which these tests make files is itself right."""
    assert rebuilt(lambda _name, data: data) == SAMPLE


@pytest.mark.parametrize(
    ("data", "finding"),
    [
        (with_records(clocks=5), "context.json: clocks: expected an object"),
        (with_records(processes=[]), "there is no process"),
        (with_records(pipes=[]), "file 1: pipe 0 does not exist"),
        (with_records(pipes=[{"capacity": 1, "data": "AAAA"}]), "pipe 0 holds more"),
        (
            with_records(shared_memory=[{"size": 16, "runs": [[0, 32]]}]),
            "shared memory 0: run 0x0-0x20 is out of order",
        ),
        (
            with_records(shared_memory=[{"size": 64, "runs": [[0, 16]]}]),
            "member 'shared/0' has 32 bytes, the records say 16",
        ),
        (with_process(pid=5), "member '5.core' is missing"),
        (with_process(pid=-5), "process -5 has no thread, or no proper id"),
        (
            with_process(threads=[THREAD]),
            "member '4711.core': registers of threads [4711, 4712]",
        ),
        (with_process(threads=[THREAD, THREAD]), "thread 4711 is there twice"),
        (
            with_process(arch={"name": "", "machine": 9, "word_size": 8}),
            "processes[0].arch: field 'byteorder' is missing",
        ),
        (
            with_process(
                arch={"name": "", "machine": 9, "word_size": 2, "byteorder": "little"}
            ),
            "process 4711 has words of 2 bytes",
        ),
        (
            with_process(
                arch={"name": "", "machine": -1, "word_size": 8, "byteorder": "little"}
            ),
            "process 4711 is of ELF machine -1",
        ),
        (
            with_process(
                arch={"name": "", "machine": 9, "word_size": 8, "byteorder": "little"}
            ),
            "member '4711.core': the ELF header is damaged, or of another machine",
        ),
        (
            with_process(mappings=[]),
            "member '4711.core': the segment at 0x500000 is in no mapping",
        ),
        (
            with_process(mappings=[{"start": 8, "end": 4, "protection": 0}]),
            "process 4711: mapping 0x8-0x4 is out of order",
        ),
        (
            with_process(descriptors=[{"fd": 7, "file": 9, "cloexec": False}]),
            "process 4711: descriptor 7: file 9 does not exist",
        ),
        (
            with_clone(["files"], origin=9),
            "process 9 shares something with 9, which is no process before it",
        ),
        (with_clone(["files"]), "member '9.core' is missing"),
        (with_clone([]), "process 9 shares nothing"),
        (with_clone(["fs", "odd"]), "process 9 shares fs, odd"),
        (with_clone(["fs"], signal=65), "process 9: there is no signal 65"),
        (with_clone(["handlers"]), "process 9 shares signal actions, but no memory"),
        (
            with_clone(["files"], descriptors=[{"fd": 7, "file": 0, "cloexec": False}]),
            "process 9 has descriptors of its own and of another one",
        ),
        (
            with_clone(["memory"], mappings=[{"start": 4, "end": 8, "protection": 0}]),
            "process 9 has memory of its own and of another one",
        ),
        (
            with_records(sockets=[{"family": 1, "type": 1, "peer": 3}]),
            "socket 0: peer 3 does not exist",
        ),
        (
            with_records(sockets=[{"family": 1, "type": 1, "pending": [1]}]),
            "socket 0: pending 1 does not exist",
        ),
        (
            with_records(sockets=[{"family": 2, "type": 1, "name": "AgAB"}]),
            "socket 0 has a name that is none of its family",
        ),
        (
            with_records(sockets=[{"family": 2, "type": 1, "state": "odd"}]),
            "socket 0 is in state 'odd', 0",
        ),
    ],
)
def test_records_that_contradict_are_refused(data: bytes, finding: str) -> None:
    """The message names the record."""
    assert finding in refused(data)


def test_a_member_too_few_is_named() -> None:
    """Missing cores and missing shared memory are noticed."""
    without_core = rebuilt(lambda name, data: data if name != "4711.core" else None)
    without_shared = rebuilt(lambda name, data: data if name != "shared/0" else None)

    assert refused(without_core).endswith("member '4711.core' is missing")
    assert refused(without_shared).endswith("member 'shared/0' is missing")


@pytest.mark.parametrize(
    ("data", "finding"),
    [
        (with_records(format=[2, 0]), "format 2.0, this version reads 1.x"),
        (
            with_records(format=[2, 0], processes="something new"),
            "format 2.0, this version reads 1.x",
        ),
        (
            with_records(requires=["holograms"]),
            "needs what this version does not have: holograms",
        ),
    ],
)
def test_newer_contexts_are_told_apart(data: bytes, finding: str) -> None:
    """A newer major version, and an unknown feature, have an error of their own."""
    with pytest.raises(ContextVersionError) as caught:
        contexts.read(data)

    assert finding in str(caught.value)
    assert caught.value.exit_status == 53


def test_a_newer_minor_version_reads() -> None:
    """More fields and a higher minor number change nothing."""
    assert contexts.read(with_records(format=[1, 7], news=[])).format == (1, 7)


@settings(max_examples=150)
@given(st.sampled_from(["context.json", "4711.core"]), st.data())
def test_hostile_bytes_are_refused_or_harmless(name: str, draw: st.DataObject) -> None:
    """Whatever a member holds, the outcome is a context or a ContextError."""
    with zipfile.ZipFile(io.BytesIO(SAMPLE)) as archive:
        data = bytearray(archive.read(name))
    meaningful = [
        at for at in range(len(data)) if at < 64 or at > len(data) - 4096 or data[at]
    ]
    for at in draw.draw(st.lists(st.sampled_from(meaningful), min_size=1, max_size=3)):
        data[at] = draw.draw(st.sampled_from((0, 1, 0x7F, 0xFF, *b'09"[]{},')))
    hostile = rebuilt(lambda each, old: bytes(data) if each == name else old)

    with contexts.memory_file(hostile) as fd:
        try:
            reader = ContextReader(fd, "c")
        except ContextError:
            return
        assert isinstance(reader.context, records.Context)
        reader.core(contexts.PID).runs()


def test_a_huge_member_that_is_not_there_costs_nothing(tmp_path: Path) -> None:
    """A header that claims more than the file has is refused without reading on."""
    path = tmp_path / "hostile"
    path.write_bytes(SAMPLE[: container.BLOCK])
    os.truncate(path, 1 << 40)

    with pytest.raises(ContextError, match="no member at byte"):
        open_context(path)


# What a failing system does.


def failure(fd: int) -> TargetError | None:
    """Write the sample context; return the error that came of it."""
    try:
        contexts.write(fd, SOME_ARCH, contexts.context(SOME_ARCH))
    except TargetError as error:
        return error
    return None


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO, errno.EPIPE])
@pytest.mark.parametrize("call", ["write", "pwrite"])
def test_any_failing_write_is_reported(
    monkeypatch: pytest.MonkeyPatch, call: str, code: int
) -> None:
    """Each write in turn fails: always a TargetError with that status."""
    real = getattr(os, call)
    left = 0

    def failing(*args: Any) -> int:  # noqa: ANN401
        nonlocal left
        left -= 1
        if left < 0:
            raise OSError(code, os.strerror(code))
        return int(real(*args))

    for count in range(100):
        with contexts.memory_file() as fd:
            left = count
            with monkeypatch.context() as patch:
                patch.setattr(os, call, failing)
                error = failure(fd)
            if error is None:
                break
            assert error.exit_status == code
            assert os.strerror(code) in str(error)
            assert refused(os.pread(fd, 1 << 24, 0))
    assert 2 < count < 99


def test_short_writes_are_continued(monkeypatch: pytest.MonkeyPatch) -> None:
    """A system that takes a few bytes at a time gets all of them."""
    write, pwrite = os.write, os.pwrite
    with contexts.memory_file() as fd:
        with monkeypatch.context() as patch:
            patch.setattr(os, "write", lambda to, data: write(to, data[:5000]))
            patch.setattr(
                os, "pwrite", lambda to, data, at: pwrite(to, data[:5000], at)
            )
            contexts.write(fd, SOME_ARCH, contexts.context(SOME_ARCH))

        assert os.pread(fd, 1 << 24, 0) == SAMPLE


def test_any_failing_read_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each read in turn fails: always a ContextError with that status."""
    pread, preadv = os.pread, os.preadv
    left = 0

    def count_down() -> None:
        nonlocal left
        left -= 1
        if left < 0:
            raise OSError(errno.EIO, os.strerror(errno.EIO))

    def failing_pread(*args: Any) -> bytes:  # noqa: ANN401
        count_down()
        return pread(*args)

    def failing_preadv(*args: Any) -> int:  # noqa: ANN401
        count_down()
        return preadv(*args)

    def failure(fd: int) -> ContextError | None:
        try:
            with ContextReader(fd, "c") as reader:
                reader.verify()
        except ContextError as error:
            return error
        return None

    for count in range(100):
        left = count
        with contexts.memory_file(SAMPLE) as fd, monkeypatch.context() as patch:
            patch.setattr(os, "pread", failing_pread)
            patch.setattr(os, "preadv", failing_preadv)
            error = failure(fd)
        if error is None:
            break
        assert error.exit_status == errno.EIO
        assert str(error).startswith("c: ")
    assert 3 < count < 99


def test_progress_counts_all_bytes() -> None:
    """Verification tells how much is done and to do."""
    steps: list[tuple[int, int]] = []
    with contexts.memory_file(SAMPLE) as fd, ContextReader(fd, "c") as reader:
        reader.verify(lambda done, total: steps.append((done, total)))

        assert steps[-1] == (reader.size, reader.size)
