"""Modules that runners could not load: what was raised, and which experiment is missing for it."""

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from athanor.client import DiscoveryError, ExperimentRecord

_PLACE = re.compile(r'File "([^"\n]+)", line (\d+)')


def raised(traceback: str) -> str:
    """What was raised, and where that was."""
    places = _PLACE.findall(traceback)
    where = f" ({places[-1][0].rpartition('/')[2]}, line {places[-1][1]})" if places else ""
    return traceback.strip().rpartition("\n")[2] + where


def of(experiment: "ExperimentRecord", errors: "Iterable[DiscoveryError]") -> "DiscoveryError | None":
    """The error for which a runner does not have an experiment that was there before; None when it is not that."""
    module = experiment.code.module
    names = {module, module.partition(":")[0]} - {""}
    return next((error for error in errors if error.module in names), None)


def waiting(experiment: "ExperimentRecord", errors: "Iterable[DiscoveryError]", run_id: str) -> str:
    """Say what a run waits for whose experiment no connected runner has."""
    text = f"no connected runner has {experiment.name!r}: "
    error = of(experiment, errors)
    if error is None:
        return text + "the run waits until one comes"
    return (
        f"{text}its module {error.module} could not be loaded\n  {raised(error.error)}\n"
        f"mend it and the run starts; `athanor runs cancel {run_id}` ends the waiting"
    )
