"""What is shown of the results of a run when it has ended."""

from datetime import UTC, datetime

from athanor.cli import last
from athanor.client import Result, RunRecord, RunState

AT = (3, 1, datetime(2026, 1, 1, tzinfo=UTC))


def run(count: int) -> RunRecord:
    return RunRecord("r", "i", "hello", RunState.COMPLETED, result_count=count)


def results(*pairs: tuple[str, str]) -> list[Result]:
    return [Result(*AT, key, value) for key, value in pairs]


def test_the_last_value_of_each_key_as_it_was_written():
    found = results(("loss", "0.9"), ("accuracy", "0.50"), ("loss", "0.10"))
    assert last.shown(found, run(3)).splitlines() == ["  accuracy  0.50", "  loss      0.10"]


def test_of_many_keys_the_last_ones_and_how_many_more():
    found = results(*((f"fit/{number}", "1") for number in range(10)))
    lines = last.shown(found, run(10)).splitlines()
    assert [line.split()[0] for line in lines[:-1]] == [f"fit/{number}" for number in range(2, 10)]
    assert lines[-1] == "  and 2 more keys: athanor results r"


def test_where_not_all_were_read_nothing_is_counted():
    assert last.shown(results(("a", "1")), run(5000)).splitlines()[-1] == "  and more: athanor results r"


def test_a_long_value_is_cut():
    [line] = last.shown(results(("a", f'"{"x" * 500}"')), run(1)).splitlines()
    assert line.endswith("x…")
    assert len(line) < 80
