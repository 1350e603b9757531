"""
The container: a ZIP archive of stored members, written once from front to back.

Each member is a block of `BLOCK` bytes that holds nothing but its local header, its
data, and zeros up to the next multiple of `BLOCK`; so data is aligned to the largest
page size, counted from the context's first byte.  The member ``context.json`` is the
last; the directory and its end records follow.  Every field is that of ZIP64,
whatever the size, so that one function gives a block and another one the directory,
and a reader compares bytes: nothing of the file is left unchecked.

The end is found from the beginning: headers have the sizes, and the member's name says
which is the last.  So a context may stand anywhere in a file or stream, whatever is
before and behind it.

An ELF core begins with a header that says where its tables are, which are written
last.  What cannot be rewritten, a pipe or a file opened to append, therefore gets its
context when that is complete, out of an unlinked temporary file: all of it, or nothing.

Source: APPNOTE.TXT 6.3.10 of PKWARE, sections 4.3 to 4.5.
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
import struct
from collections.abc import Callable, Iterable, Sequence

from blcr.annotations import NoReturn
from blcr.context import checksum
from blcr.errors import ContextError, ContextVersionError, TargetError
from blcr.record import Record

BLOCK = 1 << 16
"""Bytes to which members are aligned."""

CHUNK = 1 << 18
"""Bytes to copy or to sum up at once: they stay in the CPU's cache."""

LAST = "context.json"
"""The member that ends a context."""

Buffer = bytes | bytearray | memoryview

_LOCAL = struct.Struct("<4s5H3I2H")
_ZIP64_LOCAL = struct.Struct("<2H2Q")
_PADDING = struct.Struct("<2H12s")
_CENTRAL = struct.Struct("<4s6H3I5H2I")
_ZIP64_CENTRAL = struct.Struct("<2H3Q")
_ZIP64_END = struct.Struct("<4sQ2H2I4Q")
_ZIP64_LOCATOR = struct.Struct("<4sIQI")
_END = struct.Struct("<4s4H2IH")

_LOCAL_SIGNATURE = b"PK\x03\x04"
_VERSION = 45
"""ZIP64."""
_UNIX = 3 << 8
_STORED = 0
_DATE = 0x21
"""1 January 1980: when a context was saved is in its records."""
_SHORT, _LONG = 0xFFFF, 0xFFFFFFFF
"""Where the ZIP64 field has the number."""
_ZIP64 = 1
_PADDING_ID = 0x6C62
_MAGIC = b"blcr context"
_UNFINISHED = (1 << 64) - 1
"""The size in the header of a member that is still being written."""
_PRINTABLE = bytes(range(ord("!"), ord("~") + 1))
"""What a member's name is made of, at most 255 of them."""


class Member(Record):
    """A part of the archive; offset of its data from the context's first byte."""

    name: str
    offset: int
    size: int
    crc: int


def _block(name: str, size: int, crc: int) -> bytes:
    """Return the block in front of a member's data."""
    encoded = name.encode("ascii")
    extra = BLOCK - _LOCAL.size - len(encoded)
    padding = extra - _ZIP64_LOCAL.size - 4
    header = (
        _LOCAL.pack(
            _LOCAL_SIGNATURE,
            _VERSION,
            0,
            _STORED,
            0,
            _DATE,
            crc,
            _LONG,
            _LONG,
            len(encoded),
            extra,
        )
        + encoded
        + _ZIP64_LOCAL.pack(_ZIP64, 16, size, size)
        + _PADDING.pack(_PADDING_ID, padding, _MAGIC)
    )
    return header.ljust(BLOCK, b"\0")


def _directory(members: Sequence[Member], offset: int) -> bytes:
    """Return the central directory, which stands at `offset`, and the end records."""
    entries = b"".join(map(_entry, members))
    end = offset + len(entries)
    count = len(members)
    return b"".join(
        (
            entries,
            _ZIP64_END.pack(
                b"PK\x06\x06",
                _ZIP64_END.size - 12,
                _UNIX | _VERSION,
                _VERSION,
                0,
                0,
                count,
                count,
                len(entries),
                offset,
            ),
            _ZIP64_LOCATOR.pack(b"PK\x06\x07", 0, end, 1),
            _END.pack(b"PK\x05\x06", 0, 0, _SHORT, _SHORT, _LONG, _LONG, 0),
        )
    )


def _entry(member: Member) -> bytes:
    """Return a member's entry in the central directory."""
    name = member.name.encode("ascii")
    return (
        _CENTRAL.pack(
            b"PK\x01\x02",
            _UNIX | _VERSION,
            _VERSION,
            0,
            _STORED,
            0,
            _DATE,
            member.crc,
            _LONG,
            _LONG,
            len(name),
            _ZIP64_CENTRAL.size,
            0,
            0,
            0,
            (stat.S_IFREG | 0o600) << 16,
            _LONG,
        )
        + name
        + _ZIP64_CENTRAL.pack(
            _ZIP64, 24, member.size, member.size, member.offset - BLOCK
        )
    )


def up(offset: int) -> int:
    """Return the next multiple of `BLOCK`."""
    return -(-offset // BLOCK) * BLOCK


# Writing.


class ContainerWriter:
    """
    Writes members to a descriptor from its current offset on.

    Args:
        fd: The caller's, open for writing; its offset is behind the archive in the end.

    Raises:
        TargetError: From every method: what the system refused, with its errno.
    """

    def __init__(self, fd: int) -> None:
        self._target = fd
        self._members: list[Member] = []
        self._open: MemberWriter | None = None
        self.position = 0
        try:
            self._fd = fd if _can_rewrite(fd) else _temporary()
            self._start = os.lseek(self._fd, 0, os.SEEK_CUR)
        except OSError as error:
            _refuse(error)

    def member(self, name: str, *, head: int = 0) -> MemberWriter:
        """Begin a member; this ends the one before.  `head`: see `MemberWriter`."""
        if self._open:
            self._open.finish()
        self.write(bytes(up(self.position) - self.position))
        self.write(_block(name, _UNFINISHED, 0))
        self._open = MemberWriter(self, name, head)
        return self._open

    def close(self) -> None:
        """Write the directory; the archive is complete, and in the file it is for."""
        if self._open:
            self._open.finish()
        self.write(_directory(self._members, self.position))
        if self._fd != self._target:
            self._deliver()

    def abandon(self) -> None:
        """Give up the temporary file, if there is one."""
        if self._fd != self._target:
            os.close(self._fd)
            self._fd = self._target

    def write(self, data: Buffer) -> None:
        """Append bytes."""
        done = 0
        try:
            while done < len(data):
                rest = memoryview(data)[done:] if done else data
                done += os.write(self._fd, rest)
        except OSError as error:
            _refuse(error)
        self.position += len(data)

    def rewrite(self, offset: int, data: bytes) -> None:
        """Replace bytes that were written."""
        try:
            while data:
                done = os.pwrite(self._fd, data, self._start + offset)
                data, offset = data[done:], offset + done
        except OSError as error:
            _refuse(error)

    def ended(self, member: Member) -> None:
        """Note a member that is complete, and complete its header."""
        self.rewrite(
            member.offset - BLOCK, _block(member.name, member.size, member.crc)
        )
        self._members.append(member)
        self._open = None

    def _deliver(self) -> None:
        """Copy the temporary file to the target."""
        temporary, self._fd = self._fd, self._target
        try:
            os.lseek(temporary, 0, os.SEEK_SET)
            while chunk := os.read(temporary, CHUNK):
                self.write(chunk)
        except OSError as error:
            _refuse(error)
        finally:
            os.close(temporary)


class MemberWriter:
    """
    One member being written.

    Args:
        archive: What it is part of.
        name: ASCII without blanks.
        head: Bytes at its front that are given when it is finished; zero until then.
    """

    def __init__(self, archive: ContainerWriter, name: str, head: int) -> None:
        self._archive = archive
        self._name = name
        self._start = archive.position
        self._head = head
        self._crc = 0
        archive.write(bytes(head))

    @property
    def position(self) -> int:
        """Bytes written so far, the head included."""
        return self._archive.position - self._start

    def write(self, data: Buffer) -> None:
        """Append bytes."""
        self._crc = checksum.crc32(data, self._crc)
        self._archive.write(data)

    def finish(self, head: bytes = b"") -> None:
        """Finish the member; `head` has the size that was announced."""
        assert len(head) == self._head, "the head has another size than announced"
        size = self.position
        crc = checksum.combine(checksum.crc32(head), self._crc, size - len(head))
        if head:
            self._archive.rewrite(self._start, head)
        self._archive.ended(Member(self._name, self._start, size, crc))


def _from_the_beginning(fd: int) -> int:
    """
    Return a descriptor to read a file with from the beginning to the end.

    It is opened anew where that may be done: the kernel reads ahead for each open file,
    and two readers at different places of the same one make it stop.
    """
    try:
        own = os.open(f"/proc/self/fd/{fd}", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        own = os.dup(fd)
    os.posix_fadvise(own, 0, 0, os.POSIX_FADV_SEQUENTIAL)
    return own


def _verify(
    fd: int, member: Member, progress: Callable[[int, int], None] | None
) -> None:
    """Compare the checksum of a member; for `progress` see `ContainerReader.verify`."""
    name, offset, size, expected = member
    buffer = memoryview(bytearray(CHUNK))
    crc, end = 0, offset + size
    while offset < end:
        try:
            count = os.preadv(fd, [buffer[: end - offset]], offset)
        except OSError as error:
            raise unreadable(error, f"member '{name}': ") from error
        if not count:
            raise ContextError(f"member '{name}': cut off at byte {offset}")
        crc = checksum.crc32(buffer[:count], crc)
        offset += count
        if progress:
            progress(offset, count)
    if crc != expected:
        raise ContextError(
            f"member '{name}' is damaged: its checksum is {crc:08x}, not {expected:08x}"
        )


def _can_seek(fd: int) -> bool:
    mode = os.fstat(fd).st_mode
    return stat.S_ISREG(mode) or stat.S_ISBLK(mode)


def _can_rewrite(fd: int) -> bool:
    """Tell whether bytes already written can be replaced."""
    return _can_seek(fd) and not fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_APPEND


def _temporary() -> int:
    """Return an unlinked file in the folder for temporary ones."""
    import tempfile

    with tempfile.TemporaryFile(buffering=0) as file:
        return os.dup(file.fileno())


def _refuse(error: OSError) -> NoReturn:
    code = error.errno or errno.EIO
    raise TargetError(
        f"the context cannot be written: {os.strerror(code)}", status=code
    ) from error


# Reading.


class ContainerReader:
    """
    The members of the archive that begins at a descriptor's current offset.

    The descriptor's offset is behind the archive afterwards.  Of a pipe or the like
    no byte more is read, and `fd` is an unlinked copy.

    Args:
        fd: The caller's, open for reading.

    Attributes:
        fd: Where offsets are offsets of.
        end: Just behind the archive.
        members: By name; offsets are those of `fd`.

    Raises:
        ContextError: This is not an archive of ours, or it is damaged.
        ContextVersionError: It is of a newer format.
        OSError: It cannot be read.
    """

    def __init__(self, fd: int) -> None:
        self._source = fd
        self._copied = not _can_seek(fd)
        self.fd = _temporary() if self._copied else fd
        try:
            self._start = os.lseek(self.fd, 0, os.SEEK_CUR)
            self._length = os.lseek(self.fd, 0, os.SEEK_END) - self._start
            relative = self._walk()
            self.end = self._start + self._check_directory(relative)
            os.lseek(self.fd, self.end, os.SEEK_SET)
        except BaseException:
            self.close()
            raise
        self.members = {
            member.name: member._replace(offset=self._start + member.offset)
            for member in relative
        }

    def close(self) -> None:
        """Give up the copy of a pipe, if there is one."""
        if self.fd != self._source:
            os.close(self.fd)
            self.fd = self._source

    def read(self, offset: int, size: int) -> bytes:
        """
        Return bytes at an offset of `fd`.

        Raises:
            ContextError: It cannot be read, or has become shorter.
        """
        parts = []
        while size:
            try:
                part = os.pread(self.fd, min(size, 1 << 30), offset)
            except OSError as error:
                raise unreadable(error) from error
            if not part:
                raise ContextError(f"ends at byte {offset}; it was cut off")
            parts.append(part)
            offset, size = offset + len(part), size - len(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def verify(
        self,
        members: Iterable[Member],
        progress: Callable[[int, int], None] | None = None,
    ) -> None:
        """
        Compare the checksums of members.

        Args:
            members: Of this archive.
            progress: Is called with the offset in the file up to which members were
                looked at, and how many of their bytes since.

        Raises:
            ContextError: One is damaged or cannot be read; the message names it.
        """
        fd = _from_the_beginning(self.fd)
        try:
            for member in members:
                _verify(fd, member, progress)
        finally:
            os.close(fd)

    def _walk(self) -> list[Member]:
        """Return the members in their order, up to the last."""
        members: list[Member] = []
        names = set()
        position = 0
        while not members or members[-1].name != LAST:
            member = self._member_at(position)
            if member.name in names:
                raise ContextError(f"member '{member.name}' is there twice")
            names.add(member.name)
            members.append(member)
            position = member.offset + member.size
            if member.name != LAST:
                self._check_zeros(position, up(position), member.name)
                position = up(position)
        return members

    def _member_at(self, position: int) -> Member:
        """Return the member whose block stands at `position`."""
        self._reach(position + BLOCK)
        block = self._bytes(position, min(BLOCK, self._length - position))
        if position == 0 and not (
            block.startswith(_LOCAL_SIGNATURE) and _MAGIC in block[:512]
        ):
            raise ContextError(_not_a_context(block))
        self._need(position + BLOCK, f"a member's header ends at {position + BLOCK}")

        fields = _LOCAL.unpack_from(block)
        size_at = _LOCAL.size + fields[9]
        name = block[_LOCAL.size : size_at]
        if (
            fields[0] != _LOCAL_SIGNATURE
            or not 0 < len(name) < 256
            or name.translate(None, _PRINTABLE)
        ):
            raise ContextError(f"no member at byte {position}, where one should be")
        text = name.decode("ascii")
        if fields[3] != _STORED:
            raise ContextVersionError(
                f"member '{text}' is compressed by method {fields[3]}, which this "
                "version does not know"
            )
        size = _ZIP64_LOCAL.unpack_from(block, size_at)[3]
        if size == _UNFINISHED:
            raise ContextError(f"member '{text}' was never finished")
        if block != _block(text, size, fields[6]):
            raise ContextError(f"member '{text}': its header is damaged")
        data = position + BLOCK
        self._need(data + size, f"member '{text}' ends at byte {data + size}")
        return Member(text, data, size, fields[6])

    def _check_directory(self, members: Sequence[Member]) -> int:
        """Compare the directory with the members; return where it ends."""
        position = members[-1].offset + members[-1].size
        expected = _directory(members, position)
        end = position + len(expected)
        self._need(end, f"the directory ends at byte {end}")
        if self._bytes(position, len(expected)) != expected:
            raise ContextError("the directory is damaged")
        return end

    def _check_zeros(self, position: int, end: int, name: str) -> None:
        self._need(end, f"member '{name}' is padded to byte {end}")
        if any(self._bytes(position, end - position)):
            raise ContextError(f"the zeros behind member '{name}' are damaged")

    def _bytes(self, position: int, size: int) -> bytes:
        return self.read(self._start + position, size)

    def _need(self, position: int, what: str) -> None:
        """Make sure that the archive reaches up to `position`, as `what` demands."""
        self._reach(position)
        if position > self._length:
            raise ContextError(f"{what}, the file at {self._length}; it was cut off")

    def _reach(self, position: int) -> None:
        """Have the copy of a pipe reach up to `position`, if the pipe does."""
        if self._copied:
            self._copy(position)

    def _copy(self, position: int) -> None:
        """Copy the pipe up to `position`, or to its end."""
        while self._length < position:
            chunk = os.read(self._source, min(CHUNK, position - self._length))
            if not chunk:
                return
            at = 0
            while at < len(chunk):
                at += os.write(self.fd, chunk[at:])
            self._length += len(chunk)


def _not_a_context(begin: bytes) -> str:
    """Return what to say of a file that begins so."""
    if not begin:
        return "not a context: it is empty"
    if begin.startswith(_LOCAL_SIGNATURE):
        return "not a context: it is another kind of ZIP archive, or damaged"
    return f"not a context: it begins with {begin[:16]!r}"


def unreadable(error: OSError, where: str = "") -> ContextError:
    """Return the error for a file that the system does not let us read."""
    ours = ContextError(f"{where}cannot be read: {os.strerror(error.errno or 0)}")
    ours.exit_status = error.errno or ours.exit_status
    return ours
