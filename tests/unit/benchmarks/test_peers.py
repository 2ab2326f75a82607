"""What of the comparison with others can be wrong without any of them being there."""

import re
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from benchmarks.peers import environment, findings, measures, processes, table
from benchmarks.peers.findings import Finding
from benchmarks.peers.peers import PEERS
from benchmarks.peers.work import talk


def test_a_record_is_60_characters_and_tells_its_number() -> None:
    for number in (0, 7, 999_999_999):
        assert len(talk.message(number)) == 60
        assert talk.number_in(f"INFO | {talk.message(number)}\n") == number
    assert talk.number_in("epoch finished, this is something else") is None
    assert talk.number_in("this is record 5") is None


def test_a_later_finding_takes_the_place_of_an_earlier_one(tmp_path: Path) -> None:
    kept = tmp_path / "findings.jsonl"
    assert findings.read(kept) == []
    for finding in (
        Finding("mlflow", "ingest", "log_batch", "10", (10.0,)),
        Finding("mlflow", "ingest", "log_metrics", "1"),
        Finding("mlflow", "ingest", "log_batch", "12", (11.0, 12.0)),
    ):
        findings.append(kept, finding)
    assert [finding.text for finding in findings.read(kept)] == ["12", "1"]
    assert findings.read(kept)[0].values == (11.0, 12.0)


def test_the_table_has_a_row_for_each_measurement_and_a_column_for_each_peer_that_was_measured() -> None:
    found = [
        Finding("b", "ingest", "slow", "1 slow"),
        Finding("b", "ingest", "fast", "9 fast"),
        Finding("b", "ingest", "unknown", "5"),
        Finding("a", "latency", "only", "3 / 4"),
    ]
    lines = findings.as_markdown(found, {"a": "A", "b": "B 1.0", "c": "C"}, {"b/ingest": ["fast", "slow"]}).splitlines()
    assert lines[0] == "|  | A | B 1.0 |"
    assert len(lines) == 2 + len(findings.WHATS)
    assert lines[2] == f"| {findings.WHATS['ingest']} | not measured | 9 fast<br>1 slow<br>5 |"
    assert lines[3].endswith("| 3 / 4 | not measured |")


def test_what_is_no_task_of_a_peer_is_said_and_is_not_measured() -> None:
    text = findings.as_markdown(
        [Finding("a", "ingest", "x", "1")], {"a": "A"}, {}, {("a", "worker"): "not its task: it has no worker"}
    )
    assert "| not its task: it has no worker |" in text


def test_what_a_power_cut_leaves_is_said_of_those_that_were_measured() -> None:
    found = [Finding("b", "ingest", "x", "1")]
    lines = findings.as_markdown(found, {"a": "A", "b": "B"}, {}, power={"a": "all", "b": "nothing"}).splitlines()
    assert lines[-1] == f"| {findings.POWER} | nothing |"


def test_the_table_is_written_between_its_marks_and_nowhere_else(tmp_path: Path) -> None:
    page = tmp_path / "README.md"
    page.write_text(f"before\n{table.BEGIN}\nold\n{table.END}\nafter\n")
    table.write([Finding("mlflow", "ingest", "log_batch", "10")], "a machine", page)
    text = page.read_text()
    assert text.startswith(f"before\n{table.BEGIN}\nMeasured ")
    assert text.endswith(f"{table.END}\nafter\n")
    assert "on a machine." in text
    assert "old" not in text

    page.write_text("no marks")
    with pytest.raises(ValueError, match="no place for the table"):
        table.write([], "a machine", page)


def test_the_readme_has_a_place_for_the_table() -> None:
    text = table.README.read_text()
    assert text.count(table.BEGIN) == text.count(table.END) == 1


def test_pss_is_read_in_bytes() -> None:
    assert processes.pss_of("Rss:  900 kB\nPss:                1234 kB\nPss_Dirty: 5 kB\n") == 1234 * 1024
    with pytest.raises(ValueError, match="Pss"):
        processes.pss_of("Rss: 1 kB\n")


@pytest.mark.parametrize(
    ("calls", "text"),
    [
        (
            {"logged": 800, "raised_count": 0, "raised": [], "longest": 0.01, "finished": True},
            "790 of the 800 that the client logged are there; nothing raised",
        ),
        (
            {"logged": 800, "raised_count": 0, "raised": [], "longest": 4.04, "finished": True},
            "790 of the 800 that the client logged are there; nothing raised; longest call 4.0 s",
        ),
        (
            {"logged": 799, "raised_count": 1, "raised": ["OSError: gone"], "longest": 0.01, "finished": True},
            "790 of the 799 that the client logged are there; 1 call raised OSError",
        ),
        (
            {"logged": 300, "raised_count": 0, "raised": [], "longest": 0.01, "finished": False},
            "790 of the 300 that the client logged are there; nothing raised; the client still hung after 60 s",
        ),
    ],
)
def test_what_a_killed_server_leaves_is_told_whole(calls: dict[str, object], text: str) -> None:
    assert measures.told(790, calls) == text


def test_a_slow_client_logs_no_longer_than_it_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]

    def pass_on(seconds: float) -> None:
        now[0] += seconds

    monkeypatch.setattr(talk, "time", SimpleNamespace(monotonic=lambda: now[0], sleep=pass_on))
    for takes, logged in ((1.0, 9), (0.001, 100)):
        now[0] = 0.0
        calls = talk.Calls(tmp_path / "out")
        calls.make_slowly(100, 0.01, 8.0, lambda _, takes=takes: pass_on(takes))
        assert calls.logged == logged


def test_a_run_that_ended_with_the_server_is_told_so() -> None:
    calls = {"logged": 0, "raised_count": 0, "longest": 0.0, "finished": False, "gone": True}
    assert measures.told(0, calls) == "the run ended with it; 0 of the about 300 that it had logged are there"


def test_what_is_noticed_is_told_with_its_time() -> None:
    assert measures.noticed("RUNNING", [], 120) == "not within 120 s, still RUNNING"
    states = [("RUNNING, unreachable", 15.04), ("FAILED", 60.0)]
    assert measures.noticed("RUNNING", states, 120) == "RUNNING, unreachable after 15 s, then FAILED after 60 s"


def pins() -> Iterator[tuple[str, str]]:
    for path in sorted(environment.REQUIREMENTS.glob("*.txt")):
        for line in path.read_text().splitlines():
            yield path.name, line


@pytest.mark.parametrize("name", [name for name in PEERS if name != "athanor"])
def test_every_peer_is_pinned(name: str) -> None:
    assert re.fullmatch(r"\d+(\.\d+)+", environment.version(name))


def test_requirements_are_exact_versions_and_nothing_else() -> None:
    assert [pin for pin in pins() if not re.fullmatch(r"[A-Za-z0-9._-]+(\[\w+\])?==\S+", pin[1])] == []


def test_ways_of_one_cell_have_different_names() -> None:
    for peer in PEERS.values():
        for ways in peer.ways().values():
            assert len(set(ways)) == len(ways)
