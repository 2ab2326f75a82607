"""`athanor run` and `athanor runs start`: start a run and follow it."""

import sys
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from athanor.cli import arguments, exits, follow, ids, options, output, schema, session, shapes, views

if TYPE_CHECKING:
    from athanor.client import AsyncClient, RunRecord


@dataclass(frozen=True)
class Start:
    """How the run is to be started."""

    seed: int | None
    policy: Mapping[str, timedelta | int]  # what was said, by the names of RunPolicy
    labels: Mapping[str, str]
    detach: bool
    json: bool


def run(
    experiment: options.Experiment,
    set_: options.Set = None,
    config: options.Config = None,
    name: options.Name = None,
    label: options.Label = None,
    seed: options.Seed = None,
    timeout: options.Timeout = None,
    attempts: options.Attempts = None,
    backoff: options.Backoff = None,
    lost_after: options.LostAfter = None,
    grace: options.Grace = None,
    detach: options.Detach = False,
    target: options.Target = None,
    json: options.Json = False,
) -> None:
    """Run an experiment: create an instance of it, start a run, and follow it to its end.

    Ctrl-C ends the watching, never the run. With --json: JSON Lines, {"run": ...}, {"event": ...}, {"progress": ...};
    with --detach the run alone.
    """
    configuration = arguments.configuration(config, set_ or [])
    policy = _policy(timeout, attempts, backoff, lost_after, grace)
    start = Start(seed, policy, arguments.labels(label or []), detach, json)

    async def instance_id(client: "AsyncClient") -> str:
        await schema.refuse_unknown(client, experiment, set_)
        made = await client.instances.create(experiment, configuration, name=name, labels=start.labels)
        return made.id

    _launch(target, instance_id, start)


def start(
    instance: options.InstanceId,
    label: options.Label = None,
    seed: options.Seed = None,
    timeout: options.Timeout = None,
    attempts: options.Attempts = None,
    backoff: options.Backoff = None,
    lost_after: options.LostAfter = None,
    grace: options.Grace = None,
    detach: Annotated[bool, typer.Option("--detach", help="Start the run and do not follow it.")] = False,
    target: options.Target = None,
    json: options.Json = False,
) -> None:
    """Run an instance, once more or for the first time, and follow the run to its end."""
    policy = _policy(timeout, attempts, backoff, lost_after, grace)
    start = Start(seed, policy, arguments.labels(label or []), detach, json)

    async def instance_id(client: "AsyncClient") -> str:
        return await ids.instance(client, instance)

    _launch(target, instance_id, start)


def _launch(target: str | None, instance_id: "Callable[[AsyncClient], Awaitable[str]]", start: Start) -> NoReturn:
    started: RunRecord | None = None

    async def work(client: "AsyncClient") -> "RunRecord":
        nonlocal started
        from athanor.client import RunPolicy

        id = await instance_id(client)
        policy = RunPolicy(**start.policy) if start.policy else None  # pyright: ignore[reportArgumentType]
        started = await client.runs.start(id, policy=policy, seed=start.seed, labels=start.labels)
        if start.detach:
            return started
        if not start.json:
            output.note(f"run {started.id}")
            await _say_when_it_waits(client, started)
        return await follow.follow(client, started.id, views.choose(start.json))

    def stop_watching() -> NoReturn:
        if started is None:
            output.note("athanor: interrupted; `athanor runs list` shows whether the run was started")
        else:
            output.note(f"\n{follow.detached(started.id)}")
        raise typer.Exit(exits.INTERRUPTED)

    ended = session.run(target, work, on_interrupt=stop_watching)
    if start.detach:
        _print_detached(ended, start.json)
        raise typer.Exit(exits.OK)
    sys.stdout.flush()
    raise typer.Exit(follow.conclude(ended, start.json))


def _policy(
    timeout: str | None, attempts: int | None, backoff: str | None, lost_after: str | None, grace: str | None
) -> dict[str, timedelta | int]:
    said = {
        "timeout": arguments.duration(timeout, "--timeout"),
        "cancel_grace_period": arguments.duration(grace, "--grace"),
        "max_attempts": attempts,
        "retry_backoff": arguments.duration(backoff, "--backoff"),
        "lost_after": arguments.duration(lost_after, "--lost-after"),
    }
    return {name: value for name, value in said.items() if value is not None}


async def _say_when_it_waits(client: "AsyncClient", run: "RunRecord") -> None:
    """A run that nobody can execute would look like one that hangs."""
    experiment = await client.experiments.get(run.experiment)
    if not experiment.available_runner_count:
        output.note(f"no connected runner has {run.experiment!r}: the run waits until one comes")


def _print_detached(run: "RunRecord", json: bool) -> None:
    if json:
        output.document(shapes.run(run))
    elif output.is_terminal():
        output.line(follow.detached(run.id))
    else:
        print(run.id)
