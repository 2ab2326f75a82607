"""The runs of Athanor that are measured beside the peers."""

import sys
from pathlib import Path
from typing import Any

from athanor.experiment import RunContext, experiment
from pydantic import BaseModel

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "work"))
import talk

BATCH = 1000


class Told(BaseModel):
    wanted: dict[str, Any]


class Resting(BaseModel):
    mark: str
    rest: bool


@experiment(name="told")
def told(ctx: RunContext[Told]) -> None:
    """Writes what it is told to."""
    wanted = ctx.config.wanted
    gathered: list[tuple[str, str, dict[str, Any]]] = []

    def one(number: int) -> None:
        ctx.log("info", talk.message(number), {"epoch": number, "loss": talk.loss(number)})

    def batched(number: int) -> None:
        gathered.append(("info", talk.message(number), {"epoch": number, "loss": talk.loss(number)}))
        if len(gathered) == BATCH:
            send()

    def send() -> None:
        ctx.log_batch(gathered)
        gathered.clear()

    if wanted["way"] == "log":
        talk.write(wanted, one)
    else:
        talk.write(wanted, batched, send)


@experiment(name="resting")
def resting(ctx: RunContext[Resting]) -> None:
    """Begins, and rests if asked to."""
    talk.mark(ctx.config.mark)
    if ctx.config.rest:
        talk.rest()
