"""Complaints: the first at once, the next a minute later, each subject for itself."""

from athanor_runner.complaints import Complaints


def test_the_same_is_said_once_a_minute() -> None:
    now = 1000.0
    complaints = Complaints(lambda: now)
    assert [complaints.due("disk"), complaints.due("disk"), complaints.due("other")] == [True, False, True]
    now += 59.9
    assert not complaints.due("disk")
    now += 0.1
    assert [complaints.due("disk"), complaints.due("disk")] == [True, False]
    assert list(complaints._due) == ["disk"]
