"""`athanor compare`, `instances diff` and `export` against a real orchestrator with a real runner."""

import csv
import json
import time
from collections.abc import Iterator
from pathlib import Path

import athanor
import pytest
from athanor.client.export import open_writer
from athanor.v1 import run_pb2

from tests.support.screen import Screen, draw
from tests.support.system import BIN, System

EXPERIMENTS = """
import time
from typing import Literal
from athanor.experiment import RunContext, experiment
from pydantic import BaseModel


class Config(BaseModel):
    method: Literal["good", "bad"] = "good"
    steps: int = 3
    layers: list[int] = [64, 32]
    pause: float = 0.0


@experiment(name="long")
def long(ctx: RunContext[Config]) -> None:
    fits(ctx)


@experiment(name="fits")
def fits(ctx: RunContext[Config]) -> None:
    for step in ctx.track(range(ctx.config.steps)):
        ctx.info(f"step {step}")
        ctx.result("loss", 1 / (step + 1))
        time.sleep(ctx.config.pause)
    ctx.result("score", {"f1": 0.9 + ctx.rng.random() / 100, "good": ctx.config.method == "good"})


@experiment(name="dotted")
def dotted(ctx: RunContext[Config]) -> None:
    ctx.result("loss", 3)
    ctx.result("val.loss", 2)
    ctx.result("val", {"acc": {"top1": 0.5, "top5": 0.75}})
"""


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    folder = tmp_path_factory.mktemp("findings")
    (folder / "experiments").mkdir()
    (folder / "experiments" / "fits.py").write_text(EXPERIMENTS)
    with System(folder / "system", paths=[folder / "experiments"]) as system:
        system.start_orchestrator()
        system.start_runner()
        system.wait_for_experiment("fits")
        yield system


def instance_of(system: System, *settings: str, name: str) -> str:
    options = [word for setting in settings for word in ("--set", setting)]
    return system.cli_json("instances", "create", "fits", "--name", name, *options)["id"]


def runs_of(system: System, instance: str, count: int) -> list[str]:
    started = [system.cli_json("runs", "start", instance, "--detach")["id"] for _ in range(count)]
    for run in started:
        assert system.wait_for_end(run).state == run_pb2.RUN_STATE_COMPLETED
    return started


@pytest.fixture(scope="module")
def compared(system: System) -> tuple[str, str, list[str]]:
    """Two instances, and their runs: three of the first, one of the second."""
    good = instance_of(system, name="good one")
    bad = instance_of(system, "method=bad", "layers=[64]", name="bad one")
    return good, bad, [*runs_of(system, good, 3), *runs_of(system, bad, 1)]


def test_runs_are_compared(system: System, compared: tuple[str, str, list[str]]) -> None:
    good, bad, run_ids = compared
    shown = system.cli_json("compare", *run_ids, "--confidence", "0.9")
    assert shown["paths"] == ["method", "layers.1"]
    assert shown["metrics"] == ["loss", "score.f1"]
    assert [run["id"] for run in shown["runs"]] == run_ids
    assert shown["runs"][3]["configuration"] == {"method": "bad"}
    assert shown["runs"][0]["results"]["loss"] == 1 / 3, "of a key that repeats the last counts"
    first, second = shown["groups"]
    assert (first["instance_id"], first["run_ids"], first["label"]) == (good, run_ids[:3], "good one")
    assert first["results"]["loss"] == {
        "count": 3,
        "mean": 1 / 3,
        "standard_deviation": 0.0,
        "low": 1 / 3,
        "high": 1 / 3,
    }
    f1 = first["results"]["score.f1"]
    assert f1["low"] < f1["mean"] < f1["high"]
    wider = system.cli_json("compare", *run_ids)["groups"][0]["results"]["score.f1"]
    assert wider["low"] < f1["low"]
    assert (second["instance_id"], second["results"]["loss"]["low"]) == (bad, None)

    lines = system.cli("compare", *run_ids, "--result", "score").stdout.splitlines()
    assert lines[0].split() == ["RUN", "STATE", "method", "layers.1", "score.f1"]
    assert lines[1].split()[:4] == [run_ids[0], "COMPLETED", "good", "32"]
    assert lines[4].split()[:4] == [run_ids[3], "COMPLETED", "bad", "-"]
    assert lines[6].split() == ["REPEATS", "OF", "RESULT", "N", "MEAN", "STD", "95", "%", "CI"]
    assert lines[7].startswith("good one")


@pytest.mark.parametrize(
    ("asked", "shown"),
    [
        (["val.loss"], ['"val.loss"']),  # a key with a dot, as it was recorded
        (['"val.loss"'], ['"val.loss"']),  # and as it is printed
        (["val"], ["val.acc.top1", "val.acc.top5"]),
        (["val.acc.top5", "loss"], ["val.acc.top5", "loss"]),  # in the order asked for
    ],
)
def test_results_are_chosen_as_the_client_does(system: System, asked: list[str], shown: list[str]) -> None:
    run = system.start_run("dotted").id
    system.wait_for_end(run)
    options = [word for name in asked for word in ("--result", name)]
    found = system.cli_json("compare", run, *options)
    assert found["metrics"] == list(found["runs"][0]["results"]) == list(found["groups"][0]["results"]) == shown
    with athanor.connect(system.target) as client:
        assert list(client.runs.compare([run], metrics=asked).metrics) == shown
    lines = system.cli("compare", run, *options).stdout.splitlines()
    assert lines[0].split() == ["RUN", "STATE", *shown]


def test_an_instance_stands_for_its_runs(system: System, compared: tuple[str, str, list[str]]) -> None:
    good, bad, run_ids = compared
    assert [run["id"] for run in system.cli_json("compare", good, bad)["runs"]] == run_ids
    assert [run["id"] for run in system.cli_json("compare", bad, run_ids[0][:30])["runs"]] == [run_ids[3], run_ids[0]]
    newest = system.cli_json("compare", "--experiment", "fits", "--limit", "2")["runs"]
    assert [run["id"] for run in newest] == run_ids[2:]


def on_terminal(system: System, columns: int, *arguments: str) -> Screen:
    env = system.env | {"ATHANOR_TARGET": system.target}
    return draw([str(BIN / "athanor"), *arguments], columns=columns, cwd=system.folder, env=env)


@pytest.mark.parametrize("columns", [80, 120])
def test_a_terminal_has_what_fits(system: System, compared: tuple[str, str, list[str]], columns: int) -> None:
    *_, run_ids = compared
    screen = on_terminal(system, columns, "compare", *run_ids)
    assert screen.status == 0
    assert all(len(line) <= columns for line in screen.lines)
    table = [line for line in screen.lines if line]
    assert table[-10].split() == ["RUN", "STATE", "method", "layers.1", "loss", "score.f1"]
    assert table[-9].split()[1:5] == ["COMPLETED", "good", "32", "0.333333"]
    assert "REPEATS OF" in table[-5]
    assert table[-1].split()[:2] == ["bad", "one"]
    assert screen.raw.endswith("\r\n")

    narrow = on_terminal(system, 50, "compare", *run_ids)
    *drawn, said = narrow.lines
    assert all(len(line) <= 50 for line in drawn)
    assert any(line.split()[1:] == ["STATE", "method", "score.f1"] for line in drawn), narrow.raw
    assert said.startswith("1 more setting and 1 more number did not fit: in a pipe (`| cat`), or with --json, there")


def test_differences_are_coloured(system: System, compared: tuple[str, str, list[str]]) -> None:
    good, bad, _ = compared
    screen = on_terminal(system, 80, "instances", "diff", good, bad)
    assert [line.split()[0] for line in screen.lines] == ["-", "+", "~", "-"]
    assert '\x1b[33m  ~ method: "good" → "bad"\x1b[0m' in screen.raw
    assert "\x1b[31m  - layers.1: 32\x1b[0m" in screen.raw


def test_an_export_has_a_bar_on_a_terminal(
    system: System, compared: tuple[str, str, list[str]], tmp_path: Path
) -> None:
    *_, run_ids = compared
    screen = on_terminal(system, 80, "export", run_ids[0], "-o", str(tmp_path / "x.csv"))
    assert "4/4" in screen.raw
    assert "".join(screen.lines[-2:]).endswith(f"wrote 4 results of run {run_ids[0]} to {tmp_path}/x.csv")


def test_what_cannot_be_compared(system: System, compared: tuple[str, str, list[str]]) -> None:
    *_, run_ids = compared
    for arguments, status, said in [
        (["compare"], 2, "name what to compare: runs, instances, or --experiment NAME"),
        (["compare", "zz"], 5, "there is no run or instance whose id begins with 'zz'"),
        (["compare", run_ids[0][:2]], 2, "runs begin with"),
        (["compare", "--experiment", "nope"], 5, "nope"),
        (["compare", run_ids[0], "--confidence", "95"], 2, "it is between 0 and 1, for example 0.95, not 95"),
        (
            ["compare", run_ids[0], "--result", "lss"],
            5,
            "there is no metric 'lss'; there are loss, score",
        ),
        (["compare", instance_of(system, name="no runs")], 5, "has no runs yet; `athanor run` starts one"),
    ]:
        done = system.cli(*arguments, check=False)
        assert (done.returncode, done.stdout) == (status, ""), done.stderr
        assert said in done.stderr


def test_a_misspelt_setting_starts_nothing(system: System, tmp_path: Path) -> None:
    file = tmp_path / "t.yaml"
    file.write_text("stpes: 4\n")
    before = system.cli_json("instances", "list")
    for option in (["--config", str(file)], ["--set", "stpes=4"]):
        for command in (["run", "fits"], ["instances", "create", "fits"]):
            done = system.cli(*command, *option, check=False)
            assert done.returncode == 2
            assert "/stpes: is not a field of this configuration; did you mean 'steps'?" in done.stderr
    assert system.cli_json("instances", "list") == before


def test_a_list_that_is_no_json_is_answered_with_what_is(system: System, tmp_path: Path) -> None:
    there = instance_of(system, name="with layers")
    for command in (["run", "fits"], ["instances", "create", "fits"], ["instances", "update", there]):
        done = system.cli(*command, "--set", "layers=64,32", check=False)
        assert (done.returncode, done.stdout) == (2, "")
        assert "/layers: must be array; is string; a list is JSON: --set 'layers=[64, 32]'\n" in done.stderr
    file = tmp_path / "layers.json"
    file.write_text('{"layers": "64,32"}')
    done = system.cli("run", "fits", "--config", str(file), check=False)
    assert "/layers: must be array; is string\n" in done.stderr


def test_a_configuration_that_no_call_can_carry_is_refused_with_the_limit(system: System, tmp_path: Path) -> None:
    for size, said in [
        (
            5_000_000,
            "athanor: that is too large to be sent: 5.0 MB, of 4 MiB at most; a configuration may have 256 KiB.\n",
        ),
        (500_000, " bytes; at most 262144 are kept"),
    ]:
        file = tmp_path / "large.json"
        file.write_text(json.dumps({"method": "x" * size}))
        done = system.cli("run", "fits", "--config", str(file), check=False)
        assert (done.returncode, done.stdout) == (2, "")
        assert said in done.stderr


def test_instances_are_compared_by_path(system: System, compared: tuple[str, str, list[str]]) -> None:
    good, bad, _ = compared
    assert system.cli("instances", "diff", good, bad).stdout.splitlines() == [
        f"- {good}  good one",
        f"+ {bad}  bad one",
        '  ~ method: "good" → "bad"',
        "  - layers.1: 32",
    ]
    assert system.cli_json("instances", "diff", bad[:30], good) == {
        "before": bad,
        "after": good,
        "differences": [
            {"path": "method", "names": ["method"], "before": "bad", "after": "good"},
            {"path": "layers.1", "names": ["layers", 1], "after": 32},
        ],
    }
    same = system.cli("instances", "diff", good, good)
    assert same.stdout.endswith("  their configurations are the same\n")
    assert system.cli_json("instances", "diff", good, good)["differences"] == []


def test_results_and_events_are_exported(system: System, compared: tuple[str, str, list[str]], tmp_path: Path) -> None:
    *_, run_ids = compared
    run = run_ids[0]
    out = [json.loads(line) for line in system.cli("export", run[:30]).stdout.splitlines()]
    assert [one["key"] for one in out] == ["loss", "loss", "loss", "score"]

    table = tmp_path / "results.csv"
    done = system.cli("export", run, "-o", str(table))
    assert done.stderr == f"wrote 4 results of run {run} to {table}\n"
    with table.open(newline="") as file:
        assert [row["key"] for row in csv.DictReader(file)] == ["loss", "loss", "loss", "score"]

    again = system.cli("export", run, "-o", str(table), check=False)
    assert (again.returncode, table.stat().st_size > 0) == (2, True)
    assert f"{table} exists already; --force replaces it" in again.stderr
    assert system.cli("export", run, "-o", str(table), "--force", "--what", "events").returncode == 0
    with table.open(newline="") as file:
        events = len(list(csv.DictReader(file)))
    assert events == system.get_run(run).last_sequence

    each = system.cli_json("export", *run_ids, run, "-o", str(tmp_path / "{run}.parquet"))["exports"]
    assert [one["run_id"] for one in each] == run_ids
    assert each[0] == {
        "run_id": run,
        "what": "results",
        "path": str(tmp_path / f"{run}.parquet"),
        "count": 4,
        "run_state": "COMPLETED",
        "last_sequence": events,
    }
    assert all(Path(one["path"]).read_bytes().startswith(b"PAR1") for one in each)
    assert not list(tmp_path.glob("*.partial.*"))


def test_what_cannot_be_exported(system: System, compared: tuple[str, str, list[str]], tmp_path: Path) -> None:
    *_, run_ids = compared
    for arguments, status, said in [
        ([run_ids[0], "-o", "x.doc"], 2, "the name 'x.doc' does not say in which format: choose one of jsonl, csv"),
        (["zz", "-o", "x.csv"], 5, "there is no run whose id begins with 'zz'"),
        ([run_ids[0], "-o", "no/such/folder.csv"], 1, "cannot write "),
        ([run_ids[0], run_ids[1], "-o", "x.csv"], 2, "put {run} into the name"),
    ]:
        done = system.cli("export", *arguments, check=False)
        assert (done.returncode, done.stdout) == (status, ""), done.stderr
        assert said in done.stderr
    assert not list(system.folder.glob("x*"))


def test_a_second_export_to_one_name_is_refused_in_a_line(
    system: System, compared: tuple[str, str, list[str]], tmp_path: Path
) -> None:
    *_, run_ids = compared
    file = tmp_path / "x.csv"
    with open_writer(file):
        done = system.cli("export", run_ids[0], "-o", str(file), check=False)
    said = f"athanor: cannot write {file}: another export to it is under way\n"
    assert (done.returncode, done.stdout, done.stderr) == (1, "", said)


def test_a_missing_library_is_named_with_its_extra(
    system: System, compared: tuple[str, str, list[str]], tmp_path: Path
) -> None:
    """A module that cannot be found stands for a library that is not installed."""
    *_, run_ids = compared
    (tmp_path / "sitecustomize.py").write_text(
        "import sys\n"
        "class Without:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.partition('.')[0] == 'pyarrow':\n"
        "            raise ModuleNotFoundError(\"No module named 'pyarrow'\", name='pyarrow')\n"
        "sys.meta_path.insert(0, Without())\n"
    )
    system.env["PYTHONPATH"] = str(tmp_path)
    try:
        done = system.cli("export", run_ids[0], "-o", str(tmp_path / "x.parquet"), check=False)
    finally:
        del system.env["PYTHONPATH"]
    said = "athanor: pyarrow is not installed: pip install pyarrow (Athanor's extra 'parquet')\n"
    assert (done.returncode, done.stderr) == (2, said)
    assert not list(tmp_path.glob("x*"))


def test_a_run_that_goes_on_is_exported_as_far_as_it_has_come(system: System, tmp_path: Path) -> None:
    run = system.start_run("long", {"steps": 1000, "pause": 0.05}).id
    while system.get_run(run).result_count < 3:
        time.sleep(0.05)
    for what in ("results", "events"):
        file = tmp_path / f"{what}.jsonl"
        done = system.cli("export", run, "-o", str(file), "--what", what)
        assert f"of run {run} to {file}; the run is RUNNING, everything up to event " in done.stderr
        sequences = [json.loads(line)["sequence"] for line in file.read_text().splitlines()]
        assert len(sequences) >= 3
        reached = int(done.stderr.split("up to event ")[1].split()[0])
        if what == "events":
            assert sequences == list(range(1, len(sequences) + 1))
            assert len(sequences) >= reached
    system.cancel_run(run)
    system.wait_for_end(run)
