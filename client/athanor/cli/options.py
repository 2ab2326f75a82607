"""Options that several commands share."""

from pathlib import Path
from typing import Annotated, TypeAlias

import typer

from athanor.cli import complete

Target: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--target",
        metavar="HOST:PORT[,...]",
        help="The orchestrator, or several that share a database. [env: ATHANOR_TARGET; else 127.0.0.1:7400]",
    ),
]
Json: TypeAlias = Annotated[bool, typer.Option("--json", help="Print JSON.")]
RunId: TypeAlias = Annotated[
    str,
    typer.Argument(
        metavar="RUN",
        help="Id of the run, or the beginning of it; `last`: the newest run.",
        autocompletion=complete.runs,
    ),
]
DoomedRunId: TypeAlias = Annotated[
    str,
    typer.Argument(metavar="RUN", help="Id of the run, or the beginning of it.", autocompletion=complete.run_ids),
]
InstanceId: TypeAlias = Annotated[
    str,
    typer.Argument(
        metavar="INSTANCE", help="Id of the instance, or the beginning of it.", autocompletion=complete.instances
    ),
]
RunnerId: TypeAlias = Annotated[
    str,
    typer.Argument(metavar="RUNNER", help="Id of the runner, or the beginning of it.", autocompletion=complete.runners),
]
Experiment: TypeAlias = Annotated[
    str,
    typer.Argument(metavar="EXPERIMENT", help="Name of the experiment.", autocompletion=complete.experiments),
]
OfExperiment: TypeAlias = Annotated[
    str,
    typer.Option(
        "--experiment", metavar="EXPERIMENT", help="Only of this experiment.", autocompletion=complete.experiments
    ),
]
OfInstance: TypeAlias = Annotated[
    str,
    typer.Option(
        "--instance",
        metavar="INSTANCE",
        help="Only of this instance: its id, or the beginning.",
        autocompletion=complete.instances,
    ),
]
Set: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="Set a value of the configuration: JSON, else a string. Nested: a.b=3, pairs.0.name=x. May be repeated.",
        autocompletion=complete.settings,
    ),
]
Config: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        "--config",
        metavar="FILE",
        help="Take the configuration from a file, .json or .yaml, or from standard input (-); --set comes on top.",
    ),
]
Name: TypeAlias = Annotated[
    str | None, typer.Option("--name", metavar="TEXT", help="Name of the instance, for people.")
]
Description: TypeAlias = Annotated[str | None, typer.Option("--description", metavar="TEXT", help="Notes for people.")]
Label: TypeAlias = Annotated[
    list[str] | None, typer.Option("--label", metavar="KEY=VALUE", help="A label. May be repeated.")
]
Seed: TypeAlias = Annotated[
    int | None,
    typer.Option("--seed", min=0, max=2**64 - 1, metavar="N", help="Seed for the experiment. [default: drawn]"),
]
Timeout: TypeAlias = Annotated[
    str | None,
    typer.Option("--timeout", metavar="DURATION", help="End the run after this long, for example 90s, 5m, 1h30m."),
]
Attempts: TypeAlias = Annotated[
    int | None,
    typer.Option(
        "--attempts", min=1, max=1000, metavar="N", help="Try at most this often in all. [default: the experiment's; 1]"
    ),
]
Backoff: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--backoff",
        metavar="DURATION",
        help="Wait this long before the second attempt, then twice as long each time. [default: 5s]",
    ),
]
LostAfter: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--lost-after",
        metavar="DURATION",
        help="Give a silent runner up after this long. [default: 10m while attempts are left, else 24h]",
    ),
]
Grace: TypeAlias = Annotated[
    str | None,
    typer.Option("--grace", metavar="DURATION", help="Time to stop by itself once it is cancelled. [default: 10s]"),
]
Repeat: TypeAlias = Annotated[
    int,
    typer.Option(
        "--repeat",
        min=1,
        max=1000,
        metavar="N",
        help="Start N runs of the instance and follow them all; with --seed S their seeds are S, S+1, ...",
    ),
]
Detach: TypeAlias = Annotated[bool, typer.Option("--detach", help="Start the run and do not follow it.")]
Limit: TypeAlias = Annotated[int, typer.Option("--limit", "-n", min=1, metavar="N", help="Show at most this many.")]
Yes: TypeAlias = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask: needed where there is no terminal.")]
