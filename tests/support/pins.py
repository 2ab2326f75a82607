"""What is pinned of the command line and of the SDK, and the one way to renew it after a change that was meant:

    python -m tests.support.pins

writes `tests/unit/cli/help/`, the help of every command on a terminal of 80 columns, and
`tests/integration/cli_json/`, the shape of what every command prints with --json, and
`tests/integration/cli_errors.txt`, what is said to command lines that are wrong, and `tests/unit/client/interface.txt`,
what programs can call, with every parameter (`python -m tests.support.pins interface`: that alone). Look at what
changed, and commit it. Tests only compare.
"""

import io
import json
import os
import re
import sys
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import typer

from tests.support import interface
from tests.support.cli_scenario import Said, json_documents, wrong_calls

TESTS = Path(__file__).resolve().parents[1]
HELP = TESTS / "unit" / "cli" / "help"
JSON = TESTS / "integration" / "cli_json"
ERRORS = TESTS / "integration" / "cli_errors.txt"


def commands() -> dict[str, Any]:
    """Every command and group of commands by its words; the root by none."""
    from athanor.cli.app import app

    def walk(command: Any, path: str) -> Iterator[tuple[str, Any]]:
        yield path, command
        for name, child in getattr(command, "commands", {}).items():
            yield from walk(child, f"{path} {name}".strip())

    return dict(walk(typer.main.get_command(app), ""))


def help_texts() -> dict[str, str]:
    """The help of every command, by the name of the file it is kept in."""
    with _environment({"COLUMNS": "80", "ATHANOR_TARGET": None, "ATHANOR_DATA": None, "ATHANOR_LISTEN": None}):
        return {_file(command, "txt"): call(*command.split(), "--help").out for command in commands()}


def json_shapes() -> dict[str, str]:
    """The shape of what every command prints with --json, by the name of the file it is kept in."""
    documents = json_documents(call)
    return {
        _file(command, "json"): json.dumps(line_shapes(found), indent=1, sort_keys=True) + "\n"
        for command, found in documents.items()
    }


def error_texts() -> str:
    """What is said to wrong command lines, with the exit status of each."""
    with _environment({"COLUMNS": "80"}):
        said = wrong_calls(call)
    parts = [f"$ athanor {line}\n{_timeless(one.err).rstrip()}\n[{one.status}]\n" for line, one in said.items()]
    return "\n".join(parts)


def _timeless(text: str) -> str:
    """Without what is another each time, or elsewhere."""
    return re.sub(r"\b[\d.]+s ago", "0.0s ago", text).replace(os.getcwd(), "FOLDER")


def line_shapes(documents: list[Any]) -> list[Any]:
    """The shape of each sort of line, or document, that a command prints; a sort is told by its members."""
    sorts = dict[tuple[str, ...], list[Any]]()
    for document in documents:
        sorts.setdefault(tuple(sorted(document)), []).append(document)
    return [shape_of(sorts[members]) for members in sorted(sorts)]


def unpinned(shape: Any, path: str = "") -> Iterator[str]:
    """Where a shape has a list or an object of which nothing is known, because nothing was in it."""
    if shape in ([], {}):
        yield path
    children = shape.items() if isinstance(shape, dict) else enumerate(shape) if isinstance(shape, list) else ()
    for name, child in children:
        yield from unpinned(child, f"{path}/{name}".removesuffix("?"))


def takes_json(command: Any) -> bool:
    """Whether a command has --json."""
    return any("--json" in parameter.opts for parameter in command.params)


def call(*arguments: str) -> Said:
    """Call the command in this process, as in a pipe."""
    from athanor.cli import session
    from athanor.cli.app import app

    session.given = session.Globals()
    out, err = io.StringIO(), io.StringIO()
    status = 0
    with redirect_stdout(out), redirect_stderr(err):
        try:
            app(args=list(arguments), prog_name="athanor")
        except SystemExit as end:
            status = int(end.code or 0)
    return Said(status, out.getvalue(), err.getvalue())


def shape_of(values: list[Any]) -> Any:
    """What is common to JSON values: the type of each, the members of objects, the items of lists.

    A member that only some of the objects have ends in `?`. What a person or an experiment gave has no shape.
    """
    kinds = dict[str, list[Any]]()
    for value in values:
        kinds.setdefault(_kind(value), []).append(value)
    shapes = [_shape(kind, found) for kind, found in sorted(kinds.items())]
    return shapes[0] if len(shapes) == 1 else {"any of": shapes}


def kept(folder: Path) -> dict[str, str]:
    """The files of a folder."""
    return {path.name: path.read_text(encoding="utf-8") for path in sorted(folder.iterdir())}


_GIVEN = ("configuration", "default_configuration", "configuration_schema", "labels", "value", "metadata", "state")


def _shape(kind: str, found: list[Any]) -> Any:
    if kind == "object":
        names = sorted({name for item in found for name in item})
        return {
            name if all(name in item for item in found) else f"{name}?": "given"
            if name in _GIVEN and any(not isinstance(item.get(name), str) for item in found)
            else shape_of([item[name] for item in found if name in item])
            for name in names
        }
    if kind == "list":
        items = [item for one in found for item in one]
        return [shape_of(items)] if items else []
    return kind


def _kind(value: Any) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "boolean"
        case int():
            return "integer"
        case float():
            return "number"
        case str():
            return "string"
        case list():
            return "list"
        case _:
            return "object"


def _file(command: str, ending: str) -> str:
    return f"{command.replace(' ', '-') or 'athanor'}.{ending}"


@contextmanager
def _environment(values: Mapping[str, str | None]) -> Generator[None]:
    before = {name: os.environ.get(name) for name in values}

    def put(wanted: Mapping[str, str | None]) -> None:
        for name, value in wanted.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value

    put(values)
    try:
        yield
    finally:
        put(before)


def renew(folder: Path, texts: Mapping[str, str]) -> None:
    """Make a folder hold exactly these files."""
    folder.mkdir(exist_ok=True)
    for path in folder.iterdir():
        path.unlink()
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    interface.KEPT.write_text(interface.text(), encoding="utf-8")
    print(f"renewed {interface.KEPT}", file=sys.stderr)
    if sys.argv[1:] != ["interface"]:
        renew(HELP, help_texts())
        renew(JSON, json_shapes())
        ERRORS.write_text(error_texts(), encoding="utf-8")
        print(f"renewed {HELP}, {JSON} and {ERRORS}", file=sys.stderr)
    print("see what `git diff` says", file=sys.stderr)
