"""An experiment's JSON Schema (draft 2020-12), compiled: every violation of a configuration, in words for people.

Numbers are Decimals on both sides, because 0.7 as a float is "not a multiple of 0.1". A schema comes from a runner, so
it may be broken, recursive without end, or point to other machines: then it says so, fetches nothing, harms nobody.
"""

import functools
import itertools
import json
from collections.abc import Iterator
from decimal import Context, Decimal
from typing import Any, cast

import jsonschema
import referencing
import referencing.exceptions
import referencing.jsonschema
from jsonschema import validators
from jsonschema.exceptions import SchemaError, ValidationError

from athanor_orchestrator.domain.errors import Violation
from athanor_orchestrator.engine import json_text, violations
from athanor_orchestrator.engine.json_text import JsonValue, pointer, shorten
from athanor_orchestrator.engine.write_only import WriteOnly

_DROPPED = object()  # stands for NaN and Infinity while a schema is read


class BrokenSchema(Exception):
    """The schema cannot be used; the text says why, for the experiment's author."""


class Schema:
    """A schema that configurations are checked with."""

    def __init__(self, document: JsonValue) -> None:
        registry: referencing.jsonschema.SchemaRegistry = referencing.Registry()
        self.document = document
        self._validator = _Validator(cast(Any, document), registry=registry)

    def violations(self, value: JsonValue) -> list[Violation]:
        """Return every fault of `value`, each with the JSON Pointer of where it stands; [] when it fits.

        Raises BrokenSchema.
        """
        errors = self._errors(value, self.document)
        first = next(errors, None)
        if first is None:  # as nearly always: what is not to be shown need not be found
            return []
        write_only = WriteOnly(self.document, self._lookup_or_none)
        return json_text.bounded(violations.described(itertools.chain((first,), errors), write_only))

    def fits(self, value: JsonValue, subschema: JsonValue) -> bool:
        """Tell whether `value` satisfies `subschema`, a part of the document. Raises BrokenSchema."""
        return next(self._errors(value, subschema), None) is None

    def lookup(self, reference: str) -> JsonValue:
        """Return the part of the document that a `$ref` names. Raises BrokenSchema."""
        try:
            return cast(JsonValue, self._validator._resolver.lookup(reference).contents)  # pyright: ignore[reportPrivateUsage]
        except referencing.exceptions.Unresolvable as error:
            raise BrokenSchema(f"$ref {shorten(reference)!r} leads nowhere") from error

    def _lookup_or_none(self, reference: str) -> JsonValue:
        try:
            return self.lookup(reference)
        except BrokenSchema:  # in a part that does not apply, or it would have been told
            return None

    def _errors(self, value: JsonValue, part: JsonValue) -> Iterator[ValidationError]:
        validator = self._validator if part is self.document else self._validator.evolve(schema=part)
        try:
            yield from validator.iter_errors(value)
        except RecursionError:
            raise BrokenSchema("it refers to itself without end") from None
        except GeneratorExit:
            raise
        except Exception as error:  # a pattern that is no regular expression, a reference that leads nowhere, ...
            raise BrokenSchema(shorten(f"{type(error).__name__}: {error}", 300)) from error


@functools.lru_cache(maxsize=128)
def compile_schema(text: str) -> Schema:
    """Read a schema from its JSON text. Raises BrokenSchema when it is no JSON Schema."""
    try:
        document = json_text.parse(text, constant=lambda _: _DROPPED, members=_schema_members)
        # Checked with plain numbers, because the meta-schema's own numbers are plain.
        jsonschema.Draft202012Validator.check_schema(json.loads(text, object_pairs_hook=_schema_members))
    except json_text.Unreadable as error:
        raise BrokenSchema(str(error)) from None
    except SchemaError as error:
        where = pointer(*error.absolute_path) or "the schema"
        raise BrokenSchema(f"{where}: {shorten(error.message, 300)}") from None
    except (RecursionError, ValueError) as error:
        raise BrokenSchema(shorten(str(error), 300)) from None
    if not isinstance(document, dict):
        raise BrokenSchema("it is not a JSON object")
    return Schema(document)


def _schema_members(pairs: list[tuple[str, object]]) -> object:
    # A bound of Infinity bounds nothing, and a default of NaN is one that only the author's code can fill in. For a
    # schema that names its draft the library would take its own class, and the exact numbers would be lost.
    return {key: value for key, value in pairs if value is not _DROPPED and not _names_draft(key, value)}


def _names_draft(key: str, value: object) -> bool:
    return key == "$schema" and isinstance(value, str)


# Keywords whose own meaning, or message, is not good enough


def _is_number(_checker: object, value: object) -> bool:
    return isinstance(value, Decimal)


def _is_integer(_checker: object, value: object) -> bool:
    if not isinstance(value, Decimal):
        return False
    _, digits, exponent = value.as_tuple()
    if not isinstance(exponent, int):
        return False
    return exponent >= 0 or not any(digits[exponent:])  # 1.0 is an integer (draft 2020-12)


def _multiple_of(validator: Any, divisor: Decimal, value: object, _schema: object) -> Iterator[ValidationError]:
    if not validator.is_type(value, "number"):
        return
    number = cast(Decimal, value)
    # Wide enough that the quotient is exact; both exponents are bounded by json_text.
    digits = len(number.as_tuple().digits) + len(divisor.as_tuple().digits)
    precision = digits + 2 * json_text.EXPONENT_LIMIT + abs(number.adjusted() - divisor.adjusted())
    if Context(prec=precision).remainder(number, divisor):
        yield ValidationError("")


def _required(validator: Any, names: list[str], value: object, _schema: object) -> Iterator[ValidationError]:
    if validator.is_type(value, "object"):
        for name in names:
            if name not in cast("dict[str, object]", value):
                yield ValidationError("is required", path=(name,))


def _additional(validator: Any, allowed: object, value: object, schema: Any) -> Iterator[ValidationError]:
    if allowed is not False or not validator.is_type(value, "object") or "patternProperties" in schema:
        yield from _library_additional(validator, allowed, value, schema)
    else:
        known = schema.get("properties", {})
        for name in cast("dict[str, object]", value):
            if name not in known:
                yield ValidationError("is not a field of this configuration", path=(name,))


_library_additional: Any = jsonschema.Draft202012Validator.VALIDATORS["additionalProperties"]

_Validator: Any = cast(Any, validators).extend(
    jsonschema.Draft202012Validator,
    {"multipleOf": _multiple_of, "required": _required, "additionalProperties": _additional},
    type_checker=jsonschema.Draft202012Validator.TYPE_CHECKER.redefine("integer", _is_integer).redefine(
        "number", _is_number
    ),
)
