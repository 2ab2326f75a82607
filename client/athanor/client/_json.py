"""JSON text to Python objects and back, exactly where Python can: whole numbers have no limit of size."""

import json
import math
from typing import Any, cast

from athanor.client import _digits
from athanor.client.errors import InvalidArgumentError, Violation

_AROUND = 20  # characters of a document on either side of what is wrong in it
_scalar = json.JSONEncoder(ensure_ascii=False, allow_nan=False).encode


def parse(text: str) -> Any:
    """Return the document as Python objects."""
    return json.loads(text, parse_int=_digits.number)


def encode(value: Any, field: str) -> str:
    """Return `value` as JSON text.

    Raises InvalidArgumentError, naming `field`, when it cannot be written as JSON: a type that JSON lacks, a key that
    is no text, NaN or Infinity, a lone surrogate, or a structure that contains itself.
    """
    try:
        text = written(value)
        text.encode()
    except (TypeError, ValueError, RecursionError) as error:
        why = _halved(error) if isinstance(error, UnicodeEncodeError) else error
        violation = Violation(field, f"is not JSON: {why}")
        raise InvalidArgumentError(f"{violation.field} {violation.description}", violations=[violation]) from error
    return text


def written(value: Any) -> str:
    """Return `value` as JSON text without spaces. Raises TypeError, ValueError or RecursionError when it has none."""
    parts = list[str]()
    _write(value, parts.append, set())
    return "".join(parts)


# One call for each level, and none between: as deep as Python's own.
def _write(value: Any, add: Any, inside: set[int]) -> None:
    if isinstance(value, int) and not isinstance(value, bool):
        add(_digits.text(value))
        return
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(_not_finite(value))
    if not isinstance(value, dict | list | tuple):
        add(_scalar(value))
        return
    if id(cast("Any", value)) in inside:
        raise ValueError("it contains itself")
    inside.add(id(cast("Any", value)))
    comma = ""
    if isinstance(value, dict):
        add("{")
        for key, item in cast("dict[Any, Any]", value).items():
            if not isinstance(key, str):
                raise TypeError(f"a key has to be a text, and {key!r} is none")
            add(f"{comma}{_scalar(key)}:")
            _write(item, add, inside)
            comma = ","
        add("}")
    else:
        add("[")
        for item in cast("list[Any]", value):
            add(comma)
            _write(item, add, inside)
            comma = ","
        add("]")
    inside.discard(id(cast("Any", value)))


def _not_finite(value: float) -> str:
    if math.isnan(value):
        return "NaN is no JSON number"
    sign = "-" if value < 0 else ""
    return f"{sign}Infinity is no JSON number, and beyond what a float holds (1.8e308 at most)"


def _halved(error: UnicodeEncodeError) -> str:
    around = error.object[max(0, error.start - _AROUND) : error.end + _AROUND]
    return f"has half of a character in it (a lone surrogate): {around!r}"
