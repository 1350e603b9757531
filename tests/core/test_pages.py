"""Contents of files are copied but for what is zero, and nothing is lost."""

from __future__ import annotations

import tempfile

from hypothesis import given, settings
from hypothesis import strategies as st

from blcr.engine import pages
from blcr.engine.behind import Behind
from blcr.host.interface import Contents, Run

KIB = 1 << 10
LARGEST = 3 << 20


class Kept:
    """Collects what is written."""

    def __init__(self) -> None:
        self.data = bytearray()

    def write(self, data: memoryview) -> None:
        """Append bytes."""
        self.data += data


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(0, LARGEST - 1), st.binary(min_size=1, max_size=300)),
        max_size=8,
    )
)
def test_what_is_not_zero_is_kept(written: list[tuple[int, bytes]]) -> None:
    """What was kept makes up the file again; a long stretch of zero is not in it."""
    with tempfile.TemporaryFile() as file:
        for offset, data in written:
            file.seek(offset)
            file.write(data)
        file.seek(0)
        whole = file.read()
        size = len(whole)
        runs = [Run(0, size // 2), Run(size // 2, size)]
        kept = Kept()
        done: list[int] = []

        contents = Contents(file.fileno(), size, runs)
        with Behind() as behind:
            found = pages.copy_file(contents, behind, lambda: kept, done.append)

    again, at = bytearray(size), 0
    for offset, length in found:
        again[offset : offset + length] = kept.data[at : at + length]
        at += length
    assert again == whole
    assert at == len(kept.data) <= 2 * len(written) * 64 * KIB
    assert list(found) == sorted(found)
    assert sum(done) == size
