"""
Regular files with a name whose contents are in the context: put back at restart.

A file that has the saved contents is left as it is.  Else a new one is made beside it,
under a name of our own, and takes the old one's place as the last step before the
program runs: whatever fails before leaves all files as they were, and whoever has the
old one open keeps it.  Where no file can be made in its folder, but the old one may be
written to, that is written over in the last step.

A file that the program only reads, and that is another one now, is somebody else's:
it is left alone, and the program reads a copy without a name.

Source: rename(2).
"""

from __future__ import annotations

import contextlib
import errno
import functools
import itertools
import os

from blcr import remote
from blcr.context import records
from blcr.errors import RemoteCallError
from blcr.resources import contents
from blcr.resources.opening import Opening

_CHUNK = 1 << 20
_FOLDER_MODE = 0o777
_NOT_HERE = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC, errno.EDQUOT)


def open_saved(opening: Opening, target: int, file: records.OpenFile) -> int:
    """
    Open a file that has, or will have as the program runs, the saved contents.

    Raises:
        RestartError: It cannot be made.
    """
    index = file.contents
    if index not in opening.places:
        opening.places[index] = _place(opening, target, file)
    known = opening.known
    path = opening.places[index]
    if not path:
        return contents.open_unlinked(opening, target, file)
    dropped = known["O_CREAT"] | known["O_EXCL"] | known["O_TRUNC"] | known["FASYNC"]
    return opening.open(path, file.flags & ~dropped, target)


def finish(opening: Opening) -> None:
    """Let the files take their places."""
    here = opening.known["AT_FDCWD"]
    for index, ours in opening.written_over.items():
        os.ftruncate(ours, 0)
        contents.write(opening, index, ours)
    for new, old in opening.renames.items():
        absent = old in opening.absent
        with opening.making(old) if absent else contextlib.nullcontext():
            remote.call(opening.task, "renameat2", here, new, here, old, 0)


def _place(opening: Opening, target: int, file: records.OpenFile) -> str:
    """Return where to open a file; empty: it has no name."""
    state = _compare(opening, file)
    if state == "same":
        return file.path
    if state == "other" and not _is_written(opening, file):
        opening.notice(
            f"'{file.path}' (descriptor {target}) is not what it was; as the program "
            "only reads it, it was left alone, and a copy without a name is read"
        )
        return ""
    if state == "missing":
        opening.absent.add(file.path)
    make_folder(opening, os.path.dirname(file.path))
    try:
        return _make(opening, file)
    except RemoteCallError as error:
        if error.errno not in _NOT_HERE or state != "other":
            raise opening.error(
                f"the file '{file.path}' of descriptor {target} cannot be put back: "
                f"{os.strerror(error.errno)}; name another place with --relocate",
                error,
            ) from error
    writer = opening.open(file.path, opening.known["O_WRONLY"], target)
    # Closed by the process later, it would give up the POSIX locks.
    opening.written_over[file.contents] = opening.process.lend(writer)
    opening.close(writer)
    return file.path


def _compare(opening: Opening, file: records.OpenFile) -> str:
    """Return whether what is there has the saved contents: same, other, missing."""
    known = opening.known
    flags = known["O_RDONLY"] | known["O_CLOEXEC"] | known["O_NONBLOCK"]
    try:
        fd = remote.call(opening.task, "openat", known["AT_FDCWD"], file.path, flags, 0)
    except RemoteCallError as error:
        return "missing" if error.errno == errno.ENOENT else "other"
    try:
        with opening.lent(fd) as ours:
            return "same" if _is_same(opening, file.contents, ours) else "other"
    finally:
        opening.close(fd)


def _is_same(opening: Opening, index: int, ours: int) -> bool:
    """Tell whether an open file has the saved contents."""
    saved = opening.context.contents[index]
    if os.fstat(ours).st_size != saved.size:
        return False
    at, _size = opening.source.file(index)
    done = 0
    for offset, length in (*saved.runs, (saved.size, 0)):
        for start in range(done, offset, _CHUNK):
            if any(os.pread(ours, min(_CHUNK, offset - start), start)):
                return False
        for start in range(0, length, _CHUNK):
            size = min(_CHUNK, length - start)
            now = os.pread(ours, size, offset + start)
            if now != os.pread(opening.source.fd, size, at + start):
                return False
        at += length
        done = offset + length
    return True


def _is_written(opening: Opening, file: records.OpenFile) -> bool:
    """Tell whether any open file of the context writes to it."""
    known = opening.known
    return any(
        one.contents == file.contents
        and one.flags & known["O_ACCMODE"] != known["O_RDONLY"]
        for one in opening.context.files
    )


def _make(opening: Opening, file: records.OpenFile) -> str:
    """Make a file beside the one whose place it will take, and return its path."""
    new, writer = _create_beside(opening, file.path)
    opening.renames[new] = file.path
    contents.fill(opening, opening.aside(writer), file.contents)
    return new


def _create_beside(opening: Opening, path: str) -> tuple[str, int]:
    """Create a file under a name of our own; return its path and a descriptor."""
    known, here = opening.known, opening.known["AT_FDCWD"]
    create = known["O_RDWR"] | known["O_CREAT"] | known["O_EXCL"] | known["O_CLOEXEC"]
    numbers = itertools.count()
    while True:
        new = f"{contents.hidden(opening, path)}.{next(numbers)}.new"
        try:
            with opening.making(new):
                return new, remote.call(
                    opening.task, "openat", here, new, create, 0o600
                )
        except RemoteCallError as error:
            # A killed restart has left it, or another one runs at the same time.
            if error.errno != errno.EEXIST:
                raise


def make_folder(opening: Opening, path: str) -> None:
    """Make a folder with all above it, where they are missing."""
    here = opening.known["AT_FDCWD"]
    above = [path]
    while above[-1] not in ("", "/"):
        above.append(os.path.dirname(above[-1]))
    for folder in reversed(above[:-1]):
        with contextlib.suppress(RemoteCallError):
            remote.call(opening.task, "mkdirat", here, folder, _FOLDER_MODE)
            opening.undo.append(functools.partial(opening.process.remove, folder))
            opening.process.entrust(folder)
