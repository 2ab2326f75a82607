"""Records as fast as it can, and says how long each call took."""

import time

from athanor.experiment import RunContext, experiment
from pydantic import BaseModel, Field


class Config(BaseModel):
    count: int = Field(200_000, ge=1)


@experiment(name="flood")
def flood(ctx: RunContext[Config]) -> None:
    count = ctx.config.count
    start = time.perf_counter()
    for number in range(count):
        ctx.log("info", "epoch finished", {"epoch": number, "loss": 0.123456, "accuracy": 0.987654})
    ctx.result("us_per_log", (time.perf_counter() - start) / count * 1e6)
