"""An orchestrator in memory, behind a real gRPC server, that does what a test tells it to.

It knows just enough to prove what the client promises by itself.
"""

import asyncio
import uuid
from collections import defaultdict
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import grpc
import grpc.aio
from athanor.v1 import (
    experiment_pb2,
    experiment_service_pb2,
    experiment_service_pb2_grpc,
    instance_pb2,
    instance_service_pb2,
    instance_service_pb2_grpc,
    orchestrator_pb2,
    orchestrator_service_pb2,
    orchestrator_service_pb2_grpc,
    run_event_pb2,
    run_pb2,
    run_service_pb2,
    run_service_pb2_grpc,
    runner_pb2,
    runner_service_pb2,
    runner_service_pb2_grpc,
)
from google.protobuf import any_pb2, timestamp_pb2
from google.rpc import error_details_pb2, status_pb2
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_status import rpc_status

TERMINAL = (run_pb2.RUN_STATE_COMPLETED, run_pb2.RUN_STATE_FAILED, run_pb2.RUN_STATE_CANCELLED)


def now() -> timestamp_pb2.Timestamp:
    """The time, as a message."""
    stamp = timestamp_pb2.Timestamp()
    stamp.FromDatetime(datetime.now(UTC))
    return stamp


@dataclass(frozen=True)
class Refusal:
    """An error to answer with."""

    code: grpc.StatusCode
    message: str = "refused"
    reason: str = ""
    metadata: dict[str, str] = field(default_factory=dict)
    violations: tuple[tuple[str, str], ...] = ()
    resource: tuple[str, str] | None = None
    retry_after: float | None = None

    def status(self) -> Any:
        """The status with its google.rpc details, as the real orchestrator writes it."""
        details: list[Any] = []
        if self.reason:
            details.append(
                error_details_pb2.ErrorInfo(
                    reason=f"ERROR_REASON_{self.reason}", domain="athanor", metadata=self.metadata
                )
            )
        if self.violations:
            bad = error_details_pb2.BadRequest()
            for path, description in self.violations:
                bad.field_violations.add(field=path, description=description)
            details.append(bad)
        if self.resource:
            details.append(
                error_details_pb2.ResourceInfo(resource_type=self.resource[0], resource_name=self.resource[1])
            )
        if self.retry_after is not None:
            retry = error_details_pb2.RetryInfo()
            retry.retry_delay.FromNanoseconds(int(self.retry_after * 1e9))
            details.append(retry)
        packed = []
        for detail in details:
            item = any_pb2.Any()
            item.Pack(detail)
            packed.append(item)
        return rpc_status.to_status(status_pb2.Status(code=self.code.value[0], message=self.message, details=packed))


def not_found(resource: str, id: str) -> Refusal:
    """What an unknown id gets."""
    return Refusal(
        grpc.StatusCode.NOT_FOUND,
        f"there is no {resource} {id!r}",
        "NOT_FOUND",
        {"resource": resource, "id": id},
        resource=(resource, id),
    )


@dataclass
class FakeRun:
    """A run and its log."""

    run: run_pb2.Run
    events: list[run_event_pb2.RunEvent] = field(default_factory=list)
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    progress: run_pb2.Progress | None = None
    superseded: set[int] = field(default_factory=set)  # sequences of results


class FakeOrchestrator:
    """The state behind the services, and the handles that a test pulls."""

    def __init__(self) -> None:
        self.experiments: dict[str, experiment_pb2.Experiment] = {}
        self.discovery_errors: list[experiment_service_pb2.DiscoveryError] = []
        self.instances: dict[str, instance_pb2.Instance] = {}
        self.runs: dict[str, FakeRun] = {}
        self.runners: dict[str, runner_pb2.Runner] = {}
        self.calls: list[tuple[str, Any]] = []
        self.refusals: dict[str, list[Refusal]] = defaultdict(list)  # by method, each used once
        self.answers: dict[str, Any] = {}  # by request_id
        self.certificates: dict[str, run_service_pb2.VerifyRunResponse] = {}  # by run
        self.batch_size = 3
        self.watched: dict[str, list[Any]] = {"WatchRuns": [], "WatchInstances": []}  # what these streams send
        self.watched_more = asyncio.Event()
        self.server: grpc.aio.Server | None = None
        self.port = 0

    @property
    def target(self) -> str:
        """HOST:PORT."""
        return f"127.0.0.1:{self.port}"

    async def start(self) -> None:
        """Serve; after `kill` on the port of before."""
        self.server = grpc.aio.server(
            options=[
                ("grpc.so_reuseport", 0),
                ("grpc.http2.min_ping_interval_without_data_ms", 5_000),
                ("grpc.keepalive_permit_without_calls", 1),
            ]
        )
        experiment_service_pb2_grpc.add_ExperimentServiceServicer_to_server(_Experiments(self), self.server)
        instance_service_pb2_grpc.add_InstanceServiceServicer_to_server(_Instances(self), self.server)
        run_service_pb2_grpc.add_RunServiceServicer_to_server(_Runs(self), self.server)
        runner_service_pb2_grpc.add_RunnerServiceServicer_to_server(_Runners(self), self.server)
        orchestrator_service_pb2_grpc.add_OrchestratorServiceServicer_to_server(_Orchestrator(self), self.server)
        serving = health.aio.HealthServicer()
        await serving.set("", health_pb2.HealthCheckResponse.SERVING)
        health_pb2_grpc.add_HealthServicer_to_server(serving, self.server)
        for _ in range(50):
            try:
                self.port = self.server.add_insecure_port(self.target)
                break
            except RuntimeError:  # the port of before is just being given back
                await asyncio.sleep(0.02)
        else:
            raise RuntimeError(f"{self.target} did not become free")
        await self.server.start()

    async def kill(self) -> None:
        """Stop at once; calls under way break."""
        assert self.server
        await self.server.stop(None)
        self.server = None

    def add_experiment(self, name: str, **fields: Any) -> None:
        """Make an experiment known."""
        self.experiments[name] = experiment_pb2.Experiment(name=name, available_runner_count=1, **fields)

    def add_run(self, experiment: str = "hello", id: str | None = None, **fields: Any) -> FakeRun:
        """Make a run, PENDING, with its first event."""
        run = run_pb2.Run(
            id=id or str(uuid.uuid4()), experiment=experiment, state=run_pb2.RUN_STATE_PENDING,
            configuration_json="{}", create_time=now(), **fields,
        )  # fmt: skip
        fake = self.runs[run.id] = FakeRun(run)
        self.append(fake, state_change=run_event_pb2.StateChange(state=run_pb2.RUN_STATE_PENDING))
        return fake

    def append(self, fake: FakeRun, **event: Any) -> None:
        """Append one event to a run's log."""
        fake.run.last_sequence += 1
        attempt = 0 if "state_change" in event else 1
        fake.events.append(
            run_event_pb2.RunEvent(sequence=fake.run.last_sequence, attempt=attempt, time=now(), **event)
        )
        fake.run.log_count += "log" in event
        fake.run.result_count += "result" in event
        fake.changed.set()

    def log(self, fake: FakeRun, message: str, level: int = 20, **fields: Any) -> None:
        """Append a log entry."""
        self.append(fake, log=run_event_pb2.LogEntry(level=level, message=message, **fields))

    def result(self, fake: FakeRun, key: str, value_json: str) -> None:
        """Append a result."""
        self.append(fake, result=run_event_pb2.Result(key=key, value_json=value_json))

    def begin(self, fake: FakeRun) -> None:
        """Let the run's attempt start."""
        fake.run.state = run_pb2.RUN_STATE_RUNNING
        fake.run.start_time.CopyFrom(now())
        fake.run.attempts.add(number=1, runner_id="runner-1", start_time=now())
        self.append(fake, attempt_started=run_event_pb2.AttemptStarted(runner_id="runner-1", configuration_json="{}"))

    def end(
        self,
        fake: FakeRun,
        state: int = run_pb2.RUN_STATE_COMPLETED,
        failure: Any = None,
        stop_steps: Iterable[Any] = (),
    ) -> None:
        """Let the run end."""
        outcome = {3: 1, 4: 2, 5: 3}[state]
        ended = run_event_pb2.AttemptEnded(outcome=outcome, failure=failure, stop_steps=stop_steps)
        self.append(fake, attempt_ended=ended)
        fake.run.state = state
        fake.run.end_time.CopyFrom(now())
        if failure:
            fake.run.failure.CopyFrom(failure)
        if fake.run.attempts:
            fake.run.attempts[0].outcome = outcome
            fake.run.attempts[0].log_complete = True
        self.append(fake, state_change=run_event_pb2.StateChange(state=state, reason="its attempt ended"))

    def send(self, method: str, *responses: Any) -> None:
        """Have the streams of a watch of many send this."""
        self.watched[method] += responses
        self.watched_more.set()

    async def sent(self, method: str, context: Any) -> AsyncIterator[Any]:
        """What one stream of a watch of many sends, from the first; breaks where the test has said so."""
        place = 0
        while True:
            if self.refusals[f"{method}.middle"]:
                await self.refuse(context, self.refusals[f"{method}.middle"].pop(0))
            self.watched_more.clear()
            while place < len(self.watched[method]):
                place += 1
                yield self.watched[method][place - 1]
            await self.watched_more.wait()

    def touch(self, fake: FakeRun) -> None:
        """Wake those who watch the run."""
        fake.changed.set()

    def called(self, method: str) -> list[Any]:
        """The requests of one method so far."""
        return [request for name, request in self.calls if name == method]

    async def enter(self, method: str, request: Any, context: Any) -> None:
        """Write the call down, and refuse it when the test has said so."""
        copy = type(request)()
        copy.CopyFrom(request)
        self.calls.append((method, copy))
        if self.refusals[method]:
            await self.refuse(context, self.refusals[method].pop(0))

    async def refuse(self, context: Any, refusal: Refusal) -> None:
        """End the call."""
        await context.abort_with_status(refusal.status())

    async def find(self, context: Any, table: dict[str, Any], resource: str, id: str) -> Any:
        """The resource, or NOT_FOUND."""
        if id not in table:
            await self.refuse(context, not_found(resource, id))
        return table[id]

    def page(self, items: Iterable[Any], size: int, token: str) -> tuple[list[Any], str]:
        """One page; tokens are offsets."""
        rows = list(items)
        start = int(token or 0)
        stop = start + (size or 100)
        return rows[start:stop], str(stop) if stop < len(rows) else ""


class _Experiments(experiment_service_pb2_grpc.ExperimentServiceServicer):
    def __init__(self, fake: FakeOrchestrator) -> None:
        self.fake = fake

    async def GetExperiment(self, request, context):
        await self.fake.enter("GetExperiment", request, context)
        found = await self.fake.find(context, self.fake.experiments, "experiment", request.name)
        return experiment_service_pb2.GetExperimentResponse(experiment=found)

    async def ListExperiments(self, request, context):
        await self.fake.enter("ListExperiments", request, context)
        rows = [self.fake.experiments[name] for name in sorted(self.fake.experiments)]
        items, token = self.fake.page(rows, request.page_size, request.page_token)
        return experiment_service_pb2.ListExperimentsResponse(
            experiments=items, next_page_token=token, discovery_errors=self.fake.discovery_errors
        )

    async def ValidateConfiguration(self, request, context):
        await self.fake.enter("ValidateConfiguration", request, context)
        await self.fake.find(context, self.fake.experiments, "experiment", request.experiment)
        if "bad" in request.configuration_json:
            violation = experiment_service_pb2.ConfigurationViolation(path="/times", description="is not a number")
            return experiment_service_pb2.ValidateConfigurationResponse(violations=[violation])
        return experiment_service_pb2.ValidateConfigurationResponse(configuration_json=request.configuration_json)


class _Instances(instance_service_pb2_grpc.InstanceServiceServicer):
    def __init__(self, fake: FakeOrchestrator) -> None:
        self.fake = fake

    async def CreateInstance(self, request, context):
        await self.fake.enter("CreateInstance", request, context)
        if request.request_id in self.fake.answers:
            return self.fake.answers[request.request_id]
        await self.fake.find(context, self.fake.experiments, "experiment", request.instance.experiment)
        instance = instance_pb2.Instance()
        instance.CopyFrom(request.instance)
        instance.id = str(uuid.uuid4())
        instance.etag = "1"
        instance.create_time.CopyFrom(now())
        instance.update_time.CopyFrom(now())
        self.fake.instances[instance.id] = instance
        answer = instance_service_pb2.CreateInstanceResponse(instance=instance)
        self.fake.answers[request.request_id] = answer
        return answer

    async def GetInstance(self, request, context):
        await self.fake.enter("GetInstance", request, context)
        found = await self.fake.find(context, self.fake.instances, "instance", request.id)
        return instance_service_pb2.GetInstanceResponse(instance=found)

    async def ListInstances(self, request, context):
        await self.fake.enter("ListInstances", request, context)
        rows = [self.fake.instances[id] for id in sorted(self.fake.instances, reverse=True)]
        items, token = self.fake.page(rows, request.page_size, request.page_token)
        return instance_service_pb2.ListInstancesResponse(instances=items, next_page_token=token)

    async def UpdateInstance(self, request, context):
        await self.fake.enter("UpdateInstance", request, context)
        found = await self.fake.find(context, self.fake.instances, "instance", request.instance.id)
        for path in request.update_mask.paths:
            if path == "labels":
                found.labels.clear()
                found.labels.update(request.instance.labels)
            else:
                setattr(found, path, getattr(request.instance, path))
        found.etag = str(int(found.etag) + 1)
        return instance_service_pb2.UpdateInstanceResponse(instance=found)

    async def DeleteInstance(self, request, context):
        await self.fake.enter("DeleteInstance", request, context)
        await self.fake.find(context, self.fake.instances, "instance", request.id)
        del self.fake.instances[request.id]
        return instance_service_pb2.DeleteInstanceResponse()

    async def WatchInstances(self, request, context):
        await self.fake.enter("WatchInstances", request, context)
        async for response in self.fake.sent("WatchInstances", context):
            yield response


class _Runs(run_service_pb2_grpc.RunServiceServicer):
    def __init__(self, fake: FakeOrchestrator) -> None:
        self.fake = fake

    async def StartRun(self, request, context):
        await self.fake.enter("StartRun", request, context)
        if request.request_id in self.fake.answers:
            return self.fake.answers[request.request_id]
        instance = await self.fake.find(context, self.fake.instances, "instance", request.instance_id)
        fake = self.fake.add_run(instance.experiment, instance_id=instance.id, seed=request.seed, labels=request.labels)
        fake.run.configuration_json = instance.configuration_json
        fake.run.policy.CopyFrom(request.policy)
        answer = run_service_pb2.StartRunResponse()
        answer.run.CopyFrom(fake.run)
        self.fake.answers[request.request_id] = answer
        return answer

    async def GetRun(self, request, context):
        await self.fake.enter("GetRun", request, context)
        found = await self.fake.find(context, self.fake.runs, "run", request.id)
        return run_service_pb2.GetRunResponse(run=found.run)

    async def ListRuns(self, request, context):
        await self.fake.enter("ListRuns", request, context)
        rows = [self.fake.runs[id].run for id in sorted(self.fake.runs, reverse=True)]
        rows = [run for run in rows if not request.states or run.state in request.states]
        items, token = self.fake.page(rows, request.page_size, request.page_token)
        response = run_service_pb2.ListRunsResponse(runs=items, next_page_token=token)
        if request.view == run_service_pb2.RUN_VIEW_BASIC:
            for run in response.runs:
                run.configuration_json = ""
                del run.attempts[:]
        return response

    async def CancelRun(self, request, context):
        await self.fake.enter("CancelRun", request, context)
        found = await self.fake.find(context, self.fake.runs, "run", request.id)
        if found.run.state in (run_pb2.RUN_STATE_COMPLETED, run_pb2.RUN_STATE_FAILED):
            name = run_pb2.RunState.Name(found.run.state).removeprefix("RUN_STATE_")
            metadata = {"run_id": request.id, "state": name}
            refusal = Refusal(
                grpc.StatusCode.FAILED_PRECONDITION, f"run {request.id} is {name}", "RUN_TERMINAL", metadata
            )
            await self.fake.refuse(context, refusal)
        found.run.cancel_request_time.CopyFrom(now())
        found.run.cancel_reason = request.reason
        self.fake.touch(found)
        return run_service_pb2.CancelRunResponse(run=found.run)

    async def DeleteRun(self, request, context):
        await self.fake.enter("DeleteRun", request, context)
        await self.fake.find(context, self.fake.runs, "run", request.id)
        del self.fake.runs[request.id]
        return run_service_pb2.DeleteRunResponse()

    async def ListRunEvents(self, request, context):
        await self.fake.enter("ListRunEvents", request, context)
        found = await self.fake.find(context, self.fake.runs, "run", request.run_id)
        rows = [event for event in found.events if event.sequence > request.after_sequence]
        rows = [event for event in rows if selects(request.filter, event)]
        if request.descending:
            rows.reverse()
        items, token = self.fake.page(rows, request.page_size, request.page_token)
        return run_service_pb2.ListRunEventsResponse(events=items, next_page_token=token)

    async def VerifyRun(self, request, context):
        await self.fake.enter("VerifyRun", request, context)
        await self.fake.find(context, self.fake.runs, "run", request.id)
        while request.id not in self.fake.certificates:  # as long as the test lets it take
            await asyncio.sleep(0.01)
        return self.fake.certificates[request.id]

    async def ListResults(self, request, context):
        await self.fake.enter("ListResults", request, context)
        found = await self.fake.find(context, self.fake.runs, "run", request.run_id)
        rows = [
            run_service_pb2.RunResult(
                sequence=item.sequence,
                attempt=item.attempt,
                time=item.time,
                result=item.result,
                superseded=item.sequence in found.superseded,
            )
            for item in found.events
            if item.HasField("result") and request.key in ("", item.result.key)
            if request.include_superseded or item.sequence not in found.superseded
        ]
        items, token = self.fake.page(rows, request.page_size, request.page_token)
        return run_service_pb2.ListResultsResponse(results=items, next_page_token=token)

    async def WatchRun(self, request, context) -> AsyncIterator[run_service_pb2.WatchRunResponse]:
        await self.fake.enter("WatchRun", request, context)
        found = await self.fake.find(context, self.fake.runs, "run", request.id)
        if request.after_sequence > found.run.last_sequence:
            metadata = {"run_id": request.id, "first_sequence": "1", "last_sequence": str(found.run.last_sequence)}
            refusal = Refusal(grpc.StatusCode.OUT_OF_RANGE, "beyond the log", "POSITION_OUT_OF_RANGE", metadata)
            await self.fake.refuse(context, refusal)
        position, shown, progress = request.after_sequence, None, None
        while True:
            found.changed.clear()
            if self.fake.refusals["WatchRun.middle"]:
                await self.fake.refuse(context, self.fake.refusals["WatchRun.middle"].pop(0))
            head = run_pb2.Run()
            head.CopyFrom(found.run)
            key = (head.state, head.HasField("cancel_request_time"))
            if shown is None or (key != shown and head.state not in TERMINAL):
                yield run_service_pb2.WatchRunResponse(run=head)
            shown = key
            if found.progress is not None and found.progress != progress:
                progress = found.progress
                yield run_service_pb2.WatchRunResponse(progress=progress)
            while position < head.last_sequence:
                chunk = found.events[position : min(head.last_sequence, position + self.fake.batch_size)]
                position = chunk[-1].sequence
                wanted = [event for event in chunk if selects(request.filter, event)]
                if wanted:
                    batch = run_service_pb2.RunEventBatch(events=wanted)
                    yield run_service_pb2.WatchRunResponse(batch=batch)
                else:
                    yield run_service_pb2.WatchRunResponse(position={"sequence": position, "server_time": now()})
            if head.state in TERMINAL:
                yield run_service_pb2.WatchRunResponse(run=head)
                return
            await found.changed.wait()

    async def WatchRuns(self, request, context):
        await self.fake.enter("WatchRuns", request, context)
        async for response in self.fake.sent("WatchRuns", context):
            yield response


class _Runners(runner_service_pb2_grpc.RunnerServiceServicer):
    def __init__(self, fake: FakeOrchestrator) -> None:
        self.fake = fake

    async def GetRunner(self, request, context):
        await self.fake.enter("GetRunner", request, context)
        found = await self.fake.find(context, self.fake.runners, "runner", request.id)
        return runner_service_pb2.GetRunnerResponse(runner=found)

    async def ListRunners(self, request, context):
        await self.fake.enter("ListRunners", request, context)
        rows = [self.fake.runners[id] for id in sorted(self.fake.runners)]
        items, token = self.fake.page(rows, request.page_size, request.page_token)
        return runner_service_pb2.ListRunnersResponse(runners=items, next_page_token=token)

    async def DrainRunner(self, request, context):
        await self.fake.enter("DrainRunner", request, context)
        found = await self.fake.find(context, self.fake.runners, "runner", request.id)
        found.draining = True
        return runner_service_pb2.DrainRunnerResponse(runner=found)

    async def UndrainRunner(self, request, context):
        await self.fake.enter("UndrainRunner", request, context)
        found = await self.fake.find(context, self.fake.runners, "runner", request.id)
        found.draining = False
        return runner_service_pb2.UndrainRunnerResponse(runner=found)

    async def ForgetRunner(self, request, context):
        await self.fake.enter("ForgetRunner", request, context)
        found = await self.fake.find(context, self.fake.runners, "runner", request.id)
        if found.connected:
            metadata = {"runner_id": request.id}
            text = f"runner {request.id} is connected: it was heard from 3 s ago"
            code = grpc.StatusCode.FAILED_PRECONDITION
            await self.fake.refuse(context, Refusal(code, text, "RUNNER_CONNECTED", metadata))
        return runner_service_pb2.ForgetRunnerResponse(run_ids=found.run_ids)


class _Orchestrator(orchestrator_service_pb2_grpc.OrchestratorServiceServicer):
    def __init__(self, fake: FakeOrchestrator) -> None:
        self.fake = fake

    async def GetOrchestrator(self, request, context):
        await self.fake.enter("GetOrchestrator", request, context)
        answers = orchestrator_pb2.Orchestrator(version="0.1.0", database="SQLite")
        return orchestrator_service_pb2.GetOrchestratorResponse(orchestrator=answers)


def selects(wanted: run_service_pb2.RunEventFilter, event: run_event_pb2.RunEvent) -> bool:
    """Whether the filter lets the event through."""
    kind = {"log": 2, "result": 3, "checkpoint": 4}.get(event.WhichOneof("event") or "", 1)
    if wanted.kinds and kind not in wanted.kinds:
        return False
    if wanted.attempt and event.attempt != wanted.attempt:
        return False
    return not (kind == 2 and event.log.level < wanted.minimum_level)
