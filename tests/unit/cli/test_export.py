"""What an export says about itself, and what it refuses before anything is fetched."""

import asyncio
import json
from contextlib import nullcontext
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import typer
from athanor.cli import exits, export
from athanor.client import Page, Result, RunRecord, RunState
from athanor.client.export import Format


def exported(state: RunState, **fields: Any) -> export.Exported:
    run = RunRecord("r", "i", "hello", state, last_sequence=9, end_time=datetime.now(UTC), **fields)
    return export.Exported(cast(Any, run), "r.csv", 1)


def test_how_far_it_reaches_is_told_of_a_run_that_goes_on():
    assert export.reached(exported(RunState.COMPLETED), export.What.EVENTS) == "wrote 1 event of run r to r.csv"
    assert export.reached(exported(RunState.RUNNING), export.What.RESULTS) == (
        "wrote 1 result of run r to r.csv; the run is RUNNING, everything up to event 9 is there"
    )
    lost = export.reached(exported(RunState.FAILED, log_incomplete=True), export.What.EVENTS)
    assert lost.endswith("; the log of this run is NOT complete")


def test_the_formats_are_those_of_the_client():
    assert [*export.Format] == [*Format]


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (("x.txt", None, False), "the name 'x.txt' does not say in which format"),
        (("-", export.Format.PARQUET, False), "parquet cannot go to standard output"),
        (("-", None, True), "--json tells what was written to files"),
    ],
)
def test_refused_before_anything_is_fetched(call: Any, said: str):
    with pytest.raises(typer.BadParameter) as refused:
        export._check(*call)
    assert said in str(refused.value)


def test_a_name_for_each_run_is_fine():
    export._check("{run}.csv", None, True)
    export._check("-", None, False)
    export._refuse_one_name(["a", "b"], "{run}.csv")
    export._refuse_one_name(["a"], "x.csv")
    with pytest.raises(typer.BadParameter, match=r"put {run} into the name"):
        export._refuse_one_name(["a", "b"], "x.csv")


class Breaking:
    """A listing of results that gives one page and is broken off then."""

    def __init__(self, error: BaseException) -> None:
        self.error = error

    async def pages(self):
        yield Page(tuple(Result(n, 1, datetime.now(UTC), "loss", "0.5") for n in (1, 2)), "more")
        raise self.error


@pytest.mark.parametrize("error", [asyncio.CancelledError(), ConnectionError("gone")])
async def test_what_was_written_before_it_broke_off_is_kept_and_named(tmp_path: Path, error: BaseException):
    client: Any = SimpleNamespace(runs=SimpleNamespace(results=lambda _: Breaking(error)))
    run: Any = RunRecord("r", "i", "hello", RunState.RUNNING, result_count=4)
    kept: list[str] = []
    with pytest.raises(type(error)):
        await export._one(client, run, str(tmp_path / "x.jsonl"), export.What.RESULTS, None, kept)
    partial = tmp_path / "x.partial.jsonl"
    assert kept == [f"2 results of run r in {partial}"]
    assert [json.loads(line)["sequence"] for line in partial.read_text().splitlines()] == [1, 2]
    assert not (tmp_path / "x.jsonl").exists()


def test_after_ctrl_c_what_is_kept_is_said_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    async def get(id: str) -> RunRecord:
        return RunRecord(id, "i", "hello", RunState.RUNNING, result_count=4)

    runs = SimpleNamespace(get=get, list=lambda **_: None, results=lambda _: Breaking(KeyboardInterrupt()))
    monkeypatch.setattr("athanor.client.AsyncClient", lambda *_, **__: nullcontext(SimpleNamespace(runs=runs)))
    id = "019a0000-0000-7000-8000-000000000001"
    with pytest.raises(typer.Exit) as ended:
        export.export([id], str(tmp_path / "x.csv"), export.What.RESULTS)
    assert ended.value.exit_code == exits.INTERRUPTED
    kept = f"2 results of run {id} in {tmp_path / 'x.partial.csv'}"
    assert capsys.readouterr().err == (
        f"athanor: interrupted\nathanor: the export is not whole; kept what there is: {kept}\n"
    )
