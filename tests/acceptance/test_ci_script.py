"""The script of docs/how-to/ci.md, as a job runs it: also where the experiment fails, or cannot be loaded."""

import json
import os
import subprocess
import uuid
from pathlib import Path

import pytest

from tests.support.pages import ROOT, blocks_of
from tests.support.reader import free_port
from tests.support.system import BIN, MARKER, clean_environment, processes_with, wait_until

PAGE = ROOT / "docs" / "how-to" / "ci.md"
FILES = {block.title: block.text for block in blocks_of(PAGE) if block.title}


@pytest.fixture
def job(tmp_path: Path) -> Path:
    """The folder of a job, with what the page says to save."""
    for name, text in FILES.items():
        file = tmp_path / name
        file.parent.mkdir(exist_ok=True)
        file.write_text(text)
    (tmp_path / "tmp").mkdir()
    return tmp_path


def run_script(job: Path, script: str = "ci.sh") -> subprocess.CompletedProcess[str]:
    """Run it to its end, after which nothing of it is left."""
    address, marker = f"127.0.0.1:{free_port()}", uuid.uuid4().hex
    env = clean_environment() | {
        MARKER: marker,
        "HOME": str(job),
        "TMPDIR": str(job / "tmp"),
        "PATH": f"{BIN}:{os.environ['PATH']}",
        "ATHANOR_LISTEN": address,
        "ATHANOR_TARGET": address,
    }
    done = subprocess.run(
        ["bash", script], cwd=job, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=150
    )
    wait_until(lambda: not processes_with(f"{MARKER}={marker}"), 10, "what the script started to end")
    assert list((job / "tmp").iterdir()) == [], "what it kept its data in is gone"
    return done


def records(file: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in file.read_text().splitlines()]


@pytest.mark.timeout(240)
def test_a_run_that_completed_leaves_its_results(job: Path) -> None:
    done = run_script(job)
    assert done.returncode == 0, done.stderr
    assert [(one["key"], one["value"]) for one in records(job / "results.jsonl")] == [("doubled", 42)]
    assert records(job / "log.jsonl")


@pytest.mark.timeout(240)
def test_a_run_that_failed_fails_the_job_and_leaves_its_log(job: Path) -> None:
    source = job / "my-experiments" / "doubling.py"
    source.write_text(source.read_text() + '    raise ValueError("too much")\n')
    done = run_script(job)
    assert done.returncode == 1, done.stderr
    assert "ValueError: too much" in done.stderr
    assert records(job / "results.jsonl"), "what it found before it failed"
    assert "too much" in (job / "log.jsonl").read_text()


@pytest.mark.timeout(240)
def test_a_second_job_in_the_same_workspace_does_not_hand_out_the_results_of_the_first(job: Path) -> None:
    assert run_script(job).returncode == 0
    assert (job / "results.jsonl").exists()
    source = (job / "ci.sh").read_text()
    assert "--set n=21" in source
    (job / "second.sh").write_text(source.replace("--set n=21", "--set n=nonsense"))
    done = run_script(job, "second.sh")
    assert done.returncode == 2, done.stderr
    assert not (job / "results.jsonl").exists()
    assert not (job / "log.jsonl").exists()


@pytest.mark.timeout(240)
def test_an_experiment_that_cannot_be_loaded_fails_the_job_and_is_named(job: Path) -> None:
    script = job / "ci.sh"
    assert "--wait 60s" in script.read_text()
    script.write_text(script.read_text().replace("--wait 60s", "--wait 8s"))
    (job / "my-experiments" / "doubling.py").write_text("import nowhere_to_be_found\n")
    done = run_script(job)
    assert done.returncode == 1, done.stderr
    assert "no connected runner has the experiment 'doubling'" in done.stdout
    assert "No module named 'nowhere_to_be_found'" in done.stdout
    assert "not ready after 8.0s" in done.stderr
    assert not (job / "results.jsonl").exists()
