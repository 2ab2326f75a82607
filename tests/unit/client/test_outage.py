"""When a broken stream is worth another try."""

import grpc
import pytest
from athanor.client._outage import Outage, Verdict, judge
from athanor.client._status import Answer

S = grpc.StatusCode


@pytest.mark.parametrize(
    ("code", "reason", "verdict"),
    [
        (S.UNAVAILABLE, "", Verdict.PASSING),
        (S.UNAVAILABLE, "STORAGE_UNAVAILABLE", Verdict.PASSING),
        (S.CANCELLED, "", Verdict.PASSING),
        (S.ABORTED, "", Verdict.PASSING),
        (S.INTERNAL, "", Verdict.DOUBTFUL),
        (S.UNKNOWN, "", Verdict.DOUBTFUL),
        (S.RESOURCE_EXHAUSTED, "", Verdict.DOUBTFUL),
        (S.DEADLINE_EXCEEDED, "", Verdict.DOUBTFUL),
        (S.DATA_LOSS, "", Verdict.DOUBTFUL),
        (S.NOT_FOUND, "NOT_FOUND", Verdict.FINAL),
        (S.NOT_FOUND, "", Verdict.FINAL),
        (S.OUT_OF_RANGE, "POSITION_OUT_OF_RANGE", Verdict.FINAL),
        (S.INVALID_ARGUMENT, "INVALID_FIELD", Verdict.FINAL),
        (S.ABORTED, "ETAG_MISMATCH", Verdict.FINAL),
        (S.UNIMPLEMENTED, "", Verdict.FINAL),
        (S.UNAUTHENTICATED, "", Verdict.FINAL),
        (S.PERMISSION_DENIED, "", Verdict.FINAL),
    ],
)
def test_what_the_end_of_a_stream_means(code, reason, verdict):
    assert judge(Answer(code, "", reason)) is verdict


def test_an_outage_is_waited_for_without_a_limit_or_up_to_it():
    outage = Outage()
    assert all(outage.worth_another_try(Verdict.PASSING, now, None) for now in range(10**5))
    limited = Outage()
    assert [limited.worth_another_try(Verdict.PASSING, now, 3.0) for now in (10, 12, 13)] == [True, True, False]


def test_the_limit_counts_from_when_the_orchestrator_was_last_there():
    outage = Outage()
    assert outage.worth_another_try(Verdict.PASSING, 0, 3.0)
    outage.reached()
    assert outage.worth_another_try(Verdict.PASSING, 100, 3.0)


def test_a_doubtful_fault_is_tried_five_times_in_a_row():
    outage = Outage()
    assert [outage.worth_another_try(Verdict.DOUBTFUL, 0, None) for _ in range(6)] == [True] * 5 + [False]
    again = Outage()
    for _ in range(20):
        assert again.worth_another_try(Verdict.DOUBTFUL, 0, None)
        again.over()


def test_an_answer_is_never_asked_for_again():
    assert not Outage().worth_another_try(Verdict.FINAL, 0, None)
