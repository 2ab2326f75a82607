"""How long it takes from StartRun to the first line of an experiment, and how many small runs get done."""

import json
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass

from athanor.v1 import instance_service_pb2, run_pb2, run_service_pb2

from benchmarks.bench import Bench
from benchmarks.figures import Figure, median, percentile
from tests.support.system import System

SLOTS = 4  # of the one runner, on any machine: fewer leave it idle between runs, more make them wait for each other
PATIENCE = 60.0  # seconds that anything here may take

# What a launch is compared with; each prints milliseconds for one process, from its making to its end.
BARE = [sys.executable, "-c", "pass"]
PYDANTIC = [sys.executable, "-c", "import pydantic; pydantic.BaseModel"]
FORKS = """
import os, statistics, time
import pydantic; pydantic.BaseModel
times = []
for _ in range(50):
    begin = time.perf_counter()
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)
    times.append(time.perf_counter() - begin)
print(statistics.median(times) * 1e3)
"""


@dataclass(frozen=True)
class Launch:
    """One start, in milliseconds since just before StartRun was called, by the clock of this machine."""

    answered: float  # StartRun returned
    first_line: float  # the experiment's own time of its first line
    watched: float  # a watcher had the line
    completed: float  # the run's own time of its end


def measure(bench: Bench) -> Iterator[Figure]:
    """Launch, then many small runs, on each database."""
    starts = bench.size(5, 100, 300)
    many = bench.size(20, 200)
    bench.say("what is compared with")
    beside = limits(bench)
    for database in bench.databases():
        with bench.system(database, slots=SLOTS) as system:
            for name in ("light", "no-op", "heavy"):
                system.wait_for_experiment(name, PATIENCE)
            light = instance_of(system, "light")
            first = launch(system, light)
            for _ in range(3):
                launch(system, light)
            bench.say(f"{starts} starts one after another, {database.name}")
            launches = [launch(system, light) for _ in range(starts)]
            heavy_instance = instance_of(system, "heavy")
            heavy = [launch(system, heavy_instance) for _ in range(max(3, starts // 20))]
            rates = []
            for round_number in range(bench.rounds):
                bench.say(f"{many} no-op runs at once, {database.name}, {round_number + 1} of {bench.rounds}")
                rates.append(runs_per_second(system, instance_of(system, "no-op"), many))
        lines = [one.first_line for one in launches]
        seen = [one.watched for one in launches]
        said = (
            f"StartRun answered after {median(one.answered for one in launches):.1f} ms, "
            f"a watcher saw the line after {median(seen):.1f} (p99 {percentile(seen, 0.99):.1f}), "
            f"ended after {median(one.completed for one in launches):.1f}; "
            f"the runner's very first {first.first_line:.0f}; "
            f"with numpy and scikit-learn imported {median(one.first_line for one in heavy):.0f}"
        )
        yield Figure(f"launch, p50, {database.name}", median(lines), "ms", 15, "less", f"{said}; {beside}")
        yield Figure(f"launch, p99, {database.name}", percentile(lines, 0.99), "ms", 50, "less", f"{starts} starts")
        yield Figure(
            f"many small runs, {database.name}",
            median(rates),
            "runs/s",
            40,
            "more",
            f"{many} at once, {SLOTS} slots; rounds {', '.join(f'{rate:.0f}' for rate in rates)}",
        )


def limits(bench: Bench) -> str:
    """What starting anything costs here, in words."""
    bare, pydantic, forks = [], [], []
    for _ in range(bench.rounds):
        bare.append(median(took(BARE) for _ in range(5)))
        pydantic.append(median(took(PYDANTIC) for _ in range(3)))
        forks.append(float(subprocess.check_output([sys.executable, "-c", FORKS], timeout=PATIENCE)))
    return (
        f"beside it python -c pass {median(bare):.0f} ms, import pydantic {median(pydantic):.0f} ms, "
        f"a fork with pydantic imported {median(forks):.1f} ms"
    )


def took(command: list[str]) -> float:
    """Milliseconds of one process."""
    begin = time.perf_counter()
    subprocess.run(command, check=True, timeout=PATIENCE)
    return (time.perf_counter() - begin) * 1e3


def instance_of(system: System, experiment: str) -> str:
    """A new instance's id."""
    create = instance_service_pb2.CreateInstanceRequest(request_id=uuid.uuid4().hex)
    create.instance.experiment = create.instance.name = experiment
    create.instance.configuration_json = json.dumps({})
    return system.instances.CreateInstance(create, timeout=PATIENCE).instance.id


def launch(system: System, instance_id: str) -> Launch:
    """Start one run and wait for its end."""
    request = run_service_pb2.StartRunRequest(instance_id=instance_id, request_id=uuid.uuid4().hex)
    begin = time.time_ns()
    run = system.runs.StartRun(request, timeout=PATIENCE).run
    answered = time.time_ns()
    first_line = watched = 0
    for item in system.runs.WatchRun(run_service_pb2.WatchRunRequest(id=run.id), timeout=PATIENCE):
        now = time.time_ns()
        for event in item.batch.events:
            if event.HasField("log") and not first_line:
                first_line, watched = event.time.ToNanoseconds(), now
        if item.HasField("run"):
            run = item.run
    if run.state != run_pb2.RUN_STATE_COMPLETED or not first_line:
        raise RuntimeError(f"a run of a benchmark ended as\n{run}")
    moments = (answered, first_line, watched, run.end_time.ToNanoseconds())
    return Launch(*((moment - begin) / 1e6 for moment in moments))


def runs_per_second(system: System, instance_id: str, count: int) -> float:
    """Submit runs all at once; how many a second, until the last of them is COMPLETED."""
    begin = time.time_ns()
    calls = [
        system.runs.StartRun.future(
            run_service_pb2.StartRunRequest(instance_id=instance_id, request_id=uuid.uuid4().hex), timeout=PATIENCE
        )
        for _ in range(count)
    ]
    ended = begin
    for call in calls:
        run = system.wait_for_state(call.result().run.id, run_pb2.RUN_STATE_COMPLETED, timeout=PATIENCE)
        ended = max(ended, run.end_time.ToNanoseconds())
    return count / (ended - begin) * 1e9
