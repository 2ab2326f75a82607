"""Experiments that are new, change, break or take the describing process with them."""

from pathlib import Path

import pytest
from athanor.v1 import run_pb2

from tests.support.runner import Orchestrator
from tests.support.runner_stage import Start


async def test_new_code_is_told_and_executed(orchestrator: Orchestrator, start: Start, tmp_path: Path) -> None:
    await start()
    await orchestrator.knows("returns")
    code = tmp_path / "experiments" / "fresh.py"
    text = "from athanor.experiment import experiment\n@experiment\ndef fresh(ctx) -> None:\n"
    code.write_text(f"{text}    ctx.info('first')\n")
    lease = await orchestrator.run("fresh")
    assert lease.lines[-1] == "first"
    count = len(orchestrator.definitions)
    code.write_text(f"{text}    ctx.info('second version')\n")
    await orchestrator.until(lambda: len(orchestrator.definitions) > count)
    assert [entry.experiment.name for entry in orchestrator.definitions[count:]] == ["fresh"]
    lease = await orchestrator.run("fresh")
    assert lease.lines[-1] == "second version"
    code.unlink()
    await orchestrator.until(lambda: "fresh" not in orchestrator.experiments)


async def test_settings_that_were_saved_a_moment_ago_are_not_mixed_with_those_of_before(
    orchestrator: Orchestrator, start: Start, tmp_path: Path
) -> None:
    """Between saving and describing, a run is of the new code, and its configuration of the old settings."""
    code = tmp_path / "experiments" / "fresh.py"
    text = (
        "from athanor.experiment import RunContext, experiment\nfrom pydantic import BaseModel\n"
        "class Config(BaseModel):\n    size: int = {size}\n"
        "@experiment\ndef fresh(ctx: RunContext[Config]) -> None:\n    ctx.info(str(ctx.config.size))\n"
    )
    code.write_text(text.format(size=60))
    await start(ATHANOR_RUNNER_WATCH="5")
    lease = await orchestrator.run("fresh", configuration='{"size": 60}')
    assert lease.lines[-1] == "60"
    count = len(orchestrator.definitions)
    code.write_text(text.format(size=11))
    lease = await orchestrator.run("fresh", configuration='{"size": 60}')
    assert lease.ended is not None
    assert lease.ended.failure.kind == run_pb2.Failure.KIND_CONFIGURATION
    assert "run it again" in lease.ended.failure.message
    assert len(orchestrator.definitions) == count


@pytest.mark.parametrize(
    ("source", "error"),
    [("import os; os._exit(3)", "ended the process with exit status 3"), ("import time; time.sleep(600)", "over 3 s")],
    ids=["ends the process", "hangs"],
)
async def test_a_module_that_takes_the_describing_process_with_it_hides_no_other(
    orchestrator: Orchestrator, start: Start, tmp_path: Path, source: str, error: str
) -> None:
    package = tmp_path / "experiments" / "package"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "deadly.py").write_text(f"print('last words', flush=True)\n{source}\n")
    runner = await start(ATHANOR_RUNNER_DESCRIBE="3")
    await orchestrator.knows("returns", "hello")

    def told() -> list[str]:
        return [entry.error.error for entry in orchestrator.definitions if entry.error.module == "package.deadly"]

    await orchestrator.until(told)
    assert error in told()[0]
    assert "last words" in told()[0]
    (package / "deadly.py").write_text(
        "from athanor.experiment import RunContext, experiment\n"
        "@experiment\ndef mended(ctx: RunContext) -> None: pass\n"
    )
    await orchestrator.knows("mended")
    assert runner.process.returncode is None


async def test_a_broken_module_is_told_and_when_it_was_mended(
    orchestrator: Orchestrator, start: Start, tmp_path: Path
) -> None:
    await start()

    def errors() -> list[str]:
        return [entry.error.error for entry in orchestrator.definitions if entry.error.module == "broken"]

    await orchestrator.until(errors)
    assert "there_is_no_such_module" in errors()[0]
    (tmp_path / "experiments" / "broken.py").write_text("")
    await orchestrator.until(lambda: errors()[-1] == "")
