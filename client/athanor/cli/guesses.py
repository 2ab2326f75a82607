"""What people type who know other tools, and what it is called here."""

import shlex
from collections.abc import Sequence
from typing import Any

from typer.core import TyperCommand

COMMANDS = {
    "cancel": "athanor runs cancel RUN",
    "delete": "athanor runs delete RUN",
    "info": "athanor runs show RUN",
    "init": "athanor new NAME",
    "kill": "athanor runs cancel RUN",
    "list": "athanor runs list",
    "ls": "athanor runs list",
    "ps": "athanor runs list",
    "rm": "athanor runs delete RUN",
    "serve": "athanor up",
    "show": "athanor runs show RUN",
    "start": "athanor run EXPERIMENT",
    "status": "athanor runs list",
    "stop": "athanor runs cancel RUN",
    "watch": "athanor runs watch",
}


def unknown(word: str) -> str:
    """What is said to a word that is no command but means one; empty when it is not known what."""
    meant = COMMANDS.get(word.lower())
    return f"No such command {word!r}; did you mean `{meant}`?" if meant else ""


class Run(TyperCommand):
    """Tells how a setting, or the file of an experiment, is given to `athanor run`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse, and refuse what is left over."""
        ctx.allow_extra_args = True  # refused below, with what to write instead
        given = tuple(args)
        try:
            left = super().parse_args(ctx, args)
        except Exception as error:
            _hint(error, given)
            raise
        if not ctx.resilient_parsing and (wrong := _wrong(str(ctx.params.get("experiment")), ctx.args)):
            ctx.fail(wrong)
        return left


def _hint(error: Any, given: Sequence[str]) -> None:
    """Have `error` say how a setting is given, where it is about an option that there is not."""
    option = str(getattr(error, "option_name", ""))
    if not hasattr(error, "possibilities") or not option.startswith("--"):
        return
    error.message = f"{error.format_message()}; a setting of the experiment is written {_setting(option, given)}"
    error.possibilities = None  # they are in the message


def _setting(option: str, given: Sequence[str]) -> str:
    """What is to be written for an `option` that was meant to be a setting."""
    values = [word.removeprefix(f"{option}=") for word in given if word.startswith(f"{option}=")]
    if option in given:
        values += [word for word in given[given.index(option) + 1 :][:1] if not word.startswith("--")]
    name = option.removeprefix("--").replace("-", "_")
    return f"--set {shlex.quote(f'{name}={values[0]}')}" if values else f"--set {name}=VALUE"


def _wrong(experiment: str, extra: list[str]) -> str:
    """Why an experiment, with what was written behind it, cannot be run; empty when it can."""
    if experiment.endswith(".py"):
        return (
            f"{experiment} is a file: give the experiment's name; files are found by `athanor up --path FOLDER`, "
            "and `athanor experiments list` shows the names"
        )
    if extra and all(not word.startswith("=") and "=" in word for word in extra):
        return f"write {' '.join(f'--set {shlex.quote(word)}' for word in extra)}"
    if extra:
        return f"Got unexpected extra argument{'s' if len(extra) > 1 else ''} ({' '.join(extra)})"
    return ""
