"""How often must a coin be tossed until one can tell that it is biased?

Each trial tosses a coin until Wald's sequential test decides between a fair coin and one that shows heads with
probability `bias`, with both kinds of error bounded (A. Wald, "Sequential tests of statistical hypotheses", The Annals
of Mathematical Statistics 16, 1945).
"""

import math
import random
from statistics import fmean
from typing import Any

from athanor.experiment import RunContext, experiment
from pydantic import BaseModel, Field


class Config(BaseModel):
    bias: float = Field(0.6, gt=0.5, lt=1, title="Bias", description="Probability of heads, if the coin is biased.")
    biased: bool = Field(True, title="Toss the biased coin", description="Else a fair one is tossed.")
    error: float = Field(0.05, gt=0, lt=0.5, title="Error", description="Of either kind, at most about this.")
    trials: int = Field(100, ge=1, le=1000, title="Trials")


@experiment(
    name="coins",
    title="Coins",
    description="How many tosses tell a biased coin from a fair one?",
    max_attempts=3,
)
def coins(ctx: RunContext[Config]) -> None:
    config = ctx.config
    trials: list[dict[str, Any]] = ctx.restored or []

    for number in ctx.track(range(len(trials) + 1, config.trials + 1), done=len(trials)):
        # A generator for each trial: a later attempt goes on as if nothing had happened.
        rng = random.Random(f"{ctx.seed}/{number}")
        said_biased, tosses = decide(rng, config.bias if config.biased else 0.5, config.bias, config.error)
        trials.append({"said_biased": said_biased, "tosses": tosses})
        ctx.result(f"trial/{number}", trials[-1])
        ctx.checkpoint(trials)  # behind the result that belongs to it

    said = sum(trial["said_biased"] for trial in trials)
    mean_tosses = fmean(trial["tosses"] for trial in trials)
    ctx.result("summary", {"said_biased": said / len(trials), "mean_tosses": mean_tosses})
    ctx.info(f"called biased in {said} of {len(trials)} trials")


def decide(rng: random.Random, heads: float, bias: float, error: float) -> tuple[bool, int]:
    """Toss a coin that shows heads with probability `heads` until the test decides.

    Answers whether it is called biased, and the number of tosses.
    """
    bound = math.log((1 - error) / error)
    evidence, tosses = 0.0, 0
    while abs(evidence) < bound:
        evidence += math.log(bias / 0.5) if rng.random() < heads else math.log((1 - bias) / 0.5)
        tosses += 1
    return evidence > 0, tosses
