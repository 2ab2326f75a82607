"""JSON text from what an experiment hands over: strict, exact, and told with the path of the value when it cannot be.

Encoding goes first, by the standard library's encoder in C; the walk that finds what is wrong comes only when something
may be. What most metadata is, a flat dict of numbers and short texts, is written here, in half the time.
"""

import dataclasses
import json
import math
from collections.abc import Callable
from json import encoder
from typing import Any, cast

from athanor.experiment.errors import InvalidValueError

MAX_DEPTH = 64


def _refuse(value: object) -> object:
    raise TypeError(f"{type(value).__name__} is not JSON")


def _make_encoder() -> Any:
    """Make once what `json.dumps` makes for every value; without its check for circles, which MAX_DEPTH covers."""
    make = cast(Any, encoder).c_make_encoder
    if make is None:  # an interpreter without the C extension
        plain = json.JSONEncoder(ensure_ascii=False, check_circular=False, allow_nan=False, separators=(",", ":"))

        def encode_plainly(value: object, _level: int) -> Any:
            return plain.iterencode(value)

        return encode_plainly
    return make(None, _refuse, cast(Any, encoder).encode_basestring, None, ":", ",", False, False, False)


_encode = _make_encoder()
_text: Callable[[str], str] = cast(Any, encoder).encode_basestring
_type_of: Any = type

# Keys as they stand in front of a value. Those of log entries are few and come again and again; should they not be few,
# they are forgotten.
_keys: dict[str, str] = {}
_MOST_KEYS = 1000


def encode(value: Any, path: str) -> bytes:
    """Write a value as JSON in UTF-8; `path` names it in what is raised.

    Tuples are arrays. NaN and the infinities, keys that are no text, NUL, lone surrogates, types that JSON does not
    have, and what is nested more than MAX_DEPTH deep raise InvalidValueError with the path of the first of them.
    """
    given: object = value
    try:
        if type(value) is dict and (flat := _encode_flat(value)):  # pyright: ignore[reportUnknownArgumentType]
            return flat.encode()
        text: str = "".join(_encode(value, 0))
        data = text.encode()
        # The encoder takes numbers for keys, any depth, and NUL. A look at the text rules these out for most values.
        if text.find("{", 1) < 0 and "\\u0000" not in text and text.count("[") < MAX_DEPTH:
            if isinstance(value, dict):
                "".join(value)  # pyright: ignore[reportUnknownArgumentType] - fails unless all keys are text
            return data
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidValueError(find_fault(given, path) or f"{path} cannot be written as JSON: {error}") from None

    if fault := find_fault(given, path):
        raise InvalidValueError(fault)
    return data


def _encode_flat(members: dict[Any, Any]) -> str:
    """Write a dict of numbers, texts, booleans and None as the encoder would; empty when it may be anything else."""
    text, between = "{", ""
    try:
        for key, value in members.items():
            try:
                name = _keys[key]
            except KeyError:
                name = _encode_key(key)
            kind = _type_of(value)
            if kind is float or kind is int:
                if value - value:  # it is not finite
                    return ""
                text = f"{text}{between}{name}{value!r}"
            elif kind is str:
                if "\0" in value:
                    return ""
                text = f"{text}{between}{name}{_text(value)}"
            elif kind is bool:
                text = f"{text}{between}{name}{'true' if value else 'false'}"
            elif value is None:
                text = f"{text}{between}{name}null"
            else:
                return ""
            between = ","
    except (_NoText, RuntimeError):  # the latter when another thread changes it
        return ""
    return text + "}"


def _encode_key(key: object) -> str:
    if type(key) is not str or "\0" in key:
        raise _NoText
    if len(_keys) >= _MOST_KEYS:
        _keys.clear()
    name = _keys[key] = f"{_text(key)}:"
    return name


class _NoText(Exception):
    """A key is no text, or some other kind of it, or has a NUL in it."""


def find_fault(value: object, path: str, depth: int = 0) -> str | None:
    """Say where a value is not JSON and why, or None. Parts of the path are escaped as in a JSON Pointer."""
    match value:
        case None | bool():
            return None
        case str():
            fault = _text_fault(value)
            return fault and f"{path} contains {fault}"
        case int():
            try:
                int.__repr__(value)
            except ValueError:
                return f"{path} is an integer of too many digits"
            return None
        case float():
            return None if math.isfinite(value) else f"{path} is {_name_of(value)}"
        case dict():
            members = cast("dict[object, object]", value)
            if depth == MAX_DEPTH:
                return f"{path} is nested more than {MAX_DEPTH} deep"
            for key, member in members.items():
                if not isinstance(key, str):
                    return f"{path} has the key {key!r} of type {type(key).__name__}; keys are text"
                if fault := _text_fault(key):
                    return f"{path} has a key that contains {fault}: {key!r}"
                if fault := find_fault(member, f"{path}/{_escaped(key)}", depth + 1):
                    return fault
            return None
        case list() | tuple():
            items = cast("list[object]", value)
            if depth == MAX_DEPTH:
                return f"{path} is nested more than {MAX_DEPTH} deep"
            for index, item in enumerate(items):
                if fault := find_fault(item, f"{path}/{index}", depth + 1):
                    return fault
            return None
        case _:
            return f"{path} is of type {_type_name(value)}, which is not JSON{_advice(value)}"


def _text_fault(value: str) -> str | None:
    if "\0" in value:
        return f"NUL at character {value.index(chr(0))}"
    try:
        value.encode()
    except UnicodeEncodeError as error:
        return f"a lone surrogate at character {error.start}"
    return None


def _name_of(value: float) -> str:
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


def _escaped(key: str) -> str:
    return key.replace("~", "~0").replace("/", "~1")


def _type_name(value: object) -> str:
    kind = type(value)
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


def _advice(value: object) -> str:
    if hasattr(value, "model_dump"):
        return "; use its model_dump(mode='json')"
    if hasattr(value, "tolist"):
        return "; use its tolist()"
    if dataclasses.is_dataclass(value):
        return "; use dataclasses.asdict()"
    if isinstance(value, set | frozenset):
        return "; use a list"
    return ""
