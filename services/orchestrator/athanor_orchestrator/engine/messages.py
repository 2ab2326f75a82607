"""What runners and the orchestrator say to each other, as records. `rpc/convert_dispatch.py` knows their wire form."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

from athanor_orchestrator.domain.records import DiscoveryError, Experiment, Policy, Progress

# From the runner, on Connect.


@dataclass(frozen=True, slots=True)
class HeldAttempt:
    """An attempt that a runner has a folder of."""

    run_id: str  # may be empty when it is unreadable
    lease_id: str
    attempt: int
    first_sequence: int  # of the first event still in the spool; 0 when there is none
    last_sequence: int  # of the last whole event in the spool; 0 when there is none
    unreadable: bool = False  # the runner cannot go on with it


@dataclass(frozen=True, slots=True)
class Hello:
    """Introduces a runner."""

    runner_id: str
    display_name: str
    session_number: int
    protocol_min: int
    protocol_max: int
    version: str
    slots: int
    held_attempts: tuple[HeldAttempt, ...] = ()


@dataclass(frozen=True, slots=True)
class Removal:
    """An experiment that is gone."""

    experiment: str


Definition = Experiment | Removal | DiscoveryError


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """Renews leases."""

    nonce: int
    lease_ids: tuple[str, ...]
    gone_lease_ids: tuple[str, ...]  # over, and no process of them is left
    draining: bool


class DeclineReason(IntEnum):
    """Why a runner does not take a run."""

    UNSPECIFIED = 0
    DRAINING = 1
    NO_SUCH_EXPERIMENT = 2
    NO_ROOM = 3


@dataclass(frozen=True, slots=True)
class Decline:
    """Gives an assignment back."""

    lease_id: str
    reason: DeclineReason
    detail: str


@dataclass(frozen=True, slots=True)
class Goodbye:
    """The runner leaves on purpose and holds nothing."""

    reason: str


FromRunner = Experiment | Removal | DiscoveryError | Heartbeat | Decline | Goodbye

# To the runner, on Connect.


@dataclass(frozen=True, slots=True)
class Resume:
    """Go on: send events from `next_sequence`."""

    lease_id: str
    next_sequence: int


@dataclass(frozen=True, slots=True)
class Fence:
    """The lease is over, and not by a stored end."""

    lease_id: str
    reason: str


@dataclass(frozen=True, slots=True)
class Release:
    """The attempt's end is stored: its spool may go."""

    lease_id: str


@dataclass(frozen=True, slots=True)
class Keep:
    """This database knows nothing of the attempt: leave its spool to the operator."""

    lease_id: str


Verdict = Resume | Fence | Release | Keep


@dataclass(frozen=True, slots=True)
class Welcome:
    """Accepts a session and sets its terms."""

    protocol: int
    session_id: str
    heartbeat_interval: float  # seconds
    max_delivery_bytes: int
    max_unacknowledged_bytes: int
    verdicts: tuple[Verdict, ...]


@dataclass(frozen=True, slots=True)
class RestoredCheckpoint:
    """A state to resume from."""

    sequence: int
    state_json: str
    time_us: int


@dataclass(frozen=True, slots=True)
class Assignment:
    """One attempt at a run."""

    lease_id: str
    run_id: str
    instance_id: str
    instance_name: str
    attempt: int
    experiment: str
    configuration_json: str
    policy: Policy
    seed: int
    next_sequence: int
    checkpoint: RestoredCheckpoint | None = None


@dataclass(frozen=True, slots=True)
class Cancel:
    """Asks for a run to be stopped."""

    lease_id: str
    reason: str


@dataclass(frozen=True, slots=True)
class HeartbeatReply:
    """Answers a heartbeat and repeats what may have been lost."""

    nonce: int
    cancels: tuple[Cancel, ...]
    fences: tuple[Fence, ...]


@dataclass(frozen=True, slots=True)
class Drain:
    """Take no more work from here; with `reconnect`, come back after the delay."""

    reconnect: bool
    reconnect_after: float  # seconds


ToRunner = Welcome | Assignment | Cancel | HeartbeatReply | Drain

# On Report.


@dataclass(frozen=True, slots=True)
class EventBatch:
    """Consecutive events of one run, each the very bytes that were recorded."""

    lease_id: str
    first_sequence: int
    events: Sequence[bytes]


@dataclass(frozen=True, slots=True)
class Delivery:
    """What is new in any number of runs."""

    batches: tuple[EventBatch, ...] = ()
    progress: tuple[tuple[str, Progress], ...] = ()  # by lease


@dataclass(frozen=True, slots=True)
class Acknowledgement:
    """Every event up to `committed_sequence` is durable. With `rewind`: send again from the one behind it."""

    lease_id: str
    committed_sequence: int
    rewind: bool = False


@dataclass(frozen=True, slots=True)
class Report:
    """One answer for all runs of a commit."""

    acknowledgements: tuple[Acknowledgement, ...] = ()
    fences: tuple[Fence, ...] = ()
