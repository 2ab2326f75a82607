"""What people type who know other tools, and what it is called here."""

import shlex
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
        left = super().parse_args(ctx, args)
        if not ctx.resilient_parsing and (wrong := _wrong(str(ctx.params.get("experiment")), ctx.args)):
            ctx.fail(wrong)
        return left


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
