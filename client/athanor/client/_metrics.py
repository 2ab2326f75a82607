"""The numbers among a run's results, by name; what they are is said in `compare`."""

import math
from collections.abc import Iterable, Sequence
from typing import Any, TypeAlias

from athanor.client import paths
from athanor.client.events import Result
from athanor.client.results import Results

Number: TypeAlias = int | float

_NAMED = 10  # metrics that an error names


def metrics_of(results: Results | Iterable[Result]) -> dict[str, Number]:
    """Return the numbers among results by their names: the last of each, superseded ones left out."""
    records = results.records if isinstance(results, Results) else results
    last = {result.key: result for result in records if not result.superseded}
    leaves = {
        paths.dotted((key, *path)): leaf
        for key, result in last.items()
        for path, leaf in paths.leaves(result.value, into_lists=False).items()
    }
    return {name: leaf for name, leaf in leaves.items() if _is_number(leaf)}


def select(metrics: Sequence[str], asked: Iterable[str]) -> tuple[str, ...]:
    """Return those metrics that are asked for, in that order, each by its name or by the key, or path, that it is in.

    Raises ValueError when there is none for one of them.
    """
    chosen = dict[str, None]()
    for name in asked:
        # Who asks for the key `val.loss` may write it as it is, and not as names are written.
        places = {name, paths.dotted((name,))}
        found = [one for one in metrics if any(one == place or one.startswith(f"{place}.") for place in places)]
        if not found:
            more = f" and {len(metrics) - _NAMED} more" if len(metrics) > _NAMED else ""
            raise ValueError(f"there is no metric {name!r}; there are {', '.join(metrics[:_NAMED]) or 'none'}{more}")
        chosen |= dict.fromkeys(found)
    return tuple(chosen)


def _is_number(leaf: Any) -> bool:
    if isinstance(leaf, bool) or not isinstance(leaf, (int, float)):
        return False
    try:
        return math.isfinite(float(leaf))
    except OverflowError:
        return False
