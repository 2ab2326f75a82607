"""Runners and their sessions."""

from athanor_orchestrator.domain.records import Runner
from athanor_orchestrator.storage.pages import Page
from athanor_orchestrator.storage.transaction import Transaction


def register_session(tx: Transaction, runner: Runner) -> bool:
    """Write a runner as it introduced itself, connected, with its session; locks its row until the commit.

    False, and nothing written, when a session with this number or a higher one is known. Definitions and discovery
    errors of earlier sessions no longer count; the runner reports them again. `last_seen_us` is set to now; derived
    fields are ignored.
    """
    raise NotImplementedError


def upsert_runner(tx: Transaction, runner: Runner) -> None:
    """Write a runner as it is, whatever session is known; derived fields are ignored."""
    raise NotImplementedError


def lock_runner(tx: Transaction, runner_id: str) -> Runner | None:
    """Return a runner, its row locked until the commit: so that its session number holds while a lease is granted."""
    raise NotImplementedError


def get_runner(tx: Transaction, runner_id: str) -> Runner | None:
    """Return a runner with the runs it holds and the experiments it can execute."""
    raise NotImplementedError


def list_runners(tx: Transaction, after_id: str, limit: int, seen_since_us: int) -> Page[Runner]:
    """Return runners in the order of their ids, those behind `after_id` that were seen since."""
    raise NotImplementedError


def touch_runner(tx: Transaction, runner_id: str, session_number: int, now_us: int, draining: bool) -> bool:
    """Note that the runner was heard from in this session, and is connected; False when the session is not the newest."""
    raise NotImplementedError


def set_disconnected(tx: Transaction, runner_id: str, session_number: int) -> bool:
    """Note that this session of the runner is over; False when it is not the newest or was over."""
    raise NotImplementedError


def disconnect_silent(tx: Transaction, seen_before_us: int) -> list[str]:
    """Note that the sessions of connected runners not heard from since are over; returns the runners' ids."""
    raise NotImplementedError
