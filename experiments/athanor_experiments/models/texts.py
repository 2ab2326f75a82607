"""Texts that every CPython ships, by name: nothing has to be fetched to train a small model on them.

They are read as data and as source, so that nothing is executed to get at them, `python -OO` leaves them as they are,
and importing this module costs nothing. Each is cut to LONGEST characters.
"""

import ast
import codecs
import importlib
import unicodedata
from collections.abc import Callable, Iterable, Iterator
from importlib.util import find_spec
from typing import Any

LONGEST = 60_000
"""Characters of a text: more of them would make training slow and change little."""

# Modules with much prose in them, none of which is frozen into the interpreter or left out by distributions.
_DOCUMENTED = (
    *("argparse", "difflib", "doctest", "statistics", "textwrap", "heapq", "pdb", "optparse", "typing", "random"),
    *("fractions", "zipfile", "tarfile", "_pydecimal"),
)
_PROGRAMS = ("difflib", "textwrap", "heapq", "fractions", "argparse")


def read(name: str) -> str:
    """The text of a name of TEXTS. Raises KeyError for another name, OSError when this Python comes without it."""
    text = TEXTS[name]()
    if not text:
        raise OSError(f"this Python comes without the text {name!r}")
    return text[:LONGEST]


def _reference() -> str:
    """The language reference, as `help()` shows it."""
    topics: dict[str, str] = _attribute("pydoc_data.topics", "topics")
    return "\n".join(topics[name] for name in sorted(topics))


def _docstrings() -> str:
    """What some modules say about themselves."""
    return "\n".join(docstring for module in _DOCUMENTED for docstring in _docstrings_of(ast.parse(_source(module))))


def _source_code() -> str:
    """Programs."""
    return "\n".join(_source(module) for module in _PROGRAMS)


def _opcodes() -> str:
    """What the instructions of pickle do, as `pickletools` explains them."""
    opcodes: Iterable[Any] = _attribute("pickletools", "opcodes")
    return "\n".join(opcode.doc for opcode in opcodes)


def _character_names() -> str:
    """The names of the characters from the first on, as Unicode has them."""
    return "\n".join(_short(name for code in range(0x110000) if (name := unicodedata.name(chr(code), ""))))


def _zen() -> str:
    """The Zen of Python. Importing it would print it, so it is taken out of the source, where it is in ROT13."""
    assigned = {
        target.id: node.value
        for node in ast.parse(_source("this")).body
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    return codecs.decode(ast.literal_eval(assigned["s"]), "rot13")


TEXTS: dict[str, Callable[[], str]] = {
    "reference": _reference,
    "docstrings": _docstrings,
    "source": _source_code,
    "opcodes": _opcodes,
    "characters": _character_names,
    "zen": _zen,
}
"""The texts by name. `zen` is very short, and a model of it knows little else by heart."""


def _attribute(module: str, name: str) -> Any:
    return getattr(importlib.import_module(module), name)


def _source(module: str) -> str:
    spec = find_spec(module)
    get_source: Callable[[str], str | None] | None = getattr(spec and spec.loader, "get_source", None)
    source = None if get_source is None else get_source(module)
    if source is None:
        raise OSError(f"this Python comes without the source of {module!r}")
    return source


def _docstrings_of(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            docstring = ast.get_docstring(node)
            if docstring:
                yield docstring


def _short(lines: Iterable[str]) -> Iterator[str]:
    """As many lines as are of any use."""
    left = LONGEST
    for line in lines:
        if left <= 0:
            return
        left -= len(line) + 1
        yield line
