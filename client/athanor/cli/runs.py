"""`athanor runs`: executions of instances."""

from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from athanor.cli import (
    arguments,
    attempts,
    exits,
    ids,
    known,
    launch,
    names,
    options,
    output,
    session,
    shapes,
    verify,
    watch,
    words,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from athanor.client import AsyncClient, RunRecord

app = typer.Typer(help="Start, show, watch, verify, cancel and delete runs.", no_args_is_help=True)
app.command()(launch.start)
app.command()(watch.watch)
app.command()(verify.verify)


class State(StrEnum):
    """States as people write them."""

    PENDING = "pending"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"


@app.command("list")
def list_(
    experiment: options.OfExperiment = "",
    instance: options.OfInstance = "",
    state: Annotated[
        list[State] | None, typer.Option("--state", case_sensitive=False, help="Only in this state. May be repeated.")
    ] = None,
    label: options.Label = None,
    since: Annotated[
        str | None,
        typer.Option(
            "--since",
            metavar="WHEN",
            help="Only those created from then on: 2h, 3d (ago), today, yesterday, 2026-01-31, 2026-01-31T12:00. "
            "In the time zone of this machine unless it names one; a day is its beginning.",
        ),
    ] = None,
    until: Annotated[
        str | None, typer.Option("--until", metavar="WHEN", help="Only those created before then, as in --since.")
    ] = None,
    limit: options.Limit = output.LIMIT,
    target: options.Target = None,
    json: options.Json = False,
) -> None:
    """List runs, newest first.

    With --json a run has the id of its instance; `athanor instances list --json` has the names.
    """
    labels = arguments.labels(label or [])
    begin, end = arguments.period(since, until, datetime.now(UTC))

    async def work(client: "AsyncClient") -> "tuple[Sequence[RunRecord], Mapping[str, str]]":
        from athanor.client import RunState

        found = await client.runs.list(
            experiment=experiment,
            instance_id=await ids.instance(client, instance) if instance else "",
            states=[RunState[one.name] for one in state or []],
            labels=labels,
            since=begin,
            until=end,
            full=json,
            limit=limit + 1,
        ).all()
        await known.check(client, experiment, found)
        return found, {} if json else await names.of_instances(client, [item.instance_id for item in found[:limit]])

    found, named = session.run(target, work)
    items = found[:limit]
    if json:
        output.document({"runs": [shapes.run(item) for item in items]})
    else:
        _print_all(items, named)
    output.more(len(found), limit, "run")


@app.command()
def show(run: options.RunId, target: options.Target = None, json: options.Json = False) -> None:
    """Show one run: where it stands, what it was made of, how it ended."""

    async def work(client: "AsyncClient") -> "tuple[RunRecord, attempts.Steps, str]":
        item = await client.runs.get(await ids.run(client, run))
        if json:
            return item, {}, ""
        named = await names.of_instances(client, [item.instance_id])
        return item, await attempts.stop_steps(client, item.id), named[item.instance_id]

    item, steps, instance = session.run(target, work)
    if json:
        output.document(shapes.run(item))
    else:
        _show(item, steps, instance)


@app.command()
def cancel(
    run: options.RunId,
    reason: Annotated[
        str, typer.Option("--reason", metavar="TEXT", help="Shown to the experiment and kept on the run.")
    ] = "",
    wait: Annotated[bool, typer.Option("--wait", help="Wait until the run has ended.")] = False,
    yes: Annotated[
        bool,
        typer.Option("--yes", "-y", help="Do not ask whether `last` is the run: needed where there is no terminal."),
    ] = False,
    target: options.Target = None,
    json: options.Json = False,
) -> None:
    """Ask for a run to be cancelled. That cannot be undone, and `last` may be another's run: there you are asked.

    With --wait the exit status is 0 when the run was CANCELLED, and 5 when it ended otherwise: too late.
    """

    run_id = run if yes or not ids.is_last(run) else _surely_last(target)
    asked = list[str]()

    async def work(client: "AsyncClient") -> "RunRecord":
        item = await client.runs.cancel(await ids.run(client, run_id), reason=reason)
        asked.append(item.id)
        return await client.runs.wait(item.id) if wait and not item.ended else item

    def stop_waiting() -> NoReturn:
        if asked:
            output.note(f"athanor: the cancellation goes on; `athanor runs show {asked[0]}` shows how the run ends")
            session.left()
        session.interrupted()

    item = session.run(target, work, on_interrupt=stop_waiting)
    if json:
        output.document(shapes.run(item))
    else:
        output.line(f"run {item.id} {words.state(item)}")
    if item.ended and item.state.value != "CANCELLED":
        session.fail(f"too late: the run {item.state.value} before it could be cancelled", exits.REFUSED)


@app.command()
def delete(
    run: options.DoomedRunId, yes: options.Yes = False, target: options.Target = None, json: options.Json = False
) -> None:
    """Delete a run with its log and results."""

    if ids.is_last(run):
        raise typer.BadParameter(f"{run!r} may be another run than you think: to delete one give its id")

    async def find(client: "AsyncClient") -> str:
        return await ids.run(client, run)

    run_id = session.run(target, find)
    if not output.confirmed(f"Delete run {run_id} with its log and results?", yes):
        raise typer.Exit(exits.REFUSED)

    async def work(client: "AsyncClient") -> None:
        await client.runs.delete(run_id)

    session.run(target, work)
    if json:
        output.document({"deleted": run_id})
    else:
        output.line(f"deleted run {run_id}")


def _surely_last(target: str | None) -> str:
    """The id of the newest run, when somebody has said that it is the one."""

    async def find(client: "AsyncClient") -> "RunRecord":
        return await client.runs.get(await ids.run(client, ids.LAST))

    item = session.run(target, find)
    question = f"cancel run {item.id} of {item.experiment}, created {words.ago(item.create_time)}?"
    if not output.confirmed(question, yes=False):
        raise typer.Exit(exits.REFUSED)
    return item.id


def _show(item: "RunRecord", steps: "attempts.Steps", instance: str) -> None:
    detail = f"\n{item.failure.detail.rstrip()}" if item.failure and item.failure.detail.strip() else ""
    output.fields(
        [
            ("id", item.id),
            ("experiment", item.experiment),
            ("instance", f"{item.instance_id}  {instance}".rstrip()),
            ("state", words.state(item)),
            ("progress", words.progress(item.progress)),
            ("failure", words.failure(item.failure) + detail),
            ("labels", ", ".join(f"{key}={value}" for key, value in sorted(item.labels.items()))),
            ("seed", str(item.seed)),
            ("timeout", words.duration(item.policy.timeout)),
            ("policy", attempts.policy(item.policy)),
            ("created", words.moment(item.create_time)),
            ("started", words.moment(item.start_time)),
            ("ended", words.moment(item.end_time)),
            ("took", words.elapsed(item)),
            ("cancelled", _cancellation(item)),
            ("silent since", words.moment(item.unreachable_since)),
            ("next attempt", words.moment(item.next_attempt_time)),
            ("log", f"{words.count(item.log_count, 'line')}, {words.count(item.result_count, 'result')}"),
            ("attempts", "\n".join(attempts.described(item, steps))),
            ("configuration", output.pretty(item.configuration_json)),
        ]
    )


def _cancellation(item: "RunRecord") -> str:
    if item.cancel_request_time is None:
        return ""
    return f"requested {words.moment(item.cancel_request_time)} {item.cancel_reason}".rstrip()


def _print_all(items: "Sequence[RunRecord]", named: "Mapping[str, str]") -> None:
    if not items:
        output.note("No run is like that; `athanor run EXPERIMENT` starts one.")
    terminal = output.is_terminal()
    short = ids.shortened([item.id for item in items]) if terminal else {}
    moment = words.recent if terminal else words.moment
    rows = [
        (
            short.get(item.id, item.id),
            item.experiment,
            named.get(item.instance_id, ""),
            words.state(item),
            moment(item.create_time),
            words.elapsed(item),
            str(item.result_count),
            words.failure(item.failure) if item.ended else words.progress(item.progress),
        )
        for item in items
    ]
    columns = ("ID", "EXPERIMENT", "INSTANCE", "STATE", "CREATED", "TOOK", "RESULTS", "PROGRESS")
    output.table(columns, rows, cut=True, first="INSTANCE")
