"""Records so many events a second, each with the moment of its call to `log`."""

import time

from athanor.experiment import RunContext, experiment
from pydantic import BaseModel, Field


class Config(BaseModel):
    rate: float = Field(100, gt=0, description="events a second")
    seconds: float = Field(10, gt=0)
    at_once: int = Field(1, ge=1, description="events behind each pause")
    delay: float = Field(0, ge=0, description="seconds before the first, so that those who watch are there")


@experiment(name="paced")
def paced(ctx: RunContext[Config]) -> None:
    config = ctx.config
    pause = config.at_once / config.rate
    begin = time.monotonic() + config.delay
    for turn in range(round(config.seconds / pause)):
        time.sleep(max(0.0, begin + turn * pause - time.monotonic()))
        ctx.raise_if_cancelled()
        for _ in range(config.at_once):
            # By the machine's clock: whoever receives the event reads the same one.
            ctx.log("info", "epoch finished with a loss that is still going down slowly", {"at": time.monotonic_ns()})
