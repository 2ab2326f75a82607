"""The append rule: what happens to a batch of events, decided from the lease's row, the run's row and the batch.

It is applied inside the transaction that stores the batch, with the run's row locked; its answer is never cached.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from athanor_orchestrator.domain.records import Lease, LeaseEnd, Standing


@dataclass(frozen=True, slots=True)
class Ignore:
    """No such lease is known to this runner: store nothing, say nothing."""


@dataclass(frozen=True, slots=True)
class Drop:
    """Not of the session that holds the lease: store nothing, and never fence a good process for it."""

    superseded: bool  # a newer session holds it: abort this stream with SESSION_SUPERSEDED


@dataclass(frozen=True, slots=True)
class Acknowledge:
    """The lease ended by its own stored AttemptEnded: all of it is here already."""

    committed_sequence: int


@dataclass(frozen=True, slots=True)
class FenceIt:
    """The lease is over, and not by a stored end: its process must die and its spool goes to quarantine."""

    reason: str  # for people


@dataclass(frozen=True, slots=True)
class Rewind:
    """The batch begins beyond the end of the log: send again from `committed_sequence` + 1."""

    committed_sequence: int


@dataclass(frozen=True, slots=True)
class Append:
    """Store the batch, after its first `skip` events, which must be the very bytes that are stored."""

    skip: int


Decision = Ignore | Drop | Acknowledge | FenceIt | Rewind | Append

# Why a lease is over, for people; the end that its runner stored itself is not among them, because it fences nobody.
WHY_OVER: Mapping[LeaseEnd | None, str] = {
    LeaseEnd.RETURNED: "the run had been given back",
    LeaseEnd.LOST: "the runner had been given up",
    LeaseEnd.BROKEN: "what was sent before did not fit what is stored",
    LeaseEnd.DELETED: "the run was deleted",
}


def decide(
    lease: Lease | Standing | None,
    current_lease_id: str | None,
    last_sequence: int,
    session_number: int,
    first_sequence: int,
    count: int,
) -> Decision:
    """Decide over a batch of `count` events whose first has the number `first_sequence`.

    `lease` is the lease that the batch names, or None when the stream's runner has no such lease. `current_lease_id`
    and `last_sequence` are the run's; `session_number` is the stream's.
    """
    if lease is None:
        return Ignore()
    if session_number < lease.session_number:
        return Drop(superseded=True)
    if lease.end is LeaseEnd.ENDED:
        return Acknowledge(lease.last_sequence)
    if lease.end is not None or current_lease_id != lease.id:
        return FenceIt(WHY_OVER.get(lease.end, "the run was given to another attempt"))
    if session_number > lease.session_number:
        # A Hello resumes or ends every live lease of its runner, so this one belongs to no session that speaks now.
        return Drop(superseded=False)
    if first_sequence > last_sequence + 1:
        return Rewind(last_sequence)
    return Append(skip=min(count, last_sequence + 1 - first_sequence))
