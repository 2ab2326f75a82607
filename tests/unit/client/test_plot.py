"""What a comparison draws."""

import io
from typing import Any

import pytest
from athanor.client import RunState
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
    assert loss.get_title() == "mean and 95 % interval of completed runs"
    assert points(loss) == [([1.0, 3.0], [0, 0]), ([5.0], [1])]
    mean, low, high = intervals(loss)[0]
    assert (mean, low, high) == (2.0, pytest.approx(2 - 12.706, abs=1e-3), pytest.approx(2 + 12.706, abs=1e-3))
    assert intervals(loss)[1] == (5.0, 5.0, 5.0)


def test_a_group_without_the_metric_has_its_line_and_nothing_on_it(comparison: Comparison):
    (axes,) = comparison.plot("accuracy").axes
    assert [label.get_text() for label in axes.get_yticklabels()] == ["lr=1", "lr=2"]
    assert points(axes)[1] == ([], [])
    assert len(intervals(axes)) == 1


def test_metrics_are_chosen_by_name(comparison: Comparison):
    assert len(comparison.plot("loss").axes) == 1
    assert [axes.get_xlabel() for axes in comparison.plot(["accuracy", "loss"]).axes] == ["accuracy", "loss"]
    with pytest.raises(ValueError, match="there is no metric 'los'; there are loss, accuracy"):
        comparison.plot("los")
    with pytest.raises(ValueError, match="nothing to plot: these runs have no numeric results"):
        compare(RUNS, {}).plot()


def test_a_figure_can_be_saved_and_is_not_shown_twice(comparison: Comparison):
    image = io.BytesIO()
    comparison.plot().savefig(image, format="png")
    assert image.getvalue().startswith(b"\x89PNG")
    assert pyplot.get_fignums() == []


def test_a_run_that_has_not_completed_is_drawn_hollow():
    runs = [run("r-1"), run("r-2", state=RunState.FAILED)]
    (axes,) = compare(runs, {"r-1": [result("loss", 1.0)], "r-2": [result("loss", 9.0)]}).plot().axes
    assert points(axes) == [([1.0], [0])]
    assert points(axes, "none") == [([9.0], [0])]
    assert intervals(axes) == [(1.0, 1.0, 1.0)]
    assert axes.get_title() == "mean and 95 % interval of completed runs; hollow: others"


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
    with pytest.raises(ValueError, match="axes hold one metric: name it"):
        comparison.plot(axes=axes)
