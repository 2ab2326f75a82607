"""The whole lifecycle by `buf curl`, which knows nothing of the contract but what reflection tells it."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support.system import BIN, System

EXPERIMENTS = Path(__file__).parent / "experiments"
Call = Callable[..., list[dict[str, Any]]]


def caller(system: System) -> Call:
    """`call("Service/Method", {...})` gives the answers as plain JSON."""

    def call(method: str, request: dict[str, Any] | None = None, *, fails: bool = False) -> list[dict[str, Any]]:
        done = subprocess.run(
            [
                *(str(BIN / "buf"), "curl", "--protocol", "grpc", "--http2-prior-knowledge"),
                *("-d", json.dumps(request or {}), f"http://{system.target}/{method}"),
            ],
            cwd=system.folder,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert (done.returncode != 0) == fails, done.stderr
        return documents(done.stderr if fails else done.stdout)

    return call


@pytest.mark.timeout(90)
def test_the_lifecycle_through_reflection_alone(tmp_path: Path) -> None:
    with System(tmp_path / "system", paths=[EXPERIMENTS]) as system:
        system.start_orchestrator()
        system.start_runner()
        system.wait_for_experiment("hello")
        call = caller(system)

        (health,) = call("grpc.health.v1.Health/Check", {"service": "athanor.v1.RunService"})
        assert health["status"] == "SERVING"

        (listed,) = call("athanor.v1.ExperimentService/ListExperiments")
        assert "hello" in [experiment["name"] for experiment in listed["experiments"]]
        assert any("there_is_no_such_module" in error["error"] for error in listed["discoveryErrors"])

        wrong = {"instance": {"experiment": "hello", "name": "wrong", "configurationJson": '{"times": 0}'}}
        (refusal,) = call("athanor.v1.InstanceService/CreateInstance", wrong, fails=True)
        assert refusal["code"] == "invalid_argument"
        assert "/times" in json.dumps(refusal)

        create = {"instance": {"experiment": "hello", "name": "by hand", "configurationJson": '{"times": 3}'}}
        (created,) = call("athanor.v1.InstanceService/CreateInstance", create)
        instance = created["instance"]
        assert json.loads(instance["configurationJson"]) == {"name": "world", "times": 3}, "defaults are filled in"

        rename = {"instance": {"id": instance["id"], "name": "renamed"}, "updateMask": "name"}
        (updated,) = call("athanor.v1.InstanceService/UpdateInstance", rename)
        assert updated["instance"]["name"] == "renamed"

        (started,) = call("athanor.v1.RunService/StartRun", {"instanceId": instance["id"], "requestId": "by-hand-1"})
        run_id = started["run"]["id"]

        # The watch ends by itself when the run has ended.
        items = call("athanor.v1.RunService/WatchRun", {"id": run_id})
        assert items[-1]["run"]["state"] == "RUN_STATE_COMPLETED"
        events = [event for item in items for event in item.get("batch", {}).get("events", [])]
        assert [int(event["sequence"]) for event in events] == list(range(1, len(events) + 1))
        messages = [event["log"]["message"] for event in events if "log" in event]
        assert messages == ["Hello, world!"] * 3

        (results,) = call("athanor.v1.RunService/ListResults", {"runId": run_id})
        assert [(item["result"]["key"], item["result"]["valueJson"]) for item in results["results"]] == [
            ("greetings", "3")
        ]

        (refusal,) = call("athanor.v1.RunService/CancelRun", {"id": run_id}, fails=True)
        assert refusal["code"] == "failed_precondition"

        (waiting,) = call(
            "athanor.v1.InstanceService/CreateInstance", {"instance": {"experiment": "waits", "name": "w"}}
        )
        (started,) = call("athanor.v1.RunService/StartRun", {"instanceId": waiting["instance"]["id"]})
        call("athanor.v1.RunService/CancelRun", {"id": started["run"]["id"], "reason": "enough"})
        items = call("athanor.v1.RunService/WatchRun", {"id": started["run"]["id"]})
        assert items[-1]["run"]["state"] == "RUN_STATE_CANCELLED"
        assert items[-1]["run"]["cancelReason"] == "enough"

        (runners,) = call("athanor.v1.RunnerService/ListRunners")
        assert [runner["displayName"] for runner in runners["runners"]] == ["runner"]

        call("athanor.v1.InstanceService/DeleteInstance", {"id": instance["id"]})
        (refusal,) = call("athanor.v1.RunService/GetRun", {"id": run_id}, fails=True)
        assert refusal["code"] == "not_found"


def documents(text: str) -> list[dict[str, Any]]:
    """The JSON documents that stand one behind the other in a text."""
    found, decoder = [], json.JSONDecoder()
    while text := text.strip():
        document, end = decoder.raw_decode(text)
        found.append(document)
        text = text[end:]
    return found
