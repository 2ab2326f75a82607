"""The light experiment as an author of models has it: with imports that take longer than everything else."""

import numpy
import sklearn.linear_model  # noqa: F401
from athanor.experiment import RunContext, experiment


@experiment(name="heavy")
def heavy(ctx: RunContext[dict]) -> None:
    ctx.log("info", "first line", {"number": int(numpy.arange(2).sum())})
