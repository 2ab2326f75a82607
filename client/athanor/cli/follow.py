"""Following a run to its end."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from athanor.cli import exits, lines, output, views

if TYPE_CHECKING:
    from athanor.client import AsyncClient, EventFilter, RunRecord

REFRESH = 0.1  # seconds


async def follow(
    client: "AsyncClient",
    run_id: str,
    view: views.View,
    *,
    filter: "EventFilter | None" = None,
    after_sequence: int = 0,
) -> "RunRecord":
    """Show a run behind an event of it until it has ended, and return it. Cancelling ends the watching only."""
    import asyncio

    async def refresh() -> None:
        while True:
            await asyncio.sleep(REFRESH)
            view.refresh()

    try:
        async with asyncio.TaskGroup() as tasks:
            ticker = tasks.create_task(refresh(), name="refresh the view")
            async with client.runs.watch(
                run_id, filter=filter, after_sequence=after_sequence, on_interruption=view.interrupted
            ) as watch:
                async for item in watch:
                    view.show(item)
            ticker.cancel()
    finally:
        view.close()
    assert watch.run is not None  # a watch that ends without an error has given the run
    return watch.run


def conclude(run: "RunRecord", json: bool, found: Sequence[str] = ()) -> int:
    """Say how a run ended, below that what it `found` at last, and return the exit status for it."""
    if not json:
        text = "\n".join([lines.summary(run), *filter(None, found)])
        output.note(text) if not output.is_terminal() else output.line(text)
    return exit_status(run)


def exit_status(run: "RunRecord") -> int:
    """The exit status for the outcome of a run."""
    return {"COMPLETED": exits.OK, "CANCELLED": exits.CANCELLED}.get(run.state.value, exits.FAILED)


def detached(run_ids: Sequence[str], instance_id: str) -> str:
    """What to tell a person who stops watching."""
    if len(run_ids) > 1:
        return (
            f"The {len(run_ids)} runs go on.\n"
            f"  see them    athanor runs list --instance {instance_id}\n"
            f"  follow one  athanor logs {run_ids[0]} -f\n"
            f"  cancel one  athanor runs cancel {run_ids[0]}"
        )
    run_id = run_ids[0]
    return (
        f"The run goes on: {run_id}\n"
        f"  follow it   athanor logs {run_id} -f\n"
        f"  see it      athanor runs show {run_id}\n"
        f"  cancel it   athanor runs cancel {run_id}"
    )
