"""`python -m benchmarks.load --target HOST:PORT`: start runs, execute them as runners would, print what came of it.

One line of JSON on standard output at the end. A line `live` comes before it when all runs are live, so that whoever
measures the orchestrator knows from when on it bears the whole load.
"""

import argparse
import asyncio
import json
import time
import uuid
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field

from athanor.v1 import (
    experiment_service_pb2,
    experiment_service_pb2_grpc,
    instance_service_pb2,
    instance_service_pb2_grpc,
    run_service_pb2,
    run_service_pb2_grpc,
)
from grpc import aio

from benchmarks.load.runner import OPTIONS, LoadRun, LoadRunner
from benchmarks.load.tape import Tape

EXPERIMENT = "load"
SAMPLE = 10  # runs that are named, to be looked at


@dataclass
class Ledger:
    """What was acknowledged, and how long after it was due; only of what was due while all runs were live."""

    begin: float = float("inf")
    end: float = float("inf")
    milliseconds: dict[int, int] = field(default_factory=dict[int, int])  # how many events took so many
    seconds: dict[int, int] = field(default_factory=dict[int, int])  # how many were acknowledged in which second

    def acknowledged(self, run: LoadRun, before: int, now: float) -> None:
        """Count the events of an acknowledgement."""
        second = int(now - self.begin) if now >= self.begin else -1
        self.seconds[second] = self.seconds.get(second, 0) + run.acknowledged - before
        if now < self.begin:
            return
        milliseconds, step, due = self.milliseconds, 1 / run.rate, run.begin + before / run.rate
        for _ in range(before, run.acknowledged):
            if self.begin <= due < self.end:
                late = int((now - due) * 1000)
                milliseconds[late] = milliseconds.get(late, 0) + 1
            due += step

    def percentile(self, share: float) -> float:
        """Return the latency in ms that this share of the events did not exceed."""
        left = share * sum(self.milliseconds.values())
        for late in sorted(self.milliseconds):
            left -= self.milliseconds[late]
            if left <= 0:
                return late + 1
        raise ValueError("nothing was acknowledged")


def main() -> None:
    """Run the load that the command line describes."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.load", description=__doc__)
    parser.add_argument("--target", required=True)
    parser.add_argument("--runs", type=int, default=500)
    parser.add_argument("--runners", type=int, default=5)
    parser.add_argument("--rate", type=float, default=100.0, help="events a second of each run")
    parser.add_argument("--seconds", type=float, default=300.0, help="for which all runs are live")
    parser.add_argument("--ramp", type=float, default=5.0, help="seconds in which the runs begin, one after the other")
    print(json.dumps(asyncio.run(load(parser.parse_args()))), flush=True)


async def load(how: argparse.Namespace) -> dict[str, object]:
    """Bear the load and return the figures."""
    ledger = Ledger()
    slots = -(-how.runs // how.runners)
    runners = [
        LoadRunner(how.target, str(uuid.uuid4()), slots, EXPERIMENT, ledger.acknowledged) for _ in range(how.runners)
    ]
    async with AsyncExitStack() as sessions:
        for runner in runners:
            await sessions.enter_async_context(runner.session())
        begin = time.monotonic()
        starting = asyncio.create_task(start_runs(how.target, how.runs), name="start runs")
        runs = await take_up(runners, how.runs)
        await starting
        claimed = time.monotonic() - begin

        loop = asyncio.get_running_loop()
        tape = Tape(round(how.rate * (how.ramp + how.seconds)), time.time_ns())
        first = loop.time() + 0.5
        for number, run in enumerate(runs):
            run.start(tape, first + how.ramp * number / how.runs, how.rate)
        ledger.begin, ledger.end = first + how.ramp, first + how.ramp + how.seconds
        await asyncio.sleep(ledger.begin - loop.time())
        print("live", flush=True)
        cpu = time.process_time()
        backlog: list[int] = []
        while loop.time() < ledger.end:
            await asyncio.sleep(min(1.0, max(ledger.end - loop.time(), 0)))
            now = loop.time()
            backlog.append(sum(run.due(now) - run.acknowledged for run in runs))
        cpu = time.process_time() - cpu
        print("ending", flush=True)
        async with asyncio.timeout(60 + how.seconds):
            for runner in runners:
                await runner.all_over()
    return {
        "offered": how.runs * how.rate,
        "acknowledged": sum(count for second, count in ledger.seconds.items() if 0 <= second < how.seconds)
        / how.seconds,
        "p50_ms": ledger.percentile(0.5),
        "p99_ms": ledger.percentile(0.99),
        "max_ms": max(ledger.milliseconds) + 1,
        "backlog": backlog,
        "cpu": cpu / how.seconds,
        "deliveries": sum(runner.deliveries for runner in runners),
        "rewinds": sum(runner.rewinds for runner in runners),
        "fences": [reason for runner in runners for reason in runner.fences],
        "events": tape.events,
        "claimed_s": claimed,
        "sample": [run.run_id for run in runs[:: max(1, len(runs) // SAMPLE)]],
    }


async def start_runs(target: str, count: int) -> None:
    """Create an instance and start so many runs of it, some at a time."""
    async with aio.insecure_channel(target, options=OPTIONS) as channel:
        experiments = experiment_service_pb2_grpc.ExperimentServiceStub(channel)
        async with asyncio.timeout(10):
            while True:
                listed = await experiments.ListExperiments(experiment_service_pb2.ListExperimentsRequest())
                if any(each.name == EXPERIMENT for each in listed.experiments):
                    break
                await asyncio.sleep(0.02)
        create = instance_service_pb2.CreateInstanceRequest(request_id=uuid.uuid4().hex)
        create.instance.experiment = create.instance.name = EXPERIMENT
        create.instance.configuration_json = "{}"
        instance = (await instance_service_pb2_grpc.InstanceServiceStub(channel).CreateInstance(create)).instance
        runs = run_service_pb2_grpc.RunServiceStub(channel)

        async def start(numbers: Sequence[int]) -> None:
            for _ in numbers:
                request = run_service_pb2.StartRunRequest(instance_id=instance.id, request_id=uuid.uuid4().hex)
                await runs.StartRun(request)

        async with asyncio.TaskGroup() as tasks:
            for first in range(16):
                tasks.create_task(start(range(first, count, 16)), name=f"start runs {first}")


async def take_up(runners: list[LoadRunner], count: int) -> list[LoadRun]:
    """Wait until so many runs have been assigned."""
    runs: list[LoadRun] = []

    async def take(runner: LoadRunner) -> None:
        while True:
            runs.append((await runner.assigned.get())[0])
            if len(runs) == count:
                raise _AllTaken

    try:
        async with asyncio.timeout(60), asyncio.TaskGroup() as tasks:
            for runner in runners:
                tasks.create_task(take(runner), name=f"take up {runner.runner_id}")
    except* _AllTaken:
        pass
    return runs


class _AllTaken(Exception):
    pass


if __name__ == "__main__":
    main()
