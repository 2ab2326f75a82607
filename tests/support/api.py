"""An orchestrator in the test's own process, on a port of its own, and everything that a caller needs to talk to it.

    async with serving(database_url) as api:
        instance = await api.create_instance(experiment="grid")

No runner: what runs do is written into the database by hand.
"""

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
from athanor.v1 import (
    experiment_service_pb2_grpc,
    instance_pb2,
    instance_service_pb2,
    instance_service_pb2_grpc,
    run_event_pb2,
    run_pb2,
    run_service_pb2,
    run_service_pb2_grpc,
    runner_service_pb2_grpc,
)
from athanor_orchestrator.domain.clock import Clock
from athanor_orchestrator.domain.records import Experiment, RunState
from athanor_orchestrator.engine import codec
from athanor_orchestrator.engine.timings import Timings
from athanor_orchestrator.server import Orchestrator
from athanor_orchestrator.settings import Settings
from athanor_orchestrator.storage import events, experiments, results, runs
from athanor_orchestrator.storage.transaction import Transaction
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2
from grpc import aio

GRID: Mapping[str, Any] = {
    "type": "object",
    "additionalProperties": False,
    "properties": {
        "iterations": {"type": "integer", "minimum": 1, "maximum": 100, "default": 10},
        "temperature": {"type": "number", "multipleOf": 0.1, "default": 0.7},
        "model_pairs": {
            "type": "array",
            "default": [{"model_a": "a", "model_b": "b"}],
            "items": {
                "type": "object",
                "properties": {"model_a": {"type": "string"}, "model_b": {"type": "string", "default": "b"}},
                "required": ["model_a"],
            },
        },
    },
}


class Api:
    """The stubs of every service, and short ways to do what tests do."""

    def __init__(self, orchestrator: Orchestrator, channel: aio.Channel) -> None:
        self.orchestrator = orchestrator
        self.channel = channel
        self.experiments = experiment_service_pb2_grpc.ExperimentServiceStub(channel)
        self.instances = instance_service_pb2_grpc.InstanceServiceStub(channel)
        self.runs = run_service_pb2_grpc.RunServiceStub(channel)
        self.runners = runner_service_pb2_grpc.RunnerServiceStub(channel)

    async def define(self, name: str = "grid", schema: object = GRID, **fields: Any) -> None:
        """Have a runner report an experiment; `schema` is JSON or a document."""
        text = schema if isinstance(schema, str) else json.dumps(schema)
        experiment = Experiment(name=name, configuration_schema_json=text, **fields)
        await self.orchestrator.database.write(lambda tx: experiments.upsert_experiment(tx, experiment, "runner"))

    async def create_instance(
        self, experiment: str = "grid", name: str = "an instance", configuration: str = "{}", **labels: str
    ) -> instance_pb2.Instance:
        """Create an instance."""
        request = instance_service_pb2.CreateInstanceRequest(
            instance=instance_pb2.Instance(
                experiment=experiment, name=name, configuration_json=configuration, labels=labels
            )
        )
        return (await self.instances.CreateInstance(request)).instance

    async def start_run(self, instance_id: str, **labels: str) -> run_pb2.Run:
        """Start a run; nobody takes it."""
        request = run_service_pb2.StartRunRequest(instance_id=instance_id, labels=labels)
        return (await self.runs.StartRun(request)).run

    async def record(self, run_id: str, *recorded: run_event_pb2.RunEvent) -> None:
        """Append events to a run's log as if a runner had delivered them, numbered from where it ends."""

        def command(tx: Transaction) -> None:
            run = runs.lock_run(tx, run_id)
            assert run is not None
            decoded = []
            for sequence, event in enumerate(recorded, run.last_sequence + 1):
                event.sequence, event.attempt = sequence, 1
                decoded.append(codec.decode(event.SerializeToString()))
            events.append_events(tx, [(run_id, [each.row for each in decoded])])
            results.append_results(tx, [(run_id, [each.result for each in decoded if each.result is not None])])
            runs.update_run(tx, run_id, last_sequence=run.last_sequence + len(recorded))
            tx.wake(f"run:{run_id}")

        await self.orchestrator.database.write(command)

    async def end(self, run_id: str, state: RunState) -> None:
        """Bring a run to its end as if a runner had executed it."""

        def command(tx: Transaction) -> None:
            run = runs.lock_run(tx, run_id)
            assert run is not None
            row = codec.state_change(run.last_sequence + 1, 1, tx.now_us, state, "a test says so")
            events.append_events(tx, [(run_id, [row])])
            assert runs.transition(tx, run_id, (run.state,), state, last_sequence=row.sequence, end_time_us=tx.now_us)
            tx.wake(f"run:{run_id}")

        await self.orchestrator.database.write(command)


@asynccontextmanager
async def serving(
    database_url: str, *, stop_grace: float = 1.0, timings: Timings | None = None, clock: Clock | None = None
) -> AsyncIterator[Api]:
    """Serve a database on a port of its own until the block is left."""
    settings = Settings(
        host="127.0.0.1",
        port=0,
        data=Path("/nonexistent"),
        database_url=database_url,
        stop_grace=stop_grace,
        timings=timings or Timings(),
    )
    orchestrator = Orchestrator(settings, clock)
    await orchestrator.start()
    try:
        async with aio.insecure_channel(f"127.0.0.1:{orchestrator.port}") as channel:
            yield Api(orchestrator, channel)
    finally:
        await orchestrator.stop()


def log(message: str, level: int = run_event_pb2.LOG_LEVEL_INFO) -> run_event_pb2.RunEvent:
    """Make a log entry."""
    return run_event_pb2.RunEvent(log=run_event_pb2.LogEntry(level=level, message=message))  # type: ignore[arg-type]


def result(key: str, value: object) -> run_event_pb2.RunEvent:
    """Make a result."""
    return run_event_pb2.RunEvent(result=run_event_pb2.Result(key=key, value_json=json.dumps(value)))


class Refusal:
    """What a call that failed was told."""

    def __init__(self, error: grpc.RpcError) -> None:
        assert isinstance(error, aio.AioRpcError)
        self.code = error.code()
        self.message = error.details() or ""
        self._details: list[Any] = []
        for key, value in error.trailing_metadata() or ():
            if key == "grpc-status-details-bin":
                status = status_pb2.Status.FromString(value)
                assert (status.code, status.message) == (self.code.value[0], self.message)
                self._details = list(status.details)

    def detail(self, kind: type[Message]) -> Any:
        """The google.rpc detail of a kind, or None."""
        for packed in self._details:
            if packed.Is(kind.DESCRIPTOR):
                message = kind()
                packed.Unpack(message)
                return message
        return None

    @property
    def reason(self) -> str:
        info = self.detail(error_details_pb2.ErrorInfo)
        if info is None:
            return ""
        assert info.domain == "athanor"
        return info.reason

    @property
    def metadata(self) -> dict[str, str]:
        info = self.detail(error_details_pb2.ErrorInfo)
        return {} if info is None else dict(info.metadata)

    @property
    def violations(self) -> dict[str, str]:
        request = self.detail(error_details_pb2.BadRequest)
        return {} if request is None else {v.field: v.description for v in request.field_violations}

    @property
    def resource(self) -> tuple[str, str] | None:
        info = self.detail(error_details_pb2.ResourceInfo)
        return None if info is None else (info.resource_type, info.resource_name)


async def refused(call: Any) -> Refusal:
    """Await a call, or read a stream to its end, and return what it was refused with."""
    try:
        if hasattr(call, "read"):
            while await call.read() is not aio.EOF:
                pass
        else:
            await call
    except aio.AioRpcError as error:
        return Refusal(error)
    raise AssertionError("the call was answered")
