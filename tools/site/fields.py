"""For mkdocstrings: what is said of fields and of arguments, as it is to be shown.

Records and enums say what a field means in a comment behind it; without a table of these in the class's docstring a
reference would leave the field out. `Args:` of a function become a list: in a docstring they run on.
"""

import ast
import io
import re
import tokenize
from collections.abc import Iterable, Iterator
from typing import Any

import griffe


class FieldTables(griffe.Extension):
    """See above; named in mkdocs.yml."""

    def on_class_members(self, *, node: ast.AST | griffe.ObjectNode, cls: griffe.Class, **kwargs: Any) -> None:
        """Add the table to what the class says of itself."""
        rows = list(rows_of(cls))
        if rows and cls.docstring is not None:
            cls.docstring.value += "\n\n" + "\n".join(["| | | |", "| --- | --- | --- |", *rows])


class ArgumentLists(griffe.Extension):
    """See above; named in mkdocs.yml."""

    def on_function_instance(self, *, node: ast.AST | griffe.ObjectNode, func: griffe.Function, **kwargs: Any) -> None:
        """Put the list in the place of what runs on."""
        if func.docstring is not None:
            names = [parameter.name for parameter in func.parameters]
            func.docstring.value = with_list(func.docstring.value, names)


def with_list(docstring: str, names: Iterable[str]) -> str:
    """Return it with its block of `Args:` as a list: each of the names that stands before a colon begins an item."""
    block = re.search(r"^Args:\n((?: +.+\n?)+)", docstring, re.MULTILINE)
    if block is None:
        return docstring
    text = " ".join(block[1].split())
    beginnings = re.compile(rf"(?:^|(?<=[.] ))({'|'.join(map(re.escape, names))}): ")
    before, *parts = beginnings.split(text)
    if before:
        raise ValueError(f"`Args:` begin with no argument: {text}")
    items = [f"- `{name}`: {said.strip()}\n" for name, said in zip(parts[::2], parts[1::2], strict=True)]
    return f"{docstring[: block.start()]}Arguments:\n\n{''.join(items)}{docstring[block.end() :]}"


def rows_of(cls: griffe.Class) -> Iterator[str]:
    """Yield a row for each public field, or member of an enum, that has no docstring of its own."""
    for name, field in cls.members.items():
        if isinstance(field, griffe.Attribute) and not name.startswith("_") and field.docstring is None:
            kind = f"`{field.annotation}`" if field.annotation else ""
            yield f"| `{name}` | {kind} | {comment(field)} |"


def comment(field: griffe.Attribute) -> str:
    """Return the comment behind it, fit for a cell of a table."""
    tokens = tokenize.generate_tokens(io.StringIO("\n".join(field.lines)).readline)
    said = next((token.string for token in tokens if token.type == tokenize.COMMENT), "#")
    return said.lstrip("# ").replace("|", "\\|").replace("<", "&lt;")
