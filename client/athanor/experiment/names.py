"""Which names of a configuration the schema that is described of a model refuses.

Of a JSON Schema this reads what pydantic writes to say where a model's fields stand. It names only what is refused for
certain: of alternatives, a name that none has which the value could be meant for.
"""

import difflib
from typing import Any, NamedTuple, cast


class Unknown(NamedTuple):
    """A name that no field has."""

    path: tuple[str | int, ...]  # where it stands, the name itself last
    known: tuple[str, ...]  # the names that there are in its place

    def __str__(self) -> str:
        close = difflib.get_close_matches(str(self.path[-1]), self.known, n=1)
        hint = f" (did you mean {close[0]!r}?)" if close else ""
        return f"{'/'.join(map(str, self.path))}: is not a field of this configuration{hint}"


def unknown(schema: dict[str, Any], value: Any) -> list[Unknown]:
    """Return the names within `value`, plain JSON, that `schema` refuses."""
    return _Walk(schema).unknown(schema, value, ())


class _Walk:
    """Walks a part of the schema and the value that stands there together."""

    def __init__(self, document: dict[str, Any]) -> None:
        self._document = document

    def unknown(self, part: Any, value: Any, path: tuple[str | int, ...]) -> list[Unknown]:
        if not isinstance(part, dict) or not isinstance(value, dict | list):
            return []
        part = cast("dict[str, Any]", part)
        found: list[Unknown] = []
        for one in self._also(part):
            found += self.unknown(one, value, path)
        for keyword in ("anyOf", "oneOf"):
            found += self._of_alternatives(part.get(keyword, []), value, path)
        if isinstance(value, dict):
            return found + self._in_object(part, cast("dict[str, Any]", value), path)
        return found + self._in_array(part, cast("list[Any]", value), path)

    def _in_object(self, part: dict[str, Any], value: dict[str, Any], path: tuple[str | int, ...]) -> list[Unknown]:
        properties: dict[str, Any] = part.get("properties", {})
        others = True if "patternProperties" in part else part.get("additionalProperties", True)
        found: list[Unknown] = []
        for name, inner in value.items():
            if name not in properties and others is False:
                found.append(Unknown((*path, name), tuple(properties)))
            else:
                found += self.unknown(properties.get(name, others), inner, (*path, name))
        return found

    def _in_array(self, part: dict[str, Any], value: list[Any], path: tuple[str | int, ...]) -> list[Unknown]:
        first: list[Any] = part.get("prefixItems", [])
        found: list[Unknown] = []
        for i, inner in enumerate(value):
            found += self.unknown(first[i] if i < len(first) else part.get("items"), inner, (*path, i))
        return found

    def _of_alternatives(self, parts: list[Any], value: Any, path: tuple[str | int, ...]) -> list[Unknown]:
        """Return nothing when one takes all names, else what is unknown to the one that takes most."""
        of_each = [self.unknown(part, value, path) for part in parts if self._may_be(part, value)]
        return min(of_each, key=len) if of_each else []

    def _may_be(self, part: Any, value: Any) -> bool:
        """Tell whether an alternative can be meant, by its kind and by the fields that have one of a few values."""
        if not isinstance(part, dict):
            return True
        part = cast("dict[str, Any]", part)
        kind = "object" if isinstance(value, dict) else "array"
        if kind not in part.get("type", kind) or not all(self._may_be(one, value) for one in self._also(part)):
            return False
        if not isinstance(value, dict):
            return True
        properties: dict[str, Any] = part.get("properties", {})
        fields = {name: cast("dict[str, Any]", one) for name, one in properties.items() if isinstance(one, dict)}
        return all(
            inner in (fields[name].get("enum") or [fields[name].get("const", inner)])
            for name, inner in cast("dict[str, Any]", value).items()
            if name in fields
        )

    def _also(self, part: dict[str, Any]) -> list[Any]:
        """Return the parts that hold together with this one."""
        return [*part.get("allOf", []), *self._referred(part)]

    def _referred(self, part: dict[str, Any]) -> list[Any]:
        reference: str = part.get("$ref", "")
        if not reference.startswith("#/$defs/"):  # there is none, or it is the author's own and leads elsewhere
            return []
        return [self._document["$defs"][reference.removeprefix("#/$defs/").replace("~1", "/").replace("~0", "~")]]
