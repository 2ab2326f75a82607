"""Was the change noticed? Rates of detection and of false alarm, with their intervals.

A chat model is asked at the end: it has noticed a change when it says CHANGED. What cannot be read counts as not
noticed, and is counted. After a switch that is the second model, and after a control the first: the rate of false
alarms is another model's than the rate of detection (`judged_by`). A second model that says CHANGED whatever it is
shown is found out by a pair of that model twice, in which everything that it notices is a false alarm of its own.

A local model cannot judge itself, so a statistic is declared instead. For each answer there is its log-perplexity under
the first model. The change of a conversation is the greatest difference, over the turns at which a switch could have
been, between the mean from that turn on and the mean before it: the statistic of a change in mean, with the place
unknown (D. M. Hawkins, "Testing a sequence of observations for a shift in location", Journal of the American
Statistical Association 72, 1977), without its weights, so that it stays in nats. It does not know where the switch was,
and is the same for controls.

The threshold of a pair is set on its controls, for a rate of false alarms that the configuration names. A local model
answers each question anew, so conversations in which nothing changes can be made of the controls' answers, drawn with
replacement (the bootstrap; B. Efron and R. J. Tibshirani, "An Introduction to the Bootstrap", 1993, chapter 16): the
threshold is the quantile of their changes. Ten controls have a hundred answers; their own ten changes would be too few
to say what is rare. No control is held against a threshold that it has helped to set: for each it is set on the others.

The intervals are those of rates at this threshold. That it was set on so many controls and no more is not in them.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

from athanor_experiments.intervals import Proportion, percentile
from athanor_experiments.substrate_shift.conversation import DECIMALS, Conversation, Outcome
from athanor_experiments.substrate_shift.design import CONTROL, SWITCH_TURNS, TURNS, Condition

FEWEST_CONTROLS = 3
"""For a threshold: two others must be left to hold each against."""

RESAMPLES = 2000
"""Conversations that are made of the controls' answers, for each threshold."""

_PLACES = tuple(turn - 1 for turn in SWITCH_TURNS if turn != CONTROL)  # answers before a switch


@dataclass(frozen=True, slots=True)
class Decided:
    """Whether the change of a conversation counts as noticed."""

    switch_turn: int
    noticed: bool


def change_of_perplexity(log_perplexities: Sequence[float]) -> float:
    """The greatest change between before and from a turn of SWITCH_TURNS on, up or down, in nats a token.

    Takes the log-perplexities of all TURNS answers under the first model, and rounds: what is recorded is what counts.
    """
    if len(log_perplexities) != TURNS:
        raise ValueError(f"{len(log_perplexities)} answers, not {TURNS}")
    sums = list(accumulate(log_perplexities))
    change = max(abs((sums[-1] - sums[place - 1]) / (TURNS - place) - sums[place - 1] / place) for place in _PLACES)
    return round(change, DECIMALS + 2)


def outcome_of(held: Conversation) -> Outcome:
    """What the statistics need of a conversation, and no more: it is in every checkpoint from then on."""
    if held.error is not None:
        return "failed"
    if held.verdict is not None:
        return held.verdict.said
    if len(held.log_perplexities) < TURNS:
        return "unclear"  # an answer may be empty, and then nothing can be said about it
    return held.log_perplexities if held.condition.is_control else change_of_perplexity(held.log_perplexities)


def change_of(outcome: Outcome) -> float | None:
    """The change of perplexity of a conversation, in nats a token; None when there is no such statistic."""
    if isinstance(outcome, str):
        return None
    return change_of_perplexity(outcome) if isinstance(outcome, list) else outcome


def threshold(controls: Sequence[Sequence[float]], false_alarm_rate: float, rng: random.Random) -> float:
    """The change above which one counts as noticed, in nats a token.

    Args:
        controls: log-perplexities of the answers of each control. false_alarm_rate: the share of conversations without
        a change that shall be above it. rng: for the RESAMPLES.
    """
    answers = [value for control in controls for value in control]
    changes = sorted(change_of_perplexity(rng.choices(answers, k=TURNS)) for _ in range(RESAMPLES))
    return percentile(changes, 1 - false_alarm_rate)


def decide(
    outcomes: Sequence[tuple[Condition, Outcome]], false_alarm_rate: float, rng: random.Random
) -> tuple[list[Decided], float | None]:
    """Whether each conversation of a pair was noticed, and the threshold of the pair.

    Those that failed are left out, and those that the threshold cannot be set for: all that have a statistic, when
    there are fewer than FEWEST_CONTROLS controls with one. There is no threshold where the models were asked.
    """
    controls = [value for condition, value in outcomes if condition.is_control and isinstance(value, list)]
    limit = threshold(controls, false_alarm_rate, rng) if len(controls) >= FEWEST_CONTROLS else None

    decided: list[Decided] = []
    seen_controls = 0
    for condition, value in outcomes:
        change = change_of(value)
        if change is None:
            if value != "failed":
                decided.append(Decided(condition.switch_turn, value == "changed"))
        elif limit is not None:
            held_against = limit
            if condition.is_control:
                others = controls[:seen_controls] + controls[seen_controls + 1 :]
                seen_controls += 1
                held_against = threshold(others, false_alarm_rate, rng)
            decided.append(Decided(condition.switch_turn, change > held_against))
    return decided, limit


def summarize(
    outcomes: Sequence[tuple[Condition, Outcome]],
    *,
    asked: bool,
    false_alarm_rate: float,
    confidence: float,
    rng: random.Random,
) -> dict[str, Any]:
    """The rates of one pair, over all of its conversations. Those that failed count in neither.

    Args:
        outcomes: of each conversation. asked: whether models were asked at the end; if not, there is a statistic, under
        the first model. false_alarm_rate: for the threshold of that. confidence: of the intervals. rng: for the
        threshold.
    """
    decided, limit = decide(outcomes, false_alarm_rate, rng)
    first = outcomes[0][0]
    values = [value for _, value in outcomes]
    return {
        "model_a": first.model_a,
        "model_b": first.model_b,
        # Whose they are: only of the same one can they be compared.
        "judged_by": {"detection": first.model_b if asked else first.model_a, "false_alarm": first.model_a},
        "detection": _rate([one for one in decided if one.switch_turn != CONTROL]).to_result(confidence),
        "false_alarm": _rate([one for one in decided if one.switch_turn == CONTROL]).to_result(confidence),
        "detection_by_switch_turn": {
            f"switch_{turn}": _rate([one for one in decided if one.switch_turn == turn]).to_result(confidence)
            for turn in SWITCH_TURNS
            if turn != CONTROL
        },
        "confidence": confidence,
        "threshold": None if limit is None else round(limit, 6),
        "conversations": len(outcomes),
        "failed": values.count("failed"),
        "unclear": values.count("unclear"),
    }


def _rate(decided: Sequence[Decided]) -> Proportion:
    return Proportion(sum(one.noticed for one in decided), len(decided))
