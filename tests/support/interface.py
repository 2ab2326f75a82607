"""What programs of others call of the Python SDK, as text: every name, its parameters, their types and defaults.

What a class has from a base that is public as well is told there.
"""

import ast
import dataclasses
import enum
import importlib
import inspect
import re
import textwrap
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from types import ModuleType, NoneType, UnionType
from typing import Any, ForwardRef, Literal, TypeVar, Union, get_args, get_origin

KEPT = Path(__file__).resolve().parents[1] / "unit" / "client" / "interface.txt"
# Those that have pages in the reference. A name of several is told where it is first.
MODULES = (
    *("athanor", "athanor.client"),
    *("athanor.client.resources", "athanor.client.events", "athanor.client.changes", "athanor.client.enums"),
    *("athanor.client.errors", "athanor.client.results", "athanor.client.compare", "athanor.client.export"),
    *("athanor.client.notebook", "athanor.client.paths"),
    *("athanor.experiment", "athanor.experiment.testing"),
)
_WIDTH = 110
# Only the client makes what is defined there.
_MADE = re.compile(r"athanor\.client\._a?sync\.(?!client$).*")
# Called by the language and by notebooks: that they are there is relied on as well.
_CALLED = re.compile(r"__a?(enter|exit|iter|next)__|__(getitem|len|contains|str)__|_repr_html_")


def text() -> str:
    """The whole of it, module by module."""
    modules = {module.__name__: _public(module) for module in map(importlib.import_module, MODULES)}
    classes = {value for names in modules.values() for value in names.values() if isinstance(value, type)}
    told = dict[int, str]()
    parts = list[str]()
    for module, names in modules.items():
        parts.append(f"== {module} ==")
        elsewhere = list[str]()
        for name, value in names.items():
            first = told.setdefault(id(value), f"{module}.{name}")
            if first == f"{module}.{name}" or isinstance(value, str):
                parts.append("\n".join(_lines(name, value, classes)))
            else:
                elsewhere.append(first)
        if elsewhere:
            parts.append("\n".join(f"also {name}" for name in elsewhere))
    return "\n\n".join(parts) + "\n"


def _public(module: ModuleType) -> dict[str, Any]:
    """What a module says is public, or else what it defines without an underscore."""
    names: Sequence[str] = getattr(module, "__all__", ()) or _defined(inspect.getsource(module))
    return {name: getattr(module, name) for name in names}


def _defined(source: str) -> list[str]:
    found = list[str]()
    for statement in ast.parse(source).body:
        match statement:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                found.append(name)
            case ast.Assign(targets=[ast.Name(id=name)]) | ast.AnnAssign(target=ast.Name(id=name)):
                found.append(name)
            case _:
                pass
    return [name for name in found if not name.startswith("_")]


def _lines(name: str, value: Any, classes: set[type]) -> Iterator[str]:
    if isinstance(value, type):
        yield from _class(name, value, classes)
    elif inspect.isfunction(value):
        yield from _function(name, value)
    elif isinstance(value, ModuleType):
        yield f"{name}: module"
    elif get_origin(value) is not None:
        yield f"{name} = {_type(value)}"
    else:
        yield f"{name}: {type(value).__qualname__}"


def _class(name: str, kind: type, classes: set[type]) -> Iterator[str]:
    bases = [_type(base) for base in vars(kind).get("__orig_bases__", kind.__bases__) if base is not object]
    yield f"class {name}({', '.join(bases)})" if bases else f"class {name}"
    if issubclass(kind, enum.Enum):
        yield from (f"    {member.name} = {member.value!r}" for member in kind)
    elif inspect.isfunction(kind.__init__) and not getattr(kind, "_is_protocol", False):
        if not _MADE.fullmatch(kind.__module__):
            yield from _function("__init__", kind, indent="    ")
        yield from (f"    attribute {name}" for name in _attributes(kind))
    for member, value in sorted(_members(kind, classes).items()):
        yield from _member(member, value)


def _attributes(kind: type) -> list[str]:
    """What its constructor gives it, beside fields of a record."""
    if "__init__" not in vars(kind) or dataclasses.is_dataclass(kind):
        return []
    tree = ast.parse(textwrap.dedent(inspect.getsource(kind.__init__)))
    stored = {
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute)
        and isinstance(node.ctx, ast.Store)
        and isinstance(node.value, ast.Name)
        and node.value.id == "self"
    }
    return sorted(name for name in stored if not name.startswith("_"))


def _members(kind: type, classes: set[type]) -> dict[str, Any]:
    """What it has itself, and from bases that are told nowhere else."""
    found = dict[str, Any]()
    fields = {field.name for field in dataclasses.fields(kind)} if dataclasses.is_dataclass(kind) else set[str]()
    of_enum = set(kind.__members__) if issubclass(kind, enum.Enum) else set[str]()
    for base in reversed(kind.__mro__):
        ours = base.__module__.partition(".")[0] == "athanor"
        if ours and not any(base in other.__mro__ for other in classes & set(kind.__mro__) - {kind}):
            found.update(vars(base))
    hidden = fields | of_enum
    return {
        name: value
        for name, value in found.items()
        if name not in hidden and (not name.startswith("_") or (_CALLED.fullmatch(name) and inspect.isfunction(value)))
    }


def _member(name: str, value: Any) -> Iterator[str]:
    indent = "    "
    match value:
        case property() | cached_property():
            get = value.fget if isinstance(value, property) else value.func
            returned = inspect.signature(get).return_annotation if get is not None else inspect.Signature.empty
            yield f"{indent}property {name} -> {_type(returned)}"
        case classmethod() | staticmethod():
            kind = "classmethod" if isinstance(value, classmethod) else "staticmethod"
            yield from _function(name, value.__func__, indent=f"{indent}{kind} ")
        case _ if inspect.isfunction(value):
            yield from _function(name, value, indent=indent)
        case _:
            yield f"{indent}{name}: {type(value).__qualname__}"


def _function(name: str, value: Any, indent: str = "") -> Iterator[str]:
    signature = inspect.signature(value)
    parameters = list(_parameters(signature))
    waits = "async " if inspect.iscoroutinefunction(value) or inspect.isasyncgenfunction(value) else ""
    empty = signature.return_annotation is inspect.Signature.empty
    end = ")" if empty or name == "__init__" else f") -> {_type(signature.return_annotation)}"
    begin = f"{indent}{waits}{name}("
    whole = f"{begin}{', '.join(parameters)}{end}"
    if len(whole) <= _WIDTH:
        yield whole
        return
    inner = " " * (len(indent) - len(indent.lstrip()))
    yield begin
    yield from (f"{inner}    {parameter}," for parameter in parameters)
    yield f"{inner}{end}"


def _parameters(signature: inspect.Signature) -> Iterator[str]:
    stars = {inspect.Parameter.VAR_POSITIONAL: "*", inspect.Parameter.VAR_KEYWORD: "**"}
    before = None
    for parameter in signature.parameters.values():
        kind = parameter.kind
        if before is inspect.Parameter.POSITIONAL_ONLY and kind is not before:
            yield "/"
        if kind is inspect.Parameter.KEYWORD_ONLY and before not in (kind, inspect.Parameter.VAR_POSITIONAL):
            yield "*"
        empty = inspect.Parameter.empty
        annotation = "" if parameter.annotation is empty else f": {_type(parameter.annotation)}"
        default = "" if parameter.default is empty else f" = {_default(parameter.default)}"
        yield f"{stars.get(kind, '')}{parameter.name}{annotation}{default}"
        before = kind
    if before is inspect.Parameter.POSITIONAL_ONLY:
        yield "/"


def _type(annotation: Any) -> str:
    """An annotation as people write it. Versions of Python show it differently."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    match annotation:
        case str():
            return _bare(annotation)
        case ForwardRef():
            return _bare(annotation.__forward_arg__)
        case TypeVar():
            return annotation.__name__
        case list():
            return f"[{', '.join(map(_type, annotation))}]"
        case _ if annotation is None or annotation is NoneType:
            return "None"
        case type():
            return annotation.__qualname__
        case _ if annotation is Ellipsis:
            return "..."
        case _ if origin in (Union, UnionType):
            return " | ".join(map(_type, arguments))
        case _ if origin is Literal:
            return f"Literal[{', '.join(map(repr, arguments))}]"
        case _ if origin is not None:
            return f"{_type(origin)}[{', '.join(map(_type, arguments))}]"
        case _:
            return _bare(repr(annotation))


def _bare(written: str) -> str:
    """Without modules."""
    return re.sub(r"\b(?:[A-Za-z_]\w*\.)+(?=\w)", "", written)


def _default(value: Any) -> str:
    if dataclasses.is_dataclass(value) and not isinstance(value, type) and value == type(value)():
        return f"{type(value).__qualname__}()"
    return str(value) if isinstance(value, enum.Enum) else repr(value)
