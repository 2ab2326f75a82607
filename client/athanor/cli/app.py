"""The tree of commands. Nothing heavy is imported before a command needs it: `athanor --help` is quick."""

import sys
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from athanor.cli import (
    compare,
    diff,
    doctor,
    exits,
    experiments,
    export,
    guesses,
    instances,
    launch,
    logs,
    new,
    options,
    output,
    results,
    runners,
    runs,
    session,
    top,
    up,
    wording,
)


class _Commands(TyperGroup):
    """Ends quietly when whoever reads the output has gone, as in `| head`; otherwise that would count as FAILED."""

    def invoke(self, ctx: Any) -> Any:
        try:
            try:
                return super().invoke(ctx)
            finally:
                sys.stdout.flush()
        except BrokenPipeError:
            output.unread()
            raise typer.Exit(exits.UNREAD) from None
        except typer.BadParameter as error:
            wording.reword(error)
            # It may name what somebody else gave, and is shown by typer.
            if sys.stderr.isatty():
                error.message = output.visible(error.message)
            raise

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        if args and args[0] not in self.commands and (text := guesses.unknown(args[0])):
            ctx.fail(text)
        return super().resolve_command(ctx, args)


# Plain help: rich would double the time that it takes, and decorate it in a pipe too.
app = typer.Typer(
    name="athanor",
    cls=_Commands,
    help="Athanor runs experiments: start the system, run them, watch them, compare what they found.",
    epilog=exits.HELP,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        print(f"athanor {version('athanor')}")
        raise typer.Exit


@app.callback()
def root(
    target: options.Target = None,
    debug: Annotated[bool, typer.Option("--debug", envvar="ATHANOR_DEBUG", help="Show tracebacks of errors.")] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Keep what was given before the command."""
    session.given.target = target
    session.given.debug = debug


app.command()(up.up)
app.command(cls=guesses.Run)(launch.run)
app.command()(logs.logs)
app.command()(results.results)
app.command()(top.top)
app.command()(compare.compare)
app.command()(export.export)
app.command()(new.new)
app.command()(doctor.doctor)
instances.app.command()(diff.diff)
app.add_typer(experiments.app, name="experiments")
app.add_typer(instances.app, name="instances")
app.add_typer(runs.app, name="runs")
app.add_typer(runners.app, name="runners")
