"""Records log entries as fast as it can, once it is told to begin."""

import time
from pathlib import Path

from athanor.experiment import RunContext, experiment
from pydantic import BaseModel, Field

MESSAGE = "epoch finished, all samples seen, checkpoint not due for now"  # 60 characters


class Config(BaseModel):
    folder: Path = Field(description="It says `RUN.ready` in here and begins when there is a `go`.")
    count: int = Field(ge=1)
    at_once: int = Field(1, ge=1, description="Entries of one call; more than one: `log_batch`.")


@experiment(name="ingest")
def ingest(ctx: RunContext[Config]) -> None:
    count, at_once = ctx.config.count, ctx.config.at_once
    (ctx.config.folder / f"{ctx.run.id}.ready").touch()
    go = ctx.config.folder / "go"
    while not go.exists():
        time.sleep(0.001)

    if at_once == 1:
        for number in range(count):
            ctx.log("info", MESSAGE, {"epoch": number, "loss": 0.123456})
        return
    for first in range(0, count, at_once):
        numbers = range(first, min(first + at_once, count))
        ctx.log_batch([("info", MESSAGE, {"epoch": number, "loss": 0.123456}) for number in numbers])
