"""When a broken stream is worth another try, and for how long."""

from dataclasses import dataclass
from enum import Enum, auto

import grpc

from athanor.client._status import Answer
from athanor.client.errors import AthanorError

# A fault that does not pass by waiting, but may have been made on the way: so often it is tried again in a row.
_DOUBTS = 5


@dataclass(frozen=True)
class Interruption:
    """A watch has lost its connection, and there is no other orchestrator to go on with at once."""

    error: AthanorError
    failures: int  # in a row, of all orchestrators
    delay: float  # seconds until the next try


class Verdict(Enum):
    """What the end of a stream means."""

    FINAL = auto()  # the orchestrator's answer: it will not change
    PASSING = auto()  # it is away, or the connection is: it comes back
    DOUBTFUL = auto()  # a fault of somebody; once may be chance, again and again is not


def judge(answer: Answer) -> Verdict:
    """Say what `answer`, with which a stream ended, means for the next try."""
    code = answer.code
    if code is grpc.StatusCode.UNAVAILABLE:
        return Verdict.PASSING
    if answer.reason:
        return Verdict.FINAL  # only the orchestrator itself gives a reason
    if code in (grpc.StatusCode.CANCELLED, grpc.StatusCode.ABORTED):
        return Verdict.PASSING  # nobody here cancelled: a server or a proxy that is being stopped
    if code in (
        grpc.StatusCode.INTERNAL,
        grpc.StatusCode.UNKNOWN,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        grpc.StatusCode.DATA_LOSS,
    ):
        return Verdict.DOUBTFUL
    return Verdict.FINAL


@dataclass
class Outage:
    """How it stands with the connection of one watch."""

    failures: int = 0  # in a row
    doubts: int = 0  # of those, how many were DOUBTFUL
    since: float | None = None  # when the orchestrator was lost, by a monotonic clock; None: it is there

    def reached(self) -> None:
        """Something came: the orchestrator is there."""
        self.since = None

    def over(self) -> None:
        """Things go on as they should."""
        self.failures = self.doubts = 0

    def worth_another_try(self, verdict: Verdict, now: float, limit: float | None) -> bool:
        """Count one more failure; False when it is time to give up. `limit` is in seconds without the orchestrator."""
        self.failures += 1
        self.since = now if self.since is None else self.since
        match verdict:
            case Verdict.FINAL:
                return False
            case Verdict.DOUBTFUL:
                self.doubts += 1
                return self.doubts <= _DOUBTS
            case Verdict.PASSING:
                return limit is None or now - self.since < limit
