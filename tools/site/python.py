"""The reference of the Python packages, for mkdocstrings: pages for all that an `__all__` names, by subject."""

import ast
import inspect
import textwrap
from collections.abc import Iterator
from importlib import import_module
from typing import Any

TITLES = {
    "athanor": "athanor",
    "athanor.client.compare": "athanor.client.compare: to compare runs",
    "athanor.client.export": "athanor.client.export: to write files",
    "athanor.client.notebook": "athanor.client.notebook: in notebooks",
    "athanor.client.paths": "athanor.client.paths: documents by path",
    "athanor.experiment": "athanor.experiment: to write experiments",
    "athanor.experiment.testing": "athanor.experiment.testing: to test them",
}
# Of `athanor`, these are the modules that have pages of their own.
ELSEWHERE = {"athanor": {"client", "experiment", "__version__"}}

CLIENT = "athanor.client"
# What `athanor.client` exports is too much for one page. Each name is on one of these, or begins with ASYNC.
SUBJECTS = {
    "athanor.client": ("the client", "Client Listing Page OrchestratorRecord"),
    "athanor.client-instances": (
        "experiments and instances",
        "Experiments Experiment ExperimentRecord CodeVersion DiscoveryError Validation"
        " Instances Instance InstanceRecord",
    ),
    "athanor.client-runs": (
        "runs",
        "Runs Run RunRecord RunState RunPolicy Progress Attempt AttemptOutcome Failure FailureKind"
        " Verification Verdict AttemptFinding LogFault LogFaultKind",
    ),
    "athanor.client-runners": ("runners", "Runners Runner RunnerRecord"),
    "athanor.client-results": ("what has been found", "Results Comparison Summary Difference"),
    "athanor.client-events": (
        "events, and watching a run",
        "RunWatch LogWatch BatchWatch WatchItem BatchItem EventFilter Event EventKind LogEntry LogLevel Result"
        " AttemptStarted AttemptEnded StopStep StateChanged CheckpointSaved UnknownEvent RunUpdated ProgressUpdated"
        " EventBatch",
    ),
    "athanor.client-changes": (
        "watching all runs, or all instances",
        "ChangeWatch RunsItem RunChanged RunDeleted InstancesItem InstanceChanged InstanceDeleted Begun Synced"
        " Interruption",
    ),
    "athanor.client-errors": (
        "errors",
        "AthanorError TargetError UnavailableError DeadlineExceededError WaitTimeoutError ProtocolError"
        " MissingExtraError RefusedError InvalidArgumentError ConfigurationInvalidError Violation NotFoundError"
        " AlreadyExistsError FailedPreconditionError RunTerminalError RunLiveError RunnerConnectedError ConflictError"
        " PositionOutOfRangeError PermissionDeniedError UnimplementedError InternalError",
    ),
}
ASYNC = "Async"


def pages() -> dict[str, str]:
    """Return the pages by their paths."""
    return {
        **{path_of(module): page(module, title) for module, title in TITLES.items()},
        **{path_of(name): subject(name) for name in SUBJECTS},
        path_of(f"{CLIENT}-async"): awaited(),
    }


def path_of(name: str) -> str:
    return f"reference/python/{name}.md"


def page(module: str, title: str) -> str:
    """Return a module's page: what its own docstring says, then each name that it exports."""
    exported = getattr(import_module(module), "__all__", ())
    names = [name for name in exported if name not in ELSEWHERE.get(module, ())]
    if not names:
        return f"# {title}\n\n::: {module}\n"
    return f"# {title}\n\n{introduction(module)}\n" + "\n".join(entry(module, name) for name in names)


def subject(name: str) -> str:
    """Return a page of `athanor.client`."""
    title, names = SUBJECTS[name]
    said = f"All of it is exported by `{CLIENT}`.\n"
    if name == CLIENT:
        others = ", ".join(f"[{other}]({page}.md)" for page, (other, _) in SUBJECTS.items() if page != CLIENT)
        said = (
            f"{introduction(CLIENT)}\nOn pages of their own: {others}, [the client that awaits]({CLIENT}-async.md).\n"
        )
    return f"# {CLIENT}: {title}\n\n{said}\n" + "\n".join(entry(CLIENT, each) for each in names.split())


def introduction(module: str) -> str:
    return f"::: {module}\n    options:\n      members: false\n"


def entry(module: str, name: str) -> str:
    """Return the entry of one name. What a class has from private classes counts as its own: they are not shown."""
    found = getattr(import_module(module), name)
    if not inspect.isclass(found):
        return f"::: {module}.{name}\n"
    bases = "false" if any(is_private(base) for base in found.__bases__) else "true"
    # What an attribute is set to in __init__ is nobody's business.
    return f"::: {module}.{name}\n    options:\n      show_attribute_values: false\n      show_bases: {bases}\n"


def is_private(kind: type) -> bool:
    return any(part.startswith("_") for part in kind.__module__.split("."))


def awaited() -> str:
    """Return the page of the client that awaits: its signatures, because its twins say what they do."""
    client: Any = import_module(CLIENT)
    parts = [
        f"# {CLIENT}: the client that awaits",
        "What a class does, and what it raises, is said of its twin, which has no `Async` in front. Here is how it is"
        " called: `async def` is awaited, and what is called a listing or a watch is gone through with `async for`."
        f" All of it is exported by `{CLIENT}`.",
    ]
    for name in client.__all__:
        if name.startswith(ASYNC):
            twin = name.removeprefix(ASYNC)
            page_of_twin = next(page for page, (_, names) in SUBJECTS.items() if twin in names.split())
            signatures = "\n".join(["class " + name + ":", *signatures_of(getattr(client, name))])
            parts += [
                f"## {name}",
                f"Its twin is [`{twin}`]({page_of_twin}.md#{CLIENT}.{twin}).",
                f"```python\n{signatures}\n```",
            ]
    return "\n\n".join(parts) + "\n"


def signatures_of(kind: type) -> Iterator[str]:
    """Yield how each public method, and property, of a class is called."""
    (definition,) = ast.parse(inspect.getsource(kind)).body
    assert isinstance(definition, ast.ClassDef)
    for method in definition.body:
        if isinstance(method, ast.FunctionDef | ast.AsyncFunctionDef) and not method.name.startswith("_"):
            returned = f" -> {ast.unparse(method.returns)}" if method.returns else ""
            word = "async def" if isinstance(method, ast.AsyncFunctionDef) else "def"
            called = f"{word} {method.name}({ast.unparse(method.args)})"
            if any(isinstance(each, ast.Name) and each.id == "property" for each in method.decorator_list):
                called = f"@property {method.name}"
            yield textwrap.fill(called + returned, 110, initial_indent=" " * 4, subsequent_indent=" " * 8)
