"""Whether a command line of `athanor` exists, by the tree of its commands: without running it."""

from collections.abc import Iterator
from typing import Any

import typer
from athanor.cli.app import app


def check_athanor(arguments: list[str]) -> None:
    """Follow the words down the command tree; what is left are options that the command has and plain arguments."""
    command: Any = typer.main.get_command(app)
    words = iter(arguments)
    for word in words:
        if word.startswith("-"):
            take_option(command, word, words)
        elif hasattr(command, "commands"):
            assert word in command.commands, f"there is no command {word}"
            command = command.commands[word]
    assert not hasattr(command, "commands") or {"--help", "--version", "--install-completion"} & set(arguments)


def take_option(command: Any, word: str, words: Iterator[str]) -> None:
    name, _, value = word.partition("=")
    if name == "--help":
        return
    options = {option: parameter for parameter in command.params for option in parameter.opts}
    assert name in options, f"{command.name} has no option {name}"
    if not value and not options[name].is_flag:
        next(words)
