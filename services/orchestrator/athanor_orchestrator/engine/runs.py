"""Runs: started, read, cancelled, deleted. What happens in between is the runner side's."""

import asyncio
import secrets
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

from athanor_orchestrator.domain import policy, run_state
from athanor_orchestrator.domain.errors import InvalidFields, NotFound, RunLive, RunTerminal
from athanor_orchestrator.domain.ids import new_id
from athanor_orchestrator.domain.records import Policy, Run, RunState
from athanor_orchestrator.domain.run_state import Actor
from athanor_orchestrator.engine import catalogue, codec, deletion, idempotency
from athanor_orchestrator.engine.configuration import Fitting, Unchecked
from athanor_orchestrator.engine.idempotency import Call
from athanor_orchestrator.engine.listing import gather, size_of
from athanor_orchestrator.storage import events, runs
from athanor_orchestrator.storage import instances as stored_instances
from athanor_orchestrator.storage.database import Database
from athanor_orchestrator.storage.pages import Page
from athanor_orchestrator.storage.transaction import Transaction

SEED_BITS = 32  # of a seed that is drawn here: what numpy, torch and others take


@dataclass(frozen=True, slots=True)
class Order:
    """What a person says about a run to be started."""

    instance_id: str
    policy: Policy
    seed: int | None
    labels: Mapping[str, str]


class Runs:
    """The commands and queries about runs."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._fitting = Fitting()

    async def start(self, order: Order, call: Call | None, answer: Callable[[Run], bytes]) -> bytes:
        """Create a run and return `answer` of it, or what an earlier call of the same id was answered.

        Raises NotFound, ConfigurationInvalid when the instance no longer fits its experiment, InvalidFields for the
        policy, RequestIdReused.
        """
        seed = secrets.randbits(SEED_BITS) if order.seed is None else order.seed

        def command(tx: Transaction) -> bytes | Unchecked:
            known = idempotency.answered(tx, call)
            if known is not None:
                return known
            try:
                run = create(tx, new_id(tx.now_us), seed, order, self._fitting)
            except Unchecked as found:
                return found  # nothing was written; and it is no fault, also when the caller is gone by then
            return idempotency.remember(tx, call, answer(run))

        while isinstance(found := await self._database.write(command), Unchecked):
            # For the first time; or one of the two has just been replaced.
            await asyncio.to_thread(self._fitting.look, found.configuration_json, found.experiment)
        return found

    async def get(self, run_id: str) -> Run:
        """Return one run with configuration and attempts. Raises NotFound."""
        return await self._database.read(lambda tx: require(tx, run_id))

    async def page(
        self,
        *,
        instance_id: str,
        experiment: str,
        states: Collection[RunState],
        labels: Mapping[str, str],
        full: bool,
        before_id: str | None,
        limit: int,
    ) -> Page[Run]:
        """Return one page, newest first; only `full` ones carry configuration and attempts."""

        def query(tx: Transaction) -> Page[Run]:
            def fetch(before: str | None, count: int) -> Page[Run]:
                return runs.list_runs(
                    tx,
                    instance_id=instance_id,
                    experiment=experiment,
                    states=states,
                    labels=labels,
                    before_id=before,
                    limit=count,
                    full=full,
                )

            return gather(fetch, before_id, key=lambda run: run.id, size=size, limit=limit)

        return await self._database.read(query)

    async def cancel(self, run_id: str, reason: str) -> Run:
        """Ask for cancellation; a run without a lease is CANCELLED at once. Harmless to repeat.

        Raises NotFound, RunTerminal when it COMPLETED or FAILED.
        """

        def command(tx: Transaction) -> Run:
            request_cancel(tx, run_id, reason)
            return require(tx, run_id)

        return await self._database.write(command)

    async def delete(self, run_id: str, allow_missing: bool) -> None:
        """Take a run out of every answer. Raises NotFound (unless `allow_missing`), RunLive."""

        def command(tx: Transaction) -> None:
            run = runs.lock_run(tx, run_id)
            if run is None:
                if allow_missing:
                    return
                raise NotFound("run", run_id)
            if run.state not in run_state.TERMINAL:
                raise RunLive(run_id, run.state)
            runs.hide_run(tx, run_id)
            for topic in (f"run:{run_id}", "runs", "instances", deletion.TOPIC):
                tx.wake(topic)

        await self._database.write(command)


def require(tx: Transaction, run_id: str) -> Run:
    """Return a run; raise NotFound when there is none."""
    run = runs.get_run(tx, run_id)
    if run is None:
        raise NotFound("run", run_id)
    return run


def create(tx: Transaction, run_id: str, seed: int, order: Order, fitting: Fitting) -> Run:
    """Store a new run, PENDING, with the first event of its log.

    Raises NotFound, InvalidFields for the policy; Unchecked, before anything is written.
    """
    instance = stored_instances.lock_instance(tx, order.instance_id)
    if instance is None:
        raise NotFound("instance", order.instance_id)
    experiment = catalogue.require_definition(tx, instance.experiment)
    fitting.require(instance.configuration_json, experiment)

    run_state.check(None, RunState.PENDING, Actor.START_RUN)
    run = Run(
        id=run_id,
        instance_id=instance.id,
        experiment=instance.experiment,
        state=RunState.PENDING,
        configuration_json=instance.configuration_json,
        policy=settle_policy(order.policy, experiment.default_policy),
        seed=seed,
        labels=order.labels,
        create_time_us=tx.now_us,
        last_sequence=1,
    )
    runs.insert_run(tx, run)
    events.append_events(tx, [(run_id, [codec.state_change(1, 0, tx.now_us, RunState.PENDING, "created")])])
    for topic in (f"run:{run_id}", "runs", "instances", "work"):
        tx.wake(topic)
    return run


def settle_policy(asked: Policy, author: Policy) -> Policy:
    """Return the policy of a new run: what was asked, else the author's, else the server's default.

    Raises InvalidFields.
    """
    settled = policy.resolve(asked, author)
    # The first attempt's is the shortest patience that any of them has.
    faults = policy.violations(policy.for_attempt(settled, 1), "policy")
    if faults:
        raise InvalidFields(*faults)
    return settled


def request_cancel(tx: Transaction, run_id: str, reason: str) -> None:
    """Set the request for cancellation, and end the run when nobody holds it. Raises NotFound, RunTerminal."""
    run = runs.lock_run(tx, run_id)
    if run is None:
        raise NotFound("run", run_id)
    if run.state is RunState.CANCELLED:
        return
    if run.state in run_state.TERMINAL:
        raise RunTerminal(run_id, run.state)

    if run.lease_id is not None:
        if runs.request_cancel(tx, run_id, reason, tx.now_us):
            for topic in ("cancel", f"run:{run_id}", "runs"):
                tx.wake(topic)
        return

    run_state.check(run.state, RunState.CANCELLED, Actor.CANCEL_RUN)
    sequence = run.last_sequence + 1
    runs.transition(
        tx,
        run_id,
        (RunState.PENDING,),
        RunState.CANCELLED,
        cancel_request_time_us=tx.now_us,
        cancel_reason=reason,
        next_attempt_time_us=None,
        last_sequence=sequence,
        end_time_us=tx.now_us,
    )
    why = f"CancelRun: {reason}" if reason else "CancelRun"
    events.append_events(tx, [(run_id, [codec.state_change(sequence, 0, tx.now_us, RunState.CANCELLED, why)])])
    for topic in (f"run:{run_id}", "runs", "instances"):
        tx.wake(topic)


def size(run: Run) -> int:
    """Return about how many bytes a run takes in a message."""
    failures = [run.failure, *(attempt.failure for attempt in run.attempts)]
    texts = [text for failure in failures if failure is not None for text in (failure.message, failure.detail)]
    if run.progress is not None:
        texts.append(run.progress.message)
    texts += [text for attempt in run.attempts for text in (attempt.code.module, attempt.code.distribution)]
    return size_of(run.configuration_json, run.cancel_reason, *run.labels, *run.labels.values(), *texts) + 300
