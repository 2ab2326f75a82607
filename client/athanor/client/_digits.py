"""Whole numbers to decimal digits and back, of any size.

Python refuses to do either beyond some thousand digits, because it takes time that grows with their square. Here a
number is taken apart in the middle, again and again: it grows as multiplication does, and a number of a million digits
takes less than a second.
"""

from decimal import MAX_EMAX, MAX_PREC, MIN_EMIN, Context, Decimal, Inexact
from functools import cache

# What Python never refuses, whatever its limit is set to, is less than 640 digits.
_DIGITS = 600
_BITS = 1900


def number(text: str) -> int:
    """Return the number that decimal digits are, with a sign or without."""
    if len(text) <= _DIGITS:
        return int(text)
    if text[0] in "+-":
        return -_number(text[1:]) if text[0] == "-" else _number(text[1:])
    return _number(text)


def text(number: int) -> str:
    """Return a number in decimal digits."""
    if number.bit_length() <= _BITS:
        return int.__repr__(number)
    return f"{'-' if number < 0 else ''}{_decimal(abs(number))}"


def _number(text: str) -> int:
    @cache
    def power(digits: int) -> int:
        return 10**digits

    def between(start: int, stop: int) -> int:
        if stop - start <= _DIGITS:
            return int(text[start:stop])
        middle = (start + stop + 1) // 2
        return between(start, middle) * power(stop - middle) + between(middle, stop)

    return between(0, len(text))


def _decimal(number: int) -> Decimal:
    # Decimals multiply large numbers faster than integers do. Nothing is rounded: that would raise.
    exact = Context(prec=MAX_PREC, Emax=MAX_EMAX, Emin=MIN_EMIN, traps=[Inexact])

    @cache
    def power(bits: int) -> Decimal:
        return exact.power(2, bits)

    def of(number: int, bits: int) -> Decimal:
        if bits <= _BITS:
            return Decimal(number)
        low = bits // 2
        high = number >> low
        return exact.add(exact.multiply(of(high, bits - low), power(low)), of(number - (high << low), low))

    return of(number, number.bit_length())
