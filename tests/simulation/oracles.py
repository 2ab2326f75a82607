"""What must hold, whatever happens in a world. Each check says what is promised; a breach ends the world.

Two kinds: what every commit must keep to, looked at right behind it and before anybody is told; and what must be so
once all faults are gone and all has come to its end.
"""

import asyncio
import sqlite3
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from athanor.runner.v1 import dispatch_service_pb2 as pb
from athanor.v1 import run_event_pb2, run_pb2
from athanor_orchestrator.domain.records import EventKind, FailureKind, RunState

from tests.simulation.body import Ledger, Ledgers

TERMINAL = {RunState.COMPLETED, RunState.FAILED, RunState.CANCELLED}
_TOLERANCE = 0.001  # seconds
_A_FEW_HEARTBEATS = 20.0  # seconds
_UNDER_WAY = 1.0  # seconds in which the answer to a commit comes that was made just before an older copy took its place


class Breach(AssertionError):
    """A promise was broken."""


@dataclass
class Log:
    """A run's log as it is committed."""

    payloads: list[bytes] = field(default_factory=list[bytes])
    attempt: int = 0  # of the newest event that belongs to one
    ended: int = 0  # the newest attempt that has ended
    state: int = 0  # as its newest StateChange says

    @property
    def last(self) -> int:
        """Sequence of the newest event."""
        return len(self.payloads)


@dataclass
class LeaseSight:
    """A lease as it was seen last."""

    run_id: str
    attempt: int
    renew_time_us: int
    renewed_at: float  # by the world's own clock
    lost_after: float
    ended: bool = False


class Oracles:
    """Looks at a world."""

    def __init__(self, raw: sqlite3.Connection, ledgers: Ledgers) -> None:
        self.logs: dict[str, Log] = {}
        self.leases: dict[str, LeaseSight] = {}
        self.granted: dict[str, tuple[int, int]] = {}  # by run, the newest attempt granted, and where it begins
        self.restored = False  # an older copy has taken the database's place
        self.spoiled: set[str] = set()  # runs there were by then: what was acknowledged of them may be gone
        self.breach: Breach | None = None  # the first
        self.commits = 0
        self.on_grant: Callable[[str, int], None] = lambda run_id, attempt: None
        self._raw = raw
        self._ledgers = ledgers
        self._seen = 0  # the newest row of run_events that was looked at
        self._gone: dict[str, int] = {}  # by lease, what was committed when an older copy took the database's place
        self._gone_at = float("-inf")
        self._heard: dict[str, tuple[int, float]] = {}  # by runner, its newest word, and when by the world's clock

    # After every commit.

    def committed(self) -> None:
        """Look at what has just been committed."""
        self.commits += 1
        try:
            self._new_leases()
            self._new_events()
        except Breach as breach:
            self.breach = self.breach or breach

    def database_restored(self) -> None:
        """Everything committed since the copy is gone, and that is nobody's fault."""
        self.restored = True
        self._gone = {
            lease_id: self.logs[it.run_id].last for lease_id, it in self.leases.items() if it.run_id in self.logs
        }
        self._gone_at = asyncio.get_running_loop().time()
        self.spoiled |= self.logs.keys() | {ledger.run_id for ledger in self._ledgers.by_lease.values()}
        self.logs.clear()
        self.leases.clear()
        self.granted.clear()
        self._seen = 0
        self.committed()
        for lease in self.leases.values():
            lease.renewed_at = float("-inf")  # some time before the copy was made

    def _new_events(self) -> None:
        rows = self._raw.execute(
            "SELECT rowid, run_id, sequence, attempt, kind, payload FROM run_events WHERE rowid > ? ORDER BY rowid",
            (self._seen,),
        ).fetchall()
        for row, run_id, sequence, attempt, kind, payload in rows:
            self._seen = row
            self._event(run_id, sequence, attempt, kind, payload)
        for run_id in {row[1] for row in rows}:
            (last,) = self._raw.execute("SELECT last_sequence FROM runs WHERE id = ?", (run_id,)).fetchone()
            require(last == self.logs[run_id].last, f"run {run_id}: its row ends at {last}, its log does not")

    def _event(self, run_id: str, sequence: int, attempt: int, kind: int, payload: bytes) -> None:
        log = self.logs.setdefault(run_id, Log())
        require(sequence == log.last + 1, f"run {run_id}: event {sequence} was stored behind {log.last}")
        require(log.state not in TERMINAL, f"run {run_id}: event {sequence} was stored behind its end")
        event = run_event_pb2.RunEvent.FromString(payload)
        require(event.sequence == sequence and event.attempt == attempt, f"run {run_id}: event {sequence} is another")
        if attempt:
            require(attempt >= log.attempt, f"run {run_id}: event {sequence} is of an older attempt, {attempt}")
            newest, first = self.granted.get(run_id, (0, 0))
            # What one commit stores and grants comes here together: where the newer attempt begins tells the order.
            require(
                attempt == newest or (attempt < newest and sequence < first),
                f"run {run_id}: event {sequence} of attempt {attempt} was stored after attempt {newest} was granted",
            )
            require(
                attempt > log.ended, f"run {run_id}: event {sequence} was stored behind the end of attempt {attempt}"
            )
            log.attempt = attempt
            log.ended = attempt if kind == EventKind.ATTEMPT_ENDED else log.ended
        log.payloads.append(payload)
        if kind == EventKind.STATE_CHANGE:
            log.state = event.state_change.state
            if log.state == RunState.COMPLETED:
                self._is_whole(run_id, log)

    def _is_whole(self, run_id: str, log: Log) -> None:
        """A run that is COMPLETED has everything that its last attempt recorded."""
        if run_id not in self.spoiled:
            missing = self._missing(run_id, log.attempt, log)
            require(not missing, f"run {run_id} is COMPLETED without events {missing} of attempt {log.attempt}")
            printed = self._ledgers.printed.get((run_id, log.attempt), [])
            entries = (run_event_pb2.RunEvent.FromString(payload) for payload in log.payloads)
            shown = [event.log.message for event in entries if event.log.source and event.attempt == log.attempt]
            require(shown == printed, f"run {run_id} is COMPLETED with the output {shown}, and {printed} was printed")

    def _missing(self, run_id: str, attempt: int, log: Log) -> list[int]:
        ledgers = [each for each in self._ledgers.by_lease.values() if (each.run_id, each.attempt) == (run_id, attempt)]
        return [sequence for ledger in ledgers for sequence in _lacking(ledger, log)]

    def _new_leases(self) -> None:
        now = asyncio.get_running_loop().time()
        for runner_id, seen_us in self._raw.execute("SELECT id, last_seen_us FROM runners").fetchall():
            if self._heard.get(runner_id, (0, 0.0))[0] != seen_us:
                self._heard[runner_id] = seen_us, now
        for lease_id, run_id, attempt, first, renew_us, lost_us, reason in self._raw.execute(
            "SELECT id, run_id, attempt, first_sequence, renew_time_us, lost_after_us, end_reason FROM leases"
        ).fetchall():
            seen = self.leases.get(lease_id)
            if seen is None:
                seen = self.leases[lease_id] = LeaseSight(run_id, attempt, renew_us, now, lost_us / 1e6)
                self.granted[run_id] = max((attempt, first), self.granted.get(run_id, (0, 0)))
                self.on_grant(run_id, attempt)
            elif seen.renew_time_us != renew_us:
                require(not seen.ended, f"lease {lease_id} was renewed after its end")
                seen.renew_time_us, seen.renewed_at = renew_us, now
            if reason is not None and not seen.ended:
                seen.ended = True
                if reason == "lost":
                    self._not_too_soon(lease_id, seen, now)
                # A runner that keeps to the protocol sends nothing that does not add up, whatever has happened to it.
                require(reason != "broken" or run_id in self.spoiled, f"lease {lease_id} was ended as broken")
        stray = self._raw.execute(
            "SELECT leases.id FROM leases JOIN runners ON runners.id = leases.runner_id"
            " WHERE end_time_us IS NULL AND leases.session_number <> runners.session_number"
        ).fetchall()
        require(not stray, f"live leases of sessions that are not their runners' newest: {stray}")
        crowded = self._raw.execute(
            "SELECT runners.id FROM leases JOIN runners ON runners.id = leases.runner_id WHERE end_time_us IS NULL"
            " GROUP BY runners.id, slots HAVING COUNT(*) > slots"
        ).fetchall()
        require(not crowded or self.restored, f"runners hold more leases than they have slots: {crowded}")
        for lease_id, live in self._raw.execute(
            "SELECT lease_id, COUNT(*) FROM runs WHERE lease_id IS NOT NULL GROUP BY 1"
        ):
            require(live == 1 and not self.leases[lease_id].ended, f"lease {lease_id} is over, or of {live} runs")

    def _not_too_soon(self, lease_id: str, lease: LeaseSight, now: float) -> None:
        """Unless the runner itself came back without the spool, no lease ends before its time."""
        message, runner_id = self._raw.execute(
            "SELECT failure_message, runner_id FROM attempts WHERE lease_id = ?", (lease_id,)
        ).fetchone() or ("", "")
        silent = now - lease.renewed_at
        if "silent" in message:
            require(
                silent >= lease.lost_after - _TOLERANCE,
                f"lease {lease_id} ended {silent:.1f} s after its renewal, its policy says {lease.lost_after:g} s",
            )
            _, heard_at = self._heard[runner_id]
            require(
                heard_at < lease.renewed_at + _A_FEW_HEARTBEATS or lease.run_id in self.spoiled,
                f"lease {lease_id} was let go by its runner, which was heard from {now - heard_at:.1f} s ago",
            )

    # As it happens.

    def answered(self, response: object) -> None:
        """Something is about to be sent to a runner: what is acknowledged is stored."""
        if not isinstance(response, pb.ReportResponse):
            return
        under_way = asyncio.get_running_loop().time() < self._gone_at + _UNDER_WAY
        for word in response.acknowledgements:
            if under_way and word.committed_sequence <= self._gone.get(word.lease_id, 0):
                continue  # it was committed when this was said
            lease = self.leases.get(word.lease_id)
            if lease is None:
                self.broken(f"lease {word.lease_id} was acknowledged, and is not known")
            elif word.committed_sequence > self.logs.get(lease.run_id, Log()).last:
                self.broken(f"run {lease.run_id} was acknowledged up to {word.committed_sequence}, beyond its log")

    def watched(self, run_id: str, before: int, sequence: int, payload: bytes) -> None:
        """A watcher was given an event: the next one, as it is stored."""
        log = self.logs.get(run_id, Log())
        if sequence != before + 1:
            self.broken(f"run {run_id}: a watcher was given event {sequence} behind {before}")
        elif sequence > log.last:
            self.broken(f"run {run_id}: a watcher was given event {sequence} before it was committed")
        elif payload != log.payloads[sequence - 1]:
            self.broken(f"run {run_id}: a watcher was given event {sequence} with other bytes than are stored")

    def broken(self, text: str) -> None:
        """A promise was broken."""
        self.breach = self.breach or Breach(text)

    # At the end.

    def settled(self, run_ids: Iterable[str]) -> None:
        """All faults are gone and there was time: every run has its end, and all of it adds up."""
        for run_id in run_ids:
            self._run_settled(run_id)
        (live,) = self._raw.execute("SELECT COUNT(*) FROM leases WHERE end_time_us IS NULL").fetchone()
        require(live == 0, f"{live} leases are live though every run has ended")

    def _run_settled(self, run_id: str) -> None:
        log = self.logs[run_id]
        state, lease_id, logs, results, last = self._raw.execute(
            "SELECT state, lease_id, log_count, result_count, last_sequence FROM runs WHERE id = ?", (run_id,)
        ).fetchone()
        require(state in TERMINAL and state == log.state, f"run {run_id} is {state}, its log ends in {log.state}")
        require(lease_id is None, f"run {run_id} has ended under a lease")
        require(last == log.last, f"run {run_id} ends at {last}, its log at {log.last}")

        events = [run_event_pb2.RunEvent.FromString(payload) for payload in log.payloads]
        standing = _fold(events)
        require(results == len(standing), f"run {run_id} counts {results} results, {len(standing)} stand")
        require(logs == sum(event.HasField("log") for event in events), f"run {run_id} counts {logs} log entries")
        stored = self._raw.execute(
            "SELECT sequence FROM run_results WHERE run_id = ? AND NOT superseded ORDER BY sequence", (run_id,)
        ).fetchall()
        require(
            [row[0] for row in stored] == standing, f"run {run_id}: its results are {stored}, they should be {standing}"
        )
        self._recorded_content(run_id, log)
        self._attempts_settled(run_id, log)

    def _recorded_content(self, run_id: str, log: Log) -> None:
        """What is stored of an attempt is what its process, or its runner, recorded."""
        for ledger in self._ledgers.by_lease.values():
            if ledger.run_id != run_id:
                continue
            for sequence, recorded in ledger.events.items():
                if sequence <= log.last and self._is_of(log, sequence, ledger.attempt):
                    payload = log.payloads[sequence - 1]
                    event = run_event_pb2.RunEvent.FromString(payload)
                    orchestrators_own = event.HasField("attempt_ended") and not event.attempt_ended.digest
                    require(
                        payload in recorded or orchestrators_own or run_id in self.spoiled,
                        f"run {run_id}: event {sequence} is not what was recorded",
                    )

    def _is_of(self, log: Log, sequence: int, attempt: int) -> bool:
        return run_event_pb2.RunEvent.FromString(log.payloads[sequence - 1]).attempt == attempt

    def _attempts_settled(self, run_id: str, log: Log) -> None:
        rows = self._raw.execute(
            "SELECT number, outcome, log_complete, failure_kind FROM attempts WHERE run_id = ? ORDER BY number",
            (run_id,),
        ).fetchall()
        require([row[0] for row in rows] == list(range(1, len(rows) + 1)), f"run {run_id}: its attempts are {rows}")
        for number, outcome, log_complete, kind in rows:
            damaged = kind == FailureKind.STORAGE and run_id not in self.spoiled
            require(not damaged, f"run {run_id}: attempt {number} ended as if its spool were damaged")
            require(outcome != run_pb2.ATTEMPT_OUTCOME_UNSPECIFIED, f"run {run_id}: attempt {number} has no end")
            # What a machine that lost power says of an experiment's end is not believed.
            doubtful = outcome == run_pb2.ATTEMPT_OUTCOME_COMPLETED and not log_complete and run_id not in self.spoiled
            require(not doubtful, f"run {run_id}: attempt {number} is COMPLETED, and its log not complete")
            if log_complete and run_id not in self.spoiled:
                missing = self._missing(run_id, number, log)
                require(not missing, f"run {run_id}: the log of attempt {number} is complete without {missing}")

    def executed(self, run_id: str, most: int) -> None:
        """No attempt is executed twice, and no run more often than it may be."""
        begun = self._ledgers.started.get(run_id, [])
        if run_id in self.spoiled:
            return  # a database that forgot a grant may grant it again
        require(len(begun) <= most, f"run {run_id} may be executed {most} times, and was {len(begun)} times: {begun}")
        require(len(set(begun)) == len(begun), f"run {run_id}: an attempt was executed twice: {begun}")


def require(holds: bool, otherwise: str) -> None:
    """Raise Breach unless it holds."""
    if not holds:
        raise Breach(otherwise)


def _lacking(ledger: Ledger, log: Log) -> list[int]:
    return [
        sequence
        for sequence, recorded in sorted(ledger.events.items())
        if sequence <= ledger.last and (sequence > log.last or log.payloads[sequence - 1] not in recorded)
    ]


def _fold(events: list[run_event_pb2.RunEvent]) -> list[int]:
    """The sequences of the results that stand: those of earlier attempts behind a restored checkpoint do not."""
    standing: list[tuple[int, int]] = []
    for event in events:
        match event.WhichOneof("event"):
            case "result":
                standing.append((event.sequence, event.attempt))
            case "attempt_started":
                restored = event.attempt_started.restored_sequence
                standing = [(at, by) for at, by in standing if at <= restored or by >= event.attempt]
            case _:
                pass
    return [sequence for sequence, _ in standing]
