"""Which places of a configuration hold what must not be repeated: where its schema says `writeOnly`.

JSON Schema has the word as an annotation (draft 2020-12, validation, 9.4). Here it means: a violation does not show the
value. It may be a key that somebody put into the wrong field, and what is refused goes to terminals and logs.
"""

from collections.abc import Callable, Iterable, Iterator

from athanor_orchestrator.engine.json_text import JsonValue

_Parts = list[dict[str, JsonValue]]

# By which keywords a schema says more about the same value, and about the members and items of it.
_SAME_ONE = ("if", "then", "else", "not")
_SAME_LIST = ("allOf", "anyOf", "oneOf")
_SAME_NAMED = ("dependentSchemas",)
_WITHIN_ONE = ("additionalProperties", "unevaluatedProperties", "items", "contains", "unevaluatedItems")
_WITHIN_LIST = ("prefixItems",)

# What applies by these is not followed here; nor is a `$ref` inside a part with an `$id` of its own, which is its base.
_NOT_FOLLOWED = ("$dynamicRef", "propertyNames")

# Which keywords hold schemas by name, which hold schemas, and which hold data, in which no word means anything.
_NAMED = {*_SAME_NAMED, "properties", "patternProperties", "$defs", "definitions"}
_SCHEMAS = {*_SAME_ONE, *_SAME_LIST, *_WITHIN_ONE, *_WITHIN_LIST, "propertyNames"}
_DATA = {"default", "examples", "enum", "const"}


def _schemas(document: JsonValue) -> Iterator[dict[str, JsonValue]]:
    """Every part of a document that may be a schema. They may lie deeper than functions can call each other.

    What stands below a word that is none of JSON Schema's may be schemas that a `$ref` names, all of it.
    """
    waiting = [(document, True)]
    while waiting:
        part, known = waiting.pop()
        if isinstance(part, list):
            waiting += [(item, known) for item in part]
        elif isinstance(part, dict):
            yield part
            for keyword, value in part.items():
                if known and keyword in _NAMED and isinstance(value, dict):
                    waiting += [(member, True) for member in value.values()]
                elif not (known and keyword in _DATA):
                    waiting.append((value, known and keyword in _SCHEMAS))


class WriteOnly:
    """The places of one document that are not to be repeated.

    Whether an alternative of the schema is the one that applies is not asked: what one of them hides is hidden. Where
    it cannot be told what applies, everything is.
    """

    def __init__(self, document: JsonValue, lookup: Callable[[str], JsonValue]) -> None:
        """`lookup` returns the part of the document that a `$ref` names; None for one that leads nowhere."""
        self._lookup = lookup
        self._found: dict[tuple[str | int, ...], _Parts] = {(): self._applying([document])}
        parts = list(_schemas(document))
        self.any = any(part.get("writeOnly") is True for part in parts)
        self._all = self.any and any(
            any(keyword in part for keyword in _NOT_FOLLOWED) or ("$id" in part and part is not document)
            for part in parts
        )

    def hides(self, path: Iterable[str | int]) -> bool:
        """Tell whether the value at `path`, or one that it is a part of, is not to be shown."""
        names = tuple(path)
        if self._all or not self.any:
            return self._all
        return any(
            part.get("writeOnly") is True for depth in range(len(names) + 1) for part in self._parts(names[:depth])
        )

    def _parts(self, path: tuple[str | int, ...]) -> _Parts:
        if path not in self._found:
            within = (child for part in self._parts(path[:-1]) for child in _within(part, path[-1]))
            self._found[path] = self._applying(within)
        return self._found[path]

    def _applying(self, parts: Iterable[JsonValue]) -> _Parts:
        """The parts, and all that they refer to, once each."""
        found: dict[int, dict[str, JsonValue]] = {}
        waiting = list(parts)
        while waiting:
            part = waiting.pop()
            if not isinstance(part, dict) or id(part) in found:
                continue
            found[id(part)] = part
            waiting += _children(part, _SAME_ONE, _SAME_LIST, _SAME_NAMED)
            reference = part.get("$ref")
            if isinstance(reference, str):
                waiting.append(self._lookup(reference))
        return list(found.values())


def _within(part: dict[str, JsonValue], name: str | int) -> Iterator[JsonValue]:
    """What a schema may say about the member or the item of this name."""
    yield from _children(part, named=("patternProperties",))
    properties = part.get("properties")
    if isinstance(properties, dict) and name in properties:
        yield properties[str(name)]
    else:
        yield from _children(part, _WITHIN_ONE, _WITHIN_LIST)


def _children(
    part: dict[str, JsonValue], one: Iterable[str] = (), listed: Iterable[str] = (), named: Iterable[str] = ()
) -> Iterator[JsonValue]:
    yield from (part.get(keyword) for keyword in one)
    for keyword in listed:
        if isinstance(values := part.get(keyword), list):
            yield from values
    for keyword in named:
        if isinstance(values := part.get(keyword), dict):
            yield from values.values()
