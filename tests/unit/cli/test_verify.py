"""A certificate in lines for people."""

from athanor.cli.verify import told
from athanor.client import AttemptFinding, LogFault, LogFaultKind, Verdict, Verification


def test_a_complete_log_is_said_in_two_lines():
    attempt = AttemptFinding(1, Verdict.COMPLETE, 1232, 2, 1233, b"d", True)
    assert told(Verification("r", Verdict.COMPLETE, 1234, 1234, (attempt,))) == [
        "complete: 1234 events, all that was recorded, unaltered (run r)",
        "  attempt 1: complete, 1232 events, the digest fits",
    ]


def test_one_that_is_under_way_or_not_complete_never_sounds_whole():
    live = AttemptFinding(1, Verdict.UNDER_WAY, 1, 2, 2)
    assert told(Verification("r", Verdict.UNDER_WAY, 2, 2, (live,))) == [
        "under way: 2 events so far, unaltered (run r)",
        "  attempt 1: under way, 1 event so far, the digest fits",
    ]
    lost = AttemptFinding(1, Verdict.INCOMPLETE, 6, 2, 7, detail="it reaches to event 7; who knows")
    assert told(Verification("r", Verdict.INCOMPLETE, 8, 8, (lost,))) == [
        "NOT complete: 8 events, unaltered, but not known to be all that was recorded (run r)",
        "  attempt 1: NOT complete, 6 events: it reaches to event 7; who knows",
    ]


def test_every_fault_is_named_by_its_sequence():
    kinds = LogFaultKind
    faults = (
        LogFault(kinds.MISSING, 3, 3),
        LogFault(kinds.MISSING, 5, 9),
        LogFault(kinds.ALTERED, 11, 11, 1, "a reason"),
        LogFault(kinds.ALTERED, 12, 13, 1, "a reason"),
        LogFault(kinds.DIGEST, 14, 20, 1, "attempt 1: some event between 14 and 20 was altered"),
        LogFault(kinds.SURPLUS, 31, 31, 0, "stored behind the log's end"),
        LogFault(kinds.UNKNOWN, 32, 33, 0, "of a newer version"),
        LogFault(kinds.DISAGREEMENT, 0, 0, 0, "log_count is 1, the log has 2"),
    )
    attempts = (AttemptFinding(1, Verdict.DAMAGED, 9, log_complete=True), AttemptFinding(2, Verdict.DAMAGED, 1))
    assert told(Verification("r", Verdict.DAMAGED, 30, 22, attempts, faults, 4)) == [
        "DAMAGED: 22 events of a log that reaches to 30 (run r)",
        "  attempt 1: DAMAGED, 9 events",
        "  attempt 2: DAMAGED, 1 event; it was not complete when it ended",
        "  event 3 is missing",
        "  events 5 to 9 are missing",
        "  event 11 was altered: a reason",
        "  events 12 to 13 were altered: a reason",
        "  attempt 1: some event between 14 and 20 was altered",
        "  event 31: stored behind the log's end",
        "  events 32 to 33: of a newer version",
        "  log_count is 1, the log has 2",
        "  and 4 more faults",
    ]


def test_what_a_newer_orchestrator_says_is_not_taken_for_whole():
    item = Verification("r", Verdict.UNKNOWN, 1, 1, (AttemptFinding(1, Verdict.UNKNOWN),))
    assert told(item) == ["UNKNOWN: 1 event (run r)", "  attempt 1: UNKNOWN, 0 events"]
    assert not item.intact
    assert Verification("r", Verdict.COMPLETE, 1, 1).intact
    assert Verification("r", Verdict.UNDER_WAY, 1, 1).intact
    assert not Verification("r", Verdict.INCOMPLETE, 1, 1).intact
