"""`athanor export`: events or results of runs in files."""

from collections.abc import Collection, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from athanor.cli import complete, exits, ids, options, output, session, words

if TYPE_CHECKING:
    from collections.abc import Callable

    from athanor.client import AsyncClient, AsyncListing, AsyncRun, Event
    from athanor.client.export import Writer

    Advance = Callable[[int], None]

_RUN = "{run}"
_STANDARD_OUTPUT = "-"


class What(StrEnum):
    """What is exported."""

    RESULTS = "results"
    EVENTS = "events"


class Format(StrEnum):
    """How it is written, as in `athanor.client.export`, which is not imported for a help text."""

    JSONL = "jsonl"
    CSV = "csv"
    PARQUET = "parquet"


@dataclass
class Exported:
    """One run that was written."""

    run: "AsyncRun"  # as it stood when the export began
    path: str
    count: int


def export(
    runs: Annotated[
        list[str],
        typer.Argument(
            metavar="RUN",
            help="Ids of the runs, or the beginnings of them; `last`: the newest run.",
            autocompletion=complete.runs,
        ),
    ],
    to: Annotated[
        str,
        typer.Option(
            "--output", "-o", metavar="FILE", help=f"Where to; {_RUN} in it is the id of the run, `-` standard output."
        ),
    ] = _STANDARD_OUTPUT,
    what: Annotated[What, typer.Option("--what", help="The results that stand, or the whole log.")] = What.RESULTS,
    format: Annotated[
        Format | None, typer.Option("--format", help="[default: what the name ends in; jsonl on standard output]")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace files that exist.")] = False,
    target: options.Target = None,
    json: options.Json = False,
) -> None:
    """Export the results, or all events, of runs as JSON Lines, CSV or Parquet.

    Of a run that goes on is written what it has recorded by now. A file has its name only when it is whole; until then,
    and for good when the export is interrupted, it is NAME.partial.SUFFIX. Several runs need a name with {run} in it.
    With --json what was written is told as JSON. Exit status 1: the file could not be written.

    \b
    For example:
      athanor export 0198c5 -o results.csv
      athanor export 0198c5 0198c7 --what events -o '{run}.parquet'
    """
    _check(to, format, json)
    kept = list[str]()

    async def work(client: "AsyncClient") -> list[Exported]:
        run_ids = dict.fromkeys([await ids.run(client, text) for text in runs])
        _refuse_one_name(run_ids, to)
        found = [await client.runs.get(id) for id in run_ids]
        paths = [to.replace(_RUN, run.id) for run in found]
        if not force:
            _refuse_existing(paths)
        return [await _one(client, run, path, what, format, kept) for run, path in zip(found, paths, strict=True)]

    try:
        done = session.run(target, work)
    except BrokenPipeError:
        raise  # who read along has read enough
    except OSError as error:
        _say_kept(kept)
        session.fail(f"cannot write {error.filename or to}: {error.strerror or error}", exits.FAILED)
    except typer.Exit:  # why has been said, of Ctrl-C too
        _say_kept(kept)
        raise
    if json:
        output.document({"exports": [_document(one, what) for one in done]})
    else:
        for one in done:
            output.note(reached(one, what))


def reached(one: Exported, what: What) -> str:
    """Say what was written, and how far that reaches when the run goes on."""
    text = f"wrote {words.count(one.count, what.value.removesuffix('s'))} of run {one.run.id}"
    if one.path != _STANDARD_OUTPUT:
        text += f" to {one.path}"
    if not one.run.ended:
        # What was recorded while it was written may be there too: this much is there for certain.
        text += f"; the run is {one.run.state.value}, everything up to event {one.run.last_sequence} is there"
    elif incomplete := words.incomplete(one.run):
        text += f"; {incomplete}"
    return text


def _check(to: str, format: Format | None, json: bool) -> None:
    """Refuse what can be refused before anything is asked for."""
    from athanor.client.export import format_of

    try:
        format_of(to, format)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--format" if format else "--output") from None
    if json and to == _STANDARD_OUTPUT:
        raise typer.BadParameter(
            "--json tells what was written to files: name one with -o. JSON Lines are the default on standard output",
            param_hint="--json",
        )


def _refuse_one_name(run_ids: Collection[str], to: str) -> None:
    if len(run_ids) > 1 and _RUN not in to:
        raise typer.BadParameter(
            f"each run goes to a file of its own: put {_RUN} into the name, for example -o '{_RUN}.csv'",
            param_hint="--output",
        )


def _refuse_existing(paths: Sequence[str]) -> None:
    """Refuse before the first is written: half of them would be worse than none."""
    there = [path for path in paths if path != _STANDARD_OUTPUT and Path(path).is_file()]
    if there:
        text = f"{', '.join(there)} exists already; --force replaces it"
        raise typer.BadParameter(text, param_hint="--output")


async def _one(
    client: "AsyncClient", run: "AsyncRun", path: str, what: What, format: Format | None, kept: list[str]
) -> Exported:
    from athanor.client.export import open_writer

    writer = open_writer(path, format, what.value)
    total = run.result_count if what is What.RESULTS else run.last_sequence
    try:
        with _progress(f"run {run.id[:13]}", total, path) as advance:
            await _write(_listing(client, run, what), writer, advance)
    except BaseException:
        if (partial := writer.abandon()) is not None:
            kept.append(f"{words.count(writer.count, what.value.removesuffix('s'))} of run {run.id} in {partial}")
        raise
    writer.close()
    return Exported(run, path, writer.count)


def _listing(client: "AsyncClient", run: "AsyncRun", what: What) -> "AsyncListing[Event]":
    from typing import cast

    if what is What.RESULTS:
        return cast("AsyncListing[Event]", client.runs.results(run.id))
    return run.events()


async def _write(listing: "AsyncListing[Event]", writer: "Writer", advance: "Advance") -> None:
    """A page at a time: no more than that is in memory."""
    async for page in listing.pages():
        writer.write(page.items)
        advance(len(page.items))


@contextmanager
def _progress(name: str, total: int, path: str) -> "Generator[Advance]":
    """A bar on a terminal, unless the export itself goes there."""
    if path == _STANDARD_OUTPUT or not output.is_terminal():
        yield lambda _: None
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=output.console(), transient=True) as bar:
        task = bar.add_task(name, total=total)
        yield lambda count: bar.advance(task, count)


def _say_kept(kept: Sequence[str]) -> None:
    for text in kept:
        output.note(f"athanor: the export is not whole; kept what there is: {text}")


def _document(one: Exported, what: What) -> dict[str, object]:
    return {
        "run_id": one.run.id,
        "what": what.value,
        "path": one.path,
        "count": one.count,
        "run_state": one.run.state.value,
        "last_sequence": one.run.last_sequence,
    }
