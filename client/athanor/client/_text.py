"""What a terminal shows of results and of a comparison."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from athanor.client import _words, paths

if TYPE_CHECKING:
    from athanor.client.compare import Comparison
    from athanor.client.results import Results

_ROWS = 60  # of a table; what is left out is counted
_METRICS = 6
_PATHS = 6
_LONGEST = 24  # characters of a value of a configuration


def results_text(results: "Results") -> str:
    """A line for each key: how many values it has, and the newest."""
    first, last = ends(list(results), _ROWS)
    rows = [(key, str(len(results[key])), _words.value(results.last(key))) for key in (*first, *last)]
    table = _table(("key", "values", "last"), rows)
    end = len(table) - len(last)
    between = len(results) - len(rows)
    return "\n".join(
        [
            f"{_words.count(len(results.records), 'result')} under {_words.count(len(results), 'key')}",
            *table[:end],
            *([keys_between(between)] if between else ()),
            *table[end:],
        ]
    )


def ends(keys: Sequence[str], most: int) -> tuple[Sequence[str], Sequence[str]]:
    """The first keys and the last, `most` together: what sums an experiment up is recorded at its end."""
    if len(keys) <= most:
        return keys, ()
    last = most // 2
    return keys[: most - last], keys[len(keys) - last :]


def keys_between(count: int) -> str:
    """What stands where they are left out."""
    return f"… {_words.count(count, 'key')} between: to_pandas() has all"


def comparison_text(comparison: "Comparison") -> str:
    """A line for each run, and below them one for each group of repeats."""
    differing, metrics = comparison.paths[:_PATHS], comparison.foremost(_METRICS)
    labels = {row.run.id: group.label for group in comparison.groups for row in group.rows}
    grouped, several = tells_groups(comparison), comparison.of_several
    header = ("run", *(("group",) if grouped else ()), *(("experiment",) if several else ()), "state")
    rows = [
        (
            row.run.id,
            *((labels[row.run.id],) if grouped else ()),
            *((row.run.experiment,) if several else ()),
            row.run.state.value,
            *(
                "" if (leaf := row.configuration[path]) is paths.MISSING else _words.value(leaf, _LONGEST)
                for path in differing
            ),
            *(_words.value(row.metrics[name]) if name in row.metrics else "" for name in metrics),
        )
        for row in comparison.rows[:_ROWS]
    ]
    return "\n".join(
        [
            heading(comparison),
            *_table((*header, *differing, *metrics), rows),
            *_left_out(len(comparison.rows) - len(rows), "run"),
            *(_repeats(comparison, metrics) if comparison.repeated else ()),
            *_left_out(len(comparison.paths) - len(differing), "path"),
            *_left_out(len(comparison.metrics) - len(metrics), "metric"),
        ]
    )


def heading(comparison: "Comparison") -> str:
    """How much it compares."""
    runs, metrics = _words.count(len(comparison.rows), "run"), _words.count(len(comparison.metrics), "metric")
    differing = len(comparison.paths)
    return f"{runs}, {_words.count(differing, 'path')} {'differs' if differing == 1 else 'differ'}, {metrics}"


def tells_groups(comparison: "Comparison") -> bool:
    """Whether the labels of groups say more than what differs, which has columns of its own."""
    return len(comparison.groups) > 1 and (comparison.named or not comparison.paths)


def _repeats(comparison: "Comparison", metrics: Sequence[str]) -> list[str]:
    rows = [
        (group.label, *(_words.summary(group.summaries.get(name), len(group.rows)) for name in metrics))
        for group in comparison.groups[:_ROWS]
    ]
    heading = _words.interval_of(comparison.confidence)
    return ["", *_table((heading, *metrics), rows), *_left_out(len(comparison.groups) - len(rows), "group")]


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Columns that begin below each other; without rows nothing."""
    if not rows:
        return []
    cells = [[_words.plain(cell) for cell in row] for row in (header, *rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return ["  ".join(map(str.ljust, row, widths)).rstrip() for row in cells]


def _left_out(count: int, what: str) -> list[str]:
    return [f"and {_words.count(count, f'more {what}')}: to_pandas() has all"] if count > 0 else []
