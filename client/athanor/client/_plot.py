"""Metrics of a comparison, drawn by matplotlib."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from athanor.client import _extras
from athanor.client._statistics import Summary

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_WIDTH = 6.4  # inches, matplotlib's own
_LINE = 0.35  # inches for each group
_FRAME = 1.2  # inches for title and axis of a panel
_DOT: dict[str, Any] = {"color": "C0", "markersize": 4}


@dataclass(frozen=True)
class Bar:
    """One group in a panel."""

    label: str
    completed: Sequence[float]  # of each completed run that has the metric
    others: Sequence[float]  # of runs that have not completed: shown, but no part of the summary
    summary: Summary | None  # None: no completed run has it


@dataclass(frozen=True)
class Panel:
    """One metric."""

    metric: str
    bars: Sequence[Bar]
    confidence: float


def draw(panels: Sequence[Panel], axes: "Axes | None" = None) -> "Figure":
    """Draw the panels below each other; a single one into `axes` if given. Raises ValueError for several into one."""
    if axes is not None:
        if len(panels) > 1:
            raise ValueError("axes hold one metric: name it")
        _panel(axes, panels[0])
        whole: Any = axes.figure
        return whole
    # pyplot makes the figure because that also teaches a notebook to show figures. It is closed, which takes nothing
    # from it, as a notebook would show one that is open a second time.
    pyplot = _extras.load("matplotlib.pyplot")
    heights = [_FRAME + _LINE * len(panel.bars) for panel in panels]
    figure, grid = pyplot.subplots(
        len(panels), squeeze=False, figsize=(_WIDTH, sum(heights)), height_ratios=heights, layout="constrained"
    )
    pyplot.close(figure)
    for panel, (place,) in zip(panels, grid, strict=True):
        _panel(place, panel)
    return figure


def _panel(axes: Any, panel: Panel) -> None:
    """Groups from the top down: labels are long, and stay readable where they lie in lines."""
    for height, bar in enumerate(panel.bars):
        axes.plot(list(map(float, bar.completed)), [height] * len(bar.completed), "o", alpha=0.4, **_DOT)
        axes.plot(list(map(float, bar.others)), [height] * len(bar.others), "o", alpha=0.4, fillstyle="none", **_DOT)
        summary = bar.summary
        if summary is None:
            continue
        reach = None if summary.low is None else summary.mean - summary.low
        axes.errorbar(summary.mean, height, xerr=reach, fmt="D", color="C1", capsize=4, markersize=5)
    axes.set_yticks(range(len(panel.bars)), [_plain(bar.label) for bar in panel.bars])
    axes.set_ylim(len(panel.bars) - 0.5, -0.5)
    axes.set_xlabel(_plain(panel.metric))
    hollow = "; hollow: others" if any(bar.others for bar in panel.bars) else ""
    title = f"mean and {panel.confidence * 100:g} % interval of completed runs{hollow}"
    axes.set_title(title, fontsize="small")
    axes.grid(axis="x", alpha=0.3)


def _plain(text: str) -> str:
    """To matplotlib, what lies between dollars is a formula."""
    return text.replace("$", r"\$")
