"""Does a language model notice that it was replaced in mid-conversation?

Conversations of ten turns about how one writes and thinks. From some turn on, 3, 5, 7 or 9, a second model answers in
the first one's place and is shown all that came before as its own; in a control, switch 0, the first model answers
throughout. At the end the model that is then answering says whether all of it was written by one model. Local models
cannot be asked: for them the change is a declared statistic; see `detection`.

After a switch that is the second model, and in a control the first: what rate of false alarms belongs to a rate of
detection is shown by a pair of the second model twice, and where there is none the run says so.

Results: `pair_I/switch_T/run_N` for each conversation, with model, question, answer, log-probabilities and usage of
each turn; those that failed are results as well, say why, and do not end the run. At the end one `summary`, with the
rates of detection and false alarm of each pair, by its key `pair_I`, and their Wilson intervals.

The order of questions goes by run number through a cyclic Latin square, the queue of conversations is shuffled by the
run's seed. A run that may have several attempts goes on behind its last checkpoint; see `resumable` for how many there
are. What failed for a reason that may pass, such as an outage, is not finished: its result comes last, and while the
run has attempts left it fails, and the next one repeats it. When all conversations failed, so did the run.
"""

import random
from typing import Any

from athanor.experiment import RunContext, experiment

from athanor_experiments.models import Models
from athanor_experiments.models.experiment import end_without_answers, made_by, models_of
from athanor_experiments.resumable import Done, Resumable
from athanor_experiments.seeds import derive
from athanor_experiments.substrate_shift import detection
from athanor_experiments.substrate_shift.configuration import Config
from athanor_experiments.substrate_shift.conversation import Conversation, Outcome, hold
from athanor_experiments.substrate_shift.design import Condition, conditions, shuffled, without_own_controls


@experiment(
    name="substrate_shift",
    title="Substrate shift",
    description="Does a language model notice that it was replaced in mid-conversation?",
)
async def substrate_shift(ctx: RunContext[Config]) -> None:
    pairs = ctx.config.pairs
    async with models_of(ctx, [name for pair in pairs for name in (pair.model_a, pair.model_b)]) as models:
        await converse(ctx, models)


async def converse(ctx: RunContext[Config], models: Models) -> None:
    """Hold all conversations that an earlier attempt has not, and sum up."""
    config = ctx.config
    asked = config.provider != "local"
    all_conditions = conditions(config.pairs, config.runs_per_pair)
    resumable = Resumable[Outcome](ctx, len(all_conditions))
    before = f", {resumable.done_before} of them held by an earlier attempt" if resumable.done_before else ""
    pairs = "1 pair" if len(config.pairs) == 1 else f"{len(config.pairs)} pairs"
    ctx.info(f"{len(all_conditions)} conversations of {pairs} of models{before}")
    for number, model in without_own_controls(config.pairs) if asked else ():
        ctx.warn(
            f"pair_{number}: {model} answers at the end of each switch and of no control. "
            f"How often it says CHANGED where nothing has changed, a pair of {model} twice would show"
        )

    async def converse_once(condition: Condition) -> Done[Outcome]:
        held = await hold(
            condition,
            models,
            seed=ctx.seed,
            max_tokens=config.max_tokens,
            ask=asked,
            between=ctx.raise_if_cancelled,
        )
        outcome = detection.outcome_of(held)
        change = detection.change_of(outcome)
        if held.error is None:
            ctx.info(describe_conversation(held, change))
        else:
            ctx.warn(f"{condition.key} failed at turn {len(held.turns) + 1}: {held.error}", held.error.to_result())
        errors = [] if held.error is None else [held.error]
        return Done(outcome, [(condition.key, held.to_result(change))], errors)

    queue = shuffled(all_conditions, ctx.rng)
    outcomes = await resumable.do(queue, converse_once, parallelism=config.parallelism)

    summaries: dict[str, dict[str, Any]] = {}
    for number in range(1, len(config.pairs) + 1):
        ctx.raise_if_cancelled()
        summaries[f"pair_{number}"] = detection.summarize(
            [(one, outcomes[one.index]) for one in all_conditions if one.pair == number],
            asked=asked,
            false_alarm_rate=config.false_alarm_rate,
            confidence=config.confidence,
            rng=random.Random(derive(ctx.seed, "threshold", number)),
        )
    ctx.result("summary", made_by(ctx, models) | {"pairs": summaries})
    for key, pair in summaries.items():
        say = ctx.warn if pair["failed"] else ctx.info
        say(f"{key}: {describe(pair)}")
    if all(outcome == "failed" for outcome in outcomes):
        end_without_answers(ctx, f"all {len(outcomes)} conversations failed", resumable.errors)


def describe_conversation(held: Conversation, change: float | None) -> str:
    """One line for people, about a conversation that did not fail."""
    condition = held.condition
    switch = "" if condition.is_control else f", from turn {condition.switch_turn} on {condition.model_b}"
    if held.verdict is not None:
        found = f"says {held.verdict.said}" + ("" if held.verdict.turn is None else f" from turn {held.verdict.turn}")
    else:
        found = "an empty answer" if change is None else f"perplexity changes by {change:.3f} nats"
    cut_off = sum(not reply.complete or not reply.text for reply in held.replies)
    but = f"; {cut_off} of {len(held.replies)} replies are cut off or empty" if cut_off else ""
    return f"{condition.key}: {condition.model_a}{switch}: {found}{but}"


def describe(pair: dict[str, Any]) -> str:
    """One line for people."""
    named = f"{pair['model_a']} and then {pair['model_b']}"
    if pair["detection"]["rate"] is None or pair["false_alarm"]["rate"] is None:
        failed = f"{pair['failed']} of {pair['conversations']} failed"
        fewest = f"a threshold needs {detection.FEWEST_CONTROLS} controls, and so as many runs_per_pair"
        return f"{named}: too few conversations to tell: {failed if pair['failed'] else fewest}"
    by = pair["judged_by"]
    detected, alarmed = (
        f"{rate['rate']:.0%} ({rate['interval'][0]:.0%} to {rate['interval'][1]:.0%})"
        + ("" if by["detection"] == by["false_alarm"] else f" by {by[name]}")
        for name, rate in (("detection", pair["detection"]), ("false_alarm", pair["false_alarm"]))
    )
    return f"{named}: noticed {detected}, false alarms {alarmed}"
