"""Runs through a real server: started, listed, read, watched, cancelled, deleted. No runner takes part."""

import asyncio
import logging
import threading
from collections.abc import Callable, Sequence
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from athanor.v1 import instance_pb2, instance_service_pb2, run_event_pb2, run_pb2, run_policy_pb2, run_service_pb2
from athanor_orchestrator.domain.records import Policy, RunState
from athanor_orchestrator.engine import configuration
from athanor_orchestrator.engine.deletion import remove_some
from athanor_orchestrator.engine.runs import Order, Runs
from athanor_orchestrator.storage import deletion, runs
from athanor_orchestrator.storage.database import Database
from athanor_orchestrator.storage.transaction import Transaction
from google.protobuf.duration_pb2 import Duration
from grpc import StatusCode, aio

from tests.support.api import Api, log, refused, result, serving

R = run_service_pb2
LIFECYCLE, LOG, RESULT = R.RUN_EVENT_KIND_LIFECYCLE, R.RUN_EVENT_KIND_LOG, R.RUN_EVENT_KIND_RESULT


async def a_run(api: Api) -> run_pb2.Run:
    await api.define()
    return await api.start_run((await api.create_instance()).id)


async def log_of(api: Api, run_id: str, page_size: int = 0, **request: object) -> list[run_event_pb2.RunEvent]:
    """Every page of a listing of events."""
    found: list[run_event_pb2.RunEvent] = []
    token = ""
    while True:
        page = await api.runs.ListRunEvents(
            R.ListRunEventsRequest(run_id=run_id, page_size=page_size, page_token=token, **request)  # type: ignore[arg-type]
        )
        found += page.events
        token = page.next_page_token
        if not token:
            return found


def sequences(events: Sequence[run_event_pb2.RunEvent]) -> list[int]:
    return [event.sequence for event in events]


# Starting


async def test_a_new_run_is_pending_with_a_snapshot_its_policy_and_the_first_event(database_url: str) -> None:
    async with serving(database_url) as api:
        await api.define(default_policy=Policy(timeout=timedelta(hours=1), max_attempts=3))
        instance = await api.create_instance()
        request = R.StartRunRequest(
            instance_id=instance.id,
            policy=run_policy_pb2.RunPolicy(cancel_grace_period=Duration(seconds=2, nanos=500_000_000)),
            seed=2**64 - 1,
            labels={"paper": "1"},
        )
        run = (await api.runs.StartRun(request)).run
        assert (run.state, run.instance_id, run.experiment) == (RunState.PENDING, instance.id, "grid")
        assert run.configuration_json == instance.configuration_json
        assert run.policy == run_policy_pb2.RunPolicy(
            timeout=Duration(seconds=3600),
            cancel_grace_period=Duration(seconds=2, nanos=500_000_000),
            max_attempts=3,
            retry_backoff=Duration(seconds=5),
            lost_after=Duration(seconds=600),
        )
        assert run.seed == 2**64 - 1
        assert dict(run.labels) == {"paper": "1"}
        assert run.last_sequence == 1
        assert (await api.runs.GetRun(R.GetRunRequest(id=run.id))).run == run

        (event,) = await log_of(api, run.id)
        assert (event.sequence, event.attempt) == (1, 0)
        assert event.state_change.state == RunState.PENDING
        assert event.time == run.create_time


async def test_a_seed_is_drawn_when_none_is_given(database_url: str) -> None:
    async with serving(database_url) as api:
        first = await a_run(api)
        second = await api.start_run(first.instance_id)
        assert first.seed != second.seed
        assert max(first.seed, second.seed) < 2**32
        zero = await api.runs.StartRun(R.StartRunRequest(instance_id=first.instance_id, seed=0))
        assert zero.run.seed == 0


async def test_an_instance_that_no_longer_fits_its_experiment_is_not_started(database_url: str) -> None:
    async with serving(database_url) as api:
        await api.define()
        instance = await api.create_instance()
        await api.define(schema={"properties": {"iterations": {"maximum": 5}}})
        refusal = await refused(api.runs.StartRun(R.StartRunRequest(instance_id=instance.id)))
        assert (refusal.code, refusal.reason) == (StatusCode.INVALID_ARGUMENT, "CONFIGURATION_INVALID")
        assert refusal.violations == {"instance.configuration_json/iterations": "must be at most 5; is 10"}


async def test_a_definition_that_is_replaced_between_the_check_and_the_transaction_is_checked_again(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with serving(database_url) as api:
        await api.define()
        instance = await api.create_instance()

        async def check_then_replace(check: Callable[..., object], *arguments: object) -> None:
            check(*arguments)
            await api.define(schema={"properties": {"iterations": {"maximum": 5}}})

        threads = SimpleNamespace(to_thread=check_then_replace)
        monkeypatch.setattr("athanor_orchestrator.engine.runs.asyncio", threads)
        refusal = await refused(api.runs.StartRun(R.StartRunRequest(instance_id=instance.id)))
        assert refusal.violations == {"instance.configuration_json/iterations": "must be at most 5; is 10"}


async def test_a_caller_who_is_gone_before_the_first_check_leaves_no_fault_in_the_log(
    database_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with serving(database_url) as api:
        await api.define()
        instance = await api.create_instance()
        database = api.orchestrator.database
        go_on = threading.Event()
        held = asyncio.create_task(database.write(lambda tx: go_on.wait(10)))
        order = Order(instance_id=instance.id, policy=Policy(), seed=None, labels={})
        starting = asyncio.create_task(Runs(database).start(order, None, lambda run: b""))
        await asyncio.sleep(0.05)
        starting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await starting
        go_on.set()
        await held
        await database.write(lambda tx: None)
        assert [record.message for record in caplog.records if record.levelno >= logging.WARNING] == []


async def test_a_configuration_that_was_found_to_fit_is_not_checked_again_unless_something_of_it_changes(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with serving(database_url) as api:
        await api.define()
        instance = await api.create_instance()
        await api.runs.StartRun(R.StartRunRequest(instance_id=instance.id))
        reads = 0
        looked = 0
        read, require_fit = Database.read, configuration.require_fit

        async def counted_read(database: Database, *arguments: Any, **options: Any) -> Any:
            nonlocal reads
            reads += 1
            return await read(database, *arguments, **options)

        def counted_look(*arguments: Any) -> None:
            nonlocal looked
            looked += 1
            require_fit(*arguments)

        monkeypatch.setattr(Database, "read", counted_read)
        monkeypatch.setattr(configuration, "require_fit", counted_look)
        await api.runs.StartRun(R.StartRunRequest(instance_id=instance.id))
        assert (reads, looked) == (0, 0)
        await api.define(schema={"properties": {"iterations": {"maximum": 50}}})
        await api.runs.StartRun(R.StartRunRequest(instance_id=instance.id))
        assert looked == 1


async def test_a_repeated_start_makes_one_run_also_after_a_restart(database_url: str) -> None:
    async with serving(database_url) as api:
        await api.define()
        instance = await api.create_instance()
        request = R.StartRunRequest(instance_id=instance.id, request_id="start", labels={"b": "2", "a": "1"})
        answers = await asyncio.gather(*(api.runs.StartRun(request) for _ in range(20)))
        first = answers[0]
        assert all(answer == first for answer in answers)
        await api.end(first.run.id, RunState.COMPLETED)
    async with serving(database_url) as api:
        assert await api.runs.StartRun(request) == first
        assert len((await api.runs.ListRuns(R.ListRunsRequest())).runs) == 1
        request.seed = 5
        refusal = await refused(api.runs.StartRun(request))
        assert (refusal.code, refusal.reason) == (StatusCode.ALREADY_EXISTS, "REQUEST_ID_REUSED")


# Listing


async def test_runs_are_listed_newest_first_and_by_every_filter(database_url: str) -> None:
    async with serving(database_url) as api:
        await api.define()
        one, two = await api.create_instance(), await api.create_instance()
        a = await api.start_run(one.id, set="1")
        b = await api.start_run(one.id)
        c = await api.start_run(two.id, set="1")
        await api.end(b.id, RunState.FAILED)

        async def listed(**filters: object) -> list[str]:
            page = await api.runs.ListRuns(R.ListRunsRequest(**filters))  # type: ignore[arg-type]
            return [run.id for run in page.runs]

        assert await listed() == [c.id, b.id, a.id]
        assert await listed(instance_id=one.id) == [b.id, a.id]
        assert await listed(states=[RunState.PENDING]) == [c.id, a.id]
        assert await listed(states=[RunState.FAILED, RunState.COMPLETED]) == [b.id]
        assert await listed(labels={"set": "1"}, instance_id=one.id) == [a.id]
        assert await listed(experiment="grid", states=[RunState.CANCELLED]) == []

        first = await api.runs.ListRuns(R.ListRunsRequest(page_size=2))
        rest = await api.runs.ListRuns(R.ListRunsRequest(page_size=2, page_token=first.next_page_token))
        assert [run.id for run in (*first.runs, *rest.runs)] == [c.id, b.id, a.id]
        assert rest.next_page_token == ""


async def test_lists_leave_configurations_out_unless_they_are_asked_for(database_url: str) -> None:
    async with serving(database_url) as api:
        run = await a_run(api)
        (basic,) = (await api.runs.ListRuns(R.ListRunsRequest())).runs
        (full,) = (await api.runs.ListRuns(R.ListRunsRequest(view=R.RUN_VIEW_FULL))).runs
        assert full == run
        assert basic.configuration_json == ""
        run.ClearField("configuration_json")
        assert basic == run


async def test_a_page_of_large_runs_is_a_short_one(database_url: str) -> None:
    async with serving(database_url) as api:
        await api.define(schema={})
        instance = await api.create_instance(configuration='{"x": "' + "y" * 250_000 + '"}')
        made = [(await api.start_run(instance.id)).id for _ in range(9)]
        seen: list[str] = []
        token = ""
        while True:
            page = await api.runs.ListRuns(R.ListRunsRequest(view=R.RUN_VIEW_FULL, page_size=1000, page_token=token))
            assert page.ByteSize() < 1_300_000
            seen += [run.id for run in page.runs]
            token = page.next_page_token
            if not token:
                break
        assert seen == made[::-1]


# The log and the results


async def test_a_log_is_read_in_pages_forwards_and_backwards_from_any_position(database_url: str) -> None:
    async with serving(database_url) as api:
        run = await a_run(api)
        await api.record(run.id, *(log(f"line {n}") for n in range(2, 51)))
        everything = list(range(1, 51))
        assert sequences(await log_of(api, run.id)) == everything
        assert sequences(await log_of(api, run.id, page_size=7)) == everything
        assert sequences(await log_of(api, run.id, page_size=7, descending=True)) == everything[::-1]
        assert sequences(await log_of(api, run.id, page_size=7, after_sequence=30)) == everything[30:]
        assert (
            sequences(await log_of(api, run.id, page_size=7, after_sequence=30, descending=True))
            == (everything[:29:-1])
        )
        assert sequences(await log_of(api, run.id, after_sequence=50)) == []
        tail = await api.runs.ListRunEvents(R.ListRunEventsRequest(run_id=run.id, descending=True, page_size=3))
        assert [event.log.message for event in tail.events] == ["line 50", "line 49", "line 48"]


async def test_a_log_is_read_as_the_very_bytes_that_were_recorded(database_url: str) -> None:
    async with serving(database_url) as api:
        run = await a_run(api)
        event = log("x")
        event.MergeFromString(b"\xf8\x3f\x07")  # a field of a newer version
        await api.record(run.id, event)
        (_, read) = await log_of(api, run.id)
        assert read.SerializeToString() == event.SerializeToString()
        assert b"\xf8\x3f\x07" in read.SerializeToString()


async def test_filters_of_a_log_select_by_kind_level_key_text_and_attempt(database_url: str) -> None:
    async with serving(database_url) as api:
        run = await a_run(api)
        await api.record(
            run.id,
            log("starting the Fit", run_event_pb2.LOG_LEVEL_DEBUG),  # 2
            log("fit done", run_event_pb2.LOG_LEVEL_WARN),  # 3
            result("score", 1),  # 4
            result("loss", 2),  # 5
            log("oops", run_event_pb2.LOG_LEVEL_ERROR),  # 6
        )

        async def selected(**filter: object) -> list[int]:
            return sequences(await log_of(api, run.id, 2, filter=R.RunEventFilter(**filter)))  # type: ignore[arg-type]

        assert await selected() == [1, 2, 3, 4, 5, 6]
        assert await selected(kinds=[LOG]) == [2, 3, 6]
        assert await selected(kinds=[LIFECYCLE, RESULT]) == [1, 4, 5]
        assert await selected(kinds=[LOG], minimum_level=30) == [3, 6]
        assert await selected(minimum_level=30) == [1, 3, 4, 5, 6]
        assert await selected(kinds=[RESULT], result_key="loss") == [5]
        assert await selected(kinds=[LOG], text="fit") == [3]
        assert await selected(kinds=[LOG], text="F") == [2]
        assert await selected(text="oops") == [1, 4, 5, 6]
        assert await selected(attempt=1) == [2, 3, 4, 5, 6]
        assert await selected(attempt=2) == []


async def test_pages_of_a_log_are_cut_at_about_a_megabyte(database_url: str) -> None:
    async with serving(database_url) as api:
        run = await a_run(api)
        for _ in range(4):
            await api.record(run.id, *(log("x" * 100_000) for _ in range(10)))
        page = await api.runs.ListRunEvents(R.ListRunEventsRequest(run_id=run.id, page_size=10_000))
        assert 5 <= len(page.events) <= 13
        assert sequences(await log_of(api, run.id, 10_000)) == list(range(1, 42))
        assert sequences(await log_of(api, run.id, 10_000, descending=True)) == list(range(41, 0, -1))


async def test_a_search_for_text_goes_through_a_long_log_in_bounded_steps(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("athanor_orchestrator.engine.run_log.SEARCHED_BYTES", 20_000)
    monkeypatch.setattr("athanor_orchestrator.engine.run_log._SEARCHED_ROWS", 10)
    async with serving(database_url) as api:
        run = await a_run(api)
        await api.record(run.id, *(log("needle" if n in (150, 290) else "h" * 400) for n in range(2, 301)))
        filter = R.RunEventFilter(kinds=[LOG], text="needle")
        first = await api.runs.ListRunEvents(R.ListRunEventsRequest(run_id=run.id, filter=filter))
        assert not first.events
        assert first.next_page_token
        assert sequences(await log_of(api, run.id, 1, filter=filter)) == [150, 290]
        assert sequences(await log_of(api, run.id, 5, filter=filter, descending=True)) == [290, 150]


async def test_results_are_read_in_order_by_key_and_in_pages(database_url: str) -> None:
    async with serving(database_url) as api:
        run = await a_run(api)
        await api.record(run.id, *(result(f"trial_{n % 2}", {"n": n}) for n in range(10)))

        async def listed(**request: object) -> list[str]:
            values: list[str] = []
            token = ""
            while True:
                page = await api.runs.ListResults(
                    R.ListResultsRequest(run_id=run.id, page_token=token, **request)  # type: ignore[arg-type]
                )
                values += [each.result.value_json for each in page.results]
                token = page.next_page_token
                if not token:
                    return values

        assert await listed() == [f'{{"n": {n}}}' for n in range(10)]
        assert await listed(page_size=3) == [f'{{"n": {n}}}' for n in range(10)]
        assert await listed(key="trial_1", page_size=2) == [f'{{"n": {n}}}' for n in (1, 3, 5, 7, 9)]
        assert await listed(key="none") == []
        page = await api.runs.ListResults(R.ListResultsRequest(run_id=run.id, page_size=1))
        (first,) = page.results
        assert (first.sequence, first.attempt, first.superseded, first.result.key) == (2, 1, False, "trial_0")


# Cancelling and deleting


async def test_values_that_the_database_refused_count_for_the_size_of_a_page_too(database_url: str) -> None:
    value = f'"\0{"x" * 600_000}"'  # with a NUL, as only a broken runner would send it
    async with serving(database_url) as api:
        await api.define()
        run = await api.start_run((await api.create_instance()).id)
        broken = run_event_pb2.Result(key="k", value_json=value)
        await api.record(run.id, *(run_event_pb2.RunEvent(result=broken) for _ in range(8)))
        found, token = 0, ""
        while token or not found:
            page = await api.runs.ListResults(R.ListResultsRequest(run_id=run.id, page_token=token))
            assert 0 < len(page.results) <= 2
            assert all(each.result.value_json == value for each in page.results)
            found, token = found + len(page.results), page.next_page_token
        assert found == 8


async def test_cancelling_a_run_that_nobody_holds_ends_it_at_once(database_url: str) -> None:
    async with serving(database_url) as api:
        run = await a_run(api)
        cancelled = (await api.runs.CancelRun(R.CancelRunRequest(id=run.id, reason="enough"))).run
        assert (cancelled.state, cancelled.cancel_reason) == (RunState.CANCELLED, "enough")
        assert cancelled.cancel_request_time == cancelled.end_time
        assert cancelled.last_sequence == 2
        again = (await api.runs.CancelRun(R.CancelRunRequest(id=run.id, reason="again"))).run
        assert again == cancelled
        events = await log_of(api, run.id)
        assert [event.state_change.state for event in events] == [RunState.PENDING, RunState.CANCELLED]
        assert events[-1].state_change.reason == "CancelRun: enough"


async def test_of_many_who_cancel_one_writes_the_end(database_url: str) -> None:
    async with serving(database_url) as api:
        run = await a_run(api)
        calls = (api.runs.CancelRun(R.CancelRunRequest(id=run.id, reason=str(n))) for n in range(20))
        answers = await asyncio.gather(*calls)
        assert len({answer.run.cancel_reason for answer in answers}) == 1
        assert sequences(await log_of(api, run.id)) == [1, 2]


async def test_a_deleted_run_is_gone_at_once_and_from_the_disk_in_steps(database_url: str) -> None:
    async with serving(database_url) as api:
        run = await a_run(api)
        await api.record(run.id, *(log("x") for _ in range(1000)), *(result("k", n) for n in range(100)))
        await api.end(run.id, RunState.COMPLETED)
        await api.runs.DeleteRun(R.DeleteRunRequest(id=run.id))
        assert (await refused(api.runs.GetRun(R.GetRunRequest(id=run.id)))).code is StatusCode.NOT_FOUND
        assert (await refused(api.runs.DeleteRun(R.DeleteRunRequest(id=run.id)))).reason == "NOT_FOUND"
        await api.runs.DeleteRun(R.DeleteRunRequest(id=run.id, allow_missing=True))
        async with asyncio.timeout(10):
            while await api.orchestrator.database.read(lambda tx: deletion.hidden_runs(tx, 10)):
                await asyncio.sleep(0.01)


async def test_what_was_hidden_when_an_orchestrator_stopped_the_next_one_removes(database_url: str) -> None:
    async with serving(database_url) as api:
        run = await a_run(api)
        await api.end(run.id, RunState.COMPLETED)
        await api.runs.DeleteRun(R.DeleteRunRequest(id=run.id))
    async with serving(database_url) as api, asyncio.timeout(10):
        while await api.orchestrator.database.read(lambda tx: deletion.hidden_runs(tx, 10)):
            await asyncio.sleep(0.01)


async def test_one_step_of_a_deletion_removes_no_more_than_it_may(database_url: str) -> None:
    async with serving(database_url) as api:
        run = await a_run(api)
        await api.record(run.id, *(result("k", n) for n in range(30)))
        await api.end(run.id, RunState.COMPLETED)

        def steps(tx: Transaction) -> int:
            runs.hide_run(tx, run.id)
            count = 0
            while remove_some(tx, 10):
                count += 1
            return count

        # 32 events and 30 results, ten at a time, and the run itself with the last of them.
        assert await api.orchestrator.database.write(steps) == 7


# Watching


async def test_a_watch_replays_follows_and_ends_with_the_run(database_url: str) -> None:
    async with serving(database_url) as api:
        run = await a_run(api)
        await api.record(run.id, *(log(str(n)) for n in range(2, 11)))
        items = api.runs.WatchRun(R.WatchRunRequest(id=run.id, after_sequence=3))
        seen: list[int] = []
        states: list[int] = []
        async for item in items:
            if item.HasField("run"):
                states.append(item.run.state)
            if item.HasField("batch"):
                seen += sequences(item.batch.events)
            if seen and seen[-1] == 10 and len(states) == 1:
                await api.record(run.id, log("live"))
                await api.runs.CancelRun(R.CancelRunRequest(id=run.id))
        assert seen == list(range(4, 13))
        assert (states[0], states[-1]) == (RunState.PENDING, RunState.CANCELLED)


async def test_a_watch_sends_stored_bytes_and_only_what_the_filter_selects(database_url: str) -> None:
    async with serving(database_url) as api:
        run = await a_run(api)
        event = log("x")
        event.MergeFromString(b"\xf8\x3f\x07")
        await api.record(run.id, event, result("k", 1), log("y"))
        await api.runs.CancelRun(R.CancelRunRequest(id=run.id))
        filter = R.RunEventFilter(kinds=[LOG])
        got = [
            each
            async for item in api.runs.WatchRun(R.WatchRunRequest(id=run.id, filter=filter))
            for each in item.batch.events
        ]
        assert sequences(got) == [2, 4]
        assert got[0].SerializeToString() == event.SerializeToString()


async def test_a_watch_of_a_run_that_is_deleted_meanwhile_ends_with_not_found(database_url: str) -> None:
    async with serving(database_url) as api:
        run = await a_run(api)
        items = api.runs.WatchRun(R.WatchRunRequest(id=run.id))
        await items.read()

        def hide(tx: Transaction) -> None:
            runs.hide_run(tx, run.id)
            tx.wake(f"run:{run.id}")

        await api.orchestrator.database.write(hide)
        refusal = await refused(items)
        assert (refusal.code, refusal.reason) == (StatusCode.NOT_FOUND, "NOT_FOUND")


async def test_the_server_counts_the_watches_that_are_open_and_were_opened(
    database_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "athanor_orchestrator")
    async with serving(database_url) as api:
        run = await a_run(api)
        watches = api.orchestrator.watches
        one, two = (api.runs.WatchRun(R.WatchRunRequest(id=run.id)) for _ in range(2))
        await one.read()
        await two.read()
        assert (watches.open, watches.opened) == (2, 2)
        assert f"watch opened: run {run.id} after 0; 2 open, 2 so far" in caplog.text
        one.cancel()
        async with asyncio.timeout(10):
            while watches.open != 1:
                await asyncio.sleep(0.01)
        await api.runs.CancelRun(R.CancelRunRequest(id=run.id))
        while await two.read() is not aio.EOF:
            pass
        async with asyncio.timeout(10):
            while watches.open:
                await asyncio.sleep(0.01)
        assert (watches.open, watches.opened) == (0, 2)


async def test_a_stop_ends_open_watches_at_once_and_says_to_come_back(database_url: str) -> None:
    async with serving(database_url, stop_grace=30) as api:
        run = await a_run(api)
        items = api.runs.WatchRun(R.WatchRunRequest(id=run.id))
        await items.read()
        stopping = asyncio.create_task(api.orchestrator.stop())
        async with asyncio.timeout(10):
            refusal = await refused(items)
            await stopping
        assert refusal.code is StatusCode.UNAVAILABLE
        assert "the orchestrator is stopping" in refusal.message


async def test_instances_are_shown_with_their_newest_run(database_url: str) -> None:
    async with serving(database_url) as api:
        run = await a_run(api)
        newest = await api.start_run(run.instance_id)
        await api.end(run.id, RunState.FAILED)
        shown = await instance_of(api, run.instance_id)
        assert (shown.run_count, shown.last_run_state, shown.last_run_time) == (2, 1, newest.create_time)
        await api.end(newest.id, RunState.COMPLETED)
        await api.runs.DeleteRun(R.DeleteRunRequest(id=newest.id))
        shown = await instance_of(api, run.instance_id)
        assert (shown.run_count, shown.last_run_state) == (1, RunState.FAILED)


async def instance_of(api: Api, instance_id: str) -> instance_pb2.Instance:
    answer = await api.instances.GetInstance(instance_service_pb2.GetInstanceRequest(id=instance_id))
    return answer.instance
