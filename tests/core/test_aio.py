"""Contexts of asynchronous I/O: what the size of a ring says."""

from __future__ import annotations

import pytest

from blcr.context import records
from blcr.resources import aio


@pytest.mark.parametrize("page", [4096, 16384, 65536])
@pytest.mark.parametrize("wanted", [1, 8, 62, 63, 126, 127, 128, 1000, 65536])
def test_a_ring_is_made_with_as_many_pages(wanted: int, page: int) -> None:
    """The number of events that is asked for gives a ring of the same size."""

    def size(events: int) -> int:
        """Return the bytes of a ring, as aio_setup_ring of fs/aio.c has it."""
        return -(-(32 + 32 * (2 * events + 2)) // page) * page

    ring = records.AioContext(0x10000, size(wanted), 0, 0, b"")

    events = aio.events_of(ring, page)

    assert size(events) == ring.size
    assert events <= wanted
