"""Reads and writes JSON without losing anything: numbers keep the very text they were written with.

What is not JSON, or cannot be kept by every database and every reader, is refused with the place where it stands.
"""

import json
import re
from collections.abc import Callable, Iterable, Iterator
from decimal import Decimal, InvalidOperation
from json.encoder import encode_basestring
from typing import cast

from athanor_orchestrator.domain.errors import Violation

JsonValue = dict[str, "JsonValue"] | list["JsonValue"] | str | Decimal | bool | None

DEPTH_LIMIT = 64  # arrays and objects within each other
VIOLATION_LIMIT = 1000  # of one document; beyond it nobody reads on
VIOLATION_CHARACTERS = 512 * 1024  # of all of them: each may have a key of the document's own size in its path
EXPONENT_LIMIT = 10_000  # a power of ten beyond it would be typed by mistake, and costly to calculate with

_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")


class Number(Decimal):
    """A number as it was written: exact, of any size, and shown in its own words."""

    text: str

    def __new__(cls, text: str) -> "Number":
        """Read `text`; ValueError when it is beyond what can be calculated with."""
        try:
            number = super().__new__(cls, text)
        except InvalidOperation:
            raise ValueError(f"number {shorten(text)} is beyond 1e{EXPONENT_LIMIT}") from None
        exponent = number.as_tuple().exponent if "e" in text or "E" in text else 0
        if not isinstance(exponent, int) or abs(exponent) > EXPONENT_LIMIT:
            raise ValueError(f"number {shorten(text)} is beyond 1e{EXPONENT_LIMIT}")
        number.text = text
        return number

    def __repr__(self) -> str:
        return self.text

    __str__ = __repr__


class Unreadable(Exception):
    """The text is not JSON that can be kept; `violations` say where (JSON Pointer) and why."""

    def __init__(self, *violations: Violation) -> None:
        super().__init__("; ".join(f"{v.field or 'document'}: {v.description}" for v in violations))
        self.violations = violations


def pointer(*parts: str | int) -> str:
    """Return the JSON Pointer (RFC 6901) of the value found by going through `parts`; empty for the whole document."""
    return "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in parts)


def shorten(text: str, limit: int = 80) -> str:
    """Return `text` cut to about `limit` characters, for a message."""
    return text if len(text) <= limit else f"{text[: limit - 1]}…"


def read(text: str) -> JsonValue:
    """Read a JSON document; raise Unreadable for what is not JSON, NaN, doubled keys, NUL, lone surrogates, depth."""
    value = parse(text, constant=_refuse_constant, members=_members)
    faults = bounded(_faults(value, ()))
    if faults:
        raise Unreadable(*faults)
    return value


def parse(
    text: str, *, constant: Callable[[str], object], members: Callable[[list[tuple[str, object]]], object]
) -> JsonValue:
    """Read a JSON document with the caller's own treatment of NaN and Infinity, and of an object's members."""
    try:
        value: object = json.loads(
            text, parse_int=Number, parse_float=Number, parse_constant=constant, object_pairs_hook=members
        )
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        raise Unreadable(Violation("", f"is not JSON: {error.msg} at {where}")) from None
    except RecursionError:
        raise Unreadable(Violation("", f"is nested deeper than {DEPTH_LIMIT}")) from None
    except ValueError as error:
        raise Unreadable(Violation("", f"is not JSON that can be kept: {error}")) from None
    return cast(JsonValue, value)


def write(value: JsonValue) -> str:
    """Write a document that `read` has read, in one line; numbers exactly as they were written."""
    parts: list[str] = []
    _write(value, parts.append)
    return "".join(parts)


def _write(value: JsonValue, out: Callable[[str], object]) -> None:
    if isinstance(value, str):
        out(encode_basestring(value))
    elif value is None:
        out("null")
    elif value is True:
        out("true")
    elif value is False:
        out("false")
    elif isinstance(value, Decimal):
        out(str(value))
    elif isinstance(value, dict):
        separator = "{"
        for key, member in value.items():
            out(f"{separator}{encode_basestring(key)}:")
            _write(member, out)
            separator = ","
        out("}" if value else "{}")
    else:
        separator = "["
        for item in value:
            out(separator)
            _write(item, out)
            separator = ","
        out("]" if value else "[]")


def _refuse_constant(name: str) -> object:
    raise ValueError(f"{name} is not a JSON number")


def _members(pairs: list[tuple[str, object]]) -> object:
    members = dict(pairs)
    if len(members) != len(pairs):
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                raise ValueError(f"the key {shorten(key)!r} stands twice in one object")
            seen.add(key)
    return members


def bounded(violations: Iterable[Violation]) -> list[Violation]:
    """Take violations as long as anybody would read on, once each; the last one then says that there are more."""
    found: dict[Violation, None] = {}
    room = VIOLATION_CHARACTERS
    for count, violation in enumerate(violations):
        room -= len(violation.field) + len(violation.description)
        if count == VIOLATION_LIMIT or (count and room < 0):
            return [*found, Violation("", f"has more than {count} violations")]
        found[violation] = None
    return list(found)


def _faults(value: JsonValue, path: tuple[str | int, ...]) -> Iterator[Violation]:
    if isinstance(value, str):
        yield from _text_fault(value, path)
    elif isinstance(value, dict | list) and len(path) >= DEPTH_LIMIT:
        yield Violation(pointer(*path), f"is nested deeper than {DEPTH_LIMIT}")
    elif isinstance(value, dict):
        for key, member in value.items():
            yield from _text_fault(key, path, "has a key that") or _faults(member, (*path, key))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _faults(item, (*path, index))


def _text_fault(text: str, path: tuple[str | int, ...], subject: str = "") -> list[Violation]:
    found = _UNSTORABLE.search(text)
    if found is None:
        return []
    what = "NUL (\\u0000)" if found[0] == "\x00" else f"a lone surrogate (\\u{ord(found[0]):04x})"
    return [Violation(pointer(*path), f"{subject} contains {what}, which is not text".lstrip())]
