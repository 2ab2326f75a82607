"""Giving runs to runners: the oldest that wait go to sessions that have their experiment and room.

A lease is granted in the transaction that also sees that the session is the newest of its runner; the assignment then
goes into that session's stream, once. Whatever happens to it on the way is settled by the runner's next Hello.
"""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

from athanor_orchestrator.domain import outcome, run_state
from athanor_orchestrator.domain.errors import StorageUnavailable
from athanor_orchestrator.domain.ids import new_id
from athanor_orchestrator.domain.policy import for_attempt
from athanor_orchestrator.domain.records import EventFilter, EventKind, Lease, Run
from athanor_orchestrator.domain.run_state import Actor
from athanor_orchestrator.engine import codec
from athanor_orchestrator.engine.declined import Declined
from athanor_orchestrator.engine.messages import Assignment, RestoredCheckpoint
from athanor_orchestrator.engine.rounds import attempt_round
from athanor_orchestrator.engine.sessions import Session, Sessions
from athanor_orchestrator.engine.timings import Timings
from athanor_orchestrator.engine.wakeups import Wakeups
from athanor_orchestrator.storage import attempts, events, instances, leases, runners, runs
from athanor_orchestrator.storage.database import Database
from athanor_orchestrator.storage.transaction import Transaction

logger = logging.getLogger(__name__)

_MOST_CLAIMS = 64  # in one transaction, so that a long queue delays nobody; the next one follows at once


@dataclass(frozen=True, slots=True)
class Candidate:
    """A session that may be given work, as it was when the round began."""

    runner_id: str
    session_number: int


@dataclass(frozen=True, slots=True)
class GivenOut:
    """What a round has given out, and what is left for later."""

    claims: Sequence[tuple[str, Assignment]]  # with their runners
    more: bool  # it stopped in the middle
    next_attempt: float  # seconds until a run between two attempts comes due; infinity when there is none


@dataclass(slots=True)
class Room:
    """What a runner has left, while a round gives it away."""

    runner_id: str
    session_number: int
    experiments: frozenset[str]
    free: int


class Dispatcher:
    """Claims runs for the sessions of this orchestrator."""

    def __init__(
        self, database: Database, wakeups: Wakeups, sessions: Sessions, declined: Declined, timings: Timings
    ) -> None:
        self._database = database
        self._wakeups = wakeups
        self._sessions = sessions
        self._declined = declined
        self._timings = timings
        self._more = False  # the last round stopped in the middle
        self._due = float("inf")  # when the next attempt of some run may start, by the loop's clock

    async def run(self) -> None:
        """Give out what waits whenever there is new work or new room, or a run's next attempt is due, and every poll.

        Runs until cancelled.
        """
        with self._wakeups.subscribe("work", "fleet") as wakeup:
            while True:
                self._due = float("inf")
                await attempt_round("giving out runs", self._all_rounds)
                await wakeup.wait(min(self._timings.poll, self._due - asyncio.get_running_loop().time()))

    async def _all_rounds(self) -> None:
        await self.round()
        while self._more:
            await self.round()

    async def round(self) -> int:
        """Claim what there is room for, in one transaction, and send it; returns how many."""
        self._more = False
        if self._sessions.draining:
            return 0

        sessions = {
            session.runner_id: session
            for session in self._sessions.live()
            if not session.draining and session.slots > 0
        }
        if not sessions:
            return 0

        candidates = [Candidate(session.runner_id, session.number) for session in sessions.values()]
        declined = self._declined.current()
        begin = asyncio.get_running_loop().time()
        try:
            given = await self._database.write(lambda tx: give_out(tx, candidates, declined), within=None)
        except StorageUnavailable as error:
            if error.maybe_done:
                # What was granted, if it was, nobody sends any more; the next Hello does not name it.
                for session in sessions.values():
                    session.end(error)
            raise
        for runner_id, assignment in given.claims:
            self._send(sessions[runner_id], assignment)
        self._more, self._due = given.more, begin + given.next_attempt
        return len(given.claims)

    def _send(self, session: Session, assignment: Assignment) -> None:
        logger.info("run %s goes to runner %s", assignment.run_id, session.runner_id)
        session.leases[assignment.lease_id] = assignment.run_id
        # Dropped when the session has ended meanwhile: the runner's next Hello does not name it.
        session.outbox.put(assignment)


def give_out(tx: Transaction, candidates: Sequence[Candidate], declined: Mapping[str, frozenset[str]]) -> GivenOut:
    """Do one round: `claim`, and say whether there may be more to claim, and when there will be."""
    claims = claim(tx, candidates, declined)
    # Asked in the transaction that looked for what is due: by one clock, so nothing comes due in between.
    return GivenOut(claims, len(claims) == _MOST_CLAIMS, until_next_attempt(tx))


def claim(
    tx: Transaction, candidates: Sequence[Candidate], declined: Mapping[str, frozenset[str]]
) -> list[tuple[str, Assignment]]:
    """Grant leases for the oldest runs that wait, to the candidates that have room; returns them with their runners.

    `declined` are, by run, the runners that are passed over.
    """
    rooms = _rooms(tx, candidates)
    claims: list[tuple[str, Assignment]] = []
    passed_over: set[str] = set()

    while len(claims) < _MOST_CLAIMS:
        open_rooms = [room for room in rooms if room.free > 0]
        wanted = {name for room in open_rooms for name in room.experiments}
        if not wanted:
            break

        limit = min(sum(room.free for room in open_rooms), _MOST_CLAIMS - len(claims))
        waiting = runs.claimable(tx, wanted, limit, passed_over)
        if not waiting:
            break

        for run in waiting:
            room = choose(rooms, run.experiment, declined.get(run.id, frozenset()), _avoided(tx, run))
            assignment = None if room is None else _grant(tx, run, room)
            if room is None or assignment is None:
                # Another round may claim it; in this one it must not stand before those behind it.
                passed_over.add(run.id)
                continue

            room.free -= 1
            claims.append((room.runner_id, assignment))
        if len(waiting) < limit:
            break  # these were all
    return claims


def choose(rooms: Sequence[Room], experiment: str, declined: frozenset[str], avoided: str = "") -> Room | None:
    """Choose the runner with the most room of those that can take a run, so that runs spread.

    The runner `avoided` takes it only when no other can.
    """
    able = [
        room for room in rooms if room.free > 0 and experiment in room.experiments and room.runner_id not in declined
    ]
    return max(able, key=lambda room: (room.runner_id != avoided, room.free), default=None)


def until_next_attempt(tx: Transaction) -> float:
    """Return for how many seconds no run between two attempts comes due; infinity when there is none."""
    due_us = runs.next_claim_time_us(tx)
    return float("inf") if due_us is None else (due_us - tx.now_us) / 1_000_000


def _rooms(tx: Transaction, candidates: Sequence[Candidate]) -> list[Room]:
    rooms: list[Room] = []
    # The runners' rows are locked in the order of their ids, and before any run's: a Hello does it in that order too.
    locked = runners.lock_runners(tx, [candidate.runner_id for candidate in candidates])
    for candidate in sorted(candidates, key=lambda candidate: candidate.runner_id):
        runner = locked.get(candidate.runner_id)
        if runner is None or runner.session_number != candidate.session_number:
            continue
        if not runner.connected or runner.draining or runner.drain_request_time_us is not None:
            continue

        free = runner.slots - len(runner.run_ids)  # a slot is a live lease
        rooms.append(Room(candidate.runner_id, candidate.session_number, frozenset(runner.experiments), free))
    return rooms


def _grant(tx: Transaction, run: Run, room: Room) -> Assignment | None:
    run_state.check(run.state, run.state, Actor.DISPATCHER)
    instance = instances.get_instance(tx, run.instance_id)
    attempt = run.attempt_count + 1
    policy = for_attempt(run.policy, attempt)
    lost_after = policy.lost_after
    if lost_after is None or instance is None:
        logger.error("run %s has no instance, or its policy is not resolved: it is passed over", run.id)
        return None

    lease = Lease(
        id=new_id(tx.now_us),
        run_id=run.id,
        runner_id=room.runner_id,
        session_number=room.session_number,
        attempt=attempt,
        grant_time_us=tx.now_us,
        renew_time_us=tx.now_us,
        expire_time_us=tx.now_us + lost_after // timedelta(microseconds=1),
        first_sequence=run.last_sequence + 1,
        last_sequence=run.last_sequence,
        lost_after=lost_after,
    )
    leases.insert_lease(tx, lease)
    if run.next_attempt_time_us is not None:
        runs.update_run(tx, run.id, next_attempt_time_us=None)
        tx.wake(f"run:{run.id}")
    return Assignment(
        lease_id=lease.id,
        run_id=run.id,
        instance_id=run.instance_id,
        instance_name=instance.name,
        attempt=attempt,
        experiment=run.experiment,
        configuration_json=run.configuration_json,
        policy=policy,
        seed=run.seed,
        next_sequence=lease.first_sequence,
        checkpoint=_checkpoint(tx, run) if attempt > 1 else None,
    )


def _avoided(tx: Transaction, run: Run) -> str:
    """Return the runner at which it may lie that the last attempt failed; empty when it does not, or there was none."""
    last = attempts.get_attempt(tx, run.id, run.attempt_count) if run.attempt_count else None
    of_the_place = last is not None and last.failure is not None and last.failure.kind in outcome.KINDS_OF_THE_PLACE
    return last.runner_id if last is not None and of_the_place else ""


def _checkpoint(tx: Transaction, run: Run) -> RestoredCheckpoint | None:
    newest = events.newest_event(tx, run.id, EventFilter(kinds=frozenset({EventKind.CHECKPOINT})))
    if newest is None:
        return None
    return RestoredCheckpoint(newest.sequence, codec.checkpoint_state(newest.payload), newest.time_us)
