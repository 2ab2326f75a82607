"""What a call of `ctx.log` costs the experiment, in a real run: the runner tails the spool, the orchestrator stores."""

import json
from collections.abc import Iterator

from athanor.v1 import run_pb2
from athanor.v1 import run_service_pb2 as calls

from benchmarks.bench import Bench
from benchmarks.cores import occupied, two_cores
from benchmarks.figures import Figure, median, number
from tests.support.system import System

WORK_US = 1000  # between two calls of an experiment that also does something else


def measure(bench: Bench) -> Iterator[Figure]:
    """Two cores in all, one of them kept busy by a process that is pinned to it; the run goes where it likes."""
    calls_of_a_flood, calls_between_work = bench.size(20_000, 200_000, 1_000_000), bench.size(400, 4000)
    flood: dict[str, list[float]] = {}
    paced: dict[str, list[float]] = {}
    with two_cores() as cores, bench.sqlite() as database, occupied(cores[-1]):
        for turn in range(bench.rounds):
            bench.say(f"ctx.log, round {turn + 1} of {bench.rounds}")
            with bench.system(database) as system:
                for found, count, work_us in ((flood, calls_of_a_flood, 0), (paced, calls_between_work, WORK_US)):
                    for key, value in one_run(bench, system, count, work_us).items():
                        found.setdefault(key, []).append(value)

    def all_of(found: dict[str, list[float]], share: str) -> str:
        return ", ".join(f"{what} {number(median(found[f'{key} {share}']))}" for key, what in BESIDE.items())

    for share, reach in (("p50", 5.0), ("p99", 25.0)):
        yield Figure(
            f"ctx.log in the experiment, {share}",
            median(flood[f"log {share}"]),
            "us",
            reach,
            "less",
            f"{all_of(flood, share)}; called as fast as it can be, one of two cores busy with something else; "
            f"after {WORK_US} us of work each: {number(median(paced[f'log {share}']))} us, {all_of(paced, share)}",
        )


BESIDE = {"write": "os.write of as many bytes", "json": "json.dumps of the metadata"}


def one_run(bench: Bench, system: System, count: int, work_us: int) -> dict[str, float]:
    """What an experiment found that times its own calls, in microseconds."""
    config = {"calls": count, "work_us": work_us, "folder": str(bench.folder)}
    run = system.wait_for_end(system.start_run("call_cost", config).id, timeout=100)
    if run.state != run_pb2.RUN_STATE_COMPLETED:
        raise RuntimeError(f"the run failed: {run.failure.message}")
    answer = system.runs.ListResults(calls.ListResultsRequest(run_id=run.id), timeout=10)
    return {found.result.key: json.loads(found.result.value_json) for found in answer.results}
