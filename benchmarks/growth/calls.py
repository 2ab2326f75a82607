"""What is asked of a small database and of one that has grown, in turn, over gRPC."""

import random
import time
import uuid
from collections import defaultdict
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any

from athanor.v1 import (
    instance_service_pb2,
    instance_service_pb2_grpc,
    run_pb2,
    run_service_pb2,
    run_service_pb2_grpc,
)
from grpc import StatusCode, aio

from benchmarks.growth.filling import EXPERIMENTS, OLD, Grown
from benchmarks.load.__main__ import EXPERIMENT
from benchmarks.load.runner import OPTIONS, LoadRunner

PAGE = 10
_SLOTS = 100_000

Seconds = dict[str, list[float]]  # by call


class Side:
    """One of the two: an orchestrator, what is in its database, a client, and a runner that only takes runs up."""

    def __init__(self, target: str, grown: Grown) -> None:
        self.seconds: Seconds = defaultdict(list)
        self._grown = grown
        self._random = random.Random(7)
        self._channel = aio.insecure_channel(target, options=OPTIONS)
        self._runs = run_service_pb2_grpc.RunServiceStub(self._channel)
        self._instances = instance_service_pb2_grpc.InstanceServiceStub(self._channel)
        self._runner = LoadRunner(target, str(uuid.uuid4()), _SLOTS, EXPERIMENT, lambda run, before, now: None)
        self._instance_id = ""

    async def open(self, stack: AsyncExitStack) -> None:
        """Hold the runner's session, and make an instance whose runs it takes."""
        await stack.enter_async_context(self._channel)
        await stack.enter_async_context(self._runner.session())
        create = instance_service_pb2.CreateInstanceRequest(request_id=uuid.uuid4().hex)
        create.instance.experiment = create.instance.name = EXPERIMENT
        create.instance.configuration_json = "{}"
        while not self._instance_id:
            try:
                self._instance_id = (await self._instances.CreateInstance(create)).instance.id
            except aio.AioRpcError as error:  # the definition is on its way
                if error.code() is not StatusCode.NOT_FOUND:
                    raise

    def calls(self) -> dict[str, Callable[[], Awaitable[None]]]:
        """Return the calls by name; each notes how long it took."""
        listings: dict[str, dict[str, Any]] = {
            "list": {},
            "list a later page": {"page_token": ""},
            "list by state": {"states": [run_pb2.RUN_STATE_FAILED]},
            "list by a state of long ago": {"states": [run_pb2.RUN_STATE_CANCELLED]},
            "list live": {"states": [run_pb2.RUN_STATE_PENDING, run_pb2.RUN_STATE_RUNNING]},
            "list by experiment": {"experiment": EXPERIMENTS[3]},
            "list by an experiment of long ago": {"experiment": OLD},
            "list by experiment and state": {"experiment": EXPERIMENTS[3], "states": [run_pb2.RUN_STATE_COMPLETED]},
            "list by label": {"labels": {"team": "team-3"}},
            "list by a label of long ago": {"labels": {"team": OLD}},
            "list by instance": {"instance_id": None},
        }
        of_instances: dict[str, dict[str, Any]] = {
            "list instances": {},
            "list instances by experiment": {"experiment": EXPERIMENTS[3]},
            "list instances by a label of long ago": {"labels": {"team": OLD}},
        }
        return {
            "get": self._get,
            **{name: self._listing(name, **how) for name, how in listings.items()},
            **{name: self._listing_instances(name, **how) for name, how in of_instances.items()},
            "start and claim": self._start,
            "watch": self._watch,
        }

    def _any(self, ids: Any) -> str:
        return self._random.choice(ids)

    async def _get(self) -> None:
        request = run_service_pb2.GetRunRequest(id=self._any(self._grown.runs))
        begin = time.perf_counter()
        await self._runs.GetRun(request)
        self.seconds["get"].append(time.perf_counter() - begin)

    def _listing(self, name: str, **how: Any) -> Callable[[], Awaitable[None]]:
        async def call() -> None:
            request = run_service_pb2.ListRunsRequest(
                page_size=PAGE, **{key: value or "" for key, value in how.items()}
            )
            if "instance_id" in how:
                instance = instance_service_pb2.ListInstancesRequest(page_size=PAGE)
                request.instance_id = self._any((await self._instances.ListInstances(instance)).instances).id
            if "page_token" in how:
                request.page_token = (await self._runs.ListRuns(request)).next_page_token
            begin = time.perf_counter()
            await self._runs.ListRuns(request)
            self.seconds[name].append(time.perf_counter() - begin)

        return call

    def _listing_instances(self, name: str, **how: Any) -> Callable[[], Awaitable[None]]:
        async def call() -> None:
            request = instance_service_pb2.ListInstancesRequest(page_size=PAGE, **how)
            begin = time.perf_counter()
            await self._instances.ListInstances(request)
            self.seconds[name].append(time.perf_counter() - begin)

        return call

    async def _start(self) -> None:
        request = run_service_pb2.StartRunRequest(instance_id=self._instance_id, request_id=uuid.uuid4().hex)
        begin = time.perf_counter()
        run = (await self._runs.StartRun(request)).run
        self.seconds["start"].append(time.perf_counter() - begin)
        assigned, _ = await self._runner.assigned.get()
        self.seconds["claim"].append(time.perf_counter() - begin)
        assert assigned.run_id == run.id

    async def _watch(self) -> None:
        watch = self._runs.WatchRun(run_service_pb2.WatchRunRequest(id=self._any(self._grown.runs)))
        begin = time.perf_counter()
        async for item in watch:
            if item.HasField("batch"):
                break
        self.seconds["watch"].append(time.perf_counter() - begin)
        watch.cancel()


async def compare(sides: list[Side], times: int, warm: int, say: Callable[[str], None]) -> None:
    """Make every call so many times on each side, in turn; `warm` times before those that count."""
    async with AsyncExitStack() as stack:
        for side in sides:
            await side.open(stack)
        calls = [side.calls() for side in sides]
        for name in calls[0]:
            say(f"growth: {name}")
            for _ in range(warm):
                for each in calls:
                    await each[name]()
        for side in sides:
            side.seconds.clear()
        for name in calls[0]:
            say(f"growth: {name}")
            for number in range(times):
                # Whoever is second finds the caches of the processor as the first has left them.
                for each in calls if number % 2 else reversed(calls):
                    await each[name]()
