"""
CRC-32: of bytes, and of two parts put together when each part's own is known.

A member's first bytes are written last.  zlib has ``crc32_combine`` for this, which
Python does not offer; the algorithm is the same.

Source: crc32_combine_gen in zlib 1.2.12; RFC 1952 section 8 for the polynomial.
"""

from __future__ import annotations

import zlib
from functools import cache

from blcr.annotations import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from typing_extensions import Buffer

_LARGE = 1 << 18
"""Bytes from which on a faster function is worth its import."""

_POLYNOMIAL = 0xEDB88320
_ONE = 1 << 31
"""The polynomial 1; bits are reflected: the highest is the coefficient of x^0."""


def crc32(data: Buffer, crc: int = 0) -> int:
    """Return the CRC-32 of bytes that follow on those whose CRC-32 is given."""
    with memoryview(data) as view:
        return (_fastest() if view.nbytes >= _LARGE else zlib.crc32)(view, crc)


def combine(first: int, second: int, size: int) -> int:
    """
    Return the CRC-32 of two parts.

    Args:
        first: That of the first part.
        second: That of the second.
        size: Bytes of the second.
    """
    return _multiply(_zeros(size), first) ^ second


@cache
def _fastest() -> Callable[[Buffer, int], int]:
    """Return a function six times as fast as zlib's, where there is a package of it."""
    try:
        from zlib_ng.zlib_ng import crc32
    except ImportError:
        return zlib.crc32
    return crc32


def _zeros(size: int) -> int:
    """Return x^(8*size), by which so many zero bytes multiply a CRC."""
    result, power = _ONE, _ONE >> 8
    while size:
        if size & 1:
            result = _multiply(result, power)
        power = _multiply(power, power)
        size >>= 1
    return result


def _multiply(a: int, b: int) -> int:
    """Return the product of two polynomials modulo that of the CRC."""
    product = 0
    for bit in range(31, -1, -1):
        if a >> bit & 1:
            product ^= b
        b = b >> 1 ^ (_POLYNOMIAL if b & 1 else 0)
    return product
