"""For mkdocstrings: a class's fields as a table in its docstring, with the comment beside each as what is said of it.

Records and enums say what a field means in a comment behind it; without this a reference would leave the field out.
"""

import ast
import io
import tokenize
from collections.abc import Iterator
from typing import Any

import griffe


class FieldTables(griffe.Extension):
    """See above; named in mkdocs.yml."""

    def on_class_members(self, *, node: ast.AST | griffe.ObjectNode, cls: griffe.Class, **kwargs: Any) -> None:
        """Add the table to what the class says of itself."""
        rows = list(rows_of(cls))
        if rows and cls.docstring is not None:
            cls.docstring.value += "\n\n" + "\n".join(["| | | |", "| --- | --- | --- |", *rows])


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
