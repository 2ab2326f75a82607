"""JSON documents by path: what a document holds where, and where documents differ.

A path is a tuple of names and list indices, `("model_pairs", 0, "model_a")`; for people it is written with dots,
`model_pairs.0.model_a`. A leaf is what has nothing inside: a scalar, or an empty object or list.
"""

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final, TypeAlias, cast

Path: TypeAlias = tuple[str | int, ...]

_PLAIN = re.compile(r'(?!\d+\Z)[^.="\\\x00-\x1f]+')  # a name that is written as it is


class Missing(Enum):
    """The type of MISSING."""

    MISSING = "missing"

    def __repr__(self) -> str:
        return "MISSING"

    __str__ = __repr__

    def __bool__(self) -> bool:
        return False


MISSING: Final = Missing.MISSING
"""Stands where a document has nothing; null is something else."""


@dataclass(frozen=True)
class Difference:
    """One place in which two documents differ."""

    path: Path
    before: Any  # a leaf, or MISSING
    after: Any  # a leaf, or MISSING

    @property
    def name(self) -> str:
        """The path as people write it."""
        return dotted(self.path)


def dotted(path: Path) -> str:
    """Return a path as people write it: `optimizer.betas.0`.

    A name that is empty, a number, or has a dot, an equals sign, a quote, a backslash or a control character in it is
    written as a JSON string, `score."gpt-4.1"`: two paths never look alike, and `--set PATH=VALUE` takes each of them.
    """
    return ".".join(map(_written, path))


def leaves(document: Any, *, into_lists: bool = True) -> dict[Path, Any]:
    """Return every leaf of a document by its path, in the order of the document.

    Without `into_lists` a list is a leaf. A document that is a leaf itself has the path `()`.
    """
    found: dict[Path, Any] = {}
    # No recursion: a document may be nested more deeply than Python calls functions.
    waiting: list[tuple[Path, Any]] = [((), document)]
    while waiting:
        path, value = waiting.pop()
        children: Iterable[tuple[str | int, Any]]
        if isinstance(value, dict) and value:
            children = cast("dict[str, Any]", value).items()
        elif into_lists and isinstance(value, list) and value:
            children = enumerate(cast("list[Any]", value))
        else:
            found[path] = value
            continue
        waiting.extend(reversed([((*path, name), inner) for name, inner in children]))
    return found


def differences(documents: Sequence[Any]) -> dict[Path, tuple[Any, ...]]:
    """Return each path at which not all documents have the same leaf, with what each of them has there, or MISSING.

    Objects are compared by name, lists by index. Numbers are the same when their values are: 1 and 1.0 are, 1 and true
    are not. Where an object or a list is empty in one document and not in another, what is inside is the difference.
    """
    flat = [leaves(document) for document in documents]
    paths = dict.fromkeys(path for one in flat for path in one)
    every = {path: tuple(one.get(path, MISSING) for one in flat) for path in paths}
    return {
        path: values
        for path, values in every.items()
        if not all(_same(values[0], value) for value in values) and not _told_inside(path, values, flat)
    }


def diff(before: Any, after: Any) -> list[Difference]:
    """Return where two documents differ, leaf by leaf, in the order of the first; what only the second has comes last.

    It is empty exactly when they are the same.
    """
    return [Difference(path, old, new) for path, (old, new) in differences([before, after]).items()]


def _told_inside(path: Path, values: Sequence[Any], flat: Sequence[dict[Path, Any]]) -> bool:
    """Whether documents differ here only in that a container is empty, and has something inside where it is not."""
    empty = next(value for value in values if value is not MISSING)
    return empty in ({}, []) and all(
        value == empty or (value is MISSING and any(other[: len(path)] == path for other in one))
        for value, one in zip(values, flat, strict=True)
    )


def _same(one: Any, other: Any) -> bool:
    # To Python, True is 1.
    return isinstance(one, bool) == isinstance(other, bool) and one == other


def _written(part: str | int) -> str:
    if isinstance(part, int) or _PLAIN.fullmatch(part):
        return str(part)
    return json.dumps(part, ensure_ascii=False)
