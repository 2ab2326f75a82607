"""Athanor: experiments as code, run anywhere, recorded for good.

    from athanor.experiment import RunContext, experiment      to write experiments
    from athanor.client import AsyncClient                     to start and watch runs; needs the extra `client`

Nothing is imported before it is asked for: who writes experiments needs no gRPC, who calls needs none of the rest.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from athanor import client, experiment

__version__ = "0.1.0"

__all__ = [
    "__version__",
    "client",
    "experiment",
]


def __getattr__(name: str) -> Any:
    if name in ("client", "experiment"):
        return import_module(f"athanor.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
