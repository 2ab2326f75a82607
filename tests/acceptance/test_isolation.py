"""Each run has a process of its own."""

import json
from pathlib import Path
from typing import Any

from athanor.v1 import run_pb2

from tests.support.system import System

EXPERIMENTS = Path(__file__).parent / "experiments"


def test_two_runs_share_no_process_and_no_module_globals(tmp_path: Path) -> None:
    with System(tmp_path / "system", paths=[EXPERIMENTS]) as system:
        system.start_orchestrator()
        system.start_runner()

        found = []
        for _ in range(2):
            run = system.wait_for_end(system.start_run("isolation").id)
            assert run.state == run_pb2.RUN_STATE_COMPLETED
            results = results_of(system, run.id)
            assert results["visitors"] == [run.id], "nothing of an earlier run is there"
            found.append(results["process"])

        first, second = found
        assert first["pid"] != second["pid"]
        assert first["start_time"] != second["start_time"]
        assert [process["group"] for process in found] == [process["pid"] for process in found], "a group of its own"


def results_of(system: System, run_id: str) -> dict[str, Any]:
    return {
        event.result.key: json.loads(event.result.value_json)
        for event in system.events(run_id)
        if event.HasField("result")
    }
