"""
The partial remainders of the x87, which the engine rounds to double precision.

Source: Intel SDM volume 2, FPREM and FPREM1, and volume 1, 8.5; how many bits one
partial remainder takes off is AMD's (APM volume 5, FPREM), which Intel's CPUs do, too.
"""

from __future__ import annotations

from collections.abc import Iterable

_INTEGER, _QUIET, _SIGN = 1 << 63, 1 << 62, 1 << 15
_SPECIAL = 0x7FFF
_INDEFINITE = (_SIGN | _SPECIAL) << 64 | _INTEGER | _QUIET
# Of the status word: exceptions, their summary, busy, and conditions.
_INVALID, _DENORMAL, _UNDERFLOW, _SUMMARY = 1, 2, 16, 0x8080
_C0, _C1, _C2, _C3 = 1 << 8, 1 << 9, 1 << 10, 1 << 14
# What an underflow that is not masked adds to the exponent.
_WRAP = 24576


class _Number:
    """A number of 80 bits: 64 of them significand, then exponent and sign."""

    def __init__(self, bits: int) -> None:
        self.bits = bits
        self.significand = bits & (1 << 64) - 1
        exponent = bits >> 64 & _SPECIAL
        self.sign = bits >> 64 & _SIGN
        self.special = exponent == _SPECIAL
        # Those of exponent 0 lie as deep as those of exponent 1.
        self.scale = max(exponent, 1)
        has_integer = bool(self.significand & _INTEGER)
        self.unsupported = exponent > 0 and not has_integer
        self.infinite = self.special and self.significand == _INTEGER
        self.nan = self.special and not self.infinite and has_integer
        self.signals = self.nan and not self.significand & _QUIET
        self.denormal = exponent == 0 and self.significand != 0

    @property
    def exponent(self) -> int:
        """Return the exponent that it has with a leading bit of 1."""
        return self.scale + self.significand.bit_length() - 64


def _encode(sign: int, value: int, scale: int) -> int:
    """Return the bits of a value in units of the last place at an exponent."""
    shift = min(64 - value.bit_length(), scale - 1)
    if shift >= 0:
        value, scale = value << shift, scale - shift
    else:
        value, scale = value >> -shift, scale - shift
    exponent = scale if value & _INTEGER else 0
    return (sign | exponent) << 64 | value


def _nan(one: _Number, other: _Number) -> int:
    """Return what becomes of operands of which one or both are no numbers."""
    found = [each for each in (one, other) if each.nan]
    if len(found) == 2 and one.signals != other.signals:
        found = [each for each in found if not each.signals]
    largest = max(found, key=lambda each: (each.significand, not each.sign))
    return largest.bits | _QUIET


def _remainder(
    one: _Number, other: _Number, *, nearest: bool
) -> tuple[int, int, int, int]:
    """Return sign, value and scale of a remainder, and the conditions."""
    distance = one.exponent - other.exponent
    if distance < -1 or (distance < 0 and not nearest):
        return one.sign, one.significand, one.scale, 0
    scale = min(one.scale, other.scale)
    value = one.significand << one.scale - scale
    unit = other.significand << other.scale - scale
    if distance >= 64:
        unit <<= distance - 32 - distance % 32
        return one.sign, value % unit, scale, _C2
    quotient, value = divmod(value, unit)
    sign = one.sign
    if nearest and (2 * value, quotient & 1) > (unit, 0):
        quotient, value, sign = quotient + 1, unit - value, sign ^ _SIGN
    conditions = (
        (_C0 if quotient & 4 else 0)
        | (_C3 if quotient & 2 else 0)
        | (_C1 if quotient & 1 else 0)
    )
    return sign if value else one.sign, value, scale, conditions


def _partial(values: Iterable[int], *, nearest: bool) -> tuple[int, ...]:
    bits, divisor, status, control = values
    one, other = _Number(bits), _Number(divisor)
    status &= ~(_C0 | _C1 | _C2 | _C3)
    unmasked = ~control

    def raising(flag: int, result: int, conditions: int = 0) -> tuple[int, ...]:
        summary = _SUMMARY if flag & unmasked else 0
        return result, divisor, status | flag | summary | conditions, control

    if one.unsupported or other.unsupported:
        return raising(_INVALID, bits if unmasked & _INVALID else _INDEFINITE)
    if one.nan or other.nan:
        flag = _INVALID if one.signals or other.signals else 0
        return raising(flag, bits if flag & unmasked else _nan(one, other))
    if one.infinite or not other.significand:
        return raising(_INVALID, bits if unmasked & _INVALID else _INDEFINITE)
    flag = _DENORMAL if one.denormal or other.denormal else 0
    if flag & unmasked:
        return raising(flag, bits)
    if other.infinite or not one.significand:
        return raising(flag, _encode(one.sign, one.significand, one.scale))
    sign, value, scale, conditions = _remainder(one, other, nearest=nearest)
    if value and scale + value.bit_length() - 64 < 1 and unmasked & _UNDERFLOW:
        flag, scale = flag | _UNDERFLOW, scale + _WRAP
    return raising(flag, _encode(sign, value, scale), conditions)


REGISTERS = ("ST0", "ST1", "FPSW", "FPCW")
"""What the functions want and return, as the engine calls them."""


def fprem(values: Iterable[int]) -> tuple[int, ...]:
    """Return the registers after ``fprem``: the quotient is cut."""
    return _partial(values, nearest=False)


def fprem1(values: Iterable[int]) -> tuple[int, ...]:
    """Return the registers after ``fprem1``: the quotient is rounded."""
    return _partial(values, nearest=True)
