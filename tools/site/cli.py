"""The reference of the command line, from the tree of its commands; exit statuses from where they are defined."""

import inspect
import re
from collections.abc import Iterator
from enum import Enum
from typing import Any

import typer
from athanor.cli import exits
from athanor.cli.app import app

# Of typer, for every program.
COMMON = {"--help", "--install-completion", "--show-completion"}


def command_line() -> str:
    """Return the page: every command with its arguments and options, then the exit statuses."""
    tree: Any = typer.main.get_command(app)
    parts = [
        "# The command line",
        "`athanor COMMAND --help` says the same. RUN, INSTANCE and RUNNER are ids, or the beginning of one.",
        *(part for names, command in leaves(tree, ("athanor",)) for part in describe(names, command)),
        "## Options of every command",
        table(options(tree)),
        "## Exit status",
        exit_statuses(),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def leaves(command: Any, names: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Yield each command that does something, with the words that lead to it."""
    if hasattr(command, "commands"):
        for name, child in command.commands.items():
            if not child.hidden:
                yield from leaves(child, (*names, name))
    else:
        yield names, command


def describe(names: tuple[str, ...], command: Any) -> list[str]:
    """Return heading, usage, help and options of one command."""
    arguments = [parameter for parameter in command.params if parameter.param_type_name == "argument"]
    words = [argument.metavar or argument.name.upper() for argument in arguments]
    usage = " ".join([*names, *words, "[OPTIONS]"])
    rows = [(f"`{word}`", one_line(argument.help or "")) for word, argument in zip(words, arguments, strict=True)]
    text = inspect.cleandoc(command.help or "").replace("\f", "").replace("\b\n", "")
    return [f"## {' '.join(names)}", escape(text), f"```text\n{usage}\n```", table([*rows, *options(command)])]


def options(command: Any) -> list[tuple[str, str]]:
    """Return a row for each option: how it is spelled, and what it does."""
    rows: list[tuple[str, str]] = []
    for option in command.params:
        if option.param_type_name != "option" or option.hidden or COMMON & set(option.opts):
            continue
        name = ", ".join(f"`{spelling}`" for spelling in [*option.opts, *option.secondary_opts])
        if not option.is_flag:
            name = f"{name} {value_of(option)}"
        rows.append((name, one_line(f"{option.help or ''} {besides(command, option)}")))
    return rows


def besides(command: Any, option: Any) -> str:
    """Return what `--help` adds to what is said of the option: environment variable, default and range."""
    context = command.make_context(command.name, [], resilient_parsing=True)
    return option.get_help_record(context)[1].removeprefix(option.help or "")


def value_of(option: Any) -> str:
    """Return what stands for the option's value: its metavar, its choices, or its name."""
    kind = option.type_descriptor.annotation
    if option.metavar:
        return f"`{option.metavar}`"
    if isinstance(kind, type) and issubclass(kind, Enum):
        return "`" + "\\|".join(str(choice.value) for choice in kind) + "`"
    return f"`{option.name.strip('_').upper()}`"


def exit_statuses() -> str:
    """Return the table of `athanor.cli.exits`: each constant with the comment beside it."""
    found = re.findall(r"^([A-Z]+) = (\d+)  # (.+)$", inspect.getsource(exits), re.MULTILINE)
    rows = ["| status | name | meaning |", "| --- | --- | --- |"]
    return "\n".join([*rows, *(f"| {status} | {name} | {escape(meaning)} |" for name, status, meaning in found)])


def table(rows: list[tuple[str, str]]) -> str:
    """Return a table of what is typed, and what it means."""
    if not rows:
        return ""
    return "\n".join(
        ["| what is typed | what it means |", "| --- | --- |", *(f"| {name} | {text} |" for name, text in rows)]
    )


def one_line(text: str) -> str:
    """Fit for a cell of a table."""
    return escape(" ".join(text.split())).replace("|", "\\|")


def escape(text: str) -> str:
    """Keep what looks like HTML as text."""
    return text.replace("<", "&lt;")
