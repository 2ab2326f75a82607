"""Metrics of a comparison, drawn by matplotlib."""

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from athanor.client import _extras
from athanor.client._statistics import Summary

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_WIDTH = 6.4  # inches, matplotlib's own
_FRAME = 0.8  # inches for the axis of a panel
_CAPTION = 0.4  # inches
_LINE = 0.2  # inches for a line of a label
_GAP = 0.25  # inches between groups
_LABEL = 36  # characters of a line of a label
_BESIDE = 0.2  # how far from its group's interval a run is drawn, in groups

_RUN: dict[str, Any] = {"linestyle": "none", "marker": "o", "color": "C0", "markersize": 5, "alpha": 0.55}
_OTHER: dict[str, Any] = {**_RUN, "fillstyle": "none"}
_MEAN: dict[str, Any] = {"fmt": "D", "color": "C1", "markersize": 6, "elinewidth": 2, "capsize": 4, "capthick": 2}


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


def draw(panels: Sequence[Panel], confidence: float, *, left_out: int = 0, axes: "Axes | None" = None) -> "Figure":
    """Draw the panels below each other; a single one into `axes` if given. Raises ValueError for several into one.

    A figure of its own has a legend; what is drawn into `axes` has the names that `axes.legend()` shows. `left_out` is
    how many metrics there are beside these, which is said.
    """
    if axes is not None:
        if len(panels) > 1:
            raise ValueError("axes hold one metric: name it")
        _panel(axes, panels[0], confidence)
        whole: Any = axes.figure
        return whole
    # pyplot makes the figure because that also teaches a notebook to show figures. It is closed, which takes nothing
    # from it, as a notebook would show one that is open a second time.
    pyplot = _extras.load("matplotlib.pyplot")
    heights = [_FRAME + sum(_height(bar) for bar in panel.bars) for panel in panels]
    size = (_WIDTH, _CAPTION + sum(heights))
    figure, grid = pyplot.subplots(
        len(panels), squeeze=False, figsize=size, height_ratios=heights, layout="constrained"
    )
    pyplot.close(figure)
    for panel, (place,) in zip(panels, grid, strict=True):
        _panel(place, panel, confidence)
    _legend(figure, f"and {left_out} more metrics: name them" if left_out else "")
    return figure


def _panel(axes: Any, panel: Panel, confidence: float) -> None:
    """Groups from the top down: labels are long, and stay readable where they lie in lines."""
    unnamed = {"run", "run that has not completed", interval := f"mean, {confidence * 100:g} % interval"}

    def name(text: str, drawn: object) -> str:
        """The first of its kind has a name in the legend."""
        if not drawn or text not in unnamed:
            return "_"
        unnamed.remove(text)
        return text

    for height, bar in enumerate(panel.bars):
        alone = bar.summary is None or bar.summary.count == 1
        beside = height + (0 if alone else _BESIDE)
        runs, others = list(map(float, bar.completed)), list(map(float, bar.others))
        axes.plot(runs, [beside] * len(runs), label=name("run", runs), **_RUN)
        axes.plot(others, [height + _BESIDE] * len(others), label=name("run that has not completed", others), **_OTHER)
        if bar.summary is not None and not alone:
            reach = None if bar.summary.low is None else bar.summary.mean - bar.summary.low
            axes.errorbar(bar.summary.mean, height, xerr=reach, label=name(interval, bar), **_MEAN)
    axes.set_yticks(range(len(panel.bars)), [_plain(_label(bar)) for bar in panel.bars])
    axes.tick_params(axis="y", length=0)
    axes.set_ylim(len(panel.bars) - 0.5, -0.5)
    axes.set_xlabel(_plain(panel.metric))
    axes.grid(axis="x", alpha=0.3)
    axes.spines[["left", "right", "top"]].set_visible(False)


def _legend(figure: Any, more: str) -> None:
    named = {
        label: handle for axes in figure.axes for handle, label in zip(*axes.get_legend_handles_labels(), strict=True)
    }
    if more:
        named[more] = _extras.load("matplotlib.lines").Line2D([], [], linestyle="none")
    figure.legend(
        list(named.values()), list(named), loc="outside upper center", ncols=len(named), frameon=False, fontsize="small"
    )


def _height(bar: Bar) -> float:
    return _GAP + _LINE * (_label(bar).count("\n") + 1)


def _label(bar: Bar) -> str:
    """In lines, because what it takes of the width the panel loses."""
    return "\n".join(textwrap.wrap(bar.label, _LABEL, break_on_hyphens=False)) or bar.label


def _plain(text: str) -> str:
    """To matplotlib, what lies between dollars is a formula."""
    return text.replace("$", r"\$")
