"""What bad input gets: each case with its own code, field, text and reason, over a real server on both databases."""

import shutil
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import pytest_asyncio
from athanor.v1 import (
    experiment_service_pb2,
    instance_pb2,
    instance_service_pb2,
    run_policy_pb2,
    run_service_pb2,
    runner_service_pb2,
)
from athanor_orchestrator.domain.records import RunState
from google.protobuf.duration_pb2 import Duration
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.message import Message
from grpc import StatusCode

from tests.support.api import Api, refused, serving
from tests.support.databases import BACKENDS, PostgresqlStock, sqlite_url

E, I, R, N = experiment_service_pb2, instance_service_pb2, run_service_pb2, runner_service_pb2  # noqa: E741

MISSING = "01a1fada-75e7-752e-956e-19d0a9a6ab21"  # the same in every process that collects the tests
NOT_AN_ID = "is not an id (a UUID in lower case, with hyphens); is 'x'"
PAGE_TOKEN = "is not of this listing with these filters; start again without it"
BAD, GONE, WRONG = StatusCode.INVALID_ARGUMENT, StatusCode.NOT_FOUND, StatusCode.FAILED_PRECONDITION


@dataclass
class World:
    """What stands before a case: nothing in the table changes it."""

    api: Api
    instance: instance_pb2.Instance
    live: str  # a run that waits for a runner
    ended: dict[RunState, str]  # runs by how they ended
    token: str  # of a page of instances, without filters


@pytest.fixture(scope="module", params=BACKENDS)
def url(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """One database for the whole table, because no case leaves anything behind."""
    if request.param == "sqlite":
        path = tmp_path_factory.mktemp("table") / "athanor.db"
        shutil.copy(request.getfixturevalue("sqlite_template"), path)
        yield sqlite_url(path)
        return
    stock: PostgresqlStock = request.getfixturevalue("postgresql_stock")
    name = stock.take()
    yield stock.server.url(name)
    stock.give_back(name)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(url: str) -> AsyncIterator[World]:
    async with serving(url) as api:
        await api.define()
        instance = await api.create_instance()
        second = await api.create_instance()
        ended: dict[RunState, str] = {}
        for state in (RunState.COMPLETED, RunState.FAILED, RunState.CANCELLED):
            ended[state] = (await api.start_run(second.id)).id
            await api.end(ended[state], state)
        live = await api.start_run(instance.id)
        used = I.CreateInstanceRequest(
            instance=instance_pb2.Instance(experiment="grid", name="made once"), request_id="used"
        )
        await api.instances.CreateInstance(used)
        page = await api.instances.ListInstances(I.ListInstancesRequest(page_size=1))
        yield World(api, instance, live.id, ended, page.next_page_token)


@dataclass(frozen=True)
class Case:
    """One call that is refused."""

    method: str
    request: Callable[[World], Message]
    code: StatusCode
    field: str | None  # the one field that is named; None: no BadRequest
    text: str  # of the violation, or else of the status
    reason: str
    metadata: Callable[[World], dict[str, str]] = lambda world: {}


def bad(method: str, request: Message | Callable[[World], Message], field: str, text: str) -> Case:
    return Case(method, fixed(request), BAD, field, text, "INVALID_FIELD")


def fixed(request: Message | Callable[[World], Message]) -> Callable[[World], Message]:
    return (lambda world: request) if isinstance(request, Message) else request


def missing(method: str, request: Message, resource: str, id: str = MISSING) -> Case:
    metadata = {"resource": resource, "id": id}
    return Case(method, fixed(request), GONE, None, f"there is no {resource} {id!r}", "NOT_FOUND", lambda _: metadata)


def create(**fields: Any) -> Message:
    return I.CreateInstanceRequest(instance=instance_pb2.Instance(**{"experiment": "grid", "name": "n", **fields}))


def update(mask: tuple[str, ...], **fields: Any) -> Callable[[World], Message]:
    return lambda world: I.UpdateInstanceRequest(
        instance=instance_pb2.Instance(**{"id": world.instance.id, **fields}), update_mask=FieldMask(paths=mask)
    )


def start(**policy: Any) -> Callable[[World], Message]:
    return lambda world: R.StartRunRequest(instance_id=world.instance.id, policy=run_policy_pb2.RunPolicy(**policy))


def configuration(text: str, field: str, said: str) -> Case:
    return bad("CreateInstance", create(configuration_json=text), f"instance.configuration_json{field}", said)


def misfit(text: str, pointer: str, said: str) -> Case:
    field = f"instance.configuration_json{pointer}"
    metadata = {"experiment": "grid"}
    request = fixed(create(configuration_json=text))
    return Case("CreateInstance", request, BAD, field, said, "CONFIGURATION_INVALID", lambda _: metadata)


UNKNOWN = [
    missing("GetExperiment", E.GetExperimentRequest(name="none"), "experiment", "none"),
    missing("ValidateConfiguration", E.ValidateConfigurationRequest(experiment="none"), "experiment", "none"),
    missing("CreateInstance", create(experiment="none"), "experiment", "none"),
    missing("GetInstance", I.GetInstanceRequest(id=MISSING), "instance"),
    missing(
        "UpdateInstance",
        I.UpdateInstanceRequest(
            instance=instance_pb2.Instance(id=MISSING, name="n"), update_mask=FieldMask(paths=["name"])
        ),
        "instance",
    ),
    missing(
        "UpdateInstance",
        I.UpdateInstanceRequest(
            instance=instance_pb2.Instance(id=MISSING), update_mask=FieldMask(paths=["configuration_json"])
        ),
        "instance",
    ),
    missing("DeleteInstance", I.DeleteInstanceRequest(id=MISSING), "instance"),
    missing("StartRun", R.StartRunRequest(instance_id=MISSING), "instance"),
    missing("GetRun", R.GetRunRequest(id=MISSING), "run"),
    missing("CancelRun", R.CancelRunRequest(id=MISSING), "run"),
    missing("DeleteRun", R.DeleteRunRequest(id=MISSING), "run"),
    missing("VerifyRun", R.VerifyRunRequest(id=MISSING), "run"),
    missing("ListRunEvents", R.ListRunEventsRequest(run_id=MISSING), "run"),
    missing("ListResults", R.ListResultsRequest(run_id=MISSING), "run"),
    missing("WatchRun", R.WatchRunRequest(id=MISSING), "run"),
    missing("GetRunner", N.GetRunnerRequest(id=MISSING), "runner"),
    missing("DrainRunner", N.DrainRunnerRequest(id=MISSING), "runner"),
    missing("UndrainRunner", N.UndrainRunnerRequest(id=MISSING), "runner"),
    missing("ForgetRunner", N.ForgetRunnerRequest(id=MISSING), "runner"),
]

CONFIGURATIONS = [
    misfit('{"iterations": 0}', "/iterations", "must be at least 1; is 0"),
    misfit('{"temperature": 0.75}', "/temperature", "must be a multiple of 0.1; is 0.75"),
    misfit('{"unheard of": 1}', "/unheard of", "is not a field of this configuration"),
    misfit('{"model_pairs": [{}]}', "/model_pairs/0/model_a", "is required"),
    misfit('{"model_pairs": [{"model_a": 5}]}', "/model_pairs/0/model_a", "must be string; is number"),
    configuration("{", "", "is not JSON: Expecting property name enclosed in double quotes at line 1, column 2"),
    configuration("[]", "", "must be a JSON object"),
    configuration('{"a": NaN}', "", "is not JSON that can be kept: NaN is not a JSON number"),
    configuration('{"a": 1, "a": 2}', "", "is not JSON that can be kept: the key 'a' stands twice in one object"),
    configuration(r'{"a": "\u0000"}', "/a", "contains NUL (\\u0000), which is not text"),
    configuration(r'{"a": ["\ud800"]}', "/a/0", "contains a lone surrogate (\\ud800), which is not text"),
    configuration('{"a":' * 65 + "1" + "}" * 65, "/a" * 64, "is nested deeper than 64"),
    configuration('{"a": "' + "x" * 262_140 + '"}', "", "is 262149 bytes; at most 262144 are kept"),
    bad("UpdateInstance", update(("configuration_json",), configuration_json="{"), "instance.configuration_json",
        "is not JSON: Expecting property name enclosed in double quotes at line 1, column 2"),
]  # fmt: skip

IDS = [
    bad("GetInstance", I.GetInstanceRequest(id="x"), "id", NOT_AN_ID),
    bad("GetInstance", I.GetInstanceRequest(), "id", "is required"),
    bad("UpdateInstance", update(("name",), id="x", name="n"), "instance.id", NOT_AN_ID),
    bad("DeleteInstance", I.DeleteInstanceRequest(id="x"), "id", NOT_AN_ID),
    bad("StartRun", R.StartRunRequest(instance_id="x"), "instance_id", NOT_AN_ID),
    bad("GetRun", R.GetRunRequest(id="x"), "id", NOT_AN_ID),
    bad("ListRuns", R.ListRunsRequest(instance_id="x"), "instance_id", NOT_AN_ID),
    bad("CancelRun", R.CancelRunRequest(id="x"), "id", NOT_AN_ID),
    bad("DeleteRun", R.DeleteRunRequest(id="x"), "id", NOT_AN_ID),
    bad("VerifyRun", R.VerifyRunRequest(id="x"), "id", NOT_AN_ID),
    bad("ListRunEvents", R.ListRunEventsRequest(run_id="x"), "run_id", NOT_AN_ID),
    bad("ListResults", R.ListResultsRequest(run_id="x"), "run_id", NOT_AN_ID),
    bad("WatchRun", R.WatchRunRequest(id="x"), "id", NOT_AN_ID),
    bad("GetRunner", N.GetRunnerRequest(id="x"), "id", NOT_AN_ID),
    bad("DrainRunner", N.DrainRunnerRequest(id="x"), "id", NOT_AN_ID),
    bad("UndrainRunner", N.UndrainRunnerRequest(id="x"), "id", NOT_AN_ID),
    bad("ForgetRunner", N.ForgetRunnerRequest(id="x"), "id", NOT_AN_ID),
    bad("WatchRuns", R.WatchRunsRequest(instance_id="x"), "instance_id", NOT_AN_ID),
    bad("GetExperiment", E.GetExperimentRequest(), "name", "is required"),
]


def token(method: str, request: Callable[[World], Message]) -> Case:
    return Case(method, request, BAD, "page_token", PAGE_TOKEN, "PAGE_TOKEN_INVALID")


NEGATIVE = "must not be negative; is -1"
PAGES = [
    bad("ListExperiments", E.ListExperimentsRequest(page_size=-1), "page_size", NEGATIVE),
    bad("ListInstances", I.ListInstancesRequest(page_size=-1), "page_size", NEGATIVE),
    bad("ListRuns", R.ListRunsRequest(page_size=-1), "page_size", NEGATIVE),
    bad("ListRunners", N.ListRunnersRequest(page_size=-1), "page_size", NEGATIVE),
    bad("ListRunEvents", lambda w: R.ListRunEventsRequest(run_id=w.live, page_size=-1), "page_size", NEGATIVE),
    bad("ListResults", lambda w: R.ListResultsRequest(run_id=w.live, page_size=-1), "page_size", NEGATIVE),
    bad(
        "ListRunEvents", lambda w: R.ListRunEventsRequest(run_id=w.live, after_sequence=-1), "after_sequence", NEGATIVE
    ),
    bad("WatchRun", lambda w: R.WatchRunRequest(id=w.live, after_sequence=-1), "after_sequence", NEGATIVE),
    token("ListExperiments", lambda w: E.ListExperimentsRequest(page_token=w.token)),
    token("ListRuns", lambda w: R.ListRunsRequest(page_token=w.token)),
    token("ListRunners", lambda w: N.ListRunnersRequest(page_token=w.token)),
    token("ListRunEvents", lambda w: R.ListRunEventsRequest(run_id=w.live, page_token=w.token)),
    token("ListResults", lambda w: R.ListResultsRequest(run_id=w.live, page_token=w.token)),
    token("ListInstances", lambda w: I.ListInstancesRequest(page_token=w.token, experiment="grid")),
    token("ListInstances", lambda w: I.ListInstancesRequest(page_token="made up")),
]

ENUMS = [
    bad("ListRuns", R.ListRunsRequest(states=[99]), "states", "99 is not a value of RunState"),
    bad("ListRuns", R.ListRunsRequest(states=[0]), "states",
        "must not contain the unspecified value; leave the list empty for any"),
    bad("ListRuns", R.ListRunsRequest(view=9), "view", "9 is not a value of RunView"),
    bad("WatchRuns", R.WatchRunsRequest(view=9), "view", "9 is not a value of RunView"),
    bad("ListRunEvents", R.ListRunEventsRequest(filter=R.RunEventFilter(kinds=[9])), "filter.kinds",
        "9 is not a value of RunEventKind"),
    bad("WatchRun", R.WatchRunRequest(filter=R.RunEventFilter(minimum_level=15)), "filter.minimum_level",
        "15 is not a value of LogLevel"),
]  # fmt: skip

FIELDS = "name, description, configuration_json, labels"
MASKS = [
    bad("UpdateInstance", update(()), "update_mask", f"is empty; name one or more of {FIELDS}"),
    bad("UpdateInstance", update(("experiment",)), "update_mask",
        f"'experiment' cannot be updated; the fields are {FIELDS}"),
    bad("UpdateInstance", update(("nonsense",)), "update_mask",
        f"'nonsense' cannot be updated; the fields are {FIELDS}"),
]  # fmt: skip

LENGTHS = [
    bad("CreateInstance", create(name=""), "instance.name", "is required"),
    bad("CreateInstance", create(name="n" * 201), "instance.name", "has 201 characters; at most 200 are allowed"),
    bad("UpdateInstance", update(("name",), name=""), "instance.name", "is required"),
    bad("CreateInstance", create(experiment=""), "instance.experiment", "is required"),
    bad("CreateInstance", create(experiment="e" * 201), "instance.experiment",
        "has 201 characters; at most 200 are allowed"),
    bad("CreateInstance", create(description="d" * 65_537), "instance.description",
        "has 65537 characters; at most 65536 are allowed"),
    bad("CreateInstance", create(labels={"k" * 201: ""}), "instance.labels",
        "has a key of 201 characters; 1 to 200 are allowed"),
    bad("StartRun", lambda w: R.StartRunRequest(instance_id=w.instance.id, labels={"k": "v" * 201}), "labels",
        "has 201 characters under 'k'; at most 200 are allowed"),
    bad("WatchRuns", R.WatchRunsRequest(experiment="e" * 201), "experiment",
        "has 201 characters; at most 200 are allowed"),
    bad("WatchInstances", I.WatchInstancesRequest(labels={"": ""}), "labels",
        "has a key of 0 characters; 1 to 200 are allowed"),
    bad("ListRuns", R.ListRunsRequest(labels={"": ""}), "labels", "has a key of 0 characters; 1 to 200 are allowed"),
    bad("CreateInstance", I.CreateInstanceRequest(
            instance=instance_pb2.Instance(experiment="grid", name="n"), request_id="r" * 65),
        "request_id", "has 65 characters; at most 64 are allowed"),
    bad("StartRun", lambda w: R.StartRunRequest(instance_id=w.instance.id, request_id="r" * 65), "request_id",
        "has 65 characters; at most 64 are allowed"),
    bad("CancelRun", lambda w: R.CancelRunRequest(id=w.live, reason="r" * 1001), "reason",
        "has 1001 characters; at most 1000 are allowed"),
    bad("ListResults", lambda w: R.ListResultsRequest(run_id=w.live, key="é" * 251), "key",
        "is 502 bytes; at most 500 are allowed"),
]  # fmt: skip

NUL = [
    bad("CreateInstance", create(name="a\0b"), "instance.name", "contains NUL, which is not text: 'a\\x00b'"),
    bad("CreateInstance", create(labels={"k": "\0"}), "instance.labels", "contains NUL, which is not text: '\\x00'"),
    bad("CancelRun", lambda w: R.CancelRunRequest(id=w.live, reason="\0"), "reason",
        "contains NUL, which is not text: '\\x00'"),
    bad("ListRuns", R.ListRunsRequest(experiment="\0"), "experiment", "contains NUL, which is not text: '\\x00'"),
    bad("GetExperiment", E.GetExperimentRequest(name="\0"), "name", "contains NUL, which is not text: '\\x00'"),
]  # fmt: skip

POLICIES = [
    bad("StartRun", start(max_attempts=1001), "policy.max_attempts", "must be between 1 and 1000"),
    bad("StartRun", start(max_attempts=0), "policy.max_attempts", "must be between 1 and 1000"),
    bad("StartRun", start(timeout=Duration(seconds=-1)), "policy.timeout",
        "must be longer than 0 s and at most 3650 days; leave it out for no limit"),
    bad("StartRun", start(timeout=Duration(seconds=2**62)), "policy.timeout",
        f"is not a duration: {2**62} s and 0 ns"),
    bad("StartRun", start(retry_backoff=Duration(seconds=601)), "policy.retry_backoff",
        "must be between 0 s and 10 minutes"),
    bad("StartRun", start(lost_after=Duration(seconds=60)), "policy.lost_after",
        "must be at least 70 s (60 s and the grace period) and at most 3650 days"),
]  # fmt: skip


def terminal(state: RunState) -> Case:
    return Case(
        "CancelRun",
        lambda w: R.CancelRunRequest(id=w.ended[state]),
        WRONG,
        None,
        f" is {state.name}",
        "RUN_TERMINAL",
        lambda w: {"run_id": w.ended[state], "state": state.name},
    )


STATES = [
    terminal(RunState.COMPLETED),
    terminal(RunState.FAILED),
    Case("DeleteRun", lambda w: R.DeleteRunRequest(id=w.live), WRONG, None,
         " is PENDING; cancel it and wait for its end first", "RUN_LIVE",
         lambda w: {"run_id": w.live, "state": "PENDING"}),
    Case("DeleteInstance", lambda w: I.DeleteInstanceRequest(id=w.instance.id), WRONG, None,
         " is PENDING; cancel it and wait for its end first", "RUN_LIVE",
         lambda w: {"run_id": w.live, "state": "PENDING"}),
    Case("UpdateInstance", update(("name",), name="n", etag="old"), StatusCode.ABORTED, None,
         "the resource has changed since it was read; read it again", "ETAG_MISMATCH",
         lambda w: {"etag": w.instance.etag}),
    Case("DeleteInstance", lambda w: I.DeleteInstanceRequest(id=w.instance.id, etag="old"), StatusCode.ABORTED, None,
         "the resource has changed since it was read; read it again", "ETAG_MISMATCH",
         lambda w: {"etag": w.instance.etag}),
    Case("CreateInstance", lambda w: I.CreateInstanceRequest(
             instance=instance_pb2.Instance(experiment="grid", name="another body"), request_id="used"),
         StatusCode.ALREADY_EXISTS, None, "request_id 'used' was used for another request", "REQUEST_ID_REUSED",
         lambda w: {"request_id": "used"}),
    Case("StartRun", lambda w: R.StartRunRequest(instance_id=w.instance.id, request_id="used"),
         StatusCode.ALREADY_EXISTS, None, "request_id 'used' was used for another request", "REQUEST_ID_REUSED",
         lambda w: {"request_id": "used"}),
    Case("WatchRun", lambda w: R.WatchRunRequest(id=w.live, after_sequence=2), StatusCode.OUT_OF_RANGE, None,
         " reaches from 1 to 1", "POSITION_OUT_OF_RANGE",
         lambda w: {"run_id": w.live, "first_sequence": "1", "last_sequence": "1"}),
]  # fmt: skip


CASES = [
    *UNKNOWN, *CONFIGURATIONS, *IDS, *PAGES, *ENUMS, *MASKS, *LENGTHS, *NUL, *POLICIES, *STATES
]  # fmt: skip


def stub(api: Api, method: str) -> Any:
    for service in (api.experiments, api.instances, api.runs, api.runners):
        if hasattr(service, method):
            return getattr(service, method)
    raise AssertionError(f"no service has {method}")


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.method}-{case.field or case.text.strip()}"[:60])
async def test_bad_input_gets_its_own_code_field_and_text(world: World, case: Case) -> None:
    refusal = await refused(stub(world.api, case.method)(case.request(world)))

    assert refusal.code is case.code, refusal.message
    assert refusal.reason == case.reason
    assert refusal.metadata == case.metadata(world)
    if case.field is None:
        assert refusal.violations == {}
        assert case.text in refusal.message
    else:
        assert refusal.violations == {case.field: case.text}
        assert case.field.removeprefix("instance.configuration_json") in refusal.message
    if case.code is GONE:
        assert refusal.resource == (refusal.metadata["resource"], refusal.metadata["id"])


@pytest.mark.asyncio(loop_scope="module")
async def test_every_violation_of_a_configuration_is_told_at_once(world: World) -> None:
    text = '{"iterations": 101, "temperature": "hot", "model_pairs": [{"model_b": 1}, {}], "x": 1}'
    refusal = await refused(world.api.instances.CreateInstance(create(configuration_json=text)))
    assert (refusal.code, refusal.reason) == (BAD, "CONFIGURATION_INVALID")
    assert refusal.violations == {
        "instance.configuration_json/x": "is not a field of this configuration",
        "instance.configuration_json/iterations": "must be at most 100; is 101",
        "instance.configuration_json/temperature": "must be number; is string",
        "instance.configuration_json/model_pairs/0/model_a": "is required",
        "instance.configuration_json/model_pairs/0/model_b": "must be string; is number",
        "instance.configuration_json/model_pairs/1/model_a": "is required",
    }
    answer = await world.api.experiments.ValidateConfiguration(
        E.ValidateConfigurationRequest(experiment="grid", configuration_json=text)
    )
    prefixed = {f"instance.configuration_json{v.path}": v.description for v in answer.violations}
    assert prefixed == refusal.violations
    assert answer.configuration_json == ""


@pytest.mark.asyncio(loop_scope="module")
async def test_more_violations_than_an_error_can_carry_are_counted_in_it_and_listed_by_the_other_call(
    world: World,
) -> None:
    text = '{"model_pairs": [' + ",".join(["5"] * 500) + "]}"
    refusal = await refused(world.api.instances.CreateInstance(create(configuration_json=text)))
    assert (refusal.code, refusal.reason) == (BAD, "CONFIGURATION_INVALID")
    *shown, last = refusal.violations.values()
    assert len(shown) > 20
    assert last == f"has {500 - len(shown)} more violations; ValidateConfiguration lists them"
    answer = await world.api.experiments.ValidateConfiguration(
        E.ValidateConfigurationRequest(experiment="grid", configuration_json=text)
    )
    assert len(answer.violations) == 500


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("text", ["{", "[]", r'{"a": "\u0000"}'])
async def test_validating_what_is_not_even_json_is_answered_and_not_refused(world: World, text: str) -> None:
    answer = await world.api.experiments.ValidateConfiguration(
        E.ValidateConfigurationRequest(experiment="grid", configuration_json=text)
    )
    assert len(answer.violations) == 1
    assert answer.configuration_json == ""


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("raw", [b"\xff\xff\xff", b"\x0a\x02\xc3\x28"], ids=["not a message", "text that is not UTF-8"])
async def test_a_malformed_request_is_the_caller_s_fault(world: World, raw: bytes) -> None:
    call = world.api.channel.unary_unary("/athanor.v1.RunService/GetRun")
    refusal = await refused(call(raw))
    assert (refusal.code, refusal.reason) == (BAD, "INVALID_FIELD")
    assert "the request is no athanor.v1.GetRunRequest" in refusal.message


@pytest.mark.asyncio(loop_scope="module")
async def test_a_method_that_nobody_has_is_unimplemented(world: World) -> None:
    refusal = await refused(world.api.channel.unary_unary("/athanor.v1.RunService/Nonsense")(b""))
    assert refusal.code is StatusCode.UNIMPLEMENTED


@pytest.mark.asyncio(loop_scope="module")
async def test_cancelling_what_is_cancelled_is_harmless(world: World) -> None:
    answer = await world.api.runs.CancelRun(R.CancelRunRequest(id=world.ended[RunState.CANCELLED]))
    assert answer.run.state == RunState.CANCELLED


@pytest.mark.asyncio(loop_scope="module")
async def test_deleting_what_is_not_there_may_be_allowed(world: World) -> None:
    await world.api.instances.DeleteInstance(I.DeleteInstanceRequest(id=MISSING, allow_missing=True))
    await world.api.runs.DeleteRun(R.DeleteRunRequest(id=MISSING, allow_missing=True))
