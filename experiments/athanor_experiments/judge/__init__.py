"""Which of several models answers best, in the eyes of another one?

Every model answers every prompt. A judge compares the answers pairwise and sees each pair twice, with positions
swapped: a judge that prefers a position has then not decided, nor has one that was heard in one order alone. The models
are ranked by Bradley-Terry with bootstrap intervals; see `bradley_terry` and `ranking`. A local judge cannot be asked:
there, the less surprising answer wins, a declared statistic; see `comparison.measure`.

Results: `answer/<prompt>/<number>/<model>` for each answer, and `comparison/<prompt>/<number>/<model>/<model>` for each
pair of them, with both verdicts, where prompts, numbers and models count from 1; at the end one `ranking`. An answer or
a verdict that was not to be had says why, and does not end the run.

Each number of each prompt is a round. A run that may have several attempts goes on behind its last checkpoint; see
`resumable` for how many there are. Where something failed for a reason that may pass, such as an outage, a round is not
finished: its results come last, and while the run has attempts left it fails, and the next one repeats the round. When
nothing could be compared, the run failed.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, product
from typing import Any

from athanor.experiment import RunContext, experiment

from athanor_experiments.judge.comparison import Judgement, answering, ask_judge, measure, score
from athanor_experiments.judge.configuration import Config
from athanor_experiments.judge.ranking import Verdicts, rank
from athanor_experiments.models import ModelError, Models, Reply
from athanor_experiments.models.experiment import end_without_answers, made_by, models_of
from athanor_experiments.resumable import Done, Resumable
from athanor_experiments.seeds import derive


@experiment(
    name="judge",
    title="Judge",
    description="Ranks language models by pairwise comparisons of their answers, made by a judge model.",
)
async def judge(ctx: RunContext[Config]) -> None:
    async with models_of(ctx, [*ctx.config.models, ctx.config.judge_model]) as models:
        await compare_all(ctx, models)


@dataclass(frozen=True, slots=True)
class Round:
    """One answer of each model to a prompt, compared with each other."""

    index: int  # its place in the list of all, from 0
    prompt: int  # from 1
    number: int  # which of the answers to the prompt, from 1

    @property
    def key(self) -> str:
        """What the keys of its results have in common."""
        return f"{self.prompt}/{self.number}"


async def compare_all(ctx: RunContext[Config], models: Models) -> None:
    """Play all rounds that an earlier attempt has not, and rank the models."""
    config = ctx.config
    cells = product(range(1, len(config.prompts) + 1), range(1, config.answers_per_prompt + 1))
    rounds = [Round(index, *cell) for index, cell in enumerate(cells)]

    resumable = Resumable[Verdicts](ctx, len(rounds))
    pairs = len(config.models) * (len(config.models) - 1) // 2
    before = f", {resumable.done_before} of them judged by an earlier attempt" if resumable.done_before else ""
    ctx.info(
        f"{len(rounds)} rounds of {len(config.models)} answers and {pairs} {'pair' if pairs == 1 else 'pairs'}{before}"
    )

    async def play(one: Round) -> Done[Verdicts]:
        answers = await answer_all(ctx, models, one)
        judgements = await judge_all(ctx, models, one, answers)
        ctx.info(f"prompt {one.prompt}, answers {one.number}: {describe_round(config.models, judgements)}")
        verdicts = "".join(a.verdict + b.verdict for a, b in judgements.values())
        results = results_of(config.models, one, answers, judgements)
        return Done(verdicts, results, errors_of(answers, judgements))

    verdicts = await resumable.do(rounds, play, parallelism=config.parallelism)
    by_prompt = [
        [verdicts[one.index] for one in rounds if one.prompt == prompt] for prompt in range(1, len(config.prompts) + 1)
    ]

    def between(resample: int) -> None:
        ctx.raise_if_cancelled()
        ctx.progress(resample, config.resamples, "resamples for the intervals")

    ranking = rank(
        by_prompt,
        config.models,
        prior_wins=config.prior_wins,
        resamples=config.resamples,
        confidence=config.confidence,
        rng=ctx.rng,
        between=between,
    )
    ctx.progress(len(rounds), len(rounds))
    ctx.result("ranking", made_by(ctx, models) | {"judge_model": config.judge_model} | ranking)
    ctx.info(describe(ranking))
    if not any(map(any, ranking["wins"])):
        end_without_answers(ctx, "no two answers could be compared", resumable.errors)


async def answer_all(ctx: RunContext[Config], models: Models, one: Round) -> list[Reply | ModelError]:
    """Each model's answer, or why there is none."""
    config = ctx.config
    answers: list[Reply | ModelError] = []
    for model in config.models:
        ctx.raise_if_cancelled()
        seed = derive(ctx.seed, "answer", one.key, model)
        try:
            asked = answering(config.prompts[one.prompt - 1])
            answers.append(await models.reply(model, asked, seed=seed, max_tokens=config.max_tokens))
        except ModelError as error:
            ctx.warn(f"{model} did not answer prompt {one.prompt}: {error}", error.to_result())
            answers.append(error)
    return answers


async def judge_all(
    ctx: RunContext[Config], models: Models, one: Round, answers: Sequence[Reply | ModelError]
) -> dict[tuple[int, int], tuple[Judgement, Judgement]]:
    """The judgements on each pair of answers: with the first of them shown first, and with it shown second."""
    config, prompt = ctx.config, ctx.config.prompts[one.prompt - 1]

    async def compare(first: Reply, second: Reply, *named: object) -> Judgement:
        ctx.raise_if_cancelled()
        if config.provider == "local":
            return measure(models, config.judge_model, prompt, first.text, second.text, margin=config.tie_margin)
        seed = derive(ctx.seed, "verdict", one.key, *named)
        return await ask_judge(models, config.judge_model, prompt, first.text, second.text, seed=seed)

    judgements: dict[tuple[int, int], tuple[Judgement, Judgement]] = {}
    for i, j in combinations(range(len(answers)), 2):
        a, b = answers[i], answers[j]
        if isinstance(a, ModelError) or isinstance(b, ModelError):
            judgements[i, j] = (Judgement("?"), Judgement("?"))
        else:
            judgements[i, j] = (await compare(a, b, i, j), await compare(b, a, j, i))
    return judgements


def results_of(
    models: Sequence[str],
    one: Round,
    answers: Sequence[Reply | ModelError],
    judgements: Mapping[tuple[int, int], tuple[Judgement, Judgement]],
) -> list[tuple[str, dict[str, Any]]]:
    """What is recorded of a round, by its keys."""
    return [
        *(
            (f"answer/{one.key}/{number}", answer_result(models[number - 1], answer))
            for number, answer in enumerate(answers, 1)
        ),
        *(
            (f"comparison/{one.key}/{i + 1}/{j + 1}", comparison_result(models, i, j, in_order, swapped))
            for (i, j), (in_order, swapped) in judgements.items()
        ),
    ]


def errors_of(
    answers: Sequence[Reply | ModelError], judgements: Mapping[tuple[int, int], tuple[Judgement, Judgement]]
) -> list[ModelError]:
    """Why there are answers and verdicts missing in a round."""
    missing = [answer for answer in answers if isinstance(answer, ModelError)]
    return missing + [one.error for both in judgements.values() for one in both if one.error is not None]


def answer_result(model: str, answer: Reply | ModelError) -> dict[str, Any]:
    """What is recorded of an answer."""
    if isinstance(answer, ModelError):
        return {"model": model, "answer": None, "usage": None, "finish_reason": None, "error": answer.to_result()}
    usage = None if answer.usage is None else answer.usage.to_result()
    said = {"answer": answer.text, "usage": usage, "finish_reason": answer.finish_reason}
    return {"model": model, **said, "error": None}


def comparison_result(models: Sequence[str], i: int, j: int, in_order: Judgement, swapped: Judgement) -> dict[str, Any]:
    """What is recorded of a pair."""
    return {
        "first": models[i],
        "second": models[j],
        "score": score(in_order.verdict, swapped.verdict),
        "in_order": in_order.to_result(),
        "swapped": swapped.to_result(),
    }


def describe_round(models: Sequence[str], judgements: Mapping[tuple[int, int], tuple[Judgement, Judgement]]) -> str:
    """One line for people: who was better than whom (`>`), neither (`=`), or that it was not said (`?`)."""
    signs = {1.0: ">", 0.5: "=", 0.0: "<", None: "?"}
    return ", ".join(
        f"{models[i]} {signs[score(in_order.verdict, swapped.verdict)]} {models[j]}"
        for (i, j), (in_order, swapped) in judgements.items()
    )


def describe(ranking: dict[str, Any]) -> str:
    """One line for people."""
    if not ranking["connected"]:
        groups = "; ".join(", ".join(group) for group in ranking["groups"])
        return f"no ranking: the wins connect these models only within groups: {groups}"
    if not ranking["converged"]:
        return "no ranking: the strengths are too far apart to be found; a greater prior_wins draws them together"
    placed = ", ".join(f"{entry['model']} {_strength(entry)}" for entry in ranking["ranking"])
    varies = any(entry["interval"] for entry in ranking["ranking"])
    return f"from the strongest: {placed}{'' if varies else '; too little varies for intervals'}"


def _strength(entry: dict[str, Any]) -> str:
    within = " ({:+.2f} to {:+.2f})".format(*entry["interval"]) if entry["interval"] else ""
    return f"{entry['log_strength']:+.2f}{within}"
