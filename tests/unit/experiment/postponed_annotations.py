"""An experiment in a module whose annotations are not evaluated."""

from __future__ import annotations

from athanor.experiment import RunContext, experiment
from pydantic import BaseModel


class Config(BaseModel):
    n: int = 1


@experiment
def postponed(ctx: RunContext[Config]) -> None: ...
