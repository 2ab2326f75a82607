"""Athanor: experiments as code, run anywhere, recorded for good.

    from athanor.experiment import RunContext, experiment      to write experiments
    client = athanor.connect()                                 to start and watch runs; needs the extra `client`

Nothing is imported before it is asked for: who writes experiments needs no gRPC, who calls needs none of the rest.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from athanor import client, experiment
    from athanor.client import AsyncClient, Client

__version__ = "0.1.0"

__all__ = [
    "__version__",
    "client",
    "connect",
    "connect_async",
    "experiment",
]


def connect(target: str | None = None, *, timeout: float = 30.0, retry_for: float = 10.0) -> "Client":
    """Return a client of the orchestrator at `target`, HOST:PORT, or of several, separated by commas.

    Without one it is that of ATHANOR_TARGET, else 127.0.0.1:7400. Nothing is sent before the first call. Close it, or
    use it as a context manager:

        with athanor.connect() as client:
            print(client.runs.list(limit=10).all())

    `timeout` is the deadline of a call in seconds, unless the call says otherwise. A call that may be repeated is made
    again for up to `retry_for` seconds while no orchestrator is available. Raises athanor.client.TargetError for an
    address of another form, ImportError when the extra `client` is not installed.
    """
    return _clients().Client(target, timeout=timeout, retry_for=retry_for)


def connect_async(target: str | None = None, *, timeout: float = 30.0, retry_for: float = 10.0) -> "AsyncClient":
    """Return a client as `connect` does, for a program with an event loop, in which alone it is used and closed.

    async with athanor.connect_async() as client:
        print(await client.runs.list(limit=10).all())
    """
    return _clients().AsyncClient(target, timeout=timeout, retry_for=retry_for)


def _clients() -> Any:
    try:
        return import_module("athanor.client")
    except ModuleNotFoundError as error:
        library = (error.name or "").partition(".")[0]
        if library == "athanor":
            raise
        raise ImportError(
            f"the client needs {library}, which is not installed: install Athanor with its extra 'client'"
            " (pip install './client[client]' where its sources are)",
            name=library,
        ) from None


def __getattr__(name: str) -> Any:
    if name in ("client", "experiment"):
        return import_module(f"athanor.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
