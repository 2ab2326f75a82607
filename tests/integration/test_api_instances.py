"""Experiments and instances through a real server: what is stored, what is listed, who may change what."""

import asyncio
import json

import pytest
from athanor.v1 import experiment_service_pb2, instance_pb2, instance_service_pb2, run_service_pb2
from athanor_orchestrator.domain.records import DiscoveryError, Policy, Runner, RunState
from athanor_orchestrator.storage import experiments, runners
from athanor_orchestrator.storage.transaction import Transaction
from google.protobuf.field_mask_pb2 import FieldMask
from grpc import StatusCode

from tests.support.api import GRID, Api, refused, serving

E, I, R = experiment_service_pb2, instance_service_pb2, run_service_pb2  # noqa: E741


async def listed(api: Api, page_size: int = 0, **filters: object) -> list[str]:
    """The ids of every page of a listing of instances."""
    ids: list[str] = []
    token = ""
    while True:
        request = I.ListInstancesRequest(page_size=page_size, page_token=token, **filters)  # type: ignore[arg-type]
        page = await api.instances.ListInstances(request)
        ids += [instance.id for instance in page.instances]
        token = page.next_page_token
        if not token:
            return ids


async def test_an_instance_is_stored_with_its_defaults_and_read_back(database_url: str) -> None:
    async with serving(database_url) as api:
        await api.define()
        text = '{"temperature": 0.70, "model_pairs": [{"model_a": "x"}, {"model_a": "y", "model_b": "z"}]}'
        created = await api.create_instance(name="Ünïcode 漢字", configuration=text, paper="figure-3")
        assert created.configuration_json == (
            '{"temperature":0.70,"model_pairs":[{"model_a":"x","model_b":"b"},{"model_a":"y","model_b":"z"}],'
            '"iterations":10}'
        )
        assert created.id
        assert created.etag
        assert created.create_time == created.update_time
        assert (created.run_count, created.last_run_state) == (0, 0)
        assert dict(created.labels) == {"paper": "figure-3"}

        read = (await api.instances.GetInstance(I.GetInstanceRequest(id=created.id))).instance
        assert read == created


async def test_a_later_change_of_defaults_reaches_no_instance_and_a_run_keeps_what_it_started_with(
    database_url: str,
) -> None:
    async with serving(database_url) as api:
        await api.define()
        old = await api.create_instance()
        run = await api.start_run(old.id)
        await api.define(schema={"properties": {"iterations": {"default": 99}}})
        assert (await api.instances.GetInstance(I.GetInstanceRequest(id=old.id))).instance == old.__class__(
            **{**fields_of(old), "run_count": 1, "last_run_state": 1, "last_run_time": run.create_time}
        )
        changed = await update(api, old.id, ("configuration_json",), configuration_json="{}")
        assert json.loads(changed.configuration_json) == {"iterations": 99}
        kept = (await api.runs.GetRun(R.GetRunRequest(id=run.id))).run
        assert kept.configuration_json == old.configuration_json


def fields_of(instance: instance_pb2.Instance) -> dict[str, object]:
    return {field.name: value for field, value in instance.ListFields()}


async def update(
    api: Api, instance_id: str, mask: tuple[str, ...], etag: str = "", **fields: object
) -> instance_pb2.Instance:
    request = I.UpdateInstanceRequest(
        instance=instance_pb2.Instance(id=instance_id, etag=etag, **fields),  # type: ignore[arg-type]
        update_mask=FieldMask(paths=mask),
    )
    return (await api.instances.UpdateInstance(request)).instance


async def test_only_the_fields_of_the_mask_are_taken(database_url: str) -> None:
    async with serving(database_url) as api:
        await api.define()
        before = await api.create_instance(name="before", a="1")
        after = await update(api, before.id, ("description",), name="ignored", description="said", labels={"b": "2"})
        assert (after.name, after.description, dict(after.labels)) == ("before", "said", {"a": "1"})
        after = await update(api, before.id, ("name", "labels"), name="after", labels={"b": "2"})
        assert (after.name, after.description, dict(after.labels)) == ("after", "said", {"b": "2"})
        after = await update(api, before.id, ("labels", "description"))
        assert (after.name, after.description, dict(after.labels)) == ("after", "", {})
        assert await listed(api, labels={"a": "1"}) == []


async def test_of_two_who_change_what_they_read_one_is_told_to_read_again(database_url: str) -> None:
    async with serving(database_url) as api:
        await api.define()
        instance = await api.create_instance()
        calls = [update(api, instance.id, ("name",), instance.etag, name=f"by {n}") for n in range(8)]
        done = await asyncio.gather(*calls, return_exceptions=True)
        won = [each for each in done if not isinstance(each, BaseException)]
        assert len(won) == 1
        lost = [await refused(raising(each)) for each in done if isinstance(each, BaseException)]
        assert {each.reason for each in lost} == {"ETAG_MISMATCH"}
        assert {each.metadata["etag"] for each in lost} == {won[0].etag}
        read = (await api.instances.GetInstance(I.GetInstanceRequest(id=instance.id))).instance
        assert read == won[0]


async def raising(error: BaseException) -> None:
    raise error


async def test_the_end_of_a_run_does_not_change_the_etag(database_url: str) -> None:
    async with serving(database_url) as api:
        await api.define()
        instance = await api.create_instance()
        run = await api.start_run(instance.id)
        await api.end(run.id, RunState.COMPLETED)
        read = (await api.instances.GetInstance(I.GetInstanceRequest(id=instance.id))).instance
        assert read.etag == instance.etag
        assert (read.run_count, read.last_run_state) == (1, RunState.COMPLETED)


async def test_pages_go_from_the_newest_to_the_oldest_once_each_whatever_is_added_meanwhile(database_url: str) -> None:
    async with serving(database_url) as api:
        await api.define()
        made = [(await api.create_instance(name=str(n))).id for n in range(23)]
        first = await api.instances.ListInstances(I.ListInstancesRequest(page_size=10))
        await api.create_instance(name="newer")
        second = await api.instances.ListInstances(
            I.ListInstancesRequest(page_size=5, page_token=first.next_page_token)
        )
        assert [i.id for i in (*first.instances, *second.instances)] == made[::-1][:15]
        assert len(await listed(api, page_size=7)) == 24


async def test_filters_select_by_experiment_and_by_all_labels(database_url: str) -> None:
    async with serving(database_url) as api:
        await api.define()
        await api.define("other", {})
        plain = await api.create_instance()
        a = await api.create_instance(a="1")
        ab = await api.create_instance(a="1", b="2")
        other = await api.create_instance(experiment="other", a="1")
        assert await listed(api) == [other.id, ab.id, a.id, plain.id]
        assert await listed(api, experiment="grid") == [ab.id, a.id, plain.id]
        assert await listed(api, labels={"a": "1"}) == [other.id, ab.id, a.id]
        assert await listed(api, labels={"b": "2", "a": "1"}) == [ab.id]
        assert await listed(api, labels={"a": "2"}) == []
        assert await listed(api, labels={'a": "1': "'"}) == []
        assert await listed(api, experiment="nobody's") == []


async def test_a_page_of_large_configurations_is_a_short_one(database_url: str) -> None:
    async with serving(database_url) as api:
        await api.define(schema={})
        text = json.dumps({"x": "y" * 200_000})
        made = {(await api.create_instance(configuration=text)).id for _ in range(12)}
        page = await api.instances.ListInstances(I.ListInstancesRequest(page_size=1000))
        assert 3 <= len(page.instances) <= 6
        assert page.ByteSize() < 1_300_000
        assert set(await listed(api, page_size=1000)) == made


async def test_a_page_of_large_labels_is_a_short_one(database_url: str) -> None:
    labels = {f"{n:02}{'😀' * 198}": "v" for n in range(64)}  # about 50 kB, nearly all of it keys
    async with serving(database_url) as api:
        await api.define()
        instances = [await api.create_instance(**labels) for _ in range(30)]
        for instance in instances:
            await api.start_run(instance.id, **labels)
        instance_page = await api.instances.ListInstances(I.ListInstancesRequest())
        run_page = await api.runs.ListRuns(R.ListRunsRequest())
        for page in (instance_page, run_page):
            assert page.next_page_token
            assert page.ByteSize() < 1.2 * 1024**2
        assert len(await listed(api)) == 30


async def test_deleting_an_instance_takes_its_runs_out_of_every_answer_at_once(database_url: str) -> None:
    async with serving(database_url) as api:
        await api.define()
        instance = await api.create_instance()
        other = await api.create_instance()
        run = await api.start_run(instance.id)
        await api.end(run.id, RunState.COMPLETED)
        await api.instances.DeleteInstance(I.DeleteInstanceRequest(id=instance.id, etag=instance.etag))
        for call in (
            api.instances.GetInstance(I.GetInstanceRequest(id=instance.id)),
            api.instances.DeleteInstance(I.DeleteInstanceRequest(id=instance.id)),
            api.runs.StartRun(R.StartRunRequest(instance_id=instance.id)),
            api.runs.GetRun(R.GetRunRequest(id=run.id)),
            api.runs.ListRunEvents(R.ListRunEventsRequest(run_id=run.id)),
            api.runs.WatchRun(R.WatchRunRequest(id=run.id)),
        ):
            assert (await refused(call)).code is StatusCode.NOT_FOUND
        assert await listed(api) == [other.id]
        assert not (await api.runs.ListRuns(R.ListRunsRequest())).runs


async def test_a_repeated_call_makes_one_instance_and_gets_one_answer(database_url: str) -> None:
    draft = instance_pb2.Instance(experiment="grid", name="once", labels={"a": "1", "b": "2"})
    request = I.CreateInstanceRequest(instance=draft, request_id="x" * 64)
    async with serving(database_url) as api:
        await api.define()
        answers = await asyncio.gather(*(api.instances.CreateInstance(request) for _ in range(20)))
        first = answers[0]
        assert all(answer == first for answer in answers)

        # Repeated after all that could have changed has changed, it is answered as it was.
        await update(api, first.instance.id, ("name",), name="renamed")
        await api.define(schema={"properties": {"iterations": {"minimum": 1000}}})
        assert await api.instances.CreateInstance(request) == first
        await api.instances.DeleteInstance(I.DeleteInstanceRequest(id=first.instance.id))
        assert await api.instances.CreateInstance(request) == first

        other = I.CreateInstanceRequest(instance=draft, request_id="x" * 64)
        other.instance.description = "another body"
        refusal = await refused(api.instances.CreateInstance(other))
        assert (refusal.code, refusal.reason) == (StatusCode.ALREADY_EXISTS, "REQUEST_ID_REUSED")
        assert await listed(api) == []

    async with serving(database_url) as api:
        assert await api.instances.CreateInstance(request) == first


async def test_a_call_that_was_refused_may_be_repeated_with_its_request_id(database_url: str) -> None:
    request = I.CreateInstanceRequest(instance=instance_pb2.Instance(experiment="late", name="n"), request_id="r")
    async with serving(database_url) as api:
        assert (await refused(api.instances.CreateInstance(request))).code is StatusCode.NOT_FOUND
        await api.define("late", {})
        assert (await api.instances.CreateInstance(request)).instance.id


async def test_experiments_are_listed_by_name_and_shown_as_they_were_reported(database_url: str) -> None:
    async with serving(database_url) as api:
        await api.define("b", GRID, description="second", default_policy=Policy(max_attempts=3))
        await api.define("a", {}, title="First")
        page = await api.experiments.ListExperiments(E.ListExperimentsRequest(page_size=1))
        assert [experiment.name for experiment in page.experiments] == ["a"]
        page = await api.experiments.ListExperiments(E.ListExperimentsRequest(page_token=page.next_page_token))
        assert [experiment.name for experiment in page.experiments] == ["b"]
        assert page.next_page_token == ""

        b = (await api.experiments.GetExperiment(E.GetExperimentRequest(name="b"))).experiment
        assert (b.title, b.description, b.available_runner_count) == ("b", "second", 0)
        assert json.loads(b.configuration_schema_json) == GRID
        assert b.default_policy.max_attempts == 3
        assert not b.default_policy.HasField("timeout")
        assert b.create_time.seconds > 0


async def test_modules_that_could_not_be_loaded_stand_on_the_first_page(database_url: str) -> None:
    def report(tx: Transaction) -> None:
        runners.upsert_runner(tx, Runner(id="r", connected=True, session_number=1))
        experiments.put_discovery_error(tx, "r", DiscoveryError(module="broken", error="Traceback", runner_id="r"))

    async with serving(database_url) as api:
        await api.orchestrator.database.write(report)
        await api.define("a", {})
        await api.define("b", {})
        first = await api.experiments.ListExperiments(E.ListExperimentsRequest(page_size=1))
        assert [(e.runner_id, e.module, e.error) for e in first.discovery_errors] == [("r", "broken", "Traceback")]
        second = await api.experiments.ListExperiments(E.ListExperimentsRequest(page_token=first.next_page_token))
        assert not second.discovery_errors


@pytest.mark.parametrize(
    ("text", "stored"),
    [("", '{"iterations":10,"temperature":0.7,"model_pairs":[{"model_a":"a","model_b":"b"}]}'), ('{"x": 1}', "")],
)
async def test_validating_stores_nothing(database_url: str, text: str, stored: str) -> None:
    async with serving(database_url) as api:
        await api.define()
        answer = await api.experiments.ValidateConfiguration(
            E.ValidateConfigurationRequest(experiment="grid", configuration_json=text)
        )
        assert answer.configuration_json == stored
        assert bool(answer.violations) is (stored == "")
        assert await listed(api) == []


async def test_an_experiment_with_a_broken_schema_harms_nobody_else(database_url: str) -> None:
    async with serving(database_url) as api:
        await api.define("broken", '{"type": "nonsense"}')
        await api.define()
        request = I.CreateInstanceRequest(instance=instance_pb2.Instance(experiment="broken", name="n"))
        refusal = await refused(api.instances.CreateInstance(request))
        assert (refusal.code, refusal.reason) == (StatusCode.INVALID_ARGUMENT, "CONFIGURATION_INVALID")
        assert "the schema of experiment 'broken' is broken" in refusal.message
        assert await api.create_instance()
