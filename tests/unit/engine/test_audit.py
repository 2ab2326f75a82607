"""The completeness certificate: what was spoiled is named by its sequence, and nothing else is accused."""

from dataclasses import replace

import pytest
from athanor_orchestrator.domain.certificate import FaultKind, Verdict
from athanor_orchestrator.domain.records import AttemptOutcome, RunState
from athanor_orchestrator.engine import audit
from athanor_orchestrator.engine.audit import Faults
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.recorded import Plan, Recorded, other_message, record, renumbered

MISSING, ALTERED, DIGEST = FaultKind.MISSING, FaultKind.ALTERED, FaultKind.DIGEST
SURPLUS, DISAGREEMENT = FaultKind.SURPLUS, FaultKind.DISAGREEMENT

# 1 PENDING; 2 started, 3 log, 4 log, 5 result, 6 log, 7 ended; 8 COMPLETED
ONE = Plan("llrl")


def found(log: Recorded) -> list[tuple[FaultKind, int, int]]:
    return [(fault.kind, fault.first_sequence, fault.last_sequence) for fault in log.certificate().faults]


def details(log: Recorded) -> str:
    return "; ".join(fault.detail for fault in log.certificate().faults)


# What is whole


@pytest.mark.parametrize(
    ("plans", "verdict", "each"),
    [
        ([ONE], Verdict.COMPLETE, [Verdict.COMPLETE]),
        ([Plan("", "failed")], Verdict.COMPLETE, [Verdict.COMPLETE]),
        ([], Verdict.COMPLETE, []),
        ([Plan("rl", "under way")], Verdict.UNDER_WAY, [Verdict.UNDER_WAY]),
        ([Plan("rl", "lost")], Verdict.INCOMPLETE, [Verdict.INCOMPLETE]),
        ([Plan("rl", "no digest")], Verdict.INCOMPLETE, [Verdict.INCOMPLETE]),
        ([Plan("rcrr", "failed"), Plan("rr", restores=True)], Verdict.COMPLETE, [Verdict.COMPLETE] * 2),
        ([Plan("rcr", "lost"), Plan("r")], Verdict.INCOMPLETE, [Verdict.INCOMPLETE, Verdict.COMPLETE]),
        (
            [Plan("rcr", "failed"), Plan("r", "under way", restores=True)],
            Verdict.UNDER_WAY,
            [Verdict.COMPLETE, Verdict.UNDER_WAY],
        ),
        # More is to come, and yet it will never be complete.
        ([Plan("r", "lost"), Plan("r", "under way")], Verdict.INCOMPLETE, [Verdict.INCOMPLETE, Verdict.UNDER_WAY]),
    ],
)
@pytest.mark.parametrize("old", [False, True])
def test_a_log_that_nobody_touched_is_never_accused(
    plans: list[Plan], verdict: Verdict, each: list[Verdict], old: bool
) -> None:
    log = record(*plans, old=old)
    certificate = log.certificate()
    assert (certificate.faults, certificate.more_fault_count) == ((), 0)
    assert certificate.verdict is verdict
    assert [finding.verdict for finding in certificate.attempts] == each
    assert (certificate.event_count, certificate.last_sequence) == (log.last, log.last)


def test_a_finding_says_what_the_attempt_has() -> None:
    log = record(ONE)
    (finding,) = log.certificate().attempts
    assert (finding.number, finding.event_count, finding.first_sequence, finding.last_sequence) == (1, 6, 2, 7)
    assert finding.digest == log.accounts[0].digest
    assert (finding.log_complete, finding.detail) == (True, "")


@pytest.mark.parametrize(
    ("end", "says"),
    [
        ("lost", "it reaches to event 5; its end carries no digest"),
        ("no digest", "it reaches to event 5; its end carries no digest"),
    ],
)
def test_an_incomplete_log_says_how_far_it_reaches(end: str, says: str) -> None:
    (finding,) = record(Plan("ll", end)).certificate().attempts
    assert finding.detail.startswith(says)
    assert not finding.log_complete


def test_a_runner_that_counted_more_than_came_is_told() -> None:
    # Two events of it never came, as the orchestrator saw when its end did.
    log = record(Plan("ll"))
    log.events[5] = renumbered(record(Plan("llll")).events[7], 5)
    log.accounts[0] = replace(log.accounts[0], log_complete=False)
    certificate = log.certificate()
    assert certificate.verdict is Verdict.INCOMPLETE
    assert "counted 6 events of it, 4 are here" in certificate.attempts[0].detail


# What is spoiled


@pytest.mark.parametrize(
    ("gone", "ranges"),
    [
        ([1], [(1, 1)]),
        ([4], [(4, 4)]),
        ([3, 4], [(3, 4)]),
        ([3, 5], [(3, 3), (5, 5)]),
        ([7], [(7, 7)]),
        ([8], [(8, 8)]),
        ([6, 7, 8], [(6, 8)]),
        ([2, 3, 4, 5, 6, 7, 8], [(2, 8)]),
        ([1, 2, 3, 4, 5, 6, 7, 8], [(1, 8)]),
    ],
)
@pytest.mark.parametrize("old", [False, True])
def test_deleted_events_are_named_and_nothing_else(gone: list[int], ranges: list[tuple[int, int]], old: bool) -> None:
    log = record(ONE, old=old)
    log.delete(*gone)
    assert found(log) == [(MISSING, first, last) for first, last in ranges]
    assert log.certificate().verdict is Verdict.DAMAGED


def test_a_run_that_lost_its_tail_is_never_whole_even_when_its_row_has_forgotten_it_too() -> None:
    log = record(ONE)
    log.delete(6, 7, 8)
    log.run = replace(log.run, last_sequence=5)
    assert found(log) == [(MISSING, 6, 8), (DISAGREEMENT, 0, 0)]
    live = record(Plan("llrl", "under way"))
    live.delete(5, 6)
    assert found(live) == [(MISSING, 5, 6)]


@pytest.mark.parametrize("sequence", range(1, 9))
def test_an_altered_event_is_named_by_its_checksum(sequence: int) -> None:
    log = record(ONE)
    log.flip(sequence, 77)
    assert found(log) == [(ALTERED, sequence, sequence)]
    assert "checksum" in details(log)
    (finding,) = log.certificate().attempts
    assert finding.verdict is (Verdict.DAMAGED if 2 <= sequence <= 7 else Verdict.COMPLETE)


def test_altered_bytes_with_a_checksum_made_for_them_are_found_by_the_digest() -> None:
    log = record(ONE)
    payload = other_message(log.events[4].payload)
    log.change(4, payload=payload, checksum=audit.digests.checksum(payload))
    assert found(log) == [(DIGEST, 2, 7)]
    assert "attempt 1: some event between 2 and 7 was altered" in details(log)
    assert log.certificate().attempts[0].verdict is Verdict.DAMAGED


def test_without_checksums_the_digest_says_between_which_events() -> None:
    log = record(ONE, old=True)
    log.change(4, payload=other_message(log.events[4].payload))
    assert found(log) == [(DIGEST, 2, 7)]

    # Begun before there were checksums, and ended since: those that fit theirs are out of suspicion.
    log = record(ONE)
    for sequence in (3, 4):
        log.change(sequence, checksum=None)
    log.change(4, payload=other_message(log.events[4].payload))
    assert found(log) == [(DIGEST, 3, 4)]


@pytest.mark.parametrize(("gone", "verdict"), [(1, Verdict.COMPLETE), (8, Verdict.COMPLETE), (4, Verdict.DAMAGED)])
def test_an_old_attempt_is_whole_by_its_own_digest_whatever_is_missing_around_it(gone: int, verdict: Verdict) -> None:
    log = record(ONE, old=True)
    log.delete(gone)
    assert found(log) == [(MISSING, gone, gone)]
    assert log.certificate().attempts[0].verdict is verdict


@pytest.mark.parametrize(
    ("columns", "says"),
    [
        ({"level": 40}, "level"),
        ({"key": "k"}, "key"),
        ({"kind": 99}, "kind"),
        ({"time_us": 1}, "time_us"),
        ({"attempt": 2}, "attempt"),
        ({"attempt": 2, "level": None}, "attempt, level"),
    ],
)
def test_a_column_that_does_not_fit_its_bytes_is_an_alteration(columns: dict[str, int], says: str) -> None:
    log = record(ONE)
    log.change(4, **columns)
    assert found(log) == [(ALTERED, 4, 4)]
    assert details(log).endswith(f"otherwise: {says}")
    assert log.certificate().attempts[0].digest == log.accounts[0].digest, "its bytes are good"


def test_bytes_in_the_place_of_others_are_named_by_what_they_say() -> None:
    log = record(ONE, old=True)
    third, fourth = log.events[3], log.events[4]
    log.change(3, payload=fourth.payload)
    log.change(4, payload=third.payload)
    assert found(log) == [(ALTERED, 3, 3), (ALTERED, 4, 4)]
    assert details(log) == "its bytes are those of event 4; its bytes are those of event 3"

    log = record(ONE, old=True)
    log.change(4, payload=b"no event at all")
    assert found(log) == [(ALTERED, 4, 4)]
    log.change(4, payload=third.payload, is_bytes=False)
    assert details(log) == "its bytes were replaced by text"


def test_events_outside_of_the_log_are_surplus() -> None:
    log = record(ONE)
    log.events[12] = replace(log.events[4], sequence=12)
    log.events[-3] = replace(log.events[4], sequence=-3)
    assert found(log) == [(SURPLUS, -3, 0), (SURPLUS, 9, 12)]

    # The run's row was moved on to cover what somebody added.
    log = record(ONE)
    for sequence in (9, 10):
        log.events[sequence] = renumbered(log.events[8], sequence)
    log.run = replace(log.run, last_sequence=10)
    assert found(log) == [(SURPLUS, 9, 10)]
    assert "behind the run's end, which is event 8" in details(log)


# What is kept beside the log


@pytest.mark.parametrize(
    ("run", "says"),
    [
        ({"log_count": 4}, "log_count is 4, the log has 3"),
        ({"result_count": 0}, "result_count is 0"),
        ({"state": RunState.FAILED}, "the run is FAILED, and its log ends it as COMPLETED"),
        ({"state": RunState.RUNNING}, "the run is RUNNING, and its log ends it as COMPLETED"),
    ],
)
def test_a_run_that_says_otherwise_than_its_log(run: dict[str, object], says: str) -> None:
    log = record(ONE)
    log.run = replace(log.run, **run)
    assert {fault.kind for fault in log.certificate().faults} == {DISAGREEMENT}
    assert says in details(log)
    assert log.certificate().attempts[0].verdict is Verdict.COMPLETE, "the log itself is as it was"


def test_a_run_that_has_ended_without_its_log_saying_so() -> None:
    log = record(Plan("ll", "under way"))
    log.run = replace(log.run, state=RunState.FAILED)
    assert "the run is FAILED, and its log does not say so" in details(log)


@pytest.mark.parametrize(
    ("account", "says"),
    [
        ({"digest": b"x" * 32}, "event_count or digest"),
        ({"log_complete": False}, "log_complete"),
        ({"outcome": AttemptOutcome.FAILED}, "outcome"),
        ({"outcome": AttemptOutcome.UNSPECIFIED}, "outcome"),
    ],
)
def test_an_attempt_whose_row_says_otherwise_than_its_log(account: dict[str, object], says: str) -> None:
    log = record(ONE)
    log.accounts[0] = replace(log.accounts[0], **account)
    assert {fault.kind for fault in log.certificate().faults} == {DISAGREEMENT}
    assert says in details(log)


def test_an_attempt_without_a_row() -> None:
    log = record(ONE)
    log.accounts.clear()
    assert found(log) == [(DISAGREEMENT, 2, 7)]


def test_results_are_compared_with_their_rows() -> None:
    log = record(ONE)
    right = log.results[5]
    for wrong, says in [
        (None, "a result without its row"),
        (replace(right, value_json="0.75"), "otherwise: value"),
        (replace(right, key="other", attempt=2, time_us=0), "otherwise: attempt, key, time_us"),
        (replace(right, superseded=True), "the result of event 5 of attempt 1 is superseded"),
    ]:
        log.results = {} if wrong is None else {5: wrong}
        assert {fault.kind for fault in log.certificate().faults} == {DISAGREEMENT}
        assert says in details(log)
    log.results = {5: replace(right, value_json=None)}
    assert log.certificate().verdict is Verdict.COMPLETE, "what a database refused is in the event"
    log.results = {5: right, 6: replace(right, sequence=6)}
    assert "no result, and yet" in details(log)
    log.results = {5: right, 11: replace(right, sequence=11)}
    assert "behind the log's end" in details(log)


def test_results_of_several_attempts_are_superseded_as_the_log_says() -> None:
    # 2 started, 3 result, 4 checkpoint, 5 result, 6 ended, 7 PENDING, 8 started from 4, 9 result
    log = record(Plan("rcr", "failed"), Plan("r", restores=True))
    assert [row.superseded for row in log.results.values()] == [False, True, False]
    for sequence, says in ((3, "event 3 of attempt 1 is superseded"), (5, "event 5 of attempt 1 is not superseded")):
        spoiled = record(Plan("rcr", "failed"), Plan("r", restores=True))
        row = spoiled.results[sequence]
        spoiled.results[sequence] = replace(row, superseded=not row.superseded)
        assert says in details(spoiled)
    # While it goes on, an attempt that has just begun may have superseded what was read before: nothing is concluded.
    live = record(Plan("rcr", "failed"), Plan("r", "under way", restores=True))
    live.results[3] = replace(live.results[3], superseded=True)
    assert live.certificate().verdict is Verdict.UNDER_WAY


# Any log, spoiled in any way

plans = st.builds(
    Plan,
    records=st.text("llrc", max_size=8),
    end=st.sampled_from(["completed", "failed", "lost", "no digest"]),
    restores=st.booleans(),
)


@st.composite
def logs(draw: st.DrawFn, old: bool | None = False) -> Recorded:
    chosen = draw(st.lists(plans, max_size=3))
    if chosen and draw(st.booleans()):
        chosen[-1] = replace(chosen[-1], end="under way")
    return record(*chosen, old=draw(st.booleans()) if old is None else old)


@given(logs(old=None), st.integers(1, 7))
@settings(deadline=None, max_examples=200)
def test_any_log_that_nobody_touched_is_whole_however_it_is_cut_into_pages(log: Recorded, page: int) -> None:
    assert log.certificate(page).faults == ()
    assert log.certificate(page) == log.certificate()


@given(logs(), st.data(), st.integers(1, 7))
@settings(deadline=None, max_examples=300)
def test_exactly_what_was_spoiled_is_named(log: Recorded, data: st.DataObject, page: int) -> None:
    sequences = st.sets(st.integers(1, log.last))
    gone = data.draw(sequences)
    flipped = data.draw(sequences) - gone
    before = log.certificate()
    log.delete(*gone)
    for sequence in flipped:
        log.flip(sequence, data.draw(st.integers(0, 400)))

    certificate = log.certificate(page)
    assert log.named(MISSING, page=page) == gone
    assert log.named(ALTERED, page=page) == flipped
    assert {fault.kind for fault in certificate.faults} <= {MISSING, ALTERED}
    assert (certificate.verdict is Verdict.DAMAGED) == bool(gone or flipped)

    # An attempt is damaged if, and only if, an event of it is.
    for finding, was, account in zip(certificate.attempts, before.attempts, log.accounts, strict=True):
        own = range(account.last_sequence - (account.event_count or 0) + 1, account.last_sequence + 1)
        assert (finding.verdict is Verdict.DAMAGED) == bool((gone | flipped) & set(own))
        assert finding == was or finding.verdict is Verdict.DAMAGED


@given(logs(old=None), st.data())
@settings(deadline=None, max_examples=200)
def test_a_log_without_its_tail_is_never_whole(log: Recorded, data: st.DataObject) -> None:
    kept = data.draw(st.integers(0, log.last - 1))
    log.delete(*range(kept + 1, log.last + 1))
    assert found(log) == [(MISSING, kept + 1, log.last)]
    assert log.certificate().verdict is Verdict.DAMAGED


@given(logs(old=None), st.data())
@settings(deadline=None, max_examples=200)
def test_an_event_that_was_altered_with_its_checksum_is_within_what_is_named(
    log: Recorded, data: st.DataObject
) -> None:
    covered = [
        sequence
        for account in log.accounts
        # Of what an orchestrator wrote itself there is no digest, and of an old incomplete attempt none to go by.
        if account.digest is not None or account.log_complete
        for sequence, event in log.events.items()
        if event.attempt == account.number and event.kind == 7
    ]
    if not covered:
        return
    sequence = data.draw(st.sampled_from(covered))
    payload = other_message(log.events[sequence].payload)
    checksum = None if log.events[sequence].checksum is None else audit.digests.checksum(payload)
    log.change(sequence, payload=payload, checksum=checksum)
    (fault,) = log.certificate().faults
    assert fault.kind is DIGEST
    assert fault.first_sequence <= sequence <= fault.last_sequence
    assert fault.attempt == log.events[sequence].attempt


# The bounds


def test_only_so_many_faults_are_told_and_the_others_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit, "MOST_FAULTS", 3)
    log = record(Plan("l" * 40))
    log.delete(*range(5, 25, 2))
    certificate = log.certificate()
    assert found(log) == [(MISSING, 5, 5), (MISSING, 7, 7), (MISSING, 9, 9)]
    assert certificate.more_fault_count == 7
    assert certificate.verdict is Verdict.DAMAGED


def test_neighbours_with_the_same_fault_are_one_range() -> None:
    faults = Faults()
    for sequence in (3, 4, 5, 7):
        faults.add(ALTERED, sequence, sequence, 1, "a")
    faults.add(ALTERED, 8, 8, 1, "b")
    told, more = faults.told()
    assert [(fault.first_sequence, fault.last_sequence) for fault in told] == [(3, 5), (7, 7), (8, 8)]
    assert more == 0
