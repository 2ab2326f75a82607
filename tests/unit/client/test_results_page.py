"""What docs/how-to/results.md shows works as it says."""

import re
from pathlib import Path
from typing import Any

import pandas
import pytest
from pyarrow import parquet

from tests.support.found import result, run

PAGE = (Path(__file__).resolve().parents[3] / "docs" / "how-to" / "results.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


def snippet(containing: str) -> str:
    (found,) = [block for block in blocks("python") if containing in block]
    return found


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> dict[str, Any]:
    """The names that the snippets define."""
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {"__name__": "shown_in_the_docs"}
    for number, text in enumerate(blocks("python")):
        exec(compile(text, f"results.md, snippet {number}", "exec"), names)
    return names


def test_results_by_key(shown: dict[str, Any], capsys: pytest.CaptureFixture[str]):
    capsys.readouterr()
    shown["last_losses"]([result("loss", value, index) for index, value in enumerate([0.9, 0.5, 0.4], 1)])
    printed = capsys.readouterr().out.splitlines()
    assert printed == re.findall(r"# (.*)", snippet("def last_losses"))
    assert len(printed) == 3


def test_runs_side_by_side(shown: dict[str, Any], tmp_path: Path):
    runs = [run("r-1", {"lr": 1}), run("r-2", {"lr": 2})]
    comparison = shown["side_by_side"](runs, {"r-1": [result("accuracy", 0.5)], "r-2": [result("accuracy", 0.6)]})
    assert isinstance(comparison.to_pandas(), pandas.DataFrame)
    assert (tmp_path / "accuracy.png").stat().st_size > 0


def test_a_difference_prints_what_the_page_says(shown: dict[str, Any], capsys: pytest.CaptureFixture[str]):
    capsys.readouterr()
    exec(snippet("for difference in diff"), shown)
    assert capsys.readouterr().out in blocks("text")


def test_an_export(shown: dict[str, Any], tmp_path: Path):
    shown["save"]([result("loss", 0.5)])
    assert parquet.read_table(tmp_path / "results.parquet").num_rows == 1
