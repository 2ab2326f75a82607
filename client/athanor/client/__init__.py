"""The Python client: start, watch, cancel and compare runs.

    import athanor

    with athanor.connect() as client:
        instance = client.instances.create("hello", {"times": 3})
        run = instance.start()
        for entry in run.logs(follow=True):
            print(entry.message)
        print(run.wait().state, run.results()["greetings"])

and where there is an event loop, the same with `await`:

    async with athanor.connect_async() as client:
        instance = await client.instances.create("hello", {"times": 3})
        run = await instance.start()
        async for entry in run.logs(follow=True):
            print(entry.message)

A class whose name begins with `Async` belongs to the client that awaits; without that beginning it is its twin of the
client that blocks, with the same methods. Records, events and errors are the same for both: errors are drawn in
`athanor.client.errors`, resources are in `athanor.client.resources`, events in `athanor.client.events`, what a watch of
many gives in `athanor.client.changes`. What is done with results is in `athanor.client.results`, `compare`, `export`,
`notebook`, and `paths` for documents and where they differ.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from athanor.client._async.client import AsyncClient
from athanor.client._async.experiment import AsyncExperiment
from athanor.client._async.experiments import AsyncExperiments
from athanor.client._async.instance import AsyncInstance
from athanor.client._async.instances import AsyncInstances
from athanor.client._async.listing import AsyncListing
from athanor.client._async.run import AsyncRun
from athanor.client._async.run_watch import AsyncLogWatch, AsyncRunWatch
from athanor.client._async.runner import AsyncRunner
from athanor.client._async.runners import AsyncRunners
from athanor.client._async.runs import AsyncRuns
from athanor.client._async.watch import AsyncBatchWatch
from athanor.client._async.watch_all import AsyncChangeWatch
from athanor.client._outage import Interruption
from athanor.client._page import Page
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
    WaitTimeoutError,
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
from athanor.client.resources import (
    Attempt,
    AttemptFinding,
    CodeVersion,
    DiscoveryError,
    ExperimentRecord,
    Failure,
    InstanceRecord,
    LogFault,
    OrchestratorRecord,
    Progress,
    RunnerRecord,
    RunPolicy,
    RunRecord,
    Validation,
    Verification,
)

if TYPE_CHECKING:
    from athanor.client._statistics import Summary
    from athanor.client._sync.client import Client
    from athanor.client._sync.experiment import Experiment
    from athanor.client._sync.experiments import Experiments
    from athanor.client._sync.instance import Instance
    from athanor.client._sync.instances import Instances
    from athanor.client._sync.listing import Listing
    from athanor.client._sync.run import Run
    from athanor.client._sync.run_watch import LogWatch, RunWatch
    from athanor.client._sync.runner import Runner
    from athanor.client._sync.runners import Runners
    from athanor.client._sync.runs import Runs
    from athanor.client._sync.watch import BatchWatch
    from athanor.client._sync.watch_all import ChangeWatch
    from athanor.client.compare import Comparison
    from athanor.client.paths import Difference
    from athanor.client.results import Results

__all__ = [
    # The client that blocks: its parts, what they give, and iterators
    "Client",
    "Experiments",
    "Instances",
    "Runners",
    "Runs",
    "Experiment",
    "Instance",
    "Run",
    "Runner",
    "Listing",
    "RunWatch",
    "LogWatch",
    "BatchWatch",
    "ChangeWatch",
    # The client that awaits, likewise
    "AsyncClient",
    "AsyncExperiments",
    "AsyncInstances",
    "AsyncRunners",
    "AsyncRuns",
    "AsyncExperiment",
    "AsyncInstance",
    "AsyncRun",
    "AsyncRunner",
    "AsyncListing",
    "AsyncRunWatch",
    "AsyncLogWatch",
    "AsyncBatchWatch",
    "AsyncChangeWatch",
    # Of both
    "Interruption",
    "Page",
    # Records
    "Attempt",
    "AttemptFinding",
    "CodeVersion",
    "DiscoveryError",
    "ExperimentRecord",
    "Failure",
    "InstanceRecord",
    "LogFault",
    "OrchestratorRecord",
    "Progress",
    "RunPolicy",
    "RunRecord",
    "RunnerRecord",
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
    "WaitTimeoutError",
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

# Loaded when asked for: what is done with results; and the client that blocks, for which the command line, and programs
# with an event loop, never ask.
_LATE = {
    "Client": "_sync.client",
    "Experiment": "_sync.experiment",
    "Experiments": "_sync.experiments",
    "Instance": "_sync.instance",
    "Instances": "_sync.instances",
    "Listing": "_sync.listing",
    "Run": "_sync.run",
    "LogWatch": "_sync.run_watch",
    "RunWatch": "_sync.run_watch",
    "Runner": "_sync.runner",
    "Runners": "_sync.runners",
    "Runs": "_sync.runs",
    "BatchWatch": "_sync.watch",
    "ChangeWatch": "_sync.watch_all",
    "Comparison": "compare",
    "Difference": "paths",
    "Results": "results",
    "Summary": "_statistics",
}


def __getattr__(name: str) -> Any:
    if name not in _LATE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"athanor.client.{_LATE[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
