"""An experiment that says which process it ran in and what it found there."""

import os
from pathlib import Path

from athanor.experiment import RunContext, experiment
from pydantic import BaseModel

# A run that shared its interpreter with another would find what that one left here.
VISITORS: list[str] = []


class Nothing(BaseModel):
    """No configuration."""


@experiment(name="isolation")
def isolation(ctx: RunContext[Nothing]) -> None:
    VISITORS.append(ctx.run.id)
    start_time = Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19]
    ctx.result("process", {"pid": os.getpid(), "start_time": int(start_time), "group": os.getpgid(0)})
    ctx.result("visitors", VISITORS)
