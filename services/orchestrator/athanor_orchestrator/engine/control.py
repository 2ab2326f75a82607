"""Carrying out what runners say on Connect: heartbeats, definitions, declined assignments, goodbyes."""

import logging
from functools import partial

from athanor_orchestrator.domain.errors import DatabaseFellBack, SessionSuperseded, StorageUnavailable
from athanor_orchestrator.domain.records import DiscoveryError, Experiment
from athanor_orchestrator.domain.run_state import Actor
from athanor_orchestrator.engine import ending
from athanor_orchestrator.engine.declined import Declined
from athanor_orchestrator.engine.heartbeats import beat
from athanor_orchestrator.engine.messages import (
    Decline,
    DeclineReason,
    Definition,
    FromRunner,
    Goodbye,
    Heartbeat,
    Removal,
)
from athanor_orchestrator.engine.sessions import Session
from athanor_orchestrator.storage import experiments, leases, runners, runs
from athanor_orchestrator.storage.database import Database
from athanor_orchestrator.storage.transaction import Transaction

logger = logging.getLogger(__name__)


class Control:
    """Takes the messages of each session one after the other."""

    def __init__(self, database: Database, declined: Declined) -> None:
        self._database = database
        self._declined = declined

    async def take(self, session: Session, message: FromRunner) -> None:
        """Carry out one message. What goes wrong ends the session, never more than that."""
        try:
            match message:
                case Heartbeat():
                    await self._heartbeat(session, message)
                case Decline():
                    await self._decline(session, message)
                case Goodbye():
                    await self._goodbye(session, message)
                case _:
                    await self._database.write(partial(define, session=session, definition=message))
        except (SessionSuperseded, DatabaseFellBack, StorageUnavailable) as error:
            # A definition or a decline is said once. Lost to the database's trouble, it is said again after a Hello.
            session.end(error)

    async def _heartbeat(self, session: Session, heartbeat: Heartbeat) -> None:
        for lease_id in heartbeat.gone_lease_ids:
            session.kept.pop(lease_id, None)  # until then its fence is repeated
        kept = tuple(session.kept.values())
        try:
            # Not given up for taking long: with a slow database it still renews, later.
            result = await self._database.write(
                lambda tx: beat(tx, session.runner_id, session.id, session.number, heartbeat, session.seen_us, kept),
                within=None,
            )
        except StorageUnavailable as error:
            # Not answered, so the runner's own count of its leases goes on; the next one comes by itself.
            logger.warning("runner %s: a heartbeat was not stored: %s", session.runner_id, error)
            return

        session.draining = heartbeat.draining
        session.seen_us = result.seen_us
        for lease_id in heartbeat.lease_ids:
            if lease_id not in result.leases:
                session.forget_lease(lease_id)
        session.leases.update(result.leases)
        session.cancelled.update(cancel.lease_id for cancel in result.reply.cancels)
        session.outbox.put(result.reply)

    async def _decline(self, session: Session, message: Decline) -> None:
        logger.info("runner %s declined: %s %s", session.runner_id, message.reason.name, message.detail)
        if message.reason is DeclineReason.DRAINING:
            session.draining = True
        run_id = session.leases.get(message.lease_id)
        if run_id is not None:
            # Before the run is given back: the dispatcher wakes with that commit.
            self._declined.add(run_id, session.runner_id)

        await self._database.write(lambda tx: decline(tx, session.runner_id, session.number, message.lease_id))
        session.forget_lease(message.lease_id)

    async def _goodbye(self, session: Session, message: Goodbye) -> None:
        await self._database.write(lambda tx: goodbye(tx, session.runner_id, session.number))
        logger.info("runner %s said goodbye: %s", session.runner_id, message.reason)
        session.end(None)


def define(tx: Transaction, *, session: Session, definition: Definition) -> None:
    """Remember what a runner can execute, or cannot load.

    Raises SessionSuperseded when the session is not the newest of its runner: what counts is what that one says.
    """
    runner_id = session.runner_id
    runner = runners.lock_introduced(tx, runner_id)
    if runner is None or runner.session_number != session.number:
        raise SessionSuperseded(session.id)
    match definition:
        case Experiment():
            experiments.upsert_experiment(tx, definition, runner_id)
            module = definition.code.module.partition(":")[0]
            experiments.clear_discovery(tx, runner_id, module)
        case Removal(experiment):
            experiments.remove_definition(tx, runner_id, experiment)
        case DiscoveryError(module, "", _):
            experiments.clear_discovery(tx, runner_id, module)
        case DiscoveryError():
            experiments.put_discovery_error(tx, runner_id, definition)
    tx.wake("fleet")


def decline(tx: Transaction, runner_id: str, session_number: int, lease_id: str) -> bool:
    """Take an assignment back; False when the lease is not this session's to decline, or something of it is stored."""
    lease = leases.get_leases(tx, [lease_id]).get(lease_id)
    if lease is None:
        return False

    run = runs.lock_runs(tx, [lease.run_id]).get(lease.run_id)
    lease = leases.get_leases(tx, [lease_id]).get(lease_id)
    if run is None or lease is None or lease.end is not None or lease.event_count != 0:
        return False
    if lease.runner_id != runner_id or lease.session_number != session_number:
        return False

    ending.give_back(tx, run, lease, Actor.RUNNER_DECLINED)
    return True


def goodbye(tx: Transaction, runner_id: str, session_number: int) -> None:
    """Note that a runner left on purpose. It holds nothing: what it had not taken up by then waits again."""
    runners.lock_introduced(tx, runner_id)
    if not runners.set_disconnected(tx, runner_id, session_number):
        return

    tx.wake("fleet")
    untouched = [lease for lease in leases.live_leases_of_runner(tx, runner_id) if lease.event_count == 0]
    runs.lock_runs(tx, {lease.run_id for lease in untouched})
    for lease in sorted(untouched, key=lambda lease: lease.run_id):
        decline(tx, runner_id, session_number, lease.id)
