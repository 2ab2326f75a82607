"""Does nothing, for as long as it is let."""

import time

from athanor.experiment import RunContext, experiment
from pydantic import BaseModel


class Nothing(BaseModel):
    pass


@experiment(name="sleeps")
def sleeps(ctx: RunContext[Nothing]) -> None:
    ctx.log("info", "sleeping")
    while not ctx.cancelled:
        time.sleep(0.2)
