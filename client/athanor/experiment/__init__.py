"""Write an experiment.

    from athanor.experiment import RunContext, experiment

    @experiment(name="hello")
    def hello(ctx: RunContext) -> None:
        ctx.log("info", "Hello!")

The standard library and pydantic are all that is imported here, so it runs in any environment.
"""

from athanor.experiment.context import InstanceInfo, Level, RunContext, RunInfo
from athanor.experiment.definition import Definition, definition_of, experiment
from athanor.experiment.errors import (
    DefinitionError,
    EventTooLargeError,
    ForkedChildError,
    InvalidValueError,
    RecordingError,
    RunCancelled,
    RunEndedError,
)

__all__ = [
    "experiment",
    "RunContext",
    "RunInfo",
    "InstanceInfo",
    "Level",
    "Definition",
    "definition_of",
    "RunCancelled",
    "RecordingError",
    "InvalidValueError",
    "EventTooLargeError",
    "RunEndedError",
    "ForkedChildError",
    "DefinitionError",
]
