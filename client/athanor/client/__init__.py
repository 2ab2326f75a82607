"""The Python client: start, watch, cancel and compare runs.

    import asyncio
    from athanor.client import AsyncClient, LogEntry

    async def main() -> None:
        async with AsyncClient() as client:
            instance = await client.instances.create("hello", {"times": 3})
            run = await client.runs.start(instance.id)
            async for item in client.runs.watch(run.id):
                if isinstance(item, LogEntry):
                    print(item.message)
            print((await client.runs.get(run.id)).state)

    asyncio.run(main())

Errors are drawn in `athanor.client.errors`, resources are in `athanor.client.resources`, events in
`athanor.client.events`, what a watch of many gives in `athanor.client.changes`. What is done with results is in
`athanor.client.results`, `compare`, `export`, `notebook`, and `paths` for documents and where they differ.
"""

from athanor.client._async.client import AsyncClient
from athanor.client._async.experiments import Experiments
from athanor.client._async.instances import Instances
from athanor.client._async.listing import Listing, Page
from athanor.client._async.runners import Runners
from athanor.client._async.runs import Runs
from athanor.client._async.watch import BatchWatch, Interruption, RunWatch
from athanor.client._async.watch_all import ChangeWatch
from athanor.client._statistics import Summary
from athanor.client.changes import (
    Begun,
    InstanceChanged,
    InstanceDeleted,
    InstancesItem,
    RunChanged,
    RunDeleted,
    RunsItem,
    Synced,
)
from athanor.client.compare import Comparison
from athanor.client.enums import AttemptOutcome, EventKind, FailureKind, LogFaultKind, LogLevel, RunState, Verdict
from athanor.client.errors import (
    AlreadyExistsError,
    AthanorError,
    ConfigurationInvalidError,
    ConflictError,
    DeadlineExceededError,
    FailedPreconditionError,
    InternalError,
    InvalidArgumentError,
    MissingExtraError,
    NotFoundError,
    PermissionDeniedError,
    PositionOutOfRangeError,
    ProtocolError,
    RefusedError,
    RunLiveError,
    RunnerConnectedError,
    RunTerminalError,
    TargetError,
    UnavailableError,
    UnimplementedError,
    Violation,
)
from athanor.client.event_batch import BatchItem, EventBatch
from athanor.client.events import (
    AttemptEnded,
    AttemptStarted,
    CheckpointSaved,
    Event,
    EventFilter,
    LogEntry,
    ProgressUpdated,
    Result,
    RunUpdated,
    StateChanged,
    StopStep,
    UnknownEvent,
    WatchItem,
)
from athanor.client.paths import Difference
from athanor.client.resources import (
    Attempt,
    AttemptFinding,
    CodeVersion,
    DiscoveryError,
    Experiment,
    Failure,
    Instance,
    LogFault,
    Progress,
    Run,
    Runner,
    RunPolicy,
    Validation,
    Verification,
)
from athanor.client.results import Results

__all__ = [
    # The client and its parts
    "AsyncClient",
    "Experiments",
    "Instances",
    "Runners",
    "Runs",
    "Listing",
    "Page",
    "RunWatch",
    "BatchWatch",
    "ChangeWatch",
    "Interruption",
    # Resources
    "Attempt",
    "AttemptFinding",
    "CodeVersion",
    "DiscoveryError",
    "Experiment",
    "Failure",
    "Instance",
    "LogFault",
    "Progress",
    "Run",
    "RunPolicy",
    "Runner",
    "Validation",
    "Verification",
    # Names
    "AttemptOutcome",
    "EventKind",
    "FailureKind",
    "LogFaultKind",
    "LogLevel",
    "RunState",
    "Verdict",
    # Events and what a watch gives
    "AttemptEnded",
    "AttemptStarted",
    "BatchItem",
    "CheckpointSaved",
    "Event",
    "EventBatch",
    "EventFilter",
    "LogEntry",
    "ProgressUpdated",
    "Result",
    "RunUpdated",
    "StateChanged",
    "StopStep",
    "UnknownEvent",
    "WatchItem",
    # What a watch of many gives
    "Begun",
    "InstanceChanged",
    "InstanceDeleted",
    "InstancesItem",
    "RunChanged",
    "RunDeleted",
    "RunsItem",
    "Synced",
    # What has been found
    "Comparison",
    "Difference",
    "Results",
    "Summary",
    # Errors
    "AthanorError",
    "TargetError",
    "UnavailableError",
    "DeadlineExceededError",
    "ProtocolError",
    "MissingExtraError",
    "RefusedError",
    "InvalidArgumentError",
    "ConfigurationInvalidError",
    "NotFoundError",
    "AlreadyExistsError",
    "FailedPreconditionError",
    "RunTerminalError",
    "RunLiveError",
    "RunnerConnectedError",
    "ConflictError",
    "PositionOutOfRangeError",
    "PermissionDeniedError",
    "UnimplementedError",
    "InternalError",
    "Violation",
]
