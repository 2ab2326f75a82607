"""`athanor runners`: the services that execute runs."""

from typing import TYPE_CHECKING

import typer

from athanor.cli import ids, options, output, picture, session, shapes, words

if TYPE_CHECKING:
    from collections.abc import Sequence

    from athanor.client import AsyncClient, RunnerRecord

app = typer.Typer(help="Show, drain and give up the services that execute runs.", no_args_is_help=True)


@app.command("list")
def list_(target: options.Target = None, json: options.Json = False) -> None:
    """List the runners seen in the last day."""

    async def work(client: "AsyncClient") -> "Sequence[RunnerRecord]":
        return await client.runners.list().all()

    items = session.run(target, work)
    if json:
        output.document({"runners": [shapes.runner(item) for item in items]})
        return
    if not items:
        output.note("No runner was seen in the last day; `athanor up` starts one with an orchestrator.")
    short = ids.shortened([item.id for item in items]) if output.is_terminal() else {}
    output.table(picture.RUNNER_COLUMNS, [picture.runner_row(item, short) for item in items], cut=True)


@app.command()
def drain(runner: options.RunnerId, target: options.Target = None, json: options.Json = False) -> None:
    """Let a runner take no more runs, also after it restarts. Those it holds finish."""

    async def work(client: "AsyncClient") -> "RunnerRecord":
        return await client.runners.drain(await ids.runner(client, runner))

    item = session.run(target, work)
    if json:
        output.document(shapes.runner(item))
    else:
        held = f"; it holds {words.count(len(item.run_ids), 'run')}, which go on" if item.run_ids else ""
        output.line(f"runner {item.id} takes no more runs{held}")


@app.command()
def undrain(runner: options.RunnerId, target: options.Target = None, json: options.Json = False) -> None:
    """Let a runner take runs again."""

    async def work(client: "AsyncClient") -> "RunnerRecord":
        return await client.runners.undrain(await ids.runner(client, runner))

    item = session.run(target, work)
    if json:
        output.document(shapes.runner(item))
    elif item.draining:
        output.line(f"runner {item.id} is no longer held back, but says itself that it takes no more: it is stopping")
    else:
        output.line(f"runner {item.id} takes runs")


@app.command()
def forget(runner: options.RunnerId, target: options.Target = None, json: options.Json = False) -> None:
    """Give a silent runner up: the attempts that it holds end now, as KIND_RUNNER_LOST.

    For a machine that does not come back. What it had not delivered never enters its runs; should it come back, it
    ends what still runs and keeps the rest in its quarantine folder. Refused while the runner is connected.
    """

    async def work(client: "AsyncClient") -> "tuple[str, tuple[str, ...]]":
        runner_id = await ids.runner(client, runner)
        return runner_id, await client.runners.forget(runner_id)

    runner_id, run_ids = session.run(target, work)
    if json:
        output.document({"forgotten": runner_id, "run_ids": list(run_ids)})
        return
    output.line(f"gave up runner {runner_id}; it held {words.count(len(run_ids), 'run') if run_ids else 'no run'}")
    for run_id in run_ids:
        output.line(f"ended the attempt of run {run_id}")
