"""What the package gives, pinned: a name that goes, or comes, is a decision."""

import inspect
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cached_property
from typing import Any

import athanor
import athanor.client
import pytest
from athanor.client import compare

from tests.support import interface

EXPORTS = """
Client Experiments Instances Runners Runs Experiment Instance Run Runner
Listing RunWatch LogWatch BatchWatch ChangeWatch
AsyncClient AsyncExperiments AsyncInstances AsyncRunners AsyncRuns AsyncExperiment AsyncInstance AsyncRun AsyncRunner
AsyncListing AsyncRunWatch AsyncLogWatch AsyncBatchWatch AsyncChangeWatch
Interruption Page
Attempt AttemptFinding CodeVersion DiscoveryError ExperimentRecord Failure InstanceRecord LogFault Progress RunPolicy
OrchestratorRecord RunRecord RunnerRecord Validation Verification
AttemptOutcome EventKind FailureKind LogFaultKind LogLevel RunState Verdict
AttemptEnded AttemptStarted BatchItem CheckpointSaved Event EventBatch EventFilter LogEntry ProgressUpdated Result
RunUpdated StateChanged StopStep UnknownEvent WatchItem
Begun InstanceChanged InstanceDeleted InstancesItem RunChanged RunDeleted RunsItem Synced
Comparison Difference Results Summary
AthanorError TargetError UnavailableError DeadlineExceededError WaitTimeoutError ProtocolError MissingExtraError
RefusedError InvalidArgumentError
ConfigurationInvalidError NotFoundError AlreadyExistsError FailedPreconditionError RunTerminalError RunLiveError
RunnerConnectedError ConflictError PositionOutOfRangeError PermissionDeniedError UnimplementedError InternalError
Violation
"""


def test_exports_are_pinned():
    assert sorted(athanor.client.__all__) == sorted(EXPORTS.split())
    assert all(hasattr(athanor.client, name) for name in athanor.client.__all__)


# What a run and so on can do, beyond being read; the same for both clients.
METHODS = {
    "Run": """
        cancel delete events export instance live logs refresh results verify wait watch watch_batches
    """,
    "Instance": "delete refresh runs start update",
    "Experiment": "create_instance instances refresh runs validate",
    "Runner": "drain forget refresh undrain",
    "Runs": """
        cancel compare delete events get list logs results start verify wait watch watch_all watch_batches
    """,
    "Instances": "create delete get list update watch_all",
    "Experiments": "discovery_errors get list validate",
    "Runners": "drain forget get list undrain",
    "Listing": "all first pages",
}


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("prefix", ["", "Async"])
def test_methods_are_pinned(prefix, name):
    kind = getattr(athanor.client, prefix + name)
    assert sorted(part for part in vars(kind) if not part.startswith("_")) == METHODS[name].split()


def test_whatever_programs_call_is_what_is_written_down():
    """After a change that was meant: `python -m tests.support.pins interface`, and look at what `git diff` says."""
    assert interface.text() == interface.KEPT.read_text(encoding="utf-8")


def renamed(self: Any, why: str = "", *, wait: bool | float = False, timeout: float | None = None) -> Any:
    return self, why, wait, timeout


def defaulted(self: Any, reason: str = "x", *, wait: bool | float = False, timeout: float | None = None) -> Any:
    return self, reason, wait, timeout


@pytest.mark.parametrize(
    ("kind", "name", "value"),
    [
        (athanor.client.Run, "cancel", renamed),
        (athanor.client.Run, "cancel", defaulted),
        (athanor.client.AsyncRun, "cancel", athanor.client.Run.cancel),  # not to be awaited any more
        (athanor.client.Client, "restart", renamed),
        (athanor.client.Comparison, "shown", property(renamed)),
        (athanor.client.Results, "__iter__", renamed),
        (athanor.client.NotFoundError, "__init__", renamed),
        (compare, "compare", renamed),
    ],
)
def test_every_change_of_it_is_seen(monkeypatch: pytest.MonkeyPatch, kind: Any, name: str, value: Any):
    monkeypatch.setattr(kind, name, value, raising=False)
    assert interface.text() != interface.KEPT.read_text(encoding="utf-8")


def test_the_package_has_connect_and_loads_the_client_when_it_is_called(monkeypatch):
    monkeypatch.setenv("ATHANOR_TARGET", "lab:1")
    assert athanor.__all__ == ["__version__", "client", "connect", "connect_async", "experiment"]
    with athanor.connect() as client:
        assert repr(client) == "Client('lab:1')"
    with athanor.connect("other", timeout=1, retry_for=2) as client:
        assert client.target == "other:7400"
    with pytest.raises(athanor.client.TargetError, match="HOST:PORT"):
        athanor.connect("http://lab")


async def test_connect_async_gives_the_client_that_awaits():
    async with athanor.connect_async("lab") as client:
        assert repr(client) == "AsyncClient('lab:7400')"


def test_what_not_everybody_needs_is_loaded_when_it_is_asked_for():
    code = """
import sys, athanor.client as client
late = ("_sync", "results", "compare", "export", "notebook", "paths", "_frames", "_html", "_plot", "_statistics")
print([name for name in sys.modules if name.startswith("athanor.client.") and name.split(".")[2] in late])
print(client.Run.__name__, client.Results.__name__, client.Comparison.__name__)
"""
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out.splitlines() == ["[]", "Run Results Comparison"]
    assert not hasattr(athanor.client, "Nothing")


def test_importing_the_package_loads_neither_client():
    code = "import sys, athanor; print([m for m in ('grpc', 'athanor.client', 'asyncio') if m in sys.modules])"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out.strip() == "[]"


def test_without_the_extra_it_is_said_what_to_install():
    code = """
import sys, athanor
sys.modules["grpc"] = None
try:
    athanor.connect()
except ImportError as error:
    print(error)
"""
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out.strip() == (
        "the client needs grpc, which is not installed: install Athanor with its extra 'client'"
        " (pip install './client[client]' where its sources are)"
    )


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
    modules = ["_extras", "compare", "export", "notebook", "paths", "results"]
    names = ("pandas", "numpy", "polars", "pyarrow", "matplotlib", "IPython")
    code = "import sys, athanor.client; "
    code += "".join(f"import athanor.client.{module}; " for module in modules)
    code += f"print([name for name in {names!r} if name in sys.modules])"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out.strip() == "[]"


def named(value: object, prefix: str) -> Iterator[tuple[str, Any]]:
    """Whatever callers can reach of a class or a function, with its name."""
    yield prefix, value
    if isinstance(value, type):
        for name, part in inspect.getmembers(value):
            if not name.startswith("_"):
                yield f"{prefix}.{name}", part


def hints(value: Any) -> str:
    """The annotations of a function, a property or a class, as they are written."""
    match value:
        case property() | cached_property():
            value = getattr(value, "fget", None) or getattr(value, "func", None)
        case _:
            pass
    return " ".join(str(hint) for hint in getattr(value, "__annotations__", {}).values())


def test_no_message_of_the_contract_and_nothing_of_grpc_is_among_what_callers_are_given():
    reachable = [pair for name in athanor.client.__all__ for pair in named(getattr(athanor.client, name), name)]
    assert ("Run.wait", athanor.client.Run.wait) in reachable
    assert hints(athanor.client.Run.wait) != ""
    leaks = [name for name, value in reachable if re.search(r"_pb2|pb\.|google|grpc|protobuf", hints(value))]
    assert leaks == []
    ours = [getattr(value, "__module__", "") or "" for _, value in reachable]
    assert [module for module in ours if module.startswith(("grpc", "google", "athanor.v1"))] == []
