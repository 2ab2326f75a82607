"""The key of a chat API is where the run needs it, and in nothing that Athanor keeps."""

import json
from pathlib import Path
from typing import Any

import pytest
from athanor.v1 import run_pb2

from tests.support.chat_server import Answer, ChatServer, Request, completion
from tests.support.system import System

KEY = "sk-accept-5f0c3b7e9a1d"
VARIABLE = "CHAT_KEY_OF_THE_TEST"


def test_in_no_file_of_orchestrator_and_runner_there_is_the_key(tmp_path: Path) -> None:
    """The server repeats it in an error, and a model in an answer."""

    def respond(request: Request) -> Answer:
        if request.body["model"] == "refused":
            return Answer(401, json.dumps({"error": {"message": f"Incorrect API key provided: {KEY}"}}))
        return completion(f"Somebody told me {KEY}.", logprobs={"Some": -0.5})

    with (
        ChatServer(respond) as server,
        System(tmp_path / "system", env={VARIABLE: KEY, "NO_PROXY": "127.0.0.1"}) as system,
    ):
        system.start_orchestrator()
        system.start_runner()
        configuration: dict[str, Any] = {
            "provider": "openai_compatible",
            "pairs": [{"model_a": "good", "model_b": "refused"}],
            "runs_per_pair": 1,
            "api": {"base_url": server.url, "api_key_env": VARIABLE, "requests_per_minute": 10_000},
        }
        run = system.wait_for_end(system.start_run("substrate_shift", configuration, seed=7).id)
        assert run.state == run_pb2.RUN_STATE_COMPLETED
        assert {request.headers["authorization"] for request in server.requests} == {f"Bearer {KEY}"}
        results = {
            event.result.key: json.loads(event.result.value_json)
            for event in system.events(run.id)
            if event.HasField("result")
        }
        assert results["pair_1/switch_0/run_1"]["turns"][0]["answer"] == "Somebody told me [API key]."
        assert results["pair_1/switch_3/run_1"]["error"]["message"].endswith("Incorrect API key provided: [API key]")

        files = [path for path in system.folder.rglob("*") if path.is_file()]
        assert any(path.name == "athanor.db" for path in files), "what is looked through is what is kept"
        assert [path for path in files if KEY.encode() in path.read_bytes()] == []


@pytest.mark.parametrize("mistake", [f"api.api_key_env={KEY}", f"api.base_url=https://{KEY}@example.org/v1"])
def test_a_key_in_a_field_that_is_not_for_it_is_refused_and_repeated_and_kept_nowhere(
    tmp_path: Path, mistake: str
) -> None:
    with System(tmp_path / "system") as system:
        system.start_orchestrator()
        system.start_runner()
        system.wait_for_experiment("substrate_shift")
        for options in ([], ["--json"]):
            done = system.cli("run", "substrate_shift", "--set", mistake, *options, check=False)
            assert done.returncode == 2
            assert "its value is not repeated" in done.stdout + done.stderr
            assert mistake.partition("=")[0].replace(".", "/") in done.stdout + done.stderr
            assert KEY not in done.stdout + done.stderr
        assert system.cli_json("runs", "list") == {"runs": []}
        assert system.cli_json("instances", "list") == {"instances": []}
        files = [path for path in system.folder.rglob("*") if path.is_file()]
        assert [path for path in files if KEY.encode() in path.read_bytes()] == []
