"""What the faults of a configuration are called: each with its JSON Pointer, in words for people."""

import difflib
import itertools
from collections.abc import Iterable, Iterator
from typing import Any, cast

from jsonschema.exceptions import ValidationError

from athanor_orchestrator.domain.errors import Violation
from athanor_orchestrator.engine import json_text
from athanor_orchestrator.engine.json_text import JsonValue, pointer, shorten

_MOST_HINTS = 20  # of one document: looking for a similar name costs more than all the rest
_MOST_NAMES = 256  # that are looked at for one hint
_LONGEST_NAME = 64  # characters; nobody mistypes more


class _Hints:
    """What may have been meant by names that are unknown, for the first few of a document."""

    def __init__(self) -> None:
        self._left = _MOST_HINTS

    def hint(self, name: str, known: Iterable[str]) -> str:
        """Return the question to add to a description, or nothing."""
        if not self._left or len(name) > _LONGEST_NAME:
            return ""
        self._left -= 1
        names = [one for one in itertools.islice(known, _MOST_NAMES) if len(one) <= _LONGEST_NAME]
        close = difflib.get_close_matches(name, names, n=1)
        return f"; did you mean {close[0]!r}?" if close else ""


def described(errors: Iterable[ValidationError]) -> Iterator[Violation]:
    """Turn what the JSON Schema library found into violations."""
    return _described(errors, _Hints())


def _described(errors: Iterable[ValidationError], hints: _Hints) -> Iterator[Violation]:
    for error in errors:
        if error.validator in ("anyOf", "oneOf"):
            yield from _alternatives(error, hints)
        else:
            yield Violation(pointer(*error.absolute_path), _description(error, hints))


def _alternatives(error: ValidationError, hints: _Hints) -> Iterator[Violation]:
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
            said = "is required" if tag is None else f"is {_shown(tag)}"
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
        yield from _described(faults, hints)
    elif kinds and not branches:
        yield Violation(where, f"must be {_either(dict.fromkeys(kinds))}; is {_kind_of(instance)}")
    elif not error.context:
        yield Violation(where, f"fits more than one of the alternatives; is {_shown(instance)}")
    else:
        yield Violation(where, f"fits none of the {len(error.context)} alternatives; is {_shown(instance)}")


def _member(value: object, name: str) -> object:
    return cast("dict[str, object]", value).get(name) if isinstance(value, dict) else None


def _description(error: ValidationError, hints: _Hints) -> str:
    limit: Any = error.validator_value
    instance = cast(Any, error).instance
    said = _shown(instance)
    match error.validator:
        case "type":
            return f"must be {_either(_kinds(limit))}; is {_kind_of(instance)}"
        case "required":
            return error.message
        case "additionalProperties" if "patternProperties" not in cast(Any, error.schema):
            known = cast(Any, error.schema).get("properties", {})
            return error.message + hints.hint(str(error.relative_path[-1]), known)
        case "enum":
            return f"must be one of {shorten(', '.join(map(_shown, limit)), 300)}; is {said}"
        case "const":
            return f"must be {_shown(limit)}; is {said}"
        case "minimum":
            return f"must be at least {limit}; is {said}"
        case "maximum":
            return f"must be at most {limit}; is {said}"
        case "exclusiveMinimum":
            return f"must be more than {limit}; is {said}"
        case "exclusiveMaximum":
            return f"must be less than {limit}; is {said}"
        case "multipleOf":
            return f"must be a multiple of {limit}; is {said}"
        case "minLength":
            return f"must have at least {limit} characters; is {said}"
        case "maxLength":
            return f"must have at most {limit} characters; has {len(instance)}"
        case "minItems":
            return f"must have at least {limit} items; has {len(instance)}"
        case "maxItems":
            return f"must have at most {limit} items; has {len(instance)}"
        case "pattern":
            return f"must match {shorten(str(limit))!r}; is {said}"
        case _:
            return shorten(error.message, 300)


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
