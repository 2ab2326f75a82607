"""`athanor runners`: the services that execute runs."""

from typing import TYPE_CHECKING

import typer

from athanor.cli import options, output, session, shapes, words

if TYPE_CHECKING:
    from athanor.client import AsyncClient, Runner

app = typer.Typer(help="Show the services that execute runs.", no_args_is_help=True)


@app.command("list")
def list_(target: options.Target = None, json: options.Json = False) -> None:
    """List the runners seen in the last day."""

    async def work(client: "AsyncClient") -> "list[Runner]":
        return await client.runners.list().all()

    items = session.run(target, work)
    if json:
        output.document({"runners": [shapes.runner(item) for item in items]})
        return
    rows = [
        (
            item.id,
            item.display_name,
            _state(item),
            f"{len(item.run_ids)}/{item.slots}",
            words.ago(item.last_seen_time),
            ", ".join(item.experiments),
        )
        for item in items
    ]
    output.table(("ID", "NAME", "STATE", "SLOTS", "SEEN", "EXPERIMENTS"), rows)


def _state(item: "Runner") -> str:
    if not item.connected:
        return "away"
    return "draining" if item.draining else "connected"
