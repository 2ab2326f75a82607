"""Definitions as runners reported them, and the modules that they could not load."""

from athanor_orchestrator.domain.records import DiscoveryError, Experiment
from athanor_orchestrator.storage.pages import Page
from athanor_orchestrator.storage.transaction import Transaction


def upsert_experiment(tx: Transaction, experiment: Experiment, runner_id: str) -> bool:
    """Remember that the runner has this definition, under its present session, and make it the newest when it is news.

    It is news when this runner did not say the same the last time: a runner with older code that merely reconnects
    does not replace what another one reported after it. Create and update times are the database's; derived fields
    are ignored. Tells whether the newest definition changed.
    """
    raise NotImplementedError


def remove_definition(tx: Transaction, runner_id: str, name: str) -> bool:
    """Forget that the runner has this experiment; the definition itself stays. Tells whether the runner had it."""
    raise NotImplementedError


def get_experiment(tx: Transaction, name: str) -> Experiment | None:
    """Return the newest definition with `other_versions` and `available_runner_count` of connected runners."""
    raise NotImplementedError


def list_experiments(tx: Transaction, after_name: str, limit: int) -> Page[Experiment]:
    """Return definitions in the order of their names, those behind `after_name` ("" for the first page)."""
    raise NotImplementedError


def experiments_of_runner(tx: Transaction, runner_id: str) -> dict[str, Experiment]:
    """Return what the runner reported in its present session, by name, `code` being the runner's own."""
    raise NotImplementedError


def put_discovery_error(tx: Transaction, runner_id: str, error: DiscoveryError) -> None:
    """Remember a module that the runner could not load, under its present session; a later one replaces it."""
    raise NotImplementedError


def clear_discovery(tx: Transaction, runner_id: str, module: str | None = None) -> None:
    """Forget the runner's discovery error of `module`, or all of them."""
    raise NotImplementedError


def list_discovery_errors(tx: Transaction, limit: int = 1000) -> list[DiscoveryError]:
    """Return what connected runners could not load, in the order of module and runner."""
    raise NotImplementedError
