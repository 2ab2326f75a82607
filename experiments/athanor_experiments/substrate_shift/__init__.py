"""Does a language model notice that it was replaced in mid-conversation?

Conversations of ten turns about how one writes and thinks. From some turn on, 3, 5, 7 or 9, a second model answers in
the first one's place and is shown all that came before as its own; in a control, switch 0, the first model answers
throughout. At the end the model that is then answering says whether all of it was written by one model. Local models
cannot be asked: for them the change is a declared statistic; see `detection`.

Results: `pair_I/switch_T/run_N` for each conversation, with model, question, answer, log-probabilities and usage of
each turn; those that failed are results as well, say why, and do not end the run. At the end one `summary`, with the
rates of detection and false alarm of each pair and their Wilson intervals.

The order of questions goes by run number through a cyclic Latin square, the queue of conversations is shuffled by the
run's seed. A checkpoint after each conversation: a run that may have several attempts repeats none that was finished.
"""

from typing import Any

from athanor.experiment import RunContext, experiment

from athanor_experiments.models import Models, ModelSetupError, open_models
from athanor_experiments.parallel import work_through
from athanor_experiments.substrate_shift import detection
from athanor_experiments.substrate_shift.configuration import Config
from athanor_experiments.substrate_shift.conversation import Outcome, hold
from athanor_experiments.substrate_shift.design import Condition, conditions, shuffled


@experiment(
    name="substrate_shift",
    title="Substrate shift",
    description="Does a language model notice that it was replaced in mid-conversation?",
)
async def substrate_shift(ctx: RunContext[Config]) -> None:
    config = ctx.config
    names = [name for pair in config.pairs for name in (pair.model_a, pair.model_b)]
    try:
        async with open_models(config.provider, config.api, names, config.parallelism) as models:
            await converse(ctx, models)
    except ModelSetupError as error:
        ctx.fail(error)


async def converse(ctx: RunContext[Config], models: Models) -> None:
    """Hold all conversations that an earlier attempt has not, and sum up."""
    config = ctx.config
    all_conditions = conditions(config.pairs, config.runs_per_pair)

    # What came of each, in the order of the design; None for what is still to do. All that a later attempt has to know.
    outcomes: list[Outcome | None] = ctx.restored["outcomes"] if ctx.restored else [None] * len(all_conditions)
    todo = [condition for condition in shuffled(all_conditions, ctx.rng) if outcomes[condition.index] is None]
    done = len(all_conditions) - len(todo)
    ctx.info(f"{len(all_conditions)} conversations of {len(config.pairs)} pairs", {"done_before": done})

    async def converse_once(condition: Condition) -> None:
        held = await hold(
            condition,
            models,
            seed=ctx.seed,
            max_tokens=config.max_tokens,
            ask=config.provider != "local",
            between=ctx.raise_if_cancelled,
        )
        outcome = detection.outcome_of(held)
        outcomes[condition.index] = outcome
        ctx.result(condition.key, held.to_result(outcome if isinstance(outcome, float) else None))
        if held.error is not None:
            ctx.warn(f"{condition.key} failed at turn {len(held.turns) + 1}: {held.error}", held.error.to_result())
        # Behind the result that belongs to it. No other conversation can come between: nothing is awaited.
        ctx.checkpoint({"outcomes": outcomes})

    await work_through(ctx, todo, converse_once, parallelism=config.parallelism, done=done)

    finished = [
        (condition, outcome) for condition in all_conditions if (outcome := outcomes[condition.index]) is not None
    ]
    pairs = [
        detection.summarize(
            [one for one in finished if one[0].pair == number],
            deviations=config.threshold_deviations,
            confidence=config.confidence,
        )
        for number in range(1, len(config.pairs) + 1)
    ]
    method = "perplexity" if config.provider == "local" else "verdict"
    ctx.result("summary", {"seed": ctx.seed, "provider": config.provider, "method": method, "pairs": pairs})
    for pair in pairs:
        ctx.info(describe(pair), {"pair": pair["pair"]})


def describe(pair: dict[str, Any]) -> str:
    """One line for people."""
    named = f"{pair['model_a']} and then {pair['model_b']}"
    if pair["detection"]["rate"] is None or pair["false_alarm"]["rate"] is None:
        return f"{named}: too few conversations to tell, {pair['failed']} of {pair['conversations']} failed"
    detected, alarmed = (
        f"{rate['rate']:.0%} ({rate['interval'][0]:.0%} to {rate['interval'][1]:.0%})"
        for rate in (pair["detection"], pair["false_alarm"])
    )
    return f"{named}: noticed {detected}, false alarms {alarmed}"
