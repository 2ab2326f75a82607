"""A configuration from a file, or from standard input: JSON, or YAML 1.2.

Of YAML what has a meaning in JSON: the core schema (`no` is a text, `1e-3` a number), keys that are texts, each once.
"""

import json
import re
import sys
from pathlib import Path
from typing import Any, cast

import typer

from athanor.cli import jsontext, words

STDIN = Path("-")
_OPTION = "--config"
_YAML_SUFFIXES = {".yaml", ".yml"}

# The core schema of YAML 1.2 (section 10.3.2), https://yaml.org/spec/1.2.2/
_NULL = {"", "~", "null", "Null", "NULL"}
_TRUE, _FALSE = {"true", "True", "TRUE"}, {"false", "False", "FALSE"}
_INTEGER = re.compile(r"[-+]?[0-9]+")
_OTHER_BASE = re.compile(r"0(o[0-7]+|x[0-9a-fA-F]+)")
_NUMBER = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_NOT_FINITE = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
_TAG = "tag:yaml.org,2002:"
_PLAIN = ("null", "bool", "int", "float", "str", "timestamp", "merge", "value")  # what the parser takes them for


def read(file: Path) -> dict[str, Any]:
    """Return the configuration that is in `file`. Standard input (`-`), and what has no suffix, may be either.

    Raises typer.BadParameter, with the line where there is one, for what is no JSON object and no YAML mapping, and for
    a suffix that is of neither.
    """
    name = "standard input" if file == STDIN else str(file)
    suffix = file.suffix.lower()
    if suffix not in ("", ".json", *_YAML_SUFFIXES):
        raise _refusal(
            f"{name} is neither .json nor .yaml (or .yml), which are read; `-` reads either from standard input"
        )
    text = _text(file, name)
    yaml = suffix in _YAML_SUFFIXES or (not suffix and not text.lstrip().startswith("{"))
    document = from_yaml(text, name) if yaml else from_json(text, name)
    if not isinstance(document, dict):
        raise _refusal(f"{name} is not a {'YAML mapping' if yaml else 'JSON object'}")
    return cast("dict[str, Any]", document)


def from_json(text: str, name: str) -> Any:
    """Return the JSON document; each key of an object is there once."""
    try:
        return jsontext.loads(text)
    except (ValueError, RecursionError) as error:
        raise _refusal(f"{name} is not JSON: {error}") from error


def from_yaml(text: str, name: str) -> Any:
    """Return what the YAML document means in JSON."""
    try:
        from ruamel.yaml import YAML
        from ruamel.yaml.error import YAMLError
    except ImportError:
        raise _refusal(
            f"{name}: reading YAML needs ruamel.yaml: pip install ruamel.yaml (Athanor's extra 'cli')"
        ) from None
    try:
        node = cast("Any", YAML(typ="safe", pure=True)).compose(text)
        return None if node is None else _value(node, name, ())
    except YAMLError as error:
        raise _refusal(f"{name}{_place(error)} is not YAML: {_problem(error)}") from error
    except RecursionError as error:
        raise _refusal(f"{name} is nested too deeply") from error


def _text(file: Path, name: str) -> str:
    try:
        return sys.stdin.read() if file == STDIN else file.read_text(encoding="utf-8")
    except OSError as error:
        raise _refusal(f"{name}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise _refusal(f"{name} is not text (UTF-8)") from error


def _value(node: Any, name: str, inside: tuple[int, ...]) -> Any:
    """What a node of YAML means; `inside` are those it is in, because an alias may lead back to one of them."""
    if id(node) in inside:
        raise _at(node, name, "it contains itself")
    inner = (*inside, id(node))
    match node.id:
        case "mapping":
            return _mapping(node, name, inner)
        case "sequence":
            _expect(node, name, "seq")
            return [_value(item, name, inner) for item in node.value]
        case _:
            return _scalar(node, name)


def _mapping(node: Any, name: str, inside: tuple[int, ...]) -> dict[str, Any]:
    _expect(node, name, "map")
    found = dict[str, Any]()
    for key, item in node.value:
        text = _scalar(key, name) if key.id == "scalar" else None
        if not isinstance(text, str):
            raise _at(key, name, f"a key has to be a text: write {json.dumps(str(key.value))}" if key.id == "scalar"
                      else "a key has to be a text")  # fmt: skip
        if text == "<<" and key.style is None:
            raise _at(key, name, "merging (<<) is not in YAML 1.2: write the members out")
        if text in found:
            raise _at(key, name, f"the key {text!r} is there already")
        found[text] = _value(item, name, inside)
    return found


def _scalar(node: Any, name: str) -> Any:
    text = str(node.value)
    if node.style is not None or node.ctag.trval == f"{_TAG}str":
        _expect(node, name, "str")
        return text
    _expect(node, name, *_PLAIN)
    if text in _NULL:
        return None
    if text in _TRUE or text in _FALSE:
        return text in _TRUE
    if _NOT_FINITE.fullmatch(text):
        raise _at(node, name, f"{text} is no number in JSON")
    if _INTEGER.fullmatch(text):
        return jsontext.integer(text)
    if _OTHER_BASE.fullmatch(text):
        return int(text, 0)
    return float(text) if _NUMBER.fullmatch(text) else text


def _expect(node: Any, name: str, *tags: str) -> None:
    """Refuse what claims to be something that JSON does not have."""
    if str(node.tag).removeprefix(_TAG) not in (*tags, "!"):
        raise _at(node, name, f"{str(node.tag).replace(_TAG, '!!')} has no meaning here")


def _at(node: Any, name: str, text: str) -> typer.BadParameter:
    return _refusal(f"{name}, line {node.start_mark.line + 1}: {text}")


def _place(error: Any) -> str:
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    return "" if mark is None else f", line {mark.line + 1},"


def _problem(error: Any) -> str:
    return words.one_line(getattr(error, "problem", None) or str(error))


def _refusal(text: str) -> typer.BadParameter:
    return typer.BadParameter(text, param_hint=_OPTION)
