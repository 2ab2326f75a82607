"""Fills a configuration's gaps with the defaults that its schema states.

What only the author's code can fill in (`default_factory`) is not in the schema and is left out, as is a default that
would not be accepted if somebody wrote it: the author's code knows better what it stands for.
"""

from athanor_orchestrator.engine.json_text import JsonValue
from athanor_orchestrator.engine.schema import Schema

_SECRET = "*" * 10  # what pydantic shows in the place of a secret's default: writing it down would replace that


def fill(value: JsonValue, schema: Schema) -> JsonValue:
    """Return `value`, which fits `schema`, with defaults filled in wherever it is clear which part of it applies."""
    return _fill(value, schema.document, schema, frozenset())


def _fill(value: JsonValue, part: JsonValue, schema: Schema, followed: frozenset[str]) -> JsonValue:
    if not isinstance(part, dict) or not isinstance(value, dict | list):
        return value
    reference = part.get("$ref")
    if isinstance(reference, str) and reference not in followed:
        value = _fill(value, schema.lookup(reference), schema, followed | {reference})
    for branch in _list(part, "allOf"):
        value = _fill(value, branch, schema, followed)
    for keyword in ("anyOf", "oneOf"):
        branch = _meant(value, _list(part, keyword), part, schema)
        if branch is not None:
            value = _fill(value, branch, schema, followed)
    return _fill_items(value, part, schema) if isinstance(value, list) else _fill_members(value, part, schema)


def _fill_members(value: JsonValue, part: dict[str, JsonValue], schema: Schema) -> JsonValue:
    if not isinstance(value, dict):
        return value
    properties = part.get("properties")
    properties = properties if isinstance(properties, dict) else {}
    others = None if "patternProperties" in part else part.get("additionalProperties")
    filled = {name: _fill(member, properties.get(name, others), schema, frozenset()) for name, member in value.items()}
    for name, subschema in properties.items():
        if name in filled or not isinstance(subschema, dict) or "default" not in subschema:
            continue
        if subschema["default"] != _SECRET and schema.fits(subschema["default"], subschema):
            filled[name] = subschema["default"]
    return filled


def _fill_items(value: list[JsonValue], part: dict[str, JsonValue], schema: Schema) -> JsonValue:
    first = _list(part, "prefixItems")
    rest = part.get("items")
    return [
        _fill(item, first[index] if index < len(first) else rest, schema, frozenset())
        for index, item in enumerate(value)
    ]


def _meant(value: JsonValue, branches: list[JsonValue], part: dict[str, JsonValue], schema: Schema) -> JsonValue:
    """Return the one alternative that `value` can be; None when it could be several: each has its own defaults."""
    if not branches:
        return None
    discriminator = part.get("discriminator")
    if isinstance(discriminator, dict) and isinstance(value, dict):
        mapping, tag = discriminator.get("mapping"), value.get(str(discriminator.get("propertyName")))
        if isinstance(mapping, dict) and isinstance(tag, str) and tag in mapping:
            return {"$ref": mapping[tag]}
    fitting = [branch for branch in branches if schema.fits(value, branch)]
    return fitting[0] if len(fitting) == 1 else None


def _list(part: dict[str, JsonValue], keyword: str) -> list[JsonValue]:
    found = part.get(keyword)
    return found if isinstance(found, list) else []
