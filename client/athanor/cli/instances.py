"""`athanor instances`: experiments with a name and a configuration."""

from typing import TYPE_CHECKING

import typer

from athanor.cli import arguments, assigned, exits, ids, known, options, output, session, shapes, words

if TYPE_CHECKING:
    from collections.abc import Sequence

    from athanor.client import AsyncClient, InstanceRecord

app = typer.Typer(help="Create, show, change and delete instances.", no_args_is_help=True)


@app.command()
def create(
    experiment: options.Experiment,
    set_: options.Set = None,
    config: options.Config = None,
    name: options.Name = None,
    description: options.Description = None,
    label: options.Label = None,
    target: options.Target = None,
    json: options.Json = False,
) -> None:
    """Create an instance; what its configuration leaves out takes the experiment's default."""
    configuration = arguments.configuration(config, set_ or [])
    labels = arguments.labels(label or [])

    async def work(client: "AsyncClient") -> "InstanceRecord":
        with assigned.explained(set_ or []):
            return await client.instances.create(
                experiment, configuration, name=name, description=description or "", labels=labels
            )

    _print(session.run(target, work), json)


@app.command("list")
def list_(
    experiment: options.OfExperiment = "",
    label: options.Label = None,
    limit: options.Limit = output.LIMIT,
    target: options.Target = None,
    json: options.Json = False,
) -> None:
    """List instances, newest first."""
    labels = arguments.labels(label or [])

    async def work(client: "AsyncClient") -> "Sequence[InstanceRecord]":
        found = await client.instances.list(experiment=experiment, labels=labels, limit=limit + 1).all()
        await known.check(client, experiment, found)
        return found

    found = session.run(target, work)
    items = found[:limit]
    if json:
        output.document({"instances": [shapes.instance(item) for item in items]})
    else:
        _print_all(items)
    output.more(len(found), limit, "instance")


@app.command()
def show(instance: options.InstanceId, target: options.Target = None, json: options.Json = False) -> None:
    """Show one instance with its configuration."""

    async def work(client: "AsyncClient") -> "InstanceRecord":
        return await client.instances.get(await ids.instance(client, instance))

    _print(session.run(target, work), json)


@app.command()
def update(
    instance: options.InstanceId,
    set_: options.Set = None,
    config: options.Config = None,
    name: options.Name = None,
    description: options.Description = None,
    label: options.Label = None,
    target: options.Target = None,
    json: options.Json = False,
) -> None:
    """Change an instance. Runs that exist keep the configuration they started with.

    --set changes values of the configuration it has, --config takes a new one. --label replaces all labels.
    """
    if not (set_ or config or label or name is not None or description is not None):
        raise typer.BadParameter("nothing to change: give --set, --config, --name, --description or --label")
    labels = arguments.labels(label) if label else None

    async def work(client: "AsyncClient") -> "InstanceRecord":
        # Read, change, write what was read: a change by somebody else meanwhile is not overwritten.
        now = await client.instances.get(await ids.instance(client, instance))
        configuration = arguments.configuration(config, set_ or [], now.configuration) if set_ or config else None
        with assigned.explained(set_ or []):
            return await client.instances.update(
                now.id, name=name, description=description, configuration=configuration, labels=labels, etag=now.etag
            )

    _print(session.run(target, work), json)


@app.command()
def delete(
    instance: options.InstanceId,
    yes: options.Yes = False,
    target: options.Target = None,
    json: options.Json = False,
) -> None:
    """Delete an instance with all its runs, their logs and results."""

    async def find(client: "AsyncClient") -> "InstanceRecord":
        return await client.instances.get(await ids.instance(client, instance))

    found = session.run(target, find)
    question = f"Delete instance {found.name!r} with {words.count(found.run_count, 'run')}?"
    if not output.confirmed(question, yes):
        raise typer.Exit(exits.REFUSED)

    async def work(client: "AsyncClient") -> None:
        await client.instances.delete(found.id)

    session.run(target, work)
    if json:
        output.document({"deleted": found.id})
    else:
        output.line(f"deleted instance {found.id}")


def _print(item: "InstanceRecord", json: bool) -> None:
    if json:
        output.document(shapes.instance(item))
        return
    output.fields(
        [
            ("id", item.id),
            ("experiment", item.experiment),
            ("name", item.name),
            ("description", item.description),
            ("labels", ", ".join(f"{key}={value}" for key, value in sorted(item.labels.items()))),
            ("runs", str(item.run_count) + (f", the last {item.last_run_state.value}" if item.last_run_state else "")),
            ("created", words.moment(item.create_time)),
            ("changed", words.moment(item.update_time)),
            ("configuration", output.pretty(item.configuration_json)),
        ]
    )


def _print_all(items: "Sequence[InstanceRecord]") -> None:
    if not items:
        output.note("No instance is like that; `athanor instances create EXPERIMENT` makes one.")
    terminal = output.is_terminal()
    short = ids.shortened([item.id for item in items]) if terminal else {}
    moment = words.recent if terminal else words.moment
    rows = [
        (
            short.get(item.id, item.id),
            item.experiment,
            str(item.run_count),
            item.last_run_state.value if item.last_run_state else "-",
            moment(item.create_time),
            item.name,
        )
        for item in items
    ]
    output.table(("ID", "EXPERIMENT", "RUNS", "LAST", "CREATED", "NAME"), rows)
