"""What the package gives, pinned: a name that goes, or comes, is a decision."""

import subprocess
import sys

import athanor.client

EXPORTS = """
AsyncClient Experiments Instances Runners Runs Listing Page RunWatch BatchWatch ChangeWatch Interruption
Attempt AttemptFinding CodeVersion DiscoveryError Experiment Failure Instance LogFault Progress Run RunPolicy Runner
Validation Verification
AttemptOutcome EventKind FailureKind LogFaultKind LogLevel RunState Verdict
AttemptEnded AttemptStarted BatchItem CheckpointSaved Event EventBatch EventFilter LogEntry ProgressUpdated Result
RunUpdated StateChanged StopStep UnknownEvent WatchItem
Begun InstanceChanged InstanceDeleted InstancesItem RunChanged RunDeleted RunsItem Synced
Comparison Difference Results Summary
AthanorError TargetError UnavailableError DeadlineExceededError ProtocolError MissingExtraError
RefusedError InvalidArgumentError
ConfigurationInvalidError NotFoundError AlreadyExistsError FailedPreconditionError RunTerminalError RunLiveError
RunnerConnectedError ConflictError PositionOutOfRangeError PermissionDeniedError UnimplementedError InternalError
Violation
"""


def test_exports_are_pinned():
    assert sorted(athanor.client.__all__) == sorted(EXPORTS.split())
    assert all(hasattr(athanor.client, name) for name in athanor.client.__all__)


def test_every_error_is_drawn_in_the_tree():
    from athanor.client import errors

    drawn = errors.__doc__ or ""
    kinds = [name for name, value in vars(errors).items() if isinstance(value, type) and issubclass(value, Exception)]
    assert [name for name in kinds if name not in drawn] == []


def test_the_client_does_not_load_what_authors_use():
    code = "import sys, athanor.client; print([m for m in sys.modules if m.startswith(('athanor.experiment', 'pydantic', 'typer', 'rich'))])"  # noqa: E501
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out.strip() == "[]"


def test_the_client_loads_no_library_of_an_extra():
    modules = "_extras compare export notebook paths results".split()
    names = ("pandas", "numpy", "polars", "pyarrow", "matplotlib", "IPython")
    code = "import sys, athanor.client; "
    code += "".join(f"import athanor.client.{module}; " for module in modules)
    code += f"print([name for name in {names!r} if name in sys.modules])"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out.strip() == "[]"
