"""`athanor experiments`: what can be run."""

from typing import TYPE_CHECKING

import typer

from athanor.cli import broken, options, output, session, shapes, words
from athanor.cli.broken import raised

if TYPE_CHECKING:
    from athanor.client import AsyncClient, DiscoveryError, ExperimentRecord

app = typer.Typer(help="Show the experiments that runners have reported.", no_args_is_help=True)


@app.command("list")
def list_(target: options.Target = None, json: options.Json = False) -> None:
    """List experiments, and the modules that could not be loaded."""

    async def work(client: "AsyncClient"):
        return await client.experiments.list().all(), await client.experiments.discovery_errors()

    experiments, broken = session.run(target, work)
    if json:
        output.document(
            {
                "experiments": [shapes.experiment(item) for item in experiments],
                "discovery_errors": [shapes.discovery_error(item) for item in broken],
            }
        )
        return
    if experiments:
        rows = [
            (item.name, str(item.available_runner_count), item.title, item.description.partition("\n")[0])
            for item in experiments
        ]
        output.table(("NAME", "RUNNERS", "TITLE", "DESCRIPTION"), rows)
    elif not broken:
        output.note("No runner has reported an experiment yet; `athanor runners list` shows who is connected.")
    for error in broken:
        output.note(f"could not load {error.module}: {raised(error.error)} (its traceback: with --json)")


@app.command()
def show(name: options.Experiment, target: options.Target = None, json: options.Json = False) -> None:
    """Show one experiment: what it does, and what its configuration takes."""

    async def work(client: "AsyncClient") -> "tuple[ExperimentRecord, DiscoveryError | None]":
        item = await client.experiments.get(name)
        return item, None if json else broken.of(item, await client.experiments.discovery_errors())

    item, error = session.run(target, work)
    if json:
        output.document(shapes.experiment(item))
    else:
        _show(item, error)


def _show(item: "ExperimentRecord", error: "DiscoveryError | None") -> None:
    from athanor.cli import schema

    output.fields(
        [
            ("name", item.name),
            ("title", item.title if item.title != item.name else ""),
            ("description", item.description.strip()),
            ("runners", str(item.available_runner_count) if item.available_runner_count else "none: a run would wait"),
            ("not loaded", f"{broken.raised(error.error)}; mend it and it is there again" if error else ""),
            ("timeout", words.duration(item.default_policy.timeout)),
            ("attempts", f"up to {item.default_policy.max_attempts}" if item.default_policy.max_attempts else ""),
            ("module", item.code.module),
            ("distribution", item.code.distribution),
            ("commit", item.code.git_commit + (" (with changes)" if item.code.git_dirty else "")),
            ("digest", item.code.digest),
            ("mixed", "other runners have other code of this name" if item.other_versions else ""),
            ("changed", words.moment(item.update_time)),
        ]
    )
    settings = schema.settings(item.configuration_schema)
    if settings:
        output.line()
        rows = [
            (one.path, one.type, one.default or ("required" if one.required else ""), one.description)
            for one in settings
        ]
        output.table(("SETTING", "TYPE", "DEFAULT", "DESCRIPTION"), rows, wrap=True)
