"""JSON text that contains other JSON text as it is, so that numbers of any size and precision stay what they are."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn, cast


@dataclass(frozen=True)
class Raw:
    """A JSON document in text, to be written as it is."""

    text: str


# Less than this many Python turns into a number and back, whatever it is told. More the client does, which is not
# loaded for less.
_DIGITS = 600
_BITS = 1900

_SHOWN = 40  # characters of a number that is refused


class RepeatedKeyError(ValueError):
    """An object has a key twice."""


class BeyondFloatError(ValueError):
    """A number is larger than any float."""


def loads(text: str) -> Any:
    """Return the document that `text` is.

    Raises ValueError when it is not JSON: RepeatedKeyError for a key twice, BeyondFloatError for 1e999.
    """
    return json.loads(text, parse_int=integer, parse_float=_float, parse_constant=_refuse, object_pairs_hook=_once)


def integer(text: str) -> int:
    """Return the whole number that decimal digits are, however many."""
    if len(text) <= _DIGITS:
        return int(text)
    from athanor.client import _digits

    return _digits.number(text)


def dumps(value: Any) -> str:
    """Return `value` as JSON on one line. Mappings, sequences and what JSON knows may hold Raw texts anywhere."""
    match value:
        case Raw(text):
            # Between the values of a document a line break means nothing; in JSON Lines it would end the line.
            return text.replace("\r", " ").replace("\n", " ")
        case Mapping():
            members = cast("Mapping[str, Any]", value)
            return "{" + ", ".join(f"{json.dumps(key)}: {dumps(item)}" for key, item in members.items()) + "}"
        case int() if value.bit_length() > _BITS:
            from athanor.client import _digits

            return _digits.text(value)
        case str() | int() | float() | bool() | None:
            return json.dumps(value, ensure_ascii=False)
        case Sequence():
            return "[" + ", ".join(map(dumps, cast("Sequence[Any]", value))) + "]"
        case _:
            raise TypeError(f"{type(value).__name__} has no JSON")


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict[str, Any]()
    for key, value in pairs:
        if key in found:
            raise RepeatedKeyError(f"the key {key!r} is there twice")
        found[key] = value
    return found


def _float(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        shown = text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
        raise BeyondFloatError(f"{shown} is beyond what a float holds (1.8e308 at most)")
    return number


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")
