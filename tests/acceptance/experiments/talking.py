"""Logs at every level, and fails when it is told to."""

import time

from athanor.experiment import RunContext, experiment
from pydantic import BaseModel


class Config(BaseModel):
    steps: int = 10
    pause: float = 0.05
    fail_with_seed: int = -1


@experiment(name="talking")
def talking(ctx: RunContext[Config]) -> None:
    for step in ctx.track(range(ctx.config.steps)):
        ctx.log(("debug", "info", "warn", "error")[step % 4], f"step {step}")
        ctx.result("loss", 1 / (step + 1))
        time.sleep(ctx.config.pause)
    if ctx.seed == ctx.config.fail_with_seed:
        raise ValueError("told to")
