import pytest

from benchmarks.figures import Figure, as_line, as_markdown, number, percentile

RATIO = Figure("durable ingest", 0.41234, "of the limit", 0.4, "more", "83 of 203 thousand rows/s")
LATENCY = Figure("live latency, p99", 12.34, "ms", 10, "less")


def test_more_is_better_or_less_is():
    assert RATIO.reached
    assert not LATENCY.reached
    assert Figure("exactly", 10, "ms", 10, "less").reached


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.41234, "0.412"),
        (12.34, "12.3"),
        (99.96, "100"),
        (83_456, "83,500"),
        (203_999.9, "204,000"),
        (150, "150"),
        (0, "0"),
    ],
)
def test_three_digits_are_printed_and_no_more(value, text):
    assert number(value) == text


def test_a_percentile_is_one_of_the_values():
    values = list(range(100, 0, -1))
    assert percentile(values, 0.5) == 51
    assert percentile(values, 0.99) == 100
    assert percentile([7], 0.99) == 7
    with pytest.raises(ValueError, match="no values"):
        percentile([], 0.5)


def test_the_table_shows_what_falls_short():
    assert as_markdown([RATIO, LATENCY]).splitlines() == [
        "| what | reach | measured | beside |",
        "| --- | --- | --- | --- |",
        "| durable ingest | ≥ 0.4 of the limit | 0.412 | 83 of 203 thousand rows/s |",
        "| live latency, p99 | ≤ 10 ms | **12.3** |  |",
    ]
    assert as_line(LATENCY).startswith("! live latency, p99")
    assert as_line(RATIO).startswith("  durable ingest")


def test_a_figure_survives_json():
    assert Figure.from_json(RATIO.to_json()) == RATIO
