"""A module that takes long to import when a run of it starts: so long is the run PENDING with a lease."""

import sys
import time

from athanor.experiment import RunContext, experiment
from pydantic import BaseModel


class Nothing(BaseModel):
    """No configuration."""


@experiment(name="slow_to_import")
def slow_to_import(ctx: RunContext[Nothing]) -> None:
    ctx.info("imported at last")
    for _ in ctx.track(range(60_000)):
        time.sleep(0.01)


if sys.argv[0].endswith("execute.py"):
    time.sleep(3)
