"""What a client makes of results, over the real orchestrator, on both databases: exact, exported, compared."""

import asyncio
import csv
import json
import math
from pathlib import Path
from typing import Any

import pyarrow.parquet
import pytest
from athanor.client import AsyncClient, AsyncRun, InvalidArgumentError, NotFoundError, RunState
from athanor.v1 import run_event_pb2
from athanor_orchestrator.domain import records
from athanor_orchestrator.storage import results

from tests.support.api import Api, log, result, serving

BIG = 2**70 + 1
EXACT: list[Any] = [2**53 + 1, -(2**63), 2**64, BIG, 10**5000, 0.1, 1e-320, "ä\U0001f600", None, True, {"a": [BIG, {}]}]


def client_of(api: Api) -> AsyncClient:
    return AsyncClient(f"127.0.0.1:{api.orchestrator.port}")


async def start(client: AsyncClient, configuration: object = None, name: str | None = None) -> AsyncRun:
    return await (await client.instances.create("grid", configuration, name=name)).start()


def recorded(key: str, text: str) -> run_event_pb2.RunEvent:
    """A result as its exact text."""
    return run_event_pb2.RunEvent(result=run_event_pb2.Result(key=key, value_json=text))


async def test_documents_come_back_exactly_as_python_objects(database_url: str) -> None:
    async with serving(database_url) as api, client_of(api) as client:
        await api.define(schema={"type": "object"})
        texts = [str(value) if value == 10**5000 else json.dumps(value) for value in EXACT[:4] + EXACT[5:]]
        instance = await client.instances.create("grid", {"big": BIG, "list": [2**53 + 1], "small": 1e-320})
        run = await instance.start()
        assert (await run.refresh()).configuration == {"big": BIG, "list": [2**53 + 1], "small": 1e-320}
        assert str(BIG) in run.configuration_json
        await api.record(run.id, *(recorded("v", text) for text in texts), recorded("digits", "1" + "0" * 5000))
        assert (await run.results())["v"] == EXACT[:4] + EXACT[5:]
        assert (await run.results()).last("digits") == 10**5000
        frame = (await run.results(key="v")).to_pandas()
        assert frame["value"][3] == BIG


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, object(), "\ud800", {1, 2}])
async def test_what_json_lacks_is_refused_and_nothing_is_sent(value: object) -> None:
    async with AsyncClient("127.0.0.1:1", retry_for=0) as client:
        with pytest.raises(InvalidArgumentError, match=r"^instance\.configuration_json is not JSON: "):
            await client.instances.create("grid", {"a": [value]})


async def test_what_a_later_attempt_has_superseded_is_shown_when_asked_for(database_url: str) -> None:
    async with serving(database_url) as api, client_of(api) as client:
        await api.define()
        run = await start(client)
        await api.record(run.id, result("loss", 0.5), result("loss", 0.4), result("loss", 0.3))
        await api.orchestrator.database.write(lambda tx: results.supersede(tx, run.id, 3, 2))
        assert await run.results() == {"loss": [0.5, 0.4]}
        every = await run.results(include_superseded=True)
        assert [(record.value, record.superseded) for record in every.records] == [
            (0.5, False),
            (0.4, False),
            (0.3, True),
        ]


async def test_results_and_events_are_exported_in_every_format(database_url: str, tmp_path: Path) -> None:
    async with serving(database_url) as api, client_of(api) as client:
        await api.define()
        run = await start(client)
        await api.record(run.id, log("one"), result("loss", 0.5), recorded("big", str(BIG)))
        assert await run.export(tmp_path / "r.jsonl") == 2
        lines = (tmp_path / "r.jsonl").read_text().splitlines()
        assert [json.loads(line)["value"] for line in lines] == [0.5, BIG]
        assert await run.export(tmp_path / "r.csv") == 2
        with (tmp_path / "r.csv").open(newline="") as file:
            assert [row["value"] for row in csv.DictReader(file)] == ["0.5", str(BIG)]
        assert await run.export(tmp_path / "e.parquet", what="events") == 4
        table = pyarrow.parquet.read_table(tmp_path / "e.parquet")
        assert table.column("sequence").to_pylist() == [1, 2, 3, 4]
        assert table.column("message").to_pylist()[1] == "one"


async def test_an_export_follows_a_run_to_its_end(database_url: str, tmp_path: Path) -> None:
    async with serving(database_url) as api, client_of(api) as client:
        await api.define()
        run = await start(client)
        async with asyncio.TaskGroup() as tasks:
            following = tasks.create_task(run.export(tmp_path / "e.jsonl", what="events", follow=True))
            for number in range(5):
                await api.record(run.id, *(log(f"{number}.{n}") for n in range(200)))
            await api.end(run.id, records.RunState.COMPLETED)
        assert following.result() == 1002
        lines = (tmp_path / "e.jsonl").read_text().splitlines()
        assert [json.loads(line)["sequence"] for line in lines] == list(range(1, 1003))
        assert run.state is RunState.COMPLETED, "what was followed is up to date"


async def test_runs_are_compared_by_what_differs_and_by_their_repeats(database_url: str) -> None:
    async with serving(database_url) as api, client_of(api) as client:
        await api.define()
        short = await client.instances.create("grid", {"iterations": 1}, name="short")
        runs = [await short.start(), await short.start(), await start(client, {"iterations": 9}, "long")]
        for run, loss in zip(runs, (0.4, 0.6, 0.1), strict=True):
            await api.record(run.id, result("loss", 0.9), result("loss", loss), result("note", "words"))
            await api.end(run.id, records.RunState.COMPLETED)

        comparison = await client.runs.compare([runs[0], runs[1].id, runs[2], runs[0]])
        assert [row.run.id for row in comparison.rows] == [run.id for run in runs]
        assert comparison.paths == ("iterations",)
        assert comparison.metrics == ("loss",)
        assert [group.label for group in comparison.groups] == ["short", "long"]
        repeats = comparison.groups[0].summaries["loss"]
        assert (repeats.count, repeats.mean) == (2, pytest.approx(0.5))
        assert comparison.to_pandas()["result.loss"].tolist() == [0.4, 0.6, 0.1]

        wide, narrow = [
            (await client.runs.compare(runs, confidence=confidence)).groups[0].summaries["loss"]
            for confidence in (0.99, 0.5)
        ]
        assert wide.high is not None
        assert narrow.high is not None
        assert wide.high > narrow.high
        with pytest.raises(NotFoundError, match="there is no run"):
            await client.runs.compare([runs[0], "01990000-0000-7000-8000-000000000000"])


async def test_logs_are_followed_through_the_filter_of_the_orchestrator(database_url: str) -> None:
    async with serving(database_url) as api, client_of(api) as client:
        await api.define()
        run = await start(client)
        watch = run.logs(level="warn", text="loss", follow=True)
        taken: list[str] = []

        async def take() -> None:
            async for entry in watch:
                taken.append(entry.message)

        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(take())
            await api.record(run.id, log("loss 1", 20), log("loss 2", 30), log("gain", 40), log("loss 3", 40))
            async with asyncio.timeout(20):
                while len(taken) < 2:
                    await asyncio.sleep(0.01)
            await api.end(run.id, records.RunState.COMPLETED)
        assert taken == ["loss 2", "loss 3"]
        assert [entry.message async for entry in run.logs(level="warn", text="loss")] == taken
        assert [entry.message async for entry in run.logs(descending=True, limit=1)] == ["loss 3"]


async def test_runs_are_listed_by_state_and_label(database_url: str) -> None:
    async with serving(database_url) as api, client_of(api) as client:
        await api.define()
        instance = await client.instances.create("grid")
        runs = [await instance.start(labels={"sweep": "a", "n": str(n)}) for n in range(3)]
        await runs[0].cancel(wait=10)
        assert [run.id async for run in client.runs.list(states="cancelled")] == [runs[0].id]
        assert [run.id async for run in instance.runs(states=["pending", RunState.CANCELLED], labels={"n": "2"})] == [
            runs[2].id
        ]
        assert len(await client.runs.list(labels={"sweep": "a"}, states=RunState.PENDING).all()) == 2
        with pytest.raises(ValueError, match="there is no state 'done': it is pending, running, completed, failed or"):
            await client.runs.list(states="done").all()
