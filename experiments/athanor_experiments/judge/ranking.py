"""From the verdicts to a ranking with intervals."""

import math
import random
from collections.abc import Callable, Sequence
from itertools import combinations
from typing import Any

from athanor_experiments.intervals import Proportion, percentile
from athanor_experiments.judge.bradley_terry import NotConnectedError, log_strengths
from athanor_experiments.judge.comparison import score

Verdicts = str
"""Those of one answer number of one prompt: for each pair of models, in the order of `combinations`, two letters, the
verdict with the first of them shown first, and the one with it shown second. Small, as it is in every checkpoint."""


def count_wins(rounds: Sequence[Verdicts], models: int) -> list[list[float]]:
    """How often each model beat each other, ties as halves."""
    wins = [[0.0] * models for _ in range(models)]
    for verdicts in rounds:
        for at, (i, j) in enumerate(combinations(range(models), 2)):
            points = score(verdicts[2 * at], verdicts[2 * at + 1])
            if points is not None:
                wins[i][j] += points
                wins[j][i] += 1 - points
    return wins


def rank(
    by_prompt: Sequence[Sequence[Verdicts]],
    models: Sequence[str],
    *,
    prior_wins: float,
    resamples: int,
    confidence: float,
    rng: random.Random,
    between: Callable[[int], None] = lambda _: None,
) -> dict[str, Any]:
    """The models from the strongest to the weakest, with log-strengths, intervals, wins, ties and losses.

    The intervals are percentiles of a bootstrap over prompts (B. Efron and R. J. Tibshirani, "An Introduction to the
    Bootstrap", 1993, chapter 13): the comparisons of one prompt share its answers, and are drawn together. A resample
    whose wins do not connect all models has no strengths; it is left out, and counted. There is no interval where the
    prompts do not tell how much a strength varies: with one that was judged, or where all of them say the same.

    `between` is called before each resample with its number, from 0; what it raises is raised.

    Where the wins do not connect all models there is no ranking: strengths are None, and `groups` says which do. Nor is
    there one where the strengths are too far apart to be found (`converged`), as with a prior of next to nothing.
    """
    rounds = [verdicts for one in by_prompt for verdicts in one]
    wins = count_wins(rounds, len(models))
    groups: list[list[int]] = [list(range(len(models)))]
    strengths: list[float] | None = None
    converged = True
    samples: list[list[float]] = []
    drawn = 0
    try:
        strengths = log_strengths(wins, prior_wins=prior_wins)
    except NotConnectedError as error:
        groups = error.groups
    except ArithmeticError:
        converged = False
    else:
        judged = [one for one in by_prompt if any(map(any, count_wins(one, len(models))))]
        drawn = resamples if len(judged) > 1 else 0
        samples = bootstrap(judged, len(models), prior_wins, drawn, rng, between)

    entries = [
        {
            "model": name,
            "log_strength": None if strengths is None else round(strengths[number], 6),
            "interval": _interval([sample[number] for sample in samples], confidence),
            **_record(rounds, number, len(models)),
        }
        for number, name in enumerate(models)
    ]
    if strengths is not None:
        entries = [entries[at] for at in sorted(range(len(models)), key=lambda at: -strengths[at])]
    return {
        "connected": len(groups) == 1,
        "converged": converged,
        "groups": [[models[number] for number in group] for group in groups],
        "ranking": entries,
        # By model once more: a comparison of runs takes no numbers out of lists.
        "log_strengths": {entry["model"]: entry["log_strength"] for entry in entries},
        "wins": wins,
        "models": list(models),
        "confidence": confidence,
        "prior_wins": prior_wins,
        "resamples": drawn,
        "resamples_left_out": drawn - len(samples),
        "first_position": position_preference(rounds).to_result(confidence),
        "verdicts_missing": sum(verdicts.count("?") for verdicts in rounds),
    }


def bootstrap(
    by_prompt: Sequence[Sequence[Verdicts]],
    models: int,
    prior_wins: float,
    resamples: int,
    rng: random.Random,
    between: Callable[[int], None] = lambda _: None,
) -> list[list[float]]:
    """The log-strengths of resamples of the prompts, without those that have none."""
    samples: list[list[float]] = []
    # Verdicts are read once, and not for each resample anew.
    counted = [count_wins(verdicts, models) for verdicts in by_prompt]
    for number in range(resamples):
        between(number)
        drawn = rng.choices(counted, k=len(counted))
        wins = [list(map(math.fsum, zip(*rows, strict=True))) for rows in zip(*drawn, strict=True)]
        try:
            samples.append(log_strengths(wins, prior_wins=prior_wins))
        except (NotConnectedError, ArithmeticError):
            continue
    return samples


def position_preference(rounds: Sequence[Verdicts]) -> Proportion:
    """How often the answer that was shown first was preferred, of all verdicts that preferred one.

    Each pair is shown in both orders, so a judge without a preference for a position comes to a half.
    """
    verdicts = "".join(rounds)
    return Proportion(verdicts.count("A"), verdicts.count("A") + verdicts.count("B"))


def _interval(values: Sequence[float], confidence: float) -> list[float] | None:
    if not values:
        return None
    ordered = sorted(values)
    low, high = (round(percentile(ordered, share), 6) for share in ((1 - confidence) / 2, (1 + confidence) / 2))
    return [low, high] if low < high else None


def _record(rounds: Sequence[Verdicts], number: int, models: int) -> dict[str, int]:
    """Comparisons won, tied and lost by a model."""
    points: list[float] = []
    for verdicts in rounds:
        for at, (i, j) in enumerate(combinations(range(models), 2)):
            scored = score(verdicts[2 * at], verdicts[2 * at + 1])
            if scored is not None and number in (i, j):
                points.append(scored if number == i else 1 - scored)
    return {"won": points.count(1.0), "tied": points.count(0.5), "lost": points.count(0.0)}
