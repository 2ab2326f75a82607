"""What a comparison draws."""

import io
from typing import Any

import pytest
from athanor.client import RunRecord, RunState
from athanor.client.compare import Comparison, compare
from matplotlib import pyplot
from matplotlib.figure import Figure

from tests.support.found import result, run

RUNS = [run("r-1", {"lr": 1}), run("r-2", {"lr": 1}), run("r-3", {"lr": 2}, instance="i-2")]


@pytest.fixture
def comparison() -> Comparison:
    results = {
        "r-1": [result("loss", 1.0), result("accuracy", 2**60, 2)],
        "r-2": [result("loss", 3.0)],
        "r-3": [result("loss", 5.0)],
    }
    return compare(RUNS, results)


def points(axes: Any, style: str = "full") -> list[tuple[list[float], list[float]]]:
    """The runs of each group: what is drawn without an interval."""
    dots = [line for line in axes.lines if line.get_alpha() is not None and line.get_fillstyle() == style]
    return [(list(line.get_xdata()), list(line.get_ydata())) for line in dots]


def legend(figure: Figure) -> list[str]:
    (found,) = figure.legends
    return [text.get_text() for text in found.get_texts()]


def intervals(axes: Any) -> list[tuple[float, float, float]]:
    """The mean of each group and the ends of its interval."""
    found: list[tuple[float, float, float]] = []
    for container in axes.containers:
        line, _, bars = container.lines
        (mean,) = line.get_xdata()
        ends = bars[0].get_segments()[0] if bars else [(mean, 0), (mean, 0)]
        found.append((float(mean), float(ends[0][0]), float(ends[1][0])))
    return found


def test_each_metric_has_a_panel_and_each_group_a_line(comparison: Comparison):
    figure = comparison.plot()
    assert isinstance(figure, Figure)
    loss, accuracy = figure.axes
    assert (loss.get_xlabel(), accuracy.get_xlabel()) == ("loss", "accuracy")
    assert [label.get_text() for label in loss.get_yticklabels()] == ["lr=1", "lr=2"]
    assert legend(figure) == ["run", "mean, 95 % interval"]
    assert points(loss) == [([1.0, 3.0], [0.2, 0.2]), ([5.0], [1])]  # beside the interval, or where there is none
    ((mean, low, high),) = intervals(loss)  # of a single run there is none
    assert (mean, low, high) == (2.0, pytest.approx(2 - 12.706, abs=1e-3), pytest.approx(2 + 12.706, abs=1e-3))


def test_a_group_without_the_metric_has_its_line_and_nothing_on_it(comparison: Comparison):
    figure = comparison.plot("accuracy")
    (axes,) = figure.axes
    assert [label.get_text() for label in axes.get_yticklabels()] == ["lr=1", "lr=2"]
    assert points(axes)[1] == ([], [])
    assert intervals(axes) == []
    assert legend(figure) == ["run"]


def test_metrics_are_chosen_by_name(comparison: Comparison):
    assert len(comparison.plot("loss").axes) == 1
    assert [axes.get_xlabel() for axes in comparison.plot(["accuracy", "loss"]).axes] == ["accuracy", "loss"]
    with pytest.raises(ValueError, match="there is no metric 'los'; there are loss, accuracy"):
        comparison.plot("los")
    with pytest.raises(ValueError, match="nothing to plot: these runs have no numeric results"):
        compare(RUNS, {}).plot()


def test_of_many_metrics_those_that_half_of_the_runs_have_are_drawn_and_the_others_counted():
    results = {
        "r-1": [result(f"only-{index}", 1.0) for index in range(9)] + [result("every", 1.0), result("most", 1.0)],
        "r-2": [result("every", 2.0), result("most", 2.0)],
        "r-3": [result("every", 3.0)],
    }
    figure = compare(RUNS, results).plot()
    assert [axes.get_xlabel() for axes in figure.axes] == ["every", "most"]
    assert legend(figure)[-1] == "and 9 more metrics: name them"


@pytest.mark.parametrize("having", [RUNS, RUNS[:1]])
def test_of_many_metrics_that_are_alike_the_last_are_drawn(having: list[RunRecord]):
    found = [result(f"m{index}", index) for index in range(10)]
    figure = compare(RUNS, {each.id: found for each in having}).plot()
    assert [axes.get_xlabel() for axes in figure.axes] == [f"m{index}" for index in range(2, 10)]


def test_a_key_stands_for_all_that_is_in_it():
    found = [result("usage", {"in": 1, "out": {"text": 2}}), result("val.loss", 3, 2), result("usage2", 4, 3)]
    comparison = compare(RUNS[:1], {"r-1": found})
    assert [axes.get_xlabel() for axes in comparison.plot("usage").axes] == ["usage.in", "usage.out.text"]
    assert [axes.get_xlabel() for axes in comparison.plot("val.loss").axes] == ['"val.loss"']


def test_a_long_label_lies_in_lines():
    runs = [run(f"r-{n}", {"model": f"organization/a-model-{n}", "temperature": n / 10, "n": n}) for n in (1, 2)]
    (axes,) = compare(runs, {"r-1": [result("loss", 1.0)]}).plot().axes
    first = axes.get_yticklabels()[0].get_text()
    assert first == "model=organizati…a-model-1,\ntemperature=0.1, n=1"


def test_a_figure_can_be_saved_and_is_not_shown_twice(comparison: Comparison):
    image = io.BytesIO()
    comparison.plot().savefig(image, format="png")
    assert image.getvalue().startswith(b"\x89PNG")
    assert pyplot.get_fignums() == []


def test_a_run_that_has_not_completed_is_drawn_hollow():
    runs = [run("r-1"), run("r-2", state=RunState.FAILED)]
    figure = compare(runs, {"r-1": [result("loss", 1.0)], "r-2": [result("loss", 9.0)]}).plot()
    (axes,) = figure.axes
    assert points(axes) == [([1.0], [0])]
    assert points(axes, "none") == [([9.0], [0.2])]
    assert intervals(axes) == []
    assert legend(figure) == ["run", "run that has not completed"]


def test_repeats_that_are_too_far_apart_for_a_float_have_no_interval():
    found = {"r-1": [result("loss", 5e307)], "r-2": [result("loss", -5e307)]}
    figure = compare(RUNS[:2], found).plot()
    assert intervals(figure.axes[0]) == [(0.0, 0.0, 0.0)]


def test_a_dollar_is_no_formula():
    runs = [run("r-1", {"price": r"$\frac$"}), run("r-2", {"price": 2})]
    figure = compare(runs, {"r-1": [result("$x$", 1)]}).plot()
    figure.savefig(io.BytesIO(), format="png")
    (axes,) = figure.axes
    assert axes.get_xlabel() == r"\$x\$"
    assert [label.get_text() for label in axes.get_yticklabels()] == [r"price=\$\frac\$", "price=2"]


def test_axes_of_the_caller_are_drawn_into(comparison: Comparison):
    mine = Figure()
    axes = mine.subplots()
    assert comparison.plot("loss", axes=axes) is mine
    assert axes.get_xlabel() == "loss"
    assert [text.get_text() for text in axes.legend().get_texts()] == ["run", "mean, 95 % interval"]
    with pytest.raises(ValueError, match="axes hold one metric: name it"):
        comparison.plot(axes=axes)
