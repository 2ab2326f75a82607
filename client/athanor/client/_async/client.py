"""The asynchronous client."""

import asyncio
import time
from types import TracebackType
from typing import Self

from athanor.client import _channel
from athanor.client._async.calls import Caller
from athanor.client._async.experiments import Experiments
from athanor.client._async.instances import Instances
from athanor.client._async.orchestrators import Orchestrators
from athanor.client._async.runners import Runners
from athanor.client._async.runs import Runs
from athanor.v1.experiment_service_pb2_grpc import ExperimentServiceStub
from athanor.v1.instance_service_pb2_grpc import InstanceServiceStub
from athanor.v1.runner_service_pb2_grpc import RunnerServiceStub


class AsyncClient:
    """A client of an orchestrator, or of several that share a database.

        async with AsyncClient() as client:
            instance = await client.instances.create("digits", {"repeats": 3})
            run = await client.runs.start(instance.id)
            async for item in client.runs.watch(run.id):
                ...

    `target` is HOST:PORT, or several separated by commas; without one that of ATHANOR_TARGET, else 127.0.0.1:7400. The
    first that answers is called; when it is lost the next one takes its place. `timeout` is the deadline of a call in
    seconds, unless the call says otherwise. A call that may be repeated is made again for up to `retry_for` seconds
    while no orchestrator is available.

    Make it where an event loop runs, and close it there. Raises TargetError for an address of another form.
    """

    def __init__(self, target: str | None = None, *, timeout: float = 30.0, retry_for: float = 10.0) -> None:
        self.target = _channel.resolve_target(target)
        self._orchestrators = Orchestrators(self.target.split(","))
        channel = self._orchestrators.as_channel()
        caller = Caller(self.target, timeout=timeout, retry_for=retry_for, sleep=asyncio.sleep, clock=time.monotonic)
        self.experiments = Experiments(caller, ExperimentServiceStub(channel))
        self.instances = Instances(caller, InstanceServiceStub(channel), connect_for=retry_for)
        self.runs = Runs(caller, channel, connect_for=retry_for)
        self.runners = Runners(caller, RunnerServiceStub(channel))

    async def aclose(self) -> None:
        """Close the connection. Calls under way are cancelled; runs go on."""
        await self._orchestrators.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()
