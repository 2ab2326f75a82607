"""Identifiers: UUIDv7, in the order in which they were made."""

import uuid

import pytest
from athanor_orchestrator.domain import ids


def test_ids_are_uuids_of_version_7_in_order_and_never_the_same() -> None:
    made = [ids.new_id() for _ in range(20_000)]
    assert made == sorted(made)
    assert len(set(made)) == len(made)
    for text in made[::1000]:
        parsed = uuid.UUID(text)
        assert (parsed.version, parsed.variant) == (7, uuid.RFC_4122)
        assert ids.is_id(text)


def test_ids_go_on_in_order_when_the_clock_goes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    now = ids.new_id()
    monkeypatch.setattr(ids.time, "time_ns", lambda: 1)
    later = [ids.new_id() for _ in range(5000)]
    assert [now, *later] == sorted([now, *later])


def test_ids_by_the_databases_clock_are_in_its_order_whatever_this_machine_says(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(ids, "_last", {"machine": 0, "given": 0})
    ids.new_id()
    made = [ids.new_id(now_us) for now_us in (1_000_000, 1_000_001, 1_000_001, 999_999, 2_000_000)]
    assert made == sorted(made)
    assert uuid.UUID(made[0]).int >> 80 == 1000
    assert uuid.UUID(made[-1]).int >> 80 == 2000


@pytest.mark.parametrize(
    "text",
    ["", "x", "0189", "{01890000-0000-7000-8000-000000000001}", "01890000000070008000000000000001",
     "01890000-0000-7000-8000-00000000000A", "urn:uuid:01890000-0000-7000-8000-000000000001",
     "01890000-0000-7000-8000-000000000001 "],
)  # fmt: skip
def test_what_is_not_written_as_one_is_none(text: str) -> None:
    assert not ids.is_id(text)
