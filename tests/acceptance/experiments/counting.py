"""An experiment that counts with a checkpoint behind every number, until it is told to stop."""

import os
import time

from athanor.experiment import RunContext, experiment
from pydantic import BaseModel


class Config(BaseModel):
    stop_file: str  # it ends when this exists


@experiment(name="counting")
def counting(ctx: RunContext[Config]) -> None:
    number = ctx.restored or 0
    while not os.path.exists(ctx.config.stop_file):
        ctx.raise_if_cancelled()
        ctx.result("number", number)
        number += 1
        ctx.checkpoint(number)
        time.sleep(0.05)
