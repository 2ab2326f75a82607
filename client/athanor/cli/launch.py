"""`athanor run` and `athanor runs start`: start a run and follow it."""

import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, NoReturn

import typer

from athanor.cli import (
    arguments,
    assigned,
    broken,
    exits,
    follow,
    ids,
    last,
    lines,
    many,
    options,
    output,
    session,
    shapes,
    views,
)

if TYPE_CHECKING:
    from athanor.client import AsyncClient, RunRecord


_SEEDS = 2**64


@dataclass(frozen=True)
class Start:
    """How the run is to be started."""

    seed: int | None
    policy: Mapping[str, timedelta | int]  # what was said, by the names of RunPolicy
    labels: Mapping[str, str]
    repeat: int  # runs in all
    detach: bool
    json: bool

    def __post_init__(self) -> None:
        if self.seed is not None and self.seed + self.repeat > _SEEDS:
            raise typer.BadParameter(
                f"the seeds of {self.repeat} runs would go up to {self.seed + self.repeat - 1}, and the last there is "
                f"is {_SEEDS - 1}",
                param_hint="--seed",
            )

    def seed_of(self, index: int) -> int | None:
        """The seed of the run that is started as number `index`, from 0: each has one of its own."""
        return None if self.seed is None else self.seed + index


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
    repeat: options.Repeat = 1,
    detach: options.Detach = False,
    target: options.Target = None,
    json: options.Json = False,
) -> None:
    """Run an experiment: create an instance of it, start a run, and follow it to its end.

    Ctrl-C ends the watching, never the run. Of a long result one line is shown; `athanor results`, and --json, have it
    whole. With --json: JSON Lines, {"run": ...}, {"event": ...}, {"progress": ...}; with --detach the run alone. With
    --repeat each of these has "run_id" in front, and --detach gives {"runs": [...]}.
    """
    configuration = arguments.configuration(config, set_ or [])
    policy = _policy(timeout, attempts, backoff, lost_after, grace)
    start = Start(seed, policy, arguments.labels(label or []), repeat, detach, json)

    async def instance_id(client: "AsyncClient") -> str:
        with assigned.explained(set_ or []):
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
    repeat: options.Repeat = 1,
    detach: options.Detach = False,
    target: options.Target = None,
    json: options.Json = False,
) -> None:
    """Run an instance, once more or for the first time, and follow the run to its end. See `athanor run --help`."""
    policy = _policy(timeout, attempts, backoff, lost_after, grace)
    start = Start(seed, policy, arguments.labels(label or []), repeat, detach, json)

    async def instance_id(client: "AsyncClient") -> str:
        return await ids.instance(client, instance)

    _launch(target, instance_id, start)


def _launch(target: str | None, instance_id: "Callable[[AsyncClient], Awaitable[str]]", start: Start) -> NoReturn:
    started: list[RunRecord] = []
    found = list[str]()  # the last values of the run, when it is one

    async def work(client: "AsyncClient") -> "list[RunRecord]":
        from athanor.client import RunPolicy

        id = await instance_id(client)
        policy = RunPolicy(**start.policy) if start.policy else None  # pyright: ignore[reportArgumentType]
        for index in range(start.repeat):
            run = await client.runs.start(id, policy=policy, seed=start.seed_of(index), labels=start.labels)
            started.append(run)
        if start.detach:
            return started
        if not start.json:
            _announce(started)
            await _say_when_it_waits(client, started[0])
        if start.repeat == 1:
            run = await follow.follow(client, started[0].id, views.choose(start.json))
            if not start.json:
                found.append(await last.values(client, run))
            return [run]
        return await many.follow_all(client, started, start.json)

    def stop_watching() -> NoReturn:
        if not started:
            output.note("athanor: interrupted; `athanor runs list` shows whether the run was started")
        else:
            output.note(f"\n{follow.detached([run.id for run in started], started[0].instance_id)}")
        raise typer.Exit(exits.INTERRUPTED)

    try:
        ended = session.run(target, work, on_interrupt=stop_watching)
    except typer.Exit as end:
        if 0 < len(started) < start.repeat and end.exit_code != exits.INTERRUPTED:
            output.note(f"{len(started)} of {start.repeat} runs were started: {' '.join(run.id for run in started)}")
        raise
    if start.detach:
        _print_detached(ended, start)
        raise typer.Exit(exits.OK)
    sys.stdout.flush()
    raise typer.Exit(_conclude(ended, start, found))


def _announce(started: "Sequence[RunRecord]") -> None:
    """Say which runs there are, before the first line of any of them."""
    if len(started) == 1:
        output.note(f"run {started[0].id}")
    else:
        for index, run in enumerate(started):
            output.note(f"{many.label(index)}run {run.id} seed {run.seed}")


def _conclude(ended: "Sequence[RunRecord]", start: Start, found: Sequence[str]) -> int:
    if len(ended) == 1:
        return follow.conclude(ended[0], start.json, found)
    if not start.json:
        texts = [many.label(index) + lines.summary(run, detail=False) for index, run in enumerate(ended)]
        say = output.line if output.is_terminal() else output.note
        for text in (*texts, many.summary(ended)):
            say(text)
    return many.exit_status(ended)


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
        output.note(broken.waiting(experiment, await client.experiments.discovery_errors(), run.id))


def _print_detached(runs: "Sequence[RunRecord]", start: Start) -> None:
    if start.json:
        output.document(shapes.run(runs[0]) if start.repeat == 1 else {"runs": [shapes.run(run) for run in runs]})
    elif output.is_terminal():
        output.line(follow.detached([run.id for run in runs], runs[0].instance_id))
    else:
        for run in runs:
            print(run.id)
