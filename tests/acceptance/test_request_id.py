"""A call repeated with its `request_id` makes one thing, whoever repeats it and whatever happened in between."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import pytest
from athanor.v1 import instance_service_pb2, run_pb2, run_service_pb2

from tests.support.system import System

EXPERIMENTS = Path(__file__).parent / "experiments"


def test_a_request_id_holds_under_concurrent_calls_and_across_a_restart(database_url: str, tmp_path: Path) -> None:
    with System(tmp_path / "system", database_url=database_url, paths=[EXPERIMENTS]) as system:
        system.start_orchestrator()
        system.start_runner()
        system.wait_for_experiment("isolation")

        create = instance_service_pb2.CreateInstanceRequest(request_id="create-1")
        create.instance.experiment = "isolation"
        create.instance.name = "once"
        with ThreadPoolExecutor(16) as pool:
            answers = list(pool.map(lambda _: system.instances.CreateInstance(create, timeout=20), range(48)))
            (instance_id,) = {answer.instance.id for answer in answers}

            start = run_service_pb2.StartRunRequest(instance_id=instance_id, request_id="start-1")
            started = list(pool.map(lambda _: system.runs.StartRun(start, timeout=20), range(48)))
            (run_id,) = {answer.run.id for answer in started}

        assert system.wait_for_end(run_id).state == run_pb2.RUN_STATE_COMPLETED
        assert system.orchestrator is not None
        system.orchestrator.kill()
        system.start_orchestrator()

        again = system.instances.CreateInstance(create, timeout=20, wait_for_ready=True)
        assert again.instance.id == instance_id
        assert system.runs.StartRun(start, timeout=20).run.id == run_id
        assert len(system.runs.ListRuns(run_service_pb2.ListRunsRequest(), timeout=20).runs) == 1
        assert (
            len(system.instances.ListInstances(instance_service_pb2.ListInstancesRequest(), timeout=20).instances) == 1
        )

        start.labels["another"] = "body"
        with pytest.raises(grpc.RpcError) as refusal:
            system.runs.StartRun(start, timeout=20)
        assert refusal.value.code() is grpc.StatusCode.ALREADY_EXISTS
