"""A JSON Schema as the list of values that a person can set."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, cast

from athanor.cli import jsontext
from athanor.client.paths import dotted

_DEPTH = 8  # a schema may contain itself
_LIMITS = {
    "minimum": "at least {}",
    "exclusiveMinimum": "more than {}",
    "maximum": "at most {}",
    "exclusiveMaximum": "less than {}",
    "multipleOf": "a multiple of {}",
    "minLength": "at least {} characters",
    "maxLength": "at most {} characters",
    "pattern": "like {}",
    "minItems": "at least {} items",
    "maxItems": "at most {} items",
}


@dataclass(frozen=True)
class Setting:
    """One value of a configuration, by the path that `--set` takes; `[]` stands for each place of a list."""

    path: str
    type: str
    default: str  # JSON; empty when there is none
    description: str  # title, description and limits
    required: bool


def settings(schema: Mapping[str, Any]) -> list[Setting]:
    """Return every value that `schema` describes, in its order."""
    return list(_members(schema, schema, "", 0))


def _members(root: Mapping[str, Any], node: Mapping[str, Any], prefix: str, depth: int) -> Iterator[Setting]:
    properties = cast("Mapping[str, Any]", node.get("properties", {}))
    required = cast("list[str]", node.get("required", []))
    for name, member in properties.items():
        yield from _value(root, member, f"{prefix}{dotted((name,))}", name in required, depth)


def _value(root: Mapping[str, Any], raw: Any, path: str, required: bool, depth: int) -> Iterator[Setting]:
    node = _resolve(root, raw)
    default = jsontext.dumps(node["default"]) if "default" in node else ""
    yield Setting(path, _type(root, node), default, _description(node), required)
    if depth < _DEPTH:
        yield from _members(root, node, f"{path}.", depth + 1)
        if node.get("type") == "array":
            yield from _members(root, _resolve(root, node.get("items", {})), f"{path}[].", depth + 1)


def _resolve(root: Mapping[str, Any], node: Any) -> Mapping[str, Any]:
    """Follow a reference within the document; what stands beside the reference comes first."""
    if not isinstance(node, Mapping):
        return {}
    here = cast("Mapping[str, Any]", node)
    reference = here.get("$ref")
    if not isinstance(reference, str) or not reference.startswith("#/"):
        return here
    target: Any = root
    for part in reference[2:].split("/"):
        target = cast("Mapping[str, Any]", target).get(part, {}) if isinstance(target, Mapping) else {}
    return {**cast("Mapping[str, Any]", target), **{key: value for key, value in here.items() if key != "$ref"}}


def _type(root: Mapping[str, Any], node: Mapping[str, Any]) -> str:
    if "enum" in node:
        return " | ".join(map(jsontext.dumps, cast("list[Any]", node["enum"])))
    if "const" in node:
        return jsontext.dumps(node["const"])
    for union in ("anyOf", "oneOf"):
        if union in node:
            options = [_type(root, _resolve(root, option)) for option in cast("list[Any]", node[union])]
            return " | ".join(dict.fromkeys(options))
    kind = node.get("type", "any")
    if kind == "array":
        return f"list of {_type(root, _resolve(root, node.get('items', {})))}"
    return " | ".join(cast("list[str]", kind)) if isinstance(kind, list) else str(kind)


def _description(node: Mapping[str, Any]) -> str:
    parts = [str(node[key]).rstrip(".") for key in ("title", "description") if node.get(key)]
    parts += [text.format(node[key]) for key, text in _LIMITS.items() if key in node]
    return "; ".join(dict.fromkeys(parts))
