"""The sweep at the top of docs/results.md, against a real system."""

import gzip
import re
from pathlib import Path
from typing import Any

import athanor
import pandas
import pytest
from pyarrow import parquet

from tests.support.system import System

(PAGE,) = (Path(__file__).parents[2] / "docs").rglob("results.md")


@pytest.mark.timeout(120)
def test_the_sweep_does_what_the_page_says(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (sweep,) = re.findall(r"^```python\n(.*?def sweep.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    names = dict[str, Any]()
    exec(sweep, names)
    with System(tmp_path / "system") as system:
        system.start_orchestrator()
        system.start_runner()
        system.wait_for_experiment("hello")
        with athanor.connect(system.target) as client:
            names["sweep"](client, tmp_path)
            runs = client.runs.list().all()

    greetings, *comparison = capsys.readouterr().out.splitlines()
    assert greetings == "[3]"
    assert comparison[0] == "6 runs, 1 path differs, 1 metric"
    repeats = [line.split()[1:] for line in comparison[-2:]]
    assert repeats == [["3", "±", "0", "(n=3)"], ["30", "±", "0", "(n=3)"]]
    frame = pandas.read_csv(tmp_path / "comparison.csv")
    assert sorted(frame["id"]) == sorted(run.id for run in runs)
    assert frame["mean.greetings"].tolist() == [3.0] * 3 + [30.0] * 3
    assert (tmp_path / "greetings.png").read_bytes().startswith(b"\x89PNG")
    assert gzip.decompress((tmp_path / "events.jsonl.gz").read_bytes()).count(b"Hello, world!") == 3
    assert parquet.read_table(tmp_path / "results.parquet")["integer"].to_pylist() == [3]
