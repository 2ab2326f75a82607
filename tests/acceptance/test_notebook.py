"""A run in a real Jupyter kernel: shown live below its cell, and as the value of one."""

from pathlib import Path

import pytest
from athanor.v1 import run_pb2

from tests.support.kernel import Cell, Kernel
from tests.support.system import System, wait_until

EXPERIMENTS = Path(__file__).parent / "experiments"


def html(cell: Cell) -> str:
    """What the only output of a cell shows."""
    (output,) = cell.shown
    return output["text/html"]


@pytest.mark.timeout(180)
def test_a_run_is_watched_in_a_notebook_and_interrupting_the_cell_leaves_it_alone(tmp_path: Path) -> None:
    stop_file = tmp_path / "stop"
    with System(tmp_path / "system", paths=[EXPERIMENTS]) as system:
        system.start_orchestrator()
        system.start_runner()
        run = system.start_run("counting", {"stop_file": str(stop_file)})
        system.wait_for_state(run.id, run_pb2.RUN_STATE_RUNNING)

        with Kernel(tmp_path, system.env) as kernel:
            kernel.run(
                f"import athanor; client = athanor.connect({system.target!r}); run = client.runs.get({run.id!r})"
            )
            kernel.run("from athanor.client.notebook import live")
            watched = kernel.start("seen = live(run, lines=3, interval=0.05)")
            watched.wait(lambda: watched.updates >= 5 and "<td" in html(watched))
            assert not watched.ended
            assert "RUNNING" in html(watched)
            assert ">number<" in html(watched)

            kernel.interrupt()
            watched.wait()
            assert watched.ended
            assert watched.error == "", "interrupting is no error"
            assert "no longer watched: the run goes on" in html(watched)
            before = system.get_run(run.id)
            assert before.state == run_pb2.RUN_STATE_RUNNING
            assert not before.HasField("cancel_request_time")
            wait_until(lambda: system.get_run(run.id).last_sequence > before.last_sequence, 30, "the run to go on")

            stop_file.touch()
            to_the_end = kernel.run("live(run, interval=0.05)")
            assert "COMPLETED" in to_the_end.shown[0]["text/html"]
            assert "no longer watched" not in to_the_end.shown[0]["text/html"]
            assert "COMPLETED" in html(kernel.run("run.refresh()"))
            assert ">number<" in html(kernel.run("run.results()"))
            assert run.instance_id in html(kernel.run("run.instance()"))
            figure = kernel.run(
                "from athanor.client.compare import compare\ncompare([run], {run.id: run.results()}).plot()"
            )
            assert "image/png" in figure.shown[0]
