"""What a runner would send, written by hand: events of an attempt with their numbers and digest, and its Hello."""

import hashlib
from dataclasses import dataclass, field

from athanor.v1 import experiment_pb2, run_event_pb2, run_pb2
from athanor_orchestrator.domain.ids import new_id
from athanor_orchestrator.engine.messages import Delivery, EventBatch, HeldAttempt, Hello

BASE_SECONDS = 1_700_000_000

RUNNER = "00000000-0000-4000-8000-000000000001"
OTHER_RUNNER = "00000000-0000-4000-8000-000000000002"


@dataclass
class Script:
    """One attempt's events in the order in which they are asked for."""

    lease_id: str
    sequence: int  # of the next event
    attempt: int = 1
    count: int = 0
    digest: bytes = bytes(32)
    written: list[bytes] = field(default_factory=list)

    @property
    def first(self) -> int:
        return self.sequence - self.count

    @property
    def last(self) -> int:
        return self.sequence - 1

    def started(self, restored_sequence: int = 0) -> bytes:
        code = experiment_pb2.CodeVersion(digest="abc", module="demo:run")
        return self._add(
            attempt_started=run_event_pb2.AttemptStarted(code=code, restored_sequence=restored_sequence, runner_id="r")
        )

    def log(self, message: str = "line", level: int = 20) -> bytes:
        return self._add(log=run_event_pb2.LogEntry(level=level, message=message))

    def logs(self, count: int, message: str = "line") -> list[bytes]:
        return [self.log(message) for _ in range(count)]

    def result(self, key: str = "accuracy", value_json: str = "0.5") -> bytes:
        return self._add(result=run_event_pb2.Result(key=key, value_json=value_json))

    def checkpoint(self, state_json: str = "{}") -> bytes:
        return self._add(checkpoint=run_event_pb2.CheckpointSaved(state_json=state_json))

    def state_change(self) -> bytes:
        return self._add(state_change=run_event_pb2.StateChange(state=run_pb2.RUN_STATE_COMPLETED))

    def ended(
        self,
        outcome: int = run_pb2.ATTEMPT_OUTCOME_COMPLETED,
        kind: int | None = None,
        message: str = "it broke",
        *,
        digest: bytes | None = None,
        event_count: int | None = None,
    ) -> bytes:
        failure = None if kind is None else run_pb2.Failure(kind=kind, message=message)
        return self._add(
            attempt_ended=run_event_pb2.AttemptEnded(
                outcome=outcome,
                failure=failure,
                event_count=self.count + 1 if event_count is None else event_count,
                digest=self.digest if digest is None else digest,
            )
        )

    def _add(self, **event: object) -> bytes:
        message = run_event_pb2.RunEvent(sequence=self.sequence, attempt=self.attempt, **event)
        message.time.seconds = BASE_SECONDS + self.sequence
        payload = message.SerializeToString(deterministic=True)
        self.digest = hashlib.sha256(self.digest + payload).digest()
        self.sequence += 1
        self.count += 1
        self.written.append(payload)
        return payload

    def batch(self, *events: bytes, first: int | None = None) -> EventBatch:
        """Make a batch of events of this script; `first` is read from the first event unless said."""
        if first is None:
            first = run_event_pb2.RunEvent.FromString(events[0]).sequence
        return EventBatch(self.lease_id, first, list(events))

    def delivery(self, *events: bytes, first: int | None = None) -> Delivery:
        return Delivery((self.batch(*events, first=first),))


def hello(
    runner_id: str = RUNNER, number: int = 1, *held: HeldAttempt, slots: int = 4, low: int = 1, high: int = 1
) -> Hello:
    return Hello(runner_id, "host", number, low, high, "0.1", slots, held)


def unreadable(lease_id: str) -> HeldAttempt:
    return HeldAttempt("", lease_id, 0, 0, 0, unreadable=True)


def held(run_id: str, lease_id: str, attempt: int = 1, first: int = 0, last: int = 0) -> HeldAttempt:
    return HeldAttempt(run_id, lease_id, attempt, first, last)


def unknown_id() -> str:
    return new_id()
