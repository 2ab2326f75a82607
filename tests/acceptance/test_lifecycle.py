"""The main job as a person does it: by the `athanor` command, against real processes, on both databases."""

import json
from pathlib import Path

import pytest
from athanor.client import AsyncClient
from athanor.client.events import LogEntry, ProgressUpdated, RunUpdated

from tests.support.system import System, wait_until

EXPERIMENTS = Path(__file__).parent / "experiments"


@pytest.mark.timeout(120)
def test_the_lifecycle_on_the_command_line(database_url: str, tmp_path: Path) -> None:
    with System(tmp_path / "system", database_url=database_url, paths=[EXPERIMENTS]) as system:
        system.start_orchestrator()
        nobody = system.cli_json("runners", "list")
        assert nobody["runners"] == []
        system.start_runner("bench")
        system.wait_for_experiment("hello")

        # What there is, and what could not be loaded.
        listed = system.cli_json("experiments", "list")
        assert {"hello", "digits", "ledger", "returns"} <= {item["name"] for item in listed["experiments"]}
        (broken,) = listed["discovery_errors"]
        assert "there_is_no_such_module" in broken["error"]
        assert "How often" in system.cli("experiments", "show", "hello").stdout
        assert [runner["display_name"] for runner in system.cli_json("runners", "list")["runners"]] == ["bench"]

        # An instance, changed before it is run.
        made = system.cli_json(
            "instances", "create", "hello", "--name", "first", "--set", "times=2", "--label", "paper=1"
        )
        assert made["configuration"] == {"name": "world", "times": 2}
        changed = system.cli_json("instances", "update", made["id"], "--set", "name=Ada")
        assert changed["configuration"] == {"name": "Ada", "times": 2}
        refused = system.cli("instances", "update", made["id"], "--set", "times=0", check=False)
        assert refused.returncode == 2
        assert "/times" in refused.stderr
        assert "Traceback" not in refused.stderr

        # A run of it, followed.
        ran = system.cli("run", "hello", "--set", "times=2", "--set", "name=Grace", "--name", "second")
        assert ran.stdout.count("Hello, Grace!") == 2
        (run,) = system.cli_json("runs", "list", "--experiment", "hello")["runs"]
        assert run["state"] == "COMPLETED"
        assert system.cli_json("runs", "show", run["id"])["configuration"] == {"name": "Grace", "times": 2}
        assert system.cli("logs", run["id"]).stdout.count("Hello, Grace!") == 2
        assert system.cli("logs", run["id"], "--level", "warn").stdout == ""
        (result,) = system.cli_json("results", run["id"])["results"]
        assert (result["key"], result["value"]) == ("greetings", 2)

        # A failed run is told by the exit status, a detached one is not waited for.
        failed = system.cli("run", "raises", check=False)
        assert failed.returncode == 1
        assert "this is wrong" in failed.stdout + failed.stderr
        waiting = system.cli_json("run", "waits", "--detach")
        assert waiting["state"] == "PENDING"
        cancelled = system.cli("runs", "cancel", waiting["id"], "--reason", "enough", "--wait")
        assert "CANCELLED" in cancelled.stdout
        too_late = system.cli("runs", "cancel", run["id"], check=False)
        assert too_late.returncode == 5

        # All of it is still there after a restart, and gone when it is deleted.
        assert system.orchestrator is not None
        assert system.orchestrator.stop() == 0
        away = system.cli("runs", "list", check=False, timeout=60)
        assert away.returncode == 4
        assert system.target in away.stderr
        assert "Traceback" not in away.stderr
        system.start_orchestrator()
        assert len(system.cli_json("runs", "list")["runs"]) == 3
        assert json.loads(system.cli("results", run["id"], "--json").stdout)["results"][0]["value"] == 2

        system.cli("runs", "delete", run["id"], "--yes")
        assert system.cli("runs", "show", run["id"], check=False).returncode == 5
        system.cli("instances", "delete", made["id"], "--yes")
        assert made["id"] not in [item["id"] for item in system.cli_json("instances", "list")["instances"]]


async def test_the_lifecycle_in_python(tmp_path: Path) -> None:
    """The README's Python, with everything a watch gives."""
    with System(tmp_path / "system", paths=[EXPERIMENTS]) as system:
        system.start_orchestrator()
        system.start_runner()
        system.wait_for_experiment("hello")

        async with AsyncClient(system.target) as client:
            instance = await client.instances.create("hello", {"times": 5})
            run = await client.runs.start(instance.id, seed=7)
            items = [item async for item in client.runs.watch(run.id)]

            updates = [item.run for item in items if isinstance(item, RunUpdated)]
            assert updates[-1].ended
            assert updates[-1].seed == 7
            assert [item.message for item in items if isinstance(item, LogEntry)] == ["Hello, world!"] * 5
            progress = [item.progress for item in items if isinstance(item, ProgressUpdated)]
            assert progress == [] or progress[-1].total == 5
            assert [result.value async for result in client.runs.results(run.id)] == [5]
            assert (await client.runs.get(run.id)).progress.current == 5


@pytest.mark.timeout(90)
def test_an_experiment_is_found_again_when_its_file_changes(tmp_path: Path) -> None:
    """Nothing is registered and nothing restarted."""
    folder = tmp_path / "mine"
    folder.mkdir()
    source = (
        "from athanor.experiment import RunContext, experiment\n"
        "from pydantic import BaseModel\n"
        "class Config(BaseModel):\n    n: int = {n}\n"
        "@experiment(name='mine', description='{description}')\n"
        "def mine(ctx: RunContext[Config]) -> None:\n    ctx.result('n', ctx.config.n)\n"
    )
    module = folder / "mine.py"
    module.write_text(source.format(n=1, description="as it was"))

    with System(tmp_path / "system", paths=[folder]) as system:
        system.start_orchestrator()
        system.start_runner()
        system.wait_for_experiment("mine")
        before = system.cli_json("experiments", "show", "mine")
        assert before["description"] == "as it was"

        module.write_text(source.format(n=2, description="as it is now"))
        wait_until(
            lambda: system.cli_json("experiments", "show", "mine")["description"] == "as it is now", 30, "the change"
        )
        after = system.cli_json("experiments", "show", "mine")
        assert after["code"]["digest"] != before["code"]["digest"]
        run = system.wait_for_end(system.start_run("mine").id)
        assert run.attempts[0].code.digest == after["code"]["digest"], "what was executed is what is recorded"
