"""What the faults of a configuration are called: each with its JSON Pointer, in words for people.

Values are shown, shortened, but for those that the schema says are not to be repeated; see `write_only`.
"""

import difflib
import itertools
from collections.abc import Iterable, Iterator
from typing import Any, cast

from jsonschema.exceptions import ValidationError

from athanor_orchestrator.domain.errors import Violation
from athanor_orchestrator.engine import json_text
from athanor_orchestrator.engine.json_text import JsonValue, pointer, shorten
from athanor_orchestrator.engine.write_only import WriteOnly

_MOST_HINTS = 20  # of one document: looking for a similar name costs more than all the rest
_MOST_NAMES = 256  # that are looked at for one hint
_LONGEST_NAME = 64  # characters; nobody mistypes more


class _Telling:
    """What may be said beside a fault: the value, and, for the first few of a document, which name was meant."""

    def __init__(self, write_only: WriteOnly) -> None:
        self._write_only = write_only
        self._left = _MOST_HINTS

    def said(self, path: Iterable[str | int], value: object) -> str:
        """Return the part of a description that shows the value at `path`, or says that it is not shown."""
        return "its value is not repeated" if self._write_only.hides(path) else f"is {_shown(value)}"

    @property
    def shows_all(self) -> bool:
        """Whether there is no value that is not to be repeated."""
        return not self._write_only.any

    def hint(self, name: str, known: Iterable[str]) -> str:
        """Return the question to add to a description, or nothing."""
        if not self._left or len(name) > _LONGEST_NAME:
            return ""
        self._left -= 1
        names = [one for one in itertools.islice(known, _MOST_NAMES) if len(one) <= _LONGEST_NAME]
        close = difflib.get_close_matches(name, names, n=1)
        return f"; did you mean {close[0]!r}?" if close else ""


def described(errors: Iterable[ValidationError], write_only: WriteOnly) -> Iterator[Violation]:
    """Turn what the JSON Schema library found into violations."""
    return _described(errors, _Telling(write_only))


def _described(errors: Iterable[ValidationError], telling: _Telling) -> Iterator[Violation]:
    for error in errors:
        if error.validator in ("anyOf", "oneOf"):
            yield from _alternatives(error, telling)
        else:
            yield Violation(pointer(*error.absolute_path), _description(error, telling))


def _alternatives(error: ValidationError, telling: _Telling) -> Iterator[Violation]:
    """Describe a value that fits none of several alternatives by the faults of the one that was meant."""
    where = pointer(*error.absolute_path)
    instance = cast(Any, error).instance
    branches: dict[int, list[ValidationError]] = {}
    for fault in error.context or ():
        branches.setdefault(cast(int, fault.schema_path[0]), []).append(fault)

    discriminator = cast(Any, error.schema).get("discriminator")
    if discriminator:
        name, mapping = str(discriminator.get("propertyName")), cast("dict[str, str]", discriminator.get("mapping", {}))
        tag = _member(instance, name)
        if not isinstance(tag, str) or tag not in mapping:
            said = "is required" if tag is None else telling.said((*error.absolute_path, name), tag)
            yield Violation(where + pointer(name), f"{said}; must be one of {', '.join(mapping)}")
            return
        references = [cast(Any, part).get("$ref") for part in cast("list[object]", error.validator_value)]
        branches = {i: faults for i, faults in branches.items() if references[i] == mapping[tag]}

    kinds: list[str] = []
    for index, faults in list(branches.items()):
        wrong_kind = [f for f in faults if f.validator == "type" and not f.relative_path]
        if wrong_kind:
            kinds += [kind for f in wrong_kind for kind in _kinds(f.validator_value)]
            del branches[index]
    tagged = [i for i, faults in branches.items() if not any(f.validator == "const" for f in faults)]
    if len(tagged) == 1:
        branches = {tagged[0]: branches[tagged[0]]}

    if len(branches) == 1:
        (faults,) = branches.values()
        yield from _described(faults, telling)
    elif kinds and not branches:
        yield Violation(where, f"must be {_either(dict.fromkeys(kinds))}; is {_kind_of(instance)}")
    elif not error.context:
        yield Violation(where, f"fits more than one of the alternatives; {telling.said(error.absolute_path, instance)}")
    else:
        yield Violation(
            where, f"fits none of the {len(error.context)} alternatives; {telling.said(error.absolute_path, instance)}"
        )


def _member(value: object, name: str) -> object:
    return cast("dict[str, object]", value).get(name) if isinstance(value, dict) else None


def _description(error: ValidationError, telling: _Telling) -> str:
    limit: Any = error.validator_value
    instance = cast(Any, error).instance
    said = telling.said(error.absolute_path, instance)
    match error.validator:
        case "type":
            return f"must be {_either(_kinds(limit))}; is {_kind_of(instance)}"
        case "required":
            return error.message
        case "additionalProperties" if "patternProperties" not in cast(Any, error.schema):
            known = cast(Any, error.schema).get("properties", {})
            return error.message + telling.hint(str(error.relative_path[-1]), known)
        case "enum":
            return f"must be one of {shorten(', '.join(map(_shown, limit)), 300)}; {said}"
        case "const":
            return f"must be {_shown(limit)}; {said}"
        case "minimum":
            return f"must be at least {limit}; {said}"
        case "maximum":
            return f"must be at most {limit}; {said}"
        case "exclusiveMinimum":
            return f"must be more than {limit}; {said}"
        case "exclusiveMaximum":
            return f"must be less than {limit}; {said}"
        case "multipleOf":
            return f"must be a multiple of {limit}; {said}"
        case "minLength":
            return f"must have at least {limit} characters; {said}"
        case "maxLength":
            return f"must have at most {limit} characters; has {len(instance)}"
        case "minItems":
            return f"must have at least {limit} items; has {len(instance)}"
        case "maxItems":
            return f"must have at most {limit} items; has {len(instance)}"
        case "pattern":
            return f"must match {shorten(str(limit))!r}; {said}"
        case _ if telling.shows_all:
            return shorten(error.message, 300)  # it has the whole value in it
        case keyword:
            # A schema that is `false` has no keyword to name.
            return f"does not satisfy {keyword!r}" if cast(Any, keyword) else "is not allowed"


def _either(names: Iterable[str]) -> str:
    return " or ".join(names)


def _kinds(limit: object) -> list[str]:
    return [limit] if isinstance(limit, str) else [str(kind) for kind in cast("list[object]", limit)]


def _shown(value: object) -> str:
    if isinstance(value, dict | list):
        return _kind_of(cast(object, value))
    return shorten(json_text.write(cast(JsonValue, value)))


def _kind_of(value: object) -> str:
    kinds: dict[type, str] = {dict: "object", list: "array", str: "string", bool: "boolean", type(None): "null"}
    return kinds.get(cast(type, type(value)), "number")
