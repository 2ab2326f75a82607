"""A log in batches over the real orchestrator, on both databases: the same events, and the bytes that are stored."""

import re
from pathlib import Path
from typing import Any

from athanor.client import AsyncClient, Event, EventBatch, EventFilter, EventKind, LogLevel, RunUpdated
from athanor.v1 import run_service_pb2
from athanor_orchestrator.domain import records

from tests.support.api import Api, log, serving

DOCS = Path(__file__).resolve().parents[2] / "docs" / "reference"


async def a_long_run(api: Api, client: AsyncClient, count: int) -> str:
    await api.define()
    run = await client.runs.start((await client.instances.create("grid")).id)
    for begin in range(0, count, 1000):
        logs = (log(f"m{n}", 40 if n % 100 == 0 else 10) for n in range(begin, min(begin + 1000, count)))
        await api.record(run.id, *logs)
    await api.end(run.id, records.RunState.COMPLETED)
    return run.id


async def test_batches_have_the_events_of_the_watch_and_say_so_without_being_opened(database_url: str) -> None:
    async with serving(database_url) as api, AsyncClient(f"127.0.0.1:{api.orchestrator.port}") as client:
        id = await a_long_run(api, client, 6000)
        one_by_one = [item async for item in client.runs.watch(id) if isinstance(item, Event)]
        items = [item async for item in client.runs.watch_batches(id)]
        batches = [item for item in items if isinstance(item, EventBatch)]
        assert isinstance(items[0], RunUpdated)
        assert isinstance(items[-1], RunUpdated)
        assert len(batches) >= 3
        for batch in batches:
            said = run_service_pb2.RunEventBatch.FromString(batch.data)
            assert (said.first_sequence, said.last_sequence) == (batch.first_sequence, batch.last_sequence)
            assert said.event_count == len(batch) == len(said.events)
        assert [sequence for batch in batches for sequence in batch.sequences] == list(range(1, len(one_by_one) + 1))
        assert [event for batch in batches for event in batch] == one_by_one


async def test_batches_from_the_middle_and_with_a_filter(database_url: str) -> None:
    async with serving(database_url) as api, AsyncClient(f"127.0.0.1:{api.orchestrator.port}") as client:
        id = await a_long_run(api, client, 3000)

        async def sequences(**options: Any) -> list[int]:
            items = client.runs.watch_batches(id, **options)
            return [sequence async for item in items if isinstance(item, EventBatch) for sequence in item.sequences]

        assert await sequences(after_sequence=2900) == list(range(2901, 3003))
        errors = EventFilter(kinds=[EventKind.LOG], minimum_level=LogLevel.ERROR)
        assert await sequences(filter=errors) == list(range(2, 3002, 100))


async def test_the_page_about_the_interface_saves_a_log_and_reads_it_again(database_url: str, tmp_path: Path) -> None:
    [shown] = [
        text
        for text in re.findall(r"```python\n(.*?)```", (DOCS / "api.md").read_text(), re.DOTALL)
        if "save_log" in text
    ]
    names: dict[str, Any] = {}
    exec(compile(shown, "api.md", "exec"), names)
    async with serving(database_url) as api, AsyncClient(f"127.0.0.1:{api.orchestrator.port}") as client:
        id = await a_long_run(api, client, 3000)
        await names["save_log"](client, id, tmp_path / "log")
        events = await client.runs.events(id).all()
    assert list(names["saved_events"](tmp_path / "log")) == events
