"""A module that is fine when it is described, and cannot be imported when a run of it starts."""

import sys

from athanor.experiment import RunContext, experiment
from pydantic import BaseModel


class Nothing(BaseModel):
    """No configuration."""


@experiment(name="missing_at_start")
def missing_at_start(ctx: RunContext[Nothing]) -> None:
    """Never executed."""


if sys.argv[0].endswith("execute.py"):
    import there_is_no_such_module  # noqa: F401
