"""Exports of a run that goes on: while it does, when they are interrupted, when the orchestrator is gone."""

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import athanor
import pytest
from athanor.client import Client, Event, Page, Results, Run, UnavailableError
from athanor.client.export import open_writer
from athanor.v1 import run_pb2
from pyarrow import csv, parquet

from tests.support.system import System, wait_until

EXPERIMENTS = Path(__file__).parent / "experiments"
SUFFIXES = ("jsonl", "csv", "parquet", "jsonl.gz", "csv.gz")

# What a person would type; it is interrupted.
EXPORT = """
import sys, athanor
with athanor.connect(sys.argv[1]) as client:
    client.runs.get(sys.argv[2]).export(sys.argv[3], what="events", follow=True)
"""


@pytest.fixture
def system(tmp_path: Path) -> Iterator[System]:
    with System(tmp_path / "system", paths=[EXPERIMENTS]) as system:
        system.start_orchestrator()
        system.start_runner()
        yield system


def counting(system: System, client: Client, stop_file: Path) -> Run:
    """A run that goes on until the file is there; it has recorded some results."""
    run = client.runs.get(system.start_run("counting", {"stop_file": str(stop_file)}).id)
    system.wait_for_state(run.id, run_pb2.RUN_STATE_RUNNING)
    wait_until(lambda: run.refresh().result_count >= 5, 30, "results")
    return run


def column(path: Path, name: str) -> list[Any]:
    """One column of an export, read by somebody else's library."""
    if ".jsonl" in path.name:
        import pandas

        lines = pandas.read_json(path, lines=True, dtype=False)
        return list(lines[name])
    if ".csv" in path.name:
        return csv.read_csv(path)[name].to_pylist()
    return parquet.read_table(path)[name].to_pylist()


@pytest.mark.timeout(180)
def test_a_run_is_exported_while_it_goes_on_and_again_when_it_has_ended(system: System, tmp_path: Path) -> None:
    with athanor.connect(system.target) as client:
        run = counting(system, client, tmp_path / "stop")
        early = export_each(run, tmp_path / "early")
        so_far = run.refresh().result_count
        wait_until(lambda: run.refresh().result_count > so_far, 30, "the run to go on")
        (tmp_path / "stop").touch()
        run.wait(30)
        late = export_each(run, tmp_path / "late")
        events, results = run.events().all(), run.results()

    for what, standing in (("events", events), ("results", results.records)):
        sequences = [each.sequence for each in standing]
        for suffix in SUFFIXES:
            before, after = (
                column(early / f"{what}.{suffix}", "sequence"),
                column(late / f"{what}.{suffix}", "sequence"),
            )
            assert after == sequences
            assert 0 < len(before) < len(after)
            assert before == sequences[: len(before)], "as far as it had come, and nothing left out"
    assert_values(late, results)
    assert {path.name for path in late.iterdir()} == {f"{what}.{s}" for what in ("events", "results") for s in SUFFIXES}


def export_each(run: Run, folder: Path) -> Path:
    folder.mkdir()
    what: Literal["events", "results"]
    for what in ("events", "results"):
        for suffix in SUFFIXES:
            count = run.export(folder / f"{what}.{suffix}", what=what)
            assert count == len(column(folder / f"{what}.{suffix}", "sequence"))
    return folder


def assert_values(folder: Path, results: Results) -> None:
    numbers = results["number"]
    assert numbers == list(range(len(numbers)))
    assert column(folder / "results.jsonl", "value") == numbers
    assert column(folder / "results.csv", "number") == numbers
    assert column(folder / "results.parquet", "integer") == numbers
    times = [record.time for record in results.records]
    assert column(folder / "results.parquet", "time") == times


@pytest.mark.timeout(120)
def test_ctrl_c_keeps_what_was_written_under_another_name_and_says_so(system: System, tmp_path: Path) -> None:
    target = tmp_path / "log.jsonl"
    partial = tmp_path / "log.partial.jsonl"
    with athanor.connect(system.target) as client:
        run = counting(system, client, tmp_path / "stop")
        exporting = subprocess.Popen(
            [sys.executable, "-c", EXPORT, system.target, run.id, str(target)],
            env=system.env,
            stderr=subprocess.PIPE,
            text=True,
        )
        wait_until(lambda: partial.exists() and partial.stat().st_size > 0, 60, "the export to write")
        exporting.send_signal(signal.SIGINT)
        _, said = exporting.communicate(timeout=60)

        lines = partial.read_text().splitlines()
        note = f"the {len(lines)} events that were exported before that are in "
        assert said.rstrip().splitlines()[-2:] == ["KeyboardInterrupt", f"{note}{partial}"]
        assert [json.loads(line)["sequence"] for line in lines] == list(range(1, len(lines) + 1))
        assert not target.exists()
        assert not run.refresh().ended, "the run goes on"
        (tmp_path / "stop").touch()


@pytest.mark.timeout(120)
@pytest.mark.parametrize("suffix", ["jsonl.gz", "csv", "parquet"])
def test_an_orchestrator_that_is_lost_leaves_no_half_file(system: System, tmp_path: Path, suffix: str) -> None:
    target = tmp_path / f"log.{suffix}"
    target.write_bytes(b"of yesterday")
    with athanor.connect(system.target, retry_for=0.5) as client:
        run = counting(system, client, tmp_path / "stop")
        (tmp_path / "stop").touch()
        run.wait(30)
        pages = client.runs.events(run.id, page_size=5).pages()
        with pytest.raises(UnavailableError) as caught:
            export_and_lose(system, pages, target)
    assert target.read_bytes() == b"of yesterday"
    name, _, rest = target.name.partition(".")
    partial = tmp_path / f"{name}.partial.{rest}"
    assert caught.value.__notes__[-1] == f"the 5 events that were exported before that are in {partial}"
    assert column(partial, "sequence") == [1, 2, 3, 4, 5]


def export_and_lose(system: System, pages: Iterator[Page[Event]], target: Path) -> None:
    with open_writer(target, what="events") as writer:
        writer.write(next(pages).items)
        assert system.orchestrator is not None
        system.orchestrator.kill()
        for page in pages:
            writer.write(page.items)
