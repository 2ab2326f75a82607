"""One attempt's part of a log: counted and chained anew, and compared with what was kept of it when it was stored."""

from collections.abc import Iterable
from dataclasses import dataclass

from athanor_orchestrator.domain import digests
from athanor_orchestrator.domain.certificate import AttemptFinding, Fault, FaultKind, Verdict
from athanor_orchestrator.domain.records import AttemptAccount, AttemptOutcome, ResultRow
from athanor_orchestrator.engine.codec import AttemptEnded, Decoded


@dataclass(slots=True)
class Tally:
    """What has been read of an attempt."""

    account: AttemptAccount
    count: int = 0
    digest: bytes = digests.START  # over all but the AttemptEnded
    first: int = 0  # sequence of its first event; 0: none yet; likewise below
    last: int = 0
    ended: AttemptEnded | None = None
    torn: bool = False  # an event of it may be missing or altered, which is told already
    unchecked_first: int = 0  # of the events that have no checksum
    unchecked_last: int = 0
    restored: int | None = None  # what its AttemptStarted says
    standing_last: int = 0  # of its rows of results that are not superseded
    superseded_first: int = 0  # of those that are

    @property
    def span(self) -> tuple[int, int] | None:
        """Where the events of the attempt are; None when that was not kept."""
        account = self.account
        if account.event_count is None:
            return None
        return account.last_sequence - account.event_count + 1, account.last_sequence

    def may_have(self, first: int, last: int) -> bool:
        """Tell whether one of the events from `first` to `last` is, or may be, of this attempt."""
        span = self.span
        return span is None or (first <= span[1] and last >= span[0])

    def take(self, decoded: Decoded, *, checked: bool) -> None:
        """Add an event of which the bytes are good, as far as they themselves tell; `checked`: by a checksum."""
        sequence = decoded.row.sequence
        self.count += 1
        self.first = self.first or sequence
        self.last = sequence
        if not checked:
            self.unchecked_first = self.unchecked_first or sequence
            self.unchecked_last = sequence
        if decoded.started is not None:
            self.restored = decoded.started.restored_sequence
        if decoded.ended is not None:
            self.ended = decoded.ended
        else:
            self.digest = digests.chain(self.digest, (decoded.row.payload,))

    def place(self, result: ResultRow) -> None:
        """Note where a row of results stands."""
        if result.superseded:
            self.superseded_first = self.superseded_first or result.sequence
        else:
            self.standing_last = result.sequence

    def conclude(self) -> tuple[list[Fault], AttemptFinding]:
        """Compare, when everything of it has been taken."""
        faults = [] if self.torn else self._faults()
        return faults, self._finding(damaged=bool(faults))

    @property
    def _as_recorded(self) -> bool:
        """What is here is all that was recorded, by the word of who recorded it."""
        end = self.ended
        return end is not None and end.digest == self.digest and end.event_count == self.count

    @property
    def _as_kept(self) -> bool | None:
        """What is here is what the orchestrator has stored, by its own word; None when that was not kept."""
        account = self.account
        if account.digest is None or account.event_count is None:
            return None
        return account.digest == self.digest and account.event_count == self.count

    def _faults(self) -> list[Fault]:
        """Say what is wrong though no event of it is known to be missing or altered."""
        account, end = self.account, self.ended
        as_recorded, as_kept = self._as_recorded, self._as_kept
        if not as_recorded and (as_kept is False or (as_kept is None and account.log_complete)):
            return [self._altered_somewhere()]

        over = account.outcome is not AttemptOutcome.UNSPECIFIED
        wrong = {
            "event_count or digest": as_kept is False,
            "outcome": over != (end is not None) or (end is not None and end.outcome is not account.outcome),
            "last_sequence": self.last != account.last_sequence,
            "log_complete": over and account.log_complete != as_recorded,
        }
        names = [name for name, is_wrong in wrong.items() if is_wrong]
        if not names:
            return []
        detail = f"the row of attempt {account.number} says otherwise than its log: {', '.join(names)}"
        return [Fault(FaultKind.DISAGREEMENT, 0, 0, account.number, detail)]

    def _altered_somewhere(self) -> Fault:
        # Those that fit their checksums are out of suspicion, unless that leaves nobody.
        first, last = self.unchecked_first or self.first, self.unchecked_last or self.last
        where = f"between {first} and {last}" if first < last else f"with the number {first}"
        detail = f"attempt {self.account.number}: some event {where} was altered: the digest does not fit"
        return Fault(FaultKind.DIGEST, first, last, self.account.number, detail)

    def _finding(self, *, damaged: bool) -> AttemptFinding:
        account = self.account
        over = account.outcome is not AttemptOutcome.UNSPECIFIED
        detail = ""
        if damaged or self._is_damaged():
            verdict = Verdict.DAMAGED
        elif not over:
            verdict = Verdict.UNDER_WAY
        elif account.log_complete:
            verdict = Verdict.COMPLETE
        else:
            verdict, detail = Verdict.INCOMPLETE, self._what_is_not_known()
        return AttemptFinding(
            number=account.number,
            verdict=verdict,
            event_count=self.count,
            first_sequence=self.first,
            last_sequence=self.last,
            digest=self.digest,
            log_complete=account.log_complete,
            detail=detail,
        )

    def _is_damaged(self) -> bool:
        if not self.torn:
            return False
        # Where it lies is not known of an old attempt: it is whole all the same when its own digest says so.
        return self.span is not None or not self._as_recorded

    def _what_is_not_known(self) -> str:
        end = self.ended
        reach = f"it reaches to event {self.last}"
        if end is None or not end.digest:
            return f"{reach}; its end carries no digest, so what else it recorded is not known"
        if end.event_count != self.count:
            return f"{reach}; its runner counted {end.event_count} events of it, {self.count} are here"
        return f"{reach}; its runner had other bytes than came here"


def misplaced(tallies: Iterable[Tally]) -> list[str]:
    """Say which attempts' rows of results are superseded though they should stand, or stand though they should not.

    What an attempt recorded stands up to where the furthest going back of a later attempt begins.
    """
    wrong: list[str] = []
    limit: int | None = None
    for tally in sorted(tallies, key=lambda tally: -tally.account.number):
        number = tally.account.number
        if limit is not None and tally.standing_last > limit:
            wrong.append(f"the result of event {tally.standing_last} of attempt {number} is not superseded")
        if tally.superseded_first and (limit is None or tally.superseded_first <= limit):
            wrong.append(f"the result of event {tally.superseded_first} of attempt {number} is superseded")
        if tally.restored is not None:
            limit = tally.restored if limit is None else min(limit, tally.restored)
    return wrong
